"""Apply one plan from its lock to its end: claims, waves, and the rollback when a step fails."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from kplan.diagnostics import Blocked, InterruptedRun, JournalBroken, KplanError, Stale, codes
from kplan.execution.rollback import Rollback
from kplan.execution.run import Failure, Result, Run, Stop, has_changed, make_reader
from kplan.kinds.connector.sensitivity import find_remembered_settings
from kplan.model import Address, Live, Owned, Target
from kplan.model.events import EmitRunEvent, Purpose, StepSkipped
from kplan.planning import facts
from kplan.planning.document import Plan, judge
from kplan.planning.needed import Ledger
from kplan.planning.order import Step
from kplan.planning.trust import NEVER, Listed, find_forbidden, find_unlisted
from kplan.planning.unknown_words import find_unknown_words, later_version
from kplan.state.base import Holder, Lock, Store
from kplan.text import count, join_names
from kplan.values import dataclass

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
        make_reader(plan, cluster, store),
        emit,
        stop,
        grace=0.0 if environment.simulated else environment.request_timeout,
        answer_timeout=environment.settle_timeout,
        session=environment.session_timeout if lock_is_in_kafka else float("inf"),
        now=now,
    )


def find_applied_runs(store: Store, plans: Sequence[Plan]) -> dict[str, str]:
    """Return the runs in which these very plans were applied to their end, by stack.

    The same world gives the same digest again, so the time counts as well.
    """
    plan_keys = {(plan.stack, plan.digest, plan.created_at) for plan in plans}
    return {
        summary.stack: summary.run
        for summary in store.summaries()
        if summary.outcome == "applied"
        and (summary.stack, summary.about.get("digest"), summary.about.get("created_at")) in plan_keys
    }


def refuse_applied(plan: Plan, applied_runs: Mapping[str, str]) -> None:
    """Raise Stale if the plan's file was applied already: it is applied once."""
    if plan.stack in applied_runs:
        raise Stale(f"this plan was already applied, in run {applied_runs[plan.stack]}", help="create a new plan")


@dataclass(frozen=True, slots=True)
class Apply:
    """Carry out `run.plan`. `on_failure`: rollback | stop; `saved`: the plan comes from a file, which runs once.

    `list_entries` returns what the stack's own file names; None: the plan is known to be what kplan wrote.
    """

    run: Run
    on_failure: str = "rollback"
    saved: bool = False
    list_entries: Callable[[], Listed] | None = None

    def execute(self, lock_timeout: float = 0.0) -> Result:
        """Return the result of the run. `lock_timeout` seconds may pass until the lock is held.

        Raises, with nothing changed: Blocked, Locked, Stale, InterruptedRun, Unreachable, JournalBroken.
        """
        run, plan = self.run, self.run.plan
        if plan.blocked:
            raise Blocked(f"not accepted: {', '.join(plan.blocked)}")
        try:
            return self._execute_locked(lock_timeout)
        except JournalBroken as e:
            if not run.stop.begun:
                e.exit_code = 1
            raise

    def _execute_locked(self, timeout: float) -> Result:
        run, plan = self.run, self.run.plan
        with run.store.lock(plan.stack, run.holder, timeout) as lock:
            self._refuse_troubled_state()
            if self.saved:
                refuse_applied(plan, find_applied_runs(run.store, [plan]))
            live, ledger = run.read()
            live = replace(live, ids=facts.read_ids(run.cluster, plan.changes))
            if plan.target.cluster_id not in ("", live.target.cluster_id):
                raise Stale(
                    f"the plan is for cluster {plan.target.cluster_id}, this is {live.target.cluster_id}",
                    help="choose the environment that the plan was created for",
                )
            self._refuse_lost_state(live, ledger)
            self._refuse_forbidden(live, ledger)
            judgements, moved = judge(plan.steps, live, ledger, plan.stack)
            if moved:
                raise Stale("; ".join(moved), help="nothing was changed: create and review a new plan")
            changes = [judgement.step.change for judgement in judgements if not judgement.done]
            if dangers := facts.find_new_dangers(run.cluster, live, changes, int(run.now().timestamp() * 1000)):
                help = "a new risk since the plan was created; create and review a new plan"
                raise Stale("; ".join(dangers), help=help)
            run.health = live.health
            touched = [a for s in plan.steps for a in (s.change.address, s.change.source) if a is not None]
            run.records.owners = {address: ledger.get(address) for address in touched}
            todo = [judgement.step for judgement in judgements if not judgement.done]
            return self._execute_run(
                lock, todo, [judgement.step for judgement in judgements if judgement.done], live.target
            )

    def _refuse_lost_state(self, live: Live, ledger: Ledger) -> None:
        """Raise Stale where the state has lost what it knew of the stack when the plan was made."""
        plan, store = self.run.plan, self.run.store
        if plan.owned and not any(owned.stack == plan.stack for owned in ledger.values()):
            lost_records = f"{count(plan.owned, 'resource')} of stack {plan.stack}"
        else:
            owners = {change.source or change.address: change.owner for change in plan.changes}
            missing = [
                address
                for address, owner in owners.items()
                if owner and address in live.resources and address not in ledger
            ]
            lost_records = join_names(list(map(str, missing)))
        if lost_records:
            raise Stale(
                f"the state in {store.where} has no record any more of {lost_records}",
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
        if self.list_entries is not None and find_unlisted(changes, ledger, Listed()):
            forbidden += find_unlisted(changes, ledger, self.list_entries())
        if forbidden:
            raise Stale("; ".join(forbidden), code=codes.K524, help=f"nothing was changed: {NEVER}")

    def _refuse_troubled_state(self) -> None:
        """Raise where a record that this plan is about cannot be read, or an earlier run of the stack has no end."""
        stack = self.run.plan.stack
        overview = self.run.store.overview()
        changes = self.run.plan.changes
        overview.refuse_unreadable(
            [stack],
            [address for change in changes for address in (change.address, change.source) if address is not None],
        )
        for run, owner in overview.open_runs.items():
            if owner == stack:
                raise InterruptedRun(
                    f"run {run} of stack {stack} was interrupted",
                    help=f"undo it first with `kplan recover {run}`, or complete it: --forward",
                )

    def _execute_run(self, lock: Lock, steps: Sequence[Step], skipped: Sequence[Step], target: Target) -> Result:
        run = self.run
        start = run.clock()
        claims = self._make_claims(steps)
        try:
            run.begin(lock, steps, claims, target)
        except JournalBroken as e:
            e.exit_code = 1  # nothing was sent yet
            raise
        try:
            result = self._carry_out(lock, steps, skipped, claims)
        except Stale:
            raise  # the run was closed
        except KplanError as e:
            e.exit_code = JournalBroken.exit_code
            e.help = "; ".join(filter(None, [e.help, f"undo what was done: kplan recover {run.holder.run}"]))
            raise
        return run.report_end(replace(result, seconds=run.clock() - start), Purpose.APPLY)

    def _carry_out(
        self, lock: Lock, steps: Sequence[Step], skipped: Sequence[Step], claims: Mapping[Address, Owned | None]
    ) -> Result:
        run = self.run
        self._refuse_lost_claims(lock, claims)
        for step in skipped:
            run.emit(StepSkipped(run.describe_step(step)))
        acting = [s for s in steps if not s.change.is_ledger_only]
        failure = run.run_waves(lock, acting) or run.verify_end_state(acting)
        if failure is None:
            return run.finish(lock, steps, skipped)
        if self.on_failure == "rollback":
            return Rollback(run, lock).roll_back(failure)
        return self._stop_after(lock, failure, steps)

    # -- claims -----------------------------------------------------------------------------------------------------
    def _make_claims(self, steps: Sequence[Step]) -> dict[Address, Owned | None]:
        """Return records for what has no owner: they name the owner before anything is done to it."""
        plan = self.run.plan
        new = [s.change for s in steps if s.change.after is not None and (s.change.owner is None or s.change.source)]
        return {
            c.address: Owned(
                c.address,
                plan.stack,
                plan.env,
                c.created,
                run=self.run.holder.run,
                sensitive=find_remembered_settings(c),
            )
            for c in new
        }

    def _refuse_lost_claims(self, lock: Lock, claims: Mapping[Address, Owned | None]) -> None:
        """Raise Stale where another stack claimed one of the addresses at once, and was first."""
        if not claims:
            return
        overview, stack = self.run.store.overview(), self.run.plan.stack
        owners = {address: overview.ledger[address].stack for address in claims if address in overview.ledger}
        unknown = {record.address: record.stack for record in overview.unreadable if record.address in owners}
        lost = [(a, owner) for a, owner in {**owners, **unknown}.items() if owner != stack]
        if lost:
            self.run.records.write(lock, "end", about={"outcome": "refused"}, ledger=dict.fromkeys(claims))
            raise Stale(
                f"{lost[0][0]}: stack {lost[0][1]} claimed it at the same moment",
                help="nothing was changed: let one stack own it",
            )

    # -- stopping at a failure --------------------------------------------------------------------------------------
    def _stop_after(self, lock: Lock, failure: Failure, steps: Sequence[Step]) -> Result:
        """End the run for `--on-failure stop`: what was done stays and is in the ledger."""
        run = self.run
        run.emit_failure(failure)
        sent_steps = {n for n, sent in run.sent.items() if not sent.done}
        try:
            live, _ = run.read()
            sent_steps = {n for n in sent_steps if run.sent[n].unsure or has_changed(run.sent[n].step.change, live)}
            sent_steps = {n for n in sent_steps if not run.sent[n].refused}
        except KplanError:
            pass  # what was sent and not answered counts as done: it is better owned than forgotten
        done = [s for s in steps if s.number in run.sent and run.sent[s.number].done]
        uncertain = [s for s in steps if s.number in sent_steps]
        left = tuple(f"{s.change.address}: {self._describe_state(s, sent_steps)}" for s in steps)
        ledger = run.records.list_previous_owners() | run.records.make_owners([*done, *uncertain], run.adopted_steps)
        run.records.write(lock, "end", about={"outcome": "stopped"}, ledger=ledger)
        return run.make_result("stopped", done, left=left, error=failure.error, failed=failure.address)

    def _describe_state(self, step: Step, sent_steps: Collection[int]) -> str:
        sent = self.run.sent.get(step.number)
        if sent is not None and sent.done:
            return "done"
        return "sent, but it does not work" if step.number in sent_steps else "not done"
