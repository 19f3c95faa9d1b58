"""kplan apply"""

import click

from kplan.cli import applying
from kplan.cli.common import LOADING, PLANNING, SHOWING, Session
from kplan.cli.common import command as calls


@click.command("apply", help="Make it so. STACK is a stack file, a folder of them, or a plan saved with `plan --out`.")
@click.argument("paths", metavar="STACK...|PLAN.json", nargs=-1, required=True)
@LOADING
@PLANNING
@applying.FLAGS
@SHOWING
@calls
def command(session: Session) -> int:
    return applying.apply(session, "apply")
