"""What an import takes from a live cluster, and what it leaves out."""

from __future__ import annotations

import fnmatch
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Final

from kplan.importers.resources import ImportedResources, conceal_secrets, shorten_names
from kplan.kinds.acl.binding import AclBinding
from kplan.kinds.connector.names import CONNECTOR_NAME, NAME_CHARACTERS, name_in_connect
from kplan.kinds.parts import encode_part
from kplan.kinds.topic.internal import is_internal
from kplan.kinds.user.user import ScramUser
from kplan.model import Address, Connector, Owned, Resource, Secret, Topic
from kplan.text import count

BY_SYSTEM: Final = "used by kplan or brokers"


def is_selected(address: Address, globs: Sequence[str], internal: Collection[str] = ()) -> bool:
    """Return whether the globs select the address: internal topics only by their exact name."""
    if address.kind == "topic" and (is_internal(address.name) or address.name in internal):
        return any(glob in (address.name, str(address)) for glob in globs)
    return not globs or any(matches_glob(address, glob) for glob in globs)


def matches_glob(address: Address, glob: str) -> bool:
    """Return whether a glob matches an address, or its name alone."""
    return fnmatch.fnmatchcase(str(address), glob) or fnmatch.fnmatchcase(address.name, glob)


def find_unmatched_globs(globs: Iterable[str], addresses: Iterable[Address]) -> tuple[str, ...]:
    """Return the globs that match nothing."""
    all_addresses = list(addresses)
    return tuple(glob for glob in globs if not any(matches_glob(address, glob) for address in all_addresses))


def select_live(
    resources: Mapping[Address, Resource],
    passwords: Mapping[Address, Iterable[str]],
    ledger: Mapping[Address, Owned],
    globs: Sequence[str],
    stack: str,
    principal: str = "",
    internal: Collection[str] = (),
) -> tuple[ImportedResources, dict[str, Topic]]:
    """Return the selected resources, and all topics that no other stack owns: a connector's topics come with it.

    `principal` is kplan's own user; `internal` are topics of Connect that kplan.yaml names.
    """
    imported = ImportedResources()
    free_topics: dict[str, Topic] = {}
    system = {principal, *_find_brokers(resources.values())} - {""}
    left_out: dict[str, list[Resource]] = {}  # by the reason
    for address, resource in sorted(resources.items()):
        owner = ledger.get(address)
        is_available = owner is None or owner.stack == stack
        if isinstance(resource, Topic) and is_available:
            free_topics[resource.name] = resource
        if not is_selected(address, globs, internal):
            continue
        if owner is not None and not is_available:
            left_out.setdefault(f"stack {owner.stack} owns it", []).append(resource)
        elif _name_principal(resource) in system and not _is_named(address, globs):
            left_out.setdefault(BY_SYSTEM, []).append(resource)
        elif isinstance(resource, Connector):
            _add_connector(imported, resource, passwords.get(address, ()))
        else:
            imported.add(resource)
    for reason, refused in left_out.items():
        for line in _describe_left_out(reason, refused):
            imported.note(line)
    return imported, free_topics


def _name_principal(resource: Resource) -> str:
    """Return the principal that a binding or a user is about; empty for other resources."""
    return resource.principal if isinstance(resource, AclBinding | ScramUser) else ""


def _find_brokers(resources: Iterable[Resource]) -> Iterator[str]:
    """Yield the principals that act as brokers of the cluster."""
    for resource in resources:
        if isinstance(resource, AclBinding) and resource.is_allow and resource.operation == "ClusterAction":
            yield resource.principal


def _is_named(address: Address, globs: Iterable[str]) -> bool:
    """Return whether a glob names the principal of a binding, or the very user."""
    if address.kind == AclBinding.kind:
        principal = address.name.partition("/")[0]
        return any(glob.removeprefix(f"{AclBinding.kind}/").startswith(f"{principal}/") for glob in globs)
    return any(glob in (address.name, str(address)) for glob in globs)


def _describe_left_out(reason: str, resources: Iterable[Resource]) -> Iterator[str]:
    """Yield a line for each resource that is left out, and one for all bindings of a principal."""
    numbers: dict[str, int] = {}
    for resource in resources:
        if isinstance(resource, AclBinding):
            numbers[resource.principal] = numbers.get(resource.principal, 0) + 1
        else:
            help = "; the exact address takes it" if reason == BY_SYSTEM else ""
            yield f"{resource.address} is left out: {reason}{help}"
    for principal, number in numbers.items():
        verb = "is" if number == 1 else "are"
        help = f"; acl/{encode_part(principal)}/* takes them" if reason == BY_SYSTEM else ""
        yield f"{count(number, 'binding')} of {principal} {verb} left out: {reason}{help}"


def _add_connector(imported: ImportedResources, connector: Connector, passwords: Iterable[str]) -> None:
    """Add a live connector, or note why it cannot be declared."""
    if not CONNECTOR_NAME.match(name_in_connect(connector)):
        imported.note(f"connector {connector.name!r} is left out: a stack's connectors have names of {NAME_CHARACTERS}")
        return
    secrets = {key: value for key, value in connector.config.items() if isinstance(value, Secret)}
    plain = {key: value for key, value in connector.config.items() if isinstance(value, str)}
    imported.add(replace(connector, config={**conceal_secrets(plain, passwords), **secrets}))


def select_from_files(imported: ImportedResources, globs: Sequence[str]) -> ImportedResources:
    """Return the resources that `globs` select; without globs all but internal topics, which are noted."""
    selection = ImportedResources(notes=list(imported.notes), loops=imported.loops)
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
