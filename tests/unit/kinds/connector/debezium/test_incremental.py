"""Incremental snapshots: what is asked, what is told, and what silence means."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import pytest

from kplan.diagnostics import Denied, KplanError
from kplan.kinds.connector.debezium import incremental
from kplan.kinds.connector.debezium.incremental import Notification
from kplan.kinds.connector.options import ConnectorOptions, connector_options
from kplan.model import Action, Address, Change, Connector, Live, Rules, Stack, Undo
from kplan.planning.diff import diff
from kplan.planning.undo import inverse
from kplan.servers.base import Outcome
from kplan.servers.connect.incremental import IncrementalSnapshots

ASKABLE = {
    "connector.class": "io.debezium.connector.postgresql.PostgresConnector",
    "topic.prefix": "p",
    "signal.enabled.channels": "source, kafka",
    "signal.kafka.topic": "p.signals",
    "signal.data.collection": "public.signal",
    "notification.enabled.channels": "sink",
    "notification.sink.topic.name": "p.notifications",
}


def changed(before: str, after: str, config: Mapping[str, str] = ASKABLE, new: str = "incremental") -> Change:
    """The update of a connector whose list of tables goes from `before` to `after`."""
    live = Connector("c", {**config, "table.include.list": before})
    want = Connector("c", {**config, "table.include.list": after}, rules=Rules(new_tables=new))
    found = diff(Stack("s", "e", {want.address: want}), Live(resources={live.address: live}), {})
    return found.changes[0]


def test_only_tables_that_were_not_captured_are_read_and_the_undo_stops_that() -> None:
    change = changed(r"public\.a,public\.b", r"public\.b, public\.c ,public\.d")
    assert connector_options(change).snapshots == (r"public\.c", r"public\.d")
    assert any("public.c, public.d (incremental snapshot)" in effect for effect in change.options.effects)
    back = inverse(replace(change, undo=Undo("restore", True)))
    assert back is not None and (connector_options(back).snapshots, connector_options(back).stops) == (
        (),
        connector_options(change).snapshots,
    )


LOGS_TOO = r"(?!(?:public\.secret|public\.logs)$)(?:public\..*)"
LESS = r"(?!(?:public\.secret)$)(?:public\..*)"


@pytest.mark.parametrize(
    ("before", "after", "new"),
    [
        (LESS, LOGS_TOO, ()),
        (LOGS_TOO, LESS, (r"public\.logs",)),
        (r"public\..*", r"public\.z", ()),
        (r"PUBLIC\..*", r"public\..*,public\.z", (r"public\..*",)),
        (r"public\.A", r"public\.a", ()),
        (r"public\.t{1\,3}", r"public\.t{1\,3},public\.b", (r"public\.b",)),
        (r"a\..*", r"a\..*,b\.(x|y)", (r"b\.(x|y)",)),
        (r"(?!(?:b\.t|a\.(x|y))$)(?:a\..*)", r"a\..*", (r"a\.(x|y)",)),
    ],
)
def test_what_was_captured_already_is_not_new(before: str, after: str, new: tuple[str, ...]) -> None:
    assert connector_options(changed(before, after)).snapshots == new


def sent(config: Mapping[str, str], before: str, after: str) -> list[str]:
    """What a signal about the tables that `after` adds asks for."""
    change = changed(before, after, {**ASKABLE, **config})
    assert isinstance(change.after, Connector) and connector_options(change).snapshots
    return incremental.collections(change.after, connector_options(change).snapshots, change.before)


def of(name: str) -> str:
    return f"io.debezium.connector.{name}"


@pytest.mark.parametrize(
    ("config", "entry", "wanted"),
    [
        ({}, r"public\.b", [r"public\.b"]),
        ({"connector.class": of("mysql.MySqlConnector")}, r"kbe\.b", [r"kbe\.b"]),
        ({"connector.class": of("sqlserver.SqlServerConnector"), "database.names": "shop"}, r"dbo\.b", ["shop.dbo.b"]),
        ({"connector.class": of("oracle.OracleConnector"), "database.dbname": "orclcdb"}, r"HR\.B", ["ORCLCDB.HR.B"]),
        (
            {"connector.class": of("oracle.OracleConnector"), "database.dbname": "c", "database.pdb.name": "pdb1"},
            r"C##U\.B\$1",
            ["PDB1.C##U.B$1"],
        ),
    ],
)
def test_a_table_has_the_full_name_that_its_engine_knows_it_by(
    config: Mapping[str, str], entry: str, wanted: list[str]
) -> None:
    assert sent(config, r"x\.a", rf"x\.a,{entry}") == wanted


def test_collections_of_mongodb_are_plain_names() -> None:
    config = {**ASKABLE, "connector.class": of("mongodb.MongoDbConnector")}
    before = Connector("c", {**config, "collection.include.list": r"shop\.a"})
    after = Connector("c", {**config, "collection.include.list": r"shop\.a,shop\.orders"})
    assert incremental.collections(after, [r"shop\.orders"], before) == ["shop.orders"]


@pytest.mark.parametrize(
    ("config", "before", "after", "read", "left"),
    [
        ({}, r"public\.orders", r"public\.orders,public\.o.*", ["public.o1", "PUBLIC.O2"], ["public.orders", "hr.o"]),
        ({}, r"(?!(?:a\.(x|y))$)(?:a\.[xyz])", r"a\.[xyz]", ["a.x", "a.y"], ["a.z", "a.xy"]),
        (
            {"connector.class": of("sqlserver.SqlServerConnector"), "database.names": "shop"},
            r"dbo\.a",
            r"dbo\.a,(?!(?:dbo\.s)$)(?:dbo\..*)",
            ["shop.dbo.b"],
            ["shop.dbo.a", "shop.dbo.s", "dbo.b", "other.dbo.b"],
        ),
    ],
)
def test_a_new_pattern_asks_for_what_was_not_captured_before(
    config: Mapping[str, str], before: str, after: str, read: list[str], left: list[str]
) -> None:
    (pattern,) = sent(config, before, after)
    assert [name for name in read if not re.fullmatch(pattern, name)] == []
    assert [name for name in left if re.fullmatch(pattern, name)] == []


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ({"connector.class": of("sqlserver.SqlServerConnector"), "database.names": "shop,old"}, "several databases"),
        ({"connector.class": of("sqlserver.SqlServerConnector")}, "which database"),
        ({"connector.class": of("mongodb.MongoDbConnector"), "collection.include.list": r"shop\.o.*"}, "patterns"),
        ({"connector.class": of("vitess.VitessConnector")}, "does not know"),
    ],
)
def test_a_connector_whose_tables_kplan_cannot_name_is_refused(config: Mapping[str, str], words: str) -> None:
    connector = Connector("c", {**ASKABLE, **config}, rules=Rules(new_tables="incremental"))
    [problem] = incremental.problems([connector])
    assert problem.code == "K239" and words in problem.detail


@pytest.mark.parametrize("new", ["none", ""])
def test_nothing_is_read_where_that_is_not_asked(new: str) -> None:
    assert connector_options(changed("a.b", "a.b,a.c", new=new)).snapshots == ()


@pytest.mark.parametrize("key", [key for key in ASKABLE if key not in ("connector.class", "signal.kafka.topic")])
def test_a_connector_that_cannot_be_asked_is_an_error_that_names_what_it_lacks(key: str) -> None:
    config = {k: v for k, v in ASKABLE.items() if k != key}
    connector = Connector("c", config, rules=Rules(new_tables="incremental"))
    [problem] = incremental.problems([connector])
    assert problem.code == "K239" and key in problem.detail
    assert connector_options(changed("a.b", "a.b,a.c", config)).snapshots == ()


def test_a_read_only_connector_needs_no_table_of_signals() -> None:
    config = {k: v for k, v in ASKABLE.items() if k != "signal.data.collection"} | {"read.only": "true"}
    assert incremental.problems([Connector("c", config, rules=Rules(new_tables="incremental"))]) == []


def told(id: str, kind: str, **more: str) -> bytes:
    return json.dumps({"id": id, "type": kind, "additional_data": more}).encode()


def test_notifications_are_read_with_and_without_an_envelope_and_by_their_bytes() -> None:
    plain = told("x", "TABLE_SCAN_COMPLETED", scanned_collection="p.t", total_rows_scanned="7", status="SUCCEEDED")
    wanted = Notification("x", "TABLE_SCAN_COMPLETED", "p.t", "SUCCEEDED", 7)
    assert incremental.notification(plain, ["x"]) == wanted
    wrapped = json.dumps({"schema": {}, "payload": json.loads(plain)}).encode()
    assert incremental.notification(wrapped, ["x"]) == wanted
    avro = b"\x00\x00\x00\x00\x01\x06kplan-1\x26Incremental Snapshot\x12COMPLETED\x00"
    assert incremental.notification(avro, ["kplan-1"]) == Notification("kplan-1", "COMPLETED")


@pytest.mark.parametrize("value", [None, b"", b"null", b"[1]", b"\xff\x00", b"7", told("other", "COMPLETED")])
def test_what_tells_nothing_of_ours_is_passed_over(value: bytes | None) -> None:
    assert incremental.notification(value, ["x"]) is None


@dataclass
class Fake:
    """A connector that answers a signal with `answers` (ID is the signal's), one read at a time."""

    answers: list[list[bytes]]
    sent: list[tuple[str, str, dict[str, object]]] = field(default_factory=list)
    clock: float = 0.0
    refuses: KplanError | None = None

    def send(self, topic: str, key: str, value: str) -> None:
        if self.refuses:
            raise self.refuses
        self.sent.append((topic, key, json.loads(value)))

    def end(self, topic: str) -> int:
        return 5

    def read(self, topic: str, start: int, seconds: float) -> tuple[list[bytes], int]:
        self.clock += seconds
        values = self.answers.pop(0) if self.answers else []
        id_ = str(self.sent[-1][2]["id"])
        return [value.replace(b"ID", id_.encode()) for value in values], start + len(values)

    def close(self) -> None: ...

    def run(self, change: Change | None = None) -> Outcome:
        change = change or changed(r"public\.a", r"public\.a,public\.b")
        snapshots = IncrementalSnapshots(self, 30, lambda: self.clock)
        return snapshots.run([change], lambda address, words: None)[Address("connector", "c")]


def scanned(status: str) -> bytes:
    return told("ID", "TABLE_SCAN_COMPLETED", scanned_collection="public.b", total_rows_scanned="3", status=status)


def test_a_snapshot_is_asked_for_and_waited_for() -> None:
    fake = Fake([[], [told("ID", "STARTED")], [scanned("SUCCEEDED"), told("ID", "COMPLETED")]])
    outcome = fake.run()
    assert outcome.ok and outcome.note == "3 rows of public.b read"
    [(topic, key, signal)] = fake.sent
    assert (topic, key, signal["type"]) == ("p.signals", "p", "execute-snapshot")
    assert signal["data"] == {"data-collections": [r"public\.b"], "type": "incremental"}


@pytest.mark.parametrize(
    ("answers", "words"),
    [
        ([[told("ID", "ABORTED")]], "was aborted"),
        ([[scanned("NO_PRIMARY_KEY"), told("ID", "COMPLETED")]], "public.b: NO_PRIMARY_KEY"),
        ([[scanned("SQL_EXCEPTION")], [told("ID", "COMPLETED")]], "public.b: SQL_EXCEPTION"),
        ([], "for 30 s"),
    ],
)
def test_a_snapshot_that_does_not_succeed_is_a_failure_with_its_reason(answers: list[list[bytes]], words: str) -> None:
    outcome = Fake(answers).run()
    assert outcome.error is not None and words in outcome.error.message


def test_a_table_without_rows_is_read_and_a_collection_that_nobody_finds_is_not() -> None:
    answers = [[scanned("EMPTY"), told("ID", "COMPLETED")]]
    assert Fake(list(answers)).run().ok
    config = {**ASKABLE, "connector.class": of("mongodb.MongoDbConnector")}
    before = Connector("c", {**config, "collection.include.list": r"shop\.a"})
    after = Connector("c", {**config, "collection.include.list": r"shop\.a,public\.b"})
    change = Change(after.address, Action.UPDATE, before, after, options=ConnectorOptions(snapshots=(r"public\.b",)))
    error = Fake(list(answers)).run(change).error
    assert error is not None and "public.b: EMPTY" in error.message and "name" in error.help


def test_one_that_may_not_write_signals_is_told_so() -> None:
    outcome = Fake([], refuses=Denied("the signal was not written")).run()
    assert isinstance(outcome.error, Denied)
