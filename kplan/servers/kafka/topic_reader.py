"""Reads topics of a cluster: their shapes, configs and ids, and what may not be seen."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from confluent_kafka import TopicCollection
from confluent_kafka.admin import ConfigResource, ConfigSource  # type: ignore[attr-defined]

from kplan.diagnostics import Busy, Conflict, Denied, KplanError, Rejected, Timeout, Unreachable
from kplan.kinds.topic import configs as catalog
from kplan.model import Address, Topic
from kplan.servers import topics as shared
from kplan.servers.base import Reading, Tell, untold
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.errors import Forbidden
from kplan.servers.permissions import Acl

DESCRIBED_AT_ONCE: Final = 250  # topics in a DescribeConfigs request: 1,000 answer with 2 to 4 MB
AT_THE_SAME_TIME: Final = 2  # such requests; a broker answers those of one connection one after the other
NO_IDS: Final = ("", "None", "AAAAAAAAAAAAAAAAAAAAAA")  # the last is Kafka's zero
ON_THE_TOPIC: Final = frozenset({1, ConfigSource.DYNAMIC_TOPIC_CONFIG})  # `source` is an int today
_TOPIC: Final = ConfigResource.Type.TOPIC


@dataclass(frozen=True, eq=False)
class TopicReader:
    """The live topics of a cluster. `tell` hears how many have been read."""

    client: Client
    tell: Tell

    def read(self, names: Collection[str] | None) -> Reading:
        """The live topics: one metadata request, configs in chunks, and what is missing asked for by name."""
        self.client.cluster()
        listed = self.client.metadata().topics
        there = [name for name in (listed if names is None else dict.fromkeys(names)) if name in listed]
        resources, sealed = self._described({name: shape_of(listed[name].partitions.values()) for name in there})
        unseen: set[str] = set()
        missing = [] if names is None else [name for name in dict.fromkeys(names) if name not in listed]
        if missing:
            late, unseen = self._by_name(missing)
            found, more = self._described(late)
            resources |= found
            sealed |= more
        refused = self._refused("DescribeConfigs", sealed) | self._refused("Describe", unseen)
        return Reading({topic.address: topic for topic in resources.values()}, frozenset(listed), frozenset(refused),
                       refused=refused)  # fmt: skip

    def _refused(self, right: str, names: Iterable[str]) -> dict[Address, KplanError]:
        """For each topic the lack of this right."""
        return {
            Address("topic", n): self.client.named(Forbidden("hidden"), Acl(right, "Topic", n)) for n in sorted(names)
        }

    def _described(self, shapes: Mapping[str, tuple[int, int]]) -> tuple[dict[str, Topic], set[str]]:
        """The topics of these partitions and replicas with their configs, and those whose configs may not be seen."""
        found: dict[str, Topic] = {}
        hidden: set[str] = set()
        left, why = list(shapes), ""
        for attempt in range(1, self.client.attempts + 1):
            answers = self.read_configs(left, tell=self.tell)
            left = []
            for name, answer in answers.items():
                if isinstance(answer, Denied):
                    hidden.add(name)
                elif isinstance(answer, Conflict):
                    left.append(name)  # this broker does not know it yet, or no longer
                    why = answer.message
                elif isinstance(answer, KplanError):
                    raise answer
                else:
                    found[name] = Topic(name, *shapes[name], answer)
            if not left or attempt == self.client.attempts:
                break
            self.client.pause(attempt, why)
        return found, hidden

    def read_configs(self, names: Collection[str], broker: int | None = None, tell: Tell = untold) -> dict[str, Any]:
        """What is set on each topic itself, or a KplanError, as a broker (this one, or any) knows it.

        The broker answers one request while the answer to the one before is made into Python's objects, which takes as
        long: 5,000 topics in 1.3 s instead of 2.5 s (two cores, Kafka 4.3.1 on the same machine).
        """
        found: dict[str, Any] = {}
        ask = lambda chunk: self.client.retried(partial(self._config_chunk, chunk, broker))  # noqa: E731
        tell("topics read", 0, len(names))
        with ThreadPoolExecutor(AT_THE_SAME_TIME) as pool:
            for answers in pool.map(ask, list(shared.batches(names, lambda _: 1, DESCRIBED_AT_ONCE))):
                found |= answers
                tell("topics read", len(found), len(names))
        return found

    def _config_chunk(self, names: Sequence[str], broker: int | None) -> dict[str, Any]:
        resources = [ConfigResource(_TOPIC, name) for name in names]
        if broker is not None:  # a broker among the resources makes librdkafka ask that broker
            resources.append(ConfigResource(ConfigResource.Type.BROKER, str(broker)))
        seconds = self.client.patience
        every = self.client.asked(
            lambda: self.client.admin.describe_configs(resources, request_timeout=seconds), "describe configs"
        )
        answers = {resource.name: answer for resource, answer in every.items() if resource.restype == _TOPIC}
        silent = next((a for a in answers.values() if isinstance(a, Busy | Timeout | Unreachable)), None)
        if silent is not None:
            raise silent
        return {
            name: answer if isinstance(answer, KplanError) else _set_here(answer) for name, answer in answers.items()
        }

    def _by_name(self, names: Sequence[str]) -> tuple[dict[str, tuple[int, int]], set[str]]:
        """Of topics that are not listed: those that are there after all, and those that are hidden."""
        shapes, hidden = {}, set()
        for chunk in shared.batches(names, lambda _: 1, DESCRIBED_AT_ONCE):
            for name, answer in self.client.retried(partial(self.describe, chunk)).items():
                if isinstance(answer, Denied):
                    hidden.add(name)
                elif not isinstance(answer, KplanError):
                    shapes[name] = shape_of(answer.partitions)
        return shapes, hidden

    def describe(self, names: Sequence[str], rights: bool = False) -> dict[str, Any]:
        asked = [name for name in names if catalog.check_name(name) is None]
        if not asked:
            return {}
        ask = TopicCollection(asked)
        answers = self.client.asked(lambda: self.client.admin.describe_topics(
            ask, include_authorized_operations=rights, request_timeout=self.client.patience),
            "describe topics")  # fmt: skip
        for answer in answers.values():
            if isinstance(answer, KplanError) and not isinstance(answer, Conflict | Denied | Rejected):
                raise answer
        return answers

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        """The ids of the topics that are there and may be described; a broker of before 2.8 has none."""
        found: dict[Address, str] = {}
        for chunk in shared.batches(list(names), lambda _: 1, DESCRIBED_AT_ONCE):
            for name, answer in self.client.retried(partial(self.describe, chunk)).items():
                if not isinstance(answer, KplanError) and str(answer.topic_id) not in NO_IDS:
                    found[Address("topic", name)] = str(answer.topic_id)
        return found

    def look_at(self, names: Sequence[str], pause: bool) -> dict[str, Topic | None]:
        """The live topics of these names, None for one that is absent; nothing at all where they cannot be read."""
        if not names:
            return {}
        if pause:  # what is still on its way in the server gets the time to arrive
            self.client.pause(1, "an answer was lost, so live state is read")
        try:
            reading = self.read(names)
        except KplanError:
            return {}
        seen = {name: reading.resources.get(Address("topic", name)) for name in names}
        return {
            n: t if isinstance(t, Topic) else None for n, t in seen.items() if Address("topic", n) not in reading.hidden
        }


def shape_of(partitions: Iterable[Any]) -> tuple[int, int]:
    """The count of partitions and of the first one's replicas."""
    known = list(partitions)
    return len(known), len(known[0].replicas) if known else 0


def _set_here(entries: Mapping[str, Any]) -> dict[str, str]:
    """What is set on the topic itself: `source == 1`, not `not is_default`."""
    return {name: entry.value or "" for name, entry in entries.items() if entry.source in ON_THE_TOPIC}
