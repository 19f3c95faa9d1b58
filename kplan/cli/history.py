"""kplan history"""

from __future__ import annotations

import json
from itertools import islice
from typing import TYPE_CHECKING

import click

from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session

if TYPE_CHECKING:
    from kplan.model import Address
    from kplan.state.base import Store

FORMAT_VERSION = "1.0"


@click.command(
    "history",
    help="Show who changed what, when and why, newest first: the runs of the environment or of a STACK, or the last "
    "changes of an ADDRESS. Only the state is read.",
)
@click.argument("what", metavar="[STACK|ADDRESS]", default="")
@LOADING
@option("--limit", type=click.IntRange(1), default=20, show_default=True, help="How many lines at most.")
@option("--format", type=click.Choice(["text", "json"]), default="text", help="The view on standard output.")
@SHOWING
@run_command
def command(session: Session, what: str, limit: int) -> int:
    from kplan.app.history import find_address

    environment = session.load_environment()
    store = session.open_store(environment)
    try:
        if address := find_address(what):
            _show_changes(session, store, address, limit)
        else:
            _show_runs(session, store, what, limit)
    finally:
        store.close()
    return 0


def _show_runs(session: Session, store: Store, stack: str, limit: int) -> None:
    from kplan.app.history import read_runs
    from kplan.render.history import encode_run, render_runs
    from kplan.render.text import clean

    with session.show_progress():
        runs = read_runs(store, stack)
    shown = runs[:limit]
    if session.as_json:
        session.say(
            json.dumps({"format_version": FORMAT_VERSION, "runs": [encode_run(run) for run in shown]}, indent=2)
        )
        return
    session.say(session.style.paint(clean(f"{stack or 'all stacks'} · {store.where}"), "1"))
    for line in render_runs(shown):
        session.say(clean(line))
    if not runs:
        session.say("No runs.")
    if len(runs) > limit:
        session.note(f"{len(runs) - limit} earlier ones: --limit {len(runs)}")


def _show_changes(session: Session, store: Store, address: Address, limit: int) -> None:
    from kplan.app.history import read_changes
    from kplan.render.history import encode_change, render_changes
    from kplan.render.text import clean

    with session.show_progress():
        history = read_changes(store, address)
    shown = list(islice(history.changes, limit))
    if session.as_json:
        changes = [encode_change(change, run) for change, run in shown]
        document = {"format_version": FORMAT_VERSION, "address": str(address), "stack": history.owner}
        session.say(json.dumps({**document, "changes": changes}, indent=2))
        return
    owner = f"stack {history.owner}" if history.owner else "no stack owns it"
    session.say(session.style.paint(clean(f"{address} · {owner} · {store.where}"), "1"))
    for line in render_changes(shown):
        session.say(clean(line))
    if not history.changes:
        session.say("No change of it is kept.")
