"""Ends an interrupted run: puts back what it did, or completes it. Both may be repeated, and killed, at any time."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from shlex import quote

from kplan.diagnostics import JournalBroken, KplanError, codes
from kplan.execution.rollback import WATCH_INTERVAL_S, Rollback, fit_to_live
from kplan.execution.run import Failure, Result, Run, Sent, changed
from kplan.kinds.codec import change_from_json
from kplan.kinds.connector.options import drops_of
from kplan.kinds.connector.sensitivity import with_values
from kplan.kinds.registry import KINDS
from kplan.kinds.topic.losses import may_lose
from kplan.model import Action, Change, Facts, File, Live, Target
from kplan.model.events import LateEffectAwaited, Purpose
from kplan.model.journal import Entry, Item, Progress, replay
from kplan.planning import facts
from kplan.planning.comparison import find_differing
from kplan.planning.diff import Ledger
from kplan.planning.document import Plan, judge
from kplan.planning.order import Step
from kplan.planning.risk import accept_name
from kplan.planning.trust import escape, find_forbidden, find_undo_refusals, is_claimed, is_run_id
from kplan.planning.undo import inverse
from kplan.planning.unknown_words import find_unknown_change
from kplan.state.base import Holder, Lock, Store
from kplan.version import __version__


def plan_of(progress: Progress) -> Plan:
    """The plan that the run was to carry out, as its journal has it. No secret's value is in it.

    Raises JournalBroken for a journal that lost its beginning, and for one that no kplan wrote so.
    """
    if not is_run_id(progress.run):
        raise _torn(escape(progress.run), "has an id that no kplan gives")
    if progress.is_open and progress.about.get("stack", progress.stack) != progress.stack:
        raise _torn(progress.run, f"is of stack {escape(str(progress.about['stack']))} and under the key of another")
    steps = tuple(_step(n, progress.planned[n], progress.run) for n in sorted(progress.planned))
    if not steps and progress.is_open:
        raise _torn(progress.run, "has lost its beginning, and with it what the run was to do")
    about = progress.about
    files = tuple(File(str(path), "") for path in about.get("files", ()))
    target = Target(str(about.get("cluster", "")), connect_url=str(about.get("connect", "")))
    return Plan(progress.stack, str(about.get("env", "")), target, steps, str(about.get("mode", "apply")), files)


def _step(number: int, item: Item, run: str) -> Step:
    data = item.change or {}
    if unknown := find_unknown_change(data):
        raise JournalBroken(
            f"kplan {__version__} does not know {escape(unknown)}, which is in the journal of run {run}",
            help="recover the run with the version of kplan that began it",
        )
    try:
        change = change_from_json(data)
        if wrong := next(
            (why for a in (change.address, change.source) if a and (why := KINDS[a.kind].check_name(a.name))), ""
        ):
            raise ValueError(wrong)
        return Step(number, int(data.get("wave", 0)), change)
    except (LookupError, TypeError, ValueError, AttributeError) as e:
        raise _torn(run, f"does not say what step {number} ({escape(item.address) or 'unknown'}) was") from e


def _torn(run: str, how: str) -> JournalBroken:
    return JournalBroken(
        f"the journal of run {run} {how}",
        help=f"put back by hand what the run did, then close it: kplan recover {quote(run)} --forget '*'",
    )


def _with_live_values(sent: Sent, live: Live) -> Sent:
    """Return the step with what was captured before it, without the offsets if a value that they hold is not known."""
    change = sent.step.change
    there = [live.resources.get(address) for address in (change.source, change.address) if address]
    captured = with_values(sent.captured, [resource for resource in there if resource is not None])
    if captured is None:
        captured = {key: value for key, value in sent.captured.items() if key != "offsets"}
    return replace(sent, captured=captured)


def elsewhere(plan: Plan, live: Live, environment: str) -> str:
    """Why this is not where the run was; empty where it is, as far as can be known."""
    then, now = plan.target, live.target
    if then.cluster_id and now.cluster_id and then.cluster_id != now.cluster_id:
        return f"it was on cluster {then.cluster_id}, and this is {now.cluster_id}"
    connectors = any(c.address.kind == "connector" and not c.is_ledger_only for c in plan.changes)
    here = now.connect_url or now.simulated
    if connectors and not here:
        return f"it changed connectors at {then.connect_url or 'a Connect'}, and there is no Connect here"
    if connectors and environment != plan.env and then.connect_url not in ("", here):
        return f"it changed connectors at {then.connect_url}, and this is {here}"
    unseen = [str(c.address) for c in plan.changes if c.address in live.hidden]
    return f"{unseen[0]} may not be described with this login" if unseen else ""


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
    if drops_of(change) and now is None:
        return f"gone; {' and '.join(drops_of(change))} not looked for"
    same = change.after is None or now is None or not find_differing(change.after, now)
    return "as planned" if same else "neither as before nor as planned"


def abandon(store: Store, progress: Progress, holder: Holder, timeout: float) -> None:
    """Closes a run whose journal does not say what it was to do; nothing is put back."""
    at = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    about = {"outcome": "abandoned"}
    with store.lock(progress.stack, holder, timeout) as lock:
        lock.write([Entry(progress.run, progress.stack, progress.seq, "end", at, about=about)])


@dataclass(frozen=True, slots=True)
class Recovery:
    """The way out of an interrupted run: `run.holder.run` is its id, `run.plan` its plan, with secrets to complete it.

    `forget` names what may stay as it is. `accepts` says whether an undo was accepted by its name, such as
    `delete:topic/x`: that of a created topic that has records, or one that the ledger and live state do not bear out.
    """

    run: Run
    environment: str = ""  # where this is
    forget: Collection[str] = ()
    accepts: Callable[[str], bool] = lambda name: False

    def back(self, timeout: float) -> Result:
        """Puts back what the run did. What is as it was before is left alone."""
        return self._held(timeout, self._back, Purpose.PUT_BACK)

    def forward(self, timeout: float) -> Result:
        """Does what the run had left to do. A failure leaves it open, to be completed later or put back."""
        return self._held(timeout, self._forward, Purpose.COMPLETE)

    def _held(self, timeout: float, work: Callable[[Lock, Progress], Result], purpose: Purpose) -> Result:
        run = self.run
        started, earlier_outcome = run.clock(), None
        with run.store.lock(run.plan.stack, run.holder, timeout) as lock:
            self._refuse_troubled_state()
            progress = replay(run.store.entries(run.holder.run))  # as of now: another machine may have been quicker
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
        return run.ended(replace(result, seconds=run.clock() - started), purpose, earlier_outcome)

    def _refuse_troubled_state(self) -> None:
        """Raise RecordUnreadable where a record that the run is about cannot be read or trusted."""
        plan = self.run.plan
        about = [address for c in plan.changes for address in (c.address, c.source) if address is not None]
        self.run.store.overview().refuse_unreadable([plan.stack], about)

    def _sent(self, progress: Progress) -> list[Sent]:
        """The steps that were sent. One in flight may still be on its way: it is undone even if it looks undone."""
        items: dict[int, Item] = {**progress.done, **progress.flying}
        return [
            Sent(
                s,
                items[s.number].captured or {},
                done=s.number in progress.done,
                unsure=self._in_flight(s, progress),
                undoing=s.number in progress.undoing,
            )
            for s in self.run.plan.steps
            if s.number in items
        ]

    def _in_flight(self, step: Step, progress: Progress) -> bool:
        return step.number in progress.flying and step.number not in progress.undone

    # -- back -----------------------------------------------------------------------------------------------------
    def _back(self, lock: Lock, progress: Progress) -> Result:
        live, ledger = self._live()
        sent = [_with_live_values(s, live) for s in self._sent(progress)]
        forgotten = [s.step for s in sent if str(s.step.change.address) in self.forget]
        if forgotten:
            self.run.records.write(lock, "forgotten", forgotten)
        numbers = {step.number for step in forgotten} | set(progress.forgotten)
        kept = [s.step for s in sent if s.step.number in numbers]
        todo = [s for s in sent if s.step.number not in numbers and self._is_to_undo(s, live, progress)]
        refused = self._refused(todo, live, ledger)
        stack = self.run.plan.stack
        mine = {a for s in self.run.plan.steps if is_claimed(s.change, ledger, stack)
                for a in (s.change.address, s.change.source) if a is not None}  # fmt: skip
        deletes = lambda address: self.accepts(f"delete:{address}")  # noqa: E731
        rollback = Rollback(self.run, lock, deletes, mine)
        records = self.run.records.make_owners(kept, self.run.adopted_steps, partial=True)
        left = rollback.undo_all(todo, live, len(sent), records, refused)
        result = rollback.make_result(todo, left, len(progress.done))
        return result if left else replace(result, outcome="recovered")

    def _refused(self, todo: Sequence[Sent], live: Live, ledger: Ledger) -> dict[int, str]:
        """Why an undo is not sent, by step: the ledger, live state or a danger speaks against it."""
        run = self.run
        backs = {s.step.number: back for s in todo if (back := fit_to_live(inverse(s.step.change), live)) is not None}
        risky = [back for back in backs.values() if back.action is Action.UPDATE and may_lose(back)]
        known = facts.read(run.cluster, live, (), risky)
        now = int(run.now().timestamp() * 1000)
        found = {}
        for sent in todo:
            change, back = sent.step.change, backs.get(sent.step.number)
            if back is not None:
                known_ = known.get(back.address, Facts())
                why = find_undo_refusals(change, back, live, ledger, run.plan.stack, known_, self.accepts, now)
                if reasons := "; ".join(why):
                    found[sent.step.number] = f"{back.address}: {reasons}"
        return found

    def _live(self) -> tuple[Live, Ledger]:
        """What is live where the run was. Raises where this is not there."""
        live, ledger = self.run.read()
        if why := elsewhere(self.run.plan, live, self.environment):
            raise KplanError(
                f"run {self.run.holder.run} cannot be ended here: {why}",
                code=codes.K618,
                help=f"say where it was: kplan recover {self.run.holder.run} --env {self.run.plan.env or 'NAME'}",
            )
        return replace(live, ids=facts.read_ids(self.run.cluster, self.run.plan.changes)), ledger

    def _is_to_undo(self, sent: Sent, live: Live, progress: Progress) -> bool:
        """Whether it is not as before, or may not be: what was replaced may look like what it replaced."""
        if sent.step.number in progress.settled - progress.undoing:
            return False  # what is there now came later, and is somebody else's
        replaced = sent.step.change.action is Action.REPLACE and sent.step.number not in progress.undone
        return sent.unsure or replaced or changed(sent.step.change, live)

    # -- forward --------------------------------------------------------------------------------------------------
    def _forward(self, lock: Lock, progress: Progress) -> Result:
        run = self.run
        sent = {s.step.number: s for s in self._sent(progress) if s.step.number not in progress.undone}
        if progress.undoing or any(s.unsure for s in sent.values()):
            self._wait()
        live, ledger = self._live()
        sent = {number: _with_live_values(s, live) for number, s in sent.items()}
        answered = {n: s.done or self._is_remade(s) for n, s in sent.items()}
        forbidden = find_forbidden(run.plan.changes, live, ledger)
        judged, moved = judge(run.plan.steps, live, ledger, run.plan.stack, answered)
        if forbidden or moved:
            return Result("incomplete", run.holder.run, left=(*forbidden, *moved))
        if left := self._not_accepted([j.step.change for j in judged if not j.done], live, ledger):
            return Result("incomplete", run.holder.run, left=tuple(left))
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

    def _not_accepted(self, doing: Sequence[Change], live: Live, ledger: Ledger) -> list[str]:
        """What is left to do and takes a word: the journal alone is no proof that somebody accepted a danger."""
        run = self.run
        open_ = [c for c in doing if not c.is_ledger_only and not self.accepts(accept_name(c))]
        unclaimed = [c for c in open_ if not is_claimed(c, ledger, run.plan.stack)]
        found = [f"{c.address}: the ledger has no record that stack {run.plan.stack} owns it" for c in unclaimed]
        bare = [replace(c, risks=()) for c in open_]
        found += facts.appeared(run.cluster, live, bare, int(run.now().timestamp() * 1000))
        names = {str(c.address): accept_name(c) for c in open_}
        ways = f"or put back: kplan recover {run.holder.run}"
        named = [(line, next(n for a, n in names.items() if line.startswith(f"{a}: "))) for line in found]
        return [f"{line} (accept it: --accept {name}, {ways})" for line, name in named]

    def _is_remade(self, sent: Sent) -> bool:
        """Whether a replacement that was cut off had come to its end: another topic of the same name has another id."""
        backend = self.run.cluster.find(sent.step.change.address)
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
        run.emit(LateEffectAwaited(run.planned(first), run.grace))
        while (rest := end - run.clock()) > 0:
            run.sleep(min(WATCH_INTERVAL_S, rest))

    def _failed(self, failure: Failure, todo: Sequence[Step]) -> Result:
        self.run.explain(failure)
        open_ = [s for s in todo if not (s.number in self.run.sent and self.run.sent[s.number].done)]
        left = tuple(f"{s.change.address}: not done" for s in open_)
        return Result("incomplete", self.run.holder.run, len(todo) - len(open_), left=left, error=failure.error)
