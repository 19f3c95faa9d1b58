"""Bindings on real brokers, through librdkafka's admin client."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding as WireBinding,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
)
from confluent_kafka.admin import ResourceType as WireType  # type: ignore[attr-defined]

from kplan.diagnostics import CapabilityMissing, Denied, KplanError, Timeout, Unsupported, codes
from kplan.kinds.acl.binding import AclBinding, make_binding
from kplan.kinds.acl.operations import PatternType, ResourceType
from kplan.kinds.acl.permissions import Acl
from kplan.kinds.acl.risks import is_own_loss_accepted, takes_away
from kplan.model import Action, Address, Change
from kplan.servers.base import BackendState, Outcome, Progress
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.own_operations import NAMES, OPERATIONS, OwnOperations
from kplan.servers.plain import PlainBackend

TYPES: Final = {
    ResourceType.TOPIC: WireType.TOPIC,
    ResourceType.GROUP: WireType.GROUP,
    ResourceType.TRANSACTIONAL_ID: WireType.TRANSACTIONAL_ID,
    ResourceType.CLUSTER: WireType.BROKER,  # librdkafka's name for it
}
PATTERNS: Final = {
    PatternType.LITERAL: ResourcePatternType.LITERAL,
    PatternType.PREFIXED: ResourcePatternType.PREFIXED,
}
_KINDS: Final = {wire: kind for kind, wire in TYPES.items()}
_PATTERNS: Final = {wire: pattern for pattern, wire in PATTERNS.items()}
_PERMISSIONS: Final = {AclPermissionType.ALLOW: "allow", AclPermissionType.DENY: "deny"}
BATCH: Final = 1000  # bindings of one request
FEW_PRINCIPALS: Final = 8  # whose bindings are read by name, and not with those of all others
POLL_S: Final = 0.1
READINGS_APART_S: Final = 0.5  # two readings in a row must agree: brokers learn of bindings one after the other


# librdkafka's client (2.16) drops the error of a broker without authorizer: it answers DescribeAcls with an empty list.
AUTHORIZER: Final = "authorizer.class.name"


class KafkaAcls(PlainBackend):
    """The bindings of a Kafka cluster's authorizer."""

    kind = "acl"

    def __init__(self, client: Client, settle_timeout: float = 120, allows_by_default: bool | None = None) -> None:
        """`allows_by_default` is what the environment says of the brokers; None: they are asked."""
        self._client = client
        self._settle_timeout = settle_timeout
        self._allows_by_default = allows_by_default
        self._own = OwnOperations(client)

    def read(self, names: Collection[str] | None) -> BackendState:
        """Read all bindings in one request, and return those of these names (None: all).

        Raises Denied where brokers would answer with an empty list and no error.
        Bindings whose type or operation this client does not know are counted: they are never compared or deleted.
        """
        operations = self._own.require_describe()
        wire = self._read_wire([None])
        default = self._allows_by_default
        if default is None or not wire:
            settings = self._own.read_broker_settings()
            if not wire and settings.get(AUTHORIZER) == "":
                raise _make_missing_authorizer()
            default = self._own.find_default(settings) if default is None else default
        bindings = {binding.address: binding for binding in map(_from_wire, wire) if binding is not None}
        return BackendState(
            {address: binding for address, binding in bindings.items() if names is None or address.name in names},
            frozenset(address.name for address in bindings),
            operations=operations,
            allows_by_default=default,
            unknown=sum(_from_wire(each) is None for each in wire),
        )

    def _find_there(self, changes: Sequence[Change]) -> set[Address]:
        """Return the live bindings of those principals that the changes are about, or of all where these are many."""
        principals = {_binding_of(change).principal for change in changes}
        wire = self._read_wire(sorted(principals) if len(principals) <= FEW_PRINCIPALS else [None])
        return {binding.address for binding in map(_from_wire, wire) if binding is not None}

    def _read_wire(self, principals: Sequence[str | None]) -> list[Any]:
        """Return, as the client has them, the bindings of these principals (None: of all), with a request for each."""

        def send() -> dict[Any, Any]:
            seconds = self._client.timeout
            return {
                principal: self._client.admin.describe_acls(_filter_principal(principal), request_timeout=seconds)
                for principal in principals
            }

        def read() -> list[Any]:
            answers = self._client.request(send, "describe acls").values()
            for answer in answers:
                if isinstance(answer, Unsupported):
                    raise _make_missing_authorizer()
                if isinstance(answer, KplanError):
                    raise answer
            return [wire for answer in answers for wire in answer]

        return self._client.retry(read)

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """Return whether each binding to create is there already: then it is not this run's."""
        new = [change for change in changes if change.action is Action.CREATE]
        there = self._find_there(new) if new else set()
        return {change.address: {"there": change.address in there} for change in new}

    def watch(self, addresses: Collection[Address], state: str) -> None:
        self._own.need(addresses, state)

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Create and delete bindings; one that was there, as `captured` says, is adopted.

        Brokers answer success to the creation of an existing binding, and to the deletion of a missing one. An update
        is the undo of a deletion that had no effect yet: the binding is created once more, in case it is deleted late.
        """
        self._own.remember([_binding_of(change) for change in changes if takes_away(change)])
        outcomes: dict[Address, Outcome] = {}
        new = [change for change in changes if change.action is not Action.DELETE]
        for change in new:
            if change.action is Action.CREATE and captured.get(change.address, {}).get("there"):
                outcomes[change.address] = Outcome(adopted=True)
        outcomes |= self._create([change for change in new if change.address not in outcomes])
        return outcomes | self._delete([change for change in changes if change.action is Action.DELETE])

    def _create(self, changes: Sequence[Change]) -> dict[Address, Outcome]:
        outcomes: dict[Address, Outcome] = {}
        for batch in _split(changes):
            wire = {change.address: to_wire(_binding_of(change)) for change in batch}
            answers = self._send(
                list(wire.values()),
                lambda asked: self._client.admin.create_acls(asked, request_timeout=self._client.timeout),
                "create acls",
            )
            for change in batch:
                outcomes[change.address] = _make_outcome(answers.get(wire[change.address]))
        return outcomes

    def _delete(self, changes: Sequence[Change]) -> dict[Address, Outcome]:
        outcomes: dict[Address, Outcome] = {}
        for batch in _split(changes):
            filters = {change.address: _to_filter(_binding_of(change)) for change in batch}
            answers = self._send(
                list(filters.values()),
                lambda asked: self._client.admin.delete_acls(asked, request_timeout=self._client.timeout),
                "delete acls",
            )
            for change in batch:
                outcomes[change.address] = _make_outcome(answers.get(filters[change.address]))
        return outcomes

    def _send(self, asked: list[Any], send: Any, what: str) -> dict[Any, Any]:
        """Return the answer to each item; where the right is missing, with the way to get it."""
        try:
            answers = self._client.await_answers(send(asked), what)
        except (ValueError, TypeError) as exception:
            return dict.fromkeys(asked, self._client.map_error(exception))
        right = Acl("Alter", "Cluster")
        return {
            item: self._client.add_acl(answer, right) if isinstance(answer, KplanError) else answer
            for item, answer in answers.items()
        }

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Wait until two readings in a row, `READINGS_APART_S` apart, show every change, or time is up."""
        deadline = time.monotonic() + self._settle_timeout
        wanted = {change.address: change.action is not Action.DELETE for change in changes}
        agreed = 0
        problem: KplanError | None = None
        waiting = set(wanted)
        while True:
            try:
                there = self._find_there(changes)
                problem, waiting = None, {a for a, is_there in wanted.items() if (a in there) is not is_there}
            except Denied as refusal:
                return {address: Outcome(refusal, accepted=True) for address in wanted}
            except KplanError as failure:
                problem, waiting = failure, set(wanted)
            agreed = 0 if waiting else agreed + 1
            if agreed == 2 or time.monotonic() > deadline:
                break
            for address in waiting:
                progress(address, "accepted, not on every broker yet")
            time.sleep(POLL_S if waiting else READINGS_APART_S)
        cause = f" ({problem.message})" if problem else ""
        late = Timeout(f"it is not as declared after {self._settle_timeout:g} s{cause}")
        outcomes = {a: Outcome(late, accepted=True) if a in waiting else Outcome() for a in wanted}
        return outcomes | self._find_lost_access(changes)

    def _find_lost_access(self, changes: Sequence[Change]) -> dict[Address, Outcome]:
        """Return a failure for the changes that took away what kplan's own user could do, unless that is accepted."""
        taking = [change for change in changes if takes_away(change) and not is_own_loss_accepted(change)]
        lost = self._own.find_lost() if taking else ""
        refusal = Denied(
            f"kplan's own user can no longer {lost}, which the plan did not expect",
            help="a binding for a single host, or for another name of this user, takes it away",
        )
        return {change.address: Outcome(refusal, accepted=True) for change in taking} if lost else {}


def _make_missing_authorizer() -> CapabilityMissing:
    return CapabilityMissing(
        "the cluster has no authorizer, so it has no bindings",
        code=codes.K340,
        help="set `authorizer.class.name` on the brokers, or remove `access:` for this environment",
    )


def _filter_principal(principal: str | None) -> AclBindingFilter:
    """Return the filter that all bindings of a principal meet; None: all bindings."""
    anything: Any = None  # as a name, a principal and a host
    return AclBindingFilter(
        WireType.ANY,
        anything,
        ResourcePatternType.ANY,
        principal or anything,
        anything,
        AclOperation.ANY,
        AclPermissionType.ANY,
    )


def _binding_of(change: Change) -> AclBinding:
    binding = change.before if change.action is Action.DELETE else change.after
    assert isinstance(binding, AclBinding)
    return binding


def _split(changes: Sequence[Change]) -> list[Sequence[Change]]:
    return [changes[start : start + BATCH] for start in range(0, len(changes), BATCH)]


def to_wire(binding: AclBinding) -> WireBinding:
    return WireBinding(*_fields_of(binding))


def _to_filter(binding: AclBinding) -> AclBindingFilter:
    """Return the filter that only this binding meets: it names all seven fields, and none of them matches more."""
    fields = _fields_of(binding)
    if not all(fields) or any(str(field).endswith((".ANY", ".MATCH", ".UNKNOWN")) for field in fields):
        raise ValueError(f"{binding.address} does not name exactly one binding")
    return AclBindingFilter(*fields)


def _fields_of(binding: AclBinding) -> tuple[Any, ...]:
    if binding.operation not in OPERATIONS:
        raise ValueError(f"this client has no operation {binding.operation}")
    permission = AclPermissionType.ALLOW if binding.is_allow else AclPermissionType.DENY
    return (
        TYPES[binding.resource_type],
        binding.resource_name,
        PATTERNS[binding.pattern],
        binding.principal,
        binding.host,
        OPERATIONS[binding.operation],
        permission,
    )


def _from_wire(wire: Any) -> AclBinding | None:
    """Return the binding; None where this client does not know its type, pattern or operation, or it has no address."""
    resource_type, pattern = _KINDS.get(wire.restype), _PATTERNS.get(wire.resource_pattern_type)
    operation, permission = NAMES.get(wire.operation), _PERMISSIONS.get(wire.permission_type)
    if resource_type is None or pattern is None or operation is None or permission is None:
        return None
    if resource_type is ResourceType.CLUSTER and pattern is not PatternType.LITERAL:
        return None
    return make_binding(wire.principal, permission, operation, resource_type, wire.name, pattern, wire.host)


def _make_outcome(answer: Any) -> Outcome:
    return Outcome(answer) if isinstance(answer, KplanError) else Outcome()
