"""What kplan's own user may do, as the brokers say it."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclOperation,
    ConfigResource,
)

from kplan.diagnostics import KplanError
from kplan.kinds.acl.binding import AclBinding
from kplan.kinds.acl.operations import ANY_NAME, PatternType, ResourceType
from kplan.kinds.acl.permissions import Acl
from kplan.kinds.acl.risks import CLUSTER_RIGHTS, QUOTA_RIGHTS, STATE_TOPIC_RIGHTS, TOPIC_RIGHTS
from kplan.model import Address
from kplan.servers.kafka.client import Client

OPERATIONS: Final = {
    "All": AclOperation.ALL,
    "Read": AclOperation.READ,
    "Write": AclOperation.WRITE,
    "Create": AclOperation.CREATE,
    "Delete": AclOperation.DELETE,
    "Alter": AclOperation.ALTER,
    "Describe": AclOperation.DESCRIBE,
    "ClusterAction": AclOperation.CLUSTER_ACTION,
    "DescribeConfigs": AclOperation.DESCRIBE_CONFIGS,
    "AlterConfigs": AclOperation.ALTER_CONFIGS,
    "IdempotentWrite": AclOperation.IDEMPOTENT_WRITE,
}
NAMES: Final = {wire: name for name, wire in OPERATIONS.items()}
ALLOWS_BY_DEFAULT: Final = "allow.everyone.if.no.acl.found"
MOST_TOPICS: Final = 1000  # that are asked about

BrokerSettings = Mapping[str, str | None]
ResourcePattern = tuple[str, str]  # `topic` and a name, or `cluster` and nothing
CLUSTER: Final = ("cluster", "")


class OwnOperations:
    """The operations that brokers let this user do: `need` some, `remember` them before a change, then `find_lost`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._needed: Mapping[ResourcePattern, frozenset[str]] = {}
        self._before: Mapping[ResourcePattern, frozenset[str]] = {}

    def need(self, addresses: Collection[Address], state: str) -> None:
        """Note what a run needs: the rights on its topics, on the topic of its state, and on the cluster."""
        on_cluster = {*CLUSTER_RIGHTS, *(QUOTA_RIGHTS if any(each.kind == "quota" for each in addresses) else ())}
        topics: dict[str, Sequence[str]] = {each.name: TOPIC_RIGHTS for each in addresses if each.kind == "topic"}
        topics |= {state: STATE_TOPIC_RIGHTS} if state else {}
        self._needed = {CLUSTER: frozenset(on_cluster)}
        self._needed |= {("topic", name): frozenset(rights) for name, rights in topics.items()}

    def require_describe(self) -> frozenset[str]:
        """Return the operations on the cluster. Raises Denied without the right to see bindings.

        Brokers answer DescribeAcls of a user without it with an empty list, not with an error.
        """
        operations = self._client.retry(self.ask_cluster)
        if "Describe" not in operations:
            raise self._client.missing_right_error(Acl("Describe", "Cluster"))
        return operations

    def ask_cluster(self) -> frozenset[str]:
        """Return the operations on the cluster."""
        seconds = self._client.attempt_timeout

        def send() -> Mapping[str, Any]:
            admin = self._client.admin
            return {"": admin.describe_cluster(include_authorized_operations=True, request_timeout=seconds)}

        answer = self._client.request(send, "own operations")[""]
        if isinstance(answer, KplanError):
            raise answer
        return _name_all(answer.authorized_operations)

    def find_default(self, settings: BrokerSettings) -> bool | None:
        """Return whether everybody may use what has no binding; None where that is not known.

        Brokers list the settings of their authorizer without their values, so only an absent one tells something:
        its default, false.
        """
        return False if settings and ALLOWS_BY_DEFAULT not in settings else None

    def read_broker_settings(self) -> BrokerSettings:
        """Return the settings of one broker, with their values where they are shown; empty without that right."""
        node = next(iter(self._client.cluster().nodes), None)
        if node is None:
            return {}
        resource = ConfigResource(ConfigResource.Type.BROKER, str(node.id))
        seconds = self._client.attempt_timeout

        def send() -> Mapping[Any, Any]:
            return self._client.admin.describe_configs([resource], request_timeout=seconds)

        (answer,) = self._client.request(send, "broker configs").values()
        return {} if isinstance(answer, KplanError) else {name: entry.value for name, entry in answer.items()}

    def remember(self, bindings: Sequence[AclBinding]) -> None:
        """Note what this user may do with what these bindings are about; none: nothing is to be compared."""
        self._before = self.ask(self._find_places(bindings)) if bindings else {}

    def find_lost(self) -> str:
        """Return what this user could do before, and can no longer do; empty where nothing is lost."""
        if not self._before:
            return ""
        now = self.ask(self._before)
        lost = [
            f"{operation} on {' '.join(filter(None, place))}"
            for place, before in self._before.items()
            for operation in sorted((before & self._needed[place]) - now.get(place, frozenset()))
        ]
        return ", ".join(lost[:3]) + (f" and {len(lost) - 3} more" if lost[3:] else "")

    def _find_places(self, bindings: Sequence[AclBinding]) -> list[ResourcePattern]:
        """Return the cluster where a binding is about it, and the needed live topics that bindings are about."""
        places: list[ResourcePattern] = []
        if any(binding.resource_type is ResourceType.CLUSTER for binding in bindings):
            places.append(CLUSTER)
        about_topics = [binding for binding in bindings if binding.resource_type is ResourceType.TOPIC]
        live = self._client.metadata().topics if about_topics else {}
        topics = sorted(name for kind, name in self._needed if kind == "topic" and name in live)
        matching = [name for name in topics if any(_is_about(binding, name) for binding in about_topics)]
        return [*places, *(("topic", name) for name in matching[:MOST_TOPICS])]

    def ask(self, places: Collection[ResourcePattern]) -> dict[ResourcePattern, frozenset[str]]:
        """Return the operations on each place; one that this user may not even see has none."""
        found: dict[ResourcePattern, frozenset[str]] = {}
        if CLUSTER in places:
            found[CLUSTER] = self._client.retry(self.ask_cluster)
        names = [name for kind, name in places if kind == "topic"]
        if not names:
            return found
        seconds = self._client.timeout

        def send() -> Mapping[str, Any]:
            topics = TopicCollection(names)
            return self._client.admin.describe_topics(
                topics, include_authorized_operations=True, request_timeout=seconds
            )

        answers = self._client.request(send, "own operations on topics")
        for name, answer in answers.items():
            known = frozenset() if isinstance(answer, KplanError) else _name_all(answer.authorized_operations)
            found["topic", name] = known
        return found


def _name_all(operations: Any) -> frozenset[str]:
    """Return the names of the operations; None means that nothing is granted."""
    return frozenset(NAMES[operation] for operation in operations or () if operation in NAMES)


def _is_about(binding: AclBinding, topic: str) -> bool:
    if binding.pattern is PatternType.PREFIXED:
        return topic.startswith(binding.resource_name)
    return binding.resource_name in (ANY_NAME, topic)
