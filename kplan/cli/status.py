"""kplan status"""

from __future__ import annotations

import json
import sys
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from kplan.cli.command import run_command
from kplan.cli.flags import CHANGED_SINCE, LOADING, SHOWING, make_selector, parse_seconds, parse_selector
from kplan.cli.options import option
from kplan.cli.session import Session

if TYPE_CHECKING:
    pass


@click.command(
    "status",
    help="Show the health of what the stacks declare: resources that are missing or misconfigured, states, tasks "
    "with the causes of failures, and lag. Exit 0 healthy, 2 degraded, 1 if a server does not answer.",
)
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@CHANGED_SINCE
@option(
    "--watch",
    is_flag=True,
    help="Repeat until Ctrl-C, and restart what failed where `restart_failed` is set.",
)
@option("--interval", metavar="TIME", default="5s", show_default=True, help="Interval of --watch.")
@make_selector("Only what has this label, or this team (team=NAME).")
@option("--logins", is_flag=True, help="Try the password of every user; brokers log each failure.")
@option(
    "--format",
    type=click.Choice(["text", "json", "prometheus"]),
    default="text",
    help="The view on standard output; prometheus: metrics for a textfile collector.",
)
@SHOWING
@run_command
def command(session: Session, watch: bool, interval: str, logins: bool, selectors: tuple[str, ...]) -> int:
    session.takes_project = True
    if logins and watch:
        raise click.UsageError("--logins tries each password once: leave out --watch")
    pause = max(0.5, parse_seconds(interval, "--interval"))
    loaded = session.load_valid()
    from kplan.app.status import read_status, restart_failed, select_labelled

    loaded = select_labelled(loaded, parse_selector(selectors))
    from kplan.inspect.status import ERROR, FailedConnectors, Restarts

    connections = ExitStack()
    opened = connections.enter_context(session.open(loaded.environment))
    notifier = session.runtime.notifier(loaded.environment)
    restarts, failed_connectors = Restarts(), FailedConnectors()
    names = [stack.name for stack in loaded.stacks]
    try:
        with connections:
            while True:
                with session.show_progress():
                    status = read_status(loaded, opened, session.runtime, logins)
                _show_status(session, status, clear=watch)
                notifier.notify_health(names, *failed_connectors.update(status))
                if not watch:
                    return {"healthy": 0, "degraded": 2}.get(status["status"], 1)
                if status["status"] == ERROR:  # clients of before an outage are slow after it
                    connections.close()
                    opened = connections.enter_context(session.open(loaded.environment))
                for address, attempt in restarts.find_due(loaded.stacks, status, time.monotonic()):
                    restart_failed(opened, address, attempt, session.runtime)
                time.sleep(pause)
    except KeyboardInterrupt:
        return 0


def _show_status(session: Session, status: dict[str, Any], clear: bool) -> None:
    from kplan.inspect.status import HEALTHY
    from kplan.render.status import render_lines
    from kplan.render.text import clean, fold_line

    if session.view == "prometheus":
        from kplan.render.metrics import render_status

        session.say(session.secrets.mask(render_status(status)))
        return
    if session.as_json:
        session.say(json.dumps(status, indent=None if clear else 2, ensure_ascii=False))
        return
    if clear and sys.stdout.isatty():
        session.say("\x1b[2J\x1b[H")
    first, *other_lines = [clean(line) for line in render_lines(status)]
    session.say(session.style.paint(first, "32" if status["status"] == HEALTHY else "1;31"))
    for line in other_lines:
        for part in fold_line(line, session.style.width) if sys.stdout.isatty() else [line]:
            session.say(part)
    sys.stdout.flush()
