"""A thousand tables in one connector: planned and applied on real services, rows flow, and nothing is left at the end.

That takes minutes on a small machine, so a test run has fewer; with KPLAN_TEST_TABLES=1000, as in CI, it has them all.
The columns have names of their own, for Debezium (3.7) takes a time that grows with the square of those that share one.
"""

from __future__ import annotations

import os
import random
import time
from pathlib import Path

from tests.services import ConnectWorker, KafkaCluster, Postgres
from tests.services.cdc import captured
from tests.services.test_walk import ask, records, topics
from tests.shell import Shell

TABLES = int(os.environ.get("KPLAN_TEST_TABLES", "200"))


def test_many_tables_in_one_connector(
    kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, tmp_path: Path
) -> None:
    many = captured(Shell(tmp_path), kafka, connect, postgres, "manytables")
    names = [f"t{number:04}" for number in range(TABLES)]
    columns = {name: f"id_{name} serial PRIMARY KEY, note_{name} varchar(40)" for name in names}
    many.execute(";".join(f"CREATE TABLE {name} ({columns[name]})" for name in names))
    many.declare(", ".join(names))

    began = time.monotonic()
    planned = many.kplan("plan", "--out", "plan.json")
    print(f"planned in {time.monotonic() - began:.1f} s")
    assert f"Plan: {TABLES + 2} to add, 0 to change, 0 to delete." in planned.out
    began = time.monotonic()
    applied = many.shell.kplan("apply", "plan.json")
    print(f"applied in {time.monotonic() - began:.1f} s")
    assert f"Applied {TABLES + 2} of {TABLES + 2}" in applied.out

    for name in random.sample(names, 5):
        many.execute(f"INSERT INTO {name} (note_{name}) VALUES ('here')")
        (record,) = records(kafka, many.topic(name), 1)
        assert (record["op"], record["after"]) == ("c", {f"id_{name}": 1, f"note_{name}": "here"})
    assert "No changes." in many.kplan("plan", "--detailed-exitcode").out

    many.destroy()
    assert topics(kafka, "manytables") == {} and topics(kafka, "__debezium-heartbeat.manytables") == {}
    assert ask(connect, "GET", "/connectors/manytables")[0] == 404
    assert "Nothing to destroy" in many.kplan("destroy", "--yes").out
