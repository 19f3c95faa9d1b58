"""kplan destroy"""

import click

from kplan.cli import applying, report_flags
from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, PLANNING, RUNNING, SHOWING, PlanFlags, RunFlags
from kplan.cli.session import Session


@click.command(
    "destroy",
    help="Delete what the stacks own and kplan created; release what was adopted. `plan --destroy` shows it.",
)
@click.argument("paths", metavar="STACK...", nargs=-1, required=True)
@LOADING
@PLANNING
@RUNNING
@applying.FORMAT
@report_flags.report_option()
@SHOWING
@run_command
def command(session: Session, planning: PlanFlags, running: RunFlags) -> int:
    return applying.apply(session, "destroy", planning, running)
