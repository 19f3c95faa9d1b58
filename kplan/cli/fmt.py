"""kplan fmt"""

import difflib

import click

from kplan.cli.command import run_command
from kplan.cli.flags import SHOWING
from kplan.cli.options import option
from kplan.cli.output import save
from kplan.cli.session import Session


@click.command("fmt", help="Rewrite stack files in canonical order and spacing. Comments survive; data never changes.")
@click.argument("paths", metavar="STACK...", nargs=-1, required=True)
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
    from kplan.kinds.key_order import read_key_orders
    from kplan.language.fmt import format
    from kplan.project.loading import ProjectReader
    from kplan.project.reading import read_file

    changed_count, orders = 0, read_key_orders()
    for path in ProjectReader(session.request).find_stack_paths():
        try:
            before = read_file(path).decode().replace("\r\n", "\n").replace("\r", "\n")
        except (OSError, UnicodeDecodeError) as e:
            raise click.BadParameter(f"{path}: {getattr(e, 'strerror', None) or 'not UTF-8 text'}", param_hint="STACK")
        session.texts[str(path)] = before
        after = format(before, str(path), orders)
        if after == before:
            continue
        changed_count += 1
        if diff:
            lines = difflib.unified_diff(
                before.splitlines(True), after.splitlines(True), f"{path}", f"{path} (formatted)"
            )
            session.say("".join(lines).rstrip("\n"))
        elif not check:
            save(str(path), after)
        session.note(f"{path}: {'would change' if check or diff else 'formatted'}")
    return 2 if changed_count and (check or diff) else 0
