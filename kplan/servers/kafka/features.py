"""What brokers can do: the requests that they know, and the service that they are, as far as their names show it."""

from __future__ import annotations

import ssl
from collections.abc import Mapping, Sequence
from typing import Final

from kplan.diagnostics import KplanError, Unsupported, codes
from kplan.servers.ports import NoBroker, read_api_keys
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class Feature:
    """Something that brokers do for kplan, and what to do without it.

    `keys` are of the requests that it takes: https://kafka.apache.org/protocol#protocol_api_keys.
    """

    name: str
    use: str
    keys: Sequence[int]
    remedy: str


TOPICS = Feature("topics", "create and delete topics", (19, 20), "make topics with the service's own tool")
SETTINGS = Feature(
    "settings",
    "change a topic's settings (IncrementalAlterConfigs)",
    (32, 44),
    "change the setting with the service's own tool, or leave it as it is",
)
PARTITIONS = Feature(
    "partitions", "add partitions (CreatePartitions)", (37,), "leave the number of partitions as it is"
)
REPLICAS = Feature(
    "replicas", "change replication factors (AlterPartitionReassignments)", (45, 46), "leave the replication as it is"
)
READERS = Feature("readers", "see who reads a topic", (15, 16), "look at the service's own list of consumer groups")
TRANSACTIONS = Feature(
    "transactions",
    "keep the state in a topic (transactions and groups)",
    (10, 11, 14, 22, 26, 28),
    "keep it in a file that all runs share: `state: {sqlite: FILE}`",
)
BINDINGS = Feature("bindings", "declare `access:`", (29, 30, 31), "leave `access:` out for this environment")
USERS = Feature("users", "declare `users:` (SCRAM)", (50, 51), "leave `users:` out for this environment")
QUOTAS = Feature("quotas", "declare `quotas:`", (48, 49), "leave `quotas:` out for this environment")
FEATURES: Final = (TOPICS, SETTINGS, PARTITIONS, REPLICAS, READERS, TRANSACTIONS, BINDINGS, USERS, QUOTAS)


def make_missing_error(feature: Feature, reason: str = "") -> Unsupported:
    """Return the error where a plan needs what these brokers do not have."""
    words = f": {reason}" if reason else ""
    missing = Unsupported(f"these brokers cannot {feature.use}{words}", code=codes.K338, help=feature.remedy)
    missing.exit_code = 4
    return missing


def read_known_requests(config: Mapping[str, str]) -> frozenset[int] | None:
    """Return the keys of the requests that the first broker that answers knows; None where none tells them.

    They are asked without a login. `config` are librdkafka's settings.
    """
    for server in config.get("bootstrap.servers", "").split(","):
        try:
            return read_api_keys(server.strip(), _create_context(config))
        except (OSError, ValueError, NoBroker, KplanError):
            continue
    return None


def _create_context(config: Mapping[str, str]) -> ssl.SSLContext | None:
    from kplan.servers.kafka.second_client import create_tls_context

    return create_tls_context(config) if config.get("security.protocol", "").upper().endswith("SSL") else None


@dataclass(frozen=True, slots=True)
class Service:
    """A service that speaks Kafka's protocol and documents where it differs from Kafka.

    `hosts` are ends of its brokers' names, `cluster_ids` beginnings of its clusters' ids; `limits` are sentences, and
    `source` is where they are documented.
    """

    name: str
    hosts: Sequence[str]
    limits: Sequence[str]
    source: str
    cluster_ids: Sequence[str] = ()


SERVICES: Final = (
    Service(
        "Azure Event Hubs",
        (".servicebus.windows.net",),
        (
            "the Standard tier has no transactions, so the state cannot be in a topic: `state: {sqlite: FILE}`",
            "a namespace has few topics (10 in the Standard tier), and no SCRAM users, quotas or bindings",
        ),
        "https://learn.microsoft.com/azure/event-hubs/azure-event-hubs-kafka-overview",
    ),
    Service(
        "Confluent Cloud",
        (".confluent.cloud",),
        (
            "each topic has three replicas, and its managed connectors have another API than Connect",
            "Freight clusters have no transactions and no compaction, so the state cannot be in a topic",
        ),
        "https://docs.confluent.io/cloud/current/clusters/cluster-types.html",
    ),
    Service(
        "Redpanda",
        (),
        ("a user has one SCRAM mechanism, SCRAM-SHA-256 or SCRAM-SHA-512",),
        "https://docs.redpanda.com/streaming/current/develop/kafka-clients/",
        ("redpanda.",),
    ),
    Service(
        "WarpStream",
        (".warpstream.com",),
        ("replicas cannot be moved, and settings cannot be changed one by one (IncrementalAlterConfigs)",),
        "https://docs.warpstream.com/warpstream/reference/protocol-and-feature-support",
    ),
)


def find_service(hosts: Sequence[str], cluster_id: str) -> Service | None:
    """Return the service that the brokers' names or the cluster's id show."""
    for service in SERVICES:
        if any(host.endswith(end) for host in hosts for end in service.hosts):
            return service
        if any(cluster_id.startswith(prefix) for prefix in service.cluster_ids):
            return service
    return None
