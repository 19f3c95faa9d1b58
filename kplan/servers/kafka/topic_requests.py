"""Requests that change topics, each kind in as few as it takes; with `validate` brokers only say what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
)

from kplan.diagnostics import KplanError, Rejected
from kplan.model import Topic
from kplan.servers import topics as shared
from kplan.servers.kafka.client import Client
from kplan.servers.permissions import Acl

Failures = dict[str, KplanError | None]  # by topic; None: it is so
ConfigChanges = Mapping[str, tuple[Mapping[str, str], Sequence[str]]]  # by topic: what is set, and what is reset

_REQUESTS: Final = {
    "Create": "create topics", "Delete": "delete topics", "AlterConfigs": "alter configs", "Alter": "add partitions",
}  # by the right that they take  # fmt: skip


@dataclass(frozen=True, eq=False)
class TopicRequests:
    """Sends requests once, and maps what comes of each topic."""

    client: Client

    def _answered(self, right: str, names: Iterable[str], ask: Callable[[], Mapping[Any, Future[Any]]]) -> Failures:
        """Whether each was taken; what the client itself refuses (before sending) is refused for each.

        `right` is the operation that the user must be allowed on each topic.
        """
        try:
            answers = self.client.answers(ask(), _REQUESTS[right])
        except (KafkaException, ValueError, TypeError) as exception:
            return dict.fromkeys(names, self.client.mapped(exception))
        named = {getattr(key, "name", key): answer for key, answer in answers.items()}
        return {
            name: self.client.named(answer, Acl(right, "Topic", name)) if isinstance(answer, KplanError) else None
            for name, answer in named.items()
        }

    def create(self, topics: Sequence[Topic], validate: bool = False) -> Failures:
        """Makes the topics."""
        new = [NewTopic(t.name, t.partitions, t.replication_factor, config=dict(t.config)) for t in topics]
        seconds = self.client.timeout
        create = partial(self.client.admin.create_topics, new, validate_only=validate, operation_timeout=seconds)
        return self._answered("Create", [t.name for t in topics], partial(create, request_timeout=seconds))

    def delete(self, names: Sequence[str]) -> Failures:
        """Deletes the topics."""
        delete = partial(self.client.admin.delete_topics, list(names), operation_timeout=self.client.timeout)
        return self._answered("Delete", names, partial(delete, request_timeout=self.client.timeout))

    def set_configs(self, settings: ConfigChanges, validate: bool = False) -> Failures:
        """Sets and resets configs: all of one topic's or none."""
        found: Failures = {}
        some = [(name, sets, resets) for name, (sets, resets) in settings.items() if sets or resets]
        for batch in shared.batches(some, lambda each: len(each[1]) + len(each[2])):
            resources = [_alteration(*each) for each in batch]
            alter = partial(self.client.admin.incremental_alter_configs, resources, validate_only=validate)
            asked = [each[0] for each in batch]
            found |= self._answered("AlterConfigs", asked, partial(alter, request_timeout=self.client.timeout))
        return found

    def add_partitions(self, counts: Mapping[str, int], validate: bool = False) -> Failures:
        """Makes the topics have so many partitions."""
        seconds = self.client.timeout
        found: Failures = {name: _refuse_count(count) for name, count in counts.items()}
        for batch in shared.batches([name for name in counts if found[name] is None], lambda name: counts[name]):
            new = [NewPartitions(name, counts[name]) for name in batch]
            grow = partial(self.client.admin.create_partitions, new, validate_only=validate, operation_timeout=seconds)
            found |= self._answered("Alter", batch, partial(grow, request_timeout=seconds))
        return found


def _alteration(name: str, sets: Mapping[str, str], resets: Iterable[str]) -> ConfigResource:
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in sets.items()]
    entries += [ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE) for key in resets]
    return ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)


def _refuse_count(count: int) -> KplanError | None:
    return None if 1 <= count <= shared.MOST_PARTITIONS else Rejected(f"{count} partitions are not possible")
