"""kplan recover"""

import json
import sys
from typing import Any

import click

from kplan.cli.applying import _view
from kplan.cli.common import LOADING, SHOWING, Session, holder, now, option
from kplan.cli.common import command as calls


@click.command(
    "recover",
    help="Put back what an interrupted run did, or the rest of a rollback that could not be completed. "
    "Without RUN: all such runs of the environment.",
)
@click.argument("run", required=False)
@LOADING
@option("--list", "listing", is_flag=True, help="Only show the runs.")
@option(
    "--forget", metavar="ADDR", multiple=True, help="Leave this as it is, owned by the stack (globs); may be repeated."
)
@option("--yes", "-y", is_flag=True, help="Do not ask.")
@option("--lock-timeout", metavar="TIME", default="60s", help="How long to wait for the lock.")
@option("--format", type=click.Choice(["text", "json"]), default="text", help="Text, or one line of JSON an event.")
@SHOWING
@calls
def command(session: Session) -> int:
    from kplan.diagnostics import Declined, Invalid, error
    from kplan.journal import replay
    from kplan.loading import load_environment

    environment = load_environment(session.request)
    session.mask(environment)
    cluster, store = session.open(environment)
    s = session.settings
    try:
        found = [p for p in (replay(store.entries(run)) for run in store.open_runs()) if p]
        if s["run"]:
            found = [p for p in found if p.run == s["run"]]
            if not found:
                raise Invalid(
                    [error("K606", "there is no such open run", s["run"], help="`kplan recover --list` shows them")]
                )
        if not found:
            session.say('{"type": "runs", "runs": []}' if session.as_json else f"Nothing to recover in {store.where}.")
            return 0
        for progress in found:
            _describe(session, progress)
        if s["listing"]:
            return 0
        if not s["yes"]:
            if not (sys.stdin.isatty() and sys.stdout.isatty()):
                raise Declined("there is no terminal to ask on", help="say --yes")
            if input("\nType yes to put this back: ").strip() != "yes":
                raise Declined("nothing was changed")
        return max(_recover(session, cluster, store, progress) for progress in found)
    finally:
        cluster.close()
        store.close()


def _forgotten(session: Session, addresses: list[str]) -> list[str]:
    """The addresses that the patterns of --forget name."""
    import fnmatch

    found: list[str] = []
    for pattern in session.settings["forget"]:
        named = fnmatch.filter(addresses, pattern)
        if not named:
            session.note(f"--forget {pattern}: this run has no such address")
        found += named
    return found


def _describe(session: Session, progress: Any) -> None:
    if session.as_json:
        session.say(json.dumps({"type": "run", "run": progress.run, "stack": progress.stack, **progress.about}))
        return
    session.say(f"run {progress.run} of stack {progress.stack}, by {progress.about.get('who', 'unknown')}")
    for word, items in (("done", progress.done), ("in flight", progress.flying)):
        for number, item in sorted(items.items()):
            state = (
                "undone"
                if number in progress.undone
                else f"kept: {progress.kept[number].outcome}"
                if number in progress.kept
                else word
            )
            session.say(f"    [{number}] {item.address}  {state}")


def _recover(session: Session, cluster: Any, store: Any, progress: Any) -> int:
    from dataclasses import replace

    from kplan.codec import change_from_json
    from kplan.environment import seconds
    from kplan.executor import Run
    from kplan.model import Target
    from kplan.order import Step
    from kplan.plan import Plan
    from kplan.planning import read

    items = {**progress.done, **progress.flying}
    steps = tuple(Step(n, int(items[n].change["wave"]), change_from_json(items[n].change)) for n in sorted(items))
    plan = Plan(progress.stack, str(progress.about.get("env", "")), Target(), steps)
    addresses = {c.address for c in plan.changes} | {c.source for c in plan.changes if c.source}
    me = replace(holder("kplan recover"), run=progress.run)
    view = _view(session)
    try:
        run = Run(plan, cluster, store, me, lambda: (read(cluster, addresses), store.ledger()), view, now=now)
        forget = _forgotten(session, [str(step.change.address) for step in steps])
        return 8 if run.recover(progress, seconds(session.settings["lock_timeout"]), forget).left else 0
    finally:
        view.close()
