"""kplan wait"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING

import click

from kplan.cli.common import LOADING, SHOWING, Session, option
from kplan.cli.common import command as calls

if TYPE_CHECKING:
    from kplan.project.environment import Environment

TRY_SECONDS = 5.0  # for one try at most


@click.command(
    "wait",
    help="Return once the servers are ready: 0, or 1 where they are not after all tries. Made for compose's "
    "service_completed_successfully. With STACK and --for topics: once all topics of the stacks are there.",
)
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@option("--for", "things", metavar="LIST", default="", help="Of kafka, connect, topics. Default: kafka, and connect "
        "where the environment has one.")  # fmt: skip
@option("--retries", type=click.IntRange(1, 100000), default=30, show_default=True, help="How often to try.")
@option("--delay", metavar="TIME", default="2s", show_default=True, help="Between two tries.")
@SHOWING
@calls
def command(session: Session) -> int:
    from kplan.diagnostics import Invalid
    from kplan.language.durations import seconds
    from kplan.servers.waits import WAITS

    s = session.settings
    try:
        delay = seconds(s["delay"])
    except ValueError as e:
        raise click.BadParameter(str(e), param_hint="--delay")
    names: list[str] = []
    if s["paths"]:
        loaded = session.load()
        if loaded.has_errors:
            raise Invalid(loaded.diagnostics)
        environment = loaded.environment
        names = sorted({a.name for stack in loaded.stacks for a in stack.resources if a.kind == "topic"})
    else:
        session.connect_alone = True
        environment = session.load_environment()
    things = _things(s["things"], environment, bool(s["paths"]))
    environment = _impatient(environment, TRY_SECONDS)
    for left in range(s["retries"] - 1, -1, -1):
        with session.showing_progress():
            missing = _missing(session, environment, things, names)
        if not missing:
            session.say(f"ready: {', '.join(things)}")
            return 0
        session.note(f"not ready, {left} {'try' if left == 1 else 'tries'} left: {missing}")
        sys.stderr.flush()
        if left:
            with session.showing_progress(), WAITS.on(f"waiting to try {', '.join(things)} again", delay):
                time.sleep(delay)
    return 1


def _things(text: str, environment: Environment, stacks: bool) -> list[str]:
    known = ("kafka", "connect", "topics")
    chosen = [word.strip() for word in text.split(",") if word.strip()]
    wrong = [word for word in chosen if word not in known]
    if wrong:
        raise click.BadParameter(f"{wrong[0]!r} is none of {', '.join(known)}", param_hint="--for")
    if "topics" in chosen and not stacks:
        raise click.UsageError("--for topics needs a STACK that names them")
    if "connect" in chosen and not environment.has_connect:
        raise click.UsageError(f"environment {environment.name} has no Connect")
    if {"kafka", "topics"} & set(chosen) and not environment.has_brokers:
        raise click.UsageError(f"environment {environment.name} has no brokers: give --bootstrap HOST:PORT")
    there = {"kafka": environment.has_brokers, "connect": environment.has_connect}
    return chosen or [thing for thing, known in there.items() if known]


def wait_until_ready(session: Session, environment: Environment, patience: float) -> None:
    """Returns once Kafka answers, and Connect where the stacks have connectors. Raises KplanError after `patience`."""
    from kplan.diagnostics import KplanError, codes
    from kplan.servers.waits import WAITS

    things = ["kafka", *(["connect"] if session.needs_connect and environment.has_connect else [])]
    end = time.monotonic() + patience
    with session.showing_progress(), WAITS.on(f"waiting for {' and '.join(things)}", patience):
        while missing := _missing(session, _impatient(environment, end - time.monotonic()), things, []):
            left = end - time.monotonic()
            if left <= 0:
                raise KplanError(f"not ready within {patience:g} s: {missing}", code=codes.K530,
                                 help="look at the server, or wait longer with --wait")  # fmt: skip
            session.note(f"not ready, waiting {left:.0f} s more: {missing}")
            time.sleep(min(left, environment.delay))


def _impatient(environment: Environment, seconds: float) -> Environment:
    """The environment for one try, which takes so many seconds at most."""
    from dataclasses import replace

    limit = max(0.5, min(environment.request_timeout, TRY_SECONDS, seconds))
    return replace(environment, request_timeout=limit, attempts=1)


def _missing(session: Session, environment: Environment, things: list[str], names: list[str]) -> str:
    """What is not ready yet, in words; empty where all is. One try."""
    from kplan.app.servers import open_cluster
    from kplan.diagnostics import KplanError
    from kplan.text import listed

    cluster = open_cluster(environment, session.secrets)
    checks: dict[str, Callable[[], object]] = {"kafka": cluster.topics.identify}
    if cluster.connectors is not None:
        checks["connect"] = cluster.connectors.identify
    try:
        for thing in things:
            if thing == "topics":
                there = {a.name for a in cluster.topics.read(names).resources}
                if lacking := [name for name in names if name not in there]:
                    return f"topics missing: {listed(lacking)}"
            else:
                checks[thing]()
    except KplanError as e:
        return e.message
    finally:
        cluster.close()
    return ""
