"""kplan recover"""

from __future__ import annotations

import json
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import click

from kplan.cli.applying import Running, ctrl_c, declared, view_of, wait_for_others, with_logins
from kplan.cli.common import LOADING, SHOWING, Session, holder, option
from kplan.cli.common import command as calls

if TYPE_CHECKING:
    from collections.abc import Collection

    from kplan.execution.run import Result, Stop
    from kplan.model import Live
    from kplan.model.journal import Progress
    from kplan.planning.document import Plan
    from kplan.project.environment import Environment
    from kplan.servers.base import Cluster
    from kplan.state.base import Store


@click.command(
    "recover",
    help="Put back what an interrupted run did, or the rest of a rollback that could not be completed; with --forward "
    "do the rest of it instead. Without RUN: all such runs of the environment.",
)
@click.argument("run", required=False)
@LOADING
@option("--list", "listing", is_flag=True, help="Only show the runs, what they did, and what is live now.")
@option("--forward", is_flag=True, help="Complete the run; sensitive variables must be given again.")
@option(
    "--forget",
    metavar="ADDR",
    multiple=True,
    help="Leave this as it is, owned by the stack (globs); may be repeated. Sign records that are not signed (K621) "
    "first: `kplan state sign`.",
)
@option(
    "--accept",
    "accepted",
    metavar="delete:topic/NAME",
    multiple=True,
    help="Do this although it is a danger, or the ledger does not say that the stack owns it (globs): delete a topic "
    "that the run created and that has records by now, or change:topic/NAME, as the message says.",
)
@option("--yes", "-y", is_flag=True, help="Do not ask.")
@option("--lock-timeout", metavar="TIME", default="60s", show_default=True, help="How long to wait for the lock.")
@option("--format", type=click.Choice(["text", "json"]), default="text", help="Text, or one line of JSON an event.")
@SHOWING
@calls
def command(session: Session) -> int:
    from kplan.execution.recovery import elsewhere
    from kplan.execution.run import reading

    _refuse_contradictions(session)
    environment = session.load_environment()
    cluster, store = session.open(environment)
    try:
        with session.showing_progress():
            if not session.settings["listing"]:
                _end_writes(session, store)
            unreadable = _show_unreadable(session, store)
            found = _open_runs(session, store, unreadable)
        if not found and unreadable:
            return 8
        if not found:
            session.say('{"type": "runs", "runs": []}' if session.as_json else f"Nothing to recover in {store.where}.")
            return 0
        found, code = _readable(session, store, found)
        code = max(code, 8 if unreadable else 0)
        here = []
        for progress, plan in zip(found, _plans(session, found, environment), strict=True):
            with session.showing_progress():
                live = reading(plan, cluster, store)()[0]
            _describe(session, progress, plan, live)
            _tell_of_holder(session, store, progress)
            if why := elsewhere(plan, live, environment.name):
                session.note(f"run {progress.run} is left alone: {why}; say where it was: --env {plan.env or 'NAME'}")
            if not why or session.settings["run"]:
                here.append((progress, plan))
        if session.settings["listing"] or not here:
            return code
        _ask(session)
        return max(code, *(_recover(session, environment, cluster, store, *pair) for pair in here))
    finally:
        cluster.close()
        store.close()


def _refuse_contradictions(session: Session) -> None:
    s = session.settings
    if s["forward"] and s["forget"]:
        raise click.UsageError("--forget says how to put back; with --forward nothing is put back")


def _end_writes(session: Session, store: Store) -> None:
    """The journal can be read: a write that a broker's death left without an end has one."""
    from kplan.language.durations import seconds
    from kplan.state.base import Unended

    try:
        store.open_runs()
    except Unended as e:
        for stack in e.stacks:
            session.note(f"a write of stack {stack} was left without an end; taking its lock ends it")
            with store.lock(stack, holder("kplan recover"), seconds(session.settings["lock_timeout"])):
                pass


def _show_unreadable(session: Session, store: Store) -> set[str]:
    """Show the records that cannot be read or trusted, and return the stacks that it stops."""
    from kplan.state.base import shorten

    found = store.overview().unreadable
    session.show([each.error(f"{store.where}: {each.message} (stack {each.stack})").diagnostic()
                  for each in shorten(found)])  # fmt: skip
    return {each.stack for each in found}


def _open_runs(session: Session, store: Store, unreadable: Collection[str]) -> list[Progress]:
    """The open runs, without those of the stacks that have a record which cannot be read."""
    from kplan.diagnostics import Invalid, codes, error
    from kplan.model.journal import replay
    from kplan.planning.trust import escape

    runs = [run for run, stack in store.overview().open_runs.items() if stack not in unreadable]
    found = [p for p in (replay(store.entries(run)) for run in runs) if p]
    asked = session.settings["run"]
    if not asked:
        return found
    chosen = [p for p in found if asked in (p.run, escape(p.run))]
    if not chosen:
        raise Invalid([error(codes.K606, "there is no such open run", asked, help="`kplan recover --list` shows them")])
    return chosen


def _readable(session: Session, store: Store, found: list[Progress]) -> tuple[list[Progress], int]:
    """The runs whose journal says what they were to do, and the exit code that the others give."""
    from kplan.diagnostics import JournalBroken
    from kplan.execution.recovery import abandon, plan_of
    from kplan.language.durations import seconds
    from kplan.planning.trust import escape

    good, code = [], 0
    for progress in found:
        try:
            plan_of(progress)
            good.append(progress)
        except JournalBroken as e:
            if "*" in session.settings["forget"] and not session.settings["listing"]:
                abandon(store, progress, holder("kplan recover"), seconds(session.settings["lock_timeout"]))
                session.note(f"run {escape(progress.run)} is closed; nothing of it was put back")
                continue
            session.show([e.diagnostic()])
            code = e.exit_code
    return good, code


def _tell_of_holder(session: Session, store: Store, progress: Progress) -> None:
    if other := store.holder(progress.stack):
        going = "is still going" if other.run == progress.run else "waits: somebody works on its stack"
        session.note(f"run {progress.run} {going}: {other.who} since {other.since}, {other.command}")


def _plans(session: Session, found: list[Progress], environment: Environment) -> list[Plan]:
    """What the runs were to do; to complete them, with the values of their sensitive variables."""
    import os
    from dataclasses import replace

    from kplan.execution.recovery import plan_of
    from kplan.planning.document import secret_names, with_secrets

    plans = with_logins(session, [plan_of(progress) for progress in found])
    if not session.settings["forward"]:
        return plans
    asked = session.request
    names = {name for plan in plans for name in secret_names(plan)}
    values = {name: asked.flags.get(name, asked.process.get(f"KPLAN_VAR_{name}")) for name in names}
    values |= declared(session, plans, environment, [n for n, v in values.items() if v is None])
    session.mask(replace(environment, secrets=(*environment.secrets, *(v for v in values.values() if v))))
    return [with_secrets(plan, values, os.environ.get("KPLAN_KEY")) for plan in plans]


def _ask(session: Session) -> None:
    from kplan.diagnostics import Declined

    if session.settings["yes"]:
        return
    if session.as_json or not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Declined("there is no terminal to ask on", help="say --yes")
    what = "do the rest of it" if session.settings["forward"] else "put this back"
    try:
        answer = input(f"\nType yes to {what}: ")
    except (EOFError, KeyboardInterrupt):
        answer = ""
        session.say()
    if answer.strip() != "yes":
        raise Declined("nothing was changed")


def _describe(session: Session, progress: Progress, plan: Plan, live: Live) -> None:
    """What the run did, what was in flight, what it never came to, and what is live now."""
    from kplan.execution.recovery import standing
    from kplan.render.text import clean

    rows = [
        (step.number, str(step.change.address), _state(progress, step.number), standing(step, live))
        for step in plan.steps
    ]
    if session.as_json:
        about = {k: v for k, v in progress.about.items() if k != "files"}
        steps = [{"step": n, "address": a, "state": state, "live": now_} for n, a, state, now_ in rows]
        record = {"type": "run", "run": progress.run, "stack": progress.stack, **about, "steps": steps}
        session.say(json.dumps({**record, "total": len(steps)}, ensure_ascii=False))
        return
    who = progress.about.get("who", "unknown")
    session.say(clean(f"run {progress.run} of stack {progress.stack}, env {plan.env}, by {who}"))
    width = max([20, *(len(clean(address)) for _, address, _, _ in rows)])
    shown = rows if session.settings.get("verbose") or len(rows) <= 50 else [r for r in rows if r[2] != "not begun"]
    for number, address, state, now_ in shown:
        session.say(f"  [{number}] {clean(address):<{min(60, width)}}  {clean(state):<12}  now {now_}")
    if len(shown) < len(rows):
        session.say(f"  and {len(rows) - len(shown)} not begun")


def _state(progress: Progress, number: int) -> str:
    if number in progress.kept:
        return progress.kept[number].outcome.partition(": ")[2] or "kept"
    if number in progress.undone:
        return "undone"
    if number in progress.undoing:
        return "being undone"
    if number in progress.done:
        return "done"
    return "in flight" if number in progress.flying else "not begun"


def _recover(
    session: Session, environment: Environment, cluster: Cluster, store: Store, progress: Progress, plan: Plan
) -> int:
    from dataclasses import replace

    me = replace(holder("kplan recover"), run=progress.run)
    running = Running(session, environment, plan, me)
    with ctrl_c(progress.run) as stop:
        return 8 if running.ended(lambda: _recovered(running, cluster, store, stop)).left else 0


def _recovered(running: Running, cluster: Cluster, store: Store, stop: Stop) -> Result:
    from kplan.execution.recovery import Recovery
    from kplan.language.durations import seconds
    from kplan.model.events import unbreakable
    from kplan.planning.risk import Accepted

    session, plan = running.session, running.plan
    s = session.settings
    view = view_of(session)
    accepted = Accepted(tuple(s["accepted"]))
    run = running.run(cluster, store, unbreakable(view), stop)
    recovery = Recovery(run, running.environment.name, _forgotten(session, plan), accepted.covers)
    timeout = seconds(s["lock_timeout"])
    try:
        wait_for_others(session, store, [plan.stack], timeout)
        return (recovery.forward if s["forward"] else recovery.back)(timeout)
    finally:
        stop.over = True
        with suppress(OSError):  # the terminal may be gone
            view.close()


def _forgotten(session: Session, plan: Plan) -> list[str]:
    """The addresses that the patterns of --forget name."""
    import fnmatch

    addresses = [str(change.address) for change in plan.changes]
    found: list[str] = []
    for pattern in session.settings["forget"]:
        named = fnmatch.filter(addresses, pattern)
        if not named:
            session.note(f"--forget {pattern}: this run has no such address")
        found += named
    return found


__all__: list[Any] = ["command"]
