"""Nothing of a file is lost in silence: it is carried over, or a note says that it is not and why."""

from __future__ import annotations

from pathlib import Path

from tests.shell import Ended, Shell

DESCRIBED = "Topic: {}\tPartitionCount: 1\tReplicationFactor: 1\tConfigs: \n"


def imported(folder: Path, *arguments: str, expect: int = 0, **files: str) -> Ended:
    """`kplan import` of files, whose names have `__` for the dot."""
    shell = Shell(folder)
    given = []
    for key, text in files.items():
        name = key.replace("__", ".")
        shell.write(name, text)
        given += ["--file", name]
    return shell.kplan("import", *given, *arguments, expect=expect)


def test_internal_topics_of_a_file_are_left_out_with_a_note(tmp_path: Path) -> None:
    text = DESCRIBED.format("orders") + DESCRIBED.format("__consumer_offsets") + DESCRIBED.format("connect-configs")
    ended = imported(tmp_path, topics__txt=text)
    assert "orders" in ended.out and "1 topic and" in ended.err
    assert "internal topics are left out" in ended.err and ": __consumer_offsets, connect-configs" in ended.err
    assert "topics:\n  connect-configs:" in imported(tmp_path, "connect-configs", topics__txt=text).out
