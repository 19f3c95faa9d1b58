"""Rehearse a plan: run it to its end, and once for each step with a failure there, and compare what is left."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from datetime import datetime
from typing import Any, Final

from kplan.diagnostics import KplanError
from kplan.execution.apply import Apply, prepare_run
from kplan.execution.run import Result, Stop
from kplan.model import Action, Address, Change, Owned, Resource, Secret, Target
from kplan.model.events import ignore_event
from kplan.model.rehearsal import Rehearsal, RehearsalProblem
from kplan.planning.comparison import find_differing
from kplan.planning.document import Plan
from kplan.planning.needed import Ledger
from kplan.planning.order import Step
from kplan.project.environment import Environment
from kplan.servers.base import Backend, Cluster, Outcome
from kplan.state.base import Holder, Store
from kplan.values import dataclass

MIN_SAMPLE: Final = 2  # of steps that are alike: the first and the last
FAILURE: Final = "a rehearsed failure: there was no answer"


@dataclass(frozen=True, slots=True)
class Stage:
    """A simulated cluster with its state, as both are before the plan."""

    environment: Environment
    cluster: Cluster
    store: Store


OpenStage = Callable[[], AbstractContextManager[Stage]]
Remains = tuple[Mapping[Address, Resource], Ledger]  # what is live, and the ledger


def rehearse(plan: Plan, open_stage: OpenStage, now: Callable[[], datetime], max_work: int) -> Rehearsal:
    """Return what came of the plan on copies of a stage that is as before it.

    With more than `max_work` steps in all runs together, some of each sort of failure are rehearsed. A failure comes
    after the request had its effect, and before its answer: that is the hardest to put back.
    `plan` has no secrets, and no risks that must be accepted.
    """
    steps = [step for step in plan.steps if not step.change.is_ledger_only]
    rehearsal = Rehearsal(len(steps))
    if not steps:
        return rehearsal
    before, result = _run(plan, open_stage, now, None)[::2]
    if obstacle := _find_obstacle(result):
        return replace(rehearsal, obstacle=obstacle)
    chosen = choose_failures(steps, max_work)
    problems: list[RehearsalProblem] = []
    restored = kept = 0
    for step in chosen:
        _, remains, result = _run(plan, open_stage, now, step.change.address)
        without_undo = {
            address
            for each in steps
            if each.wave <= step.wave and not each.change.undo.complete
            for address in (each.change.address, each.change.source)
        }
        differences = list(find_differences(before, remains))
        faults = [fault for fault in differences if fault[0] not in without_undo]
        if isinstance(result, KplanError):
            faults.append((step.change.address, result.message))
        elif result.outcome not in ("rolled_back", "incomplete"):
            faults.append((step.change.address, f"the run ended as {result.outcome}"))
        problems += [RehearsalProblem(step.number, str(address), words) for address, words in faults]
        kept += bool(differences) and not faults
        restored += not differences and not faults
    return replace(rehearsal, tried=len(chosen), restored=restored, kept=kept, problems=tuple(problems))


def _run(
    plan: Plan, open_stage: OpenStage, now: Callable[[], datetime], failing: Address | None
) -> tuple[Remains, Remains, Result | KplanError]:
    """Run the plan on a stage of its own, and return what was there before, what is after, and how it ended."""
    with open_stage() as stage:
        before = read_remains(stage)
        cluster = replace(stage.cluster, by_kind={
            key: _Rehearsed(backend, failing) for key, backend in stage.cluster.by_kind.items()
        })  # fmt: skip
        time = now()
        holder = Holder("rehearsal", f"{time:%Y%m%dT%H%M%SZ}-0000", "rehearse", f"{time:%Y-%m-%dT%H:%M:%SZ}")
        run = prepare_run(plan, stage.environment, cluster, stage.store, holder, ignore_event, Stop(), now)
        run.sleep = lambda seconds: None
        result: Result | KplanError
        try:
            result = Apply(run).execute()
        except KplanError as failure:
            result = failure
        return before, read_remains(stage), result


def _find_obstacle(result: Result | KplanError) -> str:
    """Return why the plan does not come to its end on the simulation; empty where it does."""
    failure = result if isinstance(result, KplanError) else result.error
    if failure is None:
        return ""
    address = result.failed if isinstance(result, Result) else None
    return f"{address}: {failure.message}" if address else failure.message


# -- what fails -------------------------------------------------------------------------------------------------------
class _Rehearsed:
    """A backend that has no answer to the change of one address. Its ids are not those of the plan."""

    def __init__(self, backend: Backend, failing: Address | None) -> None:
        self._backend = backend
        self._failing = failing

    def __getattr__(self, name: str) -> Any:
        return getattr(self._backend, name)

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        """Return none: the plan has those of the real cluster."""
        return {}

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Make the changes, and lose the answer to the one that is to fail."""
        outcomes = dict(self._backend.act(changes, captured))
        for change in changes:
            if change.address == self._failing and change.reason != "undo" and outcomes[change.address].ok:
                lost = KplanError(FAILURE)
                lost.applied = None
                outcomes[change.address] = Outcome(lost, unsure=True)
        return outcomes


def choose_failures(steps: Sequence[Step], max_work: int) -> list[Step]:
    """Return the steps whose failure is rehearsed: all, or some of each group of alike ones, as the work allows."""
    sizes = Counter(step.wave for step in steps)
    sent_until = {wave: sum(size for each, size in sizes.items() if each <= wave) for wave in sizes}
    work = sum(2 * sent_until[step.wave] for step in steps)  # each is done, and undone
    if work <= max_work:
        return list(steps)
    alike: dict[object, list[Step]] = {}
    for step in steps:
        change = step.change
        paths = frozenset(diff.path for diff in change.diffs)
        alike.setdefault((step.wave, change.address.kind, change.action, change.undo.kind, paths), []).append(step)
    chosen: set[int] = set()
    for group in alike.values():
        number = min(len(group), max(MIN_SAMPLE, len(group) * max_work // work))
        spacing = (len(group) - 1) / max(number - 1, 1)
        chosen |= {group[round(spacing * place)].number for place in range(number)}
    return [step for step in steps if step.number in chosen]


# -- what is left -----------------------------------------------------------------------------------------------------
def read_remains(stage: Stage) -> Remains:
    """Return everything that is live on the stage, and its ledger."""
    resources: dict[Address, Resource] = {}
    for backend in stage.cluster.backends:
        resources |= backend.read(None).resources
    return resources, stage.store.ledger()


def find_differences(before: Remains, after: Remains) -> Iterator[tuple[Address, str]]:
    """Yield each address that is not as before, and how it differs."""
    for address in sorted({*before[0], *after[0]}):
        was, now = before[0].get(address), after[0].get(address)
        if was is None or now is None:
            yield address, "it is still there" if was is None else "it is gone"
        else:
            for path, old, new in _find_all_differing(was, now):
                yield address, f"{path.removeprefix('/').removeprefix('config/')} is {_show(new)}, and was {_show(old)}"
    for address in sorted({*before[1], *after[1]}):
        owned, owned_now = before[1].get(address), after[1].get(address)
        if owned != owned_now:
            words = "still has a record of it" if owned is None else "has lost its record" if owned_now is None else ""
            yield address, f"the state {words or 'has another record of it'}"


def _find_all_differing(was: Resource, now: Resource) -> Iterator[tuple[str, object, object]]:
    differing = find_differing(was, now)
    yield from differing
    paths = {path for path, _, _ in differing}
    yield from ((path, old, new) for path, new, old in find_differing(now, was) if path not in paths)


def _show(value: object) -> str:
    return "not set" if value is None else "(sensitive)" if isinstance(value, Secret) else str(value)


# -- before it --------------------------------------------------------------------------------------------------------
def prepare_plan(plan: Plan) -> Plan:
    """Return the plan for a simulation: with values in place of its secrets, without risks, for any cluster."""
    steps = tuple(replace(step, change=_prepare_change(step.change)) for step in plan.steps)
    return replace(plan, steps=steps, target=Target(), diagnostics=(), owned=0)


def _prepare_change(change: Change) -> Change:
    paths = {diff.path for diff in change.diffs}
    before = None if change.before is None else _fill_secrets(change.before, paths, "before", None)
    after = None if change.after is None else _fill_secrets(change.after, paths, "after", before)
    return replace(change, before=before, after=after, risks=())


def _fill_secrets(resource: Resource, changed: Collection[str], word: str, other: Resource | None) -> Resource:
    """Return the resource with an invented value for each secret: another one only where the secret changes."""
    filled: dict[str, Any] = {}
    for field in fields(resource):
        value = getattr(resource, field.name)
        if isinstance(value, Secret):
            filled[field.name] = _invent(value, f"/{field.name}", changed, word, None)
        elif isinstance(value, Mapping) and any(isinstance(each, Secret) for each in value.values()):
            others = getattr(other, field.name, {})
            filled[field.name] = {
                key: _invent(each, f"/{field.name}/{key}", changed, word, others.get(key))
                if isinstance(each, Secret) else each
                for key, each in value.items()
            }  # fmt: skip
    return replace(resource, **filled) if filled else resource


def _invent(secret: Secret, path: str, changed: Collection[str], word: str, other: object) -> Secret:
    if path not in changed and isinstance(other, str):
        return Secret(secret.ref, other)
    return Secret(secret.ref, f"{path} {word}" if path in changed else path)


def seed(plan: Plan, stage: Stage, now: str) -> None:
    """Make on an empty stage what the plan found, and the ledger's records of it. Raises KplanError where it cannot."""
    existing = [change for change in plan.changes if change.before is not None]
    for kind in dict.fromkeys(change.before.address.kind for change in existing if change.before):
        created = [
            Change(change.before.address, Action.CREATE, None, change.before)
            for change in existing
            if change.before is not None and change.before.address.kind == kind
        ]
        backend = stage.cluster.find(created[0].address)
        assert backend is not None, "a simulated cluster has every kind"
        outcomes = backend.act(created, {})
        for change in created:
            failure = outcomes[change.address].error
            if failure is not None:
                failure.message = f"{change.address}: {failure.message}"
                raise failure
    owned = {each.address: each for each in _list_owned(plan)}
    if owned:
        holder = Holder("rehearsal", "seed", "rehearse", now)
        with stage.store.lock(plan.stack, holder, 0) as lock:
            lock.write([], owned)


def _list_owned(plan: Plan) -> Iterator[Owned]:
    for change in plan.changes:
        if change.owner is not None:
            yield replace(change.owner, address=change.source or change.address)
