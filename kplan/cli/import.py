"""kplan import"""

from __future__ import annotations

import sys
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kplan.cli.common import LOADING, SHOWING, Session, option
from kplan.cli.common import command as calls

if TYPE_CHECKING:
    from kplan.importers.found import Found
    from kplan.importers.stack import Imported
    from kplan.model import Address, Connector, Topic
    from kplan.project.environment import Environment

    Taken = tuple[Found, dict[str, Topic], list[Connector]]

FORMATS = (
    "connect", "strimzi", "jikkou", "kafka-gitops", "julie", "topicctl", "terraform", "topics", "describe",
)  # fmt: skip
MAX_NOTES = 200  # that are shown; the stack's file has all of them
MAX_NOTE = 1_000  # characters of one


@click.command(
    "import",
    help="Write a stack of what is there: of live topics and connectors, or of other tools' FILEs. GLOB matches an "
    "address (topic/shop.*) or a name (shop.*); without one: all but internal topics. Nothing is changed; "
    "`kplan apply` of the stack adopts what it names.",
)
@click.argument("globs", metavar="[GLOB...]", nargs=-1)
@option(
    "--file",
    "files",
    metavar="FILE",
    multiple=True,
    type=click.Path(exists=True, dir_okay=False, allow_dash=True),
    help="Read this file, `-` for standard input, instead of the servers; may be repeated.",
)
@option("--file-format", type=click.Choice(FORMATS), default=None, help="What the files are; told by their content.")
@option("--out", metavar="FILE", default=None, type=click.Path(dir_okay=False), help="Write the stack there.")
@option("--stack", metavar="NAME", default="imported", show_default=True, help="The stack's name.")
@LOADING
@SHOWING
@calls
def command(session: Session) -> int:
    from kplan.model import Target
    from kplan.project.expand import STACK_NAME

    s = session.settings
    if not STACK_NAME.match(s["stack"]):
        raise click.BadParameter(f"{s['stack']!r}: 1 to 63 of a-z, 0-9 and -", param_hint="--stack")
    if s["out"] and Path(s["out"]).is_file():
        raise click.BadParameter(f"{s['out']} is there already: move it, or write to another", param_hint="--out")
    if s["files"]:
        session.unasked = Target()
    environment = session.load_environment()
    found, free, others = _from_files(session) if s["files"] else _from_servers(session, environment)
    imported = _composed(session, environment, found, free, others)
    where = _where(s["files"]) or environment.bootstrap
    _refuse_nothing(session, (imported.topics, imported.connectors), imported.notes, where)
    if s["out"]:
        from kplan.cli.snapshot import save_or_tell

        save_or_tell(s["out"], imported.text)
    else:
        session.product(imported.text)
    _tell(session, imported)
    return 0


def _from_servers(session: Session, environment: Environment) -> Taken:
    from kplan.importers.live import chosen
    from kplan.kinds.connector.sensitivity import of_ledger
    from kplan.model import Connector, Live
    from kplan.planning.pipeline import concealed

    globs = session.settings["globs"]
    cluster, store = session.open(environment)
    try:
        with session.showing_progress():
            readings = [backend.read(None) for backend in cluster.backends]
            ledger = session.readable_ledger(store)
            live = Live(resources={a: r for reading in readings for a, r in reading.resources.items()})
            resources = concealed(cluster, live, of_ledger(ledger)).resources
            connectors = [r for r in resources.values() if isinstance(r, Connector)]
            passwords = cluster.connectors.passwords(connectors) if cluster.connectors and connectors else {}
    finally:
        cluster.close()
        store.close()
    hidden = {a for reading in readings for a in reading.hidden}
    _refuse_unmatched(globs, [*resources, *hidden])
    found, free = chosen(resources, passwords, ledger, globs, session.settings["stack"])
    for address in sorted(hidden):
        found.note(f"{address} is left out: this user may not describe it")
    for connector in found.connectors.values():
        session.secrets.add_config(connector.config)
    return found, free, [c for c in connectors if c.name not in found.connectors]


def _from_files(session: Session) -> Taken:
    from kplan.importers.files import parse_all
    from kplan.importers.live import selected

    files = [(path, _bytes(path)) for path in session.settings["files"]]
    session.texts |= {path: data.decode("utf-8", "replace") for path, data in files}
    found = parse_all(files, session.settings["file_format"] or "")
    _refuse_nothing(session, found.resources, found.notes, _where(session.settings["files"]))
    for connector in found.connectors.values():
        session.secrets.add_config(connector.config)
    globs = session.settings["globs"]
    _refuse_unmatched(globs, [r.address for r in found.resources])
    return selected(found, globs), dict(found.topics), []


def _bytes(path: str) -> bytes:
    """The file's content, or with `-` what comes in on standard input. Raises Invalid."""
    from kplan.diagnostics import Invalid, codes, error
    from kplan.importers.files import MAX_BYTES
    from kplan.project.reading import read_file

    try:
        return sys.stdin.buffer.read(MAX_BYTES + 1) if path == "-" else read_file(path)
    except OSError as e:
        detail, help = f"{path}: {e.strerror or e}", "check the path and its permissions"
        raise Invalid([error(codes.K107, "a file cannot be read", detail, help=help)]) from e


def _where(files: Iterable[str]) -> str:
    return ", ".join("standard input" if path == "-" else path for path in files)


def _refuse_nothing(session: Session, found: Iterable[object], notes: Iterable[object], where: str) -> None:
    """Raises Invalid where nothing was found; the notes say what was there instead."""
    from kplan.diagnostics import Invalid, codes, error

    if any(found):
        return
    lines = [f"\n- {_printable(session, str(note))}" for note in notes]
    more = f"\n- and {len(lines) - MAX_NOTES:,} more" if len(lines) > MAX_NOTES else ""
    why = "".join(lines[:MAX_NOTES]) + more
    detail = f"{where}: no topic and no connector that a stack could have{':' if why else ''}{why}"
    raise Invalid([error(codes.K633, "there is nothing to import", detail)])


def _printable(session: Session, note: str) -> str:
    """A note as a terminal may show it: one line of bounded length, without secrets and control characters."""
    from kplan.importers.writing import printable
    from kplan.render.text import clean
    from kplan.text import cut

    return cut(clean(printable(session.secrets.mask(note))), MAX_NOTE)


def _refuse_unmatched(globs: tuple[str, ...], addresses: Iterable[Address]) -> None:
    from kplan.diagnostics import Invalid, codes, error
    from kplan.importers.live import unmatched

    missing = unmatched(globs, addresses)
    if missing:
        help = "`kplan list` shows what is there; a GLOB is quoted in a shell: 'shop.*'"
        raise Invalid([error(codes.K632, "there is nothing of that name", glob, help=help) for glob in missing])


def _composed(
    session: Session, environment: Environment, found: Found, free: dict[str, Topic], others: list[Connector]
) -> Imported:
    from kplan.importers.folding import Workshop
    from kplan.importers.stack import composed
    from kplan.importers.writing import wrap_comment
    from kplan.kinds.connector.templates import blueprint
    from kplan.project.loading import built_in, built_in_templates

    files = session.settings["files"]
    where = _where(files) if files else environment.bootstrap
    comments = wrap_comment(f"Imported from {where}.")
    find = lru_cache(lambda name: blueprint(name, lambda own: (built_in(own), ())))
    workshop = Workshop.of(environment, find, built_in_templates())
    return composed(found, free, session.settings["stack"], workshop, live=not files, others=others, comments=comments)


def _tell(session: Session, imported: Imported) -> None:
    from kplan.text import count

    for note in imported.notes[:MAX_NOTES]:
        session.note(f"note: {_printable(session, note)}")
    if len(imported.notes) > MAX_NOTES:
        session.note(f"note: {len(imported.notes) - MAX_NOTES:,} more; the first lines of the stack hold all of them")
    templates = f", {imported.templates} by a template" if imported.templates else ""
    to = session.settings["out"]
    session.note(
        f"{count(imported.topics, 'topic')} and {count(imported.connectors, 'connector')}{templates}"
        f"{f': {to}' if to else '.'}"
    )
    if imported.variables:
        names = ", ".join(name.upper() for name in imported.variables)
        session.note(f"Secrets are variables; before `kplan plan` set {names}.")
