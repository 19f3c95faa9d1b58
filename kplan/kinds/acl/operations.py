"""The operations and resource types of Kafka's authorizer, and which operation is checked on which type.

Source: https://kafka.apache.org/documentation/#operations_in_kafka and `org.apache.kafka.common.acl.AclOperation`.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum


class ResourceType(StrEnum):
    """What a binding is about; the words of addresses."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactional-id"
    CLUSTER = "cluster"

    @property
    def key(self) -> str:
        """Return the key of a stack file."""
        return self.value.replace("-", "_")

    @property
    def noun(self) -> str:
        """Return the name in a sentence."""
        return self.value.replace("-", " ")


class PatternType(StrEnum):
    """How a binding's resource name is compared with the names of resources."""

    LITERAL = "literal"
    PREFIXED = "prefixed"


ALL = "All"
ANY_NAME = "*"  # a literal name that matches every name
ANY_HOST = "*"
CLUSTER_NAME = "kafka-cluster"

# Operations that an authorizer checks on each type; `All` stands for all of them.
OPERATIONS: Mapping[ResourceType, tuple[str, ...]] = {
    ResourceType.TOPIC: (
        "Read", "Write", "Create", "Delete", "Alter", "Describe", "DescribeConfigs", "AlterConfigs",
    ),
    ResourceType.GROUP: ("Read", "Describe", "Delete", "DescribeConfigs", "AlterConfigs"),
    ResourceType.TRANSACTIONAL_ID: ("Write", "Describe"),
    ResourceType.CLUSTER: (
        "Create", "Alter", "Describe", "ClusterAction", "DescribeConfigs", "AlterConfigs", "IdempotentWrite",
    ),
}  # fmt: skip

# An ALLOW of the key's value allows the key as well (`StandardAuthorizerData`, `AclOperation`).
IMPLIED_BY: Mapping[str, frozenset[str]] = {
    "Describe": frozenset({"Read", "Write", "Delete", "Alter"}),
    "DescribeConfigs": frozenset({"AlterConfigs"}),
}


def list_operations() -> tuple[str, ...]:
    """Return every operation that a binding can name."""
    return (ALL, *dict.fromkeys(operation for each in OPERATIONS.values() for operation in each))


def is_checked(operation: str, kind: ResourceType) -> bool:
    """Whether an authorizer ever checks the operation on this type: a broker stores the others without an error."""
    return operation == ALL or operation in OPERATIONS[kind]
