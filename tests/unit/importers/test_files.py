"""Other tools' files that somebody wrote to keep `kplan import --file` busy, or to break it: each ends soon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from kplan.diagnostics import Invalid
from kplan.importers import files
from kplan.importers.files import parse, parse_all
from tests.shell import Shell
from tests.unit.language.test_limits import within

TOPIC = 'resource "kafka_topic" "a" {\n  name = "a"\n  partitions = 1\n  replication_factor = 1\n%s\n}\n'
STRIMZI = "apiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaTopic\nmetadata: {name: a}\nspec: {partitions: %s}\n"
CONNECTOR = '{"name": "a", "config": {"connector.class": "x", "k": %s}}'
DESCRIBED = "Topic: a\tPartitionCount: %s\tReplicationFactor: 1\tConfigs: %s\n"
DIGITS = "9" * 5_000


def doubled(first: str, each: str, times: int = 12) -> str:
    """Locals, each of them ten of the one before."""
    rows = [f"  a0 = {first}", *(f"  a{n} = {each.format(n=n - 1)}" for n in range(1, times))]
    return "locals {\n" + "\n".join(rows) + "\n}\n" + TOPIC % f"  config = {{ x = local.a{times - 4} }}"


REFUSED = {
    "lists in JSON": ("a.json", CONNECTOR % ("[" * 900 + "]" * 900), "K105"),
    "maps in JSON": ("a.json", '{"a":' * 100_000, "K631"),
    "maps in YAML": ("a.yaml", "kafka: " + "{topics: " * 5_000, "K105"),
    "brackets in HCL": ("a.tf", TOPIC % f"  config = {{\n a = {'(' * 600}1{')' * 600}\n}}", "K631"),
    "lists in HCL": ("a.tf", TOPIC % f"  config = {{\n a = {'[' * 600}1{']' * 600}\n}}", "K631"),
    "a long sum in HCL": ("a.tf", TOPIC % f"  config = {{\n a = {'1+' * 3_000}1\n}}", "K631"),
    "digits in YAML": ("a.yaml", STRIMZI % f"'{DIGITS}'", "K631"),
    "digits in JSON": ("a.json", CONNECTOR % DIGITS, "K631"),
    "digits in HCL": ("a.tf", TOPIC % f"  config = {{ a = {DIGITS} }}", "K631"),
    "digits of partitions": ("a.txt", DESCRIBED % (DIGITS, ""), "K631"),
    "a digit that is no number": ("a.txt", DESCRIBED % ("\u00b2", ""), "K631"),
    "digits of another script": ("a.yaml", STRIMZI % "'\u0663'", "K631"),
    "not a number": ("a.json", CONNECTOR % "NaN", "K631"),
    "infinity": ("a.json", CONNECTOR % "-Infinity", "K631"),
    "half a character": ("a.json", CONNECTOR % '"\\ud800"', "K631"),
    "half a character in HCL": ("a.tf", TOPIC % '  config = { a = "\\ud800" }', "K631"),
    "no character": ("a.tf", TOPIC % '  config = { a = "\\UFFFFFFFF" }', "K631"),
    "a key twice": ("a.json", CONNECTOR % '"\\ud83d\\ude00", "k": "b"', "K102"),
    "an attribute twice": ("a.tf", TOPIC % "  partitions {\n  }", "K631"),
    "lists of lists": ("a.tf", doubled('["x"]', "[" + ", ".join(["local.a{n}"] * 10) + "]"), "K631"),
    "more than HCL may have": ("a.tf", TOPIC % "" + "#" * (3 << 20), "K631"),
    "an alias of itself": ("a.yaml", "kafka: &a\n  topics: {a: *a}\n", "K105"),
    "a tag": ("a.yaml", "kafka: !!python/object/apply:os.system ['true']\n", "K101"),
    "UTF-16": ("a.yaml", (STRIMZI % 1).encode("utf-16"), "K631"),
    "a NUL": ("a.yaml", STRIMZI % 1 + "\0", "K107"),
    "no settings": ("a.txt", DESCRIBED % (1, "a," * 2_000_000), "K631"),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(REFUSED))
def test_a_file_that_nobody_can_mean_is_refused_soon(name: str) -> None:
    path, text, code = REFUSED[name]
    with within(), pytest.raises(Invalid) as refused:
        parse(path, text if isinstance(text, bytes) else text.encode())
    assert {problem.code for problem in refused.value.diagnostics} == {code}
    for problem in refused.value.diagnostics:
        assert problem.span is not None and problem.span.path == path
        assert len(problem.detail) < 2_000, "what the file holds is not repeated at length"


def test_what_only_terraform_can_work_out_is_left_out() -> None:
    text = "locals {\n  a = [local.a, local.a]\n}\n" + TOPIC % "  config = { x = local.a }"
    with within():
        found = parse("a.tf", text.encode())
    assert not found.topics["a"].config
    assert any("only Terraform knows it" in note.text for note in found.notes)


def test_texts_of_texts_are_refused_soon() -> None:
    text = doubled(f'"{"x" * 50}"', '"' + "${{local.a{n}}}" * 10 + '"')
    with within(), pytest.raises(Invalid, match="make more than 100,000 values"):
        parse("a.tf", text.encode())


def test_a_file_of_many_documents_is_read_in_time(tmp_path: Path) -> None:
    documents = [f"kafka:\n  topics:\n    t{n}: {{partitions: 1}}\n" for n in range(3_000)]
    with within():
        found = parse("a.yaml", "---\n".join(documents).encode())
    assert len(found.topics) == 3_000
    last = found.topics["t2999"].origin.span
    assert last is not None and last.line == 4 * 2_999 + 3


def test_a_large_file_of_terraform_is_placed_in_time() -> None:
    text = "".join(f'resource "other_acl" "a{n}" {{\n  x = 1\n}}\n' for n in range(800))
    with within():
        found = parse("a.tf", text.encode())
    assert [note.span.line for note in found.notes if note.span][-1] == 3 * 799 + 1


def test_numbers_of_json_stay_as_they_are_written() -> None:
    config = parse("a.json", (CONNECTOR % '0.10, "l": 1e5, "m": 1E+99999999').encode()).connectors["a"].config
    assert (config["k"], config["l"], config["m"]) == ("0.10", "1e5", "1E+99999999")


def test_no_more_is_read_than_a_stack_may_have(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "MOST_RESOURCES", 10)
    lines = "".join(f"Topic: a{n}\tPartitionCount: 1\tReplicationFactor: 1\tConfigs: \n" for n in range(11))
    with pytest.raises(Invalid, match="K631"):
        parse("a.txt", lines.encode())
    monkeypatch.setattr(files, "MAX_BYTES", 100)
    with pytest.raises(Invalid, match="K631"):
        parse_all([("a.txt", b"#" * 101)])


def test_notes_move_no_cursor_and_are_not_endless(tmp_path: Path) -> None:
    config = {"\x1b[31m\u202e\u2028x": "1", "l" * 5_000: "1", **{f"x{n}": "1" for n in range(500)}}
    text = json.dumps({"kafka": {"topics": {"a": {"partitions": 1, "config": config}}}})
    (tmp_path / "topics.json").write_text(text)
    ended = Shell(tmp_path).kplan("import", "--file", "topics.json", "--out", "stack.yaml")
    assert not {"\x1b", "\u202e", "\u2028"} & set(ended.all)
    assert len(ended.all) < 100_000
    assert ended.err.count("note: ") < 250 and " more; " in ended.err
    assert "x499" in (tmp_path / "stack.yaml").read_text()
    Shell(tmp_path).kplan("validate", "stack.yaml")
