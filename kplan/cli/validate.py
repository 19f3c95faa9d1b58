"""kplan validate"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from kplan.cli import report_flags, reports
from kplan.cli.command import run_command
from kplan.cli.flags import CHANGED_SINCE, LOADING, SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session

if TYPE_CHECKING:
    from kplan.diagnostics import Diagnostic
    from kplan.model import Stack
    from kplan.project.loading import Loaded


@click.command(
    "validate",
    help="Check stacks and kplan.yaml without a server. Reports every error at once; exit 4 if there are any.",
)
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@CHANGED_SINCE
@option(
    "--format",
    type=click.Choice(["text", "concise", "json", "github", "sarif"]),
    default="text",
    help="Format of the report.",
)
@report_flags.report_option(report_flags.KINDS_OF_PROBLEMS)
@SHOWING
@run_command
def command(session: Session) -> int:
    session.takes_project = True
    from kplan.app.validate import check_environments, find_problems
    from kplan.diagnostics import Invalid
    from kplan.model import Target

    session.unasked = Target()
    environments = check_environments(session.request, session.runtime)
    session.texts |= environments.texts
    session.paths = tuple(path for path in session.paths if path not in environments.files)
    problems, others = [*environments.problems], len(environments.files)
    if others and not session.paths:
        return _report(session, None, problems, others)
    loaded: Loaded | None = None
    try:
        loaded = session.load()
        problems += find_problems(loaded)
    except Invalid as e:
        problems += e.diagnostics
    return _report(session, loaded, problems, others)


def _report(session: Session, loaded: Loaded | None, problems: Sequence[Diagnostic], others: int = 0) -> int:
    """Show and report the problems; return the exit code. `others`: files that are not stacks."""
    from kplan.diagnostics import sort_diagnostics

    stacks = loaded.stacks if loaded else ()
    masked_problems = session.mask_problems(sort_diagnostics(problems))
    if session.view in ("text", "concise") and not session.reports:
        _show(session, stacks, masked_problems, others)
    else:
        _publish(session, loaded, masked_problems, others)
    return 4 if any(problem.is_error for problem in masked_problems) else 0


def _publish(session: Session, loaded: Loaded | None, problems: Sequence[Diagnostic], others: int) -> None:
    """Write standard output and every report as requested."""
    from kplan.render.views import render

    stacks = loaded.stacks if loaded else ()
    documents, context = reports.make_documents(session, problems, _stack_names(loaded)), session.context()
    document = _make_document(stacks, problems)
    annotations = reports.publish(session, documents, context, {"json": document})
    if session.as_json:
        session.write_product(document)
    elif session.view in ("github", "sarif", "junit"):
        session.write_product(render(session.view, documents, context))
    else:
        _show(session, stacks, problems, others)
    reports.annotate(session, annotations)


def _show(session: Session, stacks: Sequence[Stack], problems: Sequence[Diagnostic], others: int) -> None:
    session.show(problems, stream=sys.stdout)
    if session.view == "text":
        session.say(_summary(stacks, problems, others))


def _stack_names(loaded: Loaded | None) -> dict[str, str]:
    if loaded is None:
        return {}
    from kplan.app.problems import stack_paths

    return dict(zip(stack_paths(loaded), (stack.name for stack in loaded.stacks), strict=True))


def _make_document(stacks: Sequence[Stack], problems: Sequence[Diagnostic]) -> str:
    import json

    from kplan.planning.document import diagnostic_to_json

    return json.dumps(
        {
            "valid": not any(problem.is_error for problem in problems),
            "resources": sum(len(stack.resources) for stack in stacks),
            "diagnostics": [diagnostic_to_json(problem) for problem in problems],
        },
        indent=2,
    )


def _summary(stacks: Sequence[Stack], problems: Sequence[Diagnostic], others: int) -> str:
    from kplan.render.diagnostics import format_summary
    from kplan.text import count

    resources = sum(len(stack.resources) for stack in stacks)
    files = max(len(stacks) + others, len({problem.span.path for problem in problems if problem.span}))
    valid = f"{count(resources, 'resource')} {'is' if resources == 1 else 'are'} valid." if stacks else ""
    return format_summary(problems, files, "Nothing was changed." if any(p.is_error for p in problems) else valid)
