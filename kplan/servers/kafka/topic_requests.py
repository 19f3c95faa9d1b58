"""Requests that change topics, in as few as possible; with `validate` brokers only return what they refuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future
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

from kplan.diagnostics import KplanError, Rejected, Unsupported
from kplan.kinds.acl.permissions import Acl
from kplan.model import Topic
from kplan.servers import topics as shared
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.features import PARTITIONS, SETTINGS, TOPICS, make_missing_error
from kplan.values import dataclass

Failures = dict[str, KplanError | None]  # by topic; None: it succeeded
ConfigChanges = Mapping[str, tuple[Mapping[str, str], Sequence[str]]]  # by topic: what is set, and what is reset

_REQUESTS: Final = {
    "Create": "create topics", "Delete": "delete topics", "AlterConfigs": "alter configs", "Alter": "add partitions",
}  # by the right that they take  # fmt: skip
_FEATURES: Final = {"Create": TOPICS, "Delete": TOPICS, "AlterConfigs": SETTINGS, "Alter": PARTITIONS}


@dataclass(frozen=True, eq=False)
class TopicRequests:
    """Sends requests once, and maps the answer for each topic."""

    client: Client

    def _send(self, right: str, names: Iterable[str], send: Callable[[], Mapping[Any, Future[Any]]]) -> Failures:
        """Return whether each was accepted; what the client itself refuses (before sending) is refused for each.

        `right` is the operation that the user must be allowed on each topic.
        """
        try:
            answers = self.client.await_answers(send(), _REQUESTS[right])
        except (KafkaException, ValueError, TypeError) as exception:
            return dict.fromkeys(names, self.client.map_error(exception))
        by_name = {getattr(key, "name", key): answer for key, answer in answers.items()}
        return {
            name: self._explain(answer, Acl(right, "Topic", name)) if isinstance(answer, KplanError) else None
            for name, answer in by_name.items()
        }

    def _explain(self, refusal: KplanError, right: Acl) -> KplanError:
        """Return the refusal with the missing right, or with what to do where brokers do not know the request."""
        if isinstance(refusal, Unsupported):
            return make_missing_error(_FEATURES[right.operation], refusal.message)
        return self.client.add_acl(refusal, right)

    def create(self, topics: Sequence[Topic], validate: bool = False) -> Failures:
        """Create the topics."""
        new = [NewTopic(t.name, t.partitions, t.replication_factor, config=dict(t.config)) for t in topics]
        seconds = self.client.timeout
        create = partial(self.client.admin.create_topics, new, validate_only=validate, operation_timeout=seconds)
        return self._send("Create", [t.name for t in topics], partial(create, request_timeout=seconds))

    def delete(self, names: Sequence[str]) -> Failures:
        """Delete the topics."""
        delete = partial(self.client.admin.delete_topics, list(names), operation_timeout=self.client.timeout)
        return self._send("Delete", names, partial(delete, request_timeout=self.client.timeout))

    def set_configs(self, settings: ConfigChanges, validate: bool = False) -> Failures:
        """Set and reset configs: all of one topic's or none."""
        failures: Failures = {}
        changes = [(name, sets, resets) for name, (sets, resets) in settings.items() if sets or resets]
        for batch in shared.make_batches(changes, lambda each: len(each[1]) + len(each[2])):
            resources = [_make_alteration(*each) for each in batch]
            alter = partial(self.client.admin.incremental_alter_configs, resources, validate_only=validate)
            names = [each[0] for each in batch]
            failures |= self._send("AlterConfigs", names, partial(alter, request_timeout=self.client.timeout))
        return failures

    def add_partitions(self, counts: Mapping[str, int], validate: bool = False) -> Failures:
        """Increase the number of partitions of the topics."""
        seconds = self.client.timeout
        failures: Failures = {name: _refuse_count(count) for name, count in counts.items()}
        for batch in shared.make_batches(
            [name for name in counts if failures[name] is None], lambda name: counts[name]
        ):
            new = [NewPartitions(name, counts[name]) for name in batch]
            grow = partial(self.client.admin.create_partitions, new, validate_only=validate, operation_timeout=seconds)
            failures |= self._send("Alter", batch, partial(grow, request_timeout=seconds))
        return failures


def _make_alteration(name: str, sets: Mapping[str, str], resets: Iterable[str]) -> ConfigResource:
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in sets.items()]
    entries += [ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE) for key in resets]
    return ConfigResource(ConfigResource.Type.TOPIC, name, incremental_configs=entries)


def _refuse_count(count: int) -> KplanError | None:
    return None if 1 <= count <= shared.MAX_PARTITIONS else Rejected(f"{count} partitions are not possible")
