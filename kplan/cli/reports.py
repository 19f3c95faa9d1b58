"""The views of a plan in the places that --report names: writing them, also where there is no plan."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kplan.cli.output import save, write
from kplan.cli.report_flags import STDOUT

if TYPE_CHECKING:
    from kplan.cli.session import Session
    from kplan.diagnostics import Diagnostic
    from kplan.render.text import Context

NAME = re.compile(r"""^["']?stack["']?\s*:\s*["']?([a-z0-9-]{1,63})["']?\s*(?:,|#|$)""", re.MULTILINE)


# -- writing ----------------------------------------------------------------------------------------------------------
def publish(
    session: Session,
    documents: Sequence[Mapping[str, Any]],
    context: Context,
    own: Mapping[str, str] | None = None,
) -> str:
    """Every report is written but one to standard output, whose text is returned: it comes after all else there.

    `own` are the texts of views that these documents do not have. Raises KplanError once all were tried, where one
    could not be written.
    """
    from kplan.render.views import render

    session.reported = True
    broken: list[str] = []
    later = ""
    for report in session.reports or ():
        text = (own or {}).get(report.kind) or render(report.kind, documents, context)
        if report.path == STDOUT:
            later = text
        else:
            _try(broken, report.path, save, text)
        summary = os.environ.get("GITHUB_STEP_SUMMARY", "") if report.kind == "github" else ""
        if summary and any(d["mode"] != "validate" or d["diagnostics"] for d in documents):
            _try(broken, summary, _append, render("md", documents, context))
    if broken:
        raise unwritable(", ".join(broken))
    return later


def keep(path: str, documents: Sequence[Mapping[str, Any]], context: Context) -> None:
    """The file holds the plan, to be applied. Raises KplanError."""
    from kplan.render.views import render

    broken: list[str] = []
    _try(broken, path, save, render("json", documents, context))
    if broken:
        raise unwritable(broken[0])


def annotate(session: Session, text: str) -> None:
    """GitHub's runner reads its commands from both streams; they do not stand in a document on the first one."""
    if text:
        write(text.rstrip("\n"), sys.stdout if session.view in ("text", "concise") else sys.stderr)


def _try(broken: list[str], path: str, put: Callable[[str, str], None], text: str) -> None:
    try:
        put(path, text)
    except OSError as e:
        broken.append(f"{path}: {e.strerror or e}")


def _append(path: str, text: str) -> None:
    with Path(path).open("a", encoding="utf-8") as file:
        file.write(text.rstrip("\n") + "\n")


def unwritable(what: str) -> Exception:
    from kplan.diagnostics import KplanError, codes

    return KplanError(f"cannot be written: {what}", code=codes.K611, help="choose another place, or make room there")


# -- before there is a plan -------------------------------------------------------------------------------------------
def publish_problems(session: Session, problems: Sequence[Diagnostic], exit_code: int) -> None:
    """Reports and standard output hold what went wrong before there was a plan, unless they hold the plan already.

    What cannot be written is told alone: the exit code is that of what went wrong first.
    """
    from kplan.render.views import encode_failure, render

    if session.reported:
        return
    failure = encode_failure(problems, exit_code) + "\n"
    try:
        documents, context = of_problems(session, problems), session.context()
        if session.view not in ("text", "concise"):
            session.product(failure if session.as_json else render(session.view, documents, context))
        annotate(session, publish(session, documents, context, {"json": failure}))
    except Exception as e:
        session.note(f"warning: not every report is written: {getattr(e, 'message', type(e).__name__)}")


def of_problems(
    session: Session, problems: Sequence[Diagnostic], stacks: Mapping[str, str] | None = None
) -> list[dict[str, Any]]:
    """A document for each stack that has problems, and for each of `stacks` (name by real path).

    What belongs to none of them is told with the first.
    """
    from kplan.render.views import make_problem_document as document

    names = dict(stacks or {})
    places = [os.path.realpath(problem.span.path) if problem.span else "" for problem in problems]
    for problem, place in zip(problems, places, strict=True):
        if problem.span and place not in names and (found := NAME.search(session.text(problem.span.path))):
            names[place] = found[1]
    asked = ", ".join(session.paths)
    names = names or {asked: asked}
    own: dict[str, list[Diagnostic]] = {place: [] for place in names}
    for problem, place in zip(problems, places, strict=True):
        own[place if place in own else next(iter(own))].append(problem)
    return [
        document(name, session.environment_name, own[place], session.time, [os.path.relpath(place)] if place else [])
        for place, name in names.items()
    ]
