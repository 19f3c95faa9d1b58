"""kplan wait"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING, parse_seconds
from kplan.cli.options import option
from kplan.cli.session import Session
from kplan.kinds.registry import KINDS

if TYPE_CHECKING:
    from kplan.model import Address
    from kplan.project.environment import Environment

SERVERS = ("kafka", "connect")


def _find_nouns() -> list[str]:
    """Return the nouns of the resources that one can wait for."""
    return [kind.views.plural for kind in KINDS.values() if kind.views.is_ready_when_there]


@click.command(
    "wait",
    help="Return once the servers are ready. Exit 0, or 1 if they are not after all attempts. Suits compose's "
    "service_completed_successfully. With STACK and --for topics: once all topics of the stacks exist.",
)
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@option(
    "--for",
    "things",
    metavar="LIST",
    default="",
    help=f"Any of {', '.join((*SERVERS, *_find_nouns()))}. Default: kafka, and connect where the environment has one.",
)
@option("--retries", type=click.IntRange(1, 100000), default=30, show_default=True, help="Maximum number of attempts.")
@option("--delay", metavar="TIME", default="2s", show_default=True, help="Interval between attempts.")
@SHOWING
@run_command
def command(session: Session, things: str, retries: int, delay: str) -> int:
    from kplan.app.wait import WaitRequest, try_until_ready

    pause = parse_seconds(delay, "--delay")
    addresses: list[Address] = []
    if session.paths:
        loaded = session.load_valid()
        environment = loaded.environment
        addresses = sorted({address for stack in loaded.stacks for address in stack.resources})
    else:
        session.connect_alone = True
        environment = session.load_environment()
    wanted = _parse_things(things, environment, bool(session.paths))
    request = WaitRequest(wanted, addresses, retries, pause)

    def note_missing(missing: str, attempts_left: int) -> None:
        session.note(f"not ready, {attempts_left} {'try' if attempts_left == 1 else 'tries'} left: {missing}")
        sys.stderr.flush()

    if not try_until_ready(request, environment, session.runtime, note_missing):
        return 1
    session.say(f"ready: {', '.join(wanted)}")
    return 0


def _parse_things(text: str, environment: Environment, stacks: bool) -> list[str]:
    known_nouns = _find_nouns()
    all_things = (*SERVERS, *known_nouns)
    chosen = [word.strip() for word in text.split(",") if word.strip()]
    unknown = [word for word in chosen if word not in all_things]
    if unknown:
        raise click.BadParameter(f"{unknown[0]!r} is none of {', '.join(all_things)}", param_hint="--for")
    nouns = [word for word in chosen if word in known_nouns]
    if nouns and not stacks:
        raise click.UsageError(f"--for {nouns[0]} needs a STACK that names them")
    if "connect" in chosen and not environment.has_connect:
        raise click.UsageError(f"environment {environment.name} has no Connect")
    if {"kafka", *known_nouns} & set(chosen) and not environment.has_brokers:
        raise click.UsageError(f"environment {environment.name} has no brokers: give --bootstrap HOST:PORT")
    available = {"kafka": environment.has_brokers, "connect": environment.has_connect}
    return chosen or [thing for thing, known in available.items() if known]
