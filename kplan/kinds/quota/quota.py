"""A client quota: what one entity may use of the brokers.

Source: https://kafka.apache.org/documentation/#design_quotas and KIP-546.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import ClassVar, Final

from kplan.kinds.parts import SAFE, decode_part, encode_part
from kplan.model import Resource
from kplan.values import dataclass

ENTITY_TYPES: Final = ("user", "client-id", "ip")  # in the order of an address
DEFAULT: Final = "default"  # what a stack calls everybody without a quota of their own
RATES: Final = ("producer_byte_rate", "consumer_byte_rate")
CLIENT_KEYS: Final = (*RATES, "request_percentage", "controller_mutation_rate")
IP_KEYS: Final = ("connection_creation_rate",)
VALUE_SAFE: Final = SAFE.replace(",", "").replace("=", "")

Entity = Mapping[str, str | None]  # by type; None: the default entity


@dataclass(frozen=True, slots=True)
class Quota(Resource):
    """`name` says the entity: `user=alice,client-id=etl`, `user-default`. `values` are by key, for one second."""

    kind: ClassVar[str] = "quota"

    values: Mapping[str, float] = field(default_factory=dict)

    @property
    def entity(self) -> Entity:
        return parse_entity(self.name)


def name_entity(entity: Entity) -> str:
    """Return the name that the address of an entity has."""
    parts = []
    for kind in ENTITY_TYPES:
        if kind in entity:
            value = entity[kind]
            parts.append(f"{kind}-{DEFAULT}" if value is None else f"{kind}={encode_part(value, VALUE_SAFE)}")
    return ",".join(parts)


def parse_entity(name: str) -> Entity:
    """Return the entity of this name. Raises ValueError with what is wrong with it."""
    entity: dict[str, str | None] = {}
    for part in name.split(","):
        kind, equals, value = part.partition("=")
        if equals and kind in ENTITY_TYPES and value:
            entity[kind] = decode_part(value)
        elif not equals and part.removesuffix(f"-{DEFAULT}") in ENTITY_TYPES and part.endswith(f"-{DEFAULT}"):
            entity[part.removesuffix(f"-{DEFAULT}")] = None
        else:
            raise ValueError(f"{part!r} is not an entity: write user=NAME, client-id=ID, ip=ADDRESS or user-default")
    if name_entity(entity) != name:
        raise ValueError(f"write {name_entity(entity)}")
    return entity


def check_name(name: str) -> str:
    """Say why no quota has this name; empty where one can."""
    try:
        parse_entity(name)
    except ValueError as e:
        return str(e)
    return ""
