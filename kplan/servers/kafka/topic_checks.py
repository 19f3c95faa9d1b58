"""Asks the brokers which changes of topics they would refuse."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from confluent_kafka.admin import AclOperation  # type: ignore[attr-defined]

from kplan.diagnostics import Conflict, Diagnostic, ErrorClass, KplanError
from kplan.kinds.acl.permissions import Acl
from kplan.model import Action, Address, Change, Topic
from kplan.servers import topics as shared
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.errors import Forbidden, to_diagnostic
from kplan.servers.kafka.reassign import Reassignments
from kplan.servers.kafka.topic_reader import MAX_DESCRIBED_PER_REQUEST, TopicReader
from kplan.servers.kafka.topic_requests import Failures, TopicRequests
from kplan.values import dataclass


@dataclass(frozen=True, eq=False)
class TopicChecks:
    """Finds what would be refused. `warn` takes what could not be checked."""

    client: Client
    reader: TopicReader
    requests: TopicRequests
    replicas: Reassignments
    warn: Callable[[str], None]

    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """Return what the brokers refuse of creates and updates (`validate_only`, in as few requests as possible).

        Only the right to delete can be checked for a delete, and also the configs for a replacement, so those without a
        problem are left out.
        """
        diagnostics: dict[Address, list[Diagnostic]] = {}
        creates = [change for change in changes if change.action is Action.CREATE]
        updates = [change for change in changes if change.action is Action.UPDATE]
        self._add_refusals(diagnostics, self._validate_creates([shared.desired_topic(change) for change in creates]))
        settings = {change.address.name: shared.config_changes(change) for change in updates}
        self._add_refusals(diagnostics, self.requests.set_configs(settings, validate=True))
        counts = {change.address.name: count for change in updates if (count := shared.new_partitions(change))}
        self._add_refusals(diagnostics, self.requests.add_partitions(counts, validate=True))
        self._add_refusals(diagnostics, self.replicas.find_problems(updates))
        for change in updates:
            if problem := shared.find_insync_problem(change):
                diagnostics.setdefault(change.address, []).append(problem)
            diagnostics.setdefault(change.address, [])
        replaced = [change for change in changes if change.action is Action.REPLACE]
        self._add_refusals(diagnostics, self.validate_replacements(replaced), only_problems=True)
        to_delete = [c.address.name for c in changes if c.action in (Action.DELETE, Action.REPLACE)]
        self._add_refusals(diagnostics, self._find_undeletable(to_delete), only_problems=True)
        return diagnostics

    def _find_undeletable(self, names: Sequence[str]) -> Failures:
        """Return the topics that this user must not delete; no request checks only that."""
        failures: Failures = {}
        for chunk in shared.make_batches(names, lambda _: 1, MAX_DESCRIBED_PER_REQUEST):
            answers = self.client.retry(partial(self.reader.describe, chunk, rights=True))
            for name, answer in answers.items():
                rights = None if isinstance(answer, KplanError) else answer.authorized_operations
                if rights is not None and AclOperation.DELETE not in rights:
                    failures[name] = self.client.add_acl(Forbidden("Delete"), Acl("Delete", "Topic", name))
        return failures

    def _add_refusals(
        self, diagnostics: dict[Address, list[Diagnostic]], answers: Failures, only_problems: bool = False
    ) -> None:
        """Add the refusals. What could not be asked is only a warning: it counts as not checked."""
        for name, problem in answers.items():
            address = Address("topic", name)
            if problem is None:
                if not only_problems:
                    diagnostics.setdefault(address, [])
            elif problem.error_class is ErrorClass.RETRIABLE:
                self.warn(f"{address} could not be checked: {problem.message}")
            else:
                diagnostics.setdefault(address, []).append(to_diagnostic(problem, address))

    def _validate_creates(self, topics: Sequence[Topic]) -> Failures:
        failures: Failures = {topic.name: shared.find_refusal(topic) for topic in topics}
        for batch in shared.make_batches([t for t in topics if failures[t.name] is None], shared.count_records):
            failures |= self.requests.create(batch, validate=True)
        return failures

    def validate_replacements(self, changes: Sequence[Change]) -> Failures:
        """Return why the new topics would be refused, as far as that is known while the old ones exist."""
        new = {change.address.name: shared.desired_topic(change) for change in changes}
        failures: Failures = {
            n: shared.find_refusal(topic) or self._refuse_too_many_replicas(topic) for n, topic in new.items()
        }
        old = {c.address.name: c.before.config if isinstance(c.before, Topic) else {} for c in changes}
        settings = {n: (new[n].config, tuple(old[n].keys() - new[n].config.keys())) for n in new if failures[n] is None}
        answers = self.requests.set_configs(settings, validate=True)
        return failures | {name: None if isinstance(answer, Conflict) else answer for name, answer in answers.items()}

    def _refuse_too_many_replicas(self, topic: Topic) -> KplanError | None:
        brokers = len(self.client.cluster().nodes)
        if topic.replication_factor <= brokers:
            return None
        return shared.too_many_replicas_error(topic.replication_factor, brokers)
