"""What is stored in topics of real brokers and who reads them, asked of all topics together and within a time.

Brokers tell offsets, times and consumer groups. How many bytes they store only DescribeLogDirs tells, which librdkafka
does not speak (2.16), so that stays unknown.
"""

from __future__ import annotations

import itertools
import time
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from functools import partial
from typing import TYPE_CHECKING, Any, Final, TypeVar

from confluent_kafka import ConsumerGroupState, ConsumerGroupTopicPartitions, TopicPartition
from confluent_kafka.admin import OffsetSpec  # type: ignore[attr-defined]

from kplan.diagnostics import Busy, Conflict, ErrorClass, KplanError, Timeout
from kplan.model import Address, Facts, Reader
from kplan.servers import topics as shared
from kplan.servers.connection_errors import NEVER_SECONDS
from kplan.servers.permissions import Acl

if TYPE_CHECKING:
    from kplan.servers.kafka.client import Client

K = TypeVar("K")
Partition = tuple[str, int]
Answers = dict[Partition, Any]  # an offset with its time, or a KplanError

FACTS_SECONDS: Final = 30.0  # what is not known by then stays unknown
PASSING_SECONDS: Final = 10.0  # so long a leader or a coordinator that is not ready is asked again
OFFSETS_AT_ONCE: Final = 2_000
GROUPS_AT_ONCE: Final = 200  # 400 groups took 0.15 s on one broker
EARLIEST, LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
NEWEST = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
OLDEST = OffsetSpec.for_timestamp(0)  # the first record that has a time
RESTING = frozenset({ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD})


def partitions(client: Client, names: Collection[str]) -> dict[str, list[int]]:
    """The partitions of those of the topics that are listed."""
    listed = client.metadata().topics
    return {name: sorted(listed[name].partitions) for name in dict.fromkeys(names) if name in listed}


def offsets(client: Client, asked: Sequence[Partition], spec: OffsetSpec, timeout: float) -> Answers:
    """An offset (with its timestamp) of each partition, or a KplanError."""
    found: Answers = {}
    for batch in shared.batches(asked, lambda _: 1, OFFSETS_AT_ONCE):
        ask = {TopicPartition(name, p): spec for name, p in batch}
        answers = client.asked(partial(client.admin.list_offsets, ask, request_timeout=timeout), "list offsets")
        found |= {(key.topic, key.partition): answer for key, answer in answers.items()}
    return found


def end_offsets(client: Client, names: Collection[str]) -> dict[str, int]:
    """The sum of each topic's end offsets; a missing topic has none."""
    there = partitions(client, names)
    last = offsets(client, [(n, p) for n, ids in there.items() for p in ids], LATEST, client.timeout)
    return {
        name: sum(last[name, p].offset for p in ids if not isinstance(last[name, p], KplanError))
        for name, ids in there.items()
    }


def count_records(client: Client, names: Sequence[str]) -> dict[str, int | KplanError]:
    """How many records each topic that is there has. Leaders that are being elected are awaited."""

    def read() -> dict[str, int | KplanError]:
        there = {name: [(name, p) for p in ids] for name, ids in partitions(client, names).items()}
        asked = [each for mine in there.values() for each in mine]
        first = offsets(client, asked, EARLIEST, client.timeout)
        last = offsets(client, asked, LATEST, client.timeout)
        problems = {key[0]: a for found in (first, last) for key, a in found.items() if isinstance(a, KplanError)}
        waits = next((p for p in problems.values() if p.error_class is not ErrorClass.FATAL), None)
        if waits is not None:  # 3 as well: a leader that has not heard of its new partition
            raise Busy(waits.message)
        return {name: problems.get(name) or count(mine, first, last) for name, mine in there.items()}

    try:
        return client.retried(read)
    except KplanError as problem:
        return dict.fromkeys(names, problem)


def count(mine: Iterable[Partition], first: Answers, last: Answers) -> int:
    """The records between these offsets, those that compaction took away included."""
    return sum(max(0, last[p].offset - first[p].offset) for p in mine)


class Survey:
    """One reading of facts. Each request has what is left of `seconds` for its answer; none is sent after them."""

    def __init__(self, client: Client, seconds: float = FACTS_SECONDS,
                 clock: Callable[[], float] = time.monotonic) -> None:  # fmt: skip
        self._client = client
        self._clock = clock
        self._end = clock() + seconds
        self._patient = clock() + PASSING_SECONDS
        self._late = Timeout(f"not read within {seconds:g} s")

    def of(self, names: Collection[str]) -> dict[Address, Facts]:
        """The facts of those of the topics that are listed."""
        there = partitions(self._client, names)
        everywhere = [(name, p) for name, ids in there.items() for p in ids]
        if not everywhere:
            return {}
        first, last = self._offsets(everywhere, EARLIEST), self._offsets(everywhere, LATEST)
        filled = [each for each in everywhere if not _is_empty(first[each], last[each])]
        oldest, newest = self._offsets(filled, OLDEST), self._offsets(filled, NEWEST)
        readers, why = self._readers(first, last)
        return {
            Address("topic", name): _facts([(name, p) for p in ids], (first, last, oldest, newest), readers[name], why)
            for name, ids in there.items()
        }

    def positions(self, groups: Collection[str]) -> frozenset[str]:
        """Those of the groups that have committed offsets. Raises what kept one from being asked."""
        answers, why = self._of_groups(list(groups), self._ask_positions)
        if why:
            raise KplanError(why)
        return frozenset(group for group, answer in answers.items() if _committed(answer))

    def _left(self) -> float:
        """Seconds that the next request may take."""
        return min(self._client.timeout, self._end - self._clock())

    def _offsets(self, asked: Sequence[Partition], spec: OffsetSpec) -> Answers:
        return self._answered(asked, OFFSETS_AT_ONCE, lambda some, timeout: offsets(self._client, some, spec, timeout))

    def _answered(
        self, asked: Sequence[K], at_once: int, ask: Callable[[Sequence[K], float], Mapping[K, Any]]
    ) -> dict[K, Any]:
        """An answer for each, or why there is none. What may be known in a moment is asked for again."""
        found: dict[K, Any] = {}
        left = list(asked)
        for attempt in itertools.count(1):
            for batch in shared.batches(left, lambda _: 1, at_once):
                timeout = self._left()
                found |= ask(batch, timeout) if timeout > 0 else dict.fromkeys(batch, self._late)
            left = [key for key in left if _is_passing(found[key])]
            if not left or self._clock() >= min(self._patient, self._end):
                break
            time.sleep(min(1.0, 0.2 * attempt))
        return found

    # -- readers --------------------------------------------------------------------------------------------------
    def _readers(self, first: Answers, last: Answers) -> tuple[defaultdict[str, list[Reader]], str]:
        """By topic, the groups that have committed offsets in it or read it now; and why there may be more."""
        found: defaultdict[str, list[Reader]] = defaultdict(list)
        timeout = self._left()
        if timeout <= 0:
            return found, self._late.message
        ask = partial(self._client.admin.list_consumer_groups, request_timeout=timeout)
        listing = self._client.asked(lambda: {"": ask()}, "list consumer groups")[""]
        if isinstance(listing, KplanError):
            return found, f"consumer groups could not be listed: {listing.message}"
        states = {group.group_id: group.state for group in listing.valid}
        positions, why = self._of_groups(list(states), self._ask_positions)
        members, more = self._of_groups([g for g, state in states.items() if state not in RESTING], self._ask_members)
        for group in sorted(states):
            committed, assigned = _committed(positions.get(group)), _assigned(members.get(group))
            reading = {topic for topic, _ in assigned}
            moving = group in members and states[group] != ConsumerGroupState.STABLE
            for topic, lag in _lags(committed, assigned, first, last).items():
                found[topic].append(Reader(group, lag, topic in reading or moving))
        unlisted = next((f"a broker did not list its groups: {e}" for e in listing.errors or ()), "")
        if problem := self._client.unlisted_groups():
            self._client.tell(problem)
            unlisted = unlisted or problem.message
        return found, why or more or unlisted

    def _of_groups(
        self, groups: Sequence[str], ask: Callable[[Sequence[str]], Mapping[str, Future[Any]]]
    ) -> tuple[dict[str, Any], str]:
        """What was answered for each group, and the first reason why one was not."""
        found = self._answered(
            groups,
            GROUPS_AT_ONCE,
            lambda some, timeout: self._client.asked(partial(ask, some), "describe consumer groups", timeout),
        )
        problems = {group: answer for group, answer in found.items() if isinstance(answer, KplanError)}
        missing = {group: p for group, p in problems.items() if not isinstance(p, Conflict)}  # it is gone meanwhile
        why = ""
        for group, problem in list(missing.items())[:1]:
            named = self._client.named(problem, Acl("Describe", "Group", "*"))
            why = f"group {group}: {named.message}"
            if named is not problem:
                self._client.tell(named)
        return {group: answer for group, answer in found.items() if group not in problems}, why

    def _ask_positions(self, groups: Sequence[str]) -> dict[str, Future[Any]]:
        """The client takes one group a call."""
        asked: dict[str, Future[Any]] = {}
        for group in groups:
            request = [ConsumerGroupTopicPartitions(group)]
            asked |= self._client.admin.list_consumer_group_offsets(request, request_timeout=NEVER_SECONDS)
        return asked

    def _ask_members(self, groups: Sequence[str]) -> Mapping[str, Future[Any]]:
        return self._client.admin.describe_consumer_groups(list(groups), request_timeout=NEVER_SECONDS)


def _facts(mine: Sequence[Partition], asked: tuple[Answers, Answers, Answers, Answers], readers: Sequence[Reader],
           why: str) -> Facts:  # fmt: skip
    """The facts of one topic's partitions; `why` there may be more readers."""
    first, last, oldest, newest = asked
    uncounted = _problem(mine, first) or _problem(mine, last)
    reasons = {
        "records": uncounted,
        "first_write": uncounted or _problem(mine, oldest) or _timeless(mine, oldest),
        "last_write": uncounted or _problem(mine, newest),
        "readers": why,
    }
    unknown = {field: reason for field, reason in reasons.items() if reason}
    return Facts(
        records=None if "records" in unknown else count(mine, first, last),
        first_write=None if "first_write" in unknown else min(_times(mine, oldest), default=None),
        last_write=None if "last_write" in unknown else max(_times(mine, newest), default=None),
        readers=tuple(readers),
        unknown=unknown,
    )


def _is_empty(first: Any, last: Any) -> bool:
    return not isinstance(first, KplanError) and not isinstance(last, KplanError) and last.offset <= first.offset


def _is_passing(answer: Any) -> bool:
    """Whether it may be known in a moment: a leader is elected, a coordinator loads, a new partition is told about."""
    return isinstance(answer, KplanError) and answer.error_class is not ErrorClass.FATAL


def _problem(mine: Sequence[Partition], answers: Answers) -> str:
    """Why one of the partitions has no answer; empty where all have."""
    return next((a.message for p in mine if isinstance(a := answers.get(p), KplanError)), "")


def _timeless(mine: Sequence[Partition], oldest: Answers) -> str:
    return "its records have no time" if any(oldest[p].offset < 0 for p in mine if p in oldest) else ""


def _times(mine: Sequence[Partition], answers: Answers) -> list[int]:
    return [answers[p].timestamp for p in mine if p in answers and answers[p].timestamp >= 0]


def _committed(answer: Any) -> dict[Partition, int]:
    """Where a group has come to."""
    known = answer.topic_partitions if answer is not None else ()
    return {(p.topic, p.partition): p.offset for p in known or () if p.offset >= 0 and p.error is None}


def _assigned(answer: Any) -> set[Partition]:
    """What the members of a group read now."""
    members = answer.members if answer is not None else ()
    return {(p.topic, p.partition) for m in members if m.assignment for p in m.assignment.topic_partitions}


def _lags(committed: Mapping[Partition, int], assigned: Collection[Partition], first: Answers,
          last: Answers) -> dict[str, int]:  # fmt: skip
    """What a group has not read, of each topic that was asked about; of a partition without a position, all."""
    lags: dict[str, int] = {}
    for partition in {*committed, *assigned} & last.keys():
        begin, end = first[partition], last[partition]
        if not isinstance(begin, KplanError) and not isinstance(end, KplanError):
            at = committed.get(partition, begin.offset)
            lags[partition[0]] = lags.get(partition[0], 0) + max(0, end.offset - at)
    return lags


__all__ = ["EARLIEST", "LATEST", "Survey", "count", "offsets", "partitions"]
