"""Topics on real brokers, through librdkafka's admin client (facts.md 1)."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import (
    ConsumerGroupState,
    ConsumerGroupTopicPartitions,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ConfigSource,
    NewPartitions,
    NewTopic,
    OffsetSpec,
)

from kplan import catalog
from kplan.backends import topics as shared
from kplan.backends.base import Outcome, Progress, Reading
from kplan.backends.kafka_client import Client, classify, diagnosed
from kplan.diagnostics import (
    Busy,
    Conflict,
    Denied,
    Diagnostic,
    ErrorClass,
    KplanError,
    Rejected,
    Timeout,
    Unreachable,
)  # fmt: skip
from kplan.model import Action, Address, Change, Facts, Reader, Target, Topic

Failures = dict[str, KplanError | None]  # by topic; None: it is so

DESCRIBED_AT_ONCE: Final = 500  # topics in a DescribeConfigs request: 1,000 answer with 2 to 4 MB (facts.md 1.2)
OFFSETS_AT_ONCE: Final = 2_000
GROUPS_AT_ONCE: Final = 16
ON_THE_TOPIC: Final = frozenset({1, ConfigSource.DYNAMIC_TOPIC_CONFIG})  # `source` is an int today (facts.md 1.2)
EARLIEST, LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
NEWEST = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]


def _silent(_: str) -> None:
    """Takes a warning that nobody wants."""


class KafkaTopics:
    """The topics of a Kafka cluster. `warn` takes what a person should know and what stops nothing."""

    kind = "topic"

    def __init__(self, config: Mapping[str, str], *, request_timeout: float = 30, settle_timeout: float = 120,
                 attempts: int = 3, delay: float = 2, secrets: Sequence[str] = (),
                 warn: Callable[[str], None] = _silent) -> None:  # fmt: skip
        self._client = Client(config, request_timeout, attempts, delay, secrets, warn)
        self._settle_timeout = settle_timeout
        self._warn = warn

    @property
    def _admin(self) -> AdminClient:
        return self._client.admin

    @property
    def _timeout(self) -> float:
        return self._client.timeout

    def identify(self) -> Target:
        """Says which cluster this is. Raises Unreachable or Denied, with the reason that only librdkafka's log knows."""
        cluster = self._client.cluster()
        return Target(cluster.cluster_id or "", self._client.bootstrap, len(cluster.nodes))

    def close(self) -> None:
        self._client.close()

    # -- reading ------------------------------------------------------------------------------------------------------
    def read(self, names: Collection[str] | None) -> Reading:
        """The live topics: one metadata request, configs in chunks of 500, and what is missing asked for by name."""
        self._client.cluster()
        listed = self._client.metadata().topics
        there = [name for name in (listed if names is None else dict.fromkeys(names)) if name in listed]
        resources, hidden = self._described({name: _shape(listed[name].partitions.values()) for name in there})
        missing = [] if names is None else [name for name in dict.fromkeys(names) if name not in listed]
        if missing:
            late, unseen = self._by_name(missing)
            found, more = self._described(late)
            resources |= found
            hidden |= more | unseen
        return Reading({topic.address: topic for topic in resources.values()}, frozenset(listed),
                       frozenset(Address("topic", name) for name in hidden))  # fmt: skip

    def _described(self, shapes: Mapping[str, tuple[int, int]]) -> tuple[dict[str, Topic], set[str]]:
        """The topics of these partitions and replicas with their configs, and those whose configs may not be seen."""
        found: dict[str, Topic] = {}
        hidden: set[str] = set()
        left = list(shapes)
        for attempt in range(1, self._client.attempts + 1):
            answers = self._configs(left)
            left = []
            for name, answer in answers.items():
                if isinstance(answer, Denied):
                    hidden.add(name)
                elif isinstance(answer, Conflict):
                    left.append(name)  # this broker does not know it yet, or no longer
                elif isinstance(answer, KplanError):
                    raise answer
                else:
                    found[name] = Topic(name, *shapes[name], answer)
            if not left or attempt == self._client.attempts:
                break
            self._client.pause(attempt)
        return found, hidden

    def _configs(self, names: Iterable[str], broker: int | None = None) -> dict[str, Any]:
        """What is set on each topic itself, or a KplanError, as a broker (this one, or any) knows it."""
        found: dict[str, Any] = {}
        for chunk in shared.batches(names, lambda _: 1, DESCRIBED_AT_ONCE):
            found |= self._client.retried(lambda chunk=chunk: self._config_chunk(chunk, broker))  # type: ignore[misc]
        return found

    def _config_chunk(self, names: Sequence[str], broker: int | None) -> dict[str, Any]:
        resources = [ConfigResource(ConfigResource.Type.TOPIC, name) for name in names]
        if broker is not None:  # a broker among the resources makes librdkafka ask that broker
            resources.append(ConfigResource(ConfigResource.Type.BROKER, str(broker)))
        every = self._client.asked(lambda: self._admin.describe_configs(resources, request_timeout=self._timeout))
        answers = {resource.name: answer for resource, answer in every.items() if resource.restype == _TOPIC}
        silent = next((a for a in answers.values() if isinstance(a, Busy | Timeout | Unreachable)), None)
        if silent is not None:
            raise silent
        return {
            name: answer if isinstance(answer, KplanError) else _set_here(answer) for name, answer in answers.items()
        }

    def _by_name(self, names: Sequence[str]) -> tuple[dict[str, tuple[int, int]], set[str]]:
        """Of topics that are not listed: those that are there after all, and those that are hidden (facts.md 0.3)."""
        shapes, hidden = {}, set()
        for chunk in shared.batches(names, lambda _: 1, DESCRIBED_AT_ONCE):
            for name, answer in self._client.retried(lambda chunk=chunk: self._topics_chunk(chunk)).items():  # type: ignore[misc]
                if isinstance(answer, Denied):
                    hidden.add(name)
                elif not isinstance(answer, KplanError):
                    shapes[name] = _shape(answer.partitions)
        return shapes, hidden

    def _topics_chunk(self, names: Sequence[str]) -> dict[str, Any]:
        asked = [name for name in names if catalog.check_name(name) is None]
        if not asked:
            return {}
        ask = TopicCollection(asked)
        answers = self._client.asked(lambda: self._admin.describe_topics(ask, request_timeout=self._timeout))
        for answer in answers.values():
            if isinstance(answer, KplanError) and not isinstance(answer, Conflict | Denied | Rejected):
                raise answer
        return answers

    # -- checking -----------------------------------------------------------------------------------------------------
    def check(self, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
        """What the brokers refuse of creates and updates (`validate_only`, each kind in as few requests as it takes).

        Deletes cannot be checked. Of a replacement only its configs can, so without a problem it is left out.
        """
        found: dict[Address, list[Diagnostic]] = {}
        creates = [change for change in changes if change.action is Action.CREATE]
        updates = [change for change in changes if change.action is Action.UPDATE]
        self._note(found, self._validate_creates([shared.wanted(change) for change in creates]))
        self._note(found, self._send_settings({c.address.name: shared.settings(c) for c in updates}, validate=True))
        self._note(
            found, self._send_growth({c.address.name: n for c in updates if (n := shared.growth(c))}, validate=True)
        )
        self._note(found, self._factor_problems(updates))
        for change in updates:
            if problem := shared.too_few_replicas(change):
                found.setdefault(change.address, []).append(problem)
            found.setdefault(change.address, [])
        replaced = [change for change in changes if change.action is Action.REPLACE]
        self._note(found, self._validate_replaced([shared.wanted(change) for change in replaced]), only_problems=True)
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

    def _validate_replaced(self, topics: Sequence[Topic]) -> Failures:
        found: Failures = {topic.name: shared.refused(topic) for topic in topics}
        fine = [topic for topic in topics if found[topic.name] is None]
        return found | self._send_settings({t.name: (dict(t.config), ()) for t in fine}, validate=True)

    def _factor_problems(self, updates: Sequence[Change]) -> Failures:
        wanting = [change for change in updates if shared.new_factor(change) is not None]
        if not wanting:
            return {}
        metadata = self._client.metadata()
        return {c.address.name: shared.no_reassignment(c, _replicas(metadata, c.address.name), list(metadata.brokers))
                for c in wanting}  # fmt: skip

    # -- requests -----------------------------------------------------------------------------------------------------
    def _answered(self, names: Iterable[str], ask: Callable[[], Mapping[Any, Future[Any]]]) -> Failures:
        """Whether each was taken; what the client itself refuses (before sending) is refused for each."""
        try:
            answers = self._client.answers(ask())
        except (KafkaException, ValueError, TypeError) as exception:
            return dict.fromkeys(names, self._client.mapped(exception))
        named = {getattr(key, "name", key): answer for key, answer in answers.items()}
        return {name: answer if isinstance(answer, KplanError) else None for name, answer in named.items()}

    def _send_creates(self, topics: Sequence[Topic], validate: bool = False) -> Failures:
        new = [NewTopic(t.name, num_partitions=t.partitions, replication_factor=t.replication_factor, config=dict(t.config))
               for t in topics]  # fmt: skip
        return self._answered([t.name for t in topics], lambda: self._admin.create_topics(
            new, validate_only=validate, operation_timeout=self._timeout, request_timeout=self._timeout))  # fmt: skip

    def _send_deletes(self, names: Sequence[str]) -> Failures:
        return self._answered(names, lambda: self._admin.delete_topics(
            list(names), operation_timeout=self._timeout, request_timeout=self._timeout))  # fmt: skip

    def _send_settings(self, settings: Mapping[str, tuple[Mapping[str, str], Sequence[str]]],
                       validate: bool = False) -> Failures:  # fmt: skip
        """Sets and resets configs: all of one topic's or none (facts.md 1.1)."""
        found: Failures = {}
        some = [(name, sets, resets) for name, (sets, resets) in settings.items() if sets or resets]
        for batch in shared.batches(some, lambda each: len(each[1]) + len(each[2])):
            resources = [_alteration(*each) for each in batch]
            found |= self._answered(
                [name for name, _, _ in batch],
                lambda resources=resources: (  # type: ignore[misc]
                    self._admin.incremental_alter_configs(
                        resources, validate_only=validate, request_timeout=self._timeout
                    )
                ),
            )
        return found

    def _send_growth(self, counts: Mapping[str, int], validate: bool = False) -> Failures:
        found: Failures = {name: _no_count(count) for name, count in counts.items()}
        for batch in shared.batches([name for name in counts if found[name] is None], lambda name: counts[name]):
            new = [NewPartitions(name, counts[name]) for name in batch]
            found |= self._answered(
                batch,
                lambda new=new: self._admin.create_partitions(  # type: ignore[misc]
                    new, validate_only=validate, operation_timeout=self._timeout, request_timeout=self._timeout
                ),
            )
        return found

    # -- acting -------------------------------------------------------------------------------------------------------
    def capture(self, changes: Sequence[Change]) -> Mapping[Address, Mapping[str, Any]]:
        """Nothing: what a topic is stands in its change, and its records cannot be remembered."""
        return {}

    def act(
        self, changes: Sequence[Change], captured: Mapping[Address, Mapping[str, Any]]
    ) -> Mapping[Address, Outcome]:
        """Sends creates, updates, deletes and replacements, each kind in batches."""
        outcomes: dict[str, Outcome] = {}
        by_action: dict[Action, list[Change]] = {}
        for change in changes:
            by_action.setdefault(change.action, []).append(change)
        outcomes |= _outcomes(self._create([shared.wanted(c) for c in by_action.get(Action.CREATE, ())]))
        outcomes |= _outcomes(self._update(by_action.get(Action.UPDATE, ())))
        outcomes |= self._delete(by_action.get(Action.DELETE, ()))
        outcomes |= _outcomes(self._replace([shared.wanted(c) for c in by_action.get(Action.REPLACE, ())]))
        return {change.address: outcomes.get(change.address.name, Outcome()) for change in changes}

    def _create(self, topics: Sequence[Topic]) -> Failures:
        """Makes the topics. One that is there already is a Conflict, unless it is what this very call made."""
        found: Failures = {topic.name: shared.refused(topic) for topic in topics}
        for batch in shared.batches([t for t in topics if found[t.name] is None], shared.weight):
            asked = {topic.name: topic for topic in batch}
            found |= self._carried_out(
                asked, lambda names, asked=asked: self._send_creates([asked[n] for n in names]),  # type: ignore[misc]
                lambda name, live, asked=asked: live is not None and shared.equals(asked[name], live),  # type: ignore[misc]
                ours_only=True,
            )  # fmt: skip
        return found

    def _update(self, changes: Sequence[Change]) -> Failures:
        """Sets configs, then adds partitions, which has no way back. A new replication factor refuses the whole change."""
        found = {name: problem for name, problem in self._factor_problems(changes).items() if problem}
        failures: Failures = dict(found)
        todo = {c.address.name: c for c in changes if c.address.name not in failures}
        settings = {name: shared.settings(change) for name, change in todo.items() if any(shared.settings(change))}
        failures |= self._carried_out(
            settings, lambda names: self._send_settings({n: settings[n] for n in names}),
            lambda name, live: live is not None and _has(live, *settings[name]),
        )  # fmt: skip
        counts = {n: count for n, c in todo.items() if (count := shared.growth(c)) and not failures.get(n)}
        grown = self._carried_out(
            counts, lambda names: self._send_growth({n: counts[n] for n in names}),
            lambda name, live: live is not None and live.partitions == counts[name],
        )  # fmt: skip
        for name, problem in grown.items():
            if problem is not None and name in settings:
                problem.applied = None  # its configs are set already
        return failures | grown

    def _delete(self, changes: Sequence[Change]) -> dict[str, Outcome]:
        """Deletes; one that is gone is fine. With `if_empty` a topic that has records is kept.

        A record that arrives between the look and the deletion is lost: Kafka has no conditional delete.
        """
        kept: dict[str, Outcome] = {}
        cautious = [change.address.name for change in changes if change.if_empty]
        for name, answer in (self._records(cautious) if cautious else {}).items():
            if isinstance(answer, KplanError):
                kept[name] = Outcome(answer)
            elif answer:
                kept[name] = Outcome(kept=f"{answer} record{'' if answer == 1 else 's'} arrived")
        return kept | _outcomes(self._remove([c.address.name for c in changes if c.address.name not in kept]))

    def _remove(self, names: Sequence[str]) -> Failures:
        found: Failures = {}
        for batch in shared.batches(names, lambda _: 1):
            found |= self._carried_out(dict.fromkeys(batch), self._send_deletes, lambda name, live: live is None,
                                       gone_is_fine=True)  # fmt: skip
        return found

    def _replace(self, topics: Sequence[Topic]) -> Failures:
        """Deletes each topic, waits until no broker knows it, and makes it anew."""
        found: Failures = {topic.name: shared.refused(topic) for topic in topics}
        found |= self._remove([topic.name for topic in topics if found[topic.name] is None])
        deleted = [topic for topic in topics if found[topic.name] is None]
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

    def _carried_out(self, items: Mapping[str, object], send: Callable[[Sequence[str]], Failures],
                     is_so: Callable[[str, Topic | None], bool], *, ours_only: bool = False,
                     gone_is_fine: bool = False) -> Failures:  # fmt: skip
        """Sends until each is answered for good. Live state decides where an answer was lost or says it is so already.

        With `ours_only`, what is so already counts only if an earlier attempt of this call may have done it.
        """
        found: Failures = {}
        maybe: set[str] = set()
        pending = list(items)
        for attempt in range(1, self._client.attempts + 1):
            if not pending:
                break
            if attempt > 1:
                self._client.pause(attempt - 1)
            answers = send(pending)
            maybe |= {name for name, problem in answers.items() if problem is not None and problem.applied is None}
            unclear = [
                n for n, p in answers.items() if p is not None and (p.applied is None or isinstance(p, Conflict))
            ]
            live = {} if gone_is_fine and not maybe else self._looked_at(unclear, pause=bool(maybe))
            again = []
            for name, problem in answers.items():
                so = name in live and is_so(name, live[name]) and (name in maybe or not ours_only)
                fine = problem is None or so or (gone_is_fine and isinstance(problem, Conflict))
                found[name] = None if fine else problem
                unknown = name in maybe and name not in live and name in unclear
                if not fine and problem is not None and problem.error_class is ErrorClass.RETRIABLE and not unknown:
                    again.append(name)
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
            self._client.pause(1)
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
        broker, and one that has not heard of a topic answers 3. Creating, altering and deleting are one batch of the
        metadata log each, so what a broker shows of them is all there is. Counts of partitions cannot be asked of a
        chosen broker: after a growth the metadata, which comes from a random broker, must be right several times in
        a row.
        """
        waiting: dict[str, Topic | None] = {}
        for change in changes:
            after = change.after if change.action is not Action.DELETE else None
            waiting[change.address.name] = after if isinstance(after, Topic) else None
        asked = dict(waiting)
        grown = frozenset(change.address.name for change in changes if shared.growth(change))
        verb = {name: "deleted, still listed" if topic is None else "accepted, not visible on every broker yet"
                for name, topic in waiting.items()}  # fmt: skip
        problem = self._await(waiting, grown, lambda name: progress(Address("topic", name), verb[name]))
        return {change.address: self._settled(change.address.name, asked, waiting, problem) for change in changes}

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
        """Takes out of `waiting` what shows everywhere, until nothing is left or time is up; the last trouble, if any."""
        began = time.monotonic()
        rounds: dict[str, int] = {}
        seen: dict[int, set[str]] = {}
        told = False
        problem: KplanError | None = None
        pause = 0.02
        while waiting:
            try:
                for name in self._showing(waiting, grown, rounds, seen):
                    del waiting[name]
                problem = None
            except KplanError as trouble:
                problem = trouble
                if trouble.error_class is not ErrorClass.RETRIABLE:
                    break
            elapsed = time.monotonic() - began
            if not waiting or elapsed > self._settle_timeout:
                break
            if elapsed > 2 and not told:
                told = True
                for name in waiting:
                    tell(name)
            time.sleep(min(pause, max(0.0, self._settle_timeout - elapsed)))
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
            for name, answer in self._configs(left, broker if len(brokers) > 1 else None).items():
                if _as_asked(waiting[name], answer):
                    there.add(name)
            good = [name for name in good if name in there]
        enough = 1 if len(brokers) == 1 else 2 * len(brokers)
        return [name for name in good if name not in grown or rounds[name] >= enough]

    # -- facts --------------------------------------------------------------------------------------------------------
    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        """Records (latest less earliest offsets), the newest record's time, and the consumer groups with their lag."""
        if not names:
            return {}
        partitions = self._partitions(names)
        everywhere = [(name, p) for name, ids in partitions.items() for p in ids]
        first = self._offsets(everywhere, EARLIEST)
        last = self._offsets(everywhere, LATEST)
        newest = self._offsets(everywhere, NEWEST)
        readers = self._readers(partitions, last)
        return {Address("topic", name): Facts(
            records=_total(name, ids, first, last), last_write=_newest(name, ids, newest), readers=tuple(readers.get(name, ())),
        ) for name, ids in partitions.items()}  # fmt: skip

    def end_offsets(self, names: Collection[str]) -> Mapping[str, int]:
        """The sum of each topic's end offsets, which moves when anything is written; a missing topic has none."""
        partitions = self._partitions(names)
        last = self._offsets([(name, p) for name, ids in partitions.items() for p in ids], LATEST)
        known = {
            n: [last[n, p] for p in ids if not isinstance(last[n, p], KplanError)] for n, ids in partitions.items()
        }
        return {name: sum(answer.offset for answer in answers) for name, answers in known.items()}

    def _partitions(self, names: Collection[str]) -> dict[str, list[int]]:
        listed = self._client.metadata().topics
        return {name: sorted(listed[name].partitions) for name in dict.fromkeys(names) if name in listed}

    def _records(self, names: Sequence[str]) -> dict[str, int | KplanError]:
        """How many records each topic has; one that is not there has none. Leaders that are being elected are awaited."""

        def read() -> dict[str, int | KplanError]:
            partitions = self._partitions(names)
            everywhere = [(name, p) for name, ids in partitions.items() for p in ids]
            first = self._offsets(everywhere, EARLIEST)
            last = self._offsets(everywhere, LATEST)
            problems = [a for a in (*first.values(), *last.values()) if isinstance(a, KplanError)]
            waits = next((p for p in problems if p.error_class is not ErrorClass.FATAL), None)
            if waits is not None:  # 3 as well: a leader that has not heard of its new partition
                raise Busy(waits.message)
            return {name: _count(name, ids, first, last) for name, ids in partitions.items()}

        try:
            return self._client.retried(read)
        except KplanError as problem:
            return dict.fromkeys(names, problem)

    def _offsets(self, partitions: Sequence[tuple[str, int]], spec: OffsetSpec) -> dict[tuple[str, int], Any]:
        """An offset (with its timestamp) of each partition, or a KplanError."""
        found: dict[tuple[str, int], Any] = {}
        for batch in shared.batches(partitions, lambda _: 1, OFFSETS_AT_ONCE):
            ask = {TopicPartition(name, p): spec for name, p in batch}
            answers = self._client.asked(lambda ask=ask: self._admin.list_offsets(ask, request_timeout=self._timeout))  # type: ignore[misc]
            found |= {(key.topic, key.partition): answer for key, answer in answers.items()}
        return found

    def _readers(
        self, partitions: Mapping[str, Sequence[int]], last: Mapping[tuple[str, int], Any]
    ) -> dict[str, list[Reader]]:
        """By topic, the groups that have committed offsets in it or are assigned to it now. Groups one may not see: none."""
        answer = self._client.asked(lambda: {"": self._admin.list_consumer_groups(request_timeout=self._timeout)})[""]
        if isinstance(answer, KplanError):
            self._warn(f"consumer groups could not be listed: {answer.message}")
            return {}
        active = {g.group_id: g.state not in (ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD) for g in answer.valid}
        assigned = self._assigned([group for group, busy in active.items() if busy])
        found: dict[str, list[Reader]] = {}
        for group, committed in sorted(self._committed(list(active), partitions).items()):
            for name, ids in partitions.items():
                lags = [last[name, p].offset - committed[name, p] for p in ids
                        if (name, p) in committed and not isinstance(last[name, p], KplanError)]  # fmt: skip
                if lags or name in assigned.get(group, ()):
                    found.setdefault(name, []).append(Reader(group, sum(max(0, lag) for lag in lags), active[group]))
        return found

    def _assigned(self, groups: Sequence[str]) -> dict[str, set[str]]:
        """The topics that members of each group read now."""
        if not groups:
            return {}
        answers = self._client.asked(
            lambda: self._admin.describe_consumer_groups(list(groups), request_timeout=self._timeout)
        )
        known = {group: answer for group, answer in answers.items() if not isinstance(answer, KplanError)}
        return {group: {p.topic for m in answer.members if m.assignment for p in m.assignment.topic_partitions}
                for group, answer in known.items()}  # fmt: skip

    def _committed(self, groups: Sequence[str],
                   partitions: Mapping[str, Sequence[int]]) -> dict[str, dict[tuple[str, int], int]]:  # fmt: skip
        """Each group's committed offsets in these partitions. The client asks for one group a request (its own limit)."""
        found: dict[str, dict[tuple[str, int], int]] = {}
        for batch in shared.batches(groups, lambda _: 1, GROUPS_AT_ONCE):
            asked: dict[str, Future[Any]] = {}
            for group in batch:
                where = [TopicPartition(name, p) for name, ids in partitions.items() for p in ids]
                request = [ConsumerGroupTopicPartitions(group, where)]
                asked |= self._admin.list_consumer_group_offsets(request, request_timeout=self._timeout)
            for group, answer in self._client.answers(asked).items():
                if not isinstance(answer, KplanError):
                    found[group] = {(p.topic, p.partition): p.offset for p in answer.topic_partitions
                                    if p.offset >= 0 and p.error is None}  # fmt: skip
        return found


_TOPIC = ConfigResource.Type.TOPIC


def _shape(partitions: Iterable[Any]) -> tuple[int, int]:
    """The count of partitions and of the first one's replicas."""
    known = list(partitions)
    return len(known), len(known[0].replicas) if known else 0


def _replicas(metadata: Any, name: str) -> dict[int, list[int]]:
    found = metadata.topics.get(name)
    return {} if found is None else {number: list(p.replicas) for number, p in found.partitions.items()}


def _set_here(entries: Mapping[str, Any]) -> dict[str, str]:
    """What is set on the topic itself: `source == 1`, not `not is_default` (facts.md 1.2)."""
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


def _count(name: str, ids: Iterable[int], first: Mapping[Any, Any], last: Mapping[Any, Any]) -> int:
    return sum(max(0, last[name, p].offset - first[name, p].offset) for p in ids)


def _total(name: str, ids: Sequence[int], first: Mapping[Any, Any], last: Mapping[Any, Any]) -> int | None:
    if any(isinstance(each[name, p], KplanError) for each in (first, last) for p in ids):
        return None
    return _count(name, ids, first, last)


def _newest(name: str, ids: Iterable[int], newest: Mapping[Any, Any]) -> int | None:
    times = [newest[name, p].timestamp for p in ids if not isinstance(newest[name, p], KplanError)]
    return max((t for t in times if t > 0), default=None)


__all__ = ["KafkaTopics", "classify"]
