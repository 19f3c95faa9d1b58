"""kplan describe"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import click

from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session

if TYPE_CHECKING:
    from kplan.project.loading import Loaded


@click.command(
    "describe",
    help="Show all that is known of one resource: settings with their origin, readers and lag, health with the trace, "
    "what feeds it, who has access, schemas, and the last changes. ADDRESS is KIND/NAME, such as topic/shop.orders. "
    "Without STACK the project's stacks are read.",
)
@click.argument("address")
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@option("--format", type=click.Choice(["text", "json"]), default="text", help="The view on standard output.")
@SHOWING
@run_command
def command(session: Session, address: str) -> int:
    from kplan.app.describe import describe_resource, encode_description
    from kplan.app.servers import describe_cluster
    from kplan.kinds.registry import KINDS, parse_address
    from kplan.render.describe import render_description
    from kplan.render.text import clean

    session.takes_project = True
    try:
        parsed = parse_address(address)
    except ValueError as e:
        is_split = address in KINDS and session.paths
        help = f"Did you mean {address}/{session.paths[0]}?" if is_split else f"{str(e)[:1].upper()}{str(e)[1:]}."
        raise click.UsageError(help) from e
    loaded = _load(session)
    with session.open(loaded.environment) as opened, session.show_progress():
        document = encode_description(describe_resource(parsed, loaded, opened, session.runtime))
    if session.as_json:
        session.say(json.dumps(document, indent=2, ensure_ascii=False))
        return 0
    session.say(session.style.paint(clean(f"{parsed} · {describe_cluster(loaded.environment)}"), "1"))
    for title, lines in render_description(document):
        if lines and title:
            session.say(f"\n{session.style.paint(title, '1')}")
        for line in lines:
            session.say(clean(f"  {line}"))
    return 0


def _load(session: Session) -> Loaded:
    """Load the stacks; where the project has none, the environment alone."""
    from kplan.diagnostics import Invalid
    from kplan.project.loading import Loaded
    from kplan.project.stack_files import NO_STACKS

    try:
        return session.load_valid()
    except Invalid as failure:
        if session.paths or {each.summary for each in failure.diagnostics} != {NO_STACKS}:
            raise
    session.takes_project = False
    return Loaded(session.load_environment())
