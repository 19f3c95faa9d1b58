"""Undo what a run did, newest first, and list what cannot be undone."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kplan.diagnostics import KplanError, codes
from kplan.execution.run import VERIFY_ATTEMPTS, VERIFY_INTERVAL_S, Failure, Result, Run, Sent, has_changed
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
from kplan.values import dataclass

WATCH_INTERVAL_S = 1.0  # between two readings while a request may take effect late
Left = dict[int, str]  # descriptions of what is not as before, by step


@dataclass(frozen=True, slots=True)
class Rollback:
    """Roll `run` back. `deletes` returns whether the records of an address that was created may be deleted.

    The ledger is written only for `mine`; None: the run is this process's own, and all of it is.
    """

    run: Run
    lock: Lock
    may_delete: Callable[[Address], bool] = lambda address: False
    mine: Collection[Address] | None = None

    def roll_back(self, failure: Failure) -> Result:
        """Undo what was sent, because of `failure`, and return what is left."""
        run = self.run
        run.emit_failure(failure)
        sent = list(run.sent.values())
        done = sum(1 for sent_step in sent if sent_step.done)
        try:
            live = run.read_live(sent[-1].step) if sent else run.read()[0]
        except KplanError as cause:
            unknown = tuple(
                f"{sent_step.step.change.address}: its state is not known ({cause.message})" for sent_step in sent
            )
            return Result("incomplete", run.holder.run, done, left=unknown, error=failure.error)
        not_refused = [sent_step for sent_step in sent if not sent_step.refused and not sent_step.was_there]
        to_undo = [
            sent_step
            for sent_step in not_refused
            if sent_step.done or sent_step.unsure or sent_step.accepted or has_changed(sent_step.step.change, live)
        ]
        left = self.undo_all(to_undo, live, total=len(sent))
        return self.make_result(to_undo, left, done, error=failure.error, failed=failure.address)

    def make_result(self, todo: Sequence[Sent], left: Left, done: int, **more: Any) -> Result:
        return Result(
            "incomplete" if left else "rolled_back",
            self.run.holder.run,
            done,
            undone=len(todo) - len(left),
            left=tuple(left[n] for n in sorted(left)),
            **more,
        )

    def undo_all(
        self,
        todo: Sequence[Sent],
        live: Live,
        total: int,
        records: Mapping[Address, Owned | None] | None = None,
        refused: Left | None = None,
    ) -> Left:
        """Undo wave by wave, read until nothing can change any more, and close the run if all is as before.

        The undos of the steps `refused` are not sent, for the reason given.
        """
        run = self.run
        not_undone = [sent_step for sent_step in todo if sent_step.step.number in (refused or {})]
        todo = [sent_step for sent_step in todo if sent_step.step.number not in (refused or {})]
        if todo:
            run.emit(RollbackStarted(len(todo), total))
        start = run.clock()
        left = self._undo_waves(todo, live)
        left |= self._undo_late_effects([sent_step for sent_step in todo if sent_step.unsure], start, left)
        left = self._retry(
            [
                sent_step
                for sent_step in todo
                if (sent_step.unsure or sent_step.undoing) and sent_step.step.number in left
            ],
            start,
            left,
        )
        left |= self._verify(todo, left)
        left |= refused or {}
        remaining = [sent_step.step for sent_step in (*todo, *not_undone) if sent_step.step.number in left]
        owned = run.records.make_owners(remaining, run.adopted_steps, partial=True)
        ledger = run.records.list_previous_owners() | owned | dict(records or {})
        if self.mine is not None:
            untouched = {
                a for sent_step in not_undone for a in (sent_step.step.change.address, sent_step.step.change.source)
            }
            ledger = {a: owned for a, owned in ledger.items() if a in self.mine and a not in untouched}
        if left:
            run.records.write(self.lock, "kept", remaining, outcomes=left, ledger=ledger)
        else:
            run.records.write(self.lock, "end", about={"outcome": "rolled_back"}, ledger=ledger)
        return left

    def _undo_waves(self, todo: Sequence[Sent], live: Live) -> Left:
        left: Left = {}
        for wave in dict.fromkeys(s.step.wave for s in reversed(todo)):
            left |= self._undo_wave([s for s in reversed(todo) if s.step.wave == wave], live)
        return left

    def _undo_wave(self, sent: Sequence[Sent], live: Live) -> Left:
        """Undo one wave, and return what could not be undone."""
        irreversible = [
            sent_step.step
            for sent_step in sent
            if not sent_step.step.change.undo.complete and _is_still_changed(sent_step, live)
        ]
        irreversible = [step for step in irreversible if not _is_checked_by_backend(step.change)]
        left = {step.number: _describe_missing_undo(step.change) for step in irreversible}
        undos = {
            sent_step.step.number: undo
            for sent_step in sent
            if (undo := self._make_undo(sent_step.step.change, live)) is not None
        }
        if not undos:
            return left
        run = self.run
        steps = [sent_step.step for sent_step in sent if sent_step.step.number in undos]
        run.records.announce(self.lock, "will_undo", steps)
        backend = run.cluster.find(steps[0].change.address)
        assert backend is not None, "it did the step that is undone here"
        start = run.clock()
        captured = {
            undos[sent_step.step.number].address: _restore_captured(sent_step)
            for sent_step in sent
            if sent_step.step.number in undos
        }
        outcomes = run.send_and_settle(backend, list(undos.values()), captured)
        undone = {
            sent_step.number: sent_step
            for sent_step in steps
            if self._is_undone(sent_step, outcomes[undos[sent_step.number].address])
        }
        for step in steps:
            if step.number in undone:
                run.emit(UndoDone(run.describe_step(step), run.clock() - start))
                continue
            outcome = outcomes[undos[step.number].address]
            text = f"kept: {outcome.kept}" if outcome.kept else outcome.reason
            left[step.number] = f"{undos[step.number].address}: {text}"
            reason = outcome.kept or outcome.reason
            run.emit(UndoFailed(run.describe_step(step), run.clock() - start, reason, bool(outcome.kept)))
        if undone:
            run.records.write(self.lock, "undid", list(undone.values()))
        return left

    def _make_undo(self, change: Change, live: Live) -> Change | None:
        undo = fit_to_live(inverse(change), live)
        if undo is not None and topic_options(undo).if_empty and self.may_delete(undo.address):
            return replace(undo, options=replace(topic_options(undo), if_empty=False))
        return undo

    def _is_undone(self, step: Step, outcome: Outcome) -> bool:
        """Return whether the undo succeeded, also if a connector does not run now that did not run before either."""
        before = self.run.health.get(step.change.source or step.change.address)
        had_failed = before is not None and (bool(before.failed) or before.state in ("FAILED", "UNASSIGNED"))
        return outcome.ok or (had_failed and outcome.error is not None and outcome.error.code == codes.K512.number)

    # -- what is still on its way ---------------------------------------------------------------------------------
    def _undo_late_effects(self, unsure: Sequence[Sent], start: float, left: Left) -> Left:
        """Undo what takes effect late, until no request can be pending any more."""
        run = self.run
        late_left: Left = {}
        pending = [sent_step for sent_step in unsure if sent_step.step.number not in left]
        if pending and run.grace:
            for sent in pending:
                run.emit(LateEffectWatched(run.describe_step(sent.step), run.grace))
        remaining = run.grace
        while pending and remaining > 0:  # the last reading is after that time, however long the undos took
            remaining = start + run.grace - run.clock()
            run.sleep(max(0.0, min(WATCH_INTERVAL_S, remaining)))
            try:
                live, _ = run.read()
                late = [
                    sent_step
                    for sent_step in pending
                    if has_changed(sent_step.step.change, live) or self._lacks_captured(sent_step, live)
                ]
            except KplanError:
                continue  # the reading at the end decides
            late_left |= self._undo_waves(late, live)
            pending = [sent_step for sent_step in pending if sent_step.step.number not in late_left]
        return late_left

    def _retry(self, failed: Sequence[Sent], start: float, left: Left) -> Left:
        """Undo once more what may have failed because a request took effect meanwhile, and return what is left."""
        run = self.run
        failed = [
            sent_step
            for sent_step in failed
            if sent_step.step.change.undo.complete and ": kept: " not in left[sent_step.step.number]
        ]
        if not failed or not run.grace:
            return left
        run.sleep(max(0.0, start + run.grace - run.clock()))
        try:
            live = run.read_live(failed[-1].step)
        except KplanError:
            return left
        numbers = {sent_step.step.number for sent_step in failed}
        return {number: words for number, words in left.items() if number not in numbers} | self._undo_waves(
            failed, live
        )

    def _verify(self, todo: Sequence[Sent], left: Left) -> Left:
        """Return what is not as it was before the run, although its undo was accepted."""
        run = self.run
        unverified = [sent_step for sent_step in todo if sent_step.step.number not in left]
        for attempt in range(VERIFY_ATTEMPTS):
            try:
                live = run.read_live(todo[-1].step) if todo else run.read()[0]
                unverified = [
                    sent_step
                    for sent_step in unverified
                    if has_changed(sent_step.step.change, live) or self._lacks_captured(sent_step, live)
                ]
            except KplanError as cause:
                return {
                    sent_step.step.number: f"{sent_step.step.change.address}: could not be read again: {cause.message}"
                    for sent_step in unverified
                }
            if not unverified:
                break
            if attempt < VERIFY_ATTEMPTS - 1:
                run.sleep(VERIFY_INTERVAL_S)
        return {sent_step.step.number: f"{sent_step.step.change.address}: is not as before" for sent_step in unverified}

    def _lacks_captured(self, sent: Sent, live: Live) -> bool:
        """Return whether what was captured before the step, such as a connector's offsets, is gone."""
        change = sent.step.change
        resource = live.resources.get(change.source or change.address)
        backend, consequences = self.run.cluster.find(change.address), consequences_of(change)
        if backend is None or resource is None or not consequences.is_position(sent.captured):
            return False
        return consequences.has_lost_position(
            resource, sent.captured, backend.capture([change]).get(change.address, {})
        )


def _is_still_changed(sent: Sent, live: Live) -> bool:
    """Return whether it is not what it was before; what was replaced counts, even if it looks the same."""
    is_unseen = consequences_of(sent.step.change).may_look_undone(sent.step.change)
    was_taken = sent.accepted or (sent.done and sent.step.change.action is Action.REPLACE)
    was_taken = was_taken or (is_unseen and (sent.done or sent.unsure))
    return was_taken or has_changed(sent.step.change, live)


def _is_checked_by_backend(change: Change) -> bool:
    """Return whether the backend checks if it can still be undone: what was to be dropped after it may be there."""
    return bool(drops_of(change)) and change.undo.kind != "none"


def _describe_missing_undo(change: Change) -> str:
    return f"{change.address}: {change.undo.why or 'it has no undo'}"


def _restore_captured(sent: Sent) -> Mapping[str, Any]:
    """Return what an undo gets of the captured state: undoing a deletion restores the old offsets."""
    was_deleted = sent.step.change.action in (Action.DELETE, Action.REPLACE)
    return {**sent.captured, "restore": True} if was_deleted and sent.captured else sent.captured


def fit_to_live(undo: Change | None, live: Live) -> Change | None:
    """Return the undo as it must be sent now: what is half gone is not recreated, but set to its old state."""
    resource = live.resources.get(undo.address) if undo is not None else None
    if undo is not None and undo.action is Action.UPDATE:
        return consequences_of(undo).keep_additions(undo)
    if undo is None or resource is None or undo.action is not Action.CREATE or undo.after is None:
        return undo
    return replace(undo, action=Action.UPDATE, before=resource, diffs=compare(undo.after, resource, None).diffs)
