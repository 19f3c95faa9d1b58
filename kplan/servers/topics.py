"""What the backends of topics share: a change's parts, batches, and what is refused before any request."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, TypeVar

from kplan.diagnostics import Conflict, Diagnostic, KplanError, Rejected, Stale, Unsupported, codes, error
from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.options import Replicas, reassignment_of
from kplan.kinds.topic.placement import assign, document
from kplan.model import Action, Change, Topic

T = TypeVar("T")

# A controller accepts 10,000 partitions and 10,000 metadata records in one request, and refuses a larger one
# with 44; the rest is reserved for what else it writes.
MAX_RECORDS = 8_000
MAX_PARTITIONS = 100_000  # librdkafka's own limits, this and the next
MAX_REPLICAS = 10_000
INSYNC = "min.insync.replicas"
NOT_IN_TIME = "it did not become visible on every broker as it was asked for"


def desired_topic(change: Change) -> Topic:
    """Return the topic as it should be."""
    if not isinstance(change.after, Topic):
        raise TypeError(f"{change.address} has no topic to make")
    return change.after


def config_changes(change: Change) -> tuple[dict[str, str], tuple[str, ...]]:
    """Return the configs that an update sets, and those that it resets to the broker's default."""
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
    """Return whether the topic has all of `sets`, and none of `resets` of its own."""
    has_all = all(key in live.config and catalog.same(key, value, live.config[key]) for key, value in sets.items())
    return has_all and not any(key in live.config for key in resets)


def new_partitions(change: Change) -> int | None:
    """Return the number of partitions that an update sets, where it differs."""
    return next((int(str(d.after)) for d in change.diffs if d.path == "/partitions"), None)


def new_factor(change: Change) -> int | None:
    """Return the replication factor that an update sets, where it differs."""
    return next((int(str(d.after)) for d in change.diffs if d.path == "/replication_factor"), None)


def count_records(topic: Topic) -> int:
    """Return the number of metadata records of the topic's creation: itself, its configs, its partitions."""
    return 1 + len(topic.config) + max(1, topic.partitions)


def make_batches(items: Iterable[T], weigh: Callable[[T], int], max_weight: int = MAX_RECORDS) -> Iterator[list[T]]:
    """Yield the items in order, in lists of at most `max_weight`; a heavier item comes alone."""
    batch: list[T] = []
    total = 0
    for item in items:
        item_weight = weigh(item)
        if batch and total + item_weight > max_weight:
            yield batch
            batch, total = [], 0
        batch.append(item)
        total += item_weight
    if batch:
        yield batch


def find_refusal(topic: Topic) -> KplanError | None:
    """Return why a client refuses the topic, with the whole request it is in (librdkafka's `rd_kafka_NewTopic_new`)."""
    if problem := catalog.check_name(topic.name):
        return Rejected(f"topic name {topic.name!r} is invalid: {problem}")
    if not -1 <= topic.partitions <= MAX_PARTITIONS or topic.partitions == 0:
        return Rejected(
            f"{topic.partitions} partitions are not possible: 1 to {MAX_PARTITIONS}, -1 for the broker's default"
        )
    if not -1 <= topic.replication_factor <= MAX_REPLICAS:
        return Rejected(f"a replication factor of {topic.replication_factor} is not possible")
    return None


def too_many_replicas_error(factor: int, brokers: int) -> Rejected:
    """Return the error for a replication factor above the number of brokers."""
    number = f"{brokers} broker{'' if brokers == 1 else 's'}"
    return Rejected(
        f"replication_factor {factor}, the cluster has {number}",
        help=f"write replication_factor: {brokers}, or fewer, or leave it to the broker's default with -1",
    )


def is_as_declared(declared: Topic, live: Topic) -> bool:
    """Return whether `live` is as declared, including the configs set on it; -1 stands for the broker's choice."""
    return (
        declared.partitions in (-1, live.partitions)
        and declared.replication_factor in (-1, live.replication_factor)
        and declared.config.keys() == live.config.keys()
        and all(catalog.same(key, value, live.config[key]) for key, value in declared.config.items())
    )


def describe_differences(declared: Topic, live: Topic) -> str:
    """Return what differs between the declared topic and the live one."""
    pairs: list[tuple[str, object, object]] = [
        ("partitions", declared.partitions, live.partitions),
        ("replication_factor", declared.replication_factor, live.replication_factor),
    ]
    differences = [(key, wanted, actual) for key, wanted, actual in pairs if wanted not in (-1, actual)]
    for key in sorted(declared.config.keys() | live.config.keys()):
        wanted, has = declared.config.get(key), live.config.get(key)
        if wanted is None or has is None or not catalog.same(key, wanted, has):
            differences.append((key, "not set" if wanted is None else wanted, "not set" if has is None else has))
    return ", ".join(f"{key} {has} instead of {wanted}" for key, wanted, has in differences)


def find_conflict(declared: Topic, live: Topic) -> Conflict | None:
    """Return the conflict with a topic that another client created meanwhile; None where it is as declared."""
    if is_as_declared(declared, live):
        return None
    differences = describe_differences(declared, live)
    return Conflict(
        f"another client has created topic {declared.name}, and it differs: {differences}",
        help="plan again, and see what the plan would change of it",
    )


def is_visible(change: Change, live: Topic | None) -> bool:
    """Return whether `live` shows the update."""
    if live is None:
        return False
    sets, resets = config_changes(change)
    return (
        new_partitions(change) in (None, live.partitions)
        and all(key in live.config and catalog.same(key, value, live.config[key]) for key, value in sets.items())
        and not any(key in live.config for key in resets)
    )


def describe_arrived(count: int) -> str:
    """Return why a topic that is only deleted while empty is kept."""
    return f"{count} record{'' if count == 1 else 's'} arrived"


def no_reassignment_error(
    change: Change, replicas: Replicas, brokers: Mapping[int, str], installed: bool = True
) -> KplanError | None:
    """Return why a replication factor cannot be changed where the plan does not say which replicas to move."""
    factor, name = new_factor(change), change.address.name
    if factor is None or reassignment_of(change) is not None:
        return None
    if new_partitions(change) is not None:
        message = f"{name} is to have {new_partitions(change)} partitions and {factor} replicas of each"
        return Rejected(
            message, code=codes.K330, help="apply the one first and then the other: only replicas can be put back"
        )
    if factor > len(brokers):
        return Rejected(f"replication factor {factor} of {name} needs as many brokers, there are {len(brokers)}")
    message = f"the replication factor of {name} becomes {factor} by moving replicas"
    tool = (
        "write this to a file and run kafka-reassign-partitions.sh --execute --reassignment-json-file FILE: "
        + document(name, assign(replicas, brokers, factor))
    )
    if installed:
        return Unsupported(f"{message}, and this plan does not say which", help=f"make the plan again; or {tool}")
    return Unsupported(
        f"{message}, which takes a client that is not installed",
        code=codes.K327,
        help=f"pip install 'kplan[admin]'; or {tool}",
    )


def capture_replicas(change: Change, now: Replicas) -> dict[str, Any]:
    """Return the places of the replicas before they move. Raises Stale where the plan has other places."""
    reassignment = reassignment_of(change)
    before = reassignment.before if reassignment else {}
    differing = [
        partition for partition, replicas_of_partition in before.items() if now.get(partition) != replicas_of_partition
    ]
    if differing:
        partition = min(differing)
        raise Stale(
            f"{change.address} partition {partition}: planned from brokers {_join_brokers(before[partition])}, "
            f"now {_join_brokers(now.get(partition, ()))}",
            help="its replicas were moved meanwhile: make the plan again",
        )
    return {"replicas": {str(partition): list(now[partition]) for partition in sorted(before)}}


def _join_brokers(brokers: Sequence[int]) -> str:
    return ", ".join(map(str, brokers)) or "none"


def configs_follow_replicas(change: Change) -> bool:
    """Return whether the update's configs come after its replicas: min.insync.replicas may only grow after them."""
    reassignment = reassignment_of(change)
    return reassignment is not None and reassignment.grows


def find_insync_problem(change: Change) -> Diagnostic | None:
    """Return the error of an update after which writes with acks=all would fail. Brokers accept it."""
    before, after = change.before, change.after
    if change.action is not Action.UPDATE or not isinstance(before, Topic) or not isinstance(after, Topic):
        return None
    sets, resets = config_changes(change)
    moves = reassignment_of(change) is not None
    replicas = after.replication_factor if moves else before.replication_factor
    remaining = before.config.get(INSYNC, "1") if moves and INSYNC not in resets else "1"
    insync = sets.get(INSYNC, remaining)
    if not insync.isdecimal() or replicas < 1 or int(insync) <= replicas:
        return None
    return error(
        codes.K111, "more in-sync replicas are asked for than there are replicas",
        f"min.insync.replicas {insync} > replication factor {replicas}",
        help="Kafka accepts this and then refuses every write with acks=all: lower it",
        address=change.address, path=f"/config/{INSYNC}",
    )  # fmt: skip
