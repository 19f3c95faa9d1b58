"""How everything is that the stacks name, as a document (schemas/status.v1.json): there, wrong, failed, behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kplan.kinds.connector.sinks import group
from kplan.model import Address, Connector, Facts, Health, Live, Stack, Target, Topic
from kplan.model.journal import ADOPTED_MEANWHILE, Entry, Progress, replay
from kplan.planning.comparison import compare

FORMAT = "1.1"
TIME = "%Y-%m-%dT%H:%M:%SZ"
HEALTHY, DEGRADED, ERROR = "healthy", "degraded", "error"


def wanted_facts(stacks: Iterable[Stack]) -> list[str]:
    """The topics whose readers and last write tell how far a connector is: what sinks read, and heartbeats."""
    names: dict[str, None] = {}
    for stack in stacks:
        for resource in stack.resources.values():
            if isinstance(resource, Connector):
                names |= dict.fromkeys([*resource.reads, *([resource.heartbeat] if resource.heartbeat else [])])
    return list(names)


def document(
    stacks: Sequence[Stack],
    live: Live,
    facts: Mapping[Address, Facts],
    runs: Mapping[str, LastRun],
    settings: Mapping[str, Any],
    at: str,
    now: int,
    env: str = "",
) -> dict[str, Any]:
    """All of it. `at` is the time of this reading, `now` the same in milliseconds since 1970; `runs` are by stack."""
    resources = {a: r for stack in stacks for a, r in stack.resources.items()}
    topics = _topics([r for r in resources.values() if isinstance(r, Topic)], live)
    connectors = {r.name: _connector(r, live, facts, now) for r in resources.values() if isinstance(r, Connector)}
    good = not topics["missing"] and not topics["misconfigured"] and all(c["healthy"] for c in connectors.values())
    last = max(runs.values(), key=lambda run: (run.at, run.progress.run), default=None)
    return {
        "format_version": FORMAT,
        "status": HEALTHY if good else DEGRADED,
        "last_verification": at,
        "stacks": [stack.name for stack in stacks],
        "target": target(env, live.target.bootstrap, live.target),
        "topics": topics,
        "connectors": connectors,
        "statistics": statistics(last.progress if last else None),
        "configuration": dict(settings),
        "last_run": run_to_json(last) if last else None,
        "last_runs": {name: run_to_json(run) for name, run in sorted(runs.items())},
    }


def unanswered(
    stacks: Sequence[Stack], cause: str, settings: Mapping[str, Any], at: str, env: str = "", bootstrap: str = ""
) -> dict[str, Any]:
    """The document where a server does not answer: nothing is known."""
    required = sorted(r.name for s in stacks for r in s.resources.values() if isinstance(r, Topic))
    return {
        "format_version": FORMAT,
        "status": ERROR,
        "cause": cause,
        "last_verification": at,
        "stacks": [stack.name for stack in stacks],
        "target": target(env, bootstrap, Target()),
        "topics": {"required": required, "existing": [], "missing": [], "misconfigured": [], "differences": {}},
        "connectors": {},
        "statistics": statistics(None),
        "configuration": dict(settings),
        "last_run": None,
        "last_runs": {},
    }


def target(env: str, bootstrap: str, found: Target) -> dict[str, str | None]:
    """Where the stacks are; null for what is not known or not there."""
    connect = found.connect_url or None
    return {"env": env, "bootstrap": bootstrap, "cluster_id": found.cluster_id or None, "connect": connect}


@dataclass(slots=True)
class FailedConnectors:
    """The connectors that had failed at the last look and have not been healthy since."""

    names: frozenset[str] = frozenset()

    def changes(self, found: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """What has failed since the last look, a line for each, and the names of those that are healthy again."""
        connectors = found["connectors"]
        failed = {name for name, each in connectors.items() if _has_failed(each)}
        recovered = sorted(name for name in self.names if name in connectors and connectors[name]["healthy"])
        new = sorted(failed - self.names)
        self.names = (self.names | failed) - frozenset(recovered)
        return [f"connector/{name}: {_failure(connectors[name])}" for name in new], [
            f"connector/{n}" for n in recovered
        ]


def _has_failed(connector: Mapping[str, Any]) -> bool:
    return "FAILED" in (connector["state"], *(task["state"] for task in connector["tasks"]))


def _failure(connector: Mapping[str, Any]) -> str:
    """The connector's own cause, or that of its first failed task."""
    tasks = [task for task in connector["tasks"] if task["state"] == "FAILED"]
    where = f"task {tasks[0]['id']} FAILED" if tasks else "FAILED"
    cause = connector.get("cause") or (tasks[0]["cause"] if tasks else "")
    return f"{where}: {cause}" if cause else where


@dataclass(slots=True)
class Restarts:
    """Which failed connectors are to be restarted while they are watched (`restart_failed`), each time after twice the
    delay. One that has run for as long as it was last waited for has all its attempts again.
    """

    tried: dict[str, int] = field(default_factory=dict)
    since: dict[str, tuple[bool, float]] = field(default_factory=dict)  # failed, and from when on

    def due(self, stacks: Iterable[Stack], found: Mapping[str, Any], now: float) -> Iterator[tuple[str, str]]:
        """Names, each with words for which attempt it is. `found` is the document, `now` seconds of any clock."""
        for connector in (r for stack in stacks for r in stack.resources.values() if isinstance(r, Connector)):
            attempts, delay = connector.rules.restart_failed or (0, 0.0)
            each = found["connectors"].get(connector.name)
            if not attempts or each is None or connector.state != "running":
                continue
            name = connector.name
            failed = _has_failed(each)
            if self.since.get(name, (not failed, 0))[0] != failed:
                self.since[name] = failed, now
            tried = self.tried.get(name, 0)
            long = now - self.since[name][1] >= delay * 2 ** max(0, tried if failed else tried - 1)
            if failed and long and tried < attempts:
                self.tried[name], self.since[name] = tried + 1, (failed, now)
                yield name, f"{tried + 1} of {attempts}"
            elif not failed and long:
                self.tried.pop(name, None)


def _topics(declared: Sequence[Topic], live: Live) -> dict[str, Any]:
    wrong = {}
    there, missing = [], []
    for topic in sorted(declared, key=lambda t: t.name):
        now = live.resources.get(topic.address)
        if now is None and topic.address not in live.hidden:
            missing.append(topic.name)
            continue
        there.append(topic.name)
        diffs = compare(topic, now, None).diffs if now is not None else ()
        if diffs:
            wrong[topic.name] = [f"{d.key}: {_shown(d.before)} instead of {_shown(d.after)}" for d in diffs]
    return {
        "required": sorted(t.name for t in declared),
        "existing": there,
        "missing": missing,
        "misconfigured": sorted(wrong),
        "differences": wrong,
    }


def _shown(value: object) -> str:
    return "not set" if value is None else str(value)


def _connector(connector: Connector, live: Live, facts: Mapping[Address, Facts], now: int) -> dict[str, Any]:
    health = live.health.get(connector.address) or Health("MISSING")
    there = live.resources.get(connector.address)
    state = there.state if isinstance(there, Connector) else "missing"
    well = state == connector.state and not health.failed and health.state not in ("FAILED", "UNASSIGNED", "MISSING")
    if connector.state == "running":
        well = well and bool(health.tasks) and all(task.state == "RUNNING" for task in health.tasks)
    found: dict[str, Any] = {
        "healthy": well,
        "state": health.state,
        "declared": connector.state,
        "tasks": [{"id": t.id, "state": t.state, "cause": t.cause, "worker": t.worker} for t in health.tasks],
    }
    if health.cause:
        found["cause"] = health.cause
    return found | _lag(connector, facts, now)


def _lag(connector: Connector, facts: Mapping[Address, Facts], now: int) -> dict[str, Any]:
    """How far behind it is: a sink by its group's records, a source by the age of its last heartbeat in seconds."""
    lags = [r.lag for t in connector.reads for r in _facts(facts, t).readers if r.group == group(connector)]
    if lags:
        return {"lag": {"records": sum(lags)}}
    beat = _facts(facts, connector.heartbeat).last_write if connector.heartbeat else None
    return {"lag": {"heartbeat_age": max(0, round((now - beat) / 1000))}} if beat is not None else {}


def _facts(facts: Mapping[Address, Facts], topic: str) -> Facts:
    return facts.get(Address("topic", topic), Facts())


def statistics(last: Progress | None) -> dict[str, int]:
    """What the last run did, as its journal has it."""
    planned = last.planned if last else {}

    def created(numbers: Iterable[int]) -> int:
        items = [planned[n] for n in numbers if n in planned]
        return sum(1 for i in items if i.address.startswith("topic/") and (i.change or {}).get("actions") == ["create"])

    return {
        "topics_created": created(n for n in last.done if n not in last.undone) if last else 0,
        "topic_creation_errors": created(last.flying) if last else 0,
        "retries": int(last.about.get("retries", 0)) if last else 0,
    }


@dataclass(frozen=True, slots=True)
class LastRun:
    """The last run of one stack: when it began (UTC), how long it took and why it failed, where it did."""

    progress: Progress
    at: str
    seconds: float
    error: str = ""


def find_last_runs(
    stacks: Iterable[str], runs: Sequence[str], entries: Callable[[str], Sequence[Entry]]
) -> dict[str, LastRun]:
    """The last run of each stack that had one, by stack. `runs` are all runs, oldest first."""
    wanted = set(stacks)
    found: dict[str, LastRun] = {}
    for run in reversed(runs):
        if len(found) == len(wanted):
            break
        records = sorted(entries(run), key=lambda entry: entry.seq)
        progress = replay(records)
        if progress is not None and progress.stack in wanted and progress.stack not in found:
            found[progress.stack] = _last_run(progress, records)
    return found


def _last_run(progress: Progress, entries: Sequence[Entry]) -> LastRun:
    failed = (item for e in entries if e.event in ("failed", "refused") for item in e.items)
    errors = (f"{item.address}: {item.outcome}" for item in failed if item.outcome != ADOPTED_MEANWHILE)
    return LastRun(progress, entries[0].at, _seconds(entries[0].at, entries[-1].at), next(errors, ""))


def _seconds(began: str, ended: str) -> float:
    """The time between two records; 0 where one has no time that can be read."""
    try:
        return (datetime.strptime(ended, TIME) - datetime.strptime(began, TIME)).total_seconds()
    except ValueError:
        return 0.0


def run_to_json(last: LastRun) -> dict[str, Any]:
    progress = last.progress
    return {
        "run": progress.run,
        "outcome": progress.outcome or "open",
        "who": progress.about.get("who", ""),
        "at": last.at,
        "seconds": last.seconds,
        "error": last.error or None,
    }
