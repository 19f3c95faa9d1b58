"""Asks a connector for incremental snapshots of its new tables, and waits until they are done."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from kplan.diagnostics import KplanError, codes
from kplan.kinds.connector.debezium import incremental
from kplan.kinds.connector.debezium.incremental import GOOD, SCANNED, Channel, Notification, name_of
from kplan.kinds.connector.options import connector_options, snapshots_of
from kplan.model import Address, Change, Connector
from kplan.servers.base import Outcome, Progress
from kplan.servers.connect.errors import NotSettled

LOOK_SECONDS = 1.0
log = logging.getLogger("kplan.servers.connect")  # one name for all that is done with Connect


class Signals(Protocol):
    """Records in and out of the topics that connectors listen and speak to (`kafka_signals.KafkaSignals`)."""

    def send(self, topic: str, key: str, value: str) -> None: ...

    def end(self, topic: str) -> int: ...

    def read(self, topic: str, start: int, seconds: float) -> tuple[list[bytes], int]: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class IncrementalSnapshot:
    """One connector's, on its way. `heard` is when it last told anything."""

    change: Change
    channel: Channel
    heard: float
    id: str = field(default_factory=lambda: f"kplan-{uuid.uuid4()}")
    scanned: dict[str, str] = field(default_factory=dict)  # table -> its status
    rows: int = 0
    outcome: Outcome | None = None

    def take(self, told: Notification) -> None:
        """Learns what the connector tells."""
        if told.kind == SCANNED:
            self.scanned[told.table] = told.status
            self.rows += told.rows or 0
        elif told.kind == "ABORTED":
            self.outcome = Outcome(_failed(f"the snapshot of {self.tables} was aborted"))
        elif told.kind == "COMPLETED":
            bad = [f"{table}: {status}" for table, status in self.scanned.items() if status not in self.good]
            problem = _failed(f"not all rows were read: {', '.join(bad)}", self._help(bad)) if bad else None
            self.outcome = Outcome(
                problem, note=f"{self.rows} row{'' if self.rows == 1 else 's'} of {self.tables} read"
            )

    @property
    def good(self) -> Collection[str]:
        """What may be told of a table; where a missing one has no status of its own, it is empty, too."""
        return [each for each in GOOD if each != "EMPTY" or self._reports_missing]

    @property
    def _reports_missing(self) -> bool:
        after = self.change.after
        snapshots = incremental.engine_snapshots(after) if isinstance(after, Connector) else None
        return snapshots is None or snapshots.reports_missing

    def _help(self, bad: Sequence[str]) -> str:
        """What to do where nothing else is wrong but that no document was found."""
        if self._reports_missing or any(not each.endswith(": EMPTY") for each in bad):
            return ""
        return ("no document is there: correct the collection's name; of one that is empty there is nothing to read, "
                "so leave `new_tables` out for it")  # fmt: skip

    @property
    def tables(self) -> str:
        return ", ".join(name_of(entry) for entry in snapshots_of(self.change))

    @property
    def words(self) -> str:
        done = f", {len(self.scanned)} of {len(snapshots_of(self.change))} tables done" if self.scanned else ""
        return f"reading the rows already in {self.tables}{done}"


@dataclass(frozen=True, slots=True)
class IncrementalSnapshots:
    """Incremental snapshots of one Connect cluster. One that tells nothing for `seconds` has failed."""

    signals: Signals
    seconds: float
    clock: Callable[[], float]

    def run(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """The rows that the changes' new tables already had are in their topics, or it is said why not."""
        outcomes: dict[Address, Outcome] = {}
        waiting: list[IncrementalSnapshot] = []
        starts: dict[str, int] = {}
        for change in changes:
            try:
                snapshot = self._begun(change, starts)
            except KplanError as failure:
                outcomes[change.address] = Outcome(failure)
                continue
            waiting.append(snapshot)
            progress(change.address, snapshot.words)
        while open_ := [each for each in waiting if each.outcome is None]:
            self._look(open_, starts, progress)
        return outcomes | {each.change.address: each.outcome or Outcome() for each in waiting}

    def stop(self, change: Change) -> None:
        """A snapshot of the tables that are to leave the connector is told to end."""
        channel = incremental.channel(change.before) if isinstance(change.before, Connector) else None
        if channel is not None and isinstance(change.before, Connector):
            tables = incremental.collections(change.before, connector_options(change).stops, change.after)
            self.signals.send(channel.signals, channel.key, incremental.stop(f"kplan-{uuid.uuid4()}", tables))

    def _begun(self, change: Change, starts: dict[str, int]) -> IncrementalSnapshot:
        channel = incremental.channel(change.after) if isinstance(change.after, Connector) else None
        if channel is None or not isinstance(change.after, Connector):
            raise _failed("the connector cannot be asked for a snapshot")
        starts.setdefault(channel.notifications, self.signals.end(channel.notifications))
        snapshot = IncrementalSnapshot(change, channel, self.clock())
        tables = incremental.collections(change.after, snapshots_of(change), change.before)
        self.signals.send(channel.signals, channel.key, incremental.execute(snapshot.id, tables))
        log.info("%s: asked through %s for a snapshot of %s", change.address, channel.signals, snapshot.tables)
        return snapshot

    def _look(self, waiting: Sequence[IncrementalSnapshot], starts: dict[str, int], progress: Progress) -> None:
        """What has been told since the last look is taken in; silence has its limit."""
        by_id = {each.id: each for each in waiting}
        for topic in {each.channel.notifications for each in waiting}:
            try:
                values, starts[topic] = self.signals.read(topic, starts[topic], LOOK_SECONDS)
            except KplanError as failure:
                for each in waiting:
                    each.outcome = Outcome(failure)
                return
            for told in filter(None, (incremental.notification(value, list(by_id)) for value in values)):
                snapshot = by_id[told.id]
                log.info("%s: snapshot %s %s %s", snapshot.change.address, told.kind, told.table, told.status)
                snapshot.heard = self.clock()
                snapshot.take(told)
                progress(snapshot.change.address, snapshot.words)
        for each in waiting:
            if each.outcome is None and self.clock() - each.heard > self.seconds:
                each.outcome = Outcome(_silent(each, self.seconds))


def _failed(message: str, help: str = "") -> KplanError:
    usual = ("see the worker's log; a table without a primary key needs one for an incremental snapshot, or a "
             "surrogate key in the signal")  # fmt: skip
    return KplanError(message, code=codes.K516, help=help or usual)


def _silent(snapshot: IncrementalSnapshot, seconds: float) -> KplanError:
    return NotSettled(f"nothing was told of the snapshot of {snapshot.tables} for {seconds:g} s",
                      help=f"does the connector read {snapshot.channel.signals}? Is the table of signals there, and in "
                      "the publication, and was it so before the connector began?")  # fmt: skip
