"""Plans on the terminal."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kplan.cli.output import write

if TYPE_CHECKING:
    from kplan.cli.session import Session
    from kplan.planning.document import Plan
    from kplan.render.text import Context

NO_NOTES: Mapping[str, Sequence[str]] = {}


def show_plan(session: Session, plan: Plan, document: dict[str, Any], context: Context) -> None:
    """Show what was planned, then the problems, then the steps and the verdict. Quiet: only what is wrong."""
    from kplan.render.plain import summarize
    from kplan.render.text import render_blocked, render_body, render_header

    for line in render_header(document, session.style, context):
        session.say(line)
    sys.stdout.flush()
    session.show(plan.diagnostics)
    for line in render_body(document, session.style, context, summarize):
        session.say(line)
    if session.display.quiet and not document["errored"]:
        for line in render_blocked(document, replace(session.style, color=session.use_color(sys.stderr)), context):
            write(line, sys.stderr)


def show_plans(
    session: Session,
    plans: Sequence[Plan],
    documents: Sequence[dict[str, Any]],
    context: Context,
    notes: Mapping[str, Sequence[str]] = NO_NOTES,
) -> None:
    """Show each plan with something to report, and then what is true of all of them. `notes` are by stack."""
    from kplan.render.many import has_own_page, narrow_context, render_closing

    for plan, document in zip(plans, documents, strict=True):
        notes_of_stack = notes.get(plan.stack, ())
        if notes_of_stack or has_own_page(document, documents, context):
            show_plan(
                session, plan, document, replace(narrow_context(document, documents, context), notes=notes_of_stack)
            )
            if len(plans) > 1:
                session.say()
    for line in render_closing(documents, session.style, context) if len(plans) > 1 else ():
        session.say(line)


def show_view(session: Session, documents: Sequence[Mapping[str, Any]], context: Context) -> None:
    """Show the plans in the requested form, on standard output."""
    from kplan.render.views import render

    session.write_product(render(session.view, documents, context))
