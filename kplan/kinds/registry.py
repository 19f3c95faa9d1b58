"""The kinds of resource that kplan knows, in the order in which they are shown."""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any

from kplan.kinds.acl.kind import ACL
from kplan.kinds.connector.kind import CONNECTOR
from kplan.kinds.quota.kind import QUOTA
from kplan.kinds.subject.kind import SUBJECT
from kplan.kinds.topic.kind import TOPIC
from kplan.kinds.user.kind import USER
from kplan.model import Address
from kplan.patterns import late_pattern

if TYPE_CHECKING:
    from collections.abc import Iterable

    from kplan.kinds.base import Consequences, Kind
    from kplan.kinds.comparison import Comparison
    from kplan.model import Change, Resource

_ALL: tuple[Kind[Any], ...] = (TOPIC, CONNECTOR, USER, ACL, QUOTA, SUBJECT)
_kinds = {kind.name: kind for kind in _ALL}
KINDS = MappingProxyType(_kinds)
ADDRESS = late_pattern(r"([a-z][a-z_-]*)/.")


def parse_address(text: str) -> Address:
    """Return the address that `text` names. Raises ValueError where it is not KIND/NAME of a kind that is known."""
    kind, slash, name = text.partition("/")
    if kind not in KINDS or not slash or not name:
        raise ValueError(f"{text!r} is not an address: write {' or '.join(f'{kind}/NAME' for kind in KINDS)}")
    return Address(kind, name)


def find_unknown_kind(text: str) -> str:
    """Return the kind that an address names and that this kplan does not know; empty where it names no such kind."""
    match = ADDRESS.match(text)
    return match[1] if match is not None and match[1] not in KINDS else ""


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
