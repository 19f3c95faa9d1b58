"""What an import takes from a live cluster, and what it leaves out."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kplan.importers.resources import ImportedResources, conceal_secrets, shorten_names
from kplan.kinds.connector.expansion import CONNECTOR_NAME
from kplan.kinds.topic.internal import is_internal
from kplan.model import Address, Connector, Owned, Resource, Secret, Topic


def is_selected(address: Address, globs: Sequence[str]) -> bool:
    """Return whether the globs select the address: internal topics only by their exact name."""
    if address.kind == "topic" and is_internal(address.name):
        return any(glob in (address.name, str(address)) for glob in globs)
    return not globs or any(_matches(address, glob) for glob in globs)


def _matches(address: Address, glob: str) -> bool:
    return fnmatch.fnmatchcase(str(address), glob) or fnmatch.fnmatchcase(address.name, glob)


def find_unmatched_globs(globs: Iterable[str], addresses: Iterable[Address]) -> tuple[str, ...]:
    """Return the globs that match nothing."""
    all_addresses = list(addresses)
    return tuple(glob for glob in globs if not any(_matches(address, glob) for address in all_addresses))


def select_live(
    resources: Mapping[Address, Resource],
    passwords: Mapping[Address, Iterable[str]],
    ledger: Mapping[Address, Owned],
    globs: Sequence[str],
    stack: str,
) -> tuple[ImportedResources, dict[str, Topic]]:
    """Return the selected resources, and all topics that no other stack owns: a connector's topics come with it."""
    imported = ImportedResources()
    free_topics: dict[str, Topic] = {}
    for address, resource in sorted(resources.items()):
        owner = ledger.get(address)
        is_available = owner is None or owner.stack == stack
        if isinstance(resource, Topic) and is_available:
            free_topics[resource.name] = resource
        if not is_selected(address, globs):
            continue
        if owner is not None and not is_available:
            imported.note(f"{address} is left out: stack {owner.stack} owns it")
        elif isinstance(resource, Connector):
            _add_connector(imported, resource, passwords.get(address, ()))
        elif isinstance(resource, Topic):
            imported.add(resource)
    return imported, free_topics


def _add_connector(imported: ImportedResources, connector: Connector, passwords: Iterable[str]) -> None:
    """Add a live connector, or note why it cannot be declared."""
    if not CONNECTOR_NAME.match(connector.name):
        imported.note(f"connector {connector.name!r} is left out: a stack's connectors have names of a-z A-Z 0-9 . _ -")
        return
    secrets = {key: value for key, value in connector.config.items() if isinstance(value, Secret)}
    plain = {key: value for key, value in connector.config.items() if isinstance(value, str)}
    imported.add(replace(connector, config={**conceal_secrets(plain, passwords), **secrets}))


def select_from_files(imported: ImportedResources, globs: Sequence[str]) -> ImportedResources:
    """Return the resources that `globs` select; without globs all but internal topics, which are noted."""
    selection = ImportedResources(notes=list(imported.notes))
    internal = []
    for resource in imported.resources:
        if is_selected(resource.address, globs):
            selection.add(resource, resource.origin.span)
        elif not globs:
            internal.append(resource.name)
    if internal:
        note = "internal topics are left out, a GLOB that is the very name takes one"
        selection.note(f"{note}: {shorten_names(internal)}")
    return selection
