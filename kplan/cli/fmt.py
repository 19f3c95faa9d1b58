"""kplan fmt"""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING

import click

from kplan.cli.command import run_command
from kplan.cli.flags import SHOWING
from kplan.cli.options import option
from kplan.cli.output import save
from kplan.cli.session import Session

if TYPE_CHECKING:
    from kplan.app.fmt import StackText


@click.command("fmt", help="Rewrite stack files in canonical order and spacing. Comments survive; data never changes.")
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@option(
    "-C",
    "--dir",
    "folder",
    default=".",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Work in this folder.",
)
@option("--check", is_flag=True, help="Write nothing; exit 2 if a file would change.")
@option("--diff", is_flag=True, help="Show what would change and write nothing.")
@SHOWING
@run_command
def command(session: Session, check: bool, diff: bool) -> int:
    session.takes_project = True
    from kplan.app.fmt import UnreadableStack, read_stack_texts

    changed_count = 0
    try:
        for text in read_stack_texts(session.request):
            session.texts[str(text.path)] = text.before
            after = text.format()
            if after == text.before:
                continue
            changed_count += 1
            if diff:
                session.say(_make_diff(text, after))
            elif not check:
                save(str(text.path), after)
            session.note(f"{text.path}: {'would change' if check or diff else 'formatted'}")
    except UnreadableStack as e:
        raise click.BadParameter(str(e), param_hint="STACK") from e
    return 2 if changed_count and (check or diff) else 0


def _make_diff(text: StackText, after: str) -> str:
    """Return what would change, as `diff -u` shows it."""
    before, path = text.before.splitlines(True), str(text.path)
    lines = difflib.unified_diff(before, after.splitlines(True), path, f"{path} (formatted)")
    return "".join(lines).rstrip("\n")
