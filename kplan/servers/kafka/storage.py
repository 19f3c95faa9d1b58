"""How many bytes topics of real brokers store, and how many replicas each broker holds.

The bytes come from DescribeLogDirs (KIP-113), which librdkafka (2.16) does not have; kafka-python does, an extra.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING, Any

from kplan.diagnostics import KplanError
from kplan.model.forecast import Storage, StorageState
from kplan.servers.kafka.facts import FactsReader
from kplan.servers.kafka.second_client import is_installed

if TYPE_CHECKING:
    from kplan.servers.kafka.client import Client
    from kplan.servers.kafka.reassign import Mover

MISSING_CLIENT = "pip install 'kplan[admin]'"
MISSING_RIGHT = "the brokers did not show their log folders; that takes the right Describe on the cluster"


def read_storage(client: Client, mover: Mover, names: Collection[str]) -> StorageState:
    """Return what the topics of these names store, and the replicas of each broker. Raises what a listing raises."""
    listed = client.metadata()
    replicas = Counter(
        broker
        for topic in listed.topics.values()
        for partition in topic.partitions.values()
        for broker in partition.replicas
    )
    partitions = {name: sorted(listed.topics[name].partitions) for name in names if name in listed.topics}
    return StorageState(_read_topics(client, mover, partitions, sorted(listed.brokers)), dict(replicas))


def _read_topics(
    client: Client, mover: Mover, partitions: Mapping[str, Collection[int]], brokers: Collection[int]
) -> dict[str, Storage]:
    if not partitions:
        return {}
    if not is_installed():
        return dict.fromkeys(partitions, Storage(unknown=MISSING_CLIENT))
    try:
        sizes = mover.read_sizes(partitions, brokers)
    except KplanError as failure:
        return dict.fromkeys(partitions, Storage(unknown=failure.message))
    first_writes = FactsReader(client).read_first_writes(partitions)
    return {name: _sum_sizes(name, ids, sizes, first_writes.get(name)) for name, ids in partitions.items()}


def _sum_sizes(
    name: str, ids: Collection[int], sizes: Mapping[tuple[int, str, int], int], first_write: int | None
) -> Storage:
    """Return what one topic stores. The largest replica of a partition counts as one: those behind are smaller."""
    own: dict[int, list[int]] = {}
    for (_, topic, partition), size in sizes.items():
        if topic == name:
            own.setdefault(partition, []).append(size)
    if own.keys() != set(ids):
        return Storage(unknown=MISSING_RIGHT)
    replicas: list[list[Any]] = list(own.values())
    return Storage(sum(map(sum, replicas)), sum(map(max, replicas)), first_write)
