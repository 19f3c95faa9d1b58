"""Puts back what a run did, newest first, and names what cannot be put back."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from kplan.diagnostics import KplanError, codes
from kplan.execution.run import LOOKS, PAUSE, Failure, Result, Run, Sent, changed
from kplan.kinds.connector.options import drops_of
from kplan.kinds.registry import consequences_of
from kplan.kinds.topic.options import topic_options
from kplan.model import Action, Address, Change, Live, Owned
from kplan.model.events import LateEffectWatched, RollbackStarted, UndoDone, UndoFailed
from kplan.planning.comparison import compare
from kplan.planning.order import Step
from kplan.planning.undo import inverse
from kplan.servers.base import Outcome
from kplan.state.base import Lock

WATCH_PAUSE = 1.0  # seconds between two looks for a request that takes effect late
Left = dict[int, str]  # what is not as before, by step, in words


@dataclass(frozen=True, slots=True)
class Rollback:
    """The way back of `run`. `deletes` says of an address whether its records may go where it was created.

    The ledger is written for `mine` alone; None: the run is this process's own, and all of it is.
    """

    run: Run
    lock: Lock
    deletes: Callable[[Address], bool] = lambda address: False
    mine: Collection[Address] | None = None

    def after(self, failure: Failure) -> Result:
        """Puts back what was sent, because of `failure`, and says what is left."""
        run = self.run
        run.explain(failure)
        sent = list(run.sent.values())
        done = sum(1 for s in sent if s.done)
        try:
            live = run.look(sent[-1].step) if sent else run.read()[0]
        except KplanError as e:
            unknown = tuple(f"{s.step.change.address}: its state is not known ({e.message})" for s in sent)
            return Result("incomplete", run.holder.run, done, left=unknown, error=failure.error)
        known = [s for s in sent if not s.refused]
        todo = [s for s in known if s.done or s.unsure or s.accepted or changed(s.step.change, live)]
        left = self.undo(todo, live, of=len(sent))
        return self.result(todo, left, done, error=failure.error, failed=failure.address)

    def result(self, todo: Sequence[Sent], left: Left, done: int, **more: Any) -> Result:
        return Result(
            "incomplete" if left else "rolled_back",
            self.run.holder.run,
            done,
            undone=len(todo) - len(left),
            left=tuple(left[n] for n in sorted(left)),
            **more,
        )

    def undo(
        self,
        todo: Sequence[Sent],
        live: Live,
        of: int,
        records: Mapping[Address, Owned | None] | None = None,
        refused: Left | None = None,
    ) -> Left:
        """Undoes wave by wave, looks until nothing can change any more, and closes the run if all is as before.

        The undos of the steps `refused` are not sent, for the reason given.
        """
        run = self.run
        kept = [s for s in todo if s.step.number in (refused or {})]
        todo = [s for s in todo if s.step.number not in (refused or {})]
        if todo:
            run.emit(RollbackStarted(len(todo), of))
        began = run.clock()
        left = self._waves(todo, live)
        left |= self._watch([s for s in todo if s.unsure], began, left)
        left = self._again([s for s in todo if (s.unsure or s.undoing) and s.step.number in left], began, left)
        left |= self._verify(todo, left)
        left |= refused or {}
        stay = [s.step for s in (*todo, *kept) if s.step.number in left]
        owned = run.records.owned(stay, run.adopted_steps, partial=True)
        ledger = run.records.owned_before() | owned | dict(records or {})
        if self.mine is not None:
            untouched = {a for s in kept for a in (s.step.change.address, s.step.change.source)}
            ledger = {a: owned for a, owned in ledger.items() if a in self.mine and a not in untouched}
        if left:
            run.records.write(self.lock, "kept", stay, outcomes=left, ledger=ledger)
        else:
            run.records.write(self.lock, "end", about={"outcome": "rolled_back"}, ledger=ledger)
        return left

    def _waves(self, todo: Sequence[Sent], live: Live) -> Left:
        left: Left = {}
        for wave in dict.fromkeys(s.step.wave for s in reversed(todo)):
            left |= self._wave([s for s in reversed(todo) if s.step.wave == wave], live)
        return left

    def _wave(self, sent: Sequence[Sent], live: Live) -> Left:
        """What could not be put back."""
        stays = [s.step for s in sent if not s.step.change.undo.complete and _is_other(s, live)]
        stays = [step for step in stays if not _is_looked_at(step.change)]
        left = {step.number: _no_undo(step.change) for step in stays}
        backs = {s.step.number: back for s in sent if (back := self._back(s.step.change, live)) is not None}
        if not backs:
            return left
        run = self.run
        steps = [s.step for s in sent if s.step.number in backs]
        run.records.announce(self.lock, "will_undo", steps)
        backend = run.cluster.find(steps[0].change.address)
        assert backend is not None, "it did the step that is undone here"
        began = run.clock()
        remembered = {backs[s.step.number].address: _remembered(s) for s in sent if s.step.number in backs}
        outcomes = run.settled(backend, list(backs.values()), remembered)
        undid = {s.number: s for s in steps if self._is_back(s, outcomes[backs[s.number].address])}
        for step in steps:
            if step.number in undid:
                run.emit(UndoDone(run.planned(step), run.clock() - began))
                continue
            outcome = outcomes[backs[step.number].address]
            said = f"kept: {outcome.kept}" if outcome.kept else outcome.words
            left[step.number] = f"{backs[step.number].address}: {said}"
            reason = outcome.kept or outcome.words
            run.emit(UndoFailed(run.planned(step), run.clock() - began, reason, bool(outcome.kept)))
        if undid:
            run.records.write(self.lock, "undid", list(undid.values()))
        return left

    def _back(self, change: Change, live: Live) -> Change | None:
        back = from_live(inverse(change), live)
        if back is not None and topic_options(back).if_empty and self.deletes(back.address):
            return replace(back, options=replace(topic_options(back), if_empty=False))
        return back

    def _is_back(self, step: Step, outcome: Outcome) -> bool:
        """Whether the undo took, also where a connector does not run now that did not run before either."""
        before = self.run.health.get(step.change.source or step.change.address)
        unwell = before is not None and (bool(before.failed) or before.state in ("FAILED", "UNASSIGNED"))
        return outcome.ok or (unwell and outcome.error is not None and outcome.error.code == codes.K512.number)

    # -- what is still on its way ---------------------------------------------------------------------------------
    def _watch(self, unsure: Sequence[Sent], began: float, left: Left) -> Left:
        """Undoes what takes effect late, until no request can be on its way any more."""
        run = self.run
        more: Left = {}
        open_ = [s for s in unsure if s.step.number not in left]
        if open_ and run.grace:
            for sent in open_:
                run.emit(LateEffectWatched(run.planned(sent.step), run.grace))
        rest = run.grace
        while open_ and rest > 0:  # the last look is when the time is over, however long the undos took
            rest = began + run.grace - run.clock()
            run.sleep(max(0.0, min(WATCH_PAUSE, rest)))
            try:
                live, _ = run.read()
                late = [s for s in open_ if changed(s.step.change, live) or self._lacks_captured(s, live)]
            except KplanError:
                continue  # what counts is the reading at the end
            more |= self._waves(late, live)
            open_ = [s for s in open_ if s.step.number not in more]
        return more

    def _again(self, failed: Sequence[Sent], began: float, left: Left) -> Left:
        """What is left after undoing once more what may have failed because a request took effect meanwhile."""
        run = self.run
        failed = [s for s in failed if s.step.change.undo.complete and ": kept: " not in left[s.step.number]]
        if not failed or not run.grace:
            return left
        run.sleep(max(0.0, began + run.grace - run.clock()))
        try:
            live = run.look(failed[-1].step)
        except KplanError:
            return left
        numbers = {s.step.number for s in failed}
        return {n: words for n, words in left.items() if n not in numbers} | self._waves(failed, live)

    def _verify(self, todo: Sequence[Sent], left: Left) -> Left:
        """What is not as it was before the run, although its undo was accepted."""
        run = self.run
        open_ = [s for s in todo if s.step.number not in left]
        for look in range(LOOKS):
            try:
                live = run.look(todo[-1].step) if todo else run.read()[0]
                open_ = [s for s in open_ if changed(s.step.change, live) or self._lacks_captured(s, live)]
            except KplanError as e:
                return {s.step.number: f"{s.step.change.address}: could not be read again: {e.message}" for s in open_}
            if not open_:
                break
            if look < LOOKS - 1:
                run.sleep(PAUSE)
        return {s.step.number: f"{s.step.change.address}: is not as before" for s in open_}

    def _lacks_captured(self, sent: Sent, live: Live) -> bool:
        """Whether what was captured before the step, such as a connector's offsets, is not there any more."""
        change = sent.step.change
        now = live.resources.get(change.source or change.address)
        backend, consequences = self.run.cluster.find(change.address), consequences_of(change)
        if backend is None or now is None or not consequences.is_position(sent.captured):
            return False
        return consequences.has_lost_position(now, sent.captured, backend.capture([change]).get(change.address, {}))


def _is_other(sent: Sent, live: Live) -> bool:
    """Whether it is not what it was before; what was replaced is not, whatever it looks like."""
    taken = sent.accepted or (sent.done and sent.step.change.action is Action.REPLACE)
    return taken or changed(sent.step.change, live)


def _is_looked_at(change: Change) -> bool:
    """Whether the backend finds out if it can still be put back: what was to be dropped after it may be there."""
    return bool(drops_of(change)) and change.undo.kind != "none"


def _no_undo(change: Change) -> str:
    return f"{change.address}: {change.undo.why or 'it has no undo'}"


def _remembered(sent: Sent) -> Mapping[str, Any]:
    """What an undo gets of what was captured: undoing a deletion puts the old offsets back, wherever it had come to."""
    goes = sent.step.change.action in (Action.DELETE, Action.REPLACE)
    return {**sent.captured, "restore": True} if goes and sent.captured else sent.captured


def from_live(back: Change | None, live: Live) -> Change | None:
    """The undo as it must be sent now: what is half gone is not made anew, but put back into its old state."""
    now = live.resources.get(back.address) if back is not None else None
    if back is not None and back.action is Action.UPDATE:
        return consequences_of(back).keep_additions(back)
    if back is None or now is None or back.action is not Action.CREATE or back.after is None:
        return back
    return replace(back, action=Action.UPDATE, before=now, diffs=compare(back.after, now, None).diffs)
