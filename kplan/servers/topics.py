"""What the backends of topics have in common: a change's parts, batches, and what is refused before any request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from kplan.diagnostics import Conflict, Diagnostic, KplanError, Rejected, Stale, Unsupported, codes, error
from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.options import Replicas, reassignment_of
from kplan.kinds.topic.placement import assign, document
from kplan.model import Action, Change, Topic

T = TypeVar("T")

# A controller takes 10,000 partitions and 10,000 metadata records in one request, and refuses all of a larger one
# with 44; the rest is left for what else it writes.
MOST_RECORDS = 8_000
MOST_PARTITIONS = 100_000  # librdkafka's own limit, as is the next
MOST_REPLICAS = 10_000
INSYNC = "min.insync.replicas"
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


def has_configs(live: Topic, sets: Mapping[str, str], resets: Iterable[str]) -> bool:
    """Whether the topic has all of `sets`, and none of `resets` of its own."""
    held = all(key in live.config and catalog.same(key, value, live.config[key]) for key, value in sets.items())
    return held and not any(key in live.config for key in resets)


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


def too_many_replicas(factor: int, brokers: int) -> Rejected:
    """The refusal of a replication factor above the number of brokers."""
    there = f"{brokers} broker{'' if brokers == 1 else 's'}"
    return Rejected(
        f"replication_factor {factor}, the cluster has {there}",
        help=f"write replication_factor: {brokers}, or fewer, or leave it to the broker's default with -1",
    )


def equals(asked: Topic, live: Topic) -> bool:
    """Whether `live` is what was asked for, down to the configs set on it; -1 stands for whatever the broker chose."""
    return (
        asked.partitions in (-1, live.partitions)
        and asked.replication_factor in (-1, live.replication_factor)
        and asked.config.keys() == live.config.keys()
        and all(catalog.same(key, value, live.config[key]) for key, value in asked.config.items())
    )


def describe_differences(asked: Topic, live: Topic) -> str:
    """Name what differs between the topic that was asked for and the one that is there."""
    pairs: list[tuple[str, object, object]] = [
        ("partitions", asked.partitions, live.partitions),
        ("replication_factor", asked.replication_factor, live.replication_factor),
    ]
    found = [(key, wanted, has) for key, wanted, has in pairs if wanted not in (-1, has)]
    for key in sorted(asked.config.keys() | live.config.keys()):
        wanted, has = asked.config.get(key), live.config.get(key)
        if wanted is None or has is None or not catalog.same(key, wanted, has):
            found.append((key, "not set" if wanted is None else wanted, "not set" if has is None else has))
    return ", ".join(f"{key} {has} instead of {wanted}" for key, wanted, has in found)


def created_by_others(asked: Topic, live: Topic) -> Conflict | None:
    """The conflict with a topic that another client created meanwhile; None where it is exactly as asked."""
    if equals(asked, live):
        return None
    differences = describe_differences(asked, live)
    return Conflict(
        f"another client has created topic {asked.name}, and it differs: {differences}",
        help="plan again, and see what the plan would change of it",
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


def no_reassignment(
    change: Change, replicas: Replicas, brokers: Mapping[int, str], installed: bool = True
) -> KplanError | None:
    """Why an update's replication factor cannot be had, where the plan does not say which replicas are to move."""
    factor, name = new_factor(change), change.address.name
    if factor is None or reassignment_of(change) is not None:
        return None
    if growth(change) is not None:
        words = f"{name} is to have {growth(change)} partitions and {factor} replicas of each"
        return Rejected(
            words, code=codes.K330, help="apply the one first and then the other: only replicas can be put back"
        )
    if factor > len(brokers):
        return Rejected(f"replication factor {factor} of {name} needs as many brokers, there are {len(brokers)}")
    words = f"the replication factor of {name} becomes {factor} by moving replicas"
    tool = (
        "write this to a file and run kafka-reassign-partitions.sh --execute --reassignment-json-file FILE: "
        + document(name, assign(replicas, brokers, factor))
    )
    if installed:
        return Unsupported(f"{words}, and this plan does not say which", help=f"make the plan again; or {tool}")
    return Unsupported(
        f"{words}, which takes a client that is not installed",
        code=codes.K327,
        help=f"pip install 'kplan[reassign]'; or {tool}",
    )


def remembered(change: Change, now: Replicas) -> dict[str, Any]:
    """Where the replicas are before they are moved. Raises Stale where that is not what the plan moves them from."""
    reassignment = reassignment_of(change)
    before = reassignment.before if reassignment else {}
    moved = [partition for partition, replicas in before.items() if now.get(partition) != replicas]
    if moved:
        partition = min(moved)
        raise Stale(
            f"{change.address} partition {partition}: planned from brokers {_listed(before[partition])}, "
            f"now {_listed(now.get(partition, ()))}",
            help="its replicas were moved meanwhile: make the plan again",
        )
    return {"replicas": {str(partition): list(now[partition]) for partition in sorted(before)}}


def _listed(brokers: Sequence[int]) -> str:
    return ", ".join(map(str, brokers)) or "none"


def waits(change: Change) -> bool:
    """Whether the update's configs come after its replicas: more in-sync replicas can be asked for once there are."""
    moved = reassignment_of(change)
    return moved is not None and moved.grows


def too_few_replicas(change: Change) -> Diagnostic | None:
    """An update after which writes with acks=all would fail. Brokers accept it."""
    before, after = change.before, change.after
    if change.action is not Action.UPDATE or not isinstance(before, Topic) or not isinstance(after, Topic):
        return None
    sets, resets = settings(change)
    moves = reassignment_of(change) is not None
    replicas = after.replication_factor if moves else before.replication_factor
    kept = before.config.get(INSYNC, "1") if moves and INSYNC not in resets else "1"
    insync = sets.get(INSYNC, kept)
    if not insync.isdecimal() or replicas < 1 or int(insync) <= replicas:
        return None
    return error(
        codes.K111, "more in-sync replicas are asked for than there are replicas",
        f"min.insync.replicas {insync} > replication factor {replicas}",
        help="Kafka accepts this and then refuses every write with acks=all: lower it",
        address=change.address, path=f"/config/{INSYNC}",
    )  # fmt: skip
