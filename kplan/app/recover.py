"""Recover interrupted runs: find them, see what they did, and put them back or complete them."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kplan.app.narrator import Narrator
from kplan.app.saved import fill_logins, fill_secrets
from kplan.app.wait import wait_for_others
from kplan.diagnostics import Invalid, JournalBroken, codes, error
from kplan.execution.apply import prepare_run
from kplan.execution.places import OtherPlace, find_other_place
from kplan.execution.recovery import Recovery, abandon, describe_standing, rebuild_plan
from kplan.execution.run import make_reader
from kplan.model.journal import replay
from kplan.planning.risk import Accepted
from kplan.planning.trust import escape
from kplan.project.loading import read_variable_files
from kplan.state.base import UnfinishedWrite
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.audience import RunAudience
    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.execution.run import Result, Stop
    from kplan.model.journal import Progress
    from kplan.planning.document import Plan
    from kplan.project.loading import Request
    from kplan.state.base import Holder, Store

COMMAND = "kplan recover"  # what is shown to those who are refused meanwhile
EVERYTHING = "*"  # in `forget`: a run whose journal does not say what it was to do is closed


@dataclass(frozen=True, slots=True)
class RecoverRequest:
    """What to recover, and how. `run` is the id of one run; empty, it is every open one of the environment.

    `forward` completes a run instead of putting it back. `forget` and `accepted` are patterns: of addresses that stay
    as they are, and of names such as delete:topic/x. `lock_timeout` is in seconds.
    """

    run: str = ""
    forward: bool = False
    forget: tuple[str, ...] = ()
    accepted: tuple[str, ...] = ()
    lock_timeout: float = 60.0


@dataclass(frozen=True, slots=True)
class StepState:
    """A step of an interrupted run: what the run did of it, and what live state says of it now."""

    number: int
    address: str
    state: str
    live: str


@dataclass(frozen=True, slots=True)
class OpenRun:
    """An interrupted run. `elsewhere` is how its place differs from this one; `other` holds its stack now."""

    progress: Progress
    plan: Plan
    steps: Sequence[StepState]
    elsewhere: OtherPlace | None
    other: Holder | None


# -- finding ----------------------------------------------------------------------------------------------------------
def end_unfinished_writes(store: Store, lock_timeout: float, runtime: Runtime) -> None:
    """End the writes that the death of a broker left without an end, so that the journal can be read."""
    try:
        store.open_runs()
    except UnfinishedWrite as e:
        for stack in e.stacks:
            runtime.note(f"a write of stack {stack} was left without an end; taking its lock ends it")
            with store.lock(stack, runtime.holder(COMMAND), lock_timeout):
                pass


def find_open_runs(store: Store, left_out: Collection[str], run: str) -> list[Progress]:
    """Return the open runs, or the one that `run` names, without those of the stacks that are left out.

    A run of theirs that is named is left out too. Raises Invalid where there is no such run.
    """
    overview = store.overview()
    runs = [name for name, stack in overview.open_runs.items() if stack not in left_out]
    progresses = [progress for progress in (replay(store.entries(name)) for name in runs) if progress]
    if not run:
        return progresses
    chosen = [progress for progress in progresses if run in (progress.run, escape(progress.run))]
    stopped = {*(overview.open_runs.keys() - set(runs)), *(record.run for record in overview.unreadable)}
    if not chosen and run not in {*stopped, *map(escape, stopped)}:
        raise Invalid([error(codes.K606, "there is no such open run", run, help="`kplan recover --list` shows them")])
    return chosen


def keep_readable(
    store: Store, runs: Sequence[Progress], request: RecoverRequest, runtime: Runtime, *, may_close: bool
) -> tuple[list[Progress], int]:
    """Return the runs whose journal says what they were to do, and the exit code that the others give.

    The others are shown. Where they may be closed, and `forget` names everything, they are closed instead.
    """
    readable, code = [], 0
    for progress in runs:
        try:
            rebuild_plan(progress)
            readable.append(progress)
        except JournalBroken as e:
            if may_close and EVERYTHING in request.forget:
                abandon(store, progress, runtime.holder(COMMAND), request.lock_timeout)
                runtime.note(f"run {escape(progress.run)} is closed; nothing of it was rolled back")
                continue
            runtime.show_problem(e.diagnostic())
            code = e.exit_code
    return readable, code


def plan_runs(
    runs: Sequence[Progress], opened: OpenEnvironment, request: RecoverRequest, asked: Request, runtime: Runtime
) -> list[Plan]:
    """Return what the runs were to do; to complete them, with the values of their sensitive variables.

    `asked` holds the variables. Raises Invalid where one has no value.
    """
    plans = [rebuild_plan(progress) for progress in runs]
    if request.forward:
        return fill_secrets(plans, opened.environment, asked, runtime)
    return fill_logins(plans, asked, runtime, read_variable_files(asked))


def read_open_run(progress: Progress, plan: Plan, opened: OpenEnvironment, runtime: Runtime) -> OpenRun:
    """Read what is live now of the run's steps, and whether this is where the run was."""
    with runtime.show_progress(False):
        live = make_reader(plan, opened.cluster, opened.store)()[0]
    steps = [
        StepState(
            step.number, str(step.change.address), _state_of(progress, step.number), describe_standing(step, live)
        )
        for step in plan.steps
    ]
    elsewhere = find_other_place(plan, live, opened.environment.name)
    return OpenRun(progress, plan, steps, elsewhere, opened.store.holder(progress.stack))


def _state_of(progress: Progress, number: int) -> str:
    """Return what the run did of the step with this number, in words."""
    if number in progress.kept:
        return progress.kept[number].outcome.partition(": ")[2] or "kept"
    if number in progress.undone:
        return "undone"
    if number in progress.undoing:
        return "being undone"
    if number in progress.done:
        return "done"
    return "in flight" if number in progress.flying else "not begun"


# -- recovering -------------------------------------------------------------------------------------------------------
def recover_run(
    run: OpenRun, opened: OpenEnvironment, request: RecoverRequest, runtime: Runtime, audience: RunAudience
) -> Result:
    """Put the run back, or complete it. The receivers are notified of its end. Raises as `Recovery` does."""
    holder = replace(runtime.holder(COMMAND), run=run.progress.run)
    notifier = runtime.notifier(opened.environment)
    with audience.stoppable(holder.run) as stop:
        work = lambda: _recover(run.plan, opened, request, runtime, audience, holder, stop)  # noqa: E731
        return notifier.run_and_notify(run.plan, holder.run, work)


def _recover(
    plan: Plan,
    opened: OpenEnvironment,
    request: RecoverRequest,
    runtime: Runtime,
    audience: RunAudience,
    holder: Holder,
    stop: Stop,
) -> Result:
    environment, store = opened.environment, opened.store
    with audience.watch_run(holder.run, store, stop) as emit:
        narrator = Narrator(holder.run, emit)
        run = prepare_run(plan, environment, opened.cluster, store, holder, narrator, stop, runtime.now)
        forgotten = _match_addresses(request.forget, plan, runtime)
        recovery = Recovery(run, environment.name, forgotten, Accepted(request.accepted).covers)
        wait_for_others(store, [plan.stack], request.lock_timeout, runtime)
        end_run = recovery.complete if request.forward else recovery.roll_back
        return narrator.add_summary(end_run(request.lock_timeout))


def _match_addresses(patterns: Sequence[str], plan: Plan, runtime: Runtime) -> list[str]:
    """Return the addresses that the patterns name; note which pattern names none."""
    addresses = [str(change.address) for change in plan.changes]
    matched: list[str] = []
    for pattern in patterns:
        named = fnmatch.filter(addresses, pattern)
        if not named:
            runtime.note(f"--forget {pattern}: this run has no such address")
        matched += named
    return matched
