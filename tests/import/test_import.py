"""Other tools' files, as people have them, and the stacks that they become.

`make golden` writes what kplan makes of them now; the difference is reviewed like code.
"""

from __future__ import annotations

import copy
import json
import random
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import Invalid, KplanError
from kplan.importers.files import MODULES, parse
from kplan.importers.reading import read_documents
from kplan.importers.resources import ImportedResources
from tests.shell import Shell

HERE = Path(__file__).parent
FORMATS = sorted(folder.name for folder in HERE.iterdir() if folder.is_dir() and not folder.name.startswith("_"))
FORCED = (*MODULES, "describe")
SECRETS = ("post-gres-secret", "dbz-secret", "tf-secret")


def files(name: str) -> list[Path]:
    folder = HERE / name
    made = (folder / "stack.yaml", folder / "notes.txt")
    return sorted(file for file in folder.rglob("*") if file.is_file() and file not in made)


@pytest.mark.parametrize("name", FORMATS)
def test_files_become_a_stack(name: str, tmp_path: Path, golden: bool) -> None:
    shell = Shell(tmp_path, secrets=SECRETS)
    given = []
    for file in files(name):
        relative = file.relative_to(HERE / name)
        (tmp_path / relative).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / relative).write_bytes(file.read_bytes())
        given += ["--file", relative.as_posix()]
    assert given, "the case has no file"
    ended = shell.kplan("import", *given, "--out", "stack.yaml")
    text = (tmp_path / "stack.yaml").read_text()
    assert not any(secret in text for secret in SECRETS)
    if golden:
        (HERE / name / "stack.yaml").write_text(text)
        (HERE / name / "notes.txt").write_text(ended.err)
    assert text == (HERE / name / "stack.yaml").read_text()
    assert ended.err == (HERE / name / "notes.txt").read_text()
    shell.kplan("fmt", "--check", "stack.yaml")
    shell.kplan("validate", "stack.yaml")


@pytest.mark.parametrize("name", FORMATS)
def test_what_is_left_behind_is_said_twice(name: str) -> None:
    text = (HERE / name / "stack.yaml").read_text()
    notes = [line for line in (HERE / name / "notes.txt").read_text().splitlines() if line.startswith("note: ")]
    comments = " ".join(line.removeprefix("# ") for line in text.splitlines() if line.startswith("# "))
    for note in notes:
        about, _, what = note.removeprefix("note: ").partition(": ")
        assert f"Note: {about}" in comments and what in comments


DAMAGED = {
    "cut.json": ('{\n  "name": "a",\n  "config": {"connector.class": "x"', "K631", 3),
    "twice.json": ('{"name": "a",\n "config": {"connector.class": "x",\n  "file": "a", "file": "b"}}', "K102", 3),
    "no-class.json": ('{"name": "a",\n "config": {\n  "file": "a"}}', "K631", 2),
    "two-names.json": ('{"name": "a",\n "config": {"connector.class": "x",\n  "name": "b"}}', "K631", 3),
    "nested.json": ('{"name": "a",\n "config": {"connector.class": "x",\n  "file": {"a": 1}}}', "K631", 3),
    "strimzi.yaml": (
        "apiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaTopic\nmetadata: {name: a}\nspec:\n  partitions: many\n",
        "K631",
        5,
    ),
    "second.yaml": (
        "apiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaTopic\nmetadata: {name: a}\n---\n"
        "apiVersion: kafka.strimzi.io/v1beta2\nkind: KafkaTopic\nmetadata: {name: b}\nspec: [1]\n",
        "K631",
        8,
    ),
    "state.yaml": ("topics:\n  a:\n    partitions: 0\n    replication: 1\n", "K631", 3),
    "topology.yaml": (
        "context: c\nprojects:\n  - name: p\n    topics:\n      - config: {num.partitions: 1}\n",
        "K631",
        5,
    ),
    "topicctl.yaml": ("meta: {name: a}\nspec:\n  partitions: 1\n  retentionMinutes: soon\n", "K631", 4),
    "ref.yaml": (
        "apiVersion: kafka.jikkou.io/v1beta2\nkind: KafkaTopic\nmetadata: {name: a}\nspec:\n  partitions: 1\n"
        "  configMapRefs: [None]\n",
        "K631",
        6,
    ),
    "main.tf": ('resource "kafka_topic" "a" {\n  name = \n}\n', "K631", 2),
    "topics.txt": (
        "Topic: a\tPartitionCount: 1\tReplicationFactor: 1\tConfigs: \nTopic: b\tPartitionCount:\n",
        "K631",
        2,
    ),
    "syntax.yaml": ("kafka:\n  topics:\n    a: {partitions: 1\n", "K101", 4),
    "list.yaml": ("kafka:\n  topics:\n    a: [1]\n", "K631", 3),
    "other.yaml": ("services:\n  web: {image: nginx}\nvolumes: {}\n", "K630", 0),
    "stack.yaml": ("version: 1\nstack: a\n", "K630", 2),
    "items.yaml": ("- apiVersion: kafka.strimzi.io/v1\n  kind: KafkaTopic\n", "K631", 1),
    "empty.yaml": ("# nothing\n", "K633", 0),
    "bytes.yaml": ("kafka:\n  \udcff: 1\n", "K631", 2),
}


@pytest.mark.parametrize("name", sorted(DAMAGED))
def test_a_damaged_file_is_told_with_its_place(name: str, tmp_path: Path) -> None:
    text, code, line = DAMAGED[name]
    (tmp_path / name).write_bytes(text.encode(errors="surrogateescape"))
    ended = Shell(tmp_path).kplan("import", "--file", name, "--out", "out.yaml", expect=4)
    assert code in ended.err
    assert f"{name}:{line}" in ended.err if line else name in ended.err
    assert not (tmp_path / "out.yaml").exists()


def mutants(name: str, count: int) -> Iterator[tuple[str, bytes]]:
    """Files of a format with one or two of their values being something else."""
    chance = random.Random(name)
    odd: list[Any] = [
        None,
        [],
        {},
        "",
        "x",
        0,
        -1,
        2.5,
        True,
        [1],
        ["a"],
        {"a": 1},
        [{}],
        "${x}",
        "{{ x }}",
        {"a": [{}]},
    ]
    for file in files(name):
        if file.suffix not in (".json", ".yaml"):
            continue
        parts = [part.data for part in read_documents(file.name, file.read_text(), ImportedResources())]
        for _ in range(count):
            changed = copy.deepcopy(parts)
            for _ in range(chance.randint(1, 2)):
                inner: Any = changed
                while True:
                    keys = list(inner) if isinstance(inner, dict) else list(range(len(inner)))
                    key = chance.choice(keys)
                    if not isinstance(inner[key], dict | list) or not inner[key] or chance.random() < 0.2:
                        inner[key] = copy.deepcopy(chance.choice(odd))
                        break
                    inner = inner[key]
            yield (
                file.name,
                "\n---\n".join(map(json.dumps, changed)).encode()
                if len(changed) > 1
                else (json.dumps(changed[0]).encode()),
            )


@pytest.mark.parametrize("name", FORMATS)
def test_whatever_a_file_holds_it_is_taken_or_refused(name: str) -> None:
    refusals = 0
    for file, data in mutants(name, 40):
        for forced in ("", *FORCED):
            try:
                parse(file, data, forced)
            except KplanError as e:
                refusals += 1
                assert isinstance(e, Invalid) and e.diagnostics
    has_documents = any(file.suffix in (".json", ".yaml") for file in files(name))
    assert refusals or not has_documents


# -- keys that are repeated in JSON ------------------------------------------------------------------------------------
def test_equal_values_and_comments_that_are_repeated_are_one_note(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    lines = [
        '"connector.class": "FileStreamSink"',
        '"_comment": "a"',
        '"topics": "t"',
        '"_comment": "b"',
        '"topics": "t"',
    ]
    shell.write("c.json", '{"name": "c", "config": {\n' + ",\n".join(lines) + "\n}}\n")
    ended = shell.kplan("import", "--file", "c.json")
    notes = [line for line in ended.err.splitlines() if "repeated" in line]
    assert len(notes) == 1
    assert "`_comment` in lines 3, 5" in notes[0] and "`topics` in lines 4, 6" in notes[0]
    assert "topics: t" in ended.out


def test_different_values_of_a_repeated_key_are_one_error_with_all_lines(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    lines = ['"connector.class": "FileStreamSink"', '"topics": "a"', '"file": "x"', '"topics": "b"', '"file": "y"']
    shell.write("c.json", '{"name": "c", "config": {\n' + ",\n".join(lines) + "\n}}\n")
    ended = shell.kplan("import", "--file", "c.json", expect=4)
    assert ended.err.count("error[K102]") == 1
    said = " ".join(ended.err.split())
    assert "`topics` in lines 3, 5, `file` in lines 4, 6, with different values" in said
