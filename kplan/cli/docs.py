"""kplan docs"""

from __future__ import annotations

import os
from pathlib import Path

import click

from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING
from kplan.cli.session import Session


@click.command(
    "docs",
    help="Write the catalogue of all stacks into the folder OUT: what is declared, by whom and where, with schemas, "
    "access and lineage, as one page to search. It opens from the file, and loads nothing. Contacts no server.",
)
@click.argument("out", metavar="OUT", type=click.Path(file_okay=False))
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@SHOWING
@run_command
def command(session: Session, out: str) -> int:
    session.takes_project = True
    from kplan.app.plan import read_commit
    from kplan.cli.snapshot import save_output
    from kplan.inspect.catalogue import list_entries
    from kplan.model import Target
    from kplan.render.catalogue import CatalogueHead, render_catalogue
    from kplan.text import count

    session.unasked = Target()
    loaded = session.load_valid()
    session.show(loaded.diagnostics)
    entries = list_entries(loaded.stacks)
    head = CatalogueHead(loaded.environment.name, session.time, read_commit(os.environ))
    Path(out).mkdir(parents=True, exist_ok=True)
    file = Path(out, "index.html")
    save_output(str(file), session.secrets.mask(render_catalogue(entries, head, session.context())))
    declared = sum(bool(entry.stack) for entry in entries)
    session.note(f"{count(declared, 'resource')} of {count(len(loaded.stacks), 'stack')}: {file}")
    return 0
