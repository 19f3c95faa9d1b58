"""Ends an interrupted run: puts back what it did, or completes it. Both may be repeated, and killed, at any time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kplan import words
from kplan.codec import change_from_json
from kplan.journal import Item, Progress, replay
from kplan.model import Action, Address, File, Live, Target
from kplan.order import Step
from kplan.plan import Plan, differing, judge
from kplan.rollback import WATCH_PAUSE, Rollback
from kplan.run import Failure, Result, Run, Sent, changed
from kplan.store.base import Lock


def plan_of(progress: Progress) -> Plan:
    """The plan that the run was to carry out, as its journal has it. No secret's value is in it."""
    steps = tuple(_step(n, progress.planned[n]) for n in sorted(progress.planned))
    about = progress.about
    files = tuple(File(str(path), "") for path in about.get("files", ()))
    return Plan(progress.stack, str(about.get("env", "")), Target(), steps, str(about.get("mode", "apply")), files)


def _step(number: int, item: Item) -> Step:
    data = item.change or {}
    return Step(number, int(data.get("wave", 0)), change_from_json(data))


def standing(step: Step, live: Live) -> str:
    """What live state says of a step: `as before`, `as planned`, or that it is `neither`."""
    change = step.change
    if change.is_ledger_only:
        return "in the ledger alone"
    now = live.resources.get(change.address)
    if not changed(change, live):
        return "as before"
    if (change.after is None) != (now is None):
        return "neither as before nor as planned"
    if change.drops and now is None:
        return f"gone; {' and '.join(change.drops)} not looked for"
    same = change.after is None or now is None or not differing(change.after, now)
    return "as planned" if same else "neither as before nor as planned"


@dataclass(frozen=True, slots=True)
class Recovery:
    """The way out of an interrupted run: `run.holder.run` is its id, `run.plan` its plan, with secrets to complete it.

    `forget` names what may stay as it is, `deletes` says which created topics may go although they have records.
    """

    run: Run
    forget: Collection[str] = ()
    deletes: Callable[[Address], bool] = lambda address: False

    def back(self, timeout: float) -> Result:
        """Puts back what the run did. What is as it was before is left alone."""
        return self._held(timeout, self._back, words.recovered)

    def forward(self, timeout: float) -> Result:
        """Does what the run had left to do. A failure leaves it open, to be completed later or put back."""
        return self._held(timeout, self._forward, words.completed, forward=True)

    def _held(
        self,
        timeout: float,
        work: Callable[[Lock, Progress], Result],
        said: Callable[[Result, Plan], str],
        **more: Any,
    ) -> Result:
        run = self.run
        started = run.clock()
        with run.store.lock(run.plan.stack, run.holder, timeout) as lock:
            progress = replay(run.store.entries(run.holder.run))  # as of now: another machine may have been quicker
            if progress is None or not progress.is_open:
                result = Result("recovered", run.holder.run)
            else:
                run.seq = progress.seq
                result = work(lock, progress)
        return run.ended(replace(result, seconds=run.clock() - started), said, **more)

    def _sent(self, progress: Progress) -> list[Sent]:
        """The steps that were sent. One in flight may still be on its way: it is undone even if it looks undone."""
        items: dict[int, Item] = {**progress.done, **progress.flying}
        return [
            Sent(s, items[s.number].captured or {}, s.number in progress.done, self._in_flight(s, progress))
            for s in self.run.plan.steps
            if s.number in items
        ]

    def _in_flight(self, step: Step, progress: Progress) -> bool:
        return step.number in progress.flying and step.number not in progress.undone

    # -- back -----------------------------------------------------------------------------------------------------
    def _back(self, lock: Lock, progress: Progress) -> Result:
        live, _ = self.run.read()
        sent = self._sent(progress)
        kept = [s.step for s in sent if str(s.step.change.address) in self.forget]
        todo = [s for s in sent if s.step not in kept and self._is_to_undo(s, live, progress)]
        rollback = Rollback(self.run, lock, self.deletes)
        left = rollback.undo(todo, live, len(sent), self.run.records(kept, partial=True))
        result = rollback.result(todo, left, len(progress.done))
        return result if left else replace(result, outcome="recovered")

    def _is_to_undo(self, sent: Sent, live: Live, progress: Progress) -> bool:
        """Whether it is not as before, or may not be: what was replaced may look like what it replaced."""
        replaced = sent.step.change.action is Action.REPLACE and sent.step.number not in progress.undone
        return sent.unsure or replaced or changed(sent.step.change, live)

    # -- forward --------------------------------------------------------------------------------------------------
    def _forward(self, lock: Lock, progress: Progress) -> Result:
        run = self.run
        sent = {s.step.number: s for s in self._sent(progress) if s.step.number not in progress.undone}
        if progress.undoing or any(s.unsure for s in sent.values()):
            self._wait()
        live, ledger = run.read()
        answered = {n: s.done or self._is_remade(s) for n, s in sent.items()}
        judged, moved = judge(run.plan.steps, live, ledger, run.plan.stack, answered)
        if moved:
            return Result("incomplete", run.holder.run, left=tuple(moved))
        run.health = live.health
        run.sent |= {n: s for n, s in sent.items() if not answered[n]}
        todo = [j.step for j in judged if not j.done]
        failure = run.waves(lock, [s for s in todo if not s.change.is_ledger_only])
        failure = failure or run.verify([s for s in run.plan.steps if not s.change.is_ledger_only])
        if failure is not None:
            return self._failed(failure, todo)
        found = {j.step.number for j in judged if j.done} - sent.keys()
        mine = [s for s in run.plan.steps if s.number not in found]
        finished = run.finished(lock, mine, [s for s in run.plan.steps if s.number in found])
        return replace(finished, outcome="completed")

    def _is_remade(self, sent: Sent) -> bool:
        """Whether a replacement that was cut off had come to its end: another topic of the same name has another id."""
        backend = self.run.cluster.of(sent.step.change.address.kind)
        known = sent.captured.get("topic_id")
        if known is None or backend is None:
            return False
        now = backend.capture([sent.step.change]).get(sent.step.change.address, {}).get("topic_id")
        return now is not None and now != known

    def _wait(self) -> None:
        """Returns once nothing that was sent can take effect any more."""
        run = self.run
        end = run.clock() + run.grace
        first = run.plan.steps[0]
        run.tell("step_progress", first, words.waiting(run.grace))
        while (rest := end - run.clock()) > 0:
            run.sleep(min(WATCH_PAUSE, rest))

    def _failed(self, failure: Failure, todo: Sequence[Step]) -> Result:
        self.run.explain(failure)
        open_ = [s for s in todo if not (s.number in self.run.sent and self.run.sent[s.number].done)]
        left = tuple(f"{s.change.address}: not done" for s in open_)
        return Result("incomplete", self.run.holder.run, len(todo) - len(open_), left=left, error=failure.error)
