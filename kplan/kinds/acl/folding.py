"""Write live bindings as the block of a principal: the inverse of `kplan.kinds.acl.lines`."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from kplan.kinds.acl import lines
from kplan.kinds.acl.binding import PERMISSIONS, AclBinding, make_binding
from kplan.kinds.acl.operations import ANY_HOST, ANY_NAME, PatternType, ResourceType, is_checked
from kplan.kinds.acl.rights import ResourcePattern, Right

Need = tuple[str, ResourcePattern]


def fold_bindings(bindings: Iterable[AclBinding]) -> tuple[dict[str, Any], tuple[AclBinding, ...]]:
    """Return the block of one principal for its bindings, and those that no block can declare.

    Generated lines stand for exactly what they expand to; everything else is an entry of `allow` or `deny`.
    """
    given = list(bindings)
    wanted = [binding for binding in given if is_checked(binding.operation, binding.resource_type)]
    rights = {
        (binding.operation, _place_of(binding)): None
        for binding in wanted
        if binding.is_allow and binding.host == ANY_HOST and _is_short(binding)
    }
    block = _fold_lines(rights)
    rest = [b for b in wanted if b.name not in {each.name for each in _expand_lines(block, b.principal)}]
    for permission in PERMISSIONS:
        if entries := list(_fold_entries(each for each in rest if each.permission == permission)):
            block[permission] = entries
    left = tuple(binding for binding in given if binding not in wanted)
    return block, left


def expand_block(block: Mapping[str, Any], principal: str) -> Iterator[AclBinding]:
    """Yield the bindings of a block that `fold_bindings` made."""
    yield from _expand_lines(block, principal)
    for permission in PERMISSIONS:
        for entry in block.get(permission, ()):
            kind = next(each for each in ResourceType if each.key in entry)
            place = _read_entry(kind, entry[kind.key])
            for operation in entry["operations"]:
                for host in entry.get("hosts", (ANY_HOST,)):
                    yield make_binding(principal, permission, operation, *place, host)


def _expand_lines(block: Mapping[str, Any], principal: str) -> Iterator[AclBinding]:
    readers = {"produce": lines.produce, "consume": lines.consume, "transactional_id": lines.transactional_id,
               "streams": lines.streams}  # fmt: skip
    for key, read in readers.items():
        for right in read(block[key]) if key in block else ():
            yield make_binding(principal, "allow", right.operation, *right.place)


def _fold_lines(rights: dict[Need, None]) -> dict[str, Any]:
    """Return the generated lines that expand to some of the rights, and to nothing else."""
    left = dict(rights)
    block: dict[str, Any] = {}
    applications = [place.name for _, place in rights if _is_application(place, rights)]
    for need in _needs(lines.streams(applications)) if applications else ():
        left.pop(need, None)
    if topics := _take(left, "Write", ResourceType.TOPIC):
        idempotent = left.pop(("IdempotentWrite", lines.CLUSTER), 0) is None
        block["produce"] = {"topics": topics, "idempotent": True} if idempotent else topics
    groups = [place for operation, place in left if (operation, place.resource_type) == ("Read", ResourceType.GROUP)]
    read = [place for operation, place in left if (operation, place.resource_type) == ("Read", ResourceType.TOPIC)]
    if groups and read:
        names = [_write_name(place) for place in read]
        consumers = [{"topics": names, "group": _write_name(group)} for group in groups]
        block["consume"] = consumers[0] if len(consumers) == 1 else consumers
    if ids := _take(left, "Write", ResourceType.TRANSACTIONAL_ID):
        block["transactional_id"] = ids
    if applications:
        block["streams"] = applications
    return block


def _is_application(place: ResourcePattern, rights: Mapping[Need, None]) -> bool:
    """Whether the rights have all that a Kafka Streams application of the group's id needs for itself."""
    is_group = place.resource_type is ResourceType.GROUP and place.pattern is PatternType.LITERAL
    return is_group and all(need in rights for need in _needs(lines.streams(place.name)))


def _needs(rights: Iterable[Right]) -> list[Need]:
    return [(right.operation, right.place) for right in rights]


def _take(left: dict[Need, None], operation: str, resource_type: ResourceType) -> list[str]:
    """Remove the rights to this operation, and return the names of their places as a stack file writes them."""
    places = [place for each, place in left if (each, place.resource_type) == (operation, resource_type)]
    for place in places:
        left.pop((operation, place))
    return [_write_name(place) for place in places]


def _fold_entries(bindings: Iterable[AclBinding]) -> Iterator[dict[str, Any]]:
    """Yield an entry for the operations of each place that have the same hosts."""
    hosts: dict[tuple[ResourcePattern, str], set[str]] = {}
    for binding in bindings:
        hosts.setdefault((_place_of(binding), binding.operation), set()).add(binding.host)
    entries: dict[tuple[ResourcePattern, tuple[str, ...]], list[str]] = {}
    for (place, operation), own in hosts.items():
        entries.setdefault((place, tuple(sorted(own))), []).append(operation)
    for (place, own_hosts), operations in entries.items():
        entry: dict[str, Any] = {place.resource_type.key: _write_entry(place), "operations": operations}
        yield entry if own_hosts == (ANY_HOST,) else {**entry, "hosts": list(own_hosts)}


def _place_of(binding: AclBinding) -> ResourcePattern:
    return ResourcePattern(binding.resource_type, binding.resource_name, binding.pattern)


def _is_short(binding: AclBinding) -> bool:
    """Whether the name can be written in a line: a literal name that ends in `*` needs the long form."""
    place = _place_of(binding)
    return place.resource_type is ResourceType.CLUSTER or lines.read_place(place[0], _write_name(place)) == place


def _write_name(place: ResourcePattern) -> str:
    return f"{place.name}*" if place.pattern is PatternType.PREFIXED else place.name


def _write_entry(place: ResourcePattern) -> Any:
    if place.resource_type is ResourceType.CLUSTER:
        return True
    if place.pattern is PatternType.LITERAL and place.name != ANY_NAME and place.name.endswith("*"):
        return {"name": place.name, "pattern": str(place.pattern)}
    return _write_name(place)


def _read_entry(kind: ResourceType, value: Any) -> ResourcePattern:
    if kind is ResourceType.CLUSTER:
        return lines.CLUSTER
    if isinstance(value, Mapping):
        return ResourcePattern(kind, value["name"], PatternType(value["pattern"]))
    return lines.read_place(kind, value)
