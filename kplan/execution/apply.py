"""One apply from its lock to its end: claims, waves, and everything put back when a step fails."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kplan.diagnostics import Blocked, InterruptedRun, JournalBroken, KplanError, Stale, codes
from kplan.execution.rollback import Rollback
from kplan.execution.run import Failure, Result, Run, Stop, changed, reading
from kplan.kinds.connector.sensitivity import remembered
from kplan.model import Address, Live, Owned, Target
from kplan.model.events import EmitRunEvent, Purpose, StepSkipped
from kplan.planning import facts
from kplan.planning.diff import Ledger
from kplan.planning.document import Plan, judge
from kplan.planning.order import Step
from kplan.planning.trust import NEVER, Listed, find_forbidden, find_unlisted
from kplan.planning.unknown_words import find_unknown_words, later_version
from kplan.state.base import Holder, Lock, Store
from kplan.text import count, join_names

if TYPE_CHECKING:
    from kplan.project.environment import Environment
    from kplan.servers.base import Cluster


def prepare_run(
    plan: Plan,
    environment: Environment,
    cluster: Cluster,
    store: Store,
    holder: Holder,
    emit: EmitRunEvent,
    stop: Stop,
    now: Callable[[], datetime] = lambda: datetime.now(UTC),
) -> Run:
    """Return the run of `plan` in `environment`, which decides how long its requests and its lock last.

    A request without an answer may take effect for as long as a request may take. A lock in Kafka is lost once its
    holder was stopped for the session timeout; one on a file ends only with its process.
    """
    lock_is_in_kafka = environment.kafka and not environment.sqlite
    return Run(
        plan,
        cluster,
        store,
        holder,
        reading(plan, cluster, store),
        emit,
        stop,
        grace=0.0 if environment.simulated else environment.request_timeout,
        patience=environment.settle_timeout,
        session=environment.session_timeout if lock_is_in_kafka else float("inf"),
        now=now,
    )


def applied(store: Store, plans: Sequence[Plan]) -> dict[str, str]:
    """The runs in which these very plans were applied to their end, by stack.

    The same world gives the same digest again, so that the time counts as well.
    """
    asked = {(plan.stack, plan.digest, plan.created_at) for plan in plans}
    return {
        summary.stack: summary.run
        for summary in store.summaries()
        if summary.outcome == "applied"
        and (summary.stack, summary.about.get("digest"), summary.about.get("created_at")) in asked
    }


def refuse_applied(plan: Plan, before: Mapping[str, str]) -> None:
    """A plan's file is applied once. Raises Stale."""
    if plan.stack in before:
        raise Stale(f"this plan was applied already, in run {before[plan.stack]}", help="make a new plan")


@dataclass(frozen=True, slots=True)
class Apply:
    """Carries out `run.plan`. `on_failure`: rollback | stop; `saved`: the plan comes from a file, which runs once.

    `listed` returns what the stack's own file names; None: the plan is known to be what kplan wrote.
    """

    run: Run
    on_failure: str = "rollback"
    saved: bool = False
    listed: Callable[[], Listed] | None = None

    def within(self, timeout: float = 0.0) -> Result:
        """The end of the run, once the lock was had within `timeout` seconds.

        Raises, with nothing changed: Blocked, Locked, Stale, InterruptedRun, Unreachable, JournalBroken.
        """
        run, plan = self.run, self.run.plan
        if plan.blocked:
            raise Blocked(f"not accepted: {', '.join(plan.blocked)}")
        try:
            return self._locked(timeout)
        except JournalBroken as e:
            if not run.stop.begun:
                e.exit_code = 1
            raise

    def _locked(self, timeout: float) -> Result:
        run, plan = self.run, self.run.plan
        with run.store.lock(plan.stack, run.holder, timeout) as lock:
            self._refuse_troubled_state()
            if self.saved:
                refuse_applied(plan, applied(run.store, [plan]))
            live, ledger = run.read()
            live = replace(live, ids=facts.read_ids(run.cluster, plan.changes))
            if plan.target.cluster_id not in ("", live.target.cluster_id):
                raise Stale(
                    f"the plan is for cluster {plan.target.cluster_id}, this is {live.target.cluster_id}",
                    help="choose the environment that the plan was made for",
                )
            self._refuse_lost_state(live, ledger)
            self._refuse_forbidden(live, ledger)
            judged, moved = judge(plan.steps, live, ledger, plan.stack)
            if moved:
                raise Stale("; ".join(moved), help="nothing was changed: make the plan again and review it")
            doing = [j.step.change for j in judged if not j.done]
            if dangers := facts.appeared(run.cluster, live, doing, int(run.now().timestamp() * 1000)):
                raise Stale("; ".join(dangers), help="this was not accepted when the plan was made: make it again")
            run.health = live.health
            touched = [a for s in plan.steps for a in (s.change.address, s.change.source) if a is not None]
            run.records.owners = {address: ledger.get(address) for address in touched}
            todo = [j.step for j in judged if not j.done]
            return self._run(lock, todo, [j.step for j in judged if j.done], live.target)

    def _refuse_lost_state(self, live: Live, ledger: Ledger) -> None:
        """Raise Stale where the state has lost what it knew of the stack when the plan was made."""
        plan, store = self.run.plan, self.run.store
        if plan.owned and not any(owned.stack == plan.stack for owned in ledger.values()):
            lost = f"{count(plan.owned, 'resource')} of stack {plan.stack}"
        else:
            owners = {change.source or change.address: change.owner for change in plan.changes}
            gone = [a for a, owner in owners.items() if owner and a in live.resources and a not in ledger]
            lost = join_names(list(map(str, gone)))
        if lost:
            raise Stale(
                f"the state in {store.where} has no record any more of {lost}",
                code=codes.K625,
                help="nothing was changed: find out who deleted or emptied the state; a new plan adopts what is there",
            )

    def _refuse_forbidden(self, live: Live, ledger: Ledger) -> None:
        """Raise Stale where the plan's document asks for what no plan may do, or uses words of a later kplan."""
        plan = self.run.plan
        changes = plan.changes
        if unknown := next(find_unknown_words(plan.mode, changes), ""):
            raise later_version(unknown, plan.kplan_version)
        forbidden = find_forbidden(changes, live, ledger)
        if self.listed is not None and find_unlisted(changes, ledger, Listed()):
            forbidden += find_unlisted(changes, ledger, self.listed())
        if forbidden:
            raise Stale("; ".join(forbidden), code=codes.K524, help=f"nothing was changed: {NEVER}")

    def _refuse_troubled_state(self) -> None:
        """Raise where a record that this plan is about cannot be read, or an earlier run of the stack has no end."""
        stack = self.run.plan.stack
        overview = self.run.store.overview()
        changes = self.run.plan.changes
        overview.refuse_unreadable([stack], [a for c in changes for a in (c.address, c.source) if a is not None])
        for run, owner in overview.open_runs.items():
            if owner == stack:
                raise InterruptedRun(
                    f"run {run} of stack {stack} was interrupted",
                    help=f"put it back first with `kplan recover {run}`, or complete it: --forward",
                )

    def _run(self, lock: Lock, steps: Sequence[Step], skipped: Sequence[Step], at: Target) -> Result:
        run = self.run
        started = run.clock()
        claims = self._claims(steps)
        try:
            run.begin(lock, steps, claims, at)
        except JournalBroken as e:
            e.exit_code = 1  # nothing was sent yet
            raise
        try:
            result = self._carried_out(lock, steps, skipped, claims)
        except Stale:
            raise  # the run was closed
        except KplanError as e:
            e.exit_code = JournalBroken.exit_code
            e.help = "; ".join(filter(None, [e.help, f"put back what was done: kplan recover {run.holder.run}"]))
            raise
        return run.ended(replace(result, seconds=run.clock() - started), Purpose.APPLY)

    def _carried_out(
        self, lock: Lock, steps: Sequence[Step], skipped: Sequence[Step], claims: Mapping[Address, Owned | None]
    ) -> Result:
        run = self.run
        self._refuse_lost_claims(lock, claims)
        for step in skipped:
            run.emit(StepSkipped(run.planned(step)))
        acting = [s for s in steps if not s.change.is_ledger_only]
        failure = run.waves(lock, acting) or run.verify(acting)
        if failure is None:
            return run.finished(lock, steps, skipped)
        if self.on_failure == "rollback":
            return Rollback(run, lock).after(failure)
        return self._stopped(lock, failure, steps)

    # -- claims -----------------------------------------------------------------------------------------------------
    def _claims(self, steps: Sequence[Step]) -> dict[Address, Owned | None]:
        """Records for what nobody owned: they say whose it is before anything is done to it."""
        plan = self.run.plan
        new = [s.change for s in steps if s.change.after is not None and (s.change.owner is None or s.change.source)]
        return {
            c.address: Owned(
                c.address, plan.stack, plan.env, c.created, run=self.run.holder.run, sensitive=remembered(c)
            )
            for c in new
        }

    def _refuse_lost_claims(self, lock: Lock, claims: Mapping[Address, Owned | None]) -> None:
        """Of two stacks that claim one address at once, the later one stops before it acts."""
        if not claims:
            return
        overview, stack = self.run.store.overview(), self.run.plan.stack
        owners = {address: overview.ledger[address].stack for address in claims if address in overview.ledger}
        unknown = {each.address: each.stack for each in overview.unreadable if each.address in owners}
        lost = [(a, owner) for a, owner in {**owners, **unknown}.items() if owner != stack]
        if lost:
            self.run.records.write(lock, "end", about={"outcome": "refused"}, ledger=dict.fromkeys(claims))
            raise Stale(
                f"{lost[0][0]}: stack {lost[0][1]} claimed it at the same moment",
                help="nothing was changed: let one stack own it",
            )

    # -- stopping where it failed -----------------------------------------------------------------------------------
    def _stopped(self, lock: Lock, failure: Failure, steps: Sequence[Step]) -> Result:
        """`--on-failure stop`: what was done stays and is in the ledger."""
        run = self.run
        run.explain(failure)
        there = {n for n, sent in run.sent.items() if not sent.done}
        try:
            live, _ = run.read()
            there = {n for n in there if run.sent[n].unsure or changed(run.sent[n].step.change, live)}
            there = {n for n in there if not run.sent[n].refused}
        except KplanError:
            pass  # what was sent and not answered counts as there: it is better owned than forgotten
        done = [s for s in steps if s.number in run.sent and run.sent[s.number].done]
        unsure = [s for s in steps if s.number in there]
        left = tuple(f"{s.change.address}: {self._standing(s, there)}" for s in steps)
        ledger = run.records.owned_before() | run.records.owned([*done, *unsure], run.adopted_steps)
        run.records.write(lock, "end", about={"outcome": "stopped"}, ledger=ledger)
        return run.result("stopped", done, left=left, error=failure.error, failed=failure.address)

    def _standing(self, step: Step, there: Collection[int]) -> str:
        sent = self.run.sent.get(step.number)
        if sent is not None and sent.done:
            return "done"
        return "sent, and it does not work" if step.number in there else "not done"
