"""The kinds of resource that kplan knows, in the order in which they are shown."""

from __future__ import annotations

from types import MappingProxyType
from typing import Any

from kplan.kinds.base import Consequences, Kind
from kplan.kinds.comparison import Comparison
from kplan.kinds.connector.kind import CONNECTOR
from kplan.kinds.topic.kind import TOPIC
from kplan.model import Address, Change, Resource

_kinds: dict[str, Kind[Any]] = {kind.name: kind for kind in (TOPIC, CONNECTOR)}
KINDS = MappingProxyType(_kinds)


def consequences_of(change: Change) -> Consequences[Any]:
    """Return what the kind of the change knows of its consequences."""
    return KINDS[change.address.kind].consequences


def comparison_of(address: Address) -> Comparison[Resource]:
    """Return how the kind of `address` compares its resources."""
    comparison: Comparison[Resource] = KINDS[address.kind].comparison
    return comparison
