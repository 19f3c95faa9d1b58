"""kplan plan"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from kplan.cli import report_flags, reports
from kplan.cli.command import run_command
from kplan.cli.flags import CHANGED_SINCE, LOADING, PLANNING, SHOWING, PlanFlags, make_plan_request
from kplan.cli.options import option
from kplan.cli.session import Session
from kplan.cli.showing import show_plans, show_view

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.planning.document import Plan
    from kplan.project.loading import Loaded
    from kplan.state.base import Holder


@click.command("plan", help="Show what would change, in order, and the undo of each step. Nothing is changed.")
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@CHANGED_SINCE
@PLANNING
@option(
    "--out",
    metavar="FILE",
    default=None,
    type=click.Path(dir_okay=False),
    help="Save the plan; `kplan apply FILE` applies exactly this plan.",
)
@option(
    "--live",
    metavar="FILE",
    default=None,
    type=click.Path(dir_okay=False),
    help="Plan from this file of `kplan snapshot`, without servers and credentials.",
)
@option("--destroy", is_flag=True, help="Plan to delete what the stacks own.")
@option(
    "--rehearse",
    is_flag=True,
    help="Run the plan on a simulated cluster, too: to the end, and with a failure at each step. Exit 4 if something "
    "would not be put back.",
)
@option("--detailed-exitcode", is_flag=True, help="Exit 2 if there are changes.")
@report_flags.VIEW
@report_flags.report_option()
@SHOWING
@run_command
def command(
    session: Session,
    planning: PlanFlags,
    out: str | None,
    live: str | None,
    destroy: bool,
    rehearse: bool,
    detailed_exitcode: bool,
) -> int:
    session.takes_project = True
    request = make_plan_request(planning, "destroy" if destroy else "apply", from_snapshot=bool(live))
    loaded, opened = _load(session, live)
    # The servers are answering by now, and meanwhile the rest is imported.
    from kplan.app.plan import find_holders, plan_stacks, refuse_unplannable
    from kplan.planning.document import sign_documents, to_json
    from kplan.render import plain  # noqa: F401

    refuse_unplannable(loaded, loaded.stacks, request)
    with opened or session.open(loaded.environment) as opened:
        outcome = plan_stacks(loaded, loaded.stacks, request, opened, session.runtime)
        holders = find_holders(opened.store, outcome.plans)
    plans, seconds = _rehearse(session, outcome.plans) if rehearse else outcome.plans, outcome.seconds
    notes = {stack: (_describe_holder(holder),) for stack, holder in holders.items()}
    documents = sign_documents([to_json(plan) for plan in plans], os.environ.get("KPLAN_KEY"))
    extra = {"saved": out or "", "notes": [note for notes_of_stack in notes.values() for note in notes_of_stack]}
    context = session.context(seconds=seconds if len(plans) == 1 else None, **extra)
    if out:
        reports.save_plan(out, documents, context)
    annotations = reports.publish(session, documents, context)
    if session.view == "text":
        show_plans(session, plans, documents, replace(context, seconds=seconds), notes)
    else:
        show_view(session, documents, context)
        for plan in plans if session.view != "concise" else ():
            session.show(plan.diagnostics)
    reports.annotate(session, annotations)
    sys.stdout.flush()
    if not live and any(plan.blocked for plan in plans):
        session.runtime.notifier(loaded.environment).notify_blocked(plans)
    code = max(4 if plan.rehearsal and plan.rehearsal.problems else plan.exit_code for plan in plans)
    changes = any(plan.has_changes for plan in plans)
    return code or (2 if detailed_exitcode and changes else 0)


def _rehearse(session: Session, plans: Sequence[Plan]) -> Sequence[Plan]:
    from kplan.app.rehearse import rehearse_plans

    with session.show_progress():
        return rehearse_plans(plans, session.runtime)


def _load(session: Session, path: str | None) -> tuple[Loaded, OpenEnvironment | None]:
    """Load the stacks; return what is already open: the snapshot, or servers that are asked meanwhile."""
    from kplan.app.load import load_and_begin
    from kplan.app.opening import open_snapshot
    from kplan.project.loading import load_snapshot

    if not path:
        loaded, opened = load_and_begin(session.request, session.runtime)
        session.remember(loaded)
        return loaded, opened
    snapshot = load_snapshot(path)
    session.unasked = snapshot.live.target
    loaded = session.load()
    return loaded, open_snapshot(loaded.environment, snapshot, path)


def _describe_holder(holder: Holder) -> str:
    lock = f"{holder.who} has locked this stack since {holder.since} ({holder.command})"
    return f"{lock}, so this plan may soon be out of date"
