"""The kinds of resource that kplan knows, in the order in which they are shown."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kplan.kinds.connector.kind import CONNECTOR
from kplan.kinds.topic.kind import TOPIC

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kplan.kinds.base import Consequences, Kind
    from kplan.kinds.comparison import Comparison
    from kplan.model import Address, Change, Resource

_kinds: dict[str, Kind[Any]] = {"topic": TOPIC, "connector": CONNECTOR}
KINDS = MappingProxyType(_kinds)


def kinds_of(addresses: Iterable[Address]) -> list[Kind[Any]]:
    """Return the kinds of these addresses, each once; the parts of the others need not be imported."""
    names = {address.kind for address in addresses}
    return [kind for name, kind in KINDS.items() if name in names]


def consequences_of(change: Change) -> Consequences[Any]:
    """Return what the kind of the change knows of its consequences."""
    return KINDS[change.address.kind].consequences


def comparison_of(address: Address) -> Comparison[Resource]:
    """Return how the kind of `address` compares its resources."""
    comparison: Comparison[Resource] = KINDS[address.kind].comparison
    return comparison
