"""Incremental snapshots: what is asked, what is told, and what silence means."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field

import pytest

from kplan import incremental
from kplan.backends.base import Outcome
from kplan.backends.connect_incremental import IncrementalSnapshots
from kplan.diagnostics import Denied, KplanError
from kplan.diff import diff
from kplan.incremental import Notification
from kplan.model import Address, Change, Connector, Live, Rules, Stack
from kplan.undo import inverse

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
    assert change.snapshots == (r"public\.c", r"public\.d")
    assert any("public.c, public.d (incremental snapshot)" in effect for effect in change.effects)
    back = inverse(change)
    assert back is not None and (back.snapshots, back.stops) == ((), change.snapshots)


@pytest.mark.parametrize("new", ["none", ""])
def test_nothing_is_read_where_that_is_not_asked(new: str) -> None:
    assert changed("a.b", "a.b,a.c", new=new).snapshots == ()


@pytest.mark.parametrize("key", [key for key in ASKABLE if key not in ("connector.class", "signal.kafka.topic")])
def test_a_connector_that_cannot_be_asked_is_an_error_that_names_what_it_lacks(key: str) -> None:
    config = {k: v for k, v in ASKABLE.items() if k != key}
    connector = Connector("c", config, rules=Rules(new_tables="incremental"))
    [problem] = incremental.problems([connector])
    assert problem.code == "K239" and key in problem.detail
    assert changed("a.b", "a.b,a.c", config).snapshots == ()


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

    def run(self) -> Outcome:
        change = changed(r"public\.a", r"public\.a,public\.b")
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


def test_one_that_may_not_write_signals_is_told_so() -> None:
    outcome = Fake([], refuses=Denied("the signal was not written")).run()
    assert isinstance(outcome.error, Denied)
