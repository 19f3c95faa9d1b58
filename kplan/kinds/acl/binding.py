"""One binding of an access control list: who may, or may not, do one thing with one resource."""

from __future__ import annotations

from dataclasses import field
from typing import ClassVar, Final

from kplan.kinds.acl.operations import (
    ALL,
    ANY_HOST,
    ANY_NAME,
    CLUSTER_NAME,
    PatternType,
    ResourceType,
    list_operations,
)
from kplan.kinds.parts import decode_part, encode_part
from kplan.model import Resource
from kplan.values import dataclass

PERMISSIONS: Final = ("allow", "deny")
HOST: Final = "host="
CONNECTORS_LINE: Final = "connectors: "  # what a line of a principal's block is called, before the connector's name


@dataclass(frozen=True, slots=True)
class AclBinding(Resource):
    """`name` says all of it: `User:alice/allow/Read/topic/shop.orders`. `resource_name` is not encoded.

    `exclusive` and `lines` are what the stack says: whether the principal has no other bindings, and which lines of its
    block asked for this one.
    """

    kind: ClassVar[str] = "acl"

    principal: str = ""
    permission: str = "allow"
    operation: str = "Read"
    resource_type: ResourceType = ResourceType.TOPIC
    resource_name: str = ""
    pattern: PatternType = PatternType.LITERAL
    host: str = ANY_HOST
    exclusive: bool = field(default=False, compare=False)
    lines: tuple[str, ...] = field(default=(), compare=False)

    @property
    def is_allow(self) -> bool:
        return self.permission == "allow"


def make_binding(
    principal: str,
    permission: str,
    operation: str,
    resource_type: ResourceType,
    resource_name: str,
    pattern: PatternType = PatternType.LITERAL,
    host: str = ANY_HOST,
) -> AclBinding:
    """Return the binding with the name that its address has."""
    if resource_type is ResourceType.CLUSTER:
        resource_name, pattern, place = CLUSTER_NAME, PatternType.LITERAL, [str(resource_type)]
    elif pattern is PatternType.PREFIXED:
        place = [f"{resource_type}-prefix", encode_part(resource_name)]
    elif resource_name == ANY_NAME:
        place = [f"{resource_type}-any"]
    else:
        place = [str(resource_type), encode_part(resource_name)]
    suffix = [] if host == ANY_HOST else [f"{HOST}{encode_part(host)}"]
    name = "/".join([encode_part(principal), permission, operation, *place, *suffix])
    return AclBinding(name, principal, permission, operation, resource_type, resource_name, pattern, host)


def parse_binding(name: str) -> AclBinding:
    """Return the binding of this name. Raises ValueError with what is wrong with it."""
    parts = name.split("/")
    if len(parts) < 4:
        raise ValueError("it is PRINCIPAL/allow/OPERATION/topic/NAME")
    principal, permission, operation, word, *rest = parts
    if permission not in PERMISSIONS:
        raise ValueError(f"{permission!r} is neither `allow` nor `deny`")
    if operation not in list_operations():
        raise ValueError(f"{operation!r} is not an operation: {', '.join(list_operations())}")
    resource_type, pattern, has_name = _parse_type(word)
    if not has_name:
        resource_name = CLUSTER_NAME if resource_type is ResourceType.CLUSTER else ANY_NAME
    elif rest and rest[0]:
        resource_name = decode_part(rest.pop(0))
    else:
        raise ValueError(f"a name follows {word!r}")
    host = decode_part(rest.pop(0).removeprefix(HOST)) if rest and rest[0].startswith(HOST) else ANY_HOST
    binding = make_binding(decode_part(principal), permission, operation, resource_type, resource_name, pattern, host)
    if rest or binding.name != name:
        raise ValueError(f"write {binding.name}")
    return binding


def _parse_type(word: str) -> tuple[ResourceType, PatternType, bool]:
    """Return the type, the pattern, and whether a name follows."""
    for ending, pattern, has_name in (
        ("-prefix", PatternType.PREFIXED, True), ("-any", PatternType.LITERAL, False), ("", PatternType.LITERAL, True),
    ):  # fmt: skip
        stem = word.removesuffix(ending) if ending else word
        if (not ending or word.endswith(ending)) and stem in set(ResourceType):
            kind = ResourceType(stem)
            if kind is ResourceType.CLUSTER and ending:
                break
            return kind, pattern, has_name and kind is not ResourceType.CLUSTER
    words = ", ".join(ResourceType)
    raise ValueError(f"{word!r} is not a type of resource: {words}, with `-prefix` or `-any` behind it")


def describe_binding(binding: AclBinding) -> str:
    """Return the binding as a sentence: `User:alice may read topic shop.orders`."""
    verb = "may" if binding.is_allow else "may not"
    host = "" if binding.host == ANY_HOST else f", from {binding.host}"
    if binding.operation == ALL and not binding.is_allow:
        return f"{binding.principal} may do nothing with {name_place(binding)}{host}"
    return f"{binding.principal} {verb} {name_operation(binding.operation)} {name_place(binding)}{host}"


def describe_loss(binding: AclBinding) -> str:
    """Return what somebody can no longer do: `User:alice can no longer read topic shop.orders`."""
    host = "" if binding.host == ANY_HOST else f", from {binding.host}"
    if binding.operation == ALL and not binding.is_allow:
        return f"{binding.principal} can do nothing with {name_place(binding)}{host}"
    return f"{binding.principal} can no longer {name_operation(binding.operation)} {name_place(binding)}{host}"


def name_operation(operation: str) -> str:
    """Return an operation as words: `describe configs of`."""
    return _WORDS.get(operation, operation)


_WORDS: Final = {
    "All": "do everything with",
    "Read": "read",
    "Write": "write",
    "Create": "create",
    "Delete": "delete",
    "Alter": "alter",
    "Describe": "describe",
    "ClusterAction": "act as a broker of",
    "DescribeConfigs": "see the settings of",
    "AlterConfigs": "change the settings of",
    "IdempotentWrite": "write idempotently to",
}


def name_place(binding: AclBinding) -> str:
    """Return the resource of a binding in words: `topics that begin with shop.`."""
    noun = binding.resource_type.noun
    if binding.resource_type is ResourceType.CLUSTER:
        return "the cluster"
    if binding.pattern is PatternType.PREFIXED:
        return f"{noun}s that begin with {binding.resource_name}"
    return f"every {noun}" if binding.resource_name == ANY_NAME else f"{noun} {binding.resource_name}"
