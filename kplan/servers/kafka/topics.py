"""Topics on real brokers, through librdkafka's admin client."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclOperation,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
)

from kplan.diagnostics import (
    Busy,
    Conflict,
    Denied,
    Diagnostic,
    ErrorClass,
    KplanError,
    Rejected,
    Span,
    Timeout,
    Unreachable,
)
from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.options import reassignment_of, topic_options
from kplan.kinds.topic.placement import Placement
from kplan.model import Action, Address, Change, Facts, Resource, Target, Topic
from kplan.servers import topics as shared
from kplan.servers.base import Outcome, Progress, Reading, Tell, untold
from kplan.servers.connection_errors import NO_PLACES
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.errors import Forbidden, diagnosed
from kplan.servers.kafka.facts import EARLIEST, LATEST, Survey, count, offsets, partitions
from kplan.servers.kafka.reassign import Reassignments
from kplan.servers.permissions import Acl

Failures = dict[str, KplanError | None]  # by topic; None: it is so

NO_IDS: Final = ("", "None", "AAAAAAAAAAAAAAAAAAAAAA")  # the last is Kafka's zero
DESCRIBED_AT_ONCE: Final = 250  # topics in a DescribeConfigs request: 1,000 answer with 2 to 4 MB
NEW_TOPIC_LOOKS: Final = 10  # for a topic that another client created a moment ago
NEW_TOPIC_PAUSE: Final = 0.3  # seconds between them
AT_THE_SAME_TIME: Final = 2  # such requests; a broker answers those of one connection one after the other
ASKED_OF_EACH: Final = 100  # topics for which every single broker is asked while settling
_REQUESTS: Final = {
    "Create": "create topics", "Delete": "delete topics", "AlterConfigs": "alter configs", "Alter": "add partitions",
}  # by the right that they take  # fmt: skip
ON_THE_TOPIC: Final = frozenset({1, ConfigSource.DYNAMIC_TOPIC_CONFIG})  # `source` is an int today


def _logged(words: str) -> None:
    """A warning that nobody else takes is in the log."""
    logging.getLogger("kplan.kafka").warning("%s", words)


class KafkaTopics:
    """The topics of a Kafka cluster. `warn` takes what a person should know and what stops nothing."""

    kind = "topic"

    def __init__(self, config: Mapping[str, str], *, request_timeout: float = 30, settle_timeout: float = 120,
                 attempts: int = 3, delay: float = 2, secrets: Sequence[str] = (),
                 warn: Callable[[str], None] = _logged, tell: Tell = untold, reassign_timeout: float = 3600,
                 throttle: int | None = None, places: Mapping[str, Span] = NO_PLACES) -> None:  # fmt: skip
        self._tell = tell
        self._client = Client(config, request_timeout, attempts, delay, secrets, warn, places)
        self._replicas = Reassignments(self._client, reassign_timeout, throttle)
        self._settle_timeout = settle_timeout
        self._warn = warn

    @property
    def _admin(self) -> AdminClient:
        return self._client.admin

    @property
    def _timeout(self) -> float:
        return self._client.timeout

    @property
    def retries(self) -> int:
        return self._client.retries

    def identify(self) -> Target:
        """Says which cluster this is. Raises Unreachable or Denied, with the reason that only librdkafka tells."""
        cluster = self._client.cluster()
        return Target(cluster.cluster_id or "", self._client.bootstrap, len(cluster.nodes))

    def close(self) -> None:
        self._replicas.close()
        self._client.close()

    # -- reading ------------------------------------------------------------------------------------------------------
    def read(self, names: Collection[str] | None) -> Reading:
        """The live topics: one metadata request, configs in chunks, and what is missing asked for by name."""
        self._client.cluster()
        listed = self._client.metadata().topics
        there = [name for name in (listed if names is None else dict.fromkeys(names)) if name in listed]
        resources, sealed = self._described({name: _shape(listed[name].partitions.values()) for name in there})
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
            Address("topic", n): self._client.named(Forbidden("hidden"), Acl(right, "Topic", n)) for n in sorted(names)
        }

    def _described(self, shapes: Mapping[str, tuple[int, int]]) -> tuple[dict[str, Topic], set[str]]:
        """The topics of these partitions and replicas with their configs, and those whose configs may not be seen."""
        found: dict[str, Topic] = {}
        hidden: set[str] = set()
        left, why = list(shapes), ""
        for attempt in range(1, self._client.attempts + 1):
            answers = self._configs(left, tell=self._tell)
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
            if not left or attempt == self._client.attempts:
                break
            self._client.pause(attempt, why)
        return found, hidden

    def _configs(self, names: Collection[str], broker: int | None = None, tell: Tell = untold) -> dict[str, Any]:
        """What is set on each topic itself, or a KplanError, as a broker (this one, or any) knows it.

        The broker answers one request while the answer to the one before is made into Python's objects, which takes as
        long: 5,000 topics in 1.3 s instead of 2.5 s (two cores, Kafka 4.3.1 on the same machine).
        """
        found: dict[str, Any] = {}
        ask = lambda chunk: self._client.retried(partial(self._config_chunk, chunk, broker))  # noqa: E731
        tell("topics read", 0, len(names))
        with ThreadPoolExecutor(AT_THE_SAME_TIME) as pool:
            for answers in pool.map(ask, list(shared.batches(names, lambda _: 1, DESCRIBED_AT_ONCE))):
                found |= answers
                tell("topics read", len(found), len(names))
        return found

    def _config_chunk(self, names: Sequence[str], broker: int | None) -> dict[str, Any]:
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        if broker is not None:  # a broker among the resources makes librdkafka ask that broker
            resources.append(ConfigResource(ConfigResource.Type.BROKER, str(broker)))
        seconds = self._client.patience
        every = self._client.asked(lambda: self._admin.describe_configs(resources, request_timeout=seconds),
                                   "describe configs")  # fmt: skip
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
            for name, answer in self._client.retried(partial(self._topics_chunk, chunk)).items():
                if isinstance(answer, Denied):
                    hidden.add(name)
                elif not isinstance(answer, KplanError):
                    shapes[name] = _shape(answer.partitions)
        return shapes, hidden

    def _topics_chunk(self, names: Sequence[str], rights: bool = False) -> dict[str, Any]:
        asked = [name for name in names if catalog.check_name(name) is None]
        if not asked:
            return {}
        ask = TopicCollection(asked)
        answers = self._client.asked(lambda: self._admin.describe_topics(
            ask, include_authorized_operations=rights, request_timeout=self._client.patience),
            "describe topics")  # fmt: skip
        for answer in answers.values():
            if isinstance(answer, KplanError) and not isinstance(answer, Conflict | Denied | Rejected):
                raise answer
        return answers

    def read_ids(self, names: Collection[str]) -> Mapping[Address, str]:
        """The ids of the topics that are there and may be described; a broker of before 2.8 has none."""
        found: dict[Address, str] = {}
        for chunk in shared.batches(list(names), lambda _: 1, DESCRIBED_AT_ONCE):
            for name, answer in self._client.retried(partial(self._topics_chunk, chunk)).items():
                if not isinstance(answer, KplanError) and str(answer.topic_id) not in NO_IDS:
                    found[Address("topic", name)] = str(answer.topic_id)
        return found

    def placement(self, names: Collection[str]) -> Placement:
        """Where the replicas are, by the metadata; their sizes by the brokers' log folders."""
        return self._replicas.placement(names)

    # -- checking -----------------------------------------------------------------------------------------------------
    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """What the brokers refuse of creates and updates (`validate_only`, each kind in as few requests as it takes).

        Of deletes only the right to them can be checked, of a replacement that and its configs, so without a problem
        they are left out.
        """
        found: dict[Address, list[Diagnostic]] = {}
        creates = [change for change in changes if change.action is Action.CREATE]
        updates = [change for change in changes if change.action is Action.UPDATE]
        self._note(found, self._validate_creates([shared.wanted(change) for change in creates]))
        self._note(found, self._send_settings({c.address.name: shared.settings(c) for c in updates}, validate=True))
        self._note(
            found, self._send_growth({c.address.name: n for c in updates if (n := shared.growth(c))}, validate=True)
        )
        self._note(found, self._replicas.problems(updates))
        for change in updates:
            if problem := shared.too_few_replicas(change):
                found.setdefault(change.address, []).append(problem)
            found.setdefault(change.address, [])
        replaced = [change for change in changes if change.action is Action.REPLACE]
        self._note(found, self._validate_replaced(replaced), only_problems=True)
        going = [c.address.name for c in changes if c.action in (Action.DELETE, Action.REPLACE)]
        self._note(found, self._undeletable(going), only_problems=True)
        return found

    def _undeletable(self, names: Sequence[str]) -> Failures:
        """The topics that this user may not delete; there is no request that only checks that."""
        found: Failures = {}
        for chunk in shared.batches(names, lambda _: 1, DESCRIBED_AT_ONCE):
            answers = self._client.retried(partial(self._topics_chunk, chunk, rights=True))
            for name, answer in answers.items():
                rights = None if isinstance(answer, KplanError) else answer.authorized_operations
                if rights is not None and AclOperation.DELETE not in rights:
                    found[name] = self._client.named(Forbidden("Delete"), Acl("Delete", "Topic", name))
        return found

    def _note(self, found: dict[Address, list[Diagnostic]], answers: Failures, only_problems: bool = False) -> None:
        """Adds the refusals. What could not be asked is warned of: it counts as not checked."""
        for name, problem in answers.items():
            address = Address("topic", name)
            if problem is None:
                if not only_problems:
                    found.setdefault(address, [])
            elif problem.error_class is ErrorClass.RETRIABLE:
                self._warn(f"{address} could not be checked: {problem.message}")
            else:
                found.setdefault(address, []).append(diagnosed(problem, address))

    def _validate_creates(self, topics: Sequence[Topic]) -> Failures:
        found: Failures = {topic.name: shared.refused(topic) for topic in topics}
        for batch in shared.batches([t for t in topics if found[t.name] is None], shared.weight):
            found |= self._send_creates(batch, validate=True)
        return found

    def _validate_replaced(self, changes: Sequence[Change]) -> Failures:
        """What would refuse the new topics, as far as that can be known while the old ones are there."""
        new = {change.address.name: shared.wanted(change) for change in changes}
        found: Failures = {n: shared.refused(topic) or self._too_many_replicas(topic) for n, topic in new.items()}
        old = {c.address.name: c.before.config if isinstance(c.before, Topic) else {} for c in changes}
        settings = {n: (new[n].config, tuple(old[n].keys() - new[n].config.keys())) for n in new if found[n] is None}
        answers = self._send_settings(settings, validate=True)
        return found | {name: None if isinstance(answer, Conflict) else answer for name, answer in answers.items()}

    def _too_many_replicas(self, topic: Topic) -> KplanError | None:
        brokers = len(self._client.cluster().nodes)
        if topic.replication_factor <= brokers:
            return None
        return shared.too_many_replicas(topic.replication_factor, brokers)

    # -- requests -----------------------------------------------------------------------------------------------------
    def _answered(self, right: str, names: Iterable[str], ask: Callable[[], Mapping[Any, Future[Any]]]) -> Failures:
        """Whether each was taken; what the client itself refuses (before sending) is refused for each.

        `right` is the operation that the user must be allowed on each topic.
        """
        try:
            answers = self._client.answers(ask(), _REQUESTS[right])
        except (KafkaException, ValueError, TypeError) as exception:
            return dict.fromkeys(names, self._client.mapped(exception))
        named = {getattr(key, "name", key): answer for key, answer in answers.items()}
        return {
            name: self._client.named(answer, Acl(right, "Topic", name)) if isinstance(answer, KplanError) else None
            for name, answer in named.items()
        }

    def _send_creates(self, topics: Sequence[Topic], validate: bool = False) -> Failures:
        new = [NewTopic(t.name, t.partitions, t.replication_factor, config=dict(t.config)) for t in topics]
        create = partial(self._admin.create_topics, new, validate_only=validate, operation_timeout=self._timeout)
        return self._answered("Create", [t.name for t in topics], partial(create, request_timeout=self._timeout))

    def _send_deletes(self, names: Sequence[str]) -> Failures:
        delete = partial(self._admin.delete_topics, list(names), operation_timeout=self._timeout)
        return self._answered("Delete", names, partial(delete, request_timeout=self._timeout))

    def _send_settings(self, settings: Mapping[str, tuple[Mapping[str, str], Sequence[str]]],
                       validate: bool = False) -> Failures:  # fmt: skip
        """Sets and resets configs: all of one topic's or none."""
        found: Failures = {}
        some = [(name, sets, resets) for name, (sets, resets) in settings.items() if sets or resets]
        for batch in shared.batches(some, lambda each: len(each[1]) + len(each[2])):
            resources = [_alteration(*each) for each in batch]
            alter = partial(self._admin.incremental_alter_configs, resources, validate_only=validate)
            asked = [each[0] for each in batch]
            found |= self._answered("AlterConfigs", asked, partial(alter, request_timeout=self._timeout))
        return found

    def _send_growth(self, counts: Mapping[str, int], validate: bool = False) -> Failures:
        found: Failures = {name: _no_count(count) for name, count in counts.items()}
        for batch in shared.batches([name for name in counts if found[name] is None], lambda name: counts[name]):
            new = [NewPartitions(name, counts[name]) for name in batch]
            grow = partial(self._admin.create_partitions, new, validate_only=validate, operation_timeout=self._timeout)
            found |= self._answered("Alter", batch, partial(grow, request_timeout=self._timeout))
        return found

    # -- acting -------------------------------------------------------------------------------------------------------
    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """The id of each topic that is replaced, which tells the old one from the new, and where replicas are that are
        moved; records cannot be remembered."""
        found: dict[Address, Mapping[str, Any]] = self._replicas.capture(changes)
        replaced = [change.address.name for change in changes if change.action is Action.REPLACE]
        return found | {address: {"topic_id": id} for address, id in self.read_ids(replaced).items()}

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
            return self._send_creates([asked[name] for name in names])

        def is_so(name: str, live: Topic | None) -> bool:
            return live is not None and shared.equals(asked[name], live)

        sent = 0
        for batch in shared.batches([t for t in topics if found[t.name] is None], shared.weight):
            self._tell("topics created", sent, len(topics))
            sent += len(batch)
            found |= self._carried_out([topic.name for topic in batch], send, is_so, ours_only=True)
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
            seen = self._looked_at(missing, pause=False)
            live |= {name: topic for name, topic in seen.items() if topic is not None}
            if len(live) == len(names):
                break
        return live

    def _update(self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]) -> Failures:
        """Sets configs, then adds partitions, which has no way back, or moves replicas."""
        unplanned = [change for change in changes if reassignment_of(change) is None]
        failures: Failures = {name: p for name, p in self._replicas.problems(unplanned).items() if p}
        todo = {c.address.name: c for c in changes if c.address.name not in failures}
        settings = {n: shared.settings(c) for n, c in todo.items() if any(shared.settings(c)) and not shared.waits(c)}
        failures |= self._set(settings)
        failures |= self._replicas.send([c for n, c in todo.items() if not failures.get(n)], captured)
        counts = {n: count for n, c in todo.items() if (count := shared.growth(c)) and not failures.get(n)}
        grown = self._carried_out(
            counts, lambda names: self._send_growth({n: counts[n] for n in names}),
            lambda name, live: live is not None and live.partitions == counts[name],
        )  # fmt: skip
        for name, problem in grown.items():
            if problem is not None and name in settings:
                problem.applied = None  # its configs are set already
        return failures | grown

    def _set(self, settings: Mapping[str, tuple[Mapping[str, str], Sequence[str]]]) -> Failures:
        return self._carried_out(
            settings, lambda names: self._send_settings({n: settings[n] for n in names}),
            lambda name, live: live is not None and _has(live, *settings[name]),
        )  # fmt: skip

    def _delete(self, changes: Sequence[Change]) -> dict[str, Outcome]:
        """Deletes; one that is gone is fine. With `if_empty` a topic that has records is kept.

        A record that arrives between the look and the deletion is lost: Kafka has no conditional delete.
        """
        kept: dict[str, Outcome] = {}
        cautious = [change.address.name for change in changes if topic_options(change).if_empty]
        for name, answer in (self._records(cautious) if cautious else {}).items():
            if isinstance(answer, KplanError):
                kept[name] = Outcome(answer)
            elif answer:
                kept[name] = Outcome(kept=shared.arrived(answer))
        return kept | _outcomes(self._remove([c.address.name for c in changes if c.address.name not in kept]))

    def _remove(self, names: Sequence[str]) -> Failures:
        found: Failures = {}
        for batch in shared.batches(names, lambda _: 1):
            found |= self._carried_out(batch, self._send_deletes, lambda name, live: live is None,
                                       gone_is_fine=True)  # fmt: skip
        return found

    def _replace(self, changes: Sequence[Change]) -> Failures:
        """Deletes each topic, waits until no broker knows it, and makes it anew; not what would be refused then."""
        found = self._validate_replaced(changes)
        found |= self._remove([name for name, problem in found.items() if problem is None])
        deleted = [shared.wanted(change) for change in changes if found[change.address.name] is None]
        waiting: dict[str, Topic | None] = {topic.name: None for topic in deleted}
        self._await(waiting, frozenset(), lambda name: None)
        made = self._create([topic for topic in deleted if topic.name not in waiting])
        late = {name: Timeout(f"{name} was deleted, but a broker still shows it after {self._settle_timeout:g} s")
                for name in waiting}  # fmt: skip
        for problem in made.values():
            if problem is not None:
                problem.message = f"deleted, but not made again: {problem.message}"
                problem.applied = None
        return found | made | late

    def _carried_out(self, names: Iterable[str], send: Callable[[Sequence[str]], Failures],
                     is_so: Callable[[str, Topic | None], bool], *, ours_only: bool = False,
                     gone_is_fine: bool = False) -> Failures:  # fmt: skip
        """Sends until each is answered for good. Live state decides where an answer was lost or says it is so already.

        With `ours_only`, what is so already counts only if an earlier attempt of this call may have done it.
        """
        found: Failures = {}
        maybe: set[str] = set()
        pending, why = list(names), ""
        for attempt in range(1, self._client.attempts + 1):
            if not pending:
                break
            if attempt > 1:
                self._client.pause(attempt - 1, why)
            answers = send(pending)
            maybe |= {name for name, problem in answers.items() if problem is not None and problem.applied is None}
            unclear = [
                n for n, p in answers.items()
                if p is not None and (p.applied is None or (isinstance(p, Conflict) and (n in maybe or not ours_only)))
            ]  # fmt: skip
            live = {} if gone_is_fine and not maybe else self._looked_at(unclear, pause=bool(maybe))
            again = []
            for name, problem in answers.items():
                so = name in live and is_so(name, live[name]) and (name in maybe or not ours_only)
                fine = problem is None or so or (gone_is_fine and isinstance(problem, Conflict))
                found[name] = None if fine else problem
                unknown = name in maybe and name not in live and name in unclear
                if not fine and problem is not None and problem.error_class is ErrorClass.RETRIABLE and not unknown:
                    again.append(name)
                    why = problem.message
            pending = again
        for name in maybe:
            if (problem := found[name]) is not None:
                problem.applied = None
        return found

    def _looked_at(self, names: Sequence[str], pause: bool) -> dict[str, Topic | None]:
        """The live topics of these names, None for one that is absent; nothing at all where they cannot be read."""
        if not names:
            return {}
        if pause:  # what is still on its way in the server gets the time to arrive
            self._client.pause(1, "an answer was lost, so live state is read")
        try:
            reading = self.read(names)
        except KplanError:
            return {}
        seen = {name: reading.resources.get(Address("topic", name)) for name in names}
        return {
            n: t if isinstance(t, Topic) else None for n, t in seen.items() if Address("topic", n) not in reading.hidden
        }

    # -- settling -----------------------------------------------------------------------------------------------------
    def settle(self, changes: Sequence[Change], progress: Progress) -> Mapping[Address, Outcome]:
        """Returns once each topic is on every living broker as asked (or gone from all), or time is up.

        Each broker is asked by name for the topics' configs: a DescribeConfigs request that names a broker goes to that
        broker, and one that has not heard of a topic answers 3. Brokers follow the one metadata log in its order, a
        request's records together, so of many topics each broker is asked for some and the last (asking for all of
        1,000 takes longer than creating them); all of them must be in the metadata. Counts of partitions cannot be
        asked of a chosen broker: after a growth the metadata, which comes from a random broker, must be right several
        times in a row. Replicas that are moved have a time of their own, and configs that need them are set then.
        """
        moved = self._moved(changes, progress)
        changes = [change for change in changes if moved.get(change.address, Outcome()).ok]
        waiting: dict[str, Topic | None] = {}
        for change in changes:
            after = change.after if change.action is not Action.DELETE else None
            waiting[change.address.name] = after if isinstance(after, Topic) else None
        asked = dict(waiting)
        grown = frozenset(change.address.name for change in changes if shared.growth(change))
        verb = {name: "deleted, still listed" if topic is None else "accepted, not visible on every broker yet"
                for name, topic in waiting.items()}  # fmt: skip
        problem = self._await(waiting, grown, lambda name: progress(Address("topic", name), verb[name]))
        return moved | {c.address: self._settled(c.address.name, asked, waiting, problem) for c in changes}

    def _moved(self, changes: Sequence[Change], progress: Progress) -> dict[Address, Outcome]:
        """What became of each reassignment, and of the configs that waited for it."""
        found = self._replicas.settle(changes, progress)
        ready = [change for change in changes if shared.waits(change) and found[change.address].ok]
        settings = {c.address.name: shared.settings(c) for c in ready if any(shared.settings(c))}
        refused = {n: problem for n, problem in self._set(settings).items() if problem}
        return found | {Address("topic", n): Outcome(problem, unsure=True) for n, problem in refused.items()}

    def _settled(self, name: str, asked: Mapping[str, Topic | None], waiting: Collection[str],
                 problem: KplanError | None) -> Outcome:  # fmt: skip
        if name not in waiting:
            return Outcome()
        if isinstance(problem, Denied):
            return Outcome(problem)
        words = "it is still listed" if asked[name] is None else shared.NOT_IN_TIME
        cause = f" ({problem.message})" if problem else ""
        return Outcome(Timeout(f"{words} after {self._settle_timeout:g} s{cause}"))

    def _await(self, waiting: dict[str, Topic | None], grown: Collection[str],
               tell: Callable[[str], None]) -> KplanError | None:  # fmt: skip
        """Takes out of `waiting` what shows everywhere until nothing is left or time is up; the trouble, if any.

        The time begins anew whenever something shows: ten thousand topics take longer than one.
        """
        began = moved = time.monotonic()
        every = len(waiting)
        rounds: dict[str, int] = {}
        seen: dict[int, set[str]] = {}
        told = False
        problem: KplanError | None = None
        pause = 0.02
        while waiting:
            try:
                for name in self._showing(waiting, grown, rounds, seen):
                    del waiting[name]
                    moved = time.monotonic()
                problem = None
            except KplanError as trouble:
                problem = trouble
                if trouble.error_class is not ErrorClass.RETRIABLE:
                    break
            self._tell("topics settled", every - len(waiting), every)
            now = time.monotonic()
            if not waiting or now - moved > self._settle_timeout:
                break
            if now - began > 2 and not told:
                told = True
                for name in waiting:
                    tell(name)
            time.sleep(min(pause, max(0.0, self._settle_timeout - (now - moved))))
            pause = min(1.0, pause * 1.5)
        return problem

    def _showing(self, waiting: Mapping[str, Topic | None], grown: Collection[str], rounds: dict[str, int],
                 seen: dict[int, set[str]]) -> list[str]:  # fmt: skip
        """Which topics are as asked on every broker. `rounds` counts good metadata, `seen` remembers each broker's."""
        metadata = self._client.metadata()
        brokers = list(metadata.brokers)
        good = [name for name, topic in waiting.items() if _shows(topic, metadata.topics.get(name))]
        for name in waiting:
            rounds[name] = rounds.get(name, 0) + 1 if name in good else 0
        for broker in brokers:
            there = seen.setdefault(broker, set())
            left = [name for name in good if name not in there]
            answers = self._configs(_sample(left), broker if len(brokers) > 1 else None)
            fine = {name for name, answer in answers.items() if _as_asked(waiting[name], answer)}
            there |= set(left) if len(fine) == len(answers) else fine
            good = [name for name in good if name in there]
        enough = 1 if len(brokers) == 1 else 2 * len(brokers)
        return [name for name in good if name not in grown or rounds[name] >= enough]

    # -- facts --------------------------------------------------------------------------------------------------------
    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        """Records, the times of the oldest and the newest, and the consumer groups with their lag; not bytes."""
        return Survey(self._client).of(names) if names else {}

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        return Survey(self._client).positions(groups)

    def passwords(self, resources: Collection[Resource]) -> Mapping[Address, Collection[str]]:
        """None: no config of a topic is a password."""
        return {}

    def end_offsets(self, names: Collection[str]) -> Mapping[str, int]:
        """The sum of each topic's end offsets, which moves when anything is written; a missing topic has none."""
        there = partitions(self._client, names)
        last = offsets(self._client, [(n, p) for n, ids in there.items() for p in ids], LATEST, self._timeout)
        return {
            name: sum(last[name, p].offset for p in ids if not isinstance(last[name, p], KplanError))
            for name, ids in there.items()
        }

    def _records(self, names: Sequence[str]) -> dict[str, int | KplanError]:
        """How many records each topic that is there has. Leaders that are being elected are awaited."""

        def read() -> dict[str, int | KplanError]:
            there = {name: [(name, p) for p in ids] for name, ids in partitions(self._client, names).items()}
            asked = [each for mine in there.values() for each in mine]
            first = offsets(self._client, asked, EARLIEST, self._timeout)
            last = offsets(self._client, asked, LATEST, self._timeout)
            problems = {key[0]: a for found in (first, last) for key, a in found.items() if isinstance(a, KplanError)}
            waits = next((p for p in problems.values() if p.error_class is not ErrorClass.FATAL), None)
            if waits is not None:  # 3 as well: a leader that has not heard of its new partition
                raise Busy(waits.message)
            return {name: problems.get(name) or count(mine, first, last) for name, mine in there.items()}

        try:
            return self._client.retried(read)
        except KplanError as problem:
            return dict.fromkeys(names, problem)


_TOPIC = ConfigResource.Type.TOPIC


def _sample(names: Sequence[str]) -> list[str]:
    """At most ASKED_OF_EACH of the names, evenly spread, the last one among them."""
    step = -(-len(names) // ASKED_OF_EACH) or 1
    return list(names[::-1][::step])


def _shape(partitions: Iterable[Any]) -> tuple[int, int]:
    """The count of partitions and of the first one's replicas."""
    known = list(partitions)
    return len(known), len(known[0].replicas) if known else 0


def _set_here(entries: Mapping[str, Any]) -> dict[str, str]:
    """What is set on the topic itself: `source == 1`, not `not is_default`."""
    return {name: entry.value or "" for name, entry in entries.items() if entry.source in ON_THE_TOPIC}


def _alteration(name: str, sets: Mapping[str, str], resets: Iterable[str]) -> ConfigResource:
    entries = [ConfigEntry(key, value, incremental_operation=AlterConfigOpType.SET) for key, value in sets.items()]
    entries += [ConfigEntry(key, None, incremental_operation=AlterConfigOpType.DELETE) for key in resets]
    return ConfigResource(_TOPIC, name, incremental_configs=entries)


def _no_count(count: int) -> KplanError | None:
    return None if 1 <= count <= shared.MOST_PARTITIONS else Rejected(f"{count} partitions are not possible")


def _has(live: Topic, sets: Mapping[str, str], resets: Iterable[str]) -> bool:
    held = all(key in live.config and catalog.same(key, value, live.config[key]) for key, value in sets.items())
    return held and not any(key in live.config for key in resets)


def _outcomes(failures: Failures) -> dict[str, Outcome]:
    return {name: Outcome(problem) for name, problem in failures.items()}


def _shows(asked: Topic | None, listed: Any) -> bool:
    """Whether one broker's metadata has the topic as asked, every partition with a leader."""
    if asked is None or listed is None:
        return asked is None and listed is None
    partitions, factor = _shape(listed.partitions.values())
    return (
        partitions > 0
        and asked.partitions in (-1, partitions)
        and asked.replication_factor in (-1, factor)
        and all(p.leader >= 0 for p in listed.partitions.values())
    )


def _as_asked(asked: Topic | None, answer: Any) -> bool:
    """Whether a broker's answer for a topic's configs is what was asked for; of a deleted one it must know nothing."""
    if asked is None:
        return isinstance(answer, Conflict | Denied)  # a missing topic is 29 to those who may not see it
    return not isinstance(answer, KplanError) and _has(Topic(asked.name, config=answer), asked.config, ())
