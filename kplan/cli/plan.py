"""kplan plan"""

import os
import sys
from dataclasses import replace

import click

from kplan.cli import reports
from kplan.cli.common import LOADING, PLANNING, SHOWING, Session, option, planned
from kplan.cli.common import command as calls


@click.command("plan", help="Show what would change, in order, and what each step's undo is. Nothing is changed.")
@click.argument("paths", metavar="STACK...", nargs=-1, required=True)
@LOADING
@PLANNING
@option(
    "--out",
    metavar="FILE",
    default=None,
    type=click.Path(dir_okay=False),
    help="Save the plan; `kplan apply FILE` does exactly this.",
)
@option(
    "--live",
    metavar="FILE",
    default=None,
    type=click.Path(dir_okay=False),
    help="Plan from this file of `kplan snapshot`: no server is asked, and no credentials are needed.",
)
@option("--destroy", is_flag=True, help="Plan to delete what the stacks own.")
@option("--detailed-exitcode", is_flag=True, help="Exit 2 where there are changes.")
@reports.VIEW
@reports.flag()
@SHOWING
@calls
def command(session: Session) -> int:
    from kplan.diagnostics import Invalid
    from kplan.planning.document import signed, to_json
    from kplan.planning.pipeline import not_for_apply
    from kplan.project.loading import load_snapshot

    s = session.settings
    if s["live"]:
        session.snapshot, s["offline"] = load_snapshot(s["live"]), True
        session.unasked = session.snapshot.live.target
    loaded = session.load(ahead=True)
    unset = [] if s["destroy"] or s["live"] else [d for stack in loaded.stacks for d in not_for_apply(stack)]
    if loaded.has_errors or unset:
        raise Invalid([*loaded.diagnostics, *unset])
    cluster, store = session.open(loaded.environment)
    try:
        plans, seconds = planned(session, loaded, cluster, store, "destroy" if s["destroy"] else "apply")
        asked = [plan for plan in plans if plan.steps or len(plans) == 1]  # each is a question to the brokers
        notes = {plan.stack: said for plan in asked if (said := _held(store, plan.stack))}
    finally:
        cluster.close()
        store.close()
    documents = signed([to_json(plan) for plan in plans], os.environ.get("KPLAN_KEY"))
    known = {"saved": s["out"] or "", "notes": [note for said in notes.values() for note in said]}
    context = session.context(seconds=seconds if len(plans) == 1 else None, **known)
    if s["out"]:
        reports.keep(s["out"], documents, context)
    annotations = reports.publish(session, documents, context)
    if session.view == "text":
        session.show_plans(plans, documents, replace(context, seconds=seconds), notes)
    else:
        session.show_view(documents, context)
        for plan in plans if session.view != "concise" else ():
            session.show(plan.diagnostics)
    reports.annotate(session, annotations)
    sys.stdout.flush()
    if not s["live"]:
        session.notifier(loaded.environment).blocked(plans)
    code = max(plan.exit_code for plan in plans)
    changes = any(plan.has_changes for plan in plans)
    return code or (2 if s["detailed_exitcode"] and changes else 0)


def _held(store: object, stack: str) -> tuple[str, ...]:
    """A line where someone applies this stack right now, and one for a run that was interrupted."""
    from kplan.state.base import Store

    known: Store = store  # type: ignore[assignment]
    holder = known.holder(stack)
    return (
        (f"{holder.who} holds this stack since {holder.since} ({holder.command}): this plan may be outdated soon",)
        if holder
        else ()
    )
