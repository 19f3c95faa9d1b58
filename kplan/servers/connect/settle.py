"""Settling: a 201 or 200 says that a config was stored, not that it works, so every task is watched until it has held.

A worker shows the state from before a change for a while after it has accepted it, and a source may be RUNNING without
reading anything, so states are to hold and heartbeats to arrive.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kplan.diagnostics import ErrorClass, KplanError
from kplan.kinds.connector.debezium.discovery import describe_database
from kplan.kinds.connector.options import connector_options
from kplan.kinds.connector.sensitivity import masked_causes
from kplan.model import Action, Address, Change, Connector, Health, Secret
from kplan.model.masks import Mask
from kplan.servers.base import Outcome, Progress, Tell, untold
from kplan.servers.connect.documents import changed_keys, config_of, health_of, listing
from kplan.servers.connect.errors import NotSettled, TaskFailed
from kplan.servers.connect.rest import Rest, path_of, supports

log = logging.getLogger("kplan.servers.connect")  # one name for all that is done with Connect
Heartbeat = Callable[[Collection[str]], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Look:
    """What one look at a connector shows."""

    good: bool = False
    failure: str = ""
    words: str = "not listed yet"


def look(wanted: str, health: Health | None, expected: int) -> Look:
    """Whether it is as wanted: running (all `expected` tasks RUNNING), paused, stopped (no tasks) or gone."""
    if wanted == "gone":
        return Look(health is None, words="waiting until it is gone")
    if health is None:
        return Look()
    tasks = [task.state for task in health.tasks]
    words = f"waiting for {wanted.upper()}: {describe(health)}"
    if wanted == "stopped":
        return Look(health.state == "STOPPED" and not tasks, words=words)
    if wanted == "paused":
        return Look(health.state == "PAUSED" and not {"RUNNING", "RESTARTING"} & set(tasks), words=words)
    running = health.state == "RUNNING" and bool(tasks) and set(tasks) == {"RUNNING"} and len(tasks) == expected
    return Look(running, failure_of(health), words)


def describe(health: Health) -> str:
    """`RUNNING, 1/2 tasks RUNNING`."""
    running = sum(task.state == "RUNNING" for task in health.tasks)
    return (
        f"{health.state}, {running}/{len(health.tasks)} tasks RUNNING" if health.tasks else f"{health.state}, no task"
    )


def failure_of(health: Health) -> str:
    """What failed and why; empty where nothing did."""
    if health.state == "FAILED":
        return f"the connector: {health.cause or 'FAILED without a trace'}"
    return "; ".join(
        f"task {task.id}{' on ' + task.worker if task.worker else ''}: {task.cause or 'FAILED without a trace'}"
        for task in health.failed
    )


TAKEN_SECONDS = 10  # a busy worker goes on with the old tasks for longer than they are watched (measured: 3 s)
# Debezium beats only after it has read the structure of every table: 57 s of one processor's work for 1,000 small ones
# (3.7, measured).
TABLE_SECONDS = 0.2
CHANGED_HOLD = 2  # a worker shows the old tasks as RUNNING for up to 0.6 s after a new config was accepted (measured)


@dataclass(slots=True)
class Watch:
    """One change that is settling, its times those of the injected clock.

    Until `taken` at the latest its tasks are those from before, unless they show the new config.
    """

    change: Change
    wanted: str
    hold: float
    steady: float
    deadline: float
    beat: str = ""
    mark: int | None = None
    offsets: str | None = None
    alive: bool = False
    taken: float = 0.0
    restarts: int = 0
    restarted: int = 0
    restart_delay: float = 0.0
    good_since: float | None = None
    bad_since: float | None = None
    last: Look = field(default_factory=Look)
    said: str = ""
    outcome: Outcome | None = None

    @property
    def name(self) -> str:
        return self.change.address.name

    def see(self, now: float, seen: Look) -> None:
        """Remembers since when it has been good or bad without a break."""
        self.last = seen
        self.good_since = (self.good_since if self.good_since is not None else now) if seen.good else None
        self.bad_since = (self.bad_since if self.bad_since is not None else now) if seen.failure else None

    def held(self, now: float) -> bool:
        # A config update restarts the instance, which may write its old state once more after a pause or stop was seen.
        return self.good_since is not None and (self.wanted == "gone" or now - self.good_since >= self.hold)

    @property
    def failure(self) -> str:
        """What failed and why, with how often it was started again."""
        again = "1 restart" if self.restarted == 1 else f"{self.restarted} restarts"
        return f"{self.last.failure} (after {again})" if self.restarted else self.last.failure

    def words(self, now: float) -> str:
        """What it is waiting for."""
        if self.held(now) and self.beat:
            return f"RUNNING, waiting for a record in {self.beat}"
        again = f", restarted {self.restarted} of {self.restarted + self.restarts} times" if self.restarted else ""
        return self.last.words + again

    def failed(self, now: float) -> bool:
        """A FAILED that is left from before the change goes away within `steady` (measured: 0.15 s)."""
        return self.bad_since is not None and now - self.bad_since >= self.steady

    def restart_due(self, now: float) -> bool:
        return self.restarts > 0 and self.bad_since is not None and now - self.bad_since >= self.restart_delay

    def has_failed(self) -> TaskFailed:
        """What failed, with the database that it may be about: Debezium's own words seldom name it."""
        database = describe_database(self.change.after) if isinstance(self.change.after, Connector) else ""
        return TaskFailed(self.failure, help=f"it reads {database}: see that this answers" if database else "")

    def too_late(self) -> NotSettled:
        """Why its time is up."""
        if self.good_since is not None and self.beat and not self.alive:
            database = describe_database(self.change.after) if isinstance(self.change.after, Connector) else ""
            return NotSettled(f"{self.name} is RUNNING but does not work: nothing has arrived in its heartbeat topic "
                              f"{self.beat} since the change",
                              help="see the worker's and the database's log: a table that the role does not own under "
                                   "a filtered publication, a missing topic, a replication slot in use"
                                   + (f", or {database} does not answer" if database else ""))  # fmt: skip
        return NotSettled(f"{self.name} is not {self.wanted} in time; last seen: {self.last.words}",
                          help="see the worker's log; `timeouts: {settle: …}` gives it longer")  # fmt: skip


class Settler:
    """Watches changes that were accepted until each has held or failed."""

    def __init__(self, rest: Rest, mask: Mask, version: Callable[[], str], seconds: float, steady: float,
                 heartbeat: Heartbeat | None, tell: Tell = untold) -> None:  # fmt: skip
        self._rest = rest
        self._tell = tell
        self._mask = mask
        self._version = version
        self._seconds = seconds
        self._steady = steady
        self._heartbeat = heartbeat
        self._marks: dict[Address, int] = {}

    def mark(self, changes: Iterable[Change]) -> None:
        """Where the heartbeat topics end now is remembered, for those that have to show that they work."""
        self._marks |= self._beats([change for change in changes if _must_beat(change)])

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """All of them, looked at together, have held or failed."""
        waiting = [self._watch(change) for change in changes if not change.is_ledger_only]
        pause = 0.2
        while open_ := [watch for watch in waiting if watch.outcome is None]:
            self._tell("connectors settled", len(waiting) - len(open_), len(waiting))
            self._look(open_, progress)
            if any(watch.outcome is None for watch in open_):
                self._rest.patience.sleep(pause)
                pause = min(pause * 1.3, 1.0)
        done = {watch.change.address: watch.outcome or Outcome() for watch in waiting}
        return {change.address: done.get(change.address, Outcome()) for change in changes}

    def _watch(self, change: Change) -> Watch:
        after = change.after
        now = self._rest.patience.clock()
        if not isinstance(after, Connector) or change.action is Action.DELETE:
            return Watch(change, "gone", 0, self._steady, now + self._seconds)
        beat = after.heartbeat if self._heartbeat is not None and _must_beat(change) else ""
        seconds = max(self._seconds, 3 * _beat_seconds(after), _reading_seconds(after)) if beat else self._seconds
        updated = change.action is Action.UPDATE and (bool(changed_keys(change)) or connector_options(change).restart)
        restarts, delay = after.rules.restart_failed or (0, 0.0)
        mark = self._marks.pop(change.address, None)
        if updated:
            mark = None  # the old task may beat once more: what counts comes after the new one has held
        return Watch(
            change,
            after.state,
            hold=self._steady * (CHANGED_HOLD if updated else 1),
            steady=self._steady,
            deadline=now + seconds,
            beat=beat,
            mark=mark,
            taken=now + TAKEN_SECONDS if updated and beat else now,
            restarts=restarts,
            restart_delay=delay,
        )

    def _look(self, waiting: Sequence[Watch], progress: Progress) -> None:
        """One look at all of them; those that have come to an end have an outcome."""
        try:
            found = listing(self._rest.once)
            names = set(self._rest.once("GET", "/connectors") or ()) if _needs_names(waiting, found) else set()
            self._judge(waiting, found, names | found.keys(), progress)
        except KplanError as failure:
            self._bear(waiting, failure)

    def _bear(self, waiting: Sequence[Watch], failure: KplanError) -> None:
        """What may pass is waited for; nothing counts as having held over it."""
        now = self._rest.patience.clock()
        for watch in waiting:
            watch.good_since = watch.bad_since = None
            if failure.error_class is not ErrorClass.RETRIABLE or now >= watch.deadline:
                watch.outcome = Outcome(_unknown(failure))

    def _judge(self, waiting: Sequence[Watch], found: Mapping[str, Mapping[str, Any]], names: Collection[str],
               progress: Progress) -> None:  # fmt: skip
        now = self._rest.patience.clock()
        for watch in waiting:
            watch.see(now, self._seen(watch, found.get(watch.name), names))
        self._feel([watch for watch in waiting if watch.beat and not watch.alive and watch.held(now)])
        for watch in waiting:
            watch.outcome = self._verdict(watch, now)
            words = watch.words(now)
            if watch.outcome is None and words != watch.said:
                watch.said = words
                progress(watch.change.address, words)

    def _seen(self, watch: Watch, data: Mapping[str, Any] | None, names: Collection[str]) -> Look:
        """The look at one connector, whose move has come to its end only when its source is gone."""
        if watch.wanted == "gone" and watch.name in names:
            return Look(words="waiting until it is gone")
        source = watch.change.source
        if source is not None and source.name in names and source.name != watch.name:
            return Look(words=f"waiting until {source.name} is gone")
        health = None if data is None else masked_causes(health_of(data, self._mask), self._mask.mask)
        seen = look(watch.wanted, health, len(((data or {}).get("info") or {}).get("tasks") or ()))
        if seen.good and not self._is_taken(watch):
            return Look(words="waiting until its tasks have the new config")
        return seen

    def _is_taken(self, watch: Watch) -> bool:
        """Whether the tasks have the config that was changed, or ought to have it by now.

        A Debezium task has its connector's config; where one has not quite that, time decides.
        """
        if self._rest.patience.clock() >= watch.taken:
            return True
        keys, after = changed_keys(watch.change), config_of(watch.change.after)
        wanted = {key: value.value if isinstance(value, Secret) else value for key in keys if (value := after.get(key))}
        tasks = self._rest.once("GET", path_of(watch.name, "tasks")) or ()
        for task in tasks:
            config = task.get("config") or {}
            if any(key in config for key in keys - after.keys()):
                return False
            if any(value is not None and config.get(key) != value for key, value in wanted.items()):
                return False
        watch.taken = 0.0
        return True

    def _verdict(self, watch: Watch, now: float) -> Outcome | None:
        if watch.held(now) and (watch.alive or not watch.beat):
            return Outcome()
        if watch.restart_due(now):
            self._restart(watch)
        elif watch.failed(now) and not watch.restarts:
            return Outcome(watch.has_failed())
        if now < watch.deadline:
            return None
        return Outcome(watch.has_failed() if watch.last.failure else watch.too_late())

    def _restart(self, watch: Watch) -> None:
        """What failed is started again; one restart of the allowed ones is used up, whatever comes of it."""
        watch.restarts -= 1
        watch.restarted += 1
        watch.restart_delay *= 2
        watch.bad_since = None
        log.warning("%s failed and is restarted, %d more times at most: %s", watch.name, watch.restarts,
                    watch.last.failure)  # fmt: skip
        self._rest.once("POST", path_of(watch.name, "restart?includeTasks=true&onlyFailed=true"))

    def _feel(self, watches: Sequence[Watch]) -> None:
        """Those are marked as alive whose heartbeat topic has grown since the change, or whose offsets move."""
        # RUNNING is no proof: without its topics Debezium 3.7 stayed RUNNING for 78 s with no record (measured).
        # A first snapshot of hours has no heartbeats, but its offsets move.
        if not watches or self._heartbeat is None:
            return
        ends = self._heartbeat(sorted({watch.beat for watch in watches}))
        for watch in watches:
            end = ends.get(watch.beat, 0)
            watch.mark = end if watch.mark is None else watch.mark
            watch.alive = end > watch.mark or self._offsets_move(watch)

    def _offsets_move(self, watch: Watch) -> bool:
        """Whether the source's offsets have changed since the tasks held for the first time."""
        if not supports(self._version(), "read_offsets"):
            return False
        data = self._rest.once("GET", path_of(watch.name, "offsets")) or {}
        now = json.dumps(data.get("offsets"), sort_keys=True)
        before, watch.offsets = watch.offsets or now, watch.offsets or now
        return now != before

    def _beats(self, changes: Sequence[Change]) -> dict[Address, int]:
        """The end of each one's heartbeat topic; none where it cannot be read, and settling then begins to count."""
        topics = {c.address: c.after.heartbeat for c in changes if isinstance(c.after, Connector)}
        if not topics or self._heartbeat is None:
            return {}
        try:
            ends = self._heartbeat(sorted(set(topics.values())))
        except KplanError as failure:
            log.warning("heartbeat topics cannot be read: %s", failure.message)
            return {}
        return {address: ends.get(topic, 0) for address, topic in topics.items()}


def _must_beat(change: Change) -> bool:
    """Whether it has to show by a heartbeat that it works: new, or with another config, and running."""
    after = change.after
    if not isinstance(after, Connector) or not after.heartbeat or after.state != "running":
        return False
    if after.config.get("snapshot.mode") == "initial_only":
        return False  # after its snapshot, which may have been taken before, nothing is read, and nothing beats
    fresh = change.action in (Action.CREATE, Action.REPLACE, Action.MOVE)
    return fresh or (change.action is Action.UPDATE and bool(changed_keys(change)))


def _beat_seconds(connector: Connector) -> float:
    value = connector.config.get("heartbeat.interval.ms", "0")
    return int(value) / 1000 if isinstance(value, str) and value.isdecimal() else 0.0


def _reading_seconds(connector: Connector) -> float:
    """How long its task may read the structure of its tables before the first heartbeat."""
    tables = connector.config.get("table.include.list", "")
    return TABLE_SECONDS * (tables.count(",") + 1) if isinstance(tables, str) else 0.0


def _needs_names(waiting: Iterable[Watch], listed: Collection[str]) -> bool:
    """What is gone from the listing may only lack a status; the plain list knows."""
    return any((watch.wanted == "gone" and watch.name not in listed) or watch.change.source for watch in waiting)


def _unknown(failure: KplanError) -> KplanError:
    """It was acted before, so a failure while looking does not mean that nothing happened."""
    failure.applied = None
    return failure
