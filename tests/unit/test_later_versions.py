"""What a later version adds to a document of the same format is ignored or kept, at every level of every document.

Each test adds one unknown key to each object of a document, or puts one unknown word in place of each value of an
enumeration, and reads it back. A word that decides what an apply does is refused with the version that knows it.
"""

from __future__ import annotations

import copy
import json
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import Diagnostic, JournalBroken, Severity, Span, Stale
from kplan.execution.recovery import rebuild_plan
from kplan.kinds.codec import change_to_json, owned_to_json
from kplan.kinds.connector.options import ConnectorOptions
from kplan.kinds.topic.options import Reassignment, TopicOptions
from kplan.language.schema import fits
from kplan.model import (
    Action,
    Address,
    AttrDiff,
    Change,
    Connector,
    Drift,
    Facts,
    File,
    Health,
    Live,
    Owned,
    Reader,
    Risk,
    Rules,
    Secret,
    SourceCheck,
    Target,
    Task,
    Topic,
    Undo,
)
from kplan.model.codec import entry_to_json
from kplan.model.history import PastChange, RunSummary, changes_to_json, summary_to_json
from kplan.model.journal import Entry, Item, Progress, replay
from kplan.planning import document as plans
from kplan.planning.document import Plan, document_digest
from kplan.planning.order import Step
from kplan.planning.unknown_words import find_unknown_words
from kplan.render.text import Context
from kplan.render.views import VIEWS, render
from kplan.servers import snapshots
from kplan.servers.snapshots import Snapshot
from kplan.state.base import Holder
from kplan.state.kafka.log import Log
from kplan.state.sqlite import SqliteStore
from tests.schemas import Steps, find_enumerations, find_objects, published, value_at
from tests.shell import Shell

LATER = "9.8.7"  # the version that wrote what this one does not know
WORD = "later_word"
ORDERS, CDC, OLD_CDC = Address("topic", "orders"), Address("connector", "cdc"), Address("connector", "old")
SECRET = Secret("{{ var.p }}", fingerprint="hmac:1f")
RULES = Rules(True, frozenset({"a"}), frozenset({"b"}), "always", (2, 1.0), "incremental", frozenset({"slot"}))
FACTS = Facts(5, 6, 7, (Reader("billing", 2, False),), 3, ("sink",), {"records": "the broker does not say"})
NOW = "2026-01-01T10:00:00Z"


def connector(name: str = "cdc", state: str = "running") -> Connector:
    config = {"connector.class": "C", "database.password": SECRET}
    return Connector(
        name, config, state, feeds=("t",), reads=("orders",), unique=("server",), heartbeat="h", rules=RULES
    )


def owned(address: Address, stack: str = "shop") -> Owned:
    applied = Topic(address.name, 3, 3, {"retention.ms": "1"}) if address == ORDERS else connector(address.name)
    return Owned(address, stack, "dev", True, True, applied, "run-1", NOW, ("database.password",))


CHANGES = (
    Change(
        ORDERS,
        Action.UPDATE,
        Topic("orders", 3, 1, {"retention.ms": "2"}),
        Topic("orders", 6, 3, {"retention.ms": "1"}, rules=RULES),
        (AttrDiff("/partitions", 3, 6), AttrDiff("/config/retention.ms", "2", "1", "drift")),
        reason="config_differs",
        undo=Undo("restore", False, "partitions stay"),
        risks=(
            Risk("K404", "danger", "records are deleted", "data-loss", "data-loss:topic/orders", "stack", FACTS),
            Risk("K411", "caution", "keys move"),
        ),
        span=Span("shop.yaml", 4, 3, 4, 9),
        owner=owned(ORDERS),
        options=TopicOptions(
            ("an effect",), "validate_only", reassignment=Reassignment({0: (1,)}, {0: (1, 2, 3)}, 10, 20), topic_id="id"
        ),
    ),
    Change(
        CDC,
        Action.MOVE,
        connector("old"),
        connector(),
        (AttrDiff("/config/database.password", SECRET, SECRET),),
        needs=frozenset({ORDERS}),
        undo=Undo("recreate", True),
        owner=owned(OLD_CDC),
        options=ConnectorOptions(keep_offsets=True, drops=("slot s",)),
    ),
    Change(Address("topic", "gone"), Action.REPLACE, Topic("gone", 1, 1), Topic("gone", 2, 1), undo=Undo()),
)  # fmt: skip
PLAN = Plan(
    "shop",
    "dev",
    Target("id", "kafka:9092", 3, "http://c:8083", "4.3.1", snapshot=NOW),
    tuple(Step(number, number, change) for number, change in enumerate(CHANGES, 1)),
    files=(File("shop.yaml", "0" * 64),),
    drift=(Drift(ORDERS, "/config/retention.ms", "1", "2"),),
    diagnostics=(
        Diagnostic("K240", Severity.WARNING, "a summary", "d", "h", Span("shop.yaml", 1, 1), addresses=("topic/x",)),
    ),
    checked=True,
    used_env=("HOME",),
    created_at=NOW,
    kplan_version=LATER,
    sources=(SourceCheck("cdc", False, "no login"),),
    owned=2,
)
LIVE = Live(
    Target("id", "kafka:9092", 3, "http://c:8083", "4.3.1", snapshot=NOW),
    {ORDERS: Topic("orders", 3, 3, {"retention.ms": "1"}), CDC: Connector("cdc", {"p": Secret()}, "paused")},
    frozenset({"orders"}),
    frozenset({Address("topic", "payroll")}),
    {CDC: Health("PAUSED", (Task(0, "FAILED", "db", "c:8083"),), "why")},
    {ORDERS: replace(FACTS, sinks=())},
    ids={ORDERS: "id"},
)
ITEM = Item(1, "topic/orders", change_to_json(CHANGES[0], 1, 1))
MAPS = frozenset({"config", "topics", "connectors", "ledger", "counts", "unknown"})  # their keys are data


# -- reading one document back ----------------------------------------------------------------------------------------
def read_plan(data: Any) -> Plan:
    return plans.from_json({**data, "digest": document_digest(data)})


def log_of(*records: tuple[str, Any]) -> Log:
    log = Log()
    for offset, (key, value) in enumerate(records):
        log.put(offset, key.encode(), json.dumps({"v": 1, **value}).encode())
    return log


def read_ledger(data: Any) -> Any:
    log = log_of(("stack/shop/connector/cdc", data))
    assert not log.list_unreadable() and not log.foreign
    return log.find_owners()


def read_journal(data: Any) -> tuple[Progress, Plan]:
    """Read what is left to do of a run that was killed, without the JSON of its changes, which the plan has."""
    log = log_of(("stack/shop/run/run-1/0", data))
    assert log.open_runs() == {"run-1": "shop"} and not log.list_unreadable()
    progress = replay(log.runs["shop", "run-1"].decode_entries())
    assert progress is not None
    bare = {number: replace(item, change=None) for number, item in progress.planned.items()}
    known = {key: value for key, value in progress.about.items() if key in ABOUT}
    return replace(progress, planned=bare, about=known), rebuild_plan(progress)


def read_summary(data: Any) -> RunSummary:
    (summary,) = log_of(("stack/shop/runs/run-1", data)).list_summaries()
    return replace(summary, about={key: value for key, value in summary.about.items() if key in ABOUT})


def read_history(data: Any) -> list[PastChange]:
    return log_of(("stack/shop/history/topic/orders", data)).list_changes("shop", "topic/orders")


def read_lock(data: Any) -> Any:
    return log_of(("stack/shop/lock", data)).locks["shop"][1]


def read_snapshot(data: Any) -> Snapshot:
    return snapshots.from_json(data, "live.json")


ABOUT = {"stack": "shop", "env": "dev", "cluster": "id", "mode": "apply", "files": ["shop.yaml"], "who": "ann"}
LOCK = {"state": "held", "who": "ann", "run": "run-1", "command": "kplan apply", "since": NOW, "pid": 1}
ENTRY = Entry("run-1", "shop", 0, "begin", NOW, 1, (ITEM,), ABOUT)
SUMMARY = RunSummary("run-1", "shop", "applied", NOW, NOW, {"update": 1}, ABOUT, 1, 0)
DOCUMENTS: dict[str, tuple[Any, Callable[[Any], Any], str]] = {  # the document, how it is read, its schema
    "plan": (plans.to_json(PLAN), read_plan, "plan.v1"),
    "snapshot": (
        snapshots.to_json(Snapshot("dev", NOW, LIVE, {ORDERS: owned(ORDERS), CDC: owned(CDC)}, LATER)),
        read_snapshot,
        "live.v1",
    ),
    "ledger": (owned_to_json(owned(CDC)), read_ledger, "state.v1"),
    "journal": (entry_to_json(ENTRY), read_journal, "state.v1"),
    "summary": (summary_to_json(SUMMARY), read_summary, "state.v1"),
    "history": (changes_to_json([PastChange("run-1", NOW, "update", ("/partitions",))]), read_history, "state.v1"),
    "lock": (LOCK, read_lock, "state.v1"),
}


def through_json(data: Any) -> Any:
    return json.loads(json.dumps(data))


def words_of(name: str) -> Iterator[Steps]:
    """Yield the place of each word of an enumeration; a journal's changes are those of a plan."""
    data, _, schema = DOCUMENTS[name]
    data = through_json({"v": 1, **data} if schema == "state.v1" else data)
    yield from find_enumerations(data, published(schema))
    for index, item in enumerate(data.get("items", ()) if name == "journal" else ()):
        plan = published("plan.v1")
        places = find_enumerations(item["change"], plan, plan["$defs"]["change"])
        yield from (("items", index, "change", *place) for place in places)


# -- the tests --------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_unknown_key_is_ignored_at_every_level(name: str) -> None:
    data, read, schema = DOCUMENTS[name]
    data = through_json(data)
    expected = read(copy.deepcopy(data))
    places = list(find_objects(data, MAPS))
    assert places
    for place in places:
        later = copy.deepcopy(data)
        value_at(later, place)["later_key"] = {"later": [1, None]}
        assert read(later) == expected, place
        if name in ("plan", "snapshot"):
            assert fits(later, published(schema)), place


@pytest.mark.parametrize("name", DOCUMENTS)
def test_an_unknown_word_is_accepted_in_every_enumeration(name: str) -> None:
    """An action or a kind of resource that is not known cannot become a change: the version is named instead."""
    data, read, _ = DOCUMENTS[name]
    data = through_json(data)
    for place in words_of(name):
        if place == ("event",):
            continue  # a record that is not `begin` begins no run: see below
        later, (*parents, key) = copy.deepcopy(data), place
        value_at(later, tuple(parents))[key] = [WORD] if key == "actions" else WORD
        if key == "kind" and "address" in (change := value_at(later, tuple(parents))):
            change["address"] = f"{WORD}/orders"
        elif key != "actions":
            assert read(later), place
            for view in VIEWS if name == "plan" else ():
                assert render(view, [later], Context()), place
            continue
        with pytest.raises((Stale, JournalBroken), match=f"(?s)does not know.*{WORD}") as refused:
            read(later)
        assert (LATER if name == "plan" else "kplan 0.") in refused.value.message, place


def test_an_unknown_event_of_a_run_changes_nothing_of_what_is_known() -> None:
    begin = ("stack/shop/run/run-1/0", entry_to_json(ENTRY))
    will = ("stack/shop/run/run-1/1", entry_to_json(replace(ENTRY, seq=1, event="will", about={})))
    later = ("stack/shop/run/run-1/2", entry_to_json(replace(ENTRY, seq=2, event=WORD, about={})))
    known, all = (replay(log_of(*records).runs["shop", "run-1"].decode_entries())
                  for records in ([begin, will], [begin, will, later]))  # fmt: skip
    assert known is not None and all is not None and known.flying
    assert replace(all, seq=2) == known


def test_all_enumerations_of_a_plan_are_tried() -> None:
    """The plan of these tests has a value of each enumeration that the schema describes."""
    tried = {place[-1] for place in words_of("plan")}
    assert tried == {"mode", "restart", "new_tables", "state", "kind", "actions", "op", "cause", "level", "accepted",
                     "by", "severity"}  # fmt: skip


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda data: data.update(mode=WORD), "the mode `later_word`"),
        (lambda data: data["changes"][0]["undo"].update(kind=WORD), "the undo `later_word` of topic/orders"),
        (lambda data: data["changes"][1]["after"].update(state=WORD), "the state `later_word` of connector/cdc"),
    ],
)
def test_a_word_that_decides_what_an_apply_does_is_found(change: Callable[[Any], None], words: str) -> None:
    data = through_json(plans.to_json(PLAN))
    assert not list(find_unknown_words("apply", read_plan(data).changes))
    change(data)
    plan = read_plan(data)
    assert list(find_unknown_words(plan.mode, plan.changes)) == [words]


def test_a_danger_of_an_unknown_level_blocks() -> None:
    risk = Risk("K404", WORD, "records are deleted", "data-loss")
    assert risk.blocks and not replace(risk, accepted="flag").blocks
    assert not replace(risk, kind="").blocks


# -- with the command line --------------------------------------------------------------------------------------------
STACK = "version: 1\nstack: {name}\ntopics: {{{name}.orders: {{replication_factor: 1}}}}\n"
RECORD = {"stack": "b", "env": "local", "created": True, "protect": False, "applied": None, "run": "r", "at": NOW}


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    """Stacks `a` and `b` that were applied, on a simulated cluster."""
    shell = Shell(tmp_path)
    for name in ("a", "b"):
        shell.write(f"{name}.yaml", STACK.format(name=name))
    shell.kplan("apply", "a.yaml", "b.yaml", "--yes")
    return shell


def test_a_record_of_an_unknown_kind_stops_its_own_stack_and_no_other(shell: Shell) -> None:
    with sqlite3.connect(shell.folder / ".kplan/local.db") as database:
        insert = "INSERT INTO kplan_ledger (address, stack, record) VALUES ('lease/b.readers', 'b', ?)"
        database.execute(insert, (json.dumps(RECORD),))
    database.close()
    for command in (["plan"], ["apply", "--yes"], ["destroy", "--yes"], ["status"], ["drift"]):
        refused = shell.kplan(command[0], "b.yaml", *command[1:], expect=1)
        text = " ".join(refused.all.split())
        assert "kplan 0.1.0 does not know the kind `lease`" in text, text
        assert "lease/b.readers" in text, text
        assert command == ["status"] or ("K626" in text and "use the version of kplan" in text), text
    assert "No changes" in shell.kplan("plan", "a.yaml").out
    shell.write("a.yaml", STACK.format(name="a").replace("factor: 1", "factor: 1, partitions: 2"))
    assert "Applied 1 of 1" in shell.kplan("apply", "a.yaml", "--yes").out
    listed = shell.kplan("list").all
    assert "topic/a.orders" in listed and "topic/b.orders" in listed and "lease" in listed


def test_a_plan_with_unknown_words_is_shown_and_not_applied(shell: Shell) -> None:
    shell.write("a.yaml", STACK.format(name="a").replace("factor: 1", "factor: 1, config: {retention.ms: 2d}"))
    shell.kplan("plan", "a.yaml", "--out", "plan.json")
    saved = json.loads((shell.folder / "plan.json").read_text())
    saved |= {"kplan_version": LATER, "later_key": 1}
    shell.write("plan.json", json.dumps(saved | {"digest": document_digest(saved)}))
    assert "a.orders" in shell.kplan("show", "plan.json").out
    saved["changes"][0]["undo"]["kind"] = WORD
    shell.write("later.json", json.dumps(saved | {"digest": document_digest(saved)}))
    assert "a.orders" in shell.kplan("show", "later.json").out
    refused = " ".join(shell.kplan("apply", "later.json", "--yes", expect=5).err.split())
    assert "K521" in refused and f"kplan {LATER} made this plan" in refused and WORD in refused
    assert "Applied 1 of 1" in shell.kplan("apply", "plan.json", "--yes").out


def test_a_snapshot_with_a_record_of_an_unknown_kind_stops_its_own_stack(shell: Shell) -> None:
    shell.kplan("snapshot", "a.yaml", "b.yaml", "--out", "live.json")
    data = json.loads((shell.folder / "live.json").read_text())
    data["ledger"]["lease/b.readers"] = RECORD
    data["hidden"].append("lease/other")
    shell.write("live.json", json.dumps(data))
    assert "No changes" in shell.kplan("plan", "a.yaml", "--live", "live.json").out
    refused = " ".join(shell.kplan("plan", "b.yaml", "--live", "live.json", expect=1).all.split())
    assert "K626" in refused and "lease/b.readers" in refused


def test_a_later_key_in_a_row_of_the_file_is_ignored(tmp_path: Path) -> None:
    path = tmp_path / ".kplan/local.db"
    with SqliteStore(path).lock("shop", Holder("ann", "run-1", "kplan apply", NOW), 0) as lock:
        lock.write([ENTRY, replace(ENTRY, seq=1, event="end", items=(), about={"outcome": "applied"})],
                   {CDC: owned(CDC)})  # fmt: skip
    before = SqliteStore(path)
    expected = before.ledger(), before.summaries(), before.changes(ORDERS), before.entries("run-1")
    assert expected[0] and expected[1] and expected[2]
    with sqlite3.connect(path) as database:
        for table in ("kplan_ledger", "kplan_journal", "kplan_runs", "kplan_history"):
            database.execute(f"UPDATE {table} SET record = '{{\"later_key\": {{}}, ' || substr(record, 2)")
    database.close()
    after = SqliteStore(path)
    assert not after.overview().unreadable
    assert (after.ledger(), after.summaries(), after.changes(ORDERS), after.entries("run-1")) == expected
