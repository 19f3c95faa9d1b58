"""Write live bindings as the block of a principal: the inverse of `kplan.kinds.acl.lines`."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from ipaddress import ip_address
from types import MappingProxyType
from typing import Any

from kplan.kinds.acl import lines
from kplan.kinds.acl.binding import PERMISSIONS, AclBinding, make_binding
from kplan.kinds.acl.operations import ANY_HOST, ANY_NAME, PatternType, ResourceType, is_checked
from kplan.kinds.acl.permissions import HEARTBEAT, group_prefix
from kplan.kinds.acl.rights import ResourcePattern, Right

Need = tuple[str, ResourcePattern]
NeedsByName = Mapping[str, Collection[Need]]  # of connectors, by their names
NO_CONNECTORS: NeedsByName = MappingProxyType({})
WORKER_TOPICS = ("config", "offset", "status")  # a part of the names that a worker's topics usually have
READERS = {
    "worker": lines.worker,
    "kplan": lines.kplan,
    "streams": lines.streams,
    "produce": lines.produce,
    "consume": lines.consume,
    "transactional_id": lines.transactional_id,
}


def fold_bindings(
    bindings: Iterable[AclBinding], connectors: NeedsByName = NO_CONNECTORS
) -> tuple[dict[str, Any], tuple[AclBinding, ...]]:
    """Return the block of one principal for its bindings, and those that no block can declare.

    Generated lines stand for exactly what they expand to; everything else is an entry of `allow` or `deny`.
    `connectors` are those that may run as this principal, with what they need.
    """
    given = list(bindings)
    wanted = [binding for binding in given if is_declarable(binding)]
    hosts_of = _group_hosts(binding for binding in wanted if binding.is_allow and _is_short(binding))
    common = set(hosts_of.values())
    hosts = common.pop() if len(common) == 1 else (ANY_HOST,)
    block = _fold_lines({need: None for need, own in hosts_of.items() if own == hosts}, connectors)
    if hosts != (ANY_HOST,):
        block["hosts"] = list(hosts)
    folded = {each.name for binding in wanted[:1] for each in _expand_lines(block, binding.principal, connectors)}
    rest = [binding for binding in wanted if binding.name not in folded]
    for permission in PERMISSIONS:
        if entries := list(_fold_entries((each for each in rest if each.permission == permission), hosts)):
            block[permission] = entries
    left = tuple(binding for binding in given if not is_declarable(binding))
    return block, left


def write_binding(binding: AclBinding) -> dict[str, Any]:
    """Return the block of one binding alone, also of one that no stack can declare."""
    return {binding.permission: list(_fold_entries([binding], (ANY_HOST,)))}


def is_declarable(binding: AclBinding) -> bool:
    """Whether a stack can declare the binding: brokers store others too, such as one for the name of a host."""
    if binding.host != ANY_HOST:
        try:
            ip_address(binding.host)
        except ValueError:
            return False
    return bool(binding.resource_name) and is_checked(binding.operation, binding.resource_type)


def expand_block(
    block: Mapping[str, Any], principal: str, connectors: NeedsByName = NO_CONNECTORS
) -> Iterator[AclBinding]:
    """Yield the bindings of a block that `fold_bindings` made."""
    yield from _expand_lines(block, principal, connectors)
    for permission in PERMISSIONS:
        for entry in block.get(permission, ()):
            kind = next(each for each in ResourceType if each.key in entry)
            place = _read_entry(kind, entry[kind.key])
            for operation in entry["operations"]:
                for host in entry.get("hosts") or block.get("hosts", (ANY_HOST,)):
                    yield make_binding(principal, permission, operation, *place, host)


def _expand_lines(block: Mapping[str, Any], principal: str, connectors: NeedsByName) -> Iterator[AclBinding]:
    needs = [need for name in block.get("connectors", ()) for need in connectors[name]]
    for key, read in READERS.items():
        needs += _list_needs(read(block[key])) if key in block else []
    for operation, place in needs:
        for host in block.get("hosts", (ANY_HOST,)):
            yield make_binding(principal, "allow", operation, *place, host)


def _fold_lines(rights: dict[Need, None], connectors: NeedsByName) -> dict[str, Any]:
    """Return the generated lines that expand to some of the rights, and to nothing else."""
    block: dict[str, Any] = {}
    if names := [name for name, needs in connectors.items() if needs and all(need in rights for need in needs)]:
        block["connectors"] = names
    left = {need: None for need in rights if not any(need in connectors[name] for name in names)}
    for key, find in (("worker", _find_worker), ("kplan", _find_kplan)):
        if line := find(left):
            block[key] = line
            left = _remove_needs(left, READERS[key](line))
    applications = [place.name for _, place in rights if _is_application(place, rights)]
    left = _remove_needs(left, lines.streams(applications) if applications else ())
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
    return is_group and _has_all(rights, lines.streams(place.name))


def _find_worker(rights: Mapping[Need, None]) -> dict[str, Any] | None:
    """Return the line of a Connect worker all of whose rights are there; None where no group has three topics."""
    topics = [
        place.name
        for operation, place in rights
        if (operation, place.resource_type, place.pattern) == ("Create", ResourceType.TOPIC, PatternType.LITERAL)
        and all((each, place) in rights for each in lines.WORKER_TOPIC)
    ]
    if len(topics) > len(WORKER_TOPICS):
        topics = [name for name in topics if any(word in name for word in WORKER_TOPICS)]
    for _, place in rights:
        line = {"group_id": place.name, "topics": topics}
        is_possible = place.resource_type is ResourceType.GROUP and len(topics) == len(WORKER_TOPICS)
        if is_possible and _has_all(rights, lines.worker(line)):
            return line
    return None


def _find_kplan(rights: Mapping[Need, None]) -> dict[str, Any] | None:
    """Return the line of a user of kplan, with the state, the stacks and the topics that the rights are about."""
    groups = {place: None for _, place in rights if place.resource_type is ResourceType.GROUP}
    for operation, (resource_type, state, pattern) in rights:
        if (operation, resource_type, pattern) != ("Read", ResourceType.TOPIC, PatternType.LITERAL):
            continue
        own = [group for group in groups if group.name.startswith(group_prefix(state))]
        if not own:
            continue
        base = {**_find_stacks(own, group_prefix(state)), "state": state}
        for task in ("apply", "plan"):
            topics = [each for each in _list_beginnings(rights) if _has_all(rights, _grant([task], [each], base))]
            if topics:
                tasks = [each for each in lines.KPLAN_TASKS if _has_all(rights, _grant([each], topics, base))]
                return {"do": tasks, **({"topics": topics} if topics != [""] else {}), **base}
    return None


def _grant(tasks: list[str], topics: list[str], base: Mapping[str, Any]) -> list[Right]:
    return lines.kplan({"do": tasks, "topics": topics, **base})


def _find_stacks(groups: Iterable[ResourcePattern], prefix: str) -> dict[str, list[str]]:
    """Return the stacks that have the groups; nothing where these are the groups of all stacks."""
    stacks = [_write_name(place).removeprefix(prefix) for place in groups]
    return {"stacks": stacks} if stacks and "*" not in stacks else {}


def _list_beginnings(rights: Mapping[Need, None]) -> list[str]:
    """Return how the names of topics begin that the rights are about; the empty text is every topic."""
    places = {place: None for _, place in rights if place.resource_type is ResourceType.TOPIC}
    prefixes = [place.name for place in places if place.pattern is PatternType.PREFIXED and place.name != HEARTBEAT]
    return [""] if ResourcePattern(ResourceType.TOPIC, ANY_NAME) in places else prefixes


def _has_all(rights: Mapping[Need, None], granted: Iterable[Right]) -> bool:
    return all(need in rights for need in _list_needs(granted))


def _remove_needs(rights: Mapping[Need, None], granted: Iterable[Right]) -> dict[Need, None]:
    gone = set(_list_needs(granted))
    return {need: None for need in rights if need not in gone}


def _list_needs(rights: Iterable[Right]) -> list[Need]:
    return [(right.operation, right.place) for right in rights]


def _take(left: dict[Need, None], operation: str, resource_type: ResourceType) -> list[str]:
    """Remove the rights to this operation, and return the names of their places as a stack file writes them."""
    places = [place for each, place in left if (each, place.resource_type) == (operation, resource_type)]
    for place in places:
        left.pop((operation, place))
    return [_write_name(place) for place in places]


def _group_hosts(bindings: Iterable[AclBinding]) -> dict[Need, tuple[str, ...]]:
    """Return the hosts for which each operation on each place is granted or denied."""
    hosts: dict[Need, set[str]] = {}
    for binding in bindings:
        hosts.setdefault((binding.operation, _place_of(binding)), set()).add(binding.host)
    return {need: tuple(sorted(own)) for need, own in hosts.items()}


def _fold_entries(bindings: Iterable[AclBinding], common_hosts: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """Yield an entry for the operations of each place that have the same hosts; the block has the common ones."""
    entries: dict[tuple[ResourcePattern, tuple[str, ...]], list[str]] = {}
    for (operation, place), own in _group_hosts(bindings).items():
        entries.setdefault((place, own), []).append(operation)
    for (place, own_hosts), operations in entries.items():
        entry: dict[str, Any] = {place.resource_type.key: _write_entry(place), "operations": operations}
        yield entry if own_hosts == common_hosts else {**entry, "hosts": list(own_hosts)}


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
