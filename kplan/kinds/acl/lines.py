"""What the lines of a principal's block grant: the least rights with which the work can be done.

Sources: https://kafka.apache.org/documentation/#operations_resources_and_protocols for producers and consumers,
KIP-679 for idempotence, and the internal topics of Kafka Streams and of Connect's workers.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from kplan.kinds.acl.operations import ANY_NAME, PatternType, ResourceType
from kplan.kinds.acl.permissions import ACTIVITIES, STATE, Acl, group_prefix
from kplan.kinds.acl.rights import ResourcePattern, Right, list_rights

CLUSTER = ResourcePattern(ResourceType.CLUSTER)
WORKER_TOPIC = ("Read", "Write", "Create")
STREAMS_TOPIC = ("Create", "Delete", "Read", "Write")  # Delete: of records that all tasks have read


def list_texts(value: Any) -> list[str]:
    """Return what a line names: one text, or several."""
    return [str(each) for each in (value if isinstance(value, list) else [value])]


def read_place(resource_type: ResourceType, name: str) -> ResourcePattern:
    """Return the place that a name in a stack file is: `x*` is the prefix `x`, and `*` alone is every name."""
    if name != ANY_NAME and name.endswith("*"):
        return ResourcePattern(resource_type, name[:-1], PatternType.PREFIXED)
    return ResourcePattern(resource_type, name)


def _on_each(operations: tuple[str, ...], resource_type: ResourceType, names: Any) -> list[Right]:
    return [right for name in list_texts(names) for right in list_rights(operations, read_place(resource_type, name))]


def produce(line: Any) -> list[Right]:
    """Return the rights of `produce: TOPICS`, or `{topics: TOPICS, idempotent: true}`: brokers before 2.8 check
    IdempotentWrite, too.
    """
    fields = line if isinstance(line, Mapping) else {"topics": line}
    rights = _on_each(("Write",), ResourceType.TOPIC, fields["topics"])
    return [*rights, Right("IdempotentWrite", CLUSTER)] if fields.get("idempotent") else rights


def consume(line: Any) -> list[Right]:
    """Return the rights of `consume: {topics: TOPICS, group: GROUP}`, or a list of these."""
    rights = []
    for fields in line if isinstance(line, list) else [line]:
        rights += _on_each(("Read",), ResourceType.TOPIC, fields["topics"])
        rights += _on_each(("Read",), ResourceType.GROUP, fields["group"])
    return rights


def transactional_id(line: Any) -> list[Right]:
    """Return the rights of `transactional_id: IDS`."""
    return _on_each(("Write",), ResourceType.TRANSACTIONAL_ID, line)


def streams(line: Any) -> list[Right]:
    """Return the rights of `streams: APPLICATIONS`: what Kafka Streams keeps for itself, by the application's id. Its
    own inputs and outputs are lines of `consume` and `produce`.
    """
    rights = []
    for application in list_texts(line):
        own = f"{application}-"
        rights += [
            Right("Read", ResourcePattern(ResourceType.GROUP, application)),
            *list_rights(STREAMS_TOPIC, ResourcePattern(ResourceType.TOPIC, own, PatternType.PREFIXED)),
            Right("Write", ResourcePattern(ResourceType.TRANSACTIONAL_ID, own, PatternType.PREFIXED)),
        ]
    return rights


def worker(line: Any) -> list[Right]:
    """Return the rights of `worker: {group_id: GROUP, topics: [CONFIGS, OFFSETS, STATUS]}`: what a Connect worker needs
    for itself.
    """
    group = str(line["group_id"])
    return [
        *_on_each(WORKER_TOPIC, ResourceType.TOPIC, line["topics"]),
        Right("Read", ResourcePattern(ResourceType.GROUP, group)),
        Right("Write", ResourcePattern(ResourceType.TRANSACTIONAL_ID, f"connect-cluster-{group}")),
    ]


# What `do:` of a `kplan` line names, by the activities of docs/permissions.md.
KPLAN_TASKS: Mapping[str, tuple[str, ...]] = {
    "plan": ("look", "readers", "state read"),
    "apply": ("connectors", "signals", "readers", "state"),
    "access": ("access",),
    "quotas": ("quotas",),
    "reassign": ("reassign",),
}


def kplan(line: Any, default_state: str = STATE) -> list[Right]:
    """Return the rights of `kplan: {do: [plan, apply], topics: [PREFIX], stacks: ["shop-*"], state: __kplan}`: what
    kplan's own user needs.

    `topics` are beginnings of names. `stacks` narrow the groups and transactions of the state to those of these stacks.
    """
    state = str(line.get("state") or default_state)
    activities = {name for task in list_texts(line["do"]) for name in KPLAN_TASKS[task]}
    rights = []
    for prefix in list_texts(line.get("topics") or [""]):
        for activity in ACTIVITIES:
            if activity.name in activities:
                needs = activity.with_names(prefix.removesuffix("*"), state)
                rights += [
                    Right(acl.operation, place, purpose)
                    for acl, purpose in needs.items()
                    for place in _narrow(acl, _place_of(acl), state, line.get("stacks"))
                ]
    return rights


_TYPES = {"Topic": ResourceType.TOPIC, "Group": ResourceType.GROUP, "TransactionalId": ResourceType.TRANSACTIONAL_ID}


def _place_of(acl: Acl) -> ResourcePattern:
    resource_type = _TYPES.get(acl.kind)
    if resource_type is None:
        return CLUSTER
    if acl.prefixed and not acl.name:
        return ResourcePattern(resource_type, ANY_NAME)
    return ResourcePattern(resource_type, acl.name, PatternType.PREFIXED if acl.prefixed else PatternType.LITERAL)


def _narrow(acl: Acl, place: ResourcePattern, state: str, stacks: Any) -> Iterable[ResourcePattern]:
    """Yield the places of the named stacks alone, where the right is about groups or transactions of the state."""
    prefix = group_prefix(state)
    if not stacks or place.pattern is not PatternType.PREFIXED or acl.name != prefix:
        yield place
        return
    for name in list_texts(stacks):
        yield read_place(place.resource_type, f"{prefix}{name}")
