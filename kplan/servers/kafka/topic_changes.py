"""Carries out changes of topics."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from kplan.diagnostics import Conflict, KplanError, Timeout
from kplan.kinds.topic.options import reassignment_of, topic_options
from kplan.model import Action, Address, Change, Topic
from kplan.servers import topics as shared
from kplan.servers.base import Outcome, Tell
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.facts import count_records
from kplan.servers.kafka.reassign import Reassignments
from kplan.servers.kafka.topic_checks import TopicChecks
from kplan.servers.kafka.topic_delivery import TopicDelivery
from kplan.servers.kafka.topic_reader import TopicReader
from kplan.servers.kafka.topic_requests import ConfigChanges, Failures, TopicRequests
from kplan.servers.kafka.topic_visibility import TopicVisibility

NEW_TOPIC_LOOKS: Final = 10  # for a topic that another client created a moment ago
NEW_TOPIC_PAUSE: Final = 0.3  # seconds between them


@dataclass(frozen=True, eq=False)
class TopicChanges:
    """Creations, updates, deletions and replacements. `tell` hears how many topics have been made."""

    client: Client
    reader: TopicReader
    requests: TopicRequests
    delivery: TopicDelivery
    checks: TopicChecks
    visibility: TopicVisibility
    replicas: Reassignments
    tell: Tell

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Sends creates, updates, deletes and replacements, each kind in batches."""
        outcomes: dict[str, Outcome] = {}
        by_action: dict[Action, list[Change]] = {}
        for change in changes:
            by_action.setdefault(change.action, []).append(change)
        created = [shared.wanted(c) for c in by_action.get(Action.CREATE, ())]
        outcomes |= self._adopted(created, self._create(created))
        outcomes |= _outcomes(self._update(by_action.get(Action.UPDATE, ()), captured))
        outcomes |= self._delete(by_action.get(Action.DELETE, ()))
        outcomes |= _outcomes(self._replace(by_action.get(Action.REPLACE, ())))
        return {change.address: outcomes.get(change.address.name, Outcome()) for change in changes}

    def _create(self, topics: Sequence[Topic]) -> Failures:
        """Makes the topics. One that is there already is a Conflict, unless it is what this very call made."""
        found: Failures = {topic.name: shared.refused(topic) for topic in topics}
        asked = {topic.name: topic for topic in topics}

        def send(names: Sequence[str]) -> Failures:
            return self.requests.create([asked[name] for name in names])

        def is_so(name: str, live: Topic | None) -> bool:
            return live is not None and shared.equals(asked[name], live)

        sent = 0
        for batch in shared.batches([t for t in topics if found[t.name] is None], shared.weight):
            self.tell("topics created", sent, len(topics))
            sent += len(batch)
            found |= self.delivery.carry_out([topic.name for topic in batch], send, is_so, ours_only=True)
        return found

    def _adopted(self, topics: Sequence[Topic], failures: Failures) -> dict[str, Outcome]:
        """The outcomes of creations: what another client created meanwhile is adopted where it is exactly as asked."""
        outcomes = _outcomes(failures)
        conflicts = [n for n, p in failures.items() if isinstance(p, Conflict) and p.applied is False]
        live = self._created_by_others(conflicts)
        for topic in topics:
            if topic.name in live:
                problem = shared.created_by_others(topic, live[topic.name])
                outcomes[topic.name] = Outcome(problem, adopted=problem is None)
        return outcomes

    def _created_by_others(self, names: Collection[str]) -> dict[str, Topic]:
        """Those of the topics that can be read; the broker that answers may know of one a moment later."""
        live: dict[str, Topic] = {}
        for look in range(NEW_TOPIC_LOOKS):
            if look:
                time.sleep(NEW_TOPIC_PAUSE)
            missing = [name for name in names if name not in live]
            seen = self.reader.look_at(missing, pause=False)
            live |= {name: topic for name, topic in seen.items() if topic is not None}
            if len(live) == len(names):
                break
        return live

    def _update(self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]) -> Failures:
        """Sets configs, then adds partitions, which has no way back, or moves replicas."""
        unplanned = [change for change in changes if reassignment_of(change) is None]
        failures: Failures = {name: p for name, p in self.replicas.problems(unplanned).items() if p}
        todo = {c.address.name: c for c in changes if c.address.name not in failures}
        settings = {n: shared.settings(c) for n, c in todo.items() if any(shared.settings(c)) and not shared.waits(c)}
        failures |= self.set_configs(settings)
        failures |= self.replicas.send([c for n, c in todo.items() if not failures.get(n)], captured)
        counts = {n: count for n, c in todo.items() if (count := shared.growth(c)) and not failures.get(n)}
        grown = self.delivery.carry_out(
            counts, lambda names: self.requests.add_partitions({n: counts[n] for n in names}),
            lambda name, live: live is not None and live.partitions == counts[name],
        )  # fmt: skip
        for name, problem in grown.items():
            if problem is not None and name in settings:
                problem.applied = None  # its configs are set already
        return failures | grown

    def set_configs(self, settings: ConfigChanges) -> Failures:
        """Sets and resets configs; live state decides where an answer was lost."""
        return self.delivery.carry_out(
            settings, lambda names: self.requests.set_configs({n: settings[n] for n in names}),
            lambda name, live: live is not None and shared.has_configs(live, *settings[name]),
        )  # fmt: skip

    def _delete(self, changes: Sequence[Change]) -> dict[str, Outcome]:
        """Deletes; one that is gone is fine. With `if_empty` a topic that has records is kept.

        A record that arrives between the look and the deletion is lost: Kafka has no conditional delete.
        """
        kept: dict[str, Outcome] = {}
        cautious = [change.address.name for change in changes if topic_options(change).if_empty]
        for name, answer in (count_records(self.client, cautious) if cautious else {}).items():
            if isinstance(answer, KplanError):
                kept[name] = Outcome(answer)
            elif answer:
                kept[name] = Outcome(kept=shared.arrived(answer))
        return kept | _outcomes(self._remove([c.address.name for c in changes if c.address.name not in kept]))

    def _remove(self, names: Sequence[str]) -> Failures:
        found: Failures = {}
        for batch in shared.batches(names, lambda _: 1):
            found |= self.delivery.carry_out(
                batch, self.requests.delete, lambda name, live: live is None, gone_is_fine=True
            )
        return found

    def _replace(self, changes: Sequence[Change]) -> Failures:
        """Deletes each topic, waits until no broker knows it, and makes it anew; not what would be refused then."""
        found = self.checks.validate_replaced(changes)
        found |= self._remove([name for name, problem in found.items() if problem is None])
        deleted = [shared.wanted(change) for change in changes if found[change.address.name] is None]
        waiting: dict[str, Topic | None] = {topic.name: None for topic in deleted}
        self.visibility.await_shown(waiting, frozenset(), lambda name: None)
        made = self._create([topic for topic in deleted if topic.name not in waiting])
        late = {name: Timeout(f"{name} was deleted, but a broker still shows it after {self.visibility.timeout:g} s")
                for name in waiting}  # fmt: skip
        for problem in made.values():
            if problem is not None:
                problem.message = f"deleted, but not made again: {problem.message}"
                problem.applied = None
        return found | made | late


def _outcomes(failures: Failures) -> dict[str, Outcome]:
    return {name: Outcome(problem) for name, problem in failures.items()}
