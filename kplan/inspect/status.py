"""How everything is that the stacks name, as a document (schemas/status.v1.json): there, wrong, failed, behind."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from kplan.kinds.base import Kind
from kplan.kinds.registry import KINDS
from kplan.model import Address, Facts, Live, Resource, Stack, Target
from kplan.model.journal import ADOPTED_MEANWHILE, Entry, Progress, replay
from kplan.planning.comparison import compare

FORMAT = "1.1"
TIME = "%Y-%m-%dT%H:%M:%SZ"
HEALTHY, DEGRADED, ERROR = "healthy", "degraded", "error"


def wanted_facts(stacks: Iterable[Stack]) -> list[str]:
    """The topics whose readers and last write tell how far a resource is, such as what sinks read, and heartbeats."""
    resources = [resource for stack in stacks for resource in stack.resources.values()]
    return list(dict.fromkeys(name for r in resources for name in KINDS[r.kind].views.find_watched_topics(r)))


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
    parts = [_part(kind, declared, live, facts, now) for kind, declared in _by_kind(stacks)]
    last = max(runs.values(), key=lambda run: (run.at, run.progress.run), default=None)
    return {
        "format_version": FORMAT,
        "status": HEALTHY if all(part.is_well for part in parts) else DEGRADED,
        "last_verification": at,
        "stacks": [stack.name for stack in stacks],
        "target": target(env, live.target.bootstrap, live.target),
        **{part.key: part.content for part in parts},
        "statistics": statistics(last.progress if last else None),
        "configuration": dict(settings),
        "last_run": run_to_json(last) if last else None,
        "last_runs": {name: run_to_json(run) for name, run in sorted(runs.items())},
    }


def unanswered(
    stacks: Sequence[Stack], cause: str, settings: Mapping[str, Any], at: str, env: str = "", bootstrap: str = ""
) -> dict[str, Any]:
    """The document where a server does not answer: nothing is known."""
    return {
        "format_version": FORMAT,
        "status": ERROR,
        "cause": cause,
        "last_verification": at,
        "stacks": [stack.name for stack in stacks],
        "target": target(env, bootstrap, Target()),
        **{
            kind.views.plural: {} if kind.views.has_health else _presence(declared, [], [], {})
            for kind, declared in _by_kind(stacks)
        },
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
    """What runs, had failed at the last look and has not been healthy since."""

    addresses: frozenset[str] = frozenset()

    def changes(self, found: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """What has failed since the last look, a line for each, and the addresses of what is healthy again."""
        running = dict(_running(found))
        failed = {address for address, each in running.items() if _has_failed(each)}
        recovered = sorted(each for each in self.addresses if each in running and running[each]["healthy"])
        new = sorted(failed - self.addresses)
        self.addresses = (self.addresses | failed) - frozenset(recovered)
        return [f"{address}: {_failure(running[address])}" for address in new], recovered


def _running(found: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the address and the health of all that runs, as the document has it."""
    for kind in KINDS.values():
        if kind.views.has_health:
            yield from (
                (str(Address(kind.name, name)), each) for name, each in found.get(kind.views.plural, {}).items()
            )


def _has_failed(health: Mapping[str, Any]) -> bool:
    return "FAILED" in (health["state"], *(task["state"] for task in health["tasks"]))


def _failure(health: Mapping[str, Any]) -> str:
    """The resource's own cause, or that of its first failed task."""
    tasks = [task for task in health["tasks"] if task["state"] == "FAILED"]
    where = f"task {tasks[0]['id']} FAILED" if tasks else "FAILED"
    cause = health.get("cause") or (tasks[0]["cause"] if tasks else "")
    return f"{where}: {cause}" if cause else where


@dataclass(slots=True)
class Restarts:
    """What has failed and is to be restarted while it is watched (`restart_failed`), each time after twice the delay.
    What has run for as long as it was last waited for has all its attempts again.
    """

    tried: dict[Address, int] = field(default_factory=dict)
    since: dict[Address, tuple[bool, float]] = field(default_factory=dict)  # failed, and from when on

    def due(self, stacks: Iterable[Stack], found: Mapping[str, Any], now: float) -> Iterator[tuple[Address, str]]:
        """Addresses, each with words for which attempt it is. `found` is the document, `now` seconds of any clock."""
        running = dict(_running(found))
        for address, resource in ((a, r) for stack in stacks for a, r in stack.resources.items()):
            attempts, delay = resource.rules.restart_failed or (0, 0.0)
            each = running.get(str(address))
            if not attempts or each is None or not KINDS[address.kind].views.is_to_run(resource):
                continue
            failed = _has_failed(each)
            if self.since.get(address, (not failed, 0))[0] != failed:
                self.since[address] = failed, now
            tried = self.tried.get(address, 0)
            long = now - self.since[address][1] >= delay * 2 ** max(0, tried if failed else tried - 1)
            if failed and long and tried < attempts:
                self.tried[address], self.since[address] = tried + 1, (failed, now)
                yield address, f"{tried + 1} of {attempts}"
            elif not failed and long:
                self.tried.pop(address, None)


# -- the part of one kind ---------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class StatusPart:
    """What a document says of the resources of one kind, at which key, and whether all is well with them."""

    key: str
    content: Mapping[str, Any]
    is_well: bool


def _by_kind(stacks: Iterable[Stack]) -> Iterator[tuple[Kind[Any], Sequence[Resource]]]:
    """Yield each kind that a document has a part for, with the resources that the stacks declare."""
    resources = {address: resource for stack in stacks for address, resource in stack.resources.items()}
    for kind in KINDS.values():
        declared = [resource for address, resource in resources.items() if address.kind == kind.name]
        if declared or kind.views.is_in_every_document:
            yield kind, declared


def _part(
    kind: Kind[Any], declared: Sequence[Resource], live: Live, facts: Mapping[Address, Facts], now: int
) -> StatusPart:
    views = kind.views
    if not views.has_health:
        return _compare_part(views.plural, declared, live)
    health = {resource.name: views.describe_health(resource, live, facts, now) for resource in declared}
    return StatusPart(views.plural, health, all(each["healthy"] for each in health.values()))


def _compare_part(key: str, declared: Sequence[Resource], live: Live) -> StatusPart:
    """Return which resources are there, and which of them are not as declared."""
    wrong = {}
    there, missing = [], []
    for resource in sorted(declared, key=lambda each: each.name):
        now = live.resources.get(resource.address)
        if now is None and resource.address not in live.hidden:
            missing.append(resource.name)
            continue
        there.append(resource.name)
        diffs = compare(resource, now, None).diffs if now is not None else ()
        if diffs:
            wrong[resource.name] = [f"{d.key}: {_shown(d.before)} instead of {_shown(d.after)}" for d in diffs]
    return StatusPart(key, _presence(declared, there, missing, wrong), not missing and not wrong)


def _presence(
    declared: Sequence[Resource], there: Sequence[str], missing: Sequence[str], wrong: Mapping[str, Sequence[str]]
) -> dict[str, Any]:
    return {
        "required": sorted(resource.name for resource in declared),
        "existing": there,
        "missing": missing,
        "misconfigured": sorted(wrong),
        "differences": wrong,
    }


def _shown(value: object) -> str:
    return "not set" if value is None else str(value)


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
