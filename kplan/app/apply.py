"""Apply plans: prepare them from stacks or from a saved file, wait, ask, and run them one stack after the other."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import wait
from contextlib import contextmanager
from dataclasses import field, replace
from typing import TYPE_CHECKING

from kplan.app.narrator import Narrator
from kplan.app.opening import PARALLEL, OpenEnvironment, PreparedLock, open_environment
from kplan.app.plan import PlanOutcome, PlanRequest, plan_stacks, refuse_unplannable
from kplan.app.saved import check_documents, complete_plans, load_environment_of
from kplan.app.wait import wait_for_others, wait_until_ready
from kplan.diagnostics import KplanError
from kplan.execution.apply import Apply, find_applied_runs, prepare_run, refuse_applied
from kplan.phases import phase
from kplan.servers.base import needs_connect
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.audience import ApplyAudience
    from kplan.app.runtime import Runtime
    from kplan.execution.notify import Notifier
    from kplan.execution.run import Result, Stop
    from kplan.model.events import Emit
    from kplan.planning.document import Plan
    from kplan.planning.trust import Listed
    from kplan.project.environment import Environment
    from kplan.project.loading import Loaded, Request
    from kplan.state.base import Holder, Store

APPLIED_BEFORE, NOT_STARTED = "applied before", "not begun"
ENDS = {"rolled_back": "rolled back", "incomplete": "rollback incomplete", "stopped": "stopped"}  # others as they are


@dataclass(frozen=True, slots=True)
class ApplyRequest:
    """How to apply. `command` is shown to those who are refused meanwhile; times are seconds.

    `wait` is how long to wait for servers to answer before planning, `lock_timeout` how long to wait for someone else's
    apply; at most `parallel` connectors change at once. `confirmed`: no question is asked. `saved`: the plans come from
    file, which is applied once.
    """

    command: str
    on_failure: str = "rollback"  # rollback | stop
    lock_timeout: float = 0.0
    wait: float = 0.0
    parallel: int = PARALLEL
    confirmed: bool = False
    saved: bool = False


@dataclass(frozen=True, slots=True)
class Work:
    """What an apply is about. `plan` returns the plans to apply; `listed` is that of `SavedPlans`.

    `opened` is the environment, where it is open and its servers are being asked already.
    """

    environment: Environment
    stacks: Sequence[str]
    needs_connect: bool
    plan: Callable[[OpenEnvironment], PlanOutcome]
    notifier: Notifier
    listed: Mapping[str, Callable[[], Listed]] = field(default_factory=dict)
    opened: OpenEnvironment | None = None


@contextmanager
def notifying_refusals(notifier: Notifier, stacks: Sequence[str]) -> Iterator[None]:
    """Notify the receivers why an apply could not begin, unless they know it already."""
    try:
        yield
    except KplanError as e:
        if not notifier.has_notified:
            notifier.notify_refusal(stacks, e)
            notifier.has_notified = True
        raise


# -- preparing --------------------------------------------------------------------------------------------------------
def prepare_stacks(
    loaded: Loaded, request: PlanRequest, runtime: Runtime, opened: OpenEnvironment | None = None
) -> Work:
    """Prepare to plan and apply the loaded stacks. Raises Invalid where they cannot be planned."""
    from kplan.planning.needed import find_needed_addresses

    refuse_unplannable(loaded, loaded.stacks, request)
    return Work(
        loaded.environment,
        [stack.name for stack in loaded.stacks],
        needs_connect(address for stack in loaded.stacks for address in find_needed_addresses(stack, {})),
        lambda opened: plan_stacks(loaded, loaded.stacks, request, opened, runtime),
        runtime.notifier(loaded.environment),
        opened=opened,
    )


def prepare_saved(documents: Sequence[Mapping[str, object]], request: Request, runtime: Runtime) -> Work:
    """Prepare to apply the plans of a file. Raises Stale, Blocked or Invalid where they cannot be applied."""
    plans = check_documents(documents, request.env, runtime.key)
    environment = load_environment_of(plans, request, runtime)
    notifier, stacks = runtime.notifier(environment), [plan.stack for plan in plans]
    with notifying_refusals(notifier, stacks):
        saved = complete_plans(plans, environment, request, runtime)
    asks_connect = needs_connect(change.address for plan in plans for change in plan.changes)
    return Work(environment, stacks, asks_connect, lambda _: PlanOutcome(saved.plans), notifier, saved.listed)


# -- applying ---------------------------------------------------------------------------------------------------------
def apply_work(work: Work, request: ApplyRequest, runtime: Runtime, audience: ApplyAudience) -> int:
    """Wait, plan, ask and run. Return the exit code. The receivers are notified of each end, and of a refusal."""
    began = runtime.timestamp
    with notifying_refusals(work.notifier, work.stacks):
        if request.wait:
            wait_until_ready(work.environment, work.needs_connect, request.wait, runtime)
        with work.opened or open_environment(work.environment, runtime, request.parallel) as opened:
            has_waited = wait_for_others(opened.store, work.stacks, request.lock_timeout, runtime)
            if has_waited or opened.had_open_runs(work.stacks):
                opened = replace(opened, begun=None)  # what was read before is out of date
            prepared = _prepare_lock(work, request, runtime, opened)
            outcome = work.plan(opened)
            if not request.saved and _had_other_runs(outcome, work, request, runtime, opened.store, began):
                opened = replace(opened, begun=None)
                outcome = work.plan(opened)
            audience.show_plans(outcome)
            if code := max((plan.exit_code for plan in outcome.plans), default=0):
                work.notifier.notify_unusable(outcome.plans)
                return code
            audience.show_unchanged([plan for plan in outcome.plans if not plan.steps])
            waiting = [plan for plan in outcome.plans if plan.steps]
            if waiting and not request.saved and not request.confirmed:
                audience.confirm(waiting)
            return _Runs(work, request, runtime, audience, opened, prepared).run_all(waiting)


def _had_other_runs(
    outcome: PlanOutcome, work: Work, request: ApplyRequest, runtime: Runtime, store: Store, began: str
) -> bool:
    """Return whether a plan with errors was made while another run of its stack changed what it is made from.

    Servers refuse such a plan, because what it would create is there already. A run that is open is waited for. Raises
    Locked.
    """
    if not any(plan.errored for plan in outcome.plans):
        return False
    if wait_for_others(store, work.stacks, request.lock_timeout, runtime):
        return True
    return any(run.stack in work.stacks and run.ended >= began for run in store.summaries())


def _prepare_lock(work: Work, request: ApplyRequest, runtime: Runtime, opened: OpenEnvironment) -> PreparedLock | None:
    """Connect the lock in advance, where no question comes between the plan and the run."""
    if not (request.confirmed or request.saved) or len(work.stacks) != 1:
        return None
    if opened.prepared is not None and opened.prepared.stack == work.stacks[0]:
        return opened.prepared
    return opened.prepare_lock(work.stacks[0], runtime.holder(request.command))


def run_plan(
    plan: Plan,
    opened: OpenEnvironment,
    request: ApplyRequest,
    runtime: Runtime,
    holder: Holder,
    emit: Emit,
    stop: Stop,
    listed: Callable[[], Listed] | None = None,
) -> Result:
    """Carry out one plan under the lock of its stack. Raises, with nothing changed, as `Apply.execute` does."""
    narrator = Narrator(holder.run, emit)
    run = prepare_run(plan, opened.environment, opened.cluster, opened.store, holder, narrator, stop, runtime.now)
    with phase(f"apply {plan.stack}"):
        result = Apply(run, request.on_failure, request.saved, listed).execute(request.lock_timeout)
    return narrator.add_summary(result)


@dataclass(slots=True)
class _Runs:
    """One stack after the other. `ends` says of each what became of it, in words, and in which run."""

    work: Work
    request: ApplyRequest
    runtime: Runtime
    audience: ApplyAudience
    opened: OpenEnvironment
    prepared: PreparedLock | None = None
    ends: dict[str, tuple[str, str]] = field(default_factory=dict)

    def run_all(self, plans: Sequence[Plan]) -> int:
        """Apply the plans and return the exit code. One that fails stops the rest; those that are finished stay."""
        if len(plans) < 2:
            return self._run(plans[0]) if plans else 0
        self.ends = {plan.stack: (NOT_STARTED, "") for plan in plans}
        code = 0
        remaining = self._without_applied(plans)
        for number, plan in enumerate(remaining, 1):
            self.audience.start_stack(plan, number, len(remaining))
            code = self._try(plan)
            if code:
                break
        self.audience.show_ends(self.ends, code)
        return code

    def _without_applied(self, plans: Sequence[Plan]) -> list[Plan]:
        """Return the plans without those of a saved file that were applied before: a failed one is resumed.

        Raises Stale, as for a single plan, where all were.
        """
        before = find_applied_runs(self.opened.store, plans) if self.request.saved else {}
        if len(before) == len(plans):
            refuse_applied(plans[0], before)
        self.ends |= {stack: (APPLIED_BEFORE, run) for stack, run in before.items()}
        return [plan for plan in plans if plan.stack not in before]

    def _try(self, plan: Plan) -> int:
        try:
            return self._run(plan)
        except KplanError as e:
            self.ends[plan.stack] = ("interrupted" if e.exit_code in (7, 8) else "refused", "")
            return self.audience.show_failure(e)

    def _run(self, plan: Plan) -> int:
        holder = self._find_holder()
        with self.audience.stoppable(holder.run) as stop:
            result = self.work.notifier.run_and_notify(plan, holder.run, lambda: self._watch(plan, holder, stop))
        self.ends[plan.stack] = (ENDS.get(result.outcome, result.outcome), holder.run)
        self.audience.end_run(result)
        return result.exit_code

    def _find_holder(self) -> Holder:
        """Return the holder of the lock, once its connections are made."""
        if self.prepared is None:
            return self.runtime.holder(self.request.command)
        wait([self.prepared.connecting])  # taking the lock reports what is wrong
        return self.prepared.holder

    def _watch(self, plan: Plan, holder: Holder, stop: Stop) -> Result:
        listed = self.work.listed.get(plan.stack)
        with self.audience.watch_run(holder.run, self.opened.store, stop) as emit:
            return run_plan(plan, self.opened, self.request, self.runtime, holder, emit, stop, listed)
