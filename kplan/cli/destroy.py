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
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@PLANNING
@RUNNING
@applying.FORMAT
@report_flags.report_option()
@SHOWING
@run_command
def command(session: Session, planning: PlanFlags, running: RunFlags) -> int:
    session.takes_project = True
    if not session.paths:
        raise click.UsageError(f"name the stacks to destroy, such as {_list_stacks(session)}")
    return applying.apply(session, "destroy", planning, running)


def _list_stacks(session: Session) -> str:
    """Return the stack files of the project."""
    from kplan.project.loading import ProjectReader
    from kplan.text import join_names

    return join_names([str(path) for path in ProjectReader(session.request).find_stack_paths()])
