"""--report KIND=FILE: where the views of a plan go, and how they get there."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from kplan.cli.options import option
from kplan.cli.output import save, write

if TYPE_CHECKING:
    from kplan.cli.session import Session
    from kplan.diagnostics import Diagnostic
    from kplan.render.text import Context

F = TypeVar("F", bound=Callable[..., Any])
KINDS = ("md", "html", "json", "text", "concise", "github", "junit", "sarif")
KINDS_OF_PROBLEMS = ("sarif", "junit", "github", "json")  # where there is no plan yet
STDOUT = "-"
NAME = re.compile(r"""^["']?stack["']?\s*:\s*["']?([a-z0-9-]{1,63})["']?\s*(?:,|#|$)""", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Report:
    kind: str
    path: str

    def __str__(self) -> str:
        return f"{self.kind}={self.path}"


def _parsed(text: str, kinds: Sequence[str]) -> Report:
    """`md=pr.md` as a report."""
    kind, equals, path = text.partition("=")
    if kind not in kinds:
        raise click.BadParameter(f"there is no view {kind!r}{_meant(kind, kinds)}; there are {', '.join(kinds)}")
    if not equals or not path:
        raise click.BadParameter(f"{text!r} is not KIND=FILE, such as {kind}=plan.{kind}; - is standard output")
    return Report(kind, path)


def _meant(kind: str, kinds: Sequence[str]) -> str:
    import difflib

    known = {**{name: name for name in kinds}, "markdown": "md", "xml": "junit", "txt": "text"}
    close = difflib.get_close_matches(kind.lower(), known, 1)
    return f", did you mean {known[close[0]]}?" if close and known[close[0]] in kinds else ""


def flag(kinds: Sequence[str] = KINDS) -> Callable[[F], F]:
    """The option."""
    return option(
        "--report",
        "reports",
        metavar="KIND=FILE",
        multiple=True,
        callback=lambda context, option, texts: tuple(_parsed(text, kinds) for text in texts),
        help=f"Write a view to FILE as well (- is standard output); may be repeated. KIND: {', '.join(kinds)}.",
    )


VIEW = option(
    "--format",
    type=click.Choice(["text", "json", "md", "html", "concise"]),
    default="text",
    help="The view on standard output.",
)


# -- before anything is done ------------------------------------------------------------------------------------------
def settle(
    asked: Sequence[Report], view: str, out: str | None, running: bool = False
) -> tuple[str, tuple[Report, ...]]:
    """Return what standard output holds and the reports beside it; `out` is where the plan is saved.

    Each report can be written to a place of its own. One that goes to standard output takes the place of the text
    there, but GitHub's annotations stand beside it. Raises UsageError, a wrong command line, where that cannot be.
    """
    places = [(f"{report}", report.path) for report in asked]
    places += [("--out", out)] if out else []
    _refuse_one_place_for_two(places)
    for name, path in places:
        if path != STDOUT:
            _refuse_unwritable(path, name)
    product = [report for report in asked if report.path == STDOUT and report.kind != "github"]
    if not product:
        return view, tuple(asked)
    _refuse_two_products(product[0], view, running)
    return product[0].kind, tuple(report for report in asked if report not in product)


def _refuse_one_place_for_two(places: Sequence[tuple[str, str]]) -> None:
    taken: dict[str, str] = {}
    for asked, path in places:
        if _place(path) in taken:
            raise click.UsageError(f"{asked} and {taken[_place(path)]} go to the same place")
        taken[_place(path)] = asked


def _refuse_two_products(report: Report, view: str, running: bool) -> None:
    if running:
        raise click.UsageError(f"{report}: standard output tells of the run; name a file")
    if view != "text":
        raise click.UsageError(f"{report} and --format {view} both go to standard output")


def _place(path: str) -> str:
    return path if path == STDOUT else os.path.realpath(path)


def _refuse_unwritable(path: str, asked: str) -> None:
    real = Path(_place(path))
    if real.is_dir():
        raise click.UsageError(f"{asked}: {path} is a folder")
    if not real.parent.is_dir():
        raise click.UsageError(f"{asked}: there is no folder {Path(path).parent}")
    device = real.exists() and not real.is_file()
    if not os.access(real if device else real.parent, os.W_OK):  # a file is replaced by a new one beside it
        raise click.UsageError(f"{asked}: {path} cannot be written")


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
    from kplan.render.views import failure_as_json, render

    if session.reported:
        return
    failure = failure_as_json(problems, exit_code) + "\n"
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
    from kplan.render.views import of_problems as document

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
