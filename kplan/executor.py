"""Runs a plan's waves, journals each before and after, and puts everything back when a step fails."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

from kplan import words
from kplan.backends.base import Backend, Cluster, Outcome
from kplan.codec import change_to_json
from kplan.diagnostics import Blocked, InterruptedRun, KplanError, Stale
from kplan.diff import Ledger, differences
from kplan.events import Emit, Event, silent
from kplan.journal import Entry, Item, Progress, replay
from kplan.model import Action, Address, Change, Health, Live, Owned
from kplan.order import Step
from kplan.plan import Plan, differing, judge
from kplan.store.base import Holder, Lock, Store
from kplan.undo import inverse

LOOKS, PAUSE = 3, 0.5  # how often an end state that differs is looked at, and seconds between


@dataclass(slots=True)
class Stop:
    """Set by Ctrl-C: the running wave is finished, and then everything is put back."""

    asked: bool = False


@dataclass(frozen=True, slots=True)
class Result:
    """How an apply ended. `outcome`: applied | rolled_back | incomplete | stopped; `left` names each difference."""

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

    @property
    def exit_code(self) -> int:
        return {"applied": 0, "rolled_back": 7}.get(self.outcome, 8)


@dataclass(slots=True)
class Run:
    """One apply on its way. All effects go through `cluster` (the servers) and `lock` (the store)."""

    plan: Plan
    cluster: Cluster
    store: Store
    holder: Holder
    read: Callable[[], tuple[Live, Ledger]]
    emit: Emit = silent
    on_failure: str = "rollback"
    stop: Stop = field(default_factory=Stop)
    saved: bool = False  # the plan comes from a file
    now: Callable[[], datetime] = lambda: datetime.now(UTC)
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    seq: int = 0
    health: Mapping[Address, Health] = field(default_factory=dict)
    sent: list[tuple[Step, Mapping[str, Any]]] = field(default_factory=list)  # in the order they were sent
    done: set[int] = field(default_factory=set)

    # -- the whole ------------------------------------------------------------------------------------------------
    def apply(self, timeout: float = 0.0) -> Result:
        """The end of the run. Raises, with nothing changed: Blocked, Locked, Stale, Unreachable, JournalBroken."""
        if self.plan.blocked:
            raise Blocked(f"not accepted: {', '.join(self.plan.blocked)}")
        with self.store.lock(self.plan.stack, self.holder, timeout) as lock:
            self._refuse_open_runs()
            if self.saved:
                self._refuse_applied()
            live, ledger = self.read()
            if self.plan.target.cluster_id not in ("", live.target.cluster_id):
                raise Stale(
                    f"the plan is for cluster {self.plan.target.cluster_id}, this is {live.target.cluster_id}",
                    help="choose the environment that the plan was made for",
                )
            judged, moved = judge(self.plan.steps, live, ledger, self.plan.stack)
            if moved:
                raise Stale("; ".join(moved), help="nothing was changed: make the plan again and review it")
            self.health = live.health
            return self._run(lock, [j.step for j in judged if not j.done], [j.step for j in judged if j.done])

    def _refuse_open_runs(self) -> None:
        for run in self.store.open_runs():
            entries = self.store.entries(run)
            if entries and entries[0].stack == self.plan.stack:
                raise InterruptedRun(
                    f"run {run} of stack {self.plan.stack} was interrupted",
                    help=f"put it back or complete it first: kplan recover {run}",
                )

    def _refuse_applied(self) -> None:
        """A plan's file is applied once; the same world may be planned again, at another time."""
        for run in reversed(self.store.runs()):
            progress = replay(self.store.entries(run))
            if progress is None or progress.outcome != "applied":
                continue
            if (progress.about.get("digest"), progress.about.get("created_at")) == (
                self.plan.digest,
                self.plan.created_at,
            ):
                raise Stale(f"this plan was applied already, in run {run}", help="make a new plan")

    def _run(self, lock: Lock, steps: Sequence[Step], skipped: Sequence[Step]) -> Result:
        started = self.clock()
        claims = self._claims(steps)
        self._write(
            lock,
            "begin",
            ledger=claims,
            about={
                "stack": self.plan.stack,
                "env": self.plan.env,
                "mode": self.plan.mode,
                "digest": self.plan.digest,
                "created_at": self.plan.created_at,
                "who": self.holder.who,
                "steps": len(steps),
            },
        )
        self._refuse_lost_claims(lock, claims)
        for step in skipped:
            self._tell("step_done", step, "already so")
        failure = self._waves(lock, [s for s in steps if not s.change.is_ledger_only])
        if failure is None:
            failure = self._verify([s for s in steps if not s.change.is_ledger_only])
        if failure is not None and self.on_failure == "rollback":
            result = self._roll_back(lock, failure)
        elif failure is not None:
            result = self._stopped(lock, failure, steps)
        else:
            for step in steps:
                if step.change.is_ledger_only:
                    self._tell("step_done", step, words.done(step.change))
            self._write(
                lock,
                "end",
                about={"outcome": "applied"},
                ledger=self._records(steps) | self._records(skipped, found=True),
            )
            result = self._result("applied", steps, skipped=len(skipped))
        result = replace(result, seconds=self.clock() - started)
        self.emit(
            Event(
                "apply_summary",
                words.summary(result, self.plan),
                level="info" if result.exit_code == 0 else "error",
                seconds=result.seconds,
                data={
                    "outcome": result.outcome,
                    "run": result.run,
                    "left": list(result.left),
                    "exit_code": result.exit_code,
                },
            )
        )
        return result

    # -- forward --------------------------------------------------------------------------------------------------
    def _waves(self, lock: Lock, steps: Sequence[Step]) -> Failure | None:
        for wave in dict.fromkeys(s.wave for s in steps):
            if self.stop.asked:
                return Failure(None, KplanError("Ctrl-C, or a signal to end", code="K515"))
            failure = self._wave(lock, [s for s in steps if s.wave == wave])
            if failure is not None:
                return failure
        return (
            Failure(None, KplanError("Ctrl-C, or a signal to end", code="K515"))
            if self.stop.asked and self.sent
            else None
        )

    def _wave(self, lock: Lock, steps: Sequence[Step]) -> Failure | None:
        """Journals, sends and settles one wave; None when all of it is so."""
        backend = self.cluster.of(steps[0].change.address.kind)
        if backend is None:
            return Failure(steps[0], KplanError("this environment has no Connect", code="K218"))
        changes = [s.change for s in steps]
        began = self.clock()
        try:
            captured = backend.capture(changes)
        except KplanError as e:
            return Failure(steps[0], e)
        self._write(lock, "will", steps, captured=captured)
        self.sent += [(s, captured.get(s.change.address, {})) for s in steps]
        for step in steps:
            self._tell("step_started", step, words.doing(step.change))
        outcomes = self._settled(backend, changes, captured, steps)
        failed = [s for s in steps if not outcomes[s.change.address].ok]
        good = [s for s in steps if s not in failed]
        self.done |= {s.number for s in good}
        if good:
            self._write(lock, "did", good)
        for step in good:
            note = outcomes[step.change.address].note
            self._tell("step_done", step, words.done(step.change) + (f", {note}" if note else ""), self.clock() - began)
        if not failed:
            return None
        self._write(lock, "failed", failed, outcomes={s.number: _said(outcomes[s.change.address]) for s in failed})
        for step in failed:
            outcome = outcomes[step.change.address]
            self._tell(
                "step_failed",
                step,
                f"FAILED: {_said(outcome)}",
                self.clock() - began,
                "error",
                {"code": outcome.error.code if outcome.error else ""},
            )
        first = outcomes[failed[0].change.address].error
        return Failure(failed[0], first or KplanError(_said(outcomes[failed[0].change.address])))

    def _settled(
        self, backend: Backend, changes: Sequence[Change], captured: Mapping[Address, Any], steps: Sequence[Step]
    ) -> dict[Address, Outcome]:
        """What became of each change, once what was accepted has shown itself and holds."""
        numbers = {s.change.address: s for s in steps}

        def progress(address: Address, message: str) -> None:
            if address in numbers:
                self._tell("step_progress", numbers[address], message)

        try:
            outcomes = dict(backend.act(changes, captured))
            accepted = [c for c in changes if outcomes.get(c.address, Outcome()).ok]
            outcomes |= backend.settle(accepted, progress) if accepted else {}
        except KplanError as e:
            outcomes = {c.address: Outcome(e) for c in changes}
        return {
            c.address: outcomes.get(c.address, Outcome(KplanError("no answer for it", applied=None))) for c in changes
        }

    def _verify(self, steps: Sequence[Step]) -> Failure | None:
        """Reads the end state: a step whose result is not there is a failure like any other.

        A worker that is not the leader may answer with what was before, so a difference is looked at again.
        """
        failure = self._difference(steps) if steps else None
        for _ in range(LOOKS - 1):
            if failure is None:
                break
            self.sleep(PAUSE)
            failure = self._difference(steps)
        return failure

    def _difference(self, steps: Sequence[Step]) -> Failure | None:
        try:
            live, _ = self.read()
        except KplanError as e:
            return Failure(None, e)
        for step in steps:
            change = step.change
            now = live.resources.get(change.address)
            missing = (change.after is None) != (now is None)
            wrong = [path for path, _, _ in differing(change.after, now)] if change.after and now else []
            if missing or wrong:
                what = ", ".join(path[1:].removeprefix("config/") for path in wrong) or (
                    "it is there" if now else "it is missing"
                )
                return Failure(step, KplanError(f"{change.address} is not as planned: {what}", code="K513"))
        return None

    # -- back -----------------------------------------------------------------------------------------------------
    def _roll_back(self, lock: Lock, failure: Failure) -> Result:
        """Puts back what was sent, newest first, and says what is left."""
        self._diagnostic(failure)
        try:
            live, _ = self.read()
        except KplanError as e:
            unknown = tuple(f"{s.change.address}: its state is not known ({e.message})" for s, _ in self.sent)
            return Result("incomplete", self.holder.run, len(self.done), left=unknown, error=failure.error)
        todo = [(s, c) for s, c in self.sent if s.number in self.done or _changed(s.change, live)]
        if todo:
            self.emit(Event("rollback_started", words.rolling_back(len(todo), len(self.sent)), level="warning"))
        left = self._undo_all(lock, todo, live)
        return Result(
            "incomplete" if left else "rolled_back",
            self.holder.run,
            len(self.done),
            undone=len(todo) - len(left),
            left=tuple(left[n] for n in sorted(left)),
            error=failure.error,
            failed=failure.address,
        )

    def recover(self, progress: Progress, timeout: float, forget: Collection[str] = ()) -> Result:
        """Puts back what an interrupted run did, as its journal and live state tell; `forget` names what may stay.

        Safe to repeat: what is as it was before is left alone.
        """
        started = self.clock()
        with self.store.lock(self.plan.stack, self.holder, timeout) as lock:
            self.seq = 1 + max(entry.seq for entry in self.store.entries(self.holder.run))
            live, _ = self.read()
            items = {**progress.done, **progress.flying}
            steps = [s for s in self.plan.steps if s.number in items]
            self.sent = [(s, items[s.number].captured or {}) for s in steps]
            self.done = set(progress.done)
            kept = [s for s in steps if str(s.change.address) in forget]
            # what was in flight may still be on its way in the server, so it is undone even where it looks undone
            flying = {n for n in progress.flying if n not in progress.undone}
            todo = [
                (s, c)
                for s, c in self.sent
                if s not in kept and (_changed(s.change, live) or (s.number in flying and s.change.undo.complete))
            ]
            if todo:
                self.emit(Event("rollback_started", words.rolling_back(len(todo), len(steps)), level="warning"))
            left = self._undo_all(lock, todo, live, self._records(kept, partial=True))
        result = Result(
            "incomplete" if left else "rolled_back",
            self.holder.run,
            len(self.done),
            undone=len(todo) - len(left),
            left=tuple(left[n] for n in sorted(left)),
            seconds=self.clock() - started,
        )
        self.emit(
            Event(
                "apply_summary",
                words.recovered(result),
                level="error" if left else "info",
                seconds=result.seconds,
                data={
                    "outcome": result.outcome if left else "recovered",
                    "run": result.run,
                    "left": list(result.left),
                    "exit_code": 8 if left else 0,
                },
            )
        )
        return result

    def _undo_all(
        self,
        lock: Lock,
        todo: Sequence[tuple[Step, Mapping[str, Any]]],
        live: Live,
        records: Mapping[Address, Owned | None] | None = None,
    ) -> dict[int, str]:
        """Undoes wave by wave, newest first, reads again, and closes the run unless something is left."""
        left: dict[int, str] = {}
        for wave in dict.fromkeys(s.wave for s, _ in reversed(todo)):
            left |= self._undo_wave(lock, [(s, c) for s, c in reversed(todo) if s.wave == wave], live)
        left |= self._verify_undone([s for s, _ in todo], left)
        stay = [s for s, _ in todo if s.number in left]
        ledger = self._before() | self._records(stay, partial=True) | dict(records or {})
        if left:
            self._write(lock, "kept", stay, outcomes=left, ledger=ledger)
        else:
            self._write(lock, "end", about={"outcome": "rolled_back"}, ledger=ledger)
        return left

    def _undo_wave(self, lock: Lock, pairs: Sequence[tuple[Step, Mapping[str, Any]]], live: Live) -> dict[int, str]:
        """What could not be put back, by step, in words."""
        left: dict[int, str] = {}
        backs: list[tuple[Step, Change, Mapping[str, Any]]] = []
        for step, captured in pairs:
            back = _from_live(inverse(step.change), live)
            if not step.change.undo.complete:
                left[step.number] = f"{step.change.address}: {step.change.undo.why or 'it has no undo'}"
            if back is not None:
                backs.append((step, back, captured))
        if not backs:
            return left
        steps = [step for step, _, _ in backs]
        self._write(lock, "will_undo", steps)
        backend = self.cluster.of(steps[0].change.address.kind)
        assert backend is not None, "it did the step that is undone here"
        began = self.clock()
        remembered = {back.address: _to_restore(back, data) for _, back, data in backs}
        outcomes = self._settled(backend, [back for _, back, _ in backs], remembered, ())
        undid = []
        for step, back, _ in backs:
            outcome = outcomes[back.address]
            if outcome.ok or self._as_unwell_as_before(step, outcome):
                undid.append(step)
                self._tell("undo_done", step, words.undone(step.change), self.clock() - began)
            else:
                left[step.number] = f"{back.address}: {'kept: ' + outcome.kept if outcome.kept else _said(outcome)}"
                self._tell("undo_failed", step, left[step.number].split(": ", 1)[1], self.clock() - began, "error")
        if undid:
            self._write(lock, "undid", undid)
        return left

    def _as_unwell_as_before(self, step: Step, outcome: Outcome) -> bool:
        """Whether a connector that does not run now did not run before either."""
        before = self.health.get(step.change.source or step.change.address)
        unwell = before is not None and (bool(before.failed) or before.state in ("FAILED", "UNASSIGNED"))
        return unwell and outcome.error is not None and outcome.error.code == "K512"

    def _verify_undone(self, steps: Sequence[Step], left: Mapping[int, str]) -> dict[int, str]:
        """What is not as it was before the run, although its undo was accepted."""
        open_ = [s for s in steps if s.number not in left]
        for look in range(LOOKS):
            try:
                live, _ = self.read()
            except KplanError as e:
                return {s.number: f"{s.change.address}: could not be read again: {e.message}" for s in open_}
            open_ = [s for s in open_ if _changed(s.change, live)]
            if not open_:
                break
            if look < LOOKS - 1:
                self.sleep(PAUSE)
        return {s.number: f"{s.change.address}: is not as before" for s in open_}

    def _stopped(self, lock: Lock, failure: Failure, steps: Sequence[Step]) -> Result:
        """`--on-failure stop`: what was done stays and is in the ledger."""
        self._diagnostic(failure)
        there = {s.number for s, _ in self.sent if s.number not in self.done}
        try:
            live, _ = self.read()
            there = {s.number for s, _ in self.sent if s.number in there and _changed(s.change, live)}
        except KplanError:
            pass  # what was sent and not answered counts as there: it is better owned than forgotten
        done = [s for s in steps if s.number in self.done]
        unsure = [s for s in steps if s.number in there]
        left = tuple(f"{s.change.address}: {self._standing(s, there)}" for s in steps)
        ledger = self._before() | self._records([*done, *unsure])
        self._write(lock, "end", about={"outcome": "stopped"}, ledger=ledger)
        return self._result("stopped", done, left=left, error=failure.error, failed=failure.address)

    def _standing(self, step: Step, there: Collection[int]) -> str:
        if step.number in self.done:
            return "done"
        return "sent, and it does not work" if step.number in there else "not done"

    def _result(self, outcome: str, steps: Sequence[Step], **more: Any) -> Result:
        actions = tuple(s.change.action for s in steps)
        return Result(outcome, self.holder.run, len(steps), actions=actions, **more)

    # -- records --------------------------------------------------------------------------------------------------
    def _write(
        self,
        lock: Lock,
        event: str,
        steps: Sequence[Step] = (),
        *,
        about: Mapping[str, Any] | None = None,
        captured: Mapping[Address, Mapping[str, Any]] | None = None,
        outcomes: Mapping[int, str] | None = None,
        ledger: Mapping[Address, Owned | None] | None = None,
    ) -> None:
        will = event == "will"
        items = tuple(
            Item(
                s.number,
                str(s.change.address),
                change_to_json(s.change, s.number, s.wave) if will else None,
                (captured or {}).get(s.change.address),
                (outcomes or {}).get(s.number, ""),
            )
            for s in steps
        )
        entry = Entry(
            self.holder.run,
            self.plan.stack,
            self.seq,
            event,
            self.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            steps[0].wave if steps else 0,
            items,
            about or {},
        )
        lock.write([entry], ledger)
        self.seq += 1

    def _claims(self, steps: Sequence[Step]) -> dict[Address, Owned | None]:
        """Records for what nobody owned: they say whose it is before anything is done to it."""
        new = [s.change for s in steps if s.change.after is not None and (s.change.owner is None or s.change.source)]
        return {
            c.address: Owned(c.address, self.plan.stack, self.plan.env, c.created, False, None, self.holder.run)
            for c in new
        }

    def _refuse_lost_claims(self, lock: Lock, claims: Mapping[Address, Owned | None]) -> None:
        """Of two stacks that claim one address at once, the later one stops before it acts."""
        ledger = self.store.ledger() if claims else {}
        lost = [a for a in claims if a in ledger and ledger[a].stack != self.plan.stack]
        if lost:
            mine = {a: None for a in claims if a not in lost}
            self._write(lock, "end", about={"outcome": "refused"}, ledger=mine)
            raise Stale(
                f"{lost[0]}: stack {ledger[lost[0]].stack} claimed it at the same moment",
                help="nothing was changed: let one stack own it",
            )

    def _before(self) -> dict[Address, Owned | None]:
        """The ledger's records of all that this run claimed, as they were before it."""
        claimed = [s.change for s in self.plan.steps if s.change.after is not None]
        return {c.address: c.owner if not c.source else None for c in claimed}

    def _records(
        self, steps: Sequence[Step], *, partial: bool = False, found: bool = False
    ) -> dict[Address, Owned | None]:
        """What the ledger says of the steps' resources from now on; what was `found` as planned, others made."""
        records: dict[Address, Owned | None] = {}
        at = self.now().strftime("%Y-%m-%dT%H:%M:%SZ")
        for step in steps:
            change = step.change
            if change.action is Action.MOVE and change.source is not None:
                records[change.source] = None
            if change.after is None:
                if not partial:
                    records[change.address] = None
                continue
            protect = change.after.rules.protect
            if protect is None:
                protect = bool(change.owner and change.owner.protect)
            created = change.created or change.action in (Action.CREATE, Action.REPLACE)
            if found:
                created = bool(change.owner and change.owner.created)
            records[change.address] = Owned(
                change.address, self.plan.stack, self.plan.env, created, protect, change.after, self.holder.run, at
            )
        return records

    # -- talk -----------------------------------------------------------------------------------------------------
    def _tell(
        self,
        type: str,
        step: Step,
        message: str,
        seconds: float | None = None,
        level: str = "info",
        data: Mapping[str, Any] | None = None,
    ) -> None:
        about = {"action": str(step.change.action), "total": len(self.plan.steps), **(data or {})}
        self.emit(Event(type, message, step.number, str(step.change.address), level, seconds, about))

    def _diagnostic(self, failure: Failure) -> None:
        change = failure.step.change if failure.step else None
        span = change.span if change else None
        if change is not None and change.after is not None:
            span = change.after.origin.span or span
        diagnostic = failure.error.diagnostic(change.address if change else "", span)
        self.emit(
            Event(
                "diagnostic",
                failure.error.message,
                failure.step.number if failure.step else 0,
                str(change.address) if change else "",
                "error",
                data={"diagnostic": diagnostic},
            )
        )


@dataclass(frozen=True, slots=True)
class Failure:
    step: Step | None
    error: KplanError

    @property
    def address(self) -> Address | None:
        return self.step.change.address if self.step else None


def _to_restore(back: Change, captured: Mapping[str, Any]) -> Mapping[str, Any]:
    """What an undo gets of what was captured; undoing a replacement puts the old offsets back, making it does not."""
    return {**captured, "restore": True} if back.action is Action.REPLACE else captured


def _from_live(back: Change | None, live: Live) -> Change | None:
    """The undo as it must be sent now: what is half gone is not made anew, but put back into its old state."""
    now = live.resources.get(back.address) if back is not None else None
    if back is None or now is None or back.action is not Action.CREATE or back.after is None:
        return back
    diffs, _, _ = differences(back.after, now, None)
    return replace(back, action=Action.UPDATE, before=now, diffs=diffs)


def _said(outcome: Outcome) -> str:
    return outcome.kept or (outcome.error.message if outcome.error else "")


def _changed(change: Change, live: Live) -> bool:
    """Whether live is not what it was before `change`."""
    if change.action is Action.MOVE and change.source is not None and change.address in live.resources:
        return True
    now = live.resources.get(change.source or change.address)
    if change.before is None or now is None:
        return (change.before is None) != (now is None)
    return bool(differing(change.before, now)) or any(
        d.before is None and d.path.startswith("/config/") and d.key in now.config for d in change.diffs
    )
