"""kplan recover"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING

import click

from kplan.cli.applying import create_view, handle_ctrl_c, show_run
from kplan.cli.asking import ask
from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING, parse_lock_timeout
from kplan.cli.options import option
from kplan.cli.session import Session
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.recover import OpenRun, RecoverRequest
    from kplan.execution.run import Stop
    from kplan.model.events import Emit
    from kplan.model.journal import Progress
    from kplan.state.base import Holder, Store


@click.command(
    "recover",
    help="Undo what an interrupted run did, or finish a rollback that could not be completed; with --forward, "
    "complete the run instead. Without RUN: all such runs of the environment.",
)
@click.argument("run", required=False)
@LOADING
@option("--list", "listing", is_flag=True, help="Only show the runs, what they did, and the live state.")
@option("--forward", is_flag=True, help="Complete the run; set sensitive variables again.")
@option(
    "--forget",
    metavar="ADDR",
    multiple=True,
    help="Leave this as it is, owned by the stack (globs). Repeatable. Sign records that are not signed (K621) "
    "first: `kplan state sign`.",
)
@option(
    "--accept",
    "accepted",
    metavar="delete:topic/NAME",
    multiple=True,
    help="Do this although it is a danger, or the ledger does not name the stack as its owner (globs): delete a "
    "topic that the run created and that has records now, or change:topic/NAME, as the message shows.",
)
@option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@option("--lock-timeout", metavar="TIME", default="60s", show_default=True, help="How long to wait for the lock.")
@option("--format", type=click.Choice(["text", "json"]), default="text", help="Text, or one JSON line per event.")
@SHOWING
@run_command
def command(
    session: Session,
    run: str | None,
    listing: bool,
    forward: bool,
    forget: tuple[str, ...],
    accepted: tuple[str, ...],
    yes: bool,
    lock_timeout: str,
) -> int:
    from kplan.app.recover import RecoverRequest, end_unfinished_writes, find_open_runs, keep_readable, recover_run

    if forward and forget:
        raise click.UsageError("--forget is for a rollback; with --forward nothing is rolled back")
    request = RecoverRequest(run or "", forward, forget, accepted, parse_lock_timeout(lock_timeout))
    with session.open(session.load_environment()) as opened:
        store = opened.store
        with session.show_progress():
            if not listing:
                end_unfinished_writes(store, request.lock_timeout, session.runtime)
            unreadable = _show_unreadable(session, store)
            runs = find_open_runs(store, unreadable, request.run)
        if not runs and unreadable:
            return 8
        if not runs:
            session.say('{"type": "runs", "runs": []}' if session.as_json else f"Nothing to recover in {store.where}.")
            return 0
        runs, code = keep_readable(store, runs, request, session.runtime, may_close=not listing)
        code = max(code, 8 if unreadable else 0)
        runs_here = _show_runs(session, opened, request, runs)
        if listing or not runs_here:
            return code
        if not yes:
            _confirm(session, forward, store.where)
        audience = RecoverTerminal(session)
        results = [recover_run(open_run, opened, request, session.runtime, audience) for open_run in runs_here]
        return max(code, *(8 if result.left else 0 for result in results))


def _show_unreadable(session: Session, store: Store) -> Collection[str]:
    """Show the records that cannot be read or trusted, and return the stacks that they stop."""
    from kplan.state.base import shorten_problems

    records = store.overview().unreadable
    session.show([record.make_error(f"{store.where}: {record.message} (stack {record.stack})").diagnostic()
                  for record in shorten_problems(records)])  # fmt: skip
    return {record.stack for record in records}


def _show_runs(
    session: Session, opened: OpenEnvironment, request: RecoverRequest, runs: Sequence[Progress]
) -> list[OpenRun]:
    """Show the runs, and return those to recover: the one that was named, or those of this environment."""
    from kplan.app.recover import plan_runs, read_open_run
    from kplan.execution.wording import describe_other_place

    runs_here = []
    plans = plan_runs(runs, opened, request, session.request, session.runtime)
    for progress, plan in zip(runs, plans, strict=True):
        run = read_open_run(progress, plan, opened, session.runtime)
        _show_run(session, run)
        if run.other:
            _show_holder(session, progress, run.other)
        if run.elsewhere:
            place = f"--env {plan.env or 'NAME'}"
            reason = describe_other_place(run.elsewhere)
            session.note(f"run {progress.run} is skipped: {reason}; give its environment: {place}")
        if not run.elsewhere or request.run:
            runs_here.append(run)
    return runs_here


def _show_holder(session: Session, progress: Progress, other: Holder) -> None:
    activity = "is still running or was killed less than 10 s ago"
    if other.run != progress.run:
        activity = "waits: its stack is locked"
    session.note(f"run {progress.run} {activity}: {other.who} since {other.since}, {other.command}")


def _confirm(session: Session, forward: bool, place: str) -> None:
    ask(session, f"Type yes to {f'complete the run in {place}' if forward else f'undo this in {place}'}")


def _show_run(session: Session, run: OpenRun) -> None:
    """Show what the run did, what was in flight, what it never started, and what is live now."""
    from kplan.render.text import clean

    progress, steps = run.progress, run.steps
    if session.as_json:
        details = {k: v for k, v in progress.about.items() if k != "files"}
        rows = [{"step": s.number, "address": s.address, "state": s.state, "live": s.live} for s in steps]
        record = {"type": "run", "run": progress.run, "stack": progress.stack, **details, "steps": rows}
        session.say(json.dumps({**record, "total": len(rows)}, ensure_ascii=False))
        return
    who = progress.about.get("who", "unknown")
    session.say(clean(f"run {progress.run} of stack {progress.stack}, env {run.plan.env}, by {who}"))
    width = max([20, *(len(clean(step.address)) for step in steps)])
    visible_steps = steps if len(steps) <= 50 else [s for s in steps if s.state != "not begun"]
    number_width = max((len(str(step.number)) for step in visible_steps), default=1) + len("[]")
    for step in visible_steps:
        number = f"[{step.number}]".rjust(number_width)
        session.say(f"  {number} {clean(step.address):<{min(60, width)}}  {clean(step.state):<12}  now {step.live}")
    if len(visible_steps) < len(steps):
        session.say(f"  and {len(steps) - len(visible_steps)} not begun")


@dataclass(frozen=True, slots=True)
class RecoverTerminal:
    """The user at the terminal, or the program that reads lines of JSON: the `RunAudience` of a recovery."""

    session: Session

    def stoppable(self, run: str) -> AbstractContextManager[Stop]:
        return handle_ctrl_c(run)

    @contextmanager
    def watch_run(self, run: str, store: Store, stop: Stop) -> Iterator[Emit]:
        with show_run(create_view(self.session), stop) as emit:
            yield emit
