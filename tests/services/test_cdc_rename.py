"""Something of a connector gets another name: a table, the connector, its prefix, its schema history; and what of its
rows and offsets comes along.
"""

from __future__ import annotations

import itertools
import threading
from pathlib import Path

import pytest

from tests.services import ConnectWorker, KafkaCluster, MariaDB, Postgres
from tests.services.cdc import Capture, captured
from tests.services.test_walk import ask, topics
from tests.shell import Shell

PINNED = {
    "debezium-postgres": "    slot: {name}\n    publication: {name}\n",
    "debezium-mariadb": "    server_id: 72\n"
    "    config: {{schema.history.internal.kafka.topic: schema-changes.{name}}}\n",
}
NUMBERS = itertools.count()  # a test that runs again has a database and a connector of its own


@pytest.fixture(params=["postgres", "mariadb"])
def capture(request: pytest.FixtureRequest, kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> Capture:
    server: Postgres | MariaDB = request.getfixturevalue(request.param)
    test = request.node.name.removeprefix("test_").split("_")[1]  # what is renamed
    return captured(Shell(tmp_path), kafka, connect, server, f"{test}{request.param}{next(NUMBERS)}")


def test_a_connector_of_another_name_goes_on_where_it_was_while_rows_come(
    capture: Capture, connect: ConnectWorker
) -> None:
    pinned = PINNED[capture.template].format(name=capture.name)
    capture.create("orders")
    capture.declare(block=pinned)
    capture.apply()
    capture.insert("orders", "first")
    capture.rows("orders", ("c", "first"))

    moved = f"moved:\n  - {{from: connector/{capture.name}, to: connector/renamed}}\n"
    capture.declare(name="renamed", block=pinned, more=moved)
    planned = capture.kplan("plan").out
    assert "1 to move" in planned and "its offsets come along" in planned and "K408" not in planned
    inserted, over = ["first"], threading.Event()

    def insert() -> None:
        while not over.wait(0.05):
            inserted.append(f"row {len(inserted)}")
            capture.insert("orders", inserted[-1])

    writer = threading.Thread(target=insert)
    writer.start()
    try:
        capture.apply()
    finally:
        over.set()
        writer.join()
    assert ask(connect, "GET", f"/connectors/{capture.name}")[0] == 404
    capture.insert("orders", "last")
    expected = [("c", note) for note in (*inserted, "last")]
    assert len(expected) > 10
    assert capture.rows("orders", ("c", "last")) == expected, "none twice, none lost"
    assert "No changes." in capture.kplan("plan").out
    capture.destroy()


def test_a_table_of_another_name_is_another_topic_and_none_of_its_rows_is_lost(
    capture: Capture, kafka: KafkaCluster
) -> None:
    capture.create("orders")
    capture.execute(
        f"CREATE TABLE {capture.namespace}.signals (id varchar(64) PRIMARY KEY, type varchar(32), data varchar(2048))"
    )
    if capture.template == "debezium-mariadb":
        capture.execute(f"GRANT INSERT, DELETE ON {capture.namespace}.signals TO cdc@'%'")
    block = (
        f"    signal: {{topic: {capture.name}.signals, table: {capture.namespace}.signals}}\n"
        "    new_tables: {snapshot: incremental}\n"
    )
    capture.declare(block=block)
    capture.apply()
    capture.insert("orders", "one")
    assert capture.rows("orders", ("c", "one")) == [("c", "one")]

    capture.execute(f"ALTER TABLE {capture.namespace}.orders RENAME TO {renamed(capture)}")
    capture.insert("purchases", "two")  # under its new name nobody captures it yet
    old = capture.topic("orders")
    capture.declare("purchases", block=block)
    assert "K404" in capture.kplan("plan", expect=3).out, "the old topic has records"
    capture.declare("purchases", block=block, more=f"removed:\n  - {{topic: {old}, keep: true}}\n")
    capture.apply()
    capture.insert("purchases", "three")
    assert capture.rows("purchases", ("c", "three")) == [("r", "one"), ("r", "two"), ("c", "three")]
    # PostgreSQL's connector goes on under the old name until it starts again
    later = [("c", "two")] if capture.template == "debezium-postgres" else []
    assert capture.rows("orders", ("c", "one")) == [("c", "one"), *later], "what has the old name stays there"
    capture.declare("purchases", block=block)
    assert "No changes." in capture.kplan("plan").out
    capture.destroy()
    assert topics(kafka, f"{capture.name}.") == {old: 1}, "it is nobody's, so nobody deleted it"


def renamed(capture: Capture) -> str:
    return "purchases" if capture.template == "debezium-postgres" else f"{capture.namespace}.purchases"


def test_another_prefix_is_refused_and_made_anew_by_name(capture: Capture, kafka: KafkaCluster) -> None:
    name, other = capture.name, f"{capture.name}2"
    capture.create("orders")
    capture.insert("orders", "one")
    capture.declare()
    capture.apply()
    assert capture.rows("orders", ("r", "one")) == [("r", "one")]

    capture.declare(prefix=other)
    refused = " ".join(capture.kplan("plan", expect=4).all.split())
    assert "error[K233]: this would be another connector" in refused and f"--replace connector/{name}" in refused
    capture.declare(name="moved", prefix=other, more=f"moved:\n  - {{from: connector/{name}, to: connector/moved}}\n")
    assert "error[K233]" in capture.kplan("plan", expect=4).all, "offsets that come along would be of no use"

    own = [capture.topic("orders"), f"__debezium-heartbeat.{name}", *([name] if name in topics(kafka, name) else [])]
    listed = "".join(f"  - {{topic: {topic}, accept: [data-loss]}}\n" for topic in own)
    capture.declare(prefix=other, more=f"removed:\n{listed}")
    replace = ("--replace", f"connector/{name}")
    assert "DANGER K407" in capture.apply(*replace, expect=3).out
    capture.apply(*replace, "--accept", f"replace:connector/{name}")
    capture.insert("orders", "two")
    assert capture.rows("orders", ("c", "two"), prefix=other) == [("r", "one"), ("c", "two")]
    assert capture.topic("orders") not in topics(kafka, name)
    capture.destroy()


def test_another_schema_history_is_a_danger_and_is_put_back(
    kafka: KafkaCluster, connect: ConnectWorker, mariadb: MariaDB, tmp_path: Path
) -> None:
    capture = captured(Shell(tmp_path), kafka, connect, mariadb, "history")
    capture.create("orders")
    capture.declare()
    capture.apply()
    capture.insert("orders", "one")
    assert capture.rows("orders", ("c", "one")) == [("c", "one")]

    keep = "removed:\n  - {topic: schema-changes.history, keep: true}\n"
    capture.declare(block="    config: {schema.history.internal.kafka.topic: schema-changes.other}\n", more=keep)
    refused = capture.apply(expect=3).out
    assert "DANGER K408: another schema.history.internal.kafka.topic" in refused
    failed = capture.apply("--accept", "change:connector/history", expect=7)
    assert "history" in failed.all and "rolled back" in failed.out
    capture.declare()
    assert "No changes." in capture.kplan("plan").out
    capture.insert("orders", "two")
    assert capture.rows("orders", ("c", "two")) == [("c", "one"), ("c", "two")]

    # by another name without its history pinned it would be the same
    capture.declare(name="other", more=f"moved:\n  - {{from: connector/history, to: connector/other}}\n{keep}")
    moved = capture.kplan("plan", expect=3).out
    assert "DANGER K408: another schema.history.internal.kafka.topic" in moved and "caution K418" in moved
    capture.declare()
    capture.destroy()
