"""source.load: what it reads, what it refuses, where it says things are, and that no bytes bring it down."""

from __future__ import annotations

import json
import os
import random
import time
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from kplan.diagnostics import Diagnostic, Span
from kplan.language import schema, source
from kplan.language.source import Document, load
from tests.examples import examples

RUNS = int(os.environ.get("KPLAN_FUZZ", "3000"))


def data_of(text: str | bytes) -> Any:
    document, problems = load(text, "f.yaml")
    assert problems == ()
    assert document is not None
    return document.data


def only_problem(text: str | bytes) -> Diagnostic:
    _, problems = load(text, "f.yaml")
    assert len(problems) == 1, problems
    return problems[0]


def piece(text: str, span: Span) -> str:
    """What stands at the span."""
    lines = text.split("\n")
    if span.line == span.end_line:
        return lines[span.line - 1][span.column - 1 : span.end_column - 1]
    inner = lines[span.line : span.end_line - 1]
    return "\n".join([lines[span.line - 1][span.column - 1 :], *inner, lines[span.end_line - 1][: span.end_column - 1]])


@pytest.fixture(params=["c", "python"])
def both_parsers(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    if request.param == "python":
        monkeypatch.setattr(source, "_LOADER", yaml.SafeLoader)
    return str(request.param)


# What is read


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("true", True), ("False", False), ("null", None), ("~", None), ("", None),
        ("7", 7), ("-12", -12), ("+5", 5), ("0", 0), ("0x1f", 31), ("0o17", 15),
        ("1.5", 1.5), ("-.5", -0.5), ("1.0e+3", 1000.0),
        ("7d", "7d"), ("localhost:9092", "localhost:9092"), ("1.2.3", "1.2.3"), ("nope", "nope"), ("-1d", "-1d"),
        ("'no'", "no"), ('"0123"', "0123"), ("!!str 12", "12"), ("!!int '12'", 12),
    ],
)  # fmt: skip
def test_plain_values_are_read_as_yaml_1_2_core(text: str, value: object, both_parsers: str) -> None:
    found = data_of(f"a: {text}\n")["a"]
    assert found == value
    assert type(found) is type(value)


@pytest.mark.parametrize(
    ("text", "help"),
    [
        ("no", "`false`"), ("Yes", "`true`"), ("on", "`true`"), ("OFF", "`false`"), ("y", "`true`"), ("N", "`false`"),
        ("1_000", "`1000`"), ("0123", "`123`"), ("-012", "`-12`"), ("089", "`89`"), ("1e5", "`100000`"),
        ("12:30:45", '`"12:30:45"`'), ("22:22", '`"22:22"`'), ("0b101", '`"0b101"`'),
        ("2024-01-02", '`"2024-01-02"`'), ("2024-01-02T03:04:05Z", '`"2024-01-02T03:04:05Z"`'),
        (".inf", '`".inf"`'), ("-.INF", '`"-.INF"`'), (".nan", '`".nan"`'), ("1.5e+400", '`"1.5e+400"`'),
        ("9" * 30, f'`"{"9" * 30}"`'), ("9" * 5000, "9999"),
    ],
)  # fmt: skip
def test_what_yaml_versions_read_differently_is_refused_with_the_other_way_to_write_it(text: str, help: str) -> None:
    problem = only_problem(f"key: {text}\n")
    assert problem.code == "K103"
    assert help in problem.help
    assert problem.span == Span("f.yaml", 1, 6, 1, 6 + len(text))
    assert load(f'key: "{text}"\n', "f")[1] == ()


def test_on_is_a_key_as_it_is() -> None:
    """Nobody means `true` by it, and connectors have it; as a value it is ambiguous."""
    document, problems = load("on: sinks\n", "f")
    assert problems == () and document is not None and document.data == {"on": "sinks"}
    assert only_problem("key: on\n").code == "K103"


@pytest.mark.parametrize("key", ["no", "off", "On", "1", "1.5", "true", "null", "0123", "2024-01-02"])
def test_a_key_that_is_read_as_no_text_must_be_quoted(key: str) -> None:
    problem = only_problem(f"{key}: x\n")
    assert (problem.code, problem.span) == ("K103", Span("f.yaml", 1, 1, 1, 1 + len(key)))
    assert f'`"{key}":`' in problem.help
    assert data_of(f'"{key}": x\n') == {key: "x"}


def test_a_duplicate_key_is_an_error_at_the_second_one_and_the_first_value_stays() -> None:
    document, problems = load("a: 1\nb:\n  c: 1\n  c: {d: 2}\n", "f.yaml")
    assert [(p.code, p.span and (p.span.line, p.span.column)) for p in problems] == [("K102", (4, 3))]
    assert "line 3" in problems[0].detail
    assert document is not None and document.data == {"a": 1, "b": {"c": 1}}


def test_all_problems_are_told_at_once() -> None:
    _, problems = load("a: yes\nb: 1_000\na: 0123\nc: !foo x\n", "f.yaml")
    assert [p.code for p in problems] == ["K103", "K103", "K102", "K103", "K101"]


def test_merge_keys_fill_in_what_a_map_does_not_say_itself() -> None:
    text = "base: &b {u: 1, v: 2}\nother: &o {v: 3, w: 4}\nmap: {<<: [*b, *o], u: 9}\n"
    document, problems = load(text, "f.yaml")
    assert problems == () and document is not None
    assert document.data["map"] == {"u": 9, "v": 2, "w": 4}
    assert piece(text, document.key_at("map", "w")) == "w" and document.key_at("map", "w").line == 2
    assert data_of('"<<": 1\n') == {"<<": 1}
    assert only_problem("<<: 5\n").code == "K101"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "empty"), ("# only a comment\n", "empty"), ("a: 1\n---\nb: 2\n", "several documents"),
        ("a: {{ var.x }}\n", "template without quotes"), ("? [1]\n: 2\n", "key that is not text"),
        ("a: *nope\n", "alias without an anchor"), ("a: !!python/object:os.system x\n", "tag"),
        ("a: !!binary aGk=\n", "tag"), ("a: !!int x\n", "tag"), ("a: [1\n", "syntax"), ("a: 'x\n", "syntax"),
        ("a: b: c\n", "syntax"), ("a: @x\n", "syntax"), ("%YAML 9.0\n---\na: 1\n", "syntax"),
    ],
)  # fmt: skip
def test_bad_syntax_is_k101(text: str, words: str, both_parsers: str) -> None:
    _, problems = load(text, "f.yaml")
    assert {p.code for p in problems} == {"K101"}
    assert words in problems[0].summary


def test_an_unquoted_template_in_the_middle_of_a_value_gets_the_help_to_quote_it() -> None:
    _, problems = load("a: {{ var.x }}-topic\n", "f.yaml")
    assert all("quotes" in p.help for p in problems)


@pytest.mark.parametrize(
    ("data", "line", "column"),
    [(b"a: 1\nb: \xff\n", 2, 4), (b"\xef\xbb\xbfa: \xe9\n", 1, 4), (b"a: \x00\n", 1, 4),
     ("ä: \x1b[31m\n".encode(), 1, 4),
     ("a: \u2028\n".encode(), 1, 4), ("x\ny: \ufeff\n".encode(), 2, 4), (b"\xff\xfea\x00:\x00", 0, 0)],
)  # fmt: skip
def test_what_is_no_readable_text_is_k107_at_its_place(data: bytes, line: int, column: int) -> None:
    problem = only_problem(data)
    assert problem.code == "K107"
    assert problem.span is not None
    assert (problem.span.line, problem.span.column) == (line, column)


def test_lone_surrogates_in_a_str_are_refused() -> None:
    assert only_problem("a: \ud800\n").code == "K107"


def test_an_escape_of_half_a_character_does_not_get_in(both_parsers: str) -> None:
    _, problems = load('"\\ud800": "\\udfff"\n', "f.yaml")
    assert problems and {p.code for p in problems} <= {"K101", "K107"}


def test_a_byte_order_mark_at_the_beginning_is_no_problem() -> None:
    document, problems = load(b"\xef\xbb\xbfa: 1\n", "f.yaml")
    assert problems == () and document is not None
    assert document.data == {"a": 1}
    assert document.key_at("a") == Span("f.yaml", 1, 1, 1, 2)


# Bounds


def test_a_billion_laughs_are_refused_before_they_grow() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 30)]
    started = time.process_time()
    problem = only_problem("\n".join(lines))
    assert problem.code == "K105" and problem.span is not None
    assert time.process_time() - started < 1


def test_merges_count_as_what_they_make() -> None:
    lines = ["a0: &a0 {" + ", ".join(f"k{n}: {n}" for n in range(1000)) + "}"]
    lines += [f"b{n}: {{<<: *a0}}" for n in range(1000)]
    assert only_problem("\n".join(lines)).code == "K105"


def test_aliases_of_an_honest_large_file_are_allowed() -> None:
    shared = "shared: &s {" + ", ".join(f"k{n}: {n}" for n in range(10)) + "}\n"
    assert len(data_of(shared + "".join(f"t{n}: {{config: *s}}\n" for n in range(10_000)))) == 10_001


@pytest.mark.parametrize("text", ["a: &a [*a]", "a: &a {b: {c: *a}}", "&a [&b [*a]]"])
def test_an_alias_inside_its_own_anchor_is_refused(text: str) -> None:
    assert only_problem(text).code == "K105"


@pytest.mark.parametrize("text", ["[" * 100_000, "{a: " * 100_000, "- " * 100_000, "[" * 101 + "]" * 101])
def test_deep_nesting_is_a_diagnostic(text: str) -> None:
    assert only_problem(text).code == "K105"


def test_deep_nesting_through_aliases_is_a_diagnostic() -> None:
    lines = ["a0: &a0 " + "[" * 50 + "]" * 50, "a1: &a1 " + "[" * 60 + "*a0" + "]" * 60]
    assert only_problem("\n".join(lines)).code == "K105"


def test_a_hundred_levels_are_allowed() -> None:
    assert data_of("[" * 100 + "]" * 100)


# Places


TEXT = """\
version: 1
topics:
  "ä.日本": {partitions: 6, config: {retention.ms: 7d}}   # comment
  orders:
    accept:
      - data-loss
      - replace
    empty:
  last: |
    a
    b
after: x
"""


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (("version",), "1"), (("topics", "ä.日本", "partitions"), "6"),
        (("topics", "ä.日本", "config", "retention.ms"), "7d"), (("topics", "ä.日本", "config"), "{retention.ms: 7d}"),
        (("topics", "orders", "accept", 1), "replace"), (("topics", "orders", "empty"), ""), (("after",), "x"),
    ],
)  # fmt: skip
def test_the_span_of_a_value_is_exactly_the_value(path: tuple[str | int, ...], text: str, both_parsers: str) -> None:
    document, _ = load(TEXT, "f.yaml")
    assert document is not None
    assert piece(TEXT, document.at(*path)) == text
    assert document.spans[path] == document.at(*path)


def test_the_span_of_a_block_ends_with_its_last_value() -> None:
    document, _ = load(TEXT, "f.yaml")
    assert document is not None
    assert (document.at("topics", "orders", "accept").line, document.at("topics", "orders", "accept").end_line) == (
        6,
        7,
    )


def test_a_key_has_its_own_span_and_a_list_item_that_of_its_value() -> None:
    document, _ = load(TEXT, "f.yaml")
    assert document is not None
    assert piece(TEXT, document.key_at("topics", "ä.日本")) == '"ä.日本"'
    assert piece(TEXT, document.key_at("topics", "orders", "accept", 0)) == "data-loss"


def test_a_path_that_is_not_there_falls_back_to_the_nearest_parent() -> None:
    document, _ = load(TEXT, "f.yaml")
    assert document is not None
    assert document.at("topics", "orders", "accept", 7, "x") == document.at("topics", "orders", "accept")
    assert document.at("nothing") == document.at()
    with pytest.raises(KeyError):
        document.spans[("nothing",)]


def test_spans_are_mappings_over_all_paths() -> None:
    document, _ = load("a: [1, {b: 2}]\n", "f.yaml")
    assert document is not None
    assert set(document.spans) == {(), ("a",), ("a", 0), ("a", 1), ("a", 1, "b")}
    assert set(document.key_spans) == {("a",), ("a", 1, "b")}
    assert len(document.spans) == 5


def test_windows_line_ends_do_not_move_places() -> None:
    document, _ = load(TEXT.replace("\n", "\r\n"), "f.yaml")
    other, _ = load(TEXT, "f.yaml")
    assert document is not None and other is not None
    assert document.at("after") == other.at("after")
    assert document.data == other.data


# Any data, any bytes

NUMBERS = st.integers(-(2**63), 2**64 - 1) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    st.none() | st.booleans() | NUMBERS | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(VALUES)
@examples(300)
def test_json_is_read_as_what_it_is(value: object) -> None:
    document, problems = load(json.dumps({"value": value}, ensure_ascii=False), "f.yaml")
    if any(p.code in ("K103", "K107") for p in problems):
        return  # JSON has 1e5, which YAML 1.1 takes for text, and control characters as they are
    assert problems == () and document is not None
    assert document.data == {"value": value}


@given(VALUES)
@examples(300)
def test_what_pyyaml_writes_is_read_back(value: object) -> None:
    text = yaml.safe_dump({"value": value}, allow_unicode=True)
    document, problems = load(text, "f.yaml")
    if not problems:
        assert document is not None and document.data == {"value": value}
    else:
        assert {p.code for p in problems} <= {"K103", "K107"}


@given(st.binary() | st.text())
@examples(1000)
def test_any_bytes_give_a_document_or_a_reason(data: bytes | str) -> None:
    check_load(data)


SEEDS = [
    TEXT,
    "version: 1\nstack: x\ndefaults: &d {topic: {partitions: 1}}\nx: *d\n<<: *d\n",
    "connectors:\n  k: {template: debezium-mysql, tables: [a, b], config: {x: '{{ var.x }}'}}\nremoved:\n- topic: a\n",
    "a: !!str 1\nb: ! x\nc: >-\n  fold\n\n  ed\n? d\n: e\n--- \n...\n",
    '{"version": 1, "a": ["\\u00e9\\n", 1.5e+3, -0, null, true]}',
    "x: 12:30\ny: 2024-01-02 03:04:05\nz: [yes, no, ~, .nan, 0x1F, 0o7, 0b1, 1_000.5]\n",
    "%YAML 1.2\n%TAG ! tag:x,2000:\n---\n!a b: !<tag:yaml.org,2002:int> 3\n",
]  # fmt: skip
TOKENS = [
    *"{}[]:,-?&*!|>'\"%@`#~<= \t\n\r\0", "- ", ": ", " #", "{{", "}}", "<<: ", "&a ", "*a", "!!", "---\n", "...\n",
    "|+\n", ">2-\n", "\u2028", "\x85", "\ufeff", "\ud7ff", "😀", "\\ud800", "\\x00", "\\U00110000", "%YAML 1.1\n",
    "!!python/name:os ", "0" * 5000, "[" * 300,
]  # fmt: skip


def mutated(rng: random.Random) -> bytes:
    """A seed with a few cuts, copies, flips and tokens in it."""
    data = bytearray(rng.choice(SEEDS), "utf-8")
    for _ in range(rng.randint(1, 8)):
        at = rng.randrange(len(data) + 1)
        match rng.randrange(5):
            case 0:
                data[at:at] = rng.choice(TOKENS).encode()
            case 1:
                del data[at : at + rng.randint(1, 20)]
            case 2 if data:
                data[at % len(data)] = rng.randrange(256)
            case 3:
                start = rng.randrange(len(data) + 1)
                data[at:at] = data[start : start + rng.randint(1, 60)]
            case _:
                other = rng.choice(SEEDS).encode()
                start = rng.randrange(len(other))
                data[at:at] = other[start : start + rng.randint(1, 60)]
    return bytes(data)


def check_load(data: bytes | str) -> Document | None:
    """Whatever `data` is: a document or an error, and every place is in the file."""
    document, problems = load(data, "f.yaml")
    assert document is not None or any(p.is_error for p in problems)
    assert all(p.code in ("K101", "K102", "K103", "K105", "K107") and p.span is not None for p in problems)
    for problem in problems:
        json.dumps(problem.detail).encode()
    return document


@pytest.mark.slow
def test_mutated_files_never_bring_anything_down() -> None:
    rng = random.Random(20260822)
    stack = schema.read_schema("stack.v1")
    documents = 0
    for _ in range(RUNS):
        document = check_load(mutated(rng))
        if document is not None:
            documents += 1
            for problem in schema.check(document, stack):
                assert problem.code == "K106" and problem.span is not None
    assert documents > RUNS / 20


def test_mutated_files_do_not_bring_the_python_parser_down(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(source, "_LOADER", yaml.SafeLoader)
    rng = random.Random(1)
    for _ in range(max(RUNS // 20, 1)):
        check_load(mutated(rng))


def test_every_span_of_a_mutated_file_is_inside_it() -> None:
    rng = random.Random(2)
    for _ in range(300):
        document = check_load(mutated(rng))
        if document is not None:
            count = len(document.text.splitlines()) + 1
            for path in [*document.spans, *document.key_spans]:
                span = document.at(*path)
                assert 1 <= span.line <= span.end_line <= count
                assert (span.line, span.column) <= (span.end_line, span.end_column)


@pytest.mark.slow
def test_reading_ten_thousand_topics_is_linear_and_quick() -> None:
    topic = "  app.topic.{n}:\n    partitions: {n}\n    config: {{retention.ms: {n}d, cleanup.policy: delete}}\n"
    small, large = ("topics:\n" + "".join(topic.format(n=n) for n in range(count)) for count in (1000, 10_000))
    times = {}
    for name, text in (("small", small), ("large", large)):
        samples = []
        for _ in range(3):
            started = time.process_time()
            assert load(text, "f.yaml")[1] == ()
            samples.append(time.process_time() - started)
        times[name] = min(samples)
    assert times["large"] < 40 * times["small"]  # quadratic would be 100
