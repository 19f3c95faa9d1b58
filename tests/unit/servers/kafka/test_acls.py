"""What is made of the bindings that brokers list."""

from __future__ import annotations

from concurrent.futures import Future
from types import SimpleNamespace
from typing import Any

from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
)

from kplan.servers.kafka.acls import KafkaAcls
from kplan.servers.kafka.client import Client


def wire(resource_type: Any, operation: Any) -> Any:
    """A binding as the client has it, of any type and operation."""
    return SimpleNamespace(
        restype=resource_type,
        name="a",
        resource_pattern_type=ResourcePatternType.LITERAL,
        principal="User:a",
        host="*",
        operation=operation,
        permission_type=AclPermissionType.ALLOW,
    )


class Admin:
    """librdkafka's client on a cluster with two bindings, and two more that it does not know."""

    def poll(self, seconds: float) -> None:
        """Do nothing: every answer is there."""

    def describe_acls(self, wanted: Any, request_timeout: float) -> Any:
        answer: Future[Any] = Future()
        known = [
            AclBinding(
                ResourceType.TOPIC, name, ResourcePatternType.LITERAL, "User:a", "*", AclOperation.READ,
                AclPermissionType.ALLOW,
            )
            for name in ("a", "b")
        ]  # fmt: skip
        unknown = [
            wire(ResourceType.UNKNOWN, AclOperation.READ),
            wire(ResourceType.TOPIC, AclOperation.UNKNOWN),
        ]
        answer.set_result([*known, *unknown])
        return answer

    def describe_cluster(self, include_authorized_operations: bool, request_timeout: float) -> Any:
        answer: Future[Any] = Future()
        answer.set_result(SimpleNamespace(authorized_operations=[AclOperation.DESCRIBE], controller=None))
        return answer


def test_what_the_client_does_not_know_is_counted_and_left_out() -> None:
    client = Client({"bootstrap.servers": "kafka:9092"}, 5, 1, 0, (), print)
    client.__dict__["admin"] = Admin()
    state = KafkaAcls(client, allows_by_default=False).read(None)
    assert sorted(state.names) == ["User:a/allow/Read/topic/a", "User:a/allow/Read/topic/b"]
    assert state.unknown == 2
