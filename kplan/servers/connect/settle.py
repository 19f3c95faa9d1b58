"""Settling: a 201 or 200 means that a config was stored, not that it works, so every task is watched until it holds.

A worker shows the state from before a change for a while after it has accepted it, and a source may be RUNNING without
reading anything, so states must hold and heartbeats must arrive.
"""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import field
from typing import Any

from kplan.diagnostics import ErrorClass, KplanError
from kplan.kinds.connector.debezium.discovery import describe_database
from kplan.kinds.connector.names import alias_of, local_name
from kplan.kinds.connector.options import connector_options
from kplan.kinds.connector.sensitivity import masked_causes
from kplan.model import Action, Address, Change, Connector, Health, Secret
from kplan.model.masks import Mask
from kplan.servers.base import Outcome, Progress, ReportProgress, ignore_progress
from kplan.servers.connect.documents import changed_keys, config_of, health_of, list_connectors
from kplan.servers.connect.errors import NotSettled, TaskFailed
from kplan.servers.connect.rest import path_of, supports
from kplan.servers.rest import Rest
from kplan.values import dataclass

# Kafka's exceptions: `TopicAuthorizationException`, `GroupAuthorizationException`, …
REFUSED = re.compile(r"AuthorizationException|[Nn]ot authorized to access|[Aa]uthorization failed")
REFUSED_PAUSE_S = 1.0  # between a refusal and the next try
log = logging.getLogger("kplan.servers.connect")  # one name for all work with Connect
Heartbeat = Callable[[Collection[str]], Mapping[str, int]]


@dataclass(frozen=True, slots=True)
class Observation:
    """What one request shows of a connector."""

    good: bool = False
    failure: str = ""
    description: str = "not listed yet"


def observe(declared: str, health: Health | None, expected: int) -> Observation:
    """Return whether it is as declared: running (all `expected` tasks RUNNING), paused, stopped (no tasks) or gone."""
    if declared == "gone":
        return Observation(health is None, description="waiting until it is gone")
    if health is None:
        return Observation()
    tasks = [task.state for task in health.tasks]
    description = f"waiting for {declared.upper()}: {describe_health(health)}"
    if declared == "stopped":
        return Observation(health.state == "STOPPED" and not tasks, description=description)
    if declared == "paused":
        return Observation(
            health.state == "PAUSED" and not {"RUNNING", "RESTARTING"} & set(tasks), description=description
        )
    is_running = health.state == "RUNNING" and bool(tasks) and set(tasks) == {"RUNNING"} and len(tasks) == expected
    return Observation(is_running, describe_failure(health), description)


def describe_health(health: Health) -> str:
    """Return `RUNNING, 1/2 tasks RUNNING`."""
    running = sum(task.state == "RUNNING" for task in health.tasks)
    return (
        f"{health.state}, {running}/{len(health.tasks)} tasks RUNNING" if health.tasks else f"{health.state}, no task"
    )


def describe_failure(health: Health) -> str:
    """Return what failed and why; empty where nothing did."""
    if health.state == "FAILED":
        return f"the connector: {health.cause or 'FAILED without a trace'}"
    return "; ".join(
        f"task {task.id}{' on ' + task.worker if task.worker else ''}: {task.cause or 'FAILED without a trace'}"
        for task in health.failed
    )


OLD_TASKS_TIMEOUT_S = 10  # a busy worker keeps the old tasks longer than they are watched (measured: 3 s)
# Debezium sends heartbeats only after it has read the structure of every table: 57 s of one processor's time for
# 1,000 small ones (3.7, measured).
SECONDS_PER_TABLE = 0.2
CHANGED_HOLD_FACTOR = (
    2  # a worker shows the old tasks as RUNNING for up to 0.6 s after a new config was accepted (measured)
)


@dataclass(slots=True)
class Watch:
    """One change that is settling, with times of the injected clock.

    Until `taken` at the latest its tasks are the old ones, unless they show the new config.
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
    last: Observation = field(default_factory=Observation)
    last_progress: str = ""
    outcome: Outcome | None = None

    @property
    def name(self) -> str:
        """Return the name that Connect knows."""
        return local_name(self.change.address.name)

    def record(self, now: float, observation: Observation) -> None:
        """Remember since when it has been good or bad without a break."""
        self.last = observation
        self.good_since = (self.good_since if self.good_since is not None else now) if observation.good else None
        self.bad_since = (self.bad_since if self.bad_since is not None else now) if observation.failure else None

    def has_held(self, now: float) -> bool:
        # A config update restarts the instance, which may write its old state again after a pause or stop was visible.
        return self.good_since is not None and (self.wanted == "gone" or now - self.good_since >= self.hold)

    @property
    def failure(self) -> str:
        """Return what failed and why, with the number of restarts."""
        restarts_text = "1 restart" if self.restarted == 1 else f"{self.restarted} restarts"
        return f"{self.last.failure} (after {restarts_text})" if self.restarted else self.last.failure

    def describe_wait(self, now: float) -> str:
        """Return what it is waiting for."""
        if self.has_held(now) and self.beat:
            return f"RUNNING, waiting for a record in {self.beat}"
        if self.good_since is not None and self.wanted == "running":
            return f"running; watching {self.hold:g} s for an early failure"
        restarts_text = (
            f", restarted {self.restarted} of {self.restarted + self.restarts} times" if self.restarted else ""
        )
        return self.last.description + restarts_text

    def has_failed_for_long(self, now: float) -> bool:
        """Return whether it has failed: a FAILED from before the change ends within `steady` (measured: 0.15 s)."""
        return self.bad_since is not None and now - self.bad_since >= self.steady

    def is_refused_for(self, now: float) -> float:
        """Return for how many seconds it has been failing because the brokers refuse it; 0 for another failure."""
        is_refused = self.bad_since is not None and REFUSED.search(self.last.failure) is not None
        return now - self.bad_since if is_refused and self.bad_since is not None else 0.0

    def needs_restart(self, now: float) -> bool:
        return self.restarts > 0 and self.bad_since is not None and now - self.bad_since >= self.restart_delay

    def failure_error(self) -> TaskFailed:
        """Return the error, with the database that it may be about: Debezium's own message seldom names it."""
        database = describe_database(self.change.after) if isinstance(self.change.after, Connector) else ""
        return TaskFailed(self.failure, help=f"it reads {database}: see that this answers" if database else "")

    def timeout_error(self) -> NotSettled:
        """Return the error after its time is up."""
        if self.good_since is not None and self.beat and not self.alive:
            database = describe_database(self.change.after) if isinstance(self.change.after, Connector) else ""
            return NotSettled(f"{self.name} is RUNNING but does not work: nothing has arrived in its heartbeat topic "
                              f"{self.beat} since the change",
                              help="see the worker's and the database's log: a table that the role does not own under "
                                   "a filtered publication, a missing topic, a replication slot in use"
                                   + (f", or {database} does not answer" if database else ""))  # fmt: skip
        return NotSettled(f"{self.name} is not {self.wanted} in time; last seen: {self.last.description}",
                          help="see the worker's log; `timeouts: {settle: …}` gives it longer")  # fmt: skip


class Settler:
    """Watches changes that were accepted until each has held or failed."""

    def __init__(self, rest: Rest, mask: Mask, version: Callable[[], str], seconds: float, steady: float,
                 heartbeat: Heartbeat | None, tell: ReportProgress = ignore_progress) -> None:  # fmt: skip
        self._rest = rest
        self._tell = tell
        self._mask = mask
        self._version = version
        self._seconds = seconds
        self._steady = steady
        self._heartbeat = heartbeat
        self._marks: dict[Address, int] = {}
        self.are_bindings_new = False  # whether the run creates bindings, of which brokers learn one after the other

    def record_heartbeats(self, changes: Iterable[Change]) -> None:
        """Remember where the heartbeat topics end now, for those connectors that must show that they work."""
        self._marks |= self._read_heartbeats([change for change in changes if _needs_heartbeat(change)])

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Wait until all changes, observed together, have held or failed."""
        waiting = [self._create_watch(change) for change in changes if not change.is_ledger_only]
        pause = 0.2
        while unsettled := [watch for watch in waiting if watch.outcome is None]:
            self._tell("connectors settled", len(waiting) - len(unsettled), len(waiting))
            self._observe(unsettled, progress)
            if still := [watch for watch in unsettled if watch.outcome is None]:
                now = self._rest.patience.clock()
                ends = [watch.good_since + watch.hold - now for watch in still if watch.good_since is not None]
                self._rest.patience.sleep(min([pause, *(end for end in ends if end > 0)]))
                pause = min(pause * 1.3, 1.0)
        done = {watch.change.address: watch.outcome or Outcome() for watch in waiting}
        return {change.address: done.get(change.address, Outcome()) for change in changes}

    def _create_watch(self, change: Change) -> Watch:
        after = change.after
        now = self._rest.patience.clock()
        if not isinstance(after, Connector) or change.action is Action.DELETE:
            return Watch(change, "gone", 0, self._steady, now + self._seconds)
        heartbeat_topic = after.heartbeat if self._heartbeat is not None and _needs_heartbeat(change) else ""
        seconds = (
            max(self._seconds, 3 * _heartbeat_interval(after), _max_reading_seconds(after))
            if heartbeat_topic
            else self._seconds
        )
        is_update = change.action is Action.UPDATE and (bool(changed_keys(change)) or connector_options(change).restart)
        restarts, delay = after.rules.restart_failed or (0, 0.0)
        mark = self._marks.pop(change.address, None)
        if is_update:
            mark = None  # the old task may send one more heartbeat: only those after the new task has held count
        return Watch(
            change,
            after.state,
            hold=self._steady * (CHANGED_HOLD_FACTOR if is_update else 1),
            steady=self._steady,
            deadline=now + seconds,
            beat=heartbeat_topic,
            mark=mark,
            taken=now + OLD_TASKS_TIMEOUT_S if is_update and heartbeat_topic else now,
            restarts=restarts,
            restart_delay=delay,
        )

    def _observe(self, waiting: Sequence[Watch], progress: Progress) -> None:
        """Observe all of them once; those that have ended have an outcome."""
        try:
            connectors = list_connectors(self._rest.send_once)
            names = (
                set(self._rest.send_once("GET", "/connectors") or ()) if _needs_names(waiting, connectors) else set()
            )
            self._update_watches(waiting, connectors, names | connectors.keys(), progress)
        except KplanError as failure:
            self._handle_failure(waiting, failure)

    def _handle_failure(self, waiting: Sequence[Watch], failure: KplanError) -> None:
        """Wait on after a temporary failure; no state counts as having held across it."""
        now = self._rest.patience.clock()
        for watch in waiting:
            watch.good_since = watch.bad_since = None
            if failure.error_class is not ErrorClass.RETRIABLE or now >= watch.deadline:
                watch.outcome = Outcome(_mark_unknown(failure))

    def _update_watches(
        self,
        waiting: Sequence[Watch],
        connectors: Mapping[str, Mapping[str, Any]],
        names: Collection[str],
        progress: Progress,
    ) -> None:
        now = self._rest.patience.clock()
        for watch in waiting:
            watch.record(now, self._observe_connector(watch, connectors.get(watch.name), names))
        self._check_heartbeats([watch for watch in waiting if watch.beat and not watch.alive and watch.has_held(now)])
        for watch in waiting:
            watch.outcome = self._decide_outcome(watch, now)
            description = watch.describe_wait(now)
            if watch.outcome is None and description != watch.last_progress:
                watch.last_progress = description
                progress(watch.change.address, description)

    def _observe_connector(self, watch: Watch, data: Mapping[str, Any] | None, names: Collection[str]) -> Observation:
        """Return the observation of one connector, whose move ends only when its source is gone."""
        if watch.wanted == "gone" and watch.name in names:
            return Observation(description="waiting until it is gone")
        source = watch.change.source
        if source is not None and alias_of(source.name) == alias_of(watch.change.address.name):
            old = local_name(source.name)
            if old in names and old != watch.name:
                return Observation(description=f"waiting until {old} is gone")
        health = None if data is None else masked_causes(health_of(data, self._mask), self._mask.mask)
        observation = observe(watch.wanted, health, len(((data or {}).get("info") or {}).get("tasks") or ()))
        if observation.good and not self._has_new_config(watch):
            return Observation(description="waiting until its tasks have the new config")
        return observation

    def _has_new_config(self, watch: Watch) -> bool:
        """Return whether the tasks have the config that was changed, or should have it by now.

        A Debezium task has its connector's config; where it differs slightly, time decides.
        """
        if self._rest.patience.clock() >= watch.taken:
            return True
        keys, after = changed_keys(watch.change), config_of(watch.change.after)
        expected = {
            key: value.value if isinstance(value, Secret) else value for key in keys if (value := after.get(key))
        }
        tasks = self._rest.send_once("GET", path_of(watch.name, "tasks")) or ()
        for task in tasks:
            config = task.get("config") or {}
            if any(key in config for key in keys - after.keys()):
                return False
            if any(value is not None and config.get(key) != value for key, value in expected.items()):
                return False
        watch.taken = 0.0
        return True

    def _decide_outcome(self, watch: Watch, now: float) -> Outcome | None:
        if watch.has_held(now) and (watch.alive or not watch.beat):
            return Outcome()
        if self.are_bindings_new and (refused_for := watch.is_refused_for(now)) and now < watch.deadline:
            if refused_for >= REFUSED_PAUSE_S:
                self._restart_refused(watch)
            return None
        if watch.needs_restart(now):
            self._restart(watch)
        elif watch.has_failed_for_long(now) and not watch.restarts:
            return Outcome(watch.failure_error())
        if now < watch.deadline:
            return None
        return Outcome(watch.failure_error() if watch.last.failure else watch.timeout_error())

    def _restart(self, watch: Watch) -> None:
        """Restart what failed; this uses up one of the allowed restarts, whatever its result."""
        watch.restarts -= 1
        watch.restarted += 1
        watch.restart_delay *= 2
        watch.bad_since = None
        log.warning("%s failed and is restarted, %d more times at most: %s", watch.name, watch.restarts,
                    watch.last.failure)  # fmt: skip
        self._send_restart(watch)

    def _restart_refused(self, watch: Watch) -> None:
        """Try again, as often as time allows: the bindings of this run may not be on every broker yet."""
        watch.bad_since = None
        log.info("%s is refused and is restarted: %s", watch.name, watch.last.failure)
        self._send_restart(watch)

    def _send_restart(self, watch: Watch) -> None:
        self._rest.send_once("POST", path_of(watch.name, "restart?includeTasks=true&onlyFailed=true"))

    def _check_heartbeats(self, watches: Sequence[Watch]) -> None:
        """Mark those as alive whose heartbeat topic has grown since the change, or whose offsets move."""
        # RUNNING is not a proof: without its topics Debezium 3.7 stayed RUNNING for 78 s without a record (measured).
        # A first snapshot of hours has no heartbeats, but its offsets move.
        if not watches or self._heartbeat is None:
            return
        ends = self._heartbeat(sorted({watch.beat for watch in watches}))
        for watch in watches:
            end = ends.get(watch.beat, 0)
            watch.mark = end if watch.mark is None else watch.mark
            watch.alive = end > watch.mark or self.have_offsets_moved(watch)

    def have_offsets_moved(self, watch: Watch) -> bool:
        """Return whether the source's offsets have changed since the tasks first held."""
        if not supports(self._version(), "read_offsets"):
            return False
        data = self._rest.send_once("GET", path_of(watch.name, "offsets")) or {}
        now = json.dumps(data.get("offsets"), sort_keys=True)
        before, watch.offsets = watch.offsets or now, watch.offsets or now
        return now != before

    def _read_heartbeats(self, changes: Sequence[Change]) -> dict[Address, int]:
        """Return the end of each one's heartbeat topic; none where it cannot be read: settling then starts to count."""
        topics = {c.address: c.after.heartbeat for c in changes if isinstance(c.after, Connector)}
        if not topics or self._heartbeat is None:
            return {}
        try:
            ends = self._heartbeat(sorted(set(topics.values())))
        except KplanError as failure:
            log.warning("heartbeat topics cannot be read: %s", failure.message)
            return {}
        return {address: ends.get(topic, 0) for address, topic in topics.items()}


def _needs_heartbeat(change: Change) -> bool:
    """Return whether a heartbeat must show that it works: new, or with another config, and running."""
    after = change.after
    if not isinstance(after, Connector) or not after.heartbeat or after.state != "running":
        return False
    if after.config.get("snapshot.mode") == "initial_only":
        return False  # after its snapshot, which may be an earlier one, it reads nothing and sends no heartbeat
    is_new = change.action in (Action.CREATE, Action.REPLACE, Action.MOVE)
    return is_new or (change.action is Action.UPDATE and bool(changed_keys(change)))


def _heartbeat_interval(connector: Connector) -> float:
    value = connector.config.get("heartbeat.interval.ms", "0")
    return int(value) / 1000 if isinstance(value, str) and value.isdecimal() else 0.0


def _max_reading_seconds(connector: Connector) -> float:
    """Return how long its task may read the structure of its tables before the first heartbeat."""
    tables = connector.config.get("table.include.list", "")
    return SECONDS_PER_TABLE * (tables.count(",") + 1) if isinstance(tables, str) else 0.0


def _needs_names(waiting: Iterable[Watch], listed: Collection[str]) -> bool:
    """Return whether the plain list is needed: a connector missing from the other listing may only lack a status."""
    return any((watch.wanted == "gone" and watch.name not in listed) or watch.change.source for watch in waiting)


def _mark_unknown(failure: KplanError) -> KplanError:
    """Mark the failure as of unknown effect: the change was sent before."""
    failure.applied = None
    return failure
