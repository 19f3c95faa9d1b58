"""Decides what bindings allow, as Kafka's StandardAuthorizer does.

Source: `org.apache.kafka.metadata.authorizer.StandardAuthorizerData` of Kafka 4: a matching DENY wins, then a matching
ALLOW, then whether the resource has a binding at all; a DENY of All or of the operation itself denies, and an ALLOW of
Read, Write, Delete or Alter allows Describe.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import field

from kplan.kinds.acl.binding import AclBinding
from kplan.kinds.acl.operations import ALL, ANY_HOST, ANY_NAME, IMPLIED_BY, PatternType, ResourceType
from kplan.values import dataclass

EVERYBODY = "User:*"


@dataclass(frozen=True, slots=True)
class Decision:
    """Whether something is allowed, and by which binding; without one, by default or because of a super user."""

    is_allowed: bool
    by: AclBinding | None = None


@dataclass(frozen=True, slots=True)
class Authorizer:
    """The bindings of a cluster. `allows_by_default` is `allow.everyone.if.no.acl.found`."""

    bindings: Collection[AclBinding] = ()
    super_users: frozenset[str] = frozenset()
    allows_by_default: bool = False
    _by_name: Mapping[tuple[ResourceType, str], tuple[AclBinding, ...]] = field(init=False, repr=False, compare=False)
    by_principal: Mapping[str, Sequence[AclBinding]] = field(init=False, repr=False, compare=False)
    _prefixed: Mapping[ResourceType, tuple[AclBinding, ...]] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        by_name: dict[tuple[ResourceType, str], list[AclBinding]] = {}
        prefixed: dict[ResourceType, list[AclBinding]] = {}
        by_principal: dict[str, list[AclBinding]] = {}
        for binding in self.bindings:
            by_principal.setdefault(binding.principal, []).append(binding)
            if binding.pattern is PatternType.PREFIXED:
                prefixed.setdefault(binding.resource_type, []).append(binding)
            else:
                by_name.setdefault((binding.resource_type, binding.resource_name), []).append(binding)
        object.__setattr__(self, "_by_name", {key: tuple(value) for key, value in by_name.items()})
        object.__setattr__(self, "by_principal", by_principal)
        object.__setattr__(self, "_prefixed", {key: tuple(value) for key, value in prefixed.items()})

    def find_matching(self, resource_type: ResourceType, name: str) -> Iterable[AclBinding]:
        """Yield the bindings of all principals that are about this resource."""
        yield from self._by_name.get((resource_type, name), ())
        if name != ANY_NAME and resource_type is not ResourceType.CLUSTER:
            yield from self._by_name.get((resource_type, ANY_NAME), ())
        yield from (b for b in self._prefixed.get(resource_type, ()) if name.startswith(b.resource_name))

    def decide(
        self, principals: Collection[str], operation: str, resource_type: ResourceType, name: str, host: str = ANY_HOST
    ) -> Decision:
        """Say whether somebody with these principals, on this host, may do it. Host `*`: a host that no binding names.

        A DENY for one host does not concern another one; whoever asks for `*` has to look for such hosts itself.
        """
        if self.super_users & set(principals):
            return Decision(True)
        who = {*principals, EVERYBODY}
        allowing = None
        has_any = False
        for binding in self.find_matching(resource_type, name):
            has_any = True
            if binding.principal not in who or binding.host not in (ANY_HOST, host):
                continue
            if not binding.is_allow:
                if binding.operation in (ALL, operation):
                    return Decision(False, binding)
            elif allowing is None and allows(binding.operation, operation):
                allowing = binding
        if allowing is not None:
            return Decision(True, allowing)
        return Decision(not has_any and self.allows_by_default)

    def is_allowed(
        self, principal: str, operation: str, resource_type: ResourceType, name: str, host: str = ANY_HOST
    ) -> bool:
        """Whether the principal may do it."""
        return self.decide((principal,), operation, resource_type, name, host).is_allowed


def allows(granted: str, operation: str) -> bool:
    """Whether an ALLOW of the one operation allows the other one."""
    return granted in (ALL, operation) or granted in IMPLIED_BY.get(operation, ())


def covers(one: AclBinding, other: AclBinding) -> bool:
    """Whether the one binding is about every resource and host that the other one is about."""
    if one.resource_type is not other.resource_type or one.host not in (ANY_HOST, other.host):
        return False
    if one.pattern is PatternType.PREFIXED:
        return other.resource_name.startswith(one.resource_name) and (
            other.pattern is PatternType.PREFIXED or other.resource_name != ANY_NAME
        )
    if one.resource_name == ANY_NAME:
        return True
    return other.pattern is PatternType.LITERAL and other.resource_name == one.resource_name
