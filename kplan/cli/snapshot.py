"""kplan snapshot"""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING
from kplan.cli.options import option
from kplan.cli.output import save
from kplan.cli.reports import output_error
from kplan.cli.session import Session
from kplan.kinds.registry import KINDS

if TYPE_CHECKING:
    from kplan.servers.snapshots import Snapshot


@click.command(
    "snapshot",
    help="Write down live state and the ledger, without secrets: `kplan plan --live FILE` plans from it without "
    "servers and credentials. With STACK, what these stacks declare as sensitive is left out too, and internal topics "
    "that they declare are in it.",
)
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@option(
    "--out",
    metavar="FILE",
    default=None,
    type=click.Path(dir_okay=False),
    help="Write the snapshot to this file (default: standard output).",
)
@option(
    "--facts",
    type=click.Choice(["managed", "all", "none"]),
    default="managed",
    show_default=True,
    help="Topics whose records, last write and readers are read: those that a stack declares or owns, all, or none.",
)
@option(
    "--kinds",
    multiple=True,
    type=click.Choice(sorted(name for name, kind in KINDS.items() if not kind.is_in_every_plan)),
    help="Kinds to read in addition to topics and connectors; repeatable. Default: those that the stacks declare or "
    "own. A plan needs the kinds that it is about.",
)
@SHOWING
@run_command
def command(session: Session, out: str | None, facts: str, kinds: tuple[str, ...]) -> int:
    import json

    from kplan.app.snapshot import take_snapshot
    from kplan.servers.snapshots import to_json

    loaded = session.load_valid()
    with session.open(loaded.environment) as opened, session.show_progress():
        snapshot = take_snapshot(loaded, opened, facts, session.runtime, kinds)
    text = json.dumps(to_json(snapshot), indent=1, ensure_ascii=False) + "\n"
    if out:
        save_output(out, text)
        session.say(_describe_snapshot(snapshot, out))
    else:
        session.write_product(text)
    return 0


def save_output(path: str, text: str) -> None:
    """Save the text in a file. Raises KplanError."""
    try:
        save(path, text)
    except OSError as e:
        raise output_error(f"{path}: {e.strerror or e}") from e


def _describe_snapshot(snapshot: Snapshot, path: str) -> str:
    from collections import Counter

    from kplan.kinds.nouns import count_kind
    from kplan.kinds.registry import KINDS
    from kplan.text import count

    numbers = Counter(address.kind for address in snapshot.live.resources)
    parts = [
        *(count_kind(numbers[kind], kind) for kind in KINDS if numbers[kind] or KINDS[kind].views.is_in_every_document),
        f"{count(len(snapshot.ledger), 'record')} of the ledger",
    ]
    return f"{path}: {', '.join(parts)} of env {snapshot.env}; no value of a secret is in it."
