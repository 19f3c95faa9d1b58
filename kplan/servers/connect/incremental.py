"""Requests incremental snapshots of a connector's new tables, and waits until they are done."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from typing import Protocol

from kplan.diagnostics import KplanError, codes
from kplan.kinds.connector.debezium import incremental
from kplan.kinds.connector.debezium.incremental import GOOD, SCANNED, Channel, Notification, name_of
from kplan.kinds.connector.options import connector_options, snapshots_of
from kplan.model import Address, Change, Connector
from kplan.servers.base import Outcome, Progress
from kplan.servers.connect.errors import NotSettled
from kplan.values import dataclass

POLL_INTERVAL_S = 1.0
log = logging.getLogger("kplan.servers.connect")  # one name for all work with Connect


class Signals(Protocol):
    """Sends and reads records of the topics that connectors read and write signals in (`signals.KafkaSignals`)."""

    def send(self, topic: str, key: str, value: str) -> None: ...

    def end(self, topic: str) -> int: ...

    def read(self, topic: str, start: int, seconds: float) -> tuple[list[bytes], int]: ...

    def close(self) -> None: ...


@dataclass(slots=True)
class IncrementalSnapshot:
    """The running snapshot of one connector. `heard` is the time of its last notification."""

    change: Change
    channel: Channel
    heard: float
    id: str = field(default_factory=lambda: f"kplan-{uuid.uuid4()}")
    scanned: dict[str, str] = field(default_factory=dict)  # table -> its status
    rows: int = 0
    outcome: Outcome | None = None

    def apply(self, notification: Notification) -> None:
        """Apply a notification of the connector."""
        if notification.kind == SCANNED:
            self.scanned[notification.table] = notification.status
            self.rows += notification.rows or 0
        elif notification.kind == "ABORTED":
            self.outcome = Outcome(_snapshot_error(f"the snapshot of {self.tables} was aborted"))
        elif notification.kind == "COMPLETED":
            failed_tables = [
                f"{table}: {status}" for table, status in self.scanned.items() if status not in self.good_statuses
            ]
            problem = (
                _snapshot_error(f"not all rows were read: {', '.join(failed_tables)}", self._find_help(failed_tables))
                if failed_tables
                else None
            )
            self.outcome = Outcome(
                problem, note=f"{self.rows} row{'' if self.rows == 1 else 's'} of {self.tables} read"
            )

    @property
    def good_statuses(self) -> Collection[str]:
        """Return the statuses of a successful table; EMPTY is one unless missing tables have no status of their own."""
        return [each for each in GOOD if each != "EMPTY" or self._reports_missing]

    @property
    def _reports_missing(self) -> bool:
        after = self.change.after
        snapshots = incremental.engine_snapshots(after) if isinstance(after, Connector) else None
        return snapshots is None or snapshots.reports_missing

    def _find_help(self, failed_tables: Sequence[str]) -> str:
        """Return what to do where the only error is that no document was found."""
        if self._reports_missing or any(not each.endswith(": EMPTY") for each in failed_tables):
            return ""
        return ("no document is there: correct the collection's name; of one that is empty there is nothing to read, "
                "so leave `new_tables` out for it")  # fmt: skip

    @property
    def tables(self) -> str:
        return ", ".join(name_of(entry) for entry in snapshots_of(self.change))

    @property
    def progress_text(self) -> str:
        tables_done = f", {len(self.scanned)} of {len(snapshots_of(self.change))} tables done" if self.scanned else ""
        return f"reading the rows already in {self.tables}{tables_done}"


@dataclass(frozen=True, slots=True)
class IncrementalSnapshots:
    """Incremental snapshots of one Connect cluster. A snapshot without notification for `seconds` has failed."""

    signals: Signals
    seconds: float
    clock: Callable[[], float]

    def run(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Wait until the existing rows of the changes' new tables are in their topics, or have failed."""
        outcomes: dict[Address, Outcome] = {}
        waiting: list[IncrementalSnapshot] = []
        starts: dict[str, int] = {}
        for change in changes:
            try:
                snapshot = self._start(change, starts)
            except KplanError as failure:
                outcomes[change.address] = Outcome(failure)
                continue
            waiting.append(snapshot)
            progress(change.address, snapshot.progress_text)
        while unfinished := [each for each in waiting if each.outcome is None]:
            self._read_notifications(unfinished, starts, progress)
        return outcomes | {each.change.address: each.outcome or Outcome() for each in waiting}

    def stop(self, change: Change) -> None:
        """Stop snapshots of the tables that leave the connector."""
        channel = incremental.channel(change.before) if isinstance(change.before, Connector) else None
        if channel is not None and isinstance(change.before, Connector):
            tables = incremental.collections(change.before, connector_options(change).stops, change.after)
            self.signals.send(channel.signals, channel.key, incremental.stop(f"kplan-{uuid.uuid4()}", tables))

    def _start(self, change: Change, starts: dict[str, int]) -> IncrementalSnapshot:
        channel = incremental.channel(change.after) if isinstance(change.after, Connector) else None
        if channel is None or not isinstance(change.after, Connector):
            raise _snapshot_error("the connector cannot be asked for a snapshot")
        starts.setdefault(channel.notifications, self.signals.end(channel.notifications))
        snapshot = IncrementalSnapshot(change, channel, self.clock())
        tables = incremental.collections(change.after, snapshots_of(change), change.before)
        self.signals.send(channel.signals, channel.key, incremental.execute(snapshot.id, tables))
        log.info("%s: asked through %s for a snapshot of %s", change.address, channel.signals, snapshot.tables)
        return snapshot

    def _read_notifications(
        self, waiting: Sequence[IncrementalSnapshot], starts: dict[str, int], progress: Progress
    ) -> None:
        """Apply the notifications since the last call; end snapshots that were silent for too long."""
        by_id = {snapshot_waiting.id: snapshot_waiting for snapshot_waiting in waiting}
        for topic in {each.channel.notifications for each in waiting}:
            try:
                values, starts[topic] = self.signals.read(topic, starts[topic], POLL_INTERVAL_S)
            except KplanError as failure:
                for each in waiting:
                    each.outcome = Outcome(failure)
                return
            for notification in filter(None, (incremental.notification(value, list(by_id)) for value in values)):
                snapshot = by_id[notification.id]
                log.info(
                    "%s: snapshot %s %s %s",
                    snapshot.change.address,
                    notification.kind,
                    notification.table,
                    notification.status,
                )
                snapshot.heard = self.clock()
                snapshot.apply(notification)
                progress(snapshot.change.address, snapshot.progress_text)
        for each in waiting:
            if each.outcome is None and self.clock() - each.heard > self.seconds:
                each.outcome = Outcome(_silence_error(each, self.seconds))


def _snapshot_error(message: str, help: str = "") -> KplanError:
    default_help = ("see the worker's log; a table without a primary key needs one for an incremental snapshot, or a "
             "surrogate key in the signal")  # fmt: skip
    return KplanError(message, code=codes.K516, help=help or default_help)


def _silence_error(snapshot: IncrementalSnapshot, seconds: float) -> KplanError:
    return NotSettled(f"the connector reported nothing about the snapshot of {snapshot.tables} for {seconds:g} s",
                      help=f"does the connector read {snapshot.channel.signals}? Is the table of signals there, and in "
                      "the publication, and was it so before the connector began?")  # fmt: skip
