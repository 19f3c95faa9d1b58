"""Nothing of a file is lost in silence: it is carried over, or a note says that it is not and why."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

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


# -- Debezium's old names
def debezium(connector: str, **config: str) -> str:
    plugin = f"io.debezium.connector.{connector}"
    return json.dumps({"name": "c", "config": {"connector.class": plugin, **config}})


LEGACY = (
    ("postgresql.PostgresConnector", "schema.whitelist", "inv,app", "schema.include.list: inv,app"),
    ("postgresql.PostgresConnector", "schema.blacklist", "inv", "schema.exclude.list: inv"),
    ("sqlserver.SqlServerConnector", "schema.whitelist", "dbo", "schema.include.list: dbo"),
    ("postgresql.PostgresConnector", "toasted.value.placeholder", "gone", "unavailable.value.placeholder: gone"),
    ("mongodb.MongoDbConnector", "initial.sync.max.threads", "4", "snapshot.max.threads: 4"),
    (
        "mysql.MySqlConnector",
        "event.deserialization.failure.handling.mode",
        "warn",
        "event.processing.failure.handling.mode: warn",
    ),
)


@pytest.mark.parametrize(("connector", "key", "value", "today"), LEGACY)
def test_an_old_name_is_that_of_today_and_told(
    connector: str, key: str, value: str, today: str, tmp_path: Path
) -> None:
    ended = imported(tmp_path, c__json=debezium(connector, **{key: value}))
    assert today in ended.out.replace('"', "")
    assert f"{key} is {today.partition(':')[0]} today" in ended.err


def test_an_exported_snapshot_is_an_initial_one(tmp_path: Path) -> None:
    ended = imported(
        tmp_path, c__json=debezium("postgresql.PostgresConnector", **{"snapshot.mode": "exported", "topic.prefix": "p"})
    )
    assert "exported" not in ended.out.partition("version: 1")[2]
    assert "snapshot.mode: exported is initial today" in ended.err


def test_what_debezium_has_no_more_is_left_out_and_told(tmp_path: Path) -> None:
    ended = imported(tmp_path, c__json=debezium("mysql.MySqlConnector", **{"source.struct.version": "v1"}))
    assert "source.struct.version" not in ended.out.partition("version: 1")[2]
    assert "source.struct.version is left out" in ended.err
