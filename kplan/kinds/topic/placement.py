"""Which brokers hold a topic's replicas: how they come to be more or fewer, and what that moves."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace

from kplan.diagnostics import Diagnostic, codes, error, warning
from kplan.kinds.topic.options import Reassignment, Replicas, reassignment_of, topic_options
from kplan.model import Action, AttrDiff, Change, Stack, Target, Topic
from kplan.text import count, join_names
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class Placement:
    """Where replicas are. `brokers` are the living ones with their racks (empty: none), `replicas` by topic's name.

    `sizes` are bytes of one replica by topic and partition, as far as they are known. `movable`: this backend can
    reassign partitions. `throttle` is how many bytes a second a broker may give and take meanwhile; None: any.
    """

    brokers: Mapping[int, str] = field(default_factory=dict)
    replicas: Mapping[str, Replicas] = field(default_factory=dict)
    sizes: Mapping[tuple[str, int], int] = field(default_factory=dict)
    movable: bool = False
    throttle: int | None = None


def assign(now: Replicas, brokers: Mapping[int, str], factor: int) -> Replicas:
    """Return the replicas with `factor` of them in each partition. Raises ValueError where there are fewer living
    brokers.

    Each partition keeps its first living replica, which is its preferred leader, and as many of the others as it can.
    What is added spreads over racks first, then evenly over the brokers; what goes is what lives on no broker, then
    what shares a rack, then what is on the fullest broker.
    """
    if not 1 <= factor <= len(brokers):
        raise ValueError(f"{factor} replicas need as many brokers, there are {len(brokers)}")
    held = Counter(broker for each in now.values() for broker in each)
    found = {partition: list(replicas) for partition, replicas in sorted(now.items())}
    for chosen in found.values():
        while len(chosen) > factor:
            gone = _spare(chosen, brokers, held)
            chosen.remove(gone)
            held[gone] -= 1
    for chosen in found.values():
        while len(chosen) < factor:
            chosen.append(_next(chosen, brokers, held))
            held[chosen[-1]] += 1
    return {partition: tuple(chosen) for partition, chosen in found.items()}


def _spare(replicas: Sequence[int], brokers: Mapping[int, str], held: Mapping[int, int]) -> int:
    """Return the replica that is missed least."""
    racks = Counter(brokers[broker] for broker in replicas if broker in brokers)
    leader = next((broker for broker in replicas if broker in brokers), replicas[0])

    def rank_place(place: int) -> tuple[bool, bool, int, int]:
        broker = replicas[place]
        alone = racks[brokers.get(broker, "")] < 2
        return broker in brokers, alone, -held[broker], -place

    return replicas[min((n for n, broker in enumerate(replicas) if broker != leader), key=rank_place)]


def _next(replicas: Sequence[int], brokers: Mapping[int, str], held: Mapping[int, int]) -> int:
    """Return the broker that gets the next replica: the first after the leader in the ring of those that are equally
    good.
    """
    racks = Counter(brokers[broker] for broker in replicas if broker in brokers)
    ring = sorted(brokers)
    after = sum(1 for broker in ring if broker <= replicas[0]) if replicas else 0

    def distance(broker: int) -> int:
        return (ring.index(broker) - after) % len(ring)

    free = (broker for broker in ring if broker not in replicas)
    return min(free, key=lambda broker: (racks[brokers[broker]], held[broker], distance(broker)))


def plan_reassignment(name: str, factor: int, where: Placement) -> Reassignment | None:
    """Return the reassignment that gives the topic so many replicas; None where nothing can be said or done."""
    now = where.replicas.get(name)
    if not where.movable or not now or not 1 <= factor <= len(where.brokers):
        return None
    after = assign(now, where.brokers, factor)
    moved = {partition for partition in now if now[partition] != after[partition]}
    found = Reassignment({p: now[p] for p in moved}, {p: after[p] for p in moved})
    known = all((name, partition) in where.sizes for partition in moved)
    copied = sum(where.sizes.get((name, p), 0) * len(found.find_added(p)) for p in moved) if known else None
    return Reassignment(found.before, found.after, copied, where.throttle)


def describe_reassignment(moved: Reassignment) -> str:
    """Return what is moved, in words: `adds 4 replicas on brokers 2, 3, in 2 partitions`."""
    added = [broker for partition in moved.after for broker in moved.find_added(partition)]
    removed = [broker for partition in moved.after for broker in moved.find_removed(partition)]
    parts = [f"{verb} {_describe_brokers(some)}" for verb, some in (("adds", added), ("removes", removed)) if some]
    return f"{', '.join(parts)}, in {count(len(moved.after), 'partition')}"


def _describe_brokers(brokers: Sequence[int]) -> str:
    place = join_names([str(broker) for broker in sorted(set(brokers))], 8)
    return f"{count(len(brokers), 'replica')} on {'broker' if len(set(brokers)) == 1 else 'brokers'} {place}"


def document(name: str, replicas: Replicas) -> str:
    """Return the JSON that `kafka-reassign-partitions.sh` takes."""
    partitions = [{"topic": name, "partition": p, "replicas": list(r)} for p, r in sorted(replicas.items())]
    return json.dumps({"version": 1, "partitions": partitions})


# -- the throttle, as kafka-reassign-partitions.sh --throttle sets it --------------------------------------------------
LEADER_RATE, FOLLOWER_RATE = "leader.replication.throttled.rate", "follower.replication.throttled.rate"
LEADERS, FOLLOWERS = "leader.replication.throttled.replicas", "follower.replication.throttled.replicas"


def make_throttle_configs(moved: Reassignment) -> dict[str, str]:
    """Return the topic's configs that name the replicas which are copied from, and those which are copied to
    (KIP-73).
    """
    copied = [partition for partition in sorted(moved.after) if moved.find_added(partition)]
    return {
        LEADERS: ",".join(f"{p}:{broker}" for p in copied for broker in moved.before[p]),
        FOLLOWERS: ",".join(f"{p}:{broker}" for p in copied for broker in moved.find_added(p)),
    }


def list_brokers(several: Collection[Reassignment]) -> Iterator[int]:
    """Yield the brokers that give or take replicas, each once."""
    yield from sorted(
        {b for moved in several for side in (moved.before, moved.after) for r in side.values() for b in r}
    )


def warn_of_single_replicas(stack: Stack, target: Target) -> Iterator[Diagnostic]:
    """Yield a warning for topics with one replica on a cluster that could hold three."""
    single = [r for r in stack.resources.values() if isinstance(r, Topic) and r.replication_factor == 1]
    if target.brokers < 3 or not single:
        return
    yield warning(
        codes.K225,
        "one replica on a cluster of several brokers",
        join_names([topic.name for topic in single], 3),
        span=single[0].origin.span,
        help="a broker's disk is the only copy: set replication_factor: 3",
    )


def find_factor_change(change: Change) -> AttrDiff | None:
    """Return the difference by which a topic gets another replication factor in place."""
    found = (diff for diff in change.diffs if diff.path == "/replication_factor")
    return next(found, None) if change.action is Action.UPDATE else None


def add_reassignment(change: Change, where: Placement) -> Change:
    """Return the change with the reassignment that gives the topic so many replicas; partitions are added first."""
    factor = find_factor_change(change)
    if factor is None or any(diff.path == "/partitions" for diff in change.diffs):
        return change
    moved = plan_reassignment(change.address.name, int(str(factor.after)), where)
    if moved is None:
        return change
    effects = (*change.options.effects, describe_reassignment(moved))
    return replace(change, options=replace(topic_options(change), reassignment=moved, effects=effects))


def find_immovable(changes: Iterable[Change]) -> list[Diagnostic]:
    """Return what a server's check would say of a replication factor whose replicas cannot be moved from here."""
    return [
        error(
            codes.K315,
            "this server or client cannot do it",
            f"the replication factor of {change.address.name} is {diff.before}, the stack says {diff.after}",
            help="plan without --offline: what moves, or the JSON for kafka-reassign-partitions.sh, is shown then",
            span=change.after.origin.at(diff.path) if change.after else change.span,
            address=change.address,
            path=diff.path,
        )
        for change in changes
        if (diff := find_factor_change(change)) is not None and reassignment_of(change) is None
    ]
