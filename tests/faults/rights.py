"""Rights that a user loses in the middle of an apply, and has again when the apply has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from kplan.kinds.acl.permissions import group_prefix
from tests.faults.world import World

USER = "User:ANONYMOUS", "*"
SPREAD = 20  # seconds until the broker's authorizer knows of an ACL, on a machine with much to do
GUARDED = {"authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
           "allow.everyone.if.no.acl.found": "true"}  # fmt: skip
Resource = tuple[ResourceType, str, ResourcePatternType]


def state(world: World) -> Resource:
    return ResourceType.TOPIC, world.state, ResourcePatternType.LITERAL


def topics(world: World) -> Resource:
    return ResourceType.TOPIC, f"{world.prefix}.", ResourcePatternType.PREFIXED


def groups(world: World) -> Resource:
    return ResourceType.GROUP, group_prefix(world.state), ResourcePatternType.PREFIXED


def transactions(world: World) -> Resource:
    return ResourceType.TRANSACTIONAL_ID, group_prefix(world.state), ResourcePatternType.PREFIXED


def cluster(world: World) -> Resource:
    return ResourceType.BROKER, "kafka-cluster", ResourcePatternType.LITERAL


@dataclass(frozen=True)
class Right:
    """An operation on something of a world; all other operations stay allowed."""

    operation: AclOperation
    where: Callable[[World], Resource]

    def deny(self, world: World) -> None:
        place = self.where(world)
        bindings = [AclBinding(*place, *USER, self.operation, AclPermissionType.DENY),
                    AclBinding(*place, *USER, AclOperation.ALL, AclPermissionType.ALLOW)]  # fmt: skip
        for future in world.lane.stage.admin.create_acls(bindings).values():
            future.result(10)
        await_acls(world, {place[0]}, there=True)


def give_back(world: World) -> None:
    """The broker has no ACL of this world, and the world's own reader of the state forgets that it was refused."""
    places = [where(world) for where in (state, topics, groups, transactions, cluster)]
    for future in world.lane.stage.admin.delete_acls([_filter(place) for place in places]).values():
        future.result(10)
    await_acls(world, {place[0] for place in places}, there=False)
    world.forget_store()


def await_acls(world: World, kinds: set[ResourceType], *, there: bool) -> None:
    """The authorizer of the broker has ACLs of this world for each of the kinds, or none of them."""
    places = [where(world) for where in (state, topics, groups, transactions, cluster)]
    wanted = [_filter(place) for place in places if place[0] in kinds]
    deadline = time.monotonic() + SPREAD
    while True:
        found = [each for one in wanted for each in world.lane.stage.admin.describe_acls(one).result(10)]
        if (kinds <= {each.restype for each in found}) if there else not found:
            break
        assert time.monotonic() < deadline, f"the broker's ACLs are {found}"
        time.sleep(0.1)
    time.sleep(0.3)


def _filter(place: Resource) -> AclBindingFilter:
    anyone: Any = None
    return AclBindingFilter(*place, anyone, anyone, AclOperation.ANY, AclPermissionType.ANY)


@dataclass(frozen=True)
class Loss:
    """These rights are lost just before the request `api`, or before the one after `skip` of them."""

    name: str
    api: str
    rights: tuple[Right, ...]
    skip: int = 0

    def __str__(self) -> str:
        return f"{self.name} at {self.api}{f' {self.skip + 1}' if self.skip else ''}"


CREATE = Right(AclOperation.CREATE, topics), Right(AclOperation.CREATE, cluster)
ALTER = Right(AclOperation.ALTER, topics)
ALTER_CONFIGS = Right(AclOperation.ALTER_CONFIGS, topics)
DELETE = Right(AclOperation.DELETE, topics)
DESCRIBE = Right(AclOperation.DESCRIBE, topics)
CHANGES = "CreateTopics", "IncrementalAlterConfigs", "CreatePartitions", "DeleteTopics"


def losses() -> Iterator[Loss]:
    yield Loss("Create on Topic", "CreateTopics", CREATE)
    yield Loss("AlterConfigs on Topic", "IncrementalAlterConfigs", (ALTER_CONFIGS,))
    yield Loss("Alter on Topic", "CreatePartitions", (ALTER,))
    yield Loss("Delete on Topic", "DeleteTopics", (DELETE,))
    yield Loss("Alter and Delete on Topic", "CreatePartitions", (ALTER, DELETE))
    yield Loss("AlterConfigs and Delete on Topic", "CreatePartitions", (ALTER, ALTER_CONFIGS, DELETE))
    for api in CHANGES:
        yield Loss("Describe on Topic", api, (DESCRIBE,))
        yield Loss("everything on Topic", api, (Right(AclOperation.ALL, topics),))
    for skip in (0, 2, 5, 9):
        yield Loss("Write on the state", "EndTxn", (Right(AclOperation.WRITE, state),), skip)
        yield Loss("Read on the state", "EndTxn", (Right(AclOperation.READ, state),), skip)
        yield Loss("Read on Group", "EndTxn", (Right(AclOperation.READ, groups),), skip)
        yield Loss("Write on TransactionalId", "EndTxn", (Right(AclOperation.WRITE, transactions),), skip)
    for api in CHANGES:
        every = tuple(Right(AclOperation.ALL, where) for where in (topics, state, groups, transactions))
        yield Loss("everything", api, every)
