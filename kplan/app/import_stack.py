"""Write a stack of what is there: live resources, or the files of other tools."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace
from functools import lru_cache
from typing import TYPE_CHECKING

from kplan.app.ledger import read_ledger
from kplan.diagnostics import Denied, Invalid, Unsupported, codes, error
from kplan.importers.live import find_unmatched_globs, select_from_files, select_live
from kplan.importers.writing import printable, wrap_comment
from kplan.kinds.connector.selection import select_connectors
from kplan.kinds.connector.sensitivity import of_ledger
from kplan.kinds.nouns import describe_unknown
from kplan.kinds.registry import KINDS
from kplan.model import Live
from kplan.planning.reading import conceal_settings
from kplan.render.text import clean
from kplan.text import truncate
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.importers.resources import ImportedResources
    from kplan.importers.stack import ImportedStack
    from kplan.model import Address, Connector, Topic
    from kplan.project.environment import Environment
    from kplan.servers.base import BackendState, Cluster

MAX_NOTES = 200  # that are shown; the stack's file has all of them
MAX_NOTE = 1_000  # characters of one


@dataclass(frozen=True, slots=True)
class ImportRequest:
    """What to import. `globs` match an address or a name; `where` says in words where it comes from.

    `format` is that of the files; empty, their content tells it. Of several stacks, `groups` has the globs of some, and
    `label` names the others where a resource has it.
    """

    stack: str
    where: str
    globs: tuple[str, ...] = ()
    format: str = ""
    listed: frozenset[str] = frozenset()  # files that were found in a folder
    groups: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    label: str = ""


@dataclass(frozen=True, slots=True)
class Resources:
    """What becomes a stack: `found` is imported, topics of `free` may be, and `others` are live beside it."""

    found: ImportedResources
    free: dict[str, Topic]
    others: Sequence[Connector] = ()
    live: bool = False


def read_live_resources(request: ImportRequest, opened: OpenEnvironment, runtime: Runtime) -> Resources:
    """Read what is live, without its secrets. Raises Invalid where a glob names nothing."""
    cluster = opened.cluster
    readings, unread = _read_kinds(cluster, request)
    ledger = read_ledger(opened.store, runtime)
    live = Live(resources={a: r for reading in readings for a, r in reading.resources.items()})
    resources = conceal_settings(cluster, live, of_ledger(ledger)).resources
    connectors = select_connectors(resources.values())
    passwords = cluster.connectors.passwords(connectors) if cluster.connectors and connectors else {}
    hidden = {address for reading in readings for address in reading.hidden}
    _refuse_unmatched(request.globs, [*resources, *hidden])
    internal = cluster.internal_topics
    found, free = select_live(resources, passwords, ledger, request.globs, request.stack, cluster.principal, internal)
    for address in sorted(hidden):
        found.note(f"{address} is left out: this user may not describe it")
    for reason in unread:
        found.note(reason)
    _learn(found, runtime)
    return Resources(found, free, [c for c in connectors if c.name not in found.connectors], live=True)


def _read_kinds(cluster: Cluster, request: ImportRequest) -> tuple[list[BackendState], list[str]]:
    """Read all that may be imported, and say what cannot be read. A kind that a glob names must be readable."""
    named = {glob.partition("/")[0] for glob in request.globs}
    is_about_all = not named or not named <= KINDS.keys()
    readings, unread = [], []
    for backend in cluster.backends:
        if not (is_about_all or KINDS[backend.kind].is_in_every_plan or backend.kind in named):
            continue
        try:
            readings.append(backend.read(None))
            if note := describe_unknown(backend.kind, readings[-1].unknown):
                unread.append(f"left out: {note}")
        except (Denied, Unsupported) as refusal:
            if KINDS[backend.kind].is_in_every_plan or backend.kind in named:
                raise
            unread.append(f"{KINDS[backend.kind].views.plural} are left out: {refusal.message}")
    return readings, unread


def parse_files(request: ImportRequest, files: Sequence[tuple[str, bytes]], runtime: Runtime) -> Resources:
    """Parse files of other tools: their paths and contents. Raises Invalid where a glob or the files name nothing."""
    from kplan.importers.files import parse_all

    found = parse_all(list(files), request.format, request.listed)
    _refuse_nothing(found.resources, found.notes, request.where, runtime)
    _learn(found, runtime)
    _refuse_unmatched(request.globs, [resource.address for resource in found.resources])
    return Resources(select_from_files(found, request.globs), dict(found.topics))


def compose_stack(
    resources: Resources, request: ImportRequest, environment: Environment, runtime: Runtime
) -> ImportedStack:
    """Compose the text of the stack. Raises Invalid where there is nothing that a stack could have."""
    from kplan.importers.connector_block import BlockExpander
    from kplan.importers.stack import compose_stack
    from kplan.kinds.connector.templates import blueprint
    from kplan.project.loading import list_built_in_templates, load_built_in

    find = lru_cache(lambda name: blueprint(name, lambda own: (load_built_in(own), ())))
    workshop = BlockExpander.create(environment, find, list_built_in_templates())
    imported = compose_stack(
        resources.found,
        resources.free,
        request.stack,
        workshop,
        live=resources.live,
        others=list(resources.others),
        comments=wrap_comment(f"Imported from {request.where}."),
    )
    _refuse_nothing(imported.counts, imported.notes, request.where, runtime)
    return imported


def compose_stacks(
    resources: Resources, request: ImportRequest, environment: Environment, runtime: Runtime
) -> dict[str, ImportedStack]:
    """Compose the texts of several stacks, by name: one for each group, label or prefix of names. Raises Invalid where
    there is nothing."""
    from kplan.importers.splitting import split_into_stacks

    _refuse_nothing(resources.found.resources, resources.found.notes, request.where, runtime)
    groups = split_into_stacks(resources.found, request.groups, request.label)
    connectors = resources.found.connectors.values()
    stacks: dict[str, ImportedStack] = {}
    with runtime.show_progress(False):
        for number, (name, own) in enumerate(groups.items()):
            runtime.report_progress("stacks composed", number, len(groups))
            elsewhere = resources.found.topics.keys() - own.topics.keys()
            free = {topic: each for topic, each in resources.free.items() if topic not in elsewhere}
            others = [each for each in connectors if each.name not in own.connectors]
            part = Resources(own, free, [*resources.others, *others], resources.live)
            stacks[name] = compose_stack(part, replace(request, stack=name), environment, runtime)
    return stacks


def _learn(found: ImportedResources, runtime: Runtime) -> None:
    for connector in found.connectors.values():
        runtime.mask.add_config(connector.config)


def _refuse_nothing(found: Iterable[object], notes: Iterable[object], where: str, runtime: Runtime) -> None:
    """Raise Invalid where nothing was found; the notes say what was there instead."""
    if any(found):
        return
    lines = [f"\n- {printable_note(str(note), runtime)}" for note in notes]
    more = f"\n- and {len(lines) - MAX_NOTES:,} more" if len(lines) > MAX_NOTES else ""
    reasons = "".join(lines[:MAX_NOTES]) + more
    detail = f"{where}: no resource that a stack could have{':' if reasons else ''}{reasons}"
    raise Invalid([error(codes.K633, "there is nothing to import", detail)])


def _refuse_unmatched(globs: tuple[str, ...], addresses: Iterable[Address]) -> None:
    missing = find_unmatched_globs(globs, addresses)
    if missing:
        help = "`kplan list` shows what is there; a GLOB is quoted in a shell: 'shop.*'"
        raise Invalid([error(codes.K632, "there is nothing of that name", glob, help=help) for glob in missing])


def printable_note(note: str, runtime: Runtime) -> str:
    """Return a note as a terminal may show it: one line of bounded length, without secrets and control characters."""
    return truncate(clean(printable(runtime.mask.mask(note))), MAX_NOTE)
