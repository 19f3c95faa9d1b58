"""Makes changes of topics."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from typing import Any, Final

from kplan.diagnostics import Conflict, KplanError, Timeout
from kplan.kinds.topic.options import reassignment_of, topic_options
from kplan.model import Action, Address, Change, Topic
from kplan.servers import topics as shared
from kplan.servers.base import Outcome, ReportProgress
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.facts import count_records
from kplan.servers.kafka.reassign import Reassignments
from kplan.servers.kafka.topic_checks import TopicChecks
from kplan.servers.kafka.topic_delivery import TopicDelivery
from kplan.servers.kafka.topic_reader import TopicReader
from kplan.servers.kafka.topic_requests import ConfigChanges, Failures, TopicRequests
from kplan.servers.kafka.topic_visibility import TopicVisibility
from kplan.values import dataclass

NEW_TOPIC_ATTEMPTS: Final = 10  # to read a topic that another client just created
NEW_TOPIC_INTERVAL_S: Final = 0.3


@dataclass(frozen=True, eq=False)
class TopicChanges:
    """Creations, updates, deletions and replacements. `tell` receives how many topics have been created."""

    client: Client
    reader: TopicReader
    requests: TopicRequests
    delivery: TopicDelivery
    checks: TopicChecks
    visibility: TopicVisibility
    replicas: Reassignments
    tell: ReportProgress

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Send creates, updates, deletes and replacements, each kind in batches."""
        outcomes: dict[str, Outcome] = {}
        by_action: dict[Action, list[Change]] = {}
        for change in changes:
            by_action.setdefault(change.action, []).append(change)
        created = [shared.desired_topic(c) for c in by_action.get(Action.CREATE, ())]
        outcomes |= self._adopt_existing(created, self._create(created))
        outcomes |= _outcomes(self._update(by_action.get(Action.UPDATE, ()), captured))
        outcomes |= self._delete(by_action.get(Action.DELETE, ()))
        outcomes |= _outcomes(self._replace(by_action.get(Action.REPLACE, ())))
        return {change.address: outcomes.get(change.address.name, Outcome()) for change in changes}

    def _create(self, topics: Sequence[Topic]) -> Failures:
        """Create the topics. An existing one is a Conflict, unless this call created it."""
        failures: Failures = {topic.name: shared.find_refusal(topic) for topic in topics}
        declared = {topic.name: topic for topic in topics}

        def send(names: Sequence[str]) -> Failures:
            return self.requests.create([declared[name] for name in names])

        def is_created(name: str, live: Topic | None) -> bool:
            return live is not None and shared.is_as_declared(declared[name], live)

        sent = 0
        for batch in shared.make_batches([t for t in topics if failures[t.name] is None], shared.count_records):
            self.tell("topics created", sent, len(topics))
            sent += len(batch)
            failures |= self.delivery.deliver([topic.name for topic in batch], send, is_created, ours_only=True)
        return failures

    def _adopt_existing(self, topics: Sequence[Topic], failures: Failures) -> dict[str, Outcome]:
        """Return the outcomes of creations: what another client created meanwhile is adopted if exactly as declared."""
        outcomes = _outcomes(failures)
        conflicts = [n for n, p in failures.items() if isinstance(p, Conflict) and p.applied is False]
        live = self._read_existing(conflicts)
        for topic in topics:
            if topic.name in live:
                problem = shared.find_conflict(topic, live[topic.name])
                outcomes[topic.name] = Outcome(problem, adopted=problem is None)
        return outcomes

    def _read_existing(self, names: Collection[str]) -> dict[str, Topic]:
        """Return those topics that can be read; the broker that answers may learn of one a moment later."""
        live: dict[str, Topic] = {}
        for attempt in range(NEW_TOPIC_ATTEMPTS):
            if attempt:
                time.sleep(NEW_TOPIC_INTERVAL_S)
            missing = [name for name in names if name not in live]
            topics = self.reader.read_present(missing, pause=False)
            live |= {name: topic for name, topic in topics.items() if topic is not None}
            if len(live) == len(names):
                break
        return live

    def _update(self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]) -> Failures:
        """Set configs, then add partitions, which cannot be undone, or move replicas."""
        unplanned = [change for change in changes if reassignment_of(change) is None]
        failures: Failures = {name: p for name, p in self.replicas.find_problems(unplanned).items() if p}
        possible = {c.address.name: c for c in changes if c.address.name not in failures}
        settings = {
            n: shared.config_changes(c)
            for n, c in possible.items()
            if any(shared.config_changes(c)) and not shared.configs_follow_replicas(c)
        }
        failures |= self.set_configs(settings)
        failures |= self.replicas.send([c for n, c in possible.items() if not failures.get(n)], captured)
        counts = {n: count for n, c in possible.items() if (count := shared.new_partitions(c)) and not failures.get(n)}
        grown = self.delivery.deliver(
            counts, lambda names: self.requests.add_partitions({n: counts[n] for n in names}),
            lambda name, live: live is not None and live.partitions == counts[name],
        )  # fmt: skip
        for name, problem in grown.items():
            if problem is not None and name in settings:
                problem.applied = None  # its configs are already set
        return failures | grown

    def set_configs(self, settings: ConfigChanges) -> Failures:
        """Set and reset configs; live state decides where an answer was lost."""
        return self.delivery.deliver(
            settings, lambda names: self.requests.set_configs({n: settings[n] for n in names}),
            lambda name, live: live is not None and shared.has_configs(live, *settings[name]),
        )  # fmt: skip

    def _delete(self, changes: Sequence[Change]) -> dict[str, Outcome]:
        """Delete topics; a missing one is accepted. With `if_empty` a topic that has records is kept.

        A record that arrives between the check and the deletion is lost: Kafka has no conditional delete.
        """
        kept: dict[str, Outcome] = {}
        cautious = [change.address.name for change in changes if topic_options(change).if_empty]
        for name, answer in (count_records(self.client, cautious) if cautious else {}).items():
            if isinstance(answer, KplanError):
                kept[name] = Outcome(answer)
            elif answer:
                kept[name] = Outcome(kept=shared.describe_arrived(answer))
        return kept | _outcomes(self._remove([c.address.name for c in changes if c.address.name not in kept]))

    def _remove(self, names: Sequence[str]) -> Failures:
        failures: Failures = {}
        for batch in shared.make_batches(names, lambda _: 1):
            failures |= self.delivery.deliver(
                batch, self.requests.delete, lambda name, live: live is None, gone_is_fine=True
            )
        return failures

    def _replace(self, changes: Sequence[Change]) -> Failures:
        """Delete each topic, wait until no broker lists it, and recreate it, unless that would be refused."""
        failures = self.checks.validate_replacements(changes)
        failures |= self._remove([name for name, problem in failures.items() if problem is None])
        deleted = [shared.desired_topic(change) for change in changes if failures[change.address.name] is None]
        waiting: dict[str, Topic | None] = {topic.name: None for topic in deleted}
        self.visibility.await_visible(waiting, frozenset(), lambda name: None)
        creation_failures = self._create([topic for topic in deleted if topic.name not in waiting])
        timeouts = {
            name: Timeout(f"{name} was deleted, but a broker still shows it after {self.visibility.timeout:g} s")
            for name in waiting
        }
        for problem in creation_failures.values():
            if problem is not None:
                problem.message = f"deleted, but not made again: {problem.message}"
                problem.applied = None
        return failures | creation_failures | timeouts


def _outcomes(failures: Failures) -> dict[str, Outcome]:
    return {name: Outcome(problem) for name, problem in failures.items()}
