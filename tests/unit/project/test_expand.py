"""What a stack expands to: names, precedence, tables and their topics, secrets."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from kplan.diagnostics import Diagnostic
from kplan.model import Address, Connector, Secret, Stack, Topic
from kplan.project.loading import Loaded, Request, load_project


def loaded(folder: Path, text: str, kplan: str = "", process: dict[str, str] | None = None, **flags: str) -> Loaded:
    (folder / "stack.yaml").write_text(dedent(text))
    if kplan:
        (folder / "kplan.yaml").write_text(dedent(kplan))
    return load_project(Request([str(folder / "stack.yaml")], flags=flags, folder=str(folder), process=process or {}))


def stack(folder: Path, text: str, kplan: str = "", process: dict[str, str] | None = None, **flags: str) -> Stack:
    found = loaded(folder, text, kplan, process, **flags)
    assert not found.has_errors, found.diagnostics
    return found.stacks[0]


def problems(
    folder: Path, text: str, kplan: str = "", process: dict[str, str] | None = None, **flags: str
) -> list[Diagnostic]:
    return loaded(folder, text, kplan, process, **flags).diagnostics


def topic(found: Stack, name: str) -> Topic:
    resource = found.resources[Address("topic", name)]
    assert isinstance(resource, Topic)
    return resource


def connector(found: Stack, name: str) -> Connector:
    resource = found.resources[Address("connector", name)]
    assert isinstance(resource, Connector)
    return resource


CDC = """
    version: 1
    stack: s
    variables: {password: {type: string, sensitive: true, env: DB_PASSWORD}}
    connectors:
      kbe:
        template: debezium-mysql
        topic_prefix: client_2
        database: {hostname: h, name: kbe, user: u, password: "{{ var.password }}"}
        tables:
          orders: {partitions: 6, config: {compression.type: zstd}}
          customers:
          auth_user: {ignore_topic: true}
          other.t:
"""


def test_a_table_becomes_the_topic_that_debezium_writes_to(tmp_path: Path) -> None:
    found = stack(tmp_path, CDC)
    names = [a.name for a in found.resources if a.kind == "topic"]
    tables = ["client_2.kbe.orders", "client_2.kbe.customers", "client_2.other.t"]
    assert names == [*tables, "__debezium-heartbeat.client_2", "schema-changes.kbe", "client_2"]
    kbe = connector(found, "kbe")
    assert kbe.config["table.include.list"] == r"kbe\.orders,kbe\.customers,kbe\.auth_user,other\.t"
    assert kbe.config["database.include.list"] == "kbe,other"
    assert "client_2.kbe.auth_user" in kbe.feeds, "captured, though its topic is somebody else's"
    assert kbe.heartbeat == "__debezium-heartbeat.client_2"
    assert topic(found, "client_2.kbe.orders").partitions == 6
    assert topic(found, "client_2.kbe.customers").config["compression.type"] == "snappy"


def test_a_bare_table_of_postgres_is_in_public_and_illegal_characters_become_underscores(tmp_path: Path) -> None:
    text = CDC.replace("debezium-mysql", "debezium-postgres").replace("other.t", "sales.a$b")
    names = [a.name for a in stack(tmp_path, text).resources if a.kind == "topic"]
    assert "client_2.public.orders" in names and "client_2.sales.a_b" in names


def test_the_server_id_is_the_same_in_every_plan_and_in_range(tmp_path: Path) -> None:
    ids = {connector(stack(tmp_path, CDC), "kbe").config["database.server.id"] for _ in range(2)}
    assert len(ids) == 1 and 5400 <= int(str(ids.pop())) <= 2147483647


def test_a_client_and_a_key_make_the_connectors_name(tmp_path: Path) -> None:
    named = CDC.replace("      kbe:\n", "      production_db:\n")
    text = named.replace("topic_prefix:", "client: Acme Corp\n        topic_prefix:")
    assert connector(stack(tmp_path, text), "acme_corp_production_db_connector").name


def test_no_default_reaches_retention_policy_or_partitions_of_an_internal_topic(tmp_path: Path) -> None:
    config = "{retention.ms: 1h, cleanup.policy: compact, min.insync.replicas: 2}"
    defaults = f"defaults: {{topic: {{partitions: 12, replication_factor: 3, config: {config}}}}}"
    kplan = "version: 1\nenvironments: {local: {defaults: {topic: {config: {retention.bytes: 1GiB}}}}}"
    found = stack(
        tmp_path,
        CDC.replace("    stack: s\n", f"    stack: s\n    {defaults}\n"),
        kplan,
        {"KAFKA_TOPIC_RETENTION_MS": "60000"},
    )
    history = topic(found, "schema-changes.kbe")
    assert (history.partitions, history.replication_factor) == (1, 3)
    assert history.config == {
        "cleanup.policy": "delete",
        "retention.ms": "-1",
        "retention.bytes": "-1",
        "min.insync.replicas": "2",
    }
    assert topic(found, "client_2.kbe.orders").config["retention.ms"] == "60000"


PRECEDENCE: list[tuple[str, str, dict[str, str], str, str]] = [
    ("", "", {}, "604800000", "template debezium-mysql"),
    ("1h", "", {}, "3600000", "stack defaults"),
    ("1h", "2h", {}, "7200000", "environment local"),
    ("1h", "2h", {"KAFKA_TOPIC_RETENTION_MS": "10800000"}, "10800000", "KAFKA_TOPIC_RETENTION_MS"),
]


@pytest.mark.parametrize(("stack_default", "env_default", "process", "value", "source"), PRECEDENCE)
def test_later_layers_win(
    tmp_path: Path, stack_default: str, env_default: str, process: dict[str, str], value: str, source: str
) -> None:
    text = CDC
    if stack_default:
        text = text.replace(
            "    stack: s\n", f"    stack: s\n    defaults: {{topic: {{config: {{retention.ms: {stack_default}}}}}}}\n"
        )
    defaults = f"{{defaults: {{topic: {{config: {{retention.ms: {env_default}}}}}}}}}" if env_default else "{}"
    found = stack(tmp_path, text, f"version: 1\nenvironments: {{local: {defaults}}}", process)
    customers = topic(found, "client_2.kbe.customers")
    assert (customers.config["retention.ms"], customers.origin.sources["/config/retention.ms"]) == (value, source)
    own = stack(tmp_path, text.replace("customers:", "customers: {config: {retention.ms: 5m}}"), "", process)
    assert topic(own, "client_2.kbe.customers").config["retention.ms"] == "300000"
    assert found.used_env == tuple(process)


def test_a_sensitive_value_is_a_secret_wherever_it_goes_and_unset_is_said(tmp_path: Path) -> None:
    password = connector(stack(tmp_path, CDC, "", {"DB_PASSWORD": "canary-71"}), "kbe").config["database.password"]
    assert password == Secret("{{ var.password }}", "canary-71")
    assert "canary" not in repr(password) and "canary" not in str(password)
    unset = stack(tmp_path, CDC)
    assert list(unset.unset) == ["password"] and connector(unset, "kbe").config["database.password"] == Secret(
        "{{ var.password }}"
    )


def test_a_sensitive_value_where_it_would_be_shown_is_an_error(tmp_path: Path) -> None:
    for place in ('topics: {"{{ var.p }}": }', 'topics: {a: {partitions: "{{ var.p }}"}}'):
        found = problems(
            tmp_path,
            f"version: 1\nstack: s\nvariables: {{p: {{type: string, sensitive: true, default: canary-9}}}}\n{place}\n",
        )
        assert [d.code for d in found] == ["K209"]
        assert "canary-9" not in str(found)


def test_variables_come_from_flags_then_files_then_the_process_then_the_environment_then_the_default(
    tmp_path: Path,
) -> None:
    variables = "{size: {type: integer, default: 1, env: MY_N}}"
    text = f"version: 1\nstack: s\nvariables: {variables}\ntopics: {{a: {{partitions: '{{{{ var.size }}}}'}}}}\n"
    kplan = "version: 1\nenvironments: {local: {variables: {size: 2}}}"
    (tmp_path / "vars.yaml").write_text("size: 5\n")

    def count(
        process: dict[str, str] | None = None, files: tuple[str, ...] = (), flags: dict[str, str] | None = None
    ) -> int:
        (tmp_path / "stack.yaml").write_text(text)
        found = load_project(
            Request([str(tmp_path / "stack.yaml")], "", flags or {}, files, folder=str(tmp_path), process=process or {})
        )
        return topic(found.stacks[0], "a").partitions

    assert count() == 1
    (tmp_path / "kplan.yaml").write_text(kplan)
    assert count() == 2
    assert count({"MY_N": "3"}) == 3
    assert count({"MY_N": "3", "KPLAN_VAR_size": "4"}) == 4
    assert count({"KPLAN_VAR_size": "4"}, (str(tmp_path / "vars.yaml"),)) == 5
    assert count({"KPLAN_VAR_size": "4"}, (str(tmp_path / "vars.yaml"),), {"size": "6"}) == 6


def test_a_dead_letter_topic_is_declared_and_the_sink_uses_it(tmp_path: Path) -> None:
    found = stack(
        tmp_path,
        """
        version: 1
        stack: s
        topics: {dc.workload: }
        connectors:
          sink:
            class: org.apache.kafka.connect.file.FileStreamSinkConnector
            config: {file: /data/out, topics: dc.workload}
            dead_letter: {topic: dlq.warehouse, replication_factor: 2}
    """,
    )
    assert topic(found, "dlq.warehouse").replication_factor == 2
    sink = connector(found, "sink")
    assert (
        sink.config["errors.deadletterqueue.topic.name"] == "dlq.warehouse" and sink.config["errors.tolerance"] == "all"
    )
    assert sink.reads == ("dc.workload",) and "dlq.warehouse" in sink.feeds


def test_old_names_are_mapped_with_a_warning(tmp_path: Path) -> None:
    text = CDC.replace(
        "        tables:", "        snapshot: schema_only\n        config: {column.blacklist: a.b}\n        tables:"
    )
    found = loaded(tmp_path, text)
    kbe = connector(found.stacks[0], "kbe")
    assert kbe.config["snapshot.mode"] == "no_data" and kbe.config["column.exclude.list"] == "a.b"
    assert [d.code for d in found.diagnostics] == ["K217", "K217"]


def test_a_template_beside_the_stack_extends_a_built_in_one(tmp_path: Path) -> None:
    (tmp_path / "templates").mkdir()
    (tmp_path / "templates" / "house-mysql.yaml").write_text(
        dedent("""
        version: 1
        template: house-mysql
        extends: debezium-mysql
        config: {max.batch.size: "4096", tombstones.on.delete: null}
    """)
    )
    kbe = connector(stack(tmp_path, CDC.replace("debezium-mysql", "house-mysql")), "kbe")
    assert kbe.config["max.batch.size"] == "4096" and "tombstones.on.delete" not in kbe.config


@pytest.mark.parametrize("name", ["../secret", "/etc/passwd", "..", "a/../../b"])
def test_a_template_is_never_read_from_outside_the_stacks_folder(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.yaml").write_text("version: 1\ntemplate: secret\n")
    folder = tmp_path / "stacks"
    folder.mkdir()
    found = problems(folder, CDC.replace("debezium-mysql", name))
    assert {d.code for d in found} & {"K106", "K207"}


WRONG: list[tuple[str, str]] = [
    ("topics: {a.b: , a_b: }", "K110"),
    ("topics: {a: {config: {retenton.ms: 1d}}}", "K104"),
    ("topics: {a: {config: {retention.ms: 5KiB}}}", "K108"),
    ("topics: {a: {replication_factor: 1, config: {min.insync.replicas: 2}}}", "K111"),
    ("topics: {'a b': }", "K109"),
    ("topics: {'x.{{ each.key }}': {for_each: 5}}", "K106"),
    ("topics: {'x': {for_each: [a, b]}}", "K220"),
    ("connectors: {c: {}}", "K224"),
    ("connectors: {c: {template: nope}}", "K207"),
    ("topics: {a: }\nremoved: [{topic: a}]", "K222"),
    ("moved: [{from: topic/a, to: topic/b}]", "K214"),
    ("topics: {a: {partitions: 201}}\nguards: {topic: {partitions: {maximum: 200}}}", "K213"),
    ("topics: {a: }\nguards: {naming: '^b'}", "K213"),
    ("topics: {a: {partitions: '{{ var.nope }}'}}", "K201"),
    ("variables: {v: {type: integer}}", "K202"),
    ("variables: {v: {type: integer, default: 0, minimum: 1}}", "K203"),
]


@pytest.mark.parametrize(("text", "code"), WRONG)
def test_what_is_wrong_has_a_code_a_place_and_a_way_out(tmp_path: Path, text: str, code: str) -> None:
    errors = [d for d in problems(tmp_path, f"version: 1\nstack: s\n{text}\n") if d.is_error]
    assert [d.code for d in errors] == [code], errors
    assert errors[0].span is not None and errors[0].span.line >= 3
    assert errors[0].help


def test_two_environments_of_one_name_are_told_apart_by_their_guards(tmp_path: Path) -> None:
    prod = "{guards: {topic: {replication_factor: {minimum: 3}}}}"
    kplan = f"version: 1\ndefault: dev\nenvironments:\n  dev: {{}}\n  prod: {prod}\n"
    text = "version: 1\nstack: s\ntopics: {a: {replication_factor: 1}}\n"
    assert not problems(tmp_path, text, kplan)
    found = load_project(Request([str(tmp_path / "stack.yaml")], "prod", folder=str(tmp_path)))
    assert [d.code for d in found.diagnostics] == ["K213"]


def test_an_environments_variables_reach_it_through_templates(tmp_path: Path) -> None:
    kplan = """
        version: 1
        environments:
          prod:
            kafka: {bootstrap.servers: "{{ env.BOOT }}", sasl.password: "{{ env.PASS }}"}
            timeouts: {request: 5s, settle: 2m}
            retry: {attempts: 7, delay: 500ms}
    """
    found = loaded(tmp_path, "version: 1\nstack: s\ntopics: {a: }\n", kplan, {"BOOT": "b:1", "PASS": "canary-5"})
    env: Any = found.environment
    assert (env.bootstrap, env.request_timeout, env.settle_timeout, env.attempts, env.delay) == (
        "b:1",
        5.0,
        120.0,
        7,
        0.5,
    )
    assert env.secrets == ("canary-5",)


# -- keys without a value ----------------------------------------------------------------------------------------------
def told(folder: Path, text: str, kplan: str = "") -> list[tuple[str, str, str]]:
    return [(d.code, d.detail, d.help) for d in problems(folder, text, kplan)]


@pytest.mark.parametrize("key", ["nonsense.key", "retention.mss", "message.format.version"])
def test_an_unknown_topic_config_is_an_error_even_when_it_is_null(tmp_path: Path, key: str) -> None:
    stacks = [
        f"topics: {{a: {{config: {{{key}: null}}}}}}",
        f"topics: {{a: {{config: {{{key}: }}}}}}",
        f"defaults: {{topic: {{config: {{{key}: null}}}}}}\ntopics: {{a: }}",
    ]
    for text in stacks:
        assert [d.code for d in problems(tmp_path, f"version: 1\nstack: s\n{text}\n")] == ["K104"], text
    kplan = f"version: 1\nenvironments: {{local: {{defaults: {{topic: {{config: {{{key}: null}}}}}}}}}}\n"
    assert [d.code for d in problems(tmp_path, "version: 1\nstack: s\ntopics: {a: }\n", kplan)] == ["K104"]


def test_null_takes_away_a_known_topic_config(tmp_path: Path) -> None:
    text = """
        version: 1
        stack: s
        defaults: {topic: {config: {retention.ms: 7d}}}
        topics: {a: {config: {retention.ms: null}}, b: }
    """
    found = stack(tmp_path, text)
    assert topic(found, "a").config == {}
    assert topic(found, "b").config == {"retention.ms": "604800000"}


def test_a_missing_blank_in_a_topic_config_is_named(tmp_path: Path) -> None:
    text = "version: 1\nstack: s\ntopics: {a: {config: {retention.ms:7d, cleanup.policy:compact}}}\n"
    assert told(tmp_path, text) == [
        ("K104", "retention.ms:7d", "a blank is missing after the colon: {retention.ms: 7d}"),
        ("K104", "cleanup.policy:compact", "a blank is missing after the colon: {cleanup.policy: compact}"),
    ]


@pytest.mark.parametrize(("written", "second"), [("compact,delete", "delete"), ("delete, compact", "compact")])
def test_two_policies_without_quotes_are_an_error_that_says_how_to_write_them(
    tmp_path: Path, written: str, second: str
) -> None:
    text = "version: 1\nstack: s\ntopics: {a: {config: {cleanup.policy: %s}}}\n"
    right = 'put several policies in quotes or brackets: "compact,delete" or [compact, delete]'
    assert told(tmp_path, text % written) == [("K104", second, right)]
    for correct in ('"compact,delete"', "[compact, delete]"):
        assert topic(stack(tmp_path, text % correct), "a").config == {"cleanup.policy": "compact,delete"}


@pytest.mark.parametrize(
    ("text", "code", "blank"),
    [
        ("topics: {a: {partitions:3}}", "K106", "{partitions: 3}"),
        ("topics: {a: partitions:3}", "K106", "{partitions: 3}"),
        ("variables: {x:1}", "K106", "{x: 1}"),
        ('topics: {"t-{{ each.value }}": {for_each: {a:1}}}', "K248", "{a: 1}"),
        ("connectors: {c: {class: X, config: {tasks.max:1}}}", "K248", "{tasks.max: 1}"),
        ("connectors: {c: {class: X, config: {file:/tmp/x}}}", "K248", "{file: /tmp/x}"),
        ("connectors: {c: {class: X, state:paused}}", "K106", "{state: paused}"),
    ],
)
def test_a_missing_blank_is_named_in_every_map(tmp_path: Path, text: str, code: str, blank: str) -> None:
    found = told(tmp_path, f"version: 1\nstack: s\n{text}\n")
    assert (code, f"a blank is missing after the colon: {blank}") in [(c, help) for c, _, help in found]


def test_a_missing_blank_in_tables_is_named_and_a_quoted_pattern_is_not(tmp_path: Path) -> None:
    text = CDC.replace("customers:", "").replace("other.t:", "'(?:x|y).z': {ignore_topic: true}")
    head, _, _ = text.partition("tables:")
    tables = "tables: {orders:6, 'k:v': {ignore_topic: true}}\n        topics: {client_2.kbe.orders: }\n"
    found = told(tmp_path, head + tables)
    assert [(code, help) for code, _, help in found if code == "K248"] == [
        ("K248", "a blank is missing after the colon: {orders: 6}")
    ]


def test_a_list_that_yaml_cuts_at_its_comma_is_an_error(tmp_path: Path) -> None:
    text = "version: 1\nstack: s\ntopics: {a: , b: , c: }\nconnectors: {sink: {class: FileStreamSink, config: {%s}}}\n"
    assert told(tmp_path, text % "topics: a,b , c, file: /tmp/x") == [
        (
            "K248",
            "b, c: YAML ends topics at the comma before it",
            'write {topics: "a,b,c"} or {topics: [a, b, c]}',
        )
    ]
    assert connector(stack(tmp_path, text % "topics: [a, b, c]"), "sink").config["topics"] == "a,b,c"


def test_the_rest_of_a_cut_secret_is_not_shown(tmp_path: Path) -> None:
    text = "version: 1\nstack: s\nconnectors: {c: {class: X, config: {%s}}}\n"
    for config in ("db.password: canary-1,canary-2", "db.password:canary-2"):
        found = [d for d in problems(tmp_path, text % config) if d.code == "K248"]
        assert found and not any("canary" in str(d) for d in found)


def test_null_for_a_setting_that_the_template_does_not_make_is_a_warning(tmp_path: Path) -> None:
    own = "config: {snapshot.mode: null, publication.nam: null, heartbeat.interval.ms: null}"
    text = f"""
        version: 1
        stack: s
        variables: {{password: {{type: string, sensitive: true, env: DB_PASSWORD}}}}
        connectors:
          p:
            template: debezium-postgres
            topic_prefix: p
            database: {{hostname: h, name: d, user: u, password: "{{{{ var.password }}}}"}}
            tables: [public.a]
            {own}
          raw: {{class: X, config: {{a.b: null, c: "{{{{ none }}}}"}}}}
    """
    found = loaded(tmp_path, text)
    assert not found.has_errors
    assert [(d.code, d.detail.partition(":")[0]) for d in found.diagnostics if d.code == "K249"] == [
        ("K249", "publication.nam"),
        ("K249", "a.b"),
    ]
    assert "snapshot.mode" not in connector(found.stacks[0], "p").config


def test_null_leaves_out_what_dead_letters_would_set(tmp_path: Path) -> None:
    text = """
        version: 1
        stack: s
        topics: {a: }
        connectors:
          sink:
            class: FileStreamSink
            config: {topics: a, errors.deadletterqueue.context.headers.enable: null}
            dead_letter: {topic: a.dead}
    """
    found = loaded(tmp_path, text)
    assert not found.diagnostics
    config = connector(found.stacks[0], "sink").config
    assert config["errors.tolerance"] == "all"
    assert "errors.deadletterqueue.context.headers.enable" not in config
