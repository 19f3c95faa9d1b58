"""Asks the brokers what they would refuse of changes of topics."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from confluent_kafka.admin import AclOperation  # type: ignore[attr-defined]

from kplan.diagnostics import Conflict, Diagnostic, ErrorClass, KplanError
from kplan.model import Action, Address, Change, Topic
from kplan.servers import topics as shared
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.errors import Forbidden, diagnosed
from kplan.servers.kafka.reassign import Reassignments
from kplan.servers.kafka.topic_reader import DESCRIBED_AT_ONCE, TopicReader
from kplan.servers.kafka.topic_requests import Failures, TopicRequests
from kplan.servers.permissions import Acl


@dataclass(frozen=True, eq=False)
class TopicChecks:
    """What would be refused. `warn` takes what could not be checked."""

    client: Client
    reader: TopicReader
    requests: TopicRequests
    replicas: Reassignments
    warn: Callable[[str], None]

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """What the brokers refuse of creates and updates (`validate_only`, each kind in as few requests as it takes).

        Of deletes only the right to them can be checked, of a replacement that and its configs, so without a problem
        they are left out.
        """
        found: dict[Address, list[Diagnostic]] = {}
        creates = [change for change in changes if change.action is Action.CREATE]
        updates = [change for change in changes if change.action is Action.UPDATE]
        self._note(found, self._validate_creates([shared.wanted(change) for change in creates]))
        settings = {change.address.name: shared.settings(change) for change in updates}
        self._note(found, self.requests.set_configs(settings, validate=True))
        counts = {change.address.name: count for change in updates if (count := shared.growth(change))}
        self._note(found, self.requests.add_partitions(counts, validate=True))
        self._note(found, self.replicas.problems(updates))
        for change in updates:
            if problem := shared.too_few_replicas(change):
                found.setdefault(change.address, []).append(problem)
            found.setdefault(change.address, [])
        replaced = [change for change in changes if change.action is Action.REPLACE]
        self._note(found, self.validate_replaced(replaced), only_problems=True)
        going = [c.address.name for c in changes if c.action in (Action.DELETE, Action.REPLACE)]
        self._note(found, self._undeletable(going), only_problems=True)
        return found

    def _undeletable(self, names: Sequence[str]) -> Failures:
        """The topics that this user may not delete; there is no request that only checks that."""
        found: Failures = {}
        for chunk in shared.batches(names, lambda _: 1, DESCRIBED_AT_ONCE):
            answers = self.client.retried(partial(self.reader.describe, chunk, rights=True))
            for name, answer in answers.items():
                rights = None if isinstance(answer, KplanError) else answer.authorized_operations
                if rights is not None and AclOperation.DELETE not in rights:
                    found[name] = self.client.named(Forbidden("Delete"), Acl("Delete", "Topic", name))
        return found

    def _note(self, found: dict[Address, list[Diagnostic]], answers: Failures, only_problems: bool = False) -> None:
        """Adds the refusals. What could not be asked is warned of: it counts as not checked."""
        for name, problem in answers.items():
            address = Address("topic", name)
            if problem is None:
                if not only_problems:
                    found.setdefault(address, [])
            elif problem.error_class is ErrorClass.RETRIABLE:
                self.warn(f"{address} could not be checked: {problem.message}")
            else:
                found.setdefault(address, []).append(diagnosed(problem, address))

    def _validate_creates(self, topics: Sequence[Topic]) -> Failures:
        found: Failures = {topic.name: shared.refused(topic) for topic in topics}
        for batch in shared.batches([t for t in topics if found[t.name] is None], shared.weight):
            found |= self.requests.create(batch, validate=True)
        return found

    def validate_replaced(self, changes: Sequence[Change]) -> Failures:
        """What would refuse the new topics, as far as that can be known while the old ones are there."""
        new = {change.address.name: shared.wanted(change) for change in changes}
        found: Failures = {n: shared.refused(topic) or self._too_many_replicas(topic) for n, topic in new.items()}
        old = {c.address.name: c.before.config if isinstance(c.before, Topic) else {} for c in changes}
        settings = {n: (new[n].config, tuple(old[n].keys() - new[n].config.keys())) for n in new if found[n] is None}
        answers = self.requests.set_configs(settings, validate=True)
        return found | {name: None if isinstance(answer, Conflict) else answer for name, answer in answers.items()}

    def _too_many_replicas(self, topic: Topic) -> KplanError | None:
        brokers = len(self.client.cluster().nodes)
        if topic.replication_factor <= brokers:
            return None
        return shared.too_many_replicas(topic.replication_factor, brokers)
