"""What the backends of topics have in common: a change's parts, batches, and what is refused before any request."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import TypeVar

from kplan import catalog
from kplan.diagnostics import Diagnostic, KplanError, Rejected, Unsupported, error
from kplan.model import Action, Change, Topic

T = TypeVar("T")

# A controller takes 10,000 partitions and 10,000 metadata records in one request, and refuses all of a larger one
# with 44; the rest is left for what else it writes.
MOST_RECORDS = 8_000
MOST_PARTITIONS = 100_000  # librdkafka's own limit, as is the next
MOST_REPLICAS = 10_000
NOT_IN_TIME = "it did not become visible on every broker as it was asked for"


def wanted(change: Change) -> Topic:
    """The topic as it is to be."""
    if not isinstance(change.after, Topic):
        raise TypeError(f"{change.address} has no topic to make")
    return change.after


def settings(change: Change) -> tuple[dict[str, str], tuple[str, ...]]:
    """The configs that an update sets, and those that it resets to the broker's default."""
    sets: dict[str, str] = {}
    resets = []
    for diff in change.diffs:
        if diff.path.startswith("/config/"):
            if diff.after is None:
                resets.append(diff.key)
            else:
                sets[diff.key] = str(diff.after)
    return sets, tuple(resets)


def growth(change: Change) -> int | None:
    """The count of partitions that an update asks for, where it differs."""
    return next((int(str(d.after)) for d in change.diffs if d.path == "/partitions"), None)


def new_factor(change: Change) -> int | None:
    """The replication factor that an update asks for, where it differs."""
    return next((int(str(d.after)) for d in change.diffs if d.path == "/replication_factor"), None)


def weight(topic: Topic) -> int:
    """The metadata records that creating the topic takes: itself, its configs, its partitions."""
    return 1 + len(topic.config) + max(1, topic.partitions)


def batches(items: Iterable[T], weigh: Callable[[T], int], most: int = MOST_RECORDS) -> Iterator[list[T]]:
    """The items in order, in lists that weigh at most `most` together; one that is heavier comes alone."""
    batch: list[T] = []
    total = 0
    for item in items:
        heavy = weigh(item)
        if batch and total + heavy > most:
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += heavy
    if batch:
        yield batch


def refused(topic: Topic) -> KplanError | None:
    """What makes a client refuse the topic, with the whole request it is in (librdkafka's `rd_kafka_NewTopic_new`)."""
    if problem := catalog.check_name(topic.name):
        return Rejected(f"topic name {topic.name!r} is invalid: {problem}")
    if not -1 <= topic.partitions <= MOST_PARTITIONS or topic.partitions == 0:
        return Rejected(
            f"{topic.partitions} partitions are not possible: 1 to {MOST_PARTITIONS}, -1 for the broker's default"
        )
    if not -1 <= topic.replication_factor <= MOST_REPLICAS:
        return Rejected(f"a replication factor of {topic.replication_factor} is not possible")
    return None


def equals(asked: Topic, live: Topic) -> bool:
    """Whether `live` is what was asked for, down to the configs set on it; -1 stands for whatever the broker chose."""
    return (
        asked.partitions in (-1, live.partitions)
        and asked.replication_factor in (-1, live.replication_factor)
        and asked.config.keys() == live.config.keys()
        and all(catalog.same(key, value, live.config[key]) for key, value in asked.config.items())
    )


def holds(change: Change, live: Topic | None) -> bool:
    """Whether the update shows in `live`."""
    if live is None:
        return False
    sets, resets = settings(change)
    return (
        growth(change) in (None, live.partitions)
        and all(key in live.config and catalog.same(key, value, live.config[key]) for key, value in sets.items())
        and not any(key in live.config for key in resets)
    )


def arrived(count: int) -> str:
    """Why a topic that is deleted only while it is empty is kept."""
    return f"{count} record{'' if count == 1 else 's'} arrived"


def reassignment(name: str, replicas: Mapping[int, Sequence[int]], brokers: Sequence[int], factor: int) -> str:
    """The JSON that `kafka-reassign-partitions.sh` takes: each partition keeps its leader, brokers are used evenly."""
    ring = sorted(brokers)
    partitions = []
    for partition, now in sorted(replicas.items()):
        others = [ring[(partition + step) % len(ring)] for step in range(len(ring))]
        chosen = list(dict.fromkeys([*now, *others]))[:factor]
        partitions.append({"topic": name, "partition": partition, "replicas": chosen})
    return json.dumps({"version": 1, "partitions": partitions})


def no_reassignment(change: Change, replicas: Mapping[int, Sequence[int]], brokers: Sequence[int]) -> KplanError | None:
    """Why an update's replication factor cannot be had: librdkafka has no reassignment."""
    factor = new_factor(change)
    if factor is None:
        return None
    if factor > len(brokers):
        return Rejected(
            f"replication factor {factor} of {change.address.name} needs as many brokers, there are {len(brokers)}"
        )
    return Unsupported(
        f"the replication factor of {change.address.name} becomes {factor} by moving replicas; this client cannot",
        help="write this to a file and run kafka-reassign-partitions.sh --execute --reassignment-json-file FILE: "
        + reassignment(change.address.name, replicas, brokers, factor),
    )


def too_few_replicas(change: Change) -> Diagnostic | None:
    """An update after which writes with acks=all would fail. Brokers accept it."""
    before, after = change.before, change.after
    if change.action is not Action.UPDATE or not isinstance(before, Topic) or not isinstance(after, Topic):
        return None
    insync = settings(change)[0].get("min.insync.replicas", "1")
    if not insync.isdecimal() or before.replication_factor < 1 or int(insync) <= before.replication_factor:
        return None
    return error(
        "K111", "more in-sync replicas are asked for than there are replicas",
        f"min.insync.replicas {insync} > replication factor {before.replication_factor}",
        help="Kafka accepts this and then refuses every write with acks=all: lower it",
        address=change.address, path="/config/min.insync.replicas",
    )  # fmt: skip
