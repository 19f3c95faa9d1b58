"""The views of a plan in the places that --report names, even where there is no plan."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from kplan.cli.output import save, write
from kplan.cli.report_flags import STDOUT

if TYPE_CHECKING:
    from kplan.cli.session import Session
    from kplan.diagnostics import Diagnostic
    from kplan.render.text import Context

T = TypeVar("T")


# -- writing ----------------------------------------------------------------------------------------------------------
def publish(
    session: Session,
    documents: Sequence[Mapping[str, Any]],
    context: Context,
    own: Mapping[str, str] | None = None,
) -> str:
    """Write every report, except the one for standard output: return its text, which comes last there.

    `own` are the texts of views that these documents do not have. Raises KplanError after all were tried, where one
    could not be written.
    """
    from kplan.render.views import render, render_in_parts

    session.reported = True
    failures: list[str] = []
    last_text = ""
    for report in session.reports or ():
        text = (own or {}).get(report.kind)
        parts = (text,) if text else render_in_parts(report.kind, documents, context)
        if report.path == STDOUT:
            last_text = "".join(parts)
        else:
            _try_to_write(failures, report.path, save, parts)
        summary = os.environ.get("GITHUB_STEP_SUMMARY", "") if report.kind == "github" else ""
        if summary and any(d["mode"] != "validate" or d["diagnostics"] for d in documents):
            _try_to_write(failures, summary, _append, render("md", documents, context))
    if failures:
        raise output_error(", ".join(failures))
    return last_text


def save_plan(path: str, documents: Sequence[Mapping[str, Any]], context: Context) -> None:
    """Save the plan in a file, to be applied. Raises KplanError."""
    from kplan.render.views import render_in_parts

    failures: list[str] = []
    _try_to_write(failures, path, save, render_in_parts("json", documents, context))
    if failures:
        raise output_error(failures[0])


def annotate(session: Session, text: str) -> None:
    """Write GitHub's commands to the stream that does not hold a document: its runner reads both."""
    if text:
        write(text.rstrip("\n"), sys.stdout if session.view in ("text", "concise") else sys.stderr)


def _try_to_write(failures: list[str], path: str, put: Callable[[str, T], None], text: T) -> None:
    try:
        put(path, text)
    except OSError as e:
        failures.append(f"{path}: {e.strerror or e}")


def _append(path: str, text: str) -> None:
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text.rstrip("\n") + "\n")


def output_error(outputs: str) -> Exception:
    """Return the error of outputs that cannot be written."""
    from kplan.diagnostics import KplanError, codes

    return KplanError(f"cannot be written: {outputs}", code=codes.K611, help="choose another place, or free some space")


# -- before there is a plan -------------------------------------------------------------------------------------------
def publish_problems(session: Session, problems: Sequence[Diagnostic], exit_code: int) -> None:
    """Write the problems to reports and standard output where there is no plan, unless they hold it already.

    A report that cannot be written is only noted: the exit code is that of the first failure.
    """
    from kplan.render.views import encode_failure, render

    if session.reported:
        return
    failure = encode_failure(problems, exit_code) + "\n"
    try:
        documents, context = make_documents(session, problems), session.context()
        if session.view not in ("text", "concise", "prometheus"):
            session.write_product(failure if session.as_json else render(session.view, documents, context))
        annotate(session, publish(session, documents, context, {"json": failure}))
    except Exception as e:
        session.note(f"warning: not every report is written: {getattr(e, 'message', type(e).__name__)}")


def make_documents(
    session: Session, problems: Sequence[Diagnostic], stacks: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """Return a document for each stack that has problems, and for each of `stacks` (name by real path).

    Problems that belong to none of them are in the first.
    """
    from kplan.project.stack_files import STACK_LINE
    from kplan.render.views import make_problem_document as document

    names = dict(stacks or {})
    places = [os.path.realpath(problem.span.path) if problem.span else "" for problem in problems]
    for problem, place in zip(problems, places, strict=True):
        if problem.span and place not in names and (found := STACK_LINE.search(session.text(problem.span.path))):
            names[place] = found[1]
    paths = ", ".join(session.paths) or "."
    names = names or {paths: paths}
    problems_by_place: dict[str, list[Diagnostic]] = {place: [] for place in names}
    for problem, place in zip(problems, places, strict=True):
        problems_by_place[place if place in problems_by_place else next(iter(problems_by_place))].append(problem)
    return [
        document(
            name,
            session.environment_name,
            problems_by_place[place],
            session.time,
            [os.path.relpath(place)] if place else [],
        )
        for place, name in names.items()
    ]
