"""Reads topics of a cluster: their shapes, configs and ids, and which ones are hidden."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from confluent_kafka import TopicCollection
from confluent_kafka.admin import ConfigResource, ConfigSource  # type: ignore[attr-defined]

from kplan.diagnostics import Busy, Conflict, Denied, KplanError, Rejected, Timeout, Unreachable
from kplan.kinds.acl.permissions import Acl
from kplan.kinds.topic import configs as catalog
from kplan.model import Address, Topic
from kplan.servers import topics as shared
from kplan.servers.base import BackendState, ReportProgress, ignore_progress
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.errors import Forbidden
from kplan.values import dataclass

MAX_DESCRIBED_PER_REQUEST: Final = 250  # topics in a DescribeConfigs request: 1,000 answer with 2 to 4 MB
MAX_PARALLEL_REQUESTS: Final = 2  # a broker answers the requests of one connection one after the other
NO_IDS: Final = ("", "None", "AAAAAAAAAAAAAAAAAAAAAA")  # the last is Kafka's zero
TOPIC_SOURCES: Final = frozenset({1, ConfigSource.DYNAMIC_TOPIC_CONFIG})  # `source` is an int in current versions
DEFAULT_SOURCES: Final = frozenset({5, ConfigSource.DEFAULT_CONFIG})
_TOPIC: Final = ConfigResource.Type.TOPIC


@dataclass(frozen=True, eq=False)
class TopicReader:
    """Reads the live topics of a cluster. `tell` receives how many have been read."""

    client: Client
    tell: ReportProgress

    def read(self, names: Collection[str] | None) -> BackendState:
        """Read the live topics: one metadata request, configs in chunks, and missing ones by name."""
        self.client.cluster()
        listed = self.client.metadata().topics
        present = [name for name in (listed if names is None else dict.fromkeys(names)) if name in listed]
        resources, hidden_configs = self._read_topics(
            {name: shape_of(listed[name].partitions.values()) for name in present}
        )
        hidden_topics: set[str] = set()
        missing = [] if names is None else [name for name in dict.fromkeys(names) if name not in listed]
        if missing:
            unlisted_shapes, hidden_topics = self._read_by_name(missing)
            unlisted, more_hidden = self._read_topics(unlisted_shapes)
            resources |= unlisted
            hidden_configs |= more_hidden
        refused = self._missing_right_errors("DescribeConfigs", hidden_configs) | self._missing_right_errors(
            "Describe", hidden_topics
        )
        return BackendState(
            {topic.address: topic for topic in resources.values()},
            frozenset(listed),
            frozenset(refused),
            refused=refused,
        )

    def _missing_right_errors(self, right: str, names: Iterable[str]) -> dict[Address, KplanError]:
        """Return, for each topic, the error of this missing right."""
        return {
            Address("topic", n): self.client.add_acl(Forbidden("hidden"), Acl(right, "Topic", n)) for n in sorted(names)
        }

    def _read_topics(self, shapes: Mapping[str, tuple[int, int]]) -> tuple[dict[str, Topic], set[str]]:
        """Return the topics of these partitions and replicas with their configs, and those with hidden configs."""
        topics: dict[str, Topic] = {}
        hidden: set[str] = set()
        remaining, reason = list(shapes), ""
        for attempt in range(1, self.client.attempts + 1):
            answers = self.read_configs(remaining, tell=self.tell)
            remaining = []
            for name, answer in answers.items():
                if isinstance(answer, Denied):
                    hidden.add(name)
                elif isinstance(answer, Conflict):
                    remaining.append(name)  # this broker does not know it yet, or not any more
                    reason = answer.message
                elif isinstance(answer, KplanError):
                    raise answer
                else:
                    topics[name] = Topic(name, *shapes[name], answer)
            if not remaining or attempt == self.client.attempts:
                break
            self.client.pause(attempt, reason)
        return topics, hidden

    def read_configs(
        self, names: Collection[str], broker: int | None = None, tell: ReportProgress = ignore_progress
    ) -> dict[str, Any]:
        """Return what is set on each topic itself, or a KplanError, as a broker (this one, or any) knows it.

        The broker answers one request while the previous answer is converted to Python objects, which takes as long:
        5,000 topics in 1.3 s instead of 2.5 s (two cores, Kafka 4.3.1 on the same machine).
        """
        configs: dict[str, Any] = {}
        read_chunk = lambda chunk: self.client.retry(partial(self._read_chunk, chunk, broker))  # noqa: E731
        tell("topics read", 0, len(names))
        with ThreadPoolExecutor(MAX_PARALLEL_REQUESTS) as pool:
            for answers in pool.map(
                read_chunk, list(shared.make_batches(names, lambda _: 1, MAX_DESCRIBED_PER_REQUEST))
            ):
                configs |= answers
                tell("topics read", len(configs), len(names))
        return configs

    def _read_chunk(self, names: Sequence[str], broker: int | None) -> dict[str, Any]:
        resources = [ConfigResource(_TOPIC, name) for name in names]
        if broker is not None:  # a broker among the resources makes librdkafka ask that broker
            resources.append(ConfigResource(ConfigResource.Type.BROKER, str(broker)))
        seconds = self.client.attempt_timeout
        all_answers = self.client.request(
            lambda: self.client.admin.describe_configs(resources, request_timeout=seconds), "describe configs"
        )
        answers = {resource.name: answer for resource, answer in all_answers.items() if resource.restype == _TOPIC}
        failure = next((a for a in answers.values() if isinstance(a, Busy | Timeout | Unreachable)), None)
        if failure is not None:
            raise failure
        return {
            name: answer if isinstance(answer, KplanError) else _configs_of_topic(answer)
            for name, answer in answers.items()
        }

    def read_inherited(self, name: str) -> dict[str, tuple[str, str]]:
        """Return the configs that the topic does not set itself, each with its value and who sets it: `broker`, or
        `kafka` for Kafka's own default. Raises KplanError."""
        resource = ConfigResource(_TOPIC, name)
        answers = self.client.request(
            lambda: self.client.admin.describe_configs([resource], request_timeout=self.client.attempt_timeout),
            "describe configs",
        )
        entries = next(iter(answers.values()))
        if isinstance(entries, KplanError):
            raise entries
        return {
            key: (entry.value or "", "kafka" if entry.source in DEFAULT_SOURCES else "broker")
            for key, entry in sorted(entries.items())
            if entry.source not in TOPIC_SOURCES and not entry.is_sensitive
        }

    def _read_by_name(self, names: Sequence[str]) -> tuple[dict[str, tuple[int, int]], set[str]]:
        """Return, of topics that are not listed, those that exist anyway, and those that are hidden."""
        shapes, hidden = {}, set()
        for chunk in shared.make_batches(names, lambda _: 1, MAX_DESCRIBED_PER_REQUEST):
            for name, answer in self.client.retry(partial(self.describe, chunk)).items():
                if isinstance(answer, Denied):
                    hidden.add(name)
                elif not isinstance(answer, KplanError):
                    shapes[name] = shape_of(answer.partitions)
        return shapes, hidden

    def describe(self, names: Sequence[str], rights: bool = False) -> dict[str, Any]:
        valid_names = [name for name in names if catalog.check_name(name) is None]
        if not valid_names:
            return {}
        collection = TopicCollection(valid_names)
        answers = self.client.request(lambda: self.client.admin.describe_topics(
            collection, include_authorized_operations=rights, request_timeout=self.client.attempt_timeout),
            "describe topics")  # fmt: skip
        for answer in answers.values():
            if isinstance(answer, KplanError) and not isinstance(answer, Conflict | Denied | Rejected):
                raise answer
        return answers

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        """Return the ids of the topics that exist and may be described; a broker before 2.8 has none."""
        ids: dict[Address, str] = {}
        for chunk in shared.make_batches(list(names), lambda _: 1, MAX_DESCRIBED_PER_REQUEST):
            for name, answer in self.client.retry(partial(self.describe, chunk)).items():
                if not isinstance(answer, KplanError) and str(answer.topic_id) not in NO_IDS:
                    ids[Address("topic", name)] = str(answer.topic_id)
        return ids

    def read_present(self, names: Sequence[str], pause: bool) -> dict[str, Topic | None]:
        """Return the live topics of these names, None for an absent one; nothing at all where they cannot be read."""
        if not names:
            return {}
        if pause:  # a request that is still in progress gets time to complete
            self.client.pause(1, "an answer was lost, so live state is read")
        try:
            reading = self.read(names)
        except KplanError:
            return {}
        topics = {name: reading.resources.get(Address("topic", name)) for name in names}
        return {
            n: t if isinstance(t, Topic) else None
            for n, t in topics.items()
            if Address("topic", n) not in reading.hidden
        }


def shape_of(partitions: Iterable[Any]) -> tuple[int, int]:
    """Return the number of partitions and of the first one's replicas."""
    all_partitions = list(partitions)
    return len(all_partitions), len(all_partitions[0].replicas) if all_partitions else 0


def _configs_of_topic(entries: Mapping[str, Any]) -> dict[str, str]:
    """Return what is set on the topic itself: `source == 1`, not `not is_default`."""
    return {name: entry.value or "" for name, entry in entries.items() if entry.source in TOPIC_SOURCES}
