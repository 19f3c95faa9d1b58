"""kplan agent"""

from __future__ import annotations

import re
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import click

from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING, parse_seconds
from kplan.cli.options import option
from kplan.cli.session import Session, current_time

if TYPE_CHECKING:
    from kplan.app.agent import Agent

MIN_INTERVAL_S = 0.05
LISTEN = re.compile(r"(?P<host>\[[0-9a-fA-F:.]+\]|[\w.-]*):(?P<port>\d{1,5})")
AGENT_NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,40}")


@click.command(
    "agent",
    help="Read status and drift of the stacks again and again until it is stopped, and serve them as metrics. Webhooks "
    "under `notify:` are called when something changes. Of several agents of one name one watches, and the others "
    "wait. Each reading loads the files again.",
)
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@option("--interval", metavar="TIME", default="1m", show_default=True, help="Time from one reading to the next.")
@option(
    "--listen",
    metavar="HOST:PORT",
    default="127.0.0.1:9464",
    show_default=True,
    help="Where /metrics and /healthz are served; empty: nowhere.",
)
@option(
    "--heal",
    type=click.Choice(["config"]),
    default=None,
    help="Put configs back that someone else changed: never with a danger, nothing is created or deleted.",
)
@option("--name", metavar="NAME", default="default", show_default=True, help="Name of the agents of which one watches.")
@option("--readings", metavar="N", type=click.IntRange(1), default=None, help="End after this many readings.")
@SHOWING
@run_command
def command(session: Session, interval: str, listen: str, heal: str | None, name: str, readings: int | None) -> int:
    session.takes_project = True
    if not AGENT_NAME.fullmatch(name):
        raise click.BadParameter(f"{name!r}: 1 to 41 of a-z, 0-9 and -", param_hint="--name")
    match = LISTEN.fullmatch(listen)
    if listen and not match:
        raise click.BadParameter(f"{listen!r}: HOST:PORT, or nothing", param_hint="--listen")
    seconds = max(MIN_INTERVAL_S, parse_seconds(interval, "--interval"))
    from kplan.app.agent import Agent, AgentRequest
    from kplan.app.exposition import Answers, open_http_server
    from kplan.render import metrics

    request = AgentRequest(name, seconds, heal == "config", readings or 0)
    agent = Agent(request, session.load, session.runtime)
    answers = Answers(
        lambda: session.secrets.mask(metrics.render_watched(agent.seen)),
        metrics.CONTENT_TYPE,
        lambda: _describe_health(agent),
    )
    if match:
        metrics.require_client()
    with (
        _stopped_by_signals() as stop,
        open_http_server(match["host"].strip("[]"), int(match["port"]), answers)
        if match
        else nullcontext("") as address,
    ):
        if address:
            session.note(f"{session.time} {address}/metrics")
        agent.run(stop)
    return 0


def _describe_health(agent: Agent) -> tuple[int, dict[str, Any]]:
    """Return 200 while the agent reads, whatever it finds, else 503."""
    seen = agent.seen
    alive = agent.is_alive(current_time().timestamp())
    read_at = f"{datetime.fromtimestamp(seen.read_at, UTC):%Y-%m-%dT%H:%M:%SZ}" if seen.read_at else None
    health = seen.status["status"] if seen.status else None
    return 200 if alive else 503, {"phase": seen.phase, "last_reading": read_at, "status": health}


@contextmanager
def _stopped_by_signals() -> Iterator[threading.Event]:
    """Yield what SIGINT and SIGTERM set: the agent ends after what it is doing."""
    stop = threading.Event()
    before = {number: signal.signal(number, lambda *_: stop.set()) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
