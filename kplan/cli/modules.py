"""kplan modules"""

from __future__ import annotations

import click

from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session


@click.command(
    "modules",
    help="Fetch the repositories that kplan.yaml pins under `modules:`, each at its commit, into .kplan/modules, and "
    "write kplan.lock with the SHA-256 of their files. Afterwards nothing needs the network.",
)
@option("--check", is_flag=True, help="Fetch nothing; exit 4 where a module is not there, or not as locked.")
@LOADING
@SHOWING
@run_command
def command(session: Session, check: bool) -> int:
    from kplan.app.modules import check_modules, fetch_modules
    from kplan.diagnostics import Invalid
    from kplan.model import Target
    from kplan.text import count

    session.unasked = Target()
    outcome = check_modules(session.request) if check else fetch_modules(session.request)
    if outcome.problems:
        raise Invalid(outcome.problems)
    for words, names in (("fetched", outcome.fetched), ("removed", outcome.removed)):
        for name in names:
            session.say(f"{name}: {words}")
    total = len(outcome.present) + len(outcome.fetched)
    session.say(f"{count(total, 'module')} as locked." if total else "kplan.yaml pins no modules.")
    return 0
