"""End an interrupted run: roll it back, or complete it. Both may be repeated, and killed, at any time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from shlex import quote

from kplan.diagnostics import JournalBroken, KplanError, codes
from kplan.execution.places import find_other_place
from kplan.execution.rollback import WATCH_INTERVAL_S, Rollback, fit_to_live
from kplan.execution.run import Failure, Result, Run, Sent, has_changed
from kplan.execution.wording import describe_other_place
from kplan.kinds.codec import change_from_json
from kplan.kinds.connector.options import drops_of
from kplan.kinds.connector.sensitivity import with_values
from kplan.kinds.registry import KINDS, consequences_of
from kplan.kinds.topic.losses import may_lose
from kplan.model import Action, Change, Facts, File, Live, Target
from kplan.model.events import LateEffectAwaited, Purpose
from kplan.model.journal import Entry, Item, Progress, replay
from kplan.planning import facts
from kplan.planning.comparison import find_differing
from kplan.planning.document import Plan, judge
from kplan.planning.needed import Ledger
from kplan.planning.order import Step
from kplan.planning.risk import accept_name
from kplan.planning.trust import escape, find_forbidden, find_undo_refusals, is_claimed, is_run_id
from kplan.planning.undo import inverse
from kplan.planning.unknown_words import find_unknown_change
from kplan.state.base import Holder, Lock, Store
from kplan.values import dataclass
from kplan.version import __version__


def rebuild_plan(progress: Progress) -> Plan:
    """Return the plan that the run was to carry out, from its journal. No secret's value is in it.

    Raises JournalBroken for a journal that lost its beginning, and for one that kplan cannot have written.
    """
    if not is_run_id(progress.run):
        raise _make_broken_error(escape(progress.run), "has an id that no version of kplan assigns")
    if progress.is_open and progress.about.get("stack", progress.stack) != progress.stack:
        raise _make_broken_error(
            progress.run, f"is of stack {escape(str(progress.about['stack']))} and under the key of another"
        )
    steps = tuple(_read_step(n, progress.planned[n], progress.run) for n in sorted(progress.planned))
    if not steps and progress.is_open:
        raise _make_broken_error(progress.run, "has lost its beginning, and with it what the run was to do")
    about = progress.about
    files = tuple(File(str(path), "") for path in about.get("files", ()))
    target = Target(str(about.get("cluster", "")), connect_url=str(about.get("connect", "")))
    return Plan(progress.stack, str(about.get("env", "")), target, steps, str(about.get("mode", "apply")), files)


def _read_step(number: int, item: Item, run: str) -> Step:
    data = item.change or {}
    if unknown := find_unknown_change(data):
        raise JournalBroken(
            f"kplan {__version__} does not know {escape(unknown)}, which is in the journal of run {run}",
            help="recover the run with the version of kplan that began it",
        )
    try:
        change = change_from_json(data)
        if problem := next(
            (reason for a in (change.address, change.source) if a and (reason := KINDS[a.kind].check_name(a.name))), ""
        ):
            raise ValueError(problem)
        return Step(number, int(data.get("wave", 0)), change)
    except (LookupError, TypeError, ValueError, AttributeError) as e:
        raise _make_broken_error(
            run, f"does not say what step {number} ({escape(item.address) or 'unknown'}) was"
        ) from e


def _make_broken_error(run: str, problem: str) -> JournalBroken:
    return JournalBroken(
        f"the journal of run {run} {problem}",
        help=f"undo by hand what the run did, then close it: kplan recover {quote(run)} --forget '*'",
    )


def _add_live_values(sent: Sent, live: Live) -> Sent:
    """Return the step with what was captured before it, without the offsets if a value that they hold is not known."""
    change = sent.step.change
    resources = [live.resources.get(address) for address in (change.source, change.address) if address]
    captured = with_values(sent.captured, [resource for resource in resources if resource is not None])
    if captured is None:
        captured = {key: value for key, value in sent.captured.items() if key != "offsets"}
    return replace(sent, captured=captured)


def describe_standing(step: Step, live: Live) -> str:
    """Return how live state relates to a step: `as before`, `as planned`, or `neither`."""
    change = step.change
    if change.is_ledger_only:
        return "in the ledger alone"
    resource = live.resources.get(change.address)
    if not has_changed(change, live):
        return "as before"
    if (change.after is None) != (resource is None):
        return "neither as before nor as planned"
    if drops_of(change) and resource is None:
        return f"gone; {' and '.join(drops_of(change))} not looked for"
    is_planned = change.after is None or resource is None or not find_differing(change.after, resource)
    return "as planned" if is_planned else "neither as before nor as planned"


def abandon(store: Store, progress: Progress, holder: Holder, timeout: float) -> None:
    """Close a run whose journal does not contain its plan; nothing is rolled back."""
    time = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"outcome": "abandoned"}
    with store.lock(progress.stack, holder, timeout) as lock:
        lock.write([Entry(progress.run, progress.stack, progress.seq, "end", time, about=about)])


@dataclass(frozen=True, slots=True)
class Recovery:
    """End an interrupted run: `run.holder.run` is its id, `run.plan` its plan, with secrets to complete it.

    `forget` names what may stay as it is. `accepts` returns whether an undo was accepted by its name, such as
    `delete:topic/x`: that of a created topic that has records, or one that the ledger and live state do not confirm.
    """

    run: Run
    environment: str = ""  # the present one
    forget: Collection[str] = ()
    accepts: Callable[[str], bool] = lambda name: False

    def roll_back(self, lock_timeout: float) -> Result:
        """Roll back what the run did. What is as it was before is left alone."""
        return self._run_locked(lock_timeout, self._roll_back, Purpose.PUT_BACK)

    def complete(self, lock_timeout: float) -> Result:
        """Do what the run had left to do. A failure leaves it open, to be completed later or rolled back."""
        return self._run_locked(lock_timeout, self._complete, Purpose.COMPLETE)

    def _run_locked(self, lock_timeout: float, work: Callable[[Lock, Progress], Result], purpose: Purpose) -> Result:
        run = self.run
        start, earlier_outcome = run.clock(), None
        with run.store.lock(run.plan.stack, run.holder, lock_timeout) as lock:
            self._refuse_troubled_state()
            progress = replay(run.store.entries(run.holder.run))  # as of now: another machine may have ended it
            if progress is None or not progress.is_open:
                result = Result("recovered", run.holder.run)
                earlier_outcome = progress.outcome if progress else ""
            else:
                run.records.seq = progress.seq
                run.stop.begun = True
                try:
                    result = work(lock, progress)
                except JournalBroken as e:
                    e.exit_code = JournalBroken.exit_code  # the run is still open
                    raise
        return run.report_end(replace(result, seconds=run.clock() - start), purpose, earlier_outcome)

    def _refuse_troubled_state(self) -> None:
        """Raise RecordUnreadable where a record that the run is about cannot be read or trusted."""
        plan = self.run.plan
        addresses = [address for c in plan.changes for address in (c.address, c.source) if address is not None]
        self.run.store.overview().refuse_unreadable([plan.stack], addresses)

    def _list_sent(self, progress: Progress) -> list[Sent]:
        """Return the steps that were sent. One in flight is undone in any case: it may still take effect."""
        items: dict[int, Item] = {**progress.done, **progress.flying}
        return [
            Sent(
                s,
                items[s.number].captured or {},
                done=s.number in progress.done,
                unsure=self._is_in_flight(s, progress),
                undoing=s.number in progress.undoing,
            )
            for s in self.run.plan.steps
            if s.number in items
        ]

    def _is_in_flight(self, step: Step, progress: Progress) -> bool:
        return step.number in progress.flying and step.number not in progress.undone

    # -- back -----------------------------------------------------------------------------------------------------
    def _roll_back(self, lock: Lock, progress: Progress) -> Result:
        live, ledger = self._read_live()
        sent = [_add_live_values(s, live) for s in self._list_sent(progress)]
        forgotten = [s.step for s in sent if str(s.step.change.address) in self.forget]
        if forgotten:
            self.run.records.write(lock, "forgotten", forgotten)
        numbers = {step.number for step in forgotten} | set(progress.forgotten)
        kept = [s.step for s in sent if s.step.number in numbers]
        todo = [s for s in sent if s.step.number not in numbers and self._needs_undo(s, live, progress)]
        refused = self._find_refusals(todo, live, ledger)
        stack = self.run.plan.stack
        claimed_addresses = {a for s in self.run.plan.steps if is_claimed(s.change, ledger, stack)
                for a in (s.change.address, s.change.source) if a is not None}  # fmt: skip
        may_delete = lambda address: self.accepts(f"delete:{address}")  # noqa: E731
        rollback = Rollback(self.run, lock, may_delete, claimed_addresses)
        records = self.run.records.make_owners(kept, self.run.adopted_steps, partial=True)
        left = rollback.undo_all(todo, live, len(sent), records, refused)
        result = rollback.make_result(todo, left, len(progress.done))
        return result if left else replace(result, outcome="recovered")

    def _find_refusals(self, todo: Sequence[Sent], live: Live, ledger: Ledger) -> dict[int, str]:
        """Return why an undo is not sent, by step: the ledger, live state or a danger forbids it."""
        run = self.run
        undos = {s.step.number: undo for s in todo if (undo := fit_to_live(inverse(s.step.change), live)) is not None}
        risky = [undo for undo in undos.values() if undo.action is Action.UPDATE and may_lose(undo)]
        facts_by_address = facts.read(run.cluster, live, (), [undo.address.name for undo in risky])
        now = int(run.now().timestamp() * 1000)
        reasons_by_step = {}
        for sent in todo:
            change, undo = sent.step.change, undos.get(sent.step.number)
            if undo is not None:
                known_facts = facts_by_address.get(undo.address, Facts())
                refusals = find_undo_refusals(
                    change, undo, live, ledger, run.plan.stack, known_facts, self.accepts, now
                )
                if reasons := "; ".join(refusals):
                    reasons_by_step[sent.step.number] = f"{undo.address}: {reasons}"
        return reasons_by_step

    def _read_live(self) -> tuple[Live, Ledger]:
        """Return what is live where the run was. Raises if this is another place."""
        live, ledger = self.run.read()
        if place := find_other_place(self.run.plan, live, self.environment):
            raise KplanError(
                f"run {self.run.holder.run} cannot be ended here: {describe_other_place(place)}",
                code=codes.K618,
                help=f"give its environment: kplan recover {self.run.holder.run} --env {self.run.plan.env or 'NAME'}",
            )
        return replace(live, ids=facts.read_ids(self.run.cluster, self.run.plan.changes)), ledger

    def _needs_undo(self, sent: Sent, live: Live, progress: Progress) -> bool:
        """Return whether it is not as before, or may not be: what was replaced may look like what it replaced."""
        if sent.step.number in progress.settled - progress.undoing:
            return False  # what exists now came later, and belongs to others
        if sent.was_there:
            return False
        replaced = sent.step.change.action is Action.REPLACE and sent.step.number not in progress.undone
        is_unseen = consequences_of(sent.step.change).may_look_undone(sent.step.change)
        unseen = is_unseen and sent.step.number not in progress.undone
        return sent.unsure or replaced or unseen or has_changed(sent.step.change, live)

    # -- forward --------------------------------------------------------------------------------------------------
    def _complete(self, lock: Lock, progress: Progress) -> Result:
        run = self.run
        sent = {s.step.number: s for s in self._list_sent(progress) if s.step.number not in progress.undone}
        if progress.undoing or any(s.unsure for s in sent.values()):
            self._wait_for_grace()
        live, ledger = self._read_live()
        sent = {number: _add_live_values(s, live) for number, s in sent.items()}
        was_done = {n: s.done or self._is_recreated(s) for n, s in sent.items()}
        forbidden = find_forbidden(run.plan.changes, live, ledger)
        judgements, moved = judge(run.plan.steps, live, ledger, run.plan.stack, was_done)
        if forbidden or moved:
            return Result("incomplete", run.holder.run, left=(*forbidden, *moved))
        if left := self._find_unaccepted([j.step.change for j in judgements if not j.done], live, ledger):
            return Result("incomplete", run.holder.run, left=tuple(left))
        run.health = live.health
        run.sent |= {n: s for n, s in sent.items() if not was_done[n]}
        todo = [j.step for j in judgements if not j.done]
        failure = run.run_waves(lock, [s for s in todo if not s.change.is_ledger_only])
        failure = failure or run.verify_end_state([s for s in run.plan.steps if not s.change.is_ledger_only])
        if failure is not None:
            return self._make_incomplete(failure, todo)
        own = {number for number, each in sent.items() if not each.was_there}
        already_done = {j.step.number for j in judgements if j.done} - own
        own_steps = [s for s in run.plan.steps if s.number not in already_done]
        finished = run.finish(lock, own_steps, [s for s in run.plan.steps if s.number in already_done])
        return replace(finished, outcome="completed")

    def _find_unaccepted(self, changes: Sequence[Change], live: Live, ledger: Ledger) -> list[str]:
        """Return what is left and must be accepted: the journal alone does not prove that a danger was accepted."""
        run = self.run
        pending = [c for c in changes if not c.is_ledger_only and not self.accepts(accept_name(c))]
        unclaimed = [c for c in pending if not is_claimed(c, ledger, run.plan.stack)]
        problems = [f"{c.address}: the ledger has no record that stack {run.plan.stack} owns it" for c in unclaimed]
        without_risks = [replace(c, risks=()) for c in pending]
        problems += facts.find_new_dangers(run.cluster, live, without_risks, int(run.now().timestamp() * 1000))
        names = {str(c.address): accept_name(c) for c in pending}
        alternative = f"or undo it: kplan recover {run.holder.run}"
        with_names = [(line, next(n for a, n in names.items() if line.startswith(f"{a}: "))) for line in problems]
        return [f"{line} (accept it: --accept {name}, {alternative})" for line, name in with_names]

    def _is_recreated(self, sent: Sent) -> bool:
        """Return whether an interrupted replacement was completed: another topic of the same name has another id."""
        backend = self.run.cluster.find(sent.step.change.address)
        old_id = sent.captured.get("topic_id")
        if old_id is None or backend is None:
            return False
        new_id = backend.capture([sent.step.change]).get(sent.step.change.address, {}).get("topic_id")
        return new_id is not None and new_id != old_id

    def _wait_for_grace(self) -> None:
        """Return once nothing that was sent can take effect any more."""
        run = self.run
        end = run.clock() + run.grace
        first = run.plan.steps[0]
        run.emit(LateEffectAwaited(run.describe_step(first), run.grace))
        while (remaining := end - run.clock()) > 0:
            run.sleep(min(WATCH_INTERVAL_S, remaining))

    def _make_incomplete(self, failure: Failure, todo: Sequence[Step]) -> Result:
        self.run.emit_failure(failure)
        unfinished = [s for s in todo if not (s.number in self.run.sent and self.run.sent[s.number].done)]
        left = tuple(f"{s.change.address}: not done" for s in unfinished)
        return Result("incomplete", self.run.holder.run, len(todo) - len(unfinished), left=left, error=failure.error)
