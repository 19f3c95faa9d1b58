"""What a change of a topic has in addition to its differences: the reassignment of its replicas, and the topic's id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kplan.model import Change, ChangeOptions
from kplan.values import dataclass

Replicas = Mapping[int, tuple[int, ...]]  # by partition: the brokers that hold it, the preferred leader first


@dataclass(frozen=True, slots=True)
class Reassignment:
    """The replicas of those partitions that get others. `bytes` are copied (None: not known), `throttle` a second."""

    before: Replicas
    after: Replicas
    bytes: int | None = None
    throttle: int | None = None

    def find_added(self, partition: int) -> tuple[int, ...]:
        return tuple(broker for broker in self.after[partition] if broker not in self.before[partition])

    def find_removed(self, partition: int) -> tuple[int, ...]:
        return tuple(broker for broker in self.before[partition] if broker not in self.after[partition])

    @property
    def grows(self) -> bool:
        """Whether a partition has more replicas afterwards."""
        return any(len(self.after[partition]) > len(replicas) for partition, replicas in self.before.items())

    @property
    def back(self) -> Reassignment:
        """Return the way back. How many bytes it copies is known only if it copies none."""
        turned = Reassignment(self.after, self.before, None, self.throttle)
        return turned if any(map(turned.find_added, turned.after)) else replace(turned, bytes=0)


@dataclass(frozen=True, slots=True)
class TopicOptions(ChangeOptions):
    """`if_empty`: a deletion that is refused once the topic has records. `reassignment`: of a new replication factor.

    `topic_id` is that of the live topic; a topic created later under the same name has another one.
    """

    if_empty: bool = False
    reassignment: Reassignment | None = None
    topic_id: str = ""


def topic_options(change: Change) -> TopicOptions:
    """Return the options of a change of a topic; those of any other change are the usual ones."""
    options = change.options
    return options if isinstance(options, TopicOptions) else TopicOptions(options.effects, options.verified)


def reassignment_of(change: Change) -> Reassignment | None:
    """Return the reassignment that a change of a topic makes."""
    return topic_options(change).reassignment
