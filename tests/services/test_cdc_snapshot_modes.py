"""The snapshot mode of a connector is switched, and its rows tell what that did: which were read again, which not."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import pytest

from tests.services import ConnectWorker, KafkaCluster, MariaDB, Postgres
from tests.services.cdc import Capture, captured
from tests.shell import Shell


@pytest.fixture(params=["postgres", "mariadb"])
def capture(request: pytest.FixtureRequest, kafka: KafkaCluster, connect: ConnectWorker, tmp_path: Path) -> Capture:
    server: Postgres | MariaDB = request.getfixturevalue(request.param)
    test = "modes" if "switched" in request.node.name else "only"
    return captured(Shell(tmp_path), kafka, connect, server, f"{test}{request.param}")


def offsets(capture: Capture) -> Any:
    return capture.shell.kplan("connector", "offsets", capture.name).out


def switch(capture: Capture, mode: str, *accepted: str) -> None:
    capture.declare(block=f"    snapshot: {mode}\n")
    capture.apply(*accepted)


def test_a_switched_mode_reads_again_only_where_the_plan_says_so(capture: Capture) -> None:
    capture.create("orders")
    capture.insert("orders", "there before")
    switch(capture, "no_data")
    capture.insert("orders", "one")
    assert capture.rows("orders", ("c", "one")) == [("c", "one")], "only the structure was read"

    seen = [("c", "one")]
    for mode, note in (("initial", "two"), ("no_data", "three")):
        capture.declare(block=f"    snapshot: {mode}\n")
        planned = capture.kplan("plan").out
        assert f"snapshot.mode        {'initial' if mode == 'no_data' else 'no_data'} -> {mode}" in planned
        assert "caution K416: nothing is read again now" in planned and "offsets" in planned
        capture.apply()
        capture.insert("orders", note)
        seen.append(("c", note))
        assert capture.rows("orders", ("c", note)) == seen, "the offsets are kept, and nothing is read again"

    capture.declare(block="    snapshot: always\n")
    refused = capture.apply(expect=3)
    assert "K408" in refused.out and "all tables are read again now, and at each start" in refused.out
    capture.apply("--accept", f"change:connector/{capture.name}")
    again = [("r", note) for note in ("there before", "one", "two", "three")]
    capture.insert("orders", "five")
    assert capture.rows("orders", ("c", "five")) == [*seen, *again, ("c", "five")]

    switch(capture, "initial")
    capture.insert("orders", "six")
    assert capture.rows("orders", ("c", "six")) == [*seen, *again, ("c", "five"), ("c", "six")]
    assert "No changes." in capture.kplan("plan").out
    capture.destroy()


def test_a_connector_that_is_to_take_a_snapshot_only_captures_no_more(capture: Capture) -> None:
    capture.create("orders")
    capture.insert("orders", "one")
    switch(capture, "initial")
    capture.insert("orders", "two")
    assert capture.rows("orders", ("c", "two")) == [("r", "one"), ("c", "two")]

    capture.declare(block="    snapshot: initial_only\n")
    refused = capture.apply(expect=3)
    assert "K408" in refused.out and "changes are no longer captured" in refused.out
    capture.apply("--accept", f"change:connector/{capture.name}")
    capture.insert("orders", "three")
    time.sleep(3)
    assert capture.rows("orders", ("c", "two")) == [("r", "one"), ("c", "two")]
    switch(capture, "initial")
    assert capture.rows("orders", ("c", "three")) == [("r", "one"), ("c", "two"), ("c", "three")], "it was kept for it"
    capture.destroy()
