"""What of a live cluster an import takes, and what it leaves."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from kplan.importers.found import Found, concealed, few
from kplan.kinds.connector.expansion import CONNECTOR_NAME
from kplan.kinds.topic.internal import is_internal
from kplan.model import Address, Connector, Owned, Resource, Secret, Topic


def wanted(address: Address, globs: Sequence[str]) -> bool:
    """Whether an import of `globs` takes it: internal topics only by their very name."""
    if address.kind == "topic" and is_internal(address.name):
        return any(glob in (address.name, str(address)) for glob in globs)
    return not globs or any(_matches(address, glob) for glob in globs)


def _matches(address: Address, glob: str) -> bool:
    return fnmatch.fnmatchcase(str(address), glob) or fnmatch.fnmatchcase(address.name, glob)


def unmatched(globs: Iterable[str], addresses: Iterable[Address]) -> tuple[str, ...]:
    """The globs that match nothing."""
    known = list(addresses)
    return tuple(glob for glob in globs if not any(_matches(address, glob) for address in known))


def chosen(
    resources: Mapping[Address, Resource],
    passwords: Mapping[Address, Iterable[str]],
    ledger: Mapping[Address, Owned],
    globs: Sequence[str],
    stack: str,
) -> tuple[Found, dict[str, Topic]]:
    """What is taken, and all topics that no other stack owns: those of a connector come with it."""
    found = Found()
    free: dict[str, Topic] = {}
    for address, resource in sorted(resources.items()):
        owner = ledger.get(address)
        mine = owner is None or owner.stack == stack
        if isinstance(resource, Topic) and mine:
            free[resource.name] = resource
        if not wanted(address, globs):
            continue
        if owner is not None and not mine:
            found.note(f"{address} is left out: stack {owner.stack} owns it")
        elif isinstance(resource, Connector):
            _take(found, resource, passwords.get(address, ()))
        elif isinstance(resource, Topic):
            found.add(resource)
    return found, free


def _take(found: Found, connector: Connector, passwords: Iterable[str]) -> None:
    if not CONNECTOR_NAME.match(connector.name):
        found.note(f"connector {connector.name!r} is left out: a stack's connectors have names of a-z A-Z 0-9 . _ -")
        return
    known = {key: value for key, value in connector.config.items() if isinstance(value, Secret)}
    plain = {key: value for key, value in connector.config.items() if isinstance(value, str)}
    found.add(replace(connector, config={**concealed(plain, passwords), **known}))


def selected(found: Found, globs: Sequence[str]) -> Found:
    """What `globs` name of what was found in files; without any all but internal topics, which are noted."""
    kept = Found(notes=list(found.notes))
    internal = []
    for resource in found.resources:
        if wanted(resource.address, globs):
            kept.add(resource, resource.origin.span)
        elif not globs:
            internal.append(resource.name)
    if internal:
        what = "internal topics are left out, a GLOB that is the very name takes one"
        kept.note(f"{what}: {few(internal)}")
    return kept
