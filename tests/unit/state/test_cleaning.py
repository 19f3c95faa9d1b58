"""`kplan state clean` removes what an earlier kplan wrote into the state, and nothing else."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import pytest

from tests.shell import Shell

CANARY, URL = "canary-of-an-old-record", "http://u:canary-in-a-link@host"
STACK = """
version: 1
stack: shop
variables:
  s: {{type: string, sensitive: true}}
topics:
  shop.lines:
connectors:
  shop:
    class: org.apache.kafka.connect.file.FileStreamSourceConnector
    config: {{topic: shop.lines, file: /in, {settings}}}
"""


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """A state with two runs, as an earlier kplan left it: live values are in the journal of the second one."""
    made = Shell(tmp_path, {"KPLAN_VAR_s": "one-value"}, (CANARY, "canary-in-a-link"))
    made.write("kplan.yaml", "version: 1\ndefault: dev\nenvironments:\n  dev: {simulated: {brokers: 3}}\n")
    made.write("stack.yaml", STACK.format(settings='hook: "{{ var.s }}", batch.size: 10'))
    made.kplan("apply", "stack.yaml", "--yes")
    made.write("stack.yaml", STACK.format(settings='hook: "{{ var.s }}", batch.size: 20'))
    made.kplan("apply", "stack.yaml", "--yes", KPLAN_VAR_s="another-value")
    put_back(made)
    return made


def database(shell: Shell) -> Path:
    return shell.folder / ".kplan" / "dev.db"


def rows(shell: Shell) -> list[tuple[str, int, dict[str, Any]]]:
    with sqlite3.connect(database(shell)) as db:
        found = db.execute("SELECT run, seq, record FROM kplan_journal ORDER BY id").fetchall()
    return [(run, seq, json.loads(record)) for run, seq, record in found]


def change_row(shell: Shell, run: str, seq: int, text: str) -> None:
    with sqlite3.connect(database(shell)) as db:
        db.execute("UPDATE kplan_journal SET record = ? WHERE run = ? AND seq = ?", (text, run, seq))


def put_back(shell: Shell) -> None:
    """The journal of the last run shows live values, as before sensitivity belonged to the setting."""
    run, seq, begin = next(row for row in reversed(rows(shell)) if row[2]["event"] == "begin")
    item = begin["items"][0]
    item["change"]["before"]["config"] |= {"hook": CANARY, "link": URL}
    for diff in item["change"]["diff"]:
        if diff["path"] == "/config/hook":
            diff["before"] = CANARY
    item["change"]["effects"] = [f"it was {CANARY}"]
    change_row(shell, run, seq, json.dumps(begin))
    _, seq, will = next(row for row in reversed(rows(shell)) if row[2]["event"] == "will")
    will["items"][0]["captured"] = {"offsets": [{"partition": {"filename": f"/x/{CANARY}"}, "offset": {"position": 1}}]}
    will["items"][0]["outcome"] = f"Couldn't find {CANARY}"
    change_row(shell, run, seq, json.dumps(will))


def assert_clean(shell: Shell) -> None:
    for path in database(shell).parent.iterdir():
        data = path.read_bytes()
        assert CANARY.encode() not in data and b"canary-in-a-link" not in data, path.name


def test_values_leave_the_journal_and_the_rest_stays(shell: Shell) -> None:
    before = rows(shell)
    refused = shell.kplan("state", "clean", expect=9)
    assert "hook" in refused.out and "link" in refused.out
    assert rows(shell) == before
    shell.kplan("state", "clean", "--yes")
    after = rows(shell)
    assert [row[:2] for row in after] == [row[:2] for row in before]
    changed = [new for old, new in zip(before, after, strict=True) if old != new]
    assert [row[2]["event"] for row in changed] == ["begin", "will"]
    change = changed[0][2]["items"][0]["change"]
    assert change["before"]["config"]["hook"] == change["before"]["config"]["link"] == {"sensitive": True}
    assert change["before"]["config"]["batch.size"] == "10" and change["after"]["config"]["batch.size"] == "20"
    assert {"/config/hook", "/config/link"} <= set(change["sensitive"])
    assert changed[1][2]["items"][0]["captured"]["offsets"][0]["offset"] == {"position": 1}
    assert_clean(shell)
    assert "No value of a sensitive setting" in shell.kplan("state", "clean").out
    shell.kplan("show", changed[0][0], "--format", "json")
    assert "No changes." in shell.kplan("plan", "stack.yaml", KPLAN_VAR_s="another-value").out


def test_a_damaged_record_is_named_and_left(shell: Shell) -> None:
    run, seq, _ = rows(shell)[0]
    change_row(shell, run, seq, '{"event": 7')
    ended = shell.kplan("state", "clean", "--yes", expect=2)
    assert "K619" in ended.err and f"entry {seq} of run {run}" in ended.err
    assert_clean(shell)
    with sqlite3.connect(database(shell)) as db:
        assert db.execute("SELECT record FROM kplan_journal WHERE run = ? AND seq = ?", (run, seq)).fetchone() == (
            '{"event": 7',
        )


def test_an_open_run_keeps_what_it_has_to_put_back(shell: Shell) -> None:
    run = rows(shell)[-1][0]
    with sqlite3.connect(database(shell)) as db:
        db.execute("DELETE FROM kplan_journal WHERE run = ? AND event = 'end'", (run,))
    before = rows(shell)
    ended = shell.kplan("state", "clean", "--yes", expect=2)
    assert "K620" in ended.err and f"kplan recover {run}" in ended.err
    assert rows(shell) == before


def test_what_the_stack_says_plainly_today_stays(shell: Shell) -> None:
    """A setting that became plain is the stack's own text; only what it was before is a secret."""
    shell.write("stack.yaml", STACK.format(settings="hook: public-text"))
    shell.kplan("apply", "stack.yaml", "--yes")
    shell.kplan("state", "clean", "--yes")
    with sqlite3.connect(database(shell)) as db:
        (record,) = db.execute("SELECT record FROM kplan_ledger WHERE address = 'connector/shop'").fetchone()
    assert json.loads(record)["applied"]["config"]["hook"] == "public-text"
    assert json.loads(record)["sensitive"] == ["hook"]
    assert_clean(shell)
