"""kplan apply"""

import click

from kplan.cli import applying, report_flags
from kplan.cli.command import run_command
from kplan.cli.flags import CHANGED_SINCE, LOADING, PLANNING, RUNNING, SHOWING, PlanFlags, RunFlags
from kplan.cli.session import Session


@click.command(
    "apply", help="Apply the changes. STACK is a stack file, a folder of them, or a plan saved with `plan --out`."
)
@click.argument("paths", metavar="[STACK...|PLAN.json]", nargs=-1)
@LOADING
@CHANGED_SINCE
@PLANNING
@RUNNING
@applying.FORMAT
@report_flags.report_option()
@SHOWING
@run_command
def command(session: Session, planning: PlanFlags, running: RunFlags) -> int:
    session.takes_project = True
    return applying.apply(session, "apply", planning, running)
