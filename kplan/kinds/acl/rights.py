"""What somebody must be allowed to do with one resource of Kafka, as other kinds of resource ask for it."""

from __future__ import annotations

from dataclasses import field
from typing import NamedTuple

from kplan.kinds.acl.operations import CLUSTER_NAME, PatternType, ResourceType
from kplan.values import dataclass


class ResourcePattern(NamedTuple):
    """A resource of Kafka, or all whose names begin with `name`."""

    resource_type: ResourceType
    name: str = CLUSTER_NAME
    pattern: PatternType = PatternType.LITERAL


@dataclass(frozen=True, slots=True)
class Right:
    """One operation on one place. `purpose` is what it is for, such as `heartbeat`.

    `login` is the user as which the client that needs it logs in, where the client has a login of its own.
    """

    operation: str
    place: ResourcePattern
    purpose: str = ""
    login: str = field(default="", repr=False)  # it may come from a sensitive variable


def list_rights(operations: tuple[str, ...], place: ResourcePattern, purpose: str = "") -> list[Right]:
    """Return a right for each of the operations."""
    return [Right(operation, place, purpose) for operation in operations]
