"""The published schemas, and schema.check: where it points, what it says, and that it agrees with jsonschema."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from kplan.diagnostics import Diagnostic
from kplan.kinds.connector.templates import blueprint
from kplan.kinds.topic.configs import CONFIGS, parse
from kplan.language.schema import _Compiler, check, read_schema
from kplan.language.source import load
from kplan.project.loading import list_built_in_templates, load_built_in
from tests.examples import examples

NAMES = ("stack.v1", "environments.v1", "template.v1", "live.v1", "graph.v1")
TEMPLATES = Path(__file__).parents[3] / "kplan" / "connectors"

STACK = """\
version: 1
stack: client-2-kbe
description: CDC of the kbe database for client 2
variables:
  client_id:   {type: integer, default: 2}
  partitions:  {type: integer, default: 1, env: KAFKA_TOPIC_PARTITIONS, minimum: 1}
  db_password: {type: string, env: KBE_DB_PASSWORD, sensitive: true}
  regions:     {type: list, default: [eu, us]}
defaults:
  topic:
    partitions: "{{ var.partitions }}"
    replication_factor: 1
    config: {retention.ms: 7d, cleanup.policy: [compact, delete], preallocate: false}
topics:
  dc.workload: {config: {retention.ms: 1d}}
  plain:
  sys.config: {config: {cleanup.policy: compact}, protect: true, ignore: [segment.bytes], accept: [data-loss]}
  "app.{{ each.key }}.events":
    for_each: [orders, billing]
    partitions: 6
connectors:
  kbe:
    template: debezium-mysql
    topic_prefix: "client_{{ var.client_id }}"
    database: {hostname: mysql, port: 3306, name: kbe, user: cdc, password: "{{ var.db_password }}"}
    server_id: 5401
    tables:
      orders:    {partitions: 6, config: {compression.type: zstd}}
      customers:
      auth_user: {ignore_topic: true}
    snapshot: initial
    state: running
    restart: on-change
    restart_failed: {attempts: 3, delay: 10s}
    new_tables: {snapshot: incremental}
    config: {max.batch.size: 4096, gone: null}
  pg: {template: debezium-postgres, topic_prefix: pg, slot: s, publication: p, tables: [orders],
       database: {hostname: pg, name: shop, user: cdc, password: "${file:/run/secrets/db:password}"}}
  own: {template: my-sink, anything: [1, 2], tables: [a]}
  warehouse-sink:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {file: /data/out, topics: dc.workload}
    dead_letter: {topic: dlq.warehouse}
removed:
  - {topic: dc.old, accept: [data-loss]}
  - {connector: x, keep: true}
moved:
  - {from: connector/kbe-old, to: connector/kbe}
guards:
  max_changes: 30%
  naming: '^(client_\\d+|dc|sys|app|dlq)\\.'
  topic: {replication_factor: {minimum: 1}, partitions: {maximum: 200}}
  connector: {config: {required: [errors.log.enable]}}
"""

ENVIRONMENTS = """\
version: 1
default: local
environments:
  local: {}
  demo: {simulated: {brokers: 3, fail: [connector/kbe]}}
  prod:
    kafka: {bootstrap.servers: "{{ env.KAFKA_BOOTSTRAP }}", security.protocol: SASL_SSL, socket.timeout.ms: 60000}
    connect: {url: [https://connect-1:8083, https://connect-2:8083], username: u, password: "{{ env.P }}", ca: ca.pem}
    state: {kafka_topic: __kplan}
    variables: {partitions: 3, regions: [eu]}
    defaults: {topic: {replication_factor: 3, config: {min.insync.replicas: 2}}}
    guards: {topic: {replication_factor: {minimum: 3}}}
    timeouts: {request: 30s, settle: 120s}
    retry: {attempts: 3, delay: 2s}
    notify: [{webhook: "{{ env.SLACK_URL }}", when: [failure, rollback, recovery]}]
"""


def problems_of(text: str, name: str = "stack.v1") -> tuple[Diagnostic, ...]:
    document, problems = load(text, "f.yaml")
    assert document is not None and problems == ()
    return check(document, read_schema(name))


def stack(rest: str) -> str:
    return f"version: 1\nstack: s\n{rest}"


# The schemas


def properties(schema: Any, root: Mapping[str, Any], at: str = "") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every property anywhere in the schema, with its references resolved."""
    if isinstance(schema, list):
        for number, each in enumerate(schema):
            yield from properties(each, root, f"{at}/{number}")
    if not isinstance(schema, dict):
        return
    for key, each in schema.items():
        if key in ("properties", "$defs"):
            for name, child in each.items():
                if key == "properties" and isinstance(child, dict) and not CONDITIONS & {*at.split("/")}:
                    reference = child.get("$ref", "").removeprefix("#/$defs/")
                    yield f"{at}/{name}", root["$defs"][reference] if reference else child
                yield from properties(child, root, f"{at}/{name}")
        elif key not in ("examples", "enum", "const", "default"):
            yield from properties(each, root, f"{at}/{key}")


CONDITIONS = {"if", "else", "connectorRequired"}  # what they name is described elsewhere


@pytest.mark.parametrize("name", NAMES)
def test_a_published_schema_is_a_valid_schema(name: str) -> None:
    Draft202012Validator.check_schema(read_schema(name))
    assert read_schema(name)["$schema"] == "https://json-schema.org/draft/2020-12/schema"


@pytest.mark.parametrize("name", NAMES)
def test_every_property_explains_itself_to_an_editor(name: str) -> None:
    found = dict(properties(read_schema(name), read_schema(name)))
    assert len(found) > 10
    assert [at for at, each in found.items() if not each.get("description")] == []
    assert [at for at, each in found.items() if "then" not in at and not each.get("examples")] == []


@pytest.mark.parametrize("name", ["stack.v1", "environments.v1"])
def test_an_editor_completes_kafkas_topic_configs(name: str) -> None:
    offered = read_schema(name)["$defs"]["topicConfig"]["properties"]
    assert offered.keys() == CONFIGS.keys()
    for key, each in offered.items():
        assert each["description"].startswith(CONFIGS[key].doc)
        for example in each["examples"]:
            parse(key, example)


def test_an_editor_completes_a_connector_by_its_template() -> None:
    definitions = read_schema("stack.v1")["$defs"]
    choices = [each for each in definitions["connector"]["allOf"] if "properties" in each["if"]]
    chosen = {each["if"]["properties"]["template"]["const"]: each["then"]["$ref"].split("/")[-1] for each in choices}
    assert chosen.keys() == set(list_built_in_templates())
    for name, definition in chosen.items():
        template, _ = blueprint(name, lambda each: (load_built_in(each), []))
        assert template is not None
        assert template.parameters["properties"].keys() <= definitions[definition]["properties"].keys()


@pytest.mark.parametrize("name", NAMES)
def test_every_example_in_a_schema_meets_it(name: str) -> None:
    schema = read_schema(name)
    for at, each in properties(schema, schema):
        for example in each.get("examples", []):
            whole = {**each, "$defs": schema.get("$defs", {})}
            assert Draft202012Validator(whole).is_valid(example), (at, example)


@pytest.mark.parametrize("name", NAMES)
def test_every_choice_is_explained(name: str) -> None:
    def choices(schema: Any) -> Iterator[Mapping[str, Any]]:
        for each in schema.values() if isinstance(schema, dict) else schema if isinstance(schema, list) else ():
            yield from choices(each)
        if isinstance(schema, dict) and isinstance(schema.get("enumDescriptions"), list):
            yield schema

    for choice in choices(read_schema(name)):
        assert len(choice["enum"]) == len(choice["enumDescriptions"])


@pytest.mark.parametrize("name", NAMES)
def test_text_stands_for_a_number_or_a_boolean_only_as_a_template(name: str) -> None:
    for at, each in properties(read_schema(name), read_schema(name)):
        types = each.get("type", [])
        if isinstance(types, list) and "string" in types and {"integer", "boolean"} & set(types):
            if each.get("pattern"):
                assert each["pattern"] == r"\{\{", at
            else:
                assert set(types) >= {"string", "number", "boolean"}, at  # a free value


@pytest.mark.parametrize("path", sorted(TEMPLATES.glob("*.yaml")), ids=lambda path: path.stem)
def test_a_built_in_template_meets_the_schema_of_templates(path: Path) -> None:
    assert problems_of(path.read_text(), "template.v1") == ()


def test_an_unknown_schema_is_a_missing_file() -> None:
    with pytest.raises(FileNotFoundError):
        read_schema("nothing.v9")


# What is allowed


def test_the_stack_of_the_manual_is_valid() -> None:
    assert problems_of(STACK) == ()


def test_the_environments_of_the_manual_are_valid() -> None:
    assert problems_of(ENVIRONMENTS, "environments.v1") == ()


@pytest.mark.parametrize("section", ["variables", "topics", "connectors", "removed", "moved"])
def test_a_section_whose_entries_are_all_commented_out_is_allowed(section: str) -> None:
    assert problems_of(stack(f"{section}:\n")) == ()


# What is said, and where


@pytest.mark.parametrize(
    ("rest", "place", "summary", "words"),
    [
        ("topics: {a: {partition: 6}}", (3, 14), "unknown key", "did you mean `partitions`?"),
        ("topics: {a: {retention.ms: 1d}}", (3, 14), "unknown key", "`config: {retention.ms: …}`"),
        ("topcis: {}", (3, 1), "unknown key", "did you mean `topics`?"),
        ("zzz: {}", (3, 1), "unknown key", "known keys: version, stack"),
        ("topics: {a: {partitions: '6'}}", (3, 26), "wrong type", "write 6 without quotes"),
        ("topics: {a: {partitions: six}}", (3, 26), "wrong type", "a whole number, or a template"),
        ("topics: {a: {partitions: 1.5}}", (3, 26), "wrong type", "a whole number"),
        ("topics: {a: {partitions: 0}}", (3, 26), "right form", "-1 for the broker's own"),
        ("topics: {a: {replication_factor: 0}}", (3, 34), "right form", "-1 for the broker's own"),
        ("topics: {a: {protect: 'true'}}", (3, 23), "wrong type", "write true without quotes"),
        ("topics: {a: {accept: [data-los]}}", (3, 23), "not one of", "did you mean `data-loss`?"),
        ("topics: {a: {config: {x: {b: 1}}}}", (3, 26), "wrong type", "is a map"),
        ("topics: {a: 5}", (3, 13), "wrong type", "expected a map"),
        ("topics: [a]", (3, 9), "wrong type", "expected a map"),
        ("variables: {1a: {}}", (3, 13), "right form", "no digit first"),
        ("variables: {a: {type: int}}", (3, 23), "not one of", "did you mean `integer`?"),
        ("variables: {a: {type: integer, default: x}}", (3, 41), "wrong type", "the variable's own type"),
        ("connectors: {a: {class: X, state: runing}}", (3, 35), "not one of", "did you mean `running`?"),
        ("connectors: {a: {class: X, slot: s}}", (3, 28), "unknown key", "a connector without a template"),
        ("connectors: {a: {class: X, tables: 5}}", (3, 36), "wrong type", "a map or a list"),
        ("connectors: {a: {class: X, tables: [t, t]}}", (3, 40), "listed twice", "remove one"),
        ("connectors: {a: {class: X, tables: {t: {x: 1}}}}", (3, 41), "unknown key", "not a key of a table"),
        ("connectors: {a: {class: X, restart_failed: {delay: 5x}}}", (3, 52), "right form", "a number and a unit"),
        ("connectors: {a: {class: X, dead_letter: {}}}", (3, 28), "missing", "add `topic:"),
        ("removed: [{}]", (3, 11), "right form", "An entry names one `topic`"),
        ("removed: [{topic: a, connector: b}]", (3, 11), "right form", "An entry names one `topic`"),
        ("removed: [{topic: a, keep: 5}]", (3, 28), "wrong type", "expected true or false"),
        ("moved: [{from: kbe, to: connector/x}]", (3, 16), "right form", "topic/NAME or connector/NAME"),
        ("guards: {max_changes: 30}", (3, 23), "out of range", "`30%`"),
        ("guards: {max_changes: lots}", (3, 23), "right form", "`30%`"),
    ],
)  # fmt: skip
def test_an_error_is_said_once_at_its_place(rest: str, place: tuple[int, int], summary: str, words: str) -> None:
    problems = problems_of(stack(rest))
    assert len(problems) == 1, problems
    (problem,) = problems
    assert problem.code == "K106"
    assert problem.span is not None and (problem.span.line, problem.span.column) == place
    assert summary in problem.summary
    assert words in f"{problem.detail} {problem.help}"


def test_a_summary_has_no_words_of_the_file() -> None:
    found = problems_of(stack("topics: {zebra: {zebra: zebra}}\nconnectors: {zebra: {state: zebra}}\nzebra: 1\n"))
    assert len(found) == 3
    for problem in found:
        assert "zebra" not in problem.summary
        assert "zebra" in problem.detail


def test_missing_keys_of_a_template_are_shown_at_the_connector_with_an_example() -> None:
    problems = problems_of(stack("connectors:\n  kbe: {template: debezium-mysql}\n"))
    assert [(p.path, p.span and (p.span.line, p.span.column)) for p in problems] == [
        ("/connectors/kbe/topic_prefix", (4, 3)),
        ("/connectors/kbe/database", (4, 3)),
    ]
    assert "add `topic_prefix: f`" in {p.help for p in problems}


def test_a_parameter_of_another_template_is_an_unknown_key() -> None:
    text = stack(
        "connectors:\n  a:\n    template: debezium-postgres\n    topic_prefix: a\n    server_id: 5\n"
        "    database: {hostname: h, name: d, user: u, password: p}\n"
    )
    assert [(p.summary, p.span and p.span.line) for p in problems_of(text)] == [("unknown key", 7)]


def test_the_keys_of_an_own_template_are_left_to_it() -> None:
    assert problems_of(stack("connectors: {a: {template: ./mine, whatever: {x: 1}}}")) == ()


def test_an_empty_value_is_shown_at_its_key() -> None:
    (problem,) = problems_of("version: 1\nstack:\n")
    assert problem.span is not None
    assert (problem.span.line, problem.span.column, problem.span.end_column) == (2, 1, 6)


@pytest.mark.parametrize("text", ["[a]", "5", "text", "null", "--- ~"])
def test_a_file_that_is_no_map_is_one_error_at_its_beginning(text: str) -> None:
    (problem,) = problems_of(text)
    assert problem.span is not None and (problem.span.line, problem.span.column) == (1, 1)
    assert "expected a map" in problem.detail


def test_all_errors_are_told_in_the_order_of_the_file() -> None:
    problems = problems_of("version: 2\nstack: A_B\ntopics: {a: {x: 1, partitions: z}}\nremoved: [{}]\n")
    assert [p.span and (p.span.line, p.span.column) for p in problems] == [(1, 10), (2, 8), (3, 14), (3, 32), (4, 11)]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("version: 1\nenvironments: {}\n", "at least one environment"),
        ("version: 1\nenvironments: {p: {kafka: {}}}\n", "bootstrap.servers"),
        ("version: 1\nenvironments: {p: {connect: {url: localhost}}}\n", "http://"),
        ("version: 1\nenvironments: {p: {state: {kafka_topic: a, sqlite: b}}}\n", "either `kafka_topic` or `sqlite`"),
        ("version: 1\nenvironments: {p: {notify: [{webhook: x, when: [fail]}]}}\n", "did you mean `failure`?"),
        ("version: 1\nenvironments: {p: {timeouts: {settle: long}}}\n", "a number and a unit"),
        ("version: 1\nenvironments: {p: {simulated: {fail: [kbe]}}}\n", "connector/NAME"),
        ("version: 1\nenvironments: {'a b': {}}\n", "letters, digits"),
    ],
)
def test_errors_in_environments(text: str, words: str) -> None:
    problems = problems_of(text, "environments.v1")
    assert len(problems) == 1
    assert words in f"{problems[0].detail} {problems[0].help}"


# Agreement with jsonschema

KEYS = sorted({at.rpartition("/")[2] for name in NAMES for at, _ in properties(read_schema(name), read_schema(name))})
LEAVES = st.sampled_from(
    [None, True, False, 0, 1, 6, 6.0, -1, 1.5, 30, "", "x", "6", "30%", "{{ var.x }}", "running", "data-loss", "10s",
     "topic/a", "debezium-mysql", "debezium-postgres", "http://a", "integer", "{{", 10**12]
)  # fmt: skip
DATA = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from([*KEYS, "a"]), inner, max_size=5),
    max_leaves=20,
)


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_the_compiled_schema_says_what_jsonschema_says_about_any_data(name: str) -> None:
    schema = read_schema(name)
    compiler = _Compiler(schema)
    parts = {key: compiler.reference(f"#/$defs/{key}") for key in schema["$defs"]}
    validators = {key: Draft202012Validator({**schema["$defs"][key], "$defs": schema["$defs"]}) for key in parts}
    whole, validator = compiler.compile(schema), Draft202012Validator(schema)

    @given(DATA)
    @examples(300)
    def agree(data: Any) -> None:
        assert whole(data) == validator.is_valid(data)
        for key, fits in parts.items():
            assert fits(data) == validators[key].is_valid(data), key

    agree()


CASES: Mapping[str, Any] = {
    "allOf": [
        {"if": {"properties": {"kind": {"const": "a"}}, "required": ["kind"]}, "then": {"required": ["x"]}},
        {"if": {"properties": {"kind": {"const": "b"}}, "required": ["kind"]}, "then": {"maxProperties": 1}},
        {"if": {"properties": {"kind": {"const": "a"}}, "required": ["kind"]}, "then": {"maxProperties": 2}},
        {"if": {"properties": {"kind": {"const": 1}}, "required": ["kind"]}, "then": {"required": ["y"]}},
        {"if": {"not": {"required": ["kind"]}}, "then": {"maxProperties": 1, "not": {"type": "number"}}},
    ]
}


@pytest.mark.parametrize("data", [
    {}, {"kind": "a"}, {"kind": "a", "x": 1}, {"kind": "a", "x": 1, "y": 1}, {"kind": "b"}, {"kind": "b", "x": 1},
    {"kind": 1}, {"kind": 1, "y": 1}, {"kind": True}, {"kind": ["a"]}, {"kind": "c", "x": 1}, {"x": 1, "y": 1}, "text",
    3, None, ["a"],
])  # fmt: skip
def test_what_a_word_chooses_is_what_jsonschema_chooses(data: Any) -> None:
    assert _Compiler(CASES).compile(CASES)(data) == Draft202012Validator(CASES).is_valid(data)


def broken(data: Any, rng: random.Random) -> Any:
    """The data with one thing in it changed."""
    steps = [()]

    def walk(value: Any, at: tuple[Any, ...]) -> None:
        steps.append(at)
        for key, each in (
            value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
        ):
            walk(each, (*at, key))

    walk(data, ())
    at = rng.choice(steps)
    new = rng.choice([None, True, 0, -5, 1.5, "", "x", "{{ x }}", [], {}, ["a", "a"], {"a": 1}, {"topic": 1}])
    return replaced(data, at, new, rng.random() < 0.3)


def replaced(data: Any, at: tuple[Any, ...], new: Any, rename: bool) -> Any:
    if not at:
        return new
    if isinstance(data, list):
        return [replaced(each, at[1:], new, rename) if number == at[0] else each for number, each in enumerate(data)]
    if len(at) == 1 and rename:
        return {("zz" if key == at[0] else key): each for key, each in data.items()}
    return {key: replaced(each, at[1:], new, rename) if key == at[0] else each for key, each in data.items()}


@pytest.mark.slow
def test_whatever_jsonschema_refuses_gets_a_diagnostic_and_nothing_else_does() -> None:
    import json

    rng = random.Random(5)
    refused = 0
    for name, text in (("stack.v1", STACK), ("environments.v1", ENVIRONMENTS)):
        document, _ = load(text, "f.yaml")
        assert document is not None
        validator = Draft202012Validator(read_schema(name))
        for _ in range(400):
            data = broken(document.data, rng)
            problems = problems_of(json.dumps(data, ensure_ascii=False), name)
            assert bool(problems) == (not validator.is_valid(data)), data
            assert all(p.detail or p.help for p in problems)
            refused += bool(problems)
    assert refused > 200


# Cost


def large(count: int, partitions: str = "{n}") -> str:
    topic = (
        "  app.topic.{n}: {{partitions: " + partitions + ", config: {{retention.ms: {n}d, cleanup.policy: delete}}}}\n"
    )
    return stack("topics:\n" + "".join(topic.format(n=n + 1) for n in range(count)))


def seconds(text: str) -> tuple[float, int]:
    document, _ = load(text, "f.yaml")
    assert document is not None
    started = time.process_time()
    count = len(check(document, read_schema("stack.v1")))
    return time.process_time() - started, count


@pytest.mark.slow
def test_ten_thousand_topics_take_no_longer_than_their_number() -> None:
    small, problems = min(seconds(large(1_000)) for _ in range(3))
    big, more = min(seconds(large(10_000)) for _ in range(3))
    assert problems == more == 0
    assert big < 40 * small  # quadratic would be 100


@pytest.mark.slow
def test_ten_thousand_errors_grow_no_faster_than_their_number() -> None:
    small, count = min(seconds(large(1_000, "x{n}")) for _ in range(3))
    assert count == 1_000
    big, count = seconds(large(10_000, "x{n}"))
    assert count == 10_000
    assert big < 40 * small


def test_a_valid_file_never_waits_for_jsonschema() -> None:
    code = (
        "import sys; from kplan.language import schema, source;"
        f"d, _ = source.load({STACK!r}, 'f'); assert schema.check(d, schema.read_schema('stack.v1')) == ();"
        "assert 'jsonschema' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=Path(__file__).parents[3])
