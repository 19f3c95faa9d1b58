"""Run a plan: its waves, each journaled before and after, what was sent, and its events."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field, replace
from datetime import UTC, datetime
from typing import Any, cast

from kplan.diagnostics import Conflict, Denied, ErrorClass, KplanError, Rejected, codes
from kplan.execution.records import RunRecords
from kplan.kinds.connector.options import drops_of
from kplan.kinds.connector.sensitivity import of_changes, of_ledger
from kplan.kinds.registry import KINDS, comparison_of
from kplan.kinds.statistics import make_statistics
from kplan.kinds.topic.options import reassignment_of
from kplan.model import Action, Address, Change, Health, Live, Owned, Target
from kplan.model.events import (
    EmitRunEvent,
    PlannedChange,
    ProblemFound,
    Purpose,
    RunEnded,
    ServerAwaited,
    ServerReported,
    StepDone,
    StepFailed,
    StepStarted,
    ignore_event,
)
from kplan.model.journal import ADOPTED_MEANWHILE
from kplan.planning.comparison import find_differing
from kplan.planning.document import Plan
from kplan.planning.needed import Ledger
from kplan.planning.order import Step
from kplan.servers.base import Backend, Cluster, DeferringBackend, Outcome, Progress
from kplan.state.base import Holder, Lock, Store
from kplan.values import dataclass

log = logging.getLogger("kplan.run")
VERIFY_ATTEMPTS, VERIFY_INTERVAL_S = 3, 0.5  # readings of an end state that differs


@dataclass(slots=True)
class Stop:
    """Set by Ctrl-C: the running wave is finished, and then everything is put back."""

    asked: bool = False
    begun: bool = False  # the journal knows the run
    over: bool = False  # so is all that it was about


@dataclass(frozen=True, slots=True)
class Sent:
    """Hold a step whose requests were sent, and what its undo needs.

    `done`: it was answered and is complete. `unsure`: a request of it may still take effect; `undoing`: one of its undo
    may. `accepted`: a server accepted it, whatever a reading shows. `refused`: it was certainly not made by kplan, so
    what exists was made by others; with `done` it is adopted, as it is exactly as planned.
    """

    step: Step
    captured: Mapping[str, Any] = field(default_factory=dict)
    done: bool = False
    unsure: bool = False
    accepted: bool = False
    refused: bool = False
    undoing: bool = False

    @property
    def is_adopted(self) -> bool:
        return self.done and self.refused

    @property
    def was_there(self) -> bool:
        """Whether what the step creates existed already right before its request: then its undo is nothing."""
        return self.step.change.action is Action.CREATE and self.captured.get("there") is True


@dataclass(frozen=True, slots=True)
class Result:
    """Describe how a run ended. `outcome`: applied | completed | recovered | rolled_back | incomplete | stopped.

    `left` names each difference to the state before, or to the planned one. `said` is the last sentence, which the
    application layer makes of the events.
    """

    outcome: str
    run: str
    done: int = 0
    skipped: int = 0
    actions: tuple[Action, ...] = ()
    undone: int = 0
    left: tuple[str, ...] = ()
    error: KplanError | None = None
    failed: Address | None = None
    seconds: float = 0.0
    said: str = ""
    retries: int = 0  # requests that were sent again because a server did not answer or was not ready

    @property
    def exit_code(self) -> int:
        return {"applied": 0, "completed": 0, "recovered": 0, "rolled_back": 7}.get(self.outcome, 8)


def make_reader(plan: Plan, cluster: Cluster, store: Store) -> Callable[[], tuple[Live, Ledger]]:
    """Return a function that reads what the plan is about, and the ledger."""
    from kplan.planning.reading import read_addresses

    addresses = {c.address for c in plan.changes} | {c.source for c in plan.changes if c.source}
    states = [state for c in plan.changes for state in (c.after, c.before) if state is not None]

    def read_both() -> tuple[Live, Ledger]:
        ledger = store.ledger()
        live = read_addresses(cluster, addresses, [*of_ledger(ledger), *of_changes(plan.changes)], states)
        return replace(live, state=store.topic, internal=cluster.internal_topics), ledger

    return read_both


@dataclass(slots=True)
class Run:
    """Run a plan. All effects go through `cluster` (the servers) and `lock` (the store).

    `grace` is how many seconds an unanswered request may still take effect, `answer_timeout` how many a server that
    does not answer is waited for, and `session` how many a process may be stopped for without losing the lock.
    """

    plan: Plan
    cluster: Cluster
    store: Store
    holder: Holder
    read: Callable[[], tuple[Live, Ledger]]
    emit: EmitRunEvent = ignore_event
    stop: Stop = field(default_factory=Stop)
    grace: float = 0.0
    answer_timeout: float = 0.0
    session: float = float("inf")
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    health: Mapping[Address, Health] = field(default_factory=dict)
    sent: dict[int, Sent] = field(default_factory=dict)  # by the step's number, in the order they were sent
    waiting: dict[int, Step] = field(default_factory=dict)  # by its number: accepted, and not made yet
    records: RunRecords = field(init=False)

    def __post_init__(self) -> None:
        self.records = RunRecords(
            self.plan, self.holder, lambda: self.cluster.retries, self.session, self.now, self.clock
        )

    def begin(self, lock: Lock, steps: Sequence[Step], claims: Mapping[Address, Owned | None], target: Target) -> None:
        """Write into the journal all that a recovery needs to roll the run back, or to complete it."""
        plan = self.plan
        self.stop.begun = True
        about = {
            "stack": plan.stack,
            "env": plan.env,
            "cluster": target.cluster_id,
            "connect": target.connect_url or target.simulated,
            "mode": plan.mode,
            "digest": plan.digest,
            "created_at": plan.created_at,
            "who": self.holder.who,
            "steps": len(steps),
            "files": [file.path for file in plan.files],
            **{key: value for key, value in self._list_reasons() if value},
        }
        self.records.write(lock, "begin", steps, ledger=claims, about=about)

    def _list_reasons(self) -> Sequence[tuple[str, str]]:
        """Return for whom and why the run is, as far as it is known."""
        holder = self.holder
        return [("commit", self.plan.commit), ("actor", holder.actor), ("request", holder.request)]

    def finish(self, lock: Lock, steps: Sequence[Step], skipped: Sequence[Step]) -> Result:
        """Close the run with the ledger's records of what it did and what it found done."""
        for step in steps:
            if step.change.is_ledger_only:
                self.emit(StepDone(self.describe_step(step)))
        adopted = self.adopted_steps
        ledger = self.records.make_owners(steps, adopted) | self.records.make_owners(
            skipped, adopted, already_done=True
        )
        self.records.write(lock, "end", about={"outcome": "applied"}, ledger=ledger)
        return self.make_result("applied", steps, skipped=len(skipped))

    def report_end(self, result: Result, purpose: Purpose, earlier_outcome: str | None = None) -> Result:
        """Emit how the run ended. `earlier_outcome`: nothing was left to recover, as the run had ended so before."""
        result = replace(result, retries=self.cluster.retries)
        self.emit(
            RunEnded(
                purpose,
                result.run,
                result.outcome,
                result.exit_code,
                len(self.plan.steps),
                result.done,
                result.skipped,
                result.actions,
                result.undone,
                result.left,
                result.seconds,
                result.retries,
                self.count_statistics(result),
                earlier_outcome,
            )
        )
        return result

    def count_statistics(self, result: Result) -> dict[str, Any]:
        """Return the numbers of resources created, of those that failed, and of requests that were sent again."""
        creations = [s for s in self.sent.values() if s.step.change.action is Action.CREATE and not s.is_adopted]
        keeps_them = result.outcome in ("applied", "completed", "stopped")
        created = (s.step.change.address.kind for s in creations if s.done and keeps_them)
        failed = (s.step.change.address.kind for s in creations if not s.done)
        return make_statistics(created, failed, result.retries)

    # -- forward --------------------------------------------------------------------------------------------------
    def run_waves(self, lock: Lock, steps: Sequence[Step]) -> Failure | None:
        """Run one wave after the other; None when all are done."""
        interrupted = Failure(None, KplanError("Ctrl-C, or a signal to end", code=codes.K515))
        for wave in dict.fromkeys(s.wave for s in steps):
            if self.stop.asked:
                return interrupted
            failure = self._run_wave(lock, [s for s in steps if s.wave == wave])
            if failure is not None:
                return failure
        if self.stop.asked and self.sent:
            return interrupted
        return complete_waiting(self) if self.waiting else None

    def _run_wave(self, lock: Lock, steps: Sequence[Step]) -> Failure | None:
        """Journal, send and settle one wave; None when all of it is done."""
        backend = self.cluster.find(steps[0].change.address)
        if backend is None:
            kind = steps[0].change.address.kind
            reason = f"this environment has no {KINDS[kind].server} server for resources of kind {kind}"
            return Failure(steps[0], KplanError(reason, code=codes.K218))
        start = self.clock()
        try:
            captured = self._capture(backend, steps)
        except KplanError as e:
            return Failure(steps[0], e)
        self.records.announce(lock, "will", steps, captured)
        self.sent |= {s.number: Sent(s, captured.get(s.change.address, {}), unsure=True) for s in steps}
        for step in steps:
            self.emit(StepStarted(self.describe_step(step)))
        # an interrupted replacement is completed as a creation: the offsets that it captured are for its undo
        created_addresses = {s.change.address for s in steps if s.change.action is Action.CREATE}
        sent_captured = {
            address: _without_offsets(kept) if address in created_addresses else kept
            for address, kept in captured.items()
        }
        outcomes = self.send_and_settle(
            backend,
            [s.change for s in steps],
            sent_captured,
            steps,
            lambda answers: self._note_adopted(lock, steps, answers),
        )
        failed = [s for s in steps if not outcomes[s.change.address].ok]
        succeeded = [s for s in steps if outcomes[s.change.address].ok]
        if own_steps := [s for s in succeeded if not self.sent[s.number].refused]:
            self.records.write(lock, "did", own_steps)
        for step in succeeded:
            sent = self.sent[step.number] = replace(self.sent[step.number], done=True, unsure=False)
            outcome = outcomes[step.change.address]
            if outcome.waits:
                self.waiting[step.number] = step
                self.emit(ServerReported(self.describe_step(step), outcome.note))
                continue
            self.emit(StepDone(self.describe_step(step), self.clock() - start, sent.is_adopted, outcome.note))
        return self._record_failure(lock, failed, outcomes, start) if failed else None

    def _note_adopted(self, lock: Lock, steps: Sequence[Step], answers: Mapping[Address, Outcome]) -> None:
        """Write into the journal which steps need no undo, because another client created their topics."""
        adopted = [s for s in steps if answers[s.change.address].adopted]
        if adopted:
            self.records.write(lock, "refused", adopted, outcomes={s.number: ADOPTED_MEANWHILE for s in adopted})
        self.sent |= {s.number: replace(self.sent[s.number], refused=True, unsure=False) for s in adopted}

    def _capture(self, backend: Backend, steps: Sequence[Step]) -> dict[Address, Mapping[str, Any]]:
        """Return what the undo of each step needs; of a step that was sent before, what was captured then."""
        earlier = {s.change.address: self.sent[s.number].captured for s in steps if s.number in self.sent}
        return {**backend.capture([s.change for s in steps if s.change.address not in earlier]), **earlier}

    def _record_failure(
        self, lock: Lock, failed: Sequence[Step], outcomes: Mapping[Address, Outcome], start: float
    ) -> Failure:
        messages = {s.number: outcomes[s.change.address].reason for s in failed}
        refused = {
            s.number: s
            for s in failed
            if self.sent[s.number].refused or _is_refused(s.change, outcomes[s.change.address])
        }
        uncertain = [s for s in failed if s.number not in refused]
        for event, steps in (("failed", uncertain), ("refused", list(refused.values()))):
            if steps:
                self.records.write(lock, event, steps, outcomes=messages)
        for step in failed:
            outcome = outcomes[step.change.address]
            self.sent[step.number] = replace(
                self.sent[step.number], unsure=outcome.unsure, accepted=outcome.accepted, refused=step.number in refused
            )
            code = outcome.error.code if outcome.error else ""
            self.emit(StepFailed(self.describe_step(step), self.clock() - start, outcome.reason, code))
        first = outcomes[failed[0].change.address]
        return Failure(failed[0], first.error or KplanError(first.reason))

    def send_and_settle(
        self,
        backend: Backend,
        changes: Sequence[Change],
        captured: Mapping[Address, Mapping[str, Any]],
        steps: Sequence[Step] = (),
        on_answers: Callable[[Mapping[Address, Outcome]], None] = lambda answers: None,
    ) -> dict[Address, Outcome]:
        """Return the outcome of each change, once accepted changes are visible and stable.

        `on_answers` gets the answers of the servers before that.
        """
        progress = self.report_progress({s.change.address: s for s in steps})
        unanswered = Outcome(KplanError("no answer for it", applied=None), unsure=True)
        try:
            backend.watch([change.address for change in self.plan.changes], self.store.topic)
            answers = backend.act(changes, captured)
            outcomes = {c.address: _mark_uncertain(answers.get(c.address, unanswered)) for c in changes}
        except Exception as e:
            return {c.address: _mark_uncertain(Outcome(_as_kplan_error(e))) for c in changes}
        on_answers(outcomes)
        accepted = [c for c in changes if outcomes[c.address].ok]
        try:
            settled_outcomes = backend.settle(accepted, progress) if accepted else {}
        except Exception as e:
            return outcomes | {c.address: Outcome(_as_kplan_error(e), accepted=True) for c in accepted}
        return outcomes | {
            a: replace(o, note=o.note or outcomes[a].note, accepted=True, waits=outcomes[a].waits)
            for a, o in settled_outcomes.items()
        }

    def report_progress(self, steps: Mapping[Address, Step]) -> Progress:
        """Return what reports how far a server is with one of the steps."""

        def report(address: Address, message: str) -> None:
            if address in steps:
                self.emit(ServerReported(self.describe_step(steps[address]), message))
                if self.stop.asked and reassignment_of(steps[address].change) is not None:
                    raise KplanError("Ctrl-C, or a signal to end", code=codes.K515)  # else it waits for hours

        return report

    def read_live(self, step: Step) -> Live:
        """Return what is live now, and wait for a server that does not answer, such as one that is restarting."""
        end = self.clock() + self.answer_timeout
        while True:
            try:
                return self.read()[0]
            except KplanError as e:
                if e.error_class is not ErrorClass.RETRIABLE or self.clock() >= end:
                    raise
                self.emit(ServerAwaited(self.describe_step(step), e.message))
            self.sleep(VERIFY_INTERVAL_S)

    def verify_end_state(self, steps: Sequence[Step]) -> Failure | None:
        """Read the end state: a step whose result is missing is a failure like any other.

        A worker that is not the leader may answer with what was before, so a difference is read again.
        """
        steps = [step for step in steps if step.number not in self.waiting]
        failure = self._find_difference(steps) if steps else None
        for _ in range(VERIFY_ATTEMPTS - 1):
            if failure is None:
                break
            self.sleep(VERIFY_INTERVAL_S)
            failure = self._find_difference(steps)
        return failure

    def _find_difference(self, steps: Sequence[Step]) -> Failure | None:
        try:
            live = self.read_live(steps[-1])
        except KplanError as e:
            return Failure(None, e)
        for step in steps:
            change = step.change
            resource = live.resources.get(change.address)
            missing = (change.after is None) != (resource is None)
            differing_paths = (
                [path for path, _, _ in find_differing(change.after, resource)] if change.after and resource else []
            )
            if missing or differing_paths:
                detail = ", ".join(path[1:].removeprefix("config/") for path in differing_paths) or (
                    "it is there" if resource else "it is missing"
                )
                return Failure(step, KplanError(f"{change.address} is not as planned: {detail}", code=codes.K513))
        return None

    def make_result(self, outcome: str, steps: Sequence[Step], **more: Any) -> Result:
        adopted = self.adopted_steps
        actions = tuple(Action.ADOPT if s.number in adopted else s.change.action for s in steps)
        return Result(outcome, self.holder.run, len(steps), actions=actions, **more)

    @property
    def adopted_steps(self) -> set[int]:
        """Return the numbers of the steps whose topics another client created meanwhile, as planned."""
        return {number for number, sent in self.sent.items() if sent.is_adopted}

    # -- events ---------------------------------------------------------------------------------------------------
    def describe_step(self, step: Step) -> PlannedChange:
        """Return the step as events contain it."""
        return PlannedChange(step.number, len(self.plan.steps), step.change)

    def emit_failure(self, failure: Failure) -> None:
        """Emit the failure as a diagnostic, at the line of its resource."""
        change = failure.step.change if failure.step else None
        span = change.span if change else None
        if change is not None and change.after is not None:
            span = change.after.origin.span or span
        diagnostic = failure.error.diagnostic(change.address if change else "", span)
        number = failure.step.number if failure.step else 0
        self.emit(ProblemFound(diagnostic, failure.error.message, number, failure.address))


@dataclass(frozen=True, slots=True)
class Failure:
    """Hold why a run cannot go on, and the step that failed, if it was one."""

    step: Step | None
    error: KplanError

    @property
    def address(self) -> Address | None:
        return self.step.change.address if self.step else None


def _without_offsets(captured: Mapping[str, Any]) -> Mapping[str, Any]:
    return {key: kept for key, kept in captured.items() if key != "offsets"}


def _mark_uncertain(outcome: Outcome) -> Outcome:
    """Mark a request without an answer: it may still take effect."""
    return replace(outcome, unsure=True) if outcome.error is not None and outcome.error.applied is None else outcome


def _is_refused(change: Change, outcome: Outcome) -> bool:
    """Return whether nothing of a creation can exist: a server refused all of it."""
    was_refused = isinstance(outcome.error, (Conflict, Rejected, Denied)) and outcome.error.applied is False
    return was_refused and not outcome.accepted and change.action is Action.CREATE and not drops_of(change)


def _as_kplan_error(e: Exception) -> KplanError:
    """Return the failure as KplanError; an unforeseen one does not say whether something was applied."""
    if isinstance(e, KplanError):
        return e
    log.debug("a backend failed", exc_info=e)
    fault = KplanError(f"a fault in kplan: {type(e).__name__}: {e}", code=codes.K399)
    fault.applied = None
    return fault


def has_changed(change: Change, live: Live) -> bool:
    """Return whether live differs from the state before `change`, in what that changes."""
    if change.action is Action.MOVE and change.source is not None and change.address in live.resources:
        return True
    resource = live.resources.get(change.source or change.address)
    if change.before is None or resource is None:
        return (change.before is None) != (resource is None)
    paths = {path for path, _, _ in find_differing(change.before, resource)}
    if change.action is Action.UPDATE and change.diffs:  # the rest belongs to others
        paths &= {d.path for d in change.diffs}
    attributes = comparison_of(resource.address).attributes(resource)
    return bool(paths) or any(d.before is None and d.path in attributes for d in change.diffs)


def complete_waiting(run: Run) -> Failure | None:
    """Make what had to wait for other steps; what still has to is no failure, and the next plan shows it again."""
    start = run.clock()
    by_kind: dict[str, list[Step]] = {}
    for step in run.waiting.values():
        by_kind.setdefault(step.change.address.kind, []).append(step)
    for steps in by_kind.values():
        backend = cast(DeferringBackend, run.cluster.find(steps[0].change.address))
        report = run.report_progress({step.change.address: step for step in steps})
        try:
            outcomes = backend.complete([step.change for step in steps], report)
        except KplanError as e:
            return Failure(steps[0], e)
        for step in steps:
            outcome = outcomes[step.change.address]
            if outcome.error is not None:
                return Failure(step, outcome.error)
            run.emit(StepDone(run.describe_step(step), run.clock() - start, note=outcome.note, waits=outcome.waits))
            if not outcome.waits:
                del run.waiting[step.number]
    return None
