"""With KPLAN_KEY the state is signed: what is not stops its stack, and `kplan state sign` signs it once."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path
from typing import Any

import jsonschema
import pytest

import kplan
from kplan.diagnostics import JournalBroken
from kplan.state.kafka.log import Log, make_journal_records, make_ledger_record
from kplan.state.signing import Signer
from tests.contract.test_store import ME, ORDERS, entry, owned
from tests.schemas import published, strict
from tests.shell import Shell

KEY, OTHER = "a-key-of-the-tests", "another-key"
SHOP = "version: 1\nstack: shop\ntopics:\n  shop.orders: {{partitions: {partitions}}}\n  shop.items:\n"
OTHERS = "version: 1\nstack: audit\ntopics:\n  audit.log: {config: {retention.ms: 1d}}\n"


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Two stacks that were applied without a key."""
    made = Shell(tmp_path, secrets=(KEY, OTHER))
    made.write("kplan.yaml", "version: 1\ndefault: dev\nenvironments:\n  dev: {simulated: {brokers: 3}}\n")
    made.write("shop.yaml", SHOP.format(partitions=1))
    made.write("audit.yaml", OTHERS)
    made.kplan("apply", "shop.yaml", "audit.yaml", "--yes")
    return made


def ask(shell: Shell, query: str, *arguments: object) -> list[tuple[Any, ...]]:
    with sqlite3.connect(shell.folder / ".kplan/dev.db") as database:
        found = database.execute(query, arguments).fetchall()
    database.close()
    return found


def records(shell: Shell) -> list[str]:
    rows = ask(shell, "SELECT stack, record FROM kplan_ledger UNION ALL SELECT stack, record FROM kplan_journal")
    return [f"{stack} {record}" for stack, record in rows]


def unsigned(shell: Shell, stack: str) -> int:
    return len([record for record in records(shell) if record.startswith(stack) and '"signature":' not in record])


def sign(shell: Shell, *more: str, expect: int = 0, key: str = KEY) -> str:
    return shell.kplan("state", "sign", "--yes", *more, expect=expect, KPLAN_KEY=key).all


def refused(shell: Shell, *arguments: str, key: str = KEY, code: int = 1) -> str:
    said = shell.kplan(*arguments, expect=code, KPLAN_KEY=key).all
    assert "K621" in said and "kplan state sign" in said, said
    return " ".join(said.split())


def test_an_unsigned_state_is_refused_until_it_is_signed(shell: Shell) -> None:
    for command in (["plan", "shop.yaml"], ["apply", "shop.yaml", "--yes"], ["destroy", "shop.yaml", "--yes"]):
        assert "is not signed" in refused(shell, *command)
    counted = unsigned(shell, "shop"), unsigned(shell, "audit")
    said = sign(shell, "--verbose")
    assert "stack shop: 2 records of the ledger" in said and "topic/shop.items is not signed" in said
    assert f"stack shop: {counted[0]} records signed" in said and f"stack audit: {counted[1]} records signed" in said
    assert not unsigned(shell, "shop") and not unsigned(shell, "audit")
    assert "No record without a signature" in sign(shell)
    shell.write("shop.yaml", SHOP.format(partitions=2))
    assert "shop.orders" in shell.kplan("plan", "shop.yaml", KPLAN_KEY=KEY).out
    shell.kplan("apply", "shop.yaml", "--yes", "--accept", "*", KPLAN_KEY=KEY, expect=None)
    assert not unsigned(shell, "shop")
    assert "is not signed" not in shell.kplan("list", KPLAN_KEY=KEY).all
    shell.kplan("destroy", "audit.yaml", "--yes", KPLAN_KEY=KEY)
    shell.assert_no_secret_on_disk()


def test_what_is_displayed_is_displayed_unsigned_too(shell: Shell) -> None:
    listed = shell.kplan("list", KPLAN_KEY=KEY)
    assert "shop.orders" in listed.out and listed.err.count("is not signed") == 2, "one line for each stack"
    assert "; and 5 more" in listed.err, "those of its run"
    run = ask(shell, "SELECT run FROM kplan_journal WHERE stack = 'shop'")[0][0]
    assert run in shell.kplan("show", KPLAN_KEY=KEY).out
    assert run in shell.kplan("show", run, KPLAN_KEY=KEY).out
    assert "2 topics created" in shell.kplan("status", "shop.yaml", KPLAN_KEY=KEY).out


def test_it_needs_a_key_and_an_answer(shell: Shell) -> None:
    before = records(shell)
    for key in ({}, {"KPLAN_KEY": ""}):
        assert "K622" in shell.kplan("state", "sign", "--yes", expect=4, **key).err
    asked = shell.kplan("state", "sign", expect=9, KPLAN_KEY=KEY)
    assert "stack audit: 1 record of the ledger" in asked.out and records(shell) == before


def test_another_key_is_refused_and_can_sign_again(shell: Shell) -> None:
    sign(shell)
    assert "another KPLAN_KEY" in refused(shell, "plan", "shop.yaml", key=OTHER)
    assert "with another signature" in sign(shell, key=OTHER)
    shell.kplan("plan", "shop.yaml", KPLAN_KEY=OTHER)
    refused(shell, "plan", "shop.yaml")


def test_a_run_without_the_key_leaves_what_the_others_refuse(shell: Shell) -> None:
    sign(shell)
    shell.write("shop.yaml", SHOP.format(partitions=1) + "  shop.more:\n")
    shell.kplan("apply", "shop.yaml", "--yes")
    refused(shell, "plan", "shop.yaml")
    shell.kplan("plan", "audit.yaml", KPLAN_KEY=KEY)
    sign(shell)
    assert "No changes" in shell.kplan("plan", "shop.yaml", KPLAN_KEY=KEY).out


def test_a_forged_record_is_refused(shell: Shell) -> None:
    """Somebody who writes the state makes this stack the owner of a topic, and it stops before it deletes that."""
    sign(shell)
    copied = ask(shell, "SELECT record FROM kplan_ledger WHERE address = 'topic/shop.items'")[0][0]
    insert = "INSERT INTO kplan_ledger (address, stack, record) VALUES ('topic/audit.log', 'shop', ?)"
    ask(shell, insert, copied)
    assert "topic/audit.log" in refused(shell, "plan", "shop.yaml")
    refused(shell, "destroy", "shop.yaml", "--yes")
    assert "may own topic/audit.log" in refused(shell, "plan", "audit.yaml")
    ask(shell, "DELETE FROM kplan_ledger WHERE stack = 'shop' AND address = 'topic/audit.log'")
    shell.kplan("plan", "shop.yaml", "audit.yaml", KPLAN_KEY=KEY)


def test_a_saved_plan_is_not_applied_on_a_forged_ledger(shell: Shell) -> None:
    sign(shell)
    shell.write("shop.yaml", SHOP.format(partitions=1) + "  shop.more:\n")
    shell.kplan("plan", "shop.yaml", "--out", "plan.json", KPLAN_KEY=KEY)
    ask(shell, "UPDATE kplan_ledger SET record = replace(record, '\"created\":true', '\"created\":false')")
    refused(shell, "apply", "plan.json")


def test_an_open_run_is_named_signed_and_recovered(shell: Shell) -> None:
    """It was killed before there was a key. Nobody acts on it before it is signed."""
    run, seq = ask(shell, "SELECT run, seq FROM kplan_journal WHERE stack = 'shop' AND event = 'end'")[0]
    ask(shell, "DELETE FROM kplan_journal WHERE run = ? AND seq = ?", run, seq)
    ask(shell, "DELETE FROM kplan_runs WHERE run = ?", run)
    refused(shell, "recover", "--yes", code=8)
    assert "shop.orders" in shell.kplan("list").out, "nothing was put back"
    said = sign(shell)
    assert f"run {run} has no end" in said
    assert "was interrupted" in shell.kplan("plan", "shop.yaml", expect=8, KPLAN_KEY=KEY).all
    shell.kplan("recover", "--yes", KPLAN_KEY=KEY)
    assert not unsigned(shell, "shop")
    assert "shop.orders" not in shell.kplan("list", KPLAN_KEY=KEY).out


def test_a_forged_end_does_not_hide_an_open_run(shell: Shell) -> None:
    run, seq, end = ask(shell, "SELECT run, seq, record FROM kplan_journal WHERE stack = 'shop' AND event = 'end'")[0]
    ask(shell, "DELETE FROM kplan_journal WHERE run = ? AND seq = ?", run, seq)
    sign(shell)
    insert = "INSERT INTO kplan_journal (run, stack, seq, event, record) VALUES (?, 'shop', ?, 'end', ?)"
    ask(shell, insert, run, seq, end)
    assert f"run {run}" in refused(shell, "plan", "shop.yaml")


def test_a_damaged_record_is_named_and_left(shell: Shell) -> None:
    ask(shell, "UPDATE kplan_ledger SET record = '{' WHERE address = 'topic/shop.items'")
    said = sign(shell, expect=2)
    assert "K619" in said and "topic/shop.items" in said
    assert ask(shell, "SELECT record FROM kplan_ledger WHERE address = 'topic/shop.items'") == [("{",)]
    shell.kplan("plan", "audit.yaml", KPLAN_KEY=KEY)


def test_cleaning_signs_what_was_signed_and_nothing_else(shell: Shell) -> None:
    """A record that nobody has looked at is not signed along the way."""
    sign(shell)
    _plant_values(shell)  # changed records: their signatures are wrong now
    shell.kplan("state", "clean", "--yes", KPLAN_KEY=KEY)
    assert not [record for record in records(shell) if "canary-word" in record]
    assert unsigned(shell, "shop") == 1
    sign(shell)
    _plant_values(shell)
    sign(shell)
    shell.kplan("state", "clean", "--yes", KPLAN_KEY=KEY)
    assert not unsigned(shell, "shop") and not [record for record in records(shell) if "canary-word" in record]
    shell.kplan("plan", "shop.yaml", KPLAN_KEY=KEY)


def _plant_values(shell: Shell) -> None:
    """The journal shows the password of a connector, as an earlier kplan wrote it."""
    query = "SELECT id, record FROM kplan_journal WHERE stack = 'shop' AND event = 'begin'"
    (row, text), *_ = ask(shell, query)
    begin = json.loads(text)
    config = {"connector.class": "C", "database.password": "canary-word"}
    after = {"name": "x", "config": config, "state": "running"}
    begin["items"][0]["address"] = "connector/x"
    begin["items"][0]["change"]["after"] = after
    ask(shell, "UPDATE kplan_journal SET record = ? WHERE id = ?", json.dumps(begin), row)


def test_the_library_has_the_key_too(shell: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(shell.folder)
    loaded = kplan.load("shop.yaml", process={})
    with pytest.raises(JournalBroken) as caught:
        kplan.plan(loaded, key=KEY)
    assert caught.value.code == "K621"
    sign(shell)
    assert not kplan.plan(loaded, key=KEY).has_changes
    assert kplan.destroy(loaded, key=KEY).outcome == "applied"
    assert kplan.apply(kplan.plan(loaded, key=KEY), loaded.environment, key=KEY).outcome == "applied"
    assert not unsigned(shell, "shop")


def test_signed_records_are_as_the_schema_says() -> None:
    validator = jsonschema.Draft202012Validator(strict(published("state.v1")))
    pairs = [make_ledger_record(owned(), 7), *make_journal_records(entry(0, "begin"))]
    for key, value in pairs:
        assert value is not None
        signed = Signer(KEY).sign(key, value)
        validator.validate(signed)
        assert not Signer(KEY).find_fault(key, signed) and Signer().sign(key, signed) == value
        assert Signer(KEY).find_fault(key + "x", signed) and Signer(OTHER).find_fault(key, signed)


def test_a_summary_ends_a_run_in_kafka_only_if_it_is_signed() -> None:
    signer, log = Signer(KEY), Log(signer=Signer(KEY))
    ((key, value),) = make_journal_records(entry(0, "begin"))
    log.put(0, key.encode(), json.dumps(signer.sign(key, value or {})).encode())
    name = f"stack/a/runs/{ME.run}"
    summary = {"v": 1, "outcome": "applied", "began": "", "ended": "", "counts": {}, "about": {}}
    log.put(1, name.encode(), json.dumps(summary).encode())
    assert log.open_runs() == {ME.run: "a"}
    log.put(2, name.encode(), json.dumps(signer.sign(name, summary)).encode())
    assert not log.open_runs() and ORDERS not in log.find_owners()
