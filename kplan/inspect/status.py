"""Describe the state of everything that the stacks declare, as a document (schemas/status.v1.json)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from datetime import datetime
from typing import Any

from kplan.kinds.base import Kind
from kplan.kinds.registry import KINDS
from kplan.kinds.statistics import make_statistics
from kplan.model import Address, AttrDiff, Facts, Live, Resource, Secret, Stack, Target
from kplan.model.journal import ADOPTED_MEANWHILE, Entry, Progress, replay
from kplan.planning.comparison import compare
from kplan.values import dataclass

FORMAT = "1.3"
TIME_FORMAT = "%Y-%m-%dT%H:%M:%SZ"
HEALTHY, DEGRADED, ERROR = "healthy", "degraded", "error"


def list_watched_topics(stacks: Iterable[Stack]) -> list[str]:
    """Return the topics whose readers and last write show how far a resource is: what sinks read, and heartbeats."""
    resources = [resource for stack in stacks for resource in stack.resources.values()]
    return list(dict.fromkeys(name for r in resources for name in KINDS[r.kind].views.find_watched_topics(r)))


def make_document(
    stacks: Sequence[Stack],
    live: Live,
    facts: Mapping[Address, Facts],
    runs: Mapping[str, LastRun],
    settings: Mapping[str, Any],
    time: str,
    now: int,
    env: str = "",
) -> dict[str, Any]:
    """Return the document. `time` is the time of this reading, `now` the same in milliseconds since 1970; `runs` are
    by stack, the newest first."""
    parts = [
        _make_part(kind, declared, live, facts, now, bool(settings.get("logins")))
        for kind, declared in _group_by_kind(stacks)
    ]
    last = max(runs.values(), key=lambda run: run.time, default=None)  # of the same second, the newest is first
    return {
        "format_version": FORMAT,
        "status": HEALTHY if all(part.is_well for part in parts) else DEGRADED,
        "last_verification": time,
        "stacks": [stack.name for stack in stacks],
        "target": describe_target(env, live.target.bootstrap, live.target),
        **{part.key: part.content for part in parts},
        "statistics": count_statistics(last.progress if last else None),
        "configuration": dict(settings),
        "last_run": encode_run(last) if last else None,
        "last_runs": {name: encode_run(run) for name, run in sorted(runs.items())},
    }


def make_error_document(
    stacks: Sequence[Stack], cause: str, settings: Mapping[str, Any], time: str, env: str = "", bootstrap: str = ""
) -> dict[str, Any]:
    """Return the document where a server does not answer: nothing is known."""
    return {
        "format_version": FORMAT,
        "status": ERROR,
        "cause": cause,
        "last_verification": time,
        "stacks": [stack.name for stack in stacks],
        "target": describe_target(env, bootstrap, Target()),
        **{
            kind.views.plural: {} if kind.views.has_health else _describe_presence(declared, [], [], {})
            for kind, declared in _group_by_kind(stacks)
        },
        "statistics": count_statistics(None),
        "configuration": dict(settings),
        "last_run": None,
        "last_runs": {},
    }


def describe_target(env: str, bootstrap: str, target: Target) -> dict[str, str | None]:
    """Return where the stacks are; null for what is not known or does not exist."""
    connect = target.connect_url or None
    return {"env": env, "bootstrap": bootstrap, "cluster_id": target.cluster_id or None, "connect": connect}


@dataclass(slots=True)
class FailedConnectors:
    """Remember what had failed at the last reading and has not been healthy since."""

    addresses: frozenset[str] = frozenset()

    def update(self, document: Mapping[str, Any]) -> tuple[list[str], list[str]]:
        """Return what has failed since the last reading, a line for each, and the addresses of what has recovered."""
        running = dict(_find_running(document))
        failed = {address for address, item in running.items() if _has_failed(item)}
        recovered = sorted(item for item in self.addresses if item in running and running[item]["healthy"])
        new = sorted(failed - self.addresses)
        self.addresses = (self.addresses | failed) - frozenset(recovered)
        return [f"{address}: {_describe_failure(running[address])}" for address in new], recovered


def _find_running(document: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Yield the address and the health of all that runs, as the document has it."""
    for kind in KINDS.values():
        if kind.views.has_health:
            yield from (
                (str(Address(kind.name, name)), health) for name, health in document.get(kind.views.plural, {}).items()
            )


def _has_failed(health: Mapping[str, Any]) -> bool:
    return "FAILED" in (health["state"], *(task["state"] for task in health["tasks"]))


def _describe_failure(health: Mapping[str, Any]) -> str:
    """Return the resource's own cause, or that of its first failed task."""
    tasks = [task for task in health["tasks"] if task["state"] == "FAILED"]
    where = f"task {tasks[0]['id']} FAILED" if tasks else "FAILED"
    cause = health.get("cause") or (tasks[0]["cause"] if tasks else "")
    return f"{where}: {cause}" if cause else where


@dataclass(slots=True)
class Restarts:
    """Schedule restarts of what has failed (`restart_failed`), each after twice the delay of the one before.

    What has run for as long as it was last waited for has all its attempts again.
    """

    tried: dict[Address, int] = field(default_factory=dict)
    since: dict[Address, tuple[bool, float]] = field(default_factory=dict)  # failed, and from when on

    def find_due(
        self, stacks: Iterable[Stack], document: Mapping[str, Any], now: float
    ) -> Iterator[tuple[Address, str]]:
        """Yield addresses, each with the number of the attempt. `document` is that of the status, `now` seconds of any
        clock."""
        running = dict(_find_running(document))
        for address, resource in ((a, r) for stack in stacks for a, r in stack.resources.items()):
            attempts, delay = resource.rules.restart_failed or (0, 0.0)
            health = running.get(str(address))
            if not attempts or health is None or not KINDS[address.kind].views.is_to_run(resource):
                continue
            failed = _has_failed(health)
            if self.since.get(address, (not failed, 0))[0] != failed:
                self.since[address] = failed, now
            attempt = self.tried.get(address, 0)
            has_waited = now - self.since[address][1] >= delay * 2 ** max(0, attempt if failed else attempt - 1)
            if failed and has_waited and attempt < attempts:
                self.tried[address], self.since[address] = attempt + 1, (failed, now)
                yield address, f"{attempt + 1} of {attempts}"
            elif not failed and has_waited:
                self.tried.pop(address, None)


# -- the part of one kind ---------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class StatusPart:
    """Hold a document's part for the resources of one kind, its key, and whether they are all well."""

    key: str
    content: Mapping[str, Any]
    is_well: bool


def _group_by_kind(stacks: Iterable[Stack]) -> Iterator[tuple[Kind[Any], Sequence[Resource]]]:
    """Yield each kind that a document has a part for, with the resources that the stacks declare."""
    resources = {address: resource for stack in stacks for address, resource in stack.resources.items()}
    for kind in KINDS.values():
        declared = [resource for address, resource in resources.items() if address.kind == kind.name]
        if declared or kind.views.is_in_every_document:
            yield kind, declared


def _make_part(
    kind: Kind[Any],
    declared: Sequence[Resource],
    live: Live,
    facts: Mapping[Address, Facts],
    now: int,
    tries_logins: bool,
) -> StatusPart:
    views = kind.views
    if not views.has_health:
        part = _make_compared_part(views.plural, declared, live)
        return replace(part, content={**part.content, **views.describe_presence(declared, live, tries_logins)})
    health = {resource.name: views.describe_health(resource, live, facts, now) for resource in declared}
    return StatusPart(views.plural, health, all(item["healthy"] for item in health.values()))


def _make_compared_part(key: str, declared: Sequence[Resource], live: Live) -> StatusPart:
    """Return which resources exist, and which of them are not as declared."""
    differences = {}
    existing, missing = [], []
    for resource in sorted(declared, key=lambda item: item.name):
        live_resource = live.resources.get(resource.address)
        if live_resource is None and resource.address not in live.hidden:
            missing.append(resource.name)
            continue
        existing.append(resource.name)
        diffs = compare(resource, live_resource, None).diffs if live_resource is not None else ()
        if diffs:
            differences[resource.name] = [_describe_difference(diff) for diff in diffs]
    return StatusPart(
        key, _describe_presence(declared, existing, missing, differences), not missing and not differences
    )


def _describe_presence(
    declared: Sequence[Resource],
    existing: Sequence[str],
    missing: Sequence[str],
    differences: Mapping[str, Sequence[str]],
) -> dict[str, Any]:
    return {
        "required": sorted(resource.name for resource in declared),
        "existing": existing,
        "missing": missing,
        "misconfigured": sorted(differences),
        "differences": differences,
    }


def _describe_difference(diff: AttrDiff) -> str:
    if isinstance(diff.before, Secret) or isinstance(diff.after, Secret):
        return f"{diff.key}: not the declared one"
    return f"{diff.key}: {_format_value(diff.before)} instead of {_format_value(diff.after)}"


def _format_value(value: object) -> str:
    return "not set" if value is None else str(value)


def count_statistics(last: Progress | None) -> dict[str, Any]:
    """Return what the last run did, as its journal has it."""
    if last is None:
        return make_statistics((), (), 0)

    def find_created(numbers: Iterable[int]) -> Iterator[str]:
        """Yield the kinds of what these steps create."""
        for item in (last.planned[n] for n in numbers if n in last.planned):
            if (item.change or {}).get("actions") == ["create"]:
                yield item.address.partition("/")[0]

    done = (n for n in last.done if n not in last.undone)
    return make_statistics(find_created(done), find_created(last.flying), int(last.about.get("retries", 0)))


@dataclass(frozen=True, slots=True)
class LastRun:
    """Hold the last run of one stack: when it began (UTC), how long it took and why it failed, if it did."""

    progress: Progress
    time: str
    seconds: float
    error: str = ""


def find_last_runs(
    stacks: Iterable[str], runs: Sequence[str], entries: Callable[[str], Sequence[Entry]]
) -> dict[str, LastRun]:
    """Return the last run of each stack that had one, by stack, newest first. `runs` are all runs, oldest first."""
    names = set(stacks)
    last_runs: dict[str, LastRun] = {}
    for run in reversed(runs):
        if len(last_runs) == len(names):
            break
        records = sorted(entries(run), key=lambda entry: entry.seq)
        progress = replay(records)
        if progress is not None and progress.stack in names and progress.stack not in last_runs:
            last_runs[progress.stack] = _make_last_run(progress, records)
    return last_runs


def _make_last_run(progress: Progress, entries: Sequence[Entry]) -> LastRun:
    failed = (item for e in entries if e.event in ("failed", "refused") for item in e.items)
    errors = (f"{item.address}: {item.outcome}" for item in failed if item.outcome != ADOPTED_MEANWHILE)
    return LastRun(progress, entries[0].at, _measure_seconds(entries[0].at, entries[-1].at), next(errors, ""))


def _measure_seconds(start: str, end: str) -> float:
    """Return the time between two records; 0 where one has no readable time."""
    try:
        return (datetime.strptime(end, TIME_FORMAT) - datetime.strptime(start, TIME_FORMAT)).total_seconds()
    except ValueError:
        return 0.0


def encode_run(last: LastRun) -> dict[str, Any]:
    progress = last.progress
    return {
        "run": progress.run,
        "outcome": progress.outcome or "open",
        "who": progress.about.get("who", ""),
        "at": last.time,
        "seconds": last.seconds,
        "error": last.error or None,
    }
