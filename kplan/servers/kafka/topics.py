"""Topics on real brokers, through librdkafka's admin client."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from kplan.diagnostics import Diagnostic, Span
from kplan.kinds.topic.placement import Placement
from kplan.model import Action, Address, Change, Facts, Resource, Target
from kplan.model.forecast import StorageState
from kplan.servers.base import KAFKA, BackendState, Outcome, Progress, ReportProgress, ignore_progress
from kplan.servers.connection_errors import NO_PLACES
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.facts import FactsReader, sum_end_offsets
from kplan.servers.kafka.reassign import Reassignments
from kplan.servers.kafka.topic_changes import TopicChanges
from kplan.servers.kafka.topic_checks import TopicChecks
from kplan.servers.kafka.topic_delivery import TopicDelivery
from kplan.servers.kafka.topic_reader import TopicReader
from kplan.servers.kafka.topic_requests import TopicRequests
from kplan.servers.kafka.topic_settling import TopicSettling
from kplan.servers.kafka.topic_visibility import TopicVisibility


def _log_warning(message: str) -> None:
    """Log a warning that no one else takes."""
    logging.getLogger("kplan.kafka").warning("%s", message)


class KafkaTopics:
    """The topics of a Kafka cluster. `warn` takes what a user should know and what stops nothing."""

    kind = "topic"
    server = KAFKA
    check_name = "validate_only"

    def __init__(self, config: Mapping[str, str], *, request_timeout: float = 30, settle_timeout: float = 120,
                 attempts: int = 3, delay: float = 2, secrets: Sequence[str] = (),
                 warn: Callable[[str], None] = _log_warning, tell: ReportProgress = ignore_progress,
                 reassign_timeout: float = 3600, throttle: int | None = None,
                 places: Mapping[str, Span] = NO_PLACES) -> None:  # fmt: skip
        self.client = Client(config, request_timeout, attempts, delay, secrets, warn, places)
        self._replicas = Reassignments(self.client, reassign_timeout, throttle)
        self._reader = TopicReader(self.client, tell)
        self._requests = TopicRequests(self.client)
        self._checks = TopicChecks(self.client, self._reader, self._requests, self._replicas, warn)
        visibility = TopicVisibility(self.client, self._reader, settle_timeout, tell)
        delivery = TopicDelivery(self.client, self._reader)
        self._changes = TopicChanges(self.client, self._reader, self._requests, delivery, self._checks, visibility,
                                     self._replicas, tell)  # fmt: skip
        self._settling = TopicSettling(self._changes, visibility, self._replicas)

    @property
    def retries(self) -> int:
        return self.client.retries

    def identify(self) -> Target:
        """Return which cluster this is. Raises Unreachable or Denied, with the reason that only librdkafka has."""
        cluster = self.client.cluster()
        return Target(cluster.cluster_id or "", self.client.bootstrap, len(cluster.nodes))

    def close(self) -> None:
        self._replicas.close()
        self.client.close()

    def read(self, names: Collection[str] | None) -> BackendState:
        """Read the live topics: one metadata request, configs in chunks, and missing ones by name."""
        return self._reader.read(names)

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        """Return the ids of the topics that exist and may be described; a broker before 2.8 has none."""
        return self._reader.read_ids(names)

    def placement(self, names: Collection[str]) -> Placement:
        """Return where the replicas are, by the metadata; their sizes by the brokers' log folders."""
        return self._replicas.placement(names)

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """Return what the brokers refuse of the changes, as far as they can be asked."""
        return self._checks.check(changes)

    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """Return the id of each topic that is replaced, and where replicas are that are moved.

        The id distinguishes the old topic from the new; records cannot be remembered.
        """
        captured: dict[Address, Mapping[str, Any]] = self._replicas.capture(changes)
        replaced = [change.address.name for change in changes if change.action is Action.REPLACE]
        return captured | {address: {"topic_id": id} for address, id in self.read_ids(replaced).items()}

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Send creates, updates, deletes and replacements, each kind in batches."""
        return self._changes.act(changes, captured)

    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Wait until each topic is on every living broker as declared (or on none), or time is up."""
        return self._settling.settle(changes, progress)

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        """Return records, the times of the oldest and the newest, and the consumer groups with their lag; not bytes."""
        return FactsReader(self.client).read(names) if names else {}

    def read_storage(self, names: Collection[str]) -> StorageState:
        """Return the bytes of these topics as far as they are known, and the replicas of each broker."""
        from kplan.servers.kafka.storage import read_storage

        return read_storage(self.client, self._replicas.mover, names)

    def read_inherited(self, name: str) -> Mapping[str, tuple[str, str]]:
        """Return what the topic takes from its brokers, and from Kafka itself. Raises KplanError."""
        return self._reader.read_inherited(name)

    def watch(self, addresses: Collection[Address], state: str) -> None:
        """Do nothing: no change of this kind takes a right of kplan's own user."""

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        return FactsReader(self.client).find_groups_with_positions(groups)

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        """Return none: no config of a topic is a password."""
        return {}

    def read_end_offsets(self, names: Collection[str]) -> Mapping[str, int]:
        """Return the sum of each topic's end offsets, which grows with each write; a missing topic has none."""
        return sum_end_offsets(self.client, names)
