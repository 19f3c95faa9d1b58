"""The options --report KIND=FILE and --format: where the views of a plan go."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import click

from kplan.cli.options import option
from kplan.values import dataclass

F = TypeVar("F", bound=Callable[..., Any])
KINDS = ("md", "html", "json", "text", "concise", "github", "junit", "sarif")
KINDS_OF_PROBLEMS = ("sarif", "junit", "github", "json")  # where there is no plan yet
STDOUT = "-"


@dataclass(frozen=True, slots=True)
class Report:
    """Hold one report that was asked for: its kind, and the file that it goes to."""

    kind: str
    path: str

    def __str__(self) -> str:
        return f"{self.kind}={self.path}"


def _parse_report(text: str, kinds: Sequence[str]) -> Report:
    """Return `md=pr.md` as a report."""
    kind, equals, path = text.partition("=")
    if kind not in kinds:
        raise click.BadParameter(f"there is no view {kind!r}{_suggest_kind(kind, kinds)}; there are {', '.join(kinds)}")
    if not equals or not path:
        raise click.BadParameter(f"{text!r} is not KIND=FILE, such as {kind}=plan.{kind}; - is standard output")
    return Report(kind, path)


def _suggest_kind(kind: str, kinds: Sequence[str]) -> str:
    import difflib

    names = {**{name: name for name in kinds}, "markdown": "md", "xml": "junit", "txt": "text"}
    close = difflib.get_close_matches(kind.lower(), names, 1)
    return f", did you mean {names[close[0]]}?" if close and names[close[0]] in kinds else ""


def report_option(kinds: Sequence[str] = KINDS) -> Callable[[F], F]:
    """Return the option --report for these kinds."""
    return option(
        "--report",
        "reports",
        metavar="KIND=FILE",
        multiple=True,
        callback=lambda context, option, texts: tuple(_parse_report(text, kinds) for text in texts),
        help=f"Also write a view to FILE (- is standard output). Repeatable. KIND: {', '.join(kinds)}.",
    )


VIEW = option(
    "--format",
    type=click.Choice(["text", "json", "md", "html", "concise"]),
    default="text",
    help="The view on standard output.",
)


# -- before anything is done ------------------------------------------------------------------------------------------
def choose_outputs(
    reports: Sequence[Report], view: str, out: str | None, running: bool = False
) -> tuple[str, tuple[Report, ...]]:
    """Return what standard output holds and the other reports; `out` is where the plan is saved.

    Each report has a place of its own. One that goes to standard output replaces the text there, but GitHub's
    annotations are added to it. Raises UsageError, a wrong command line, where two use one place.
    """
    places = [(f"{report}", report.path) for report in reports]
    places += [("--out", out)] if out else []
    _refuse_shared_place(places)
    for name, path in places:
        if path != STDOUT:
            _refuse_unwritable(path, name)
    product = [report for report in reports if report.path == STDOUT and report.kind != "github"]
    if not product:
        return view, tuple(reports)
    _refuse_two_products(product[0], view, running)
    return product[0].kind, tuple(report for report in reports if report not in product)


def _refuse_shared_place(places: Sequence[tuple[str, str]]) -> None:
    taken: dict[str, str] = {}
    for asked, path in places:
        if _resolve_place(path) in taken:
            raise click.UsageError(f"{asked} and {taken[_resolve_place(path)]} go to the same place")
        taken[_resolve_place(path)] = asked


def _refuse_two_products(report: Report, view: str, running: bool) -> None:
    if running:
        raise click.UsageError(f"{report}: standard output shows the run; name a file")
    if view != "text":
        raise click.UsageError(f"{report} and --format {view} both go to standard output")


def _resolve_place(path: str) -> str:
    return path if path == STDOUT else os.path.realpath(path)


def _refuse_unwritable(path: str, asked: str) -> None:
    real = Path(_resolve_place(path))
    if real.is_dir():
        raise click.UsageError(f"{asked}: {path} is a folder")
    if not real.parent.is_dir():
        raise click.UsageError(f"{asked}: there is no folder {Path(path).parent}")
    device = real.exists() and not real.is_file()
    if not os.access(real if device else real.parent, os.W_OK):  # a file is replaced by a new one in its folder
        raise click.UsageError(f"{asked}: {path} cannot be written")
