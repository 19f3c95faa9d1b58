"""kplan destroy"""

import click

from kplan.cli import applying
from kplan.cli.common import LOADING, PLANNING, SHOWING, Session
from kplan.cli.common import command as calls


@click.command(
    "destroy",
    help="Delete what the stacks own and kplan made; what was adopted is given up. `plan --destroy` shows it.",
)
@click.argument("paths", metavar="STACK...", nargs=-1, required=True)
@LOADING
@PLANNING
@applying.FLAGS
@SHOWING
@calls
def command(session: Session) -> int:
    return applying.apply(session, "destroy")
