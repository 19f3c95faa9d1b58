"""kplan rehearse"""

from __future__ import annotations

import click

from kplan.cli import report_flags, reports
from kplan.cli.command import run_command
from kplan.cli.flags import SHOWING
from kplan.cli.session import Session
from kplan.cli.showing import show_plans, show_view


@click.command(
    "rehearse",
    help="Run saved plans on a simulated cluster: to the end, and with a failure at each step. Exit 4 if something "
    "would not be put back. No server is asked, and nothing is changed.",
)
@click.argument("paths", metavar="PLAN.json...", nargs=-1, required=True)
@report_flags.VIEW
@report_flags.report_option()
@SHOWING
@run_command
def command(session: Session, paths: tuple[str, ...]) -> int:
    from kplan.app.rehearse import rehearse_plans
    from kplan.app.show import read_plan_documents
    from kplan.planning.document import from_json, to_json

    saved = [from_json(document) for path in paths for document in read_plan_documents(path)]
    plans = rehearse_plans(saved, session.runtime)
    documents, context = [to_json(plan) for plan in plans], session.context(saved=paths[0])
    annotations = reports.publish(session, documents, context)
    if session.view == "text":
        show_plans(session, plans, documents, context)
    else:
        show_view(session, documents, context)
    reports.annotate(session, annotations)
    return 4 if any(plan.rehearsal and plan.rehearsal.problems for plan in plans) else 0
