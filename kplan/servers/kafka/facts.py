"""What topics of real brokers store and who reads them, requested for all topics together and within a time limit.

Brokers return offsets, times and consumer groups. Only DescribeLogDirs returns the stored bytes; librdkafka (2.16) does
not have it, so they stay unknown here (see `storage`).
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
from kplan.kinds.acl.permissions import Acl
from kplan.model import Address, Facts, Reader
from kplan.servers import topics as shared
from kplan.servers.connection_errors import UNLIMITED_TIMEOUT_S

if TYPE_CHECKING:
    from kplan.servers.kafka.client import Client

K = TypeVar("K")
Partition = tuple[str, int]
Answers = dict[Partition, Any]  # an offset with its time, or a KplanError

FACTS_TIMEOUT_S: Final = 30.0  # what is unknown after that stays unknown
RETRY_TIMEOUT_S: Final = 10.0  # how long a leader or a coordinator that is not ready is asked again
MAX_OFFSETS_PER_REQUEST: Final = 2_000
MAX_GROUPS_PER_REQUEST: Final = 200  # 400 groups took 0.15 s on one broker
EARLIEST, LATEST = OffsetSpec.earliest(), OffsetSpec.latest()  # type: ignore[no-untyped-call]
NEWEST = OffsetSpec.max_timestamp()  # type: ignore[no-untyped-call]
OLDEST = OffsetSpec.for_timestamp(0)  # the first record that has a time
INACTIVE_STATES = frozenset({ConsumerGroupState.EMPTY, ConsumerGroupState.DEAD})


def list_partitions(client: Client, names: Collection[str]) -> dict[str, list[int]]:
    """Return the partitions of those topics that are listed."""
    listed = client.metadata().topics
    return {name: sorted(listed[name].partitions) for name in dict.fromkeys(names) if name in listed}


def read_offsets(client: Client, partitions_asked: Sequence[Partition], spec: OffsetSpec, timeout: float) -> Answers:
    """Return an offset (with its timestamp) of each partition, or a KplanError."""
    found: Answers = {}
    for batch in shared.make_batches(partitions_asked, lambda _: 1, MAX_OFFSETS_PER_REQUEST):
        request = {TopicPartition(name, p): spec for name, p in batch}
        answers_of_batch = client.request(
            partial(client.admin.list_offsets, request, request_timeout=timeout), "list offsets"
        )
        found |= {(key.topic, key.partition): answer for key, answer in answers_of_batch.items()}
    return found


def sum_end_offsets(client: Client, names: Collection[str]) -> dict[str, int]:
    """Return the sum of each topic's end offsets; a missing topic has none."""
    listed = list_partitions(client, names)
    last = read_offsets(client, [(n, p) for n, ids in listed.items() for p in ids], LATEST, client.timeout)
    return {
        name: sum(last[name, p].offset for p in ids if not isinstance(last[name, p], KplanError))
        for name, ids in listed.items()
    }


def count_records(client: Client, names: Sequence[str]) -> dict[str, int | KplanError]:
    """Return the number of records of each existing topic. Waits for leaders that are being elected."""

    def read() -> dict[str, int | KplanError]:
        partitions_of_topics = {name: [(name, p) for p in ids] for name, ids in list_partitions(client, names).items()}
        all_partitions = [each for mine in partitions_of_topics.values() for each in mine]
        first = read_offsets(client, all_partitions, EARLIEST, client.timeout)
        last = read_offsets(client, all_partitions, LATEST, client.timeout)
        problems = {key[0]: a for found in (first, last) for key, a in found.items() if isinstance(a, KplanError)}
        temporary = next((p for p in problems.values() if p.error_class is not ErrorClass.FATAL), None)
        if temporary is not None:  # code 3 too: a leader that does not know its new partition yet
            raise Busy(temporary.message)
        return {
            name: problems.get(name) or count_between(mine, first, last) for name, mine in partitions_of_topics.items()
        }

    try:
        return client.retry(read)
    except KplanError as problem:
        return dict.fromkeys(names, problem)


def count_between(own_partitions: Iterable[Partition], first: Answers, last: Answers) -> int:
    """Return the number of records between these offsets, including those that compaction removed."""
    return sum(max(0, last[p].offset - first[p].offset) for p in own_partitions)


class FactsReader:
    """Reads facts once. Each request gets the rest of `seconds` for its answer; none is sent after them."""

    def __init__(self, client: Client, seconds: float = FACTS_TIMEOUT_S,
                 clock: Callable[[], float] = time.monotonic) -> None:  # fmt: skip
        self._client = client
        self._clock = clock
        self._end = clock() + seconds
        self._patient = clock() + RETRY_TIMEOUT_S
        self._late = Timeout(f"not read within {seconds:g} s")

    def read(self, names: Collection[str]) -> dict[Address, Facts]:
        """Read the facts of those topics that are listed."""
        listed = list_partitions(self._client, names)
        all_partitions = [(name, p) for name, ids in listed.items() for p in ids]
        if not all_partitions:
            return {}
        first, last = self._read_offsets(all_partitions, EARLIEST), self._read_offsets(all_partitions, LATEST)
        non_empty = [each for each in all_partitions if not _is_empty(first[each], last[each])]
        oldest, newest = self._read_offsets(non_empty, OLDEST), self._read_offsets(non_empty, NEWEST)
        readers, unknown_readers = self._read_readers(first, last)
        return {
            Address("topic", name): _make_facts(
                [(name, p) for p in ids], (first, last, oldest, newest), readers[name], unknown_readers
            )
            for name, ids in listed.items()
        }

    def read_first_writes(self, partitions: Mapping[str, Collection[int]]) -> dict[str, int]:
        """Return the time of the oldest record of each topic that has one and of which all partitions answer."""
        answers = self._read_offsets([(name, p) for name, ids in partitions.items() for p in ids], OLDEST)
        own = {name: [(name, p) for p in ids] for name, ids in partitions.items()}
        times = {n: _list_times(places, answers) for n, places in own.items() if not _find_problem(places, answers)}
        return {name: min(found) for name, found in times.items() if found}

    def find_groups_with_positions(self, groups: Collection[str]) -> frozenset[str]:
        """Return those groups that have committed offsets. Raises why one could not be asked."""
        answers, reason = self._request_groups(list(groups), self._ask_positions)
        if reason:
            raise KplanError(reason)
        return frozenset(group for group, answer in answers.items() if _list_committed(answer))

    def _remaining_seconds(self) -> float:
        """Return the seconds that the next request may take."""
        return min(self._client.timeout, self._end - self._clock())

    def _read_offsets(self, partitions: Sequence[Partition], spec: OffsetSpec) -> Answers:
        return self._request_all(
            partitions, MAX_OFFSETS_PER_REQUEST, lambda some, timeout: read_offsets(self._client, some, spec, timeout)
        )

    def _request_all(
        self, keys: Sequence[K], at_once: int, request: Callable[[Sequence[K], float], Mapping[K, Any]]
    ) -> dict[K, Any]:
        """Return an answer for each, or why there is none; retry what may be known soon."""
        answers: dict[K, Any] = {}
        remaining = list(keys)
        for attempt in itertools.count(1):
            for batch in shared.make_batches(remaining, lambda _: 1, at_once):
                timeout = self._remaining_seconds()
                answers |= request(batch, timeout) if timeout > 0 else dict.fromkeys(batch, self._late)
            remaining = [key for key in remaining if _is_temporary(answers[key])]
            if not remaining or self._clock() >= min(self._patient, self._end):
                break
            time.sleep(min(1.0, 0.2 * attempt))
        return answers

    # -- readers --------------------------------------------------------------------------------------------------
    def _read_readers(self, first: Answers, last: Answers) -> tuple[defaultdict[str, list[Reader]], str]:
        """Return, by topic, the groups that have committed offsets in it or read it now, and why there may be more."""
        readers: defaultdict[str, list[Reader]] = defaultdict(list)
        timeout = self._remaining_seconds()
        if timeout <= 0:
            return readers, self._late.message
        ask = partial(self._client.admin.list_consumer_groups, request_timeout=timeout)
        listing = self._client.request(lambda: {"": ask()}, "list consumer groups")[""]
        if isinstance(listing, KplanError):
            return readers, f"consumer groups could not be listed: {listing.message}"
        states = {group.group_id: group.state for group in listing.valid}
        positions, position_problem = self._request_groups(list(states), self._ask_positions)
        members, member_problem = self._request_groups(
            [g for g, state in states.items() if state not in INACTIVE_STATES], self._ask_members
        )
        for group in sorted(states):
            committed, assigned = _list_committed(positions.get(group)), _list_assigned(members.get(group))
            topics_read = {topic for topic, _ in assigned}
            is_rebalancing = group in members and states[group] != ConsumerGroupState.STABLE
            for topic, lag in _sum_lags(committed, assigned, first, last).items():
                readers[topic].append(Reader(group, lag, topic in topics_read or is_rebalancing))
        list_problem = next((f"a broker did not list its groups: {e}" for e in listing.errors or ()), "")
        if problem := self._client.find_group_list_problem():
            self._client.warn(problem)
            list_problem = list_problem or problem.message
        return readers, position_problem or member_problem or list_problem

    def _request_groups(
        self, groups: Sequence[str], request: Callable[[Sequence[str]], Mapping[str, Future[Any]]]
    ) -> tuple[dict[str, Any], str]:
        """Return the answer for each group, and the first reason why one has none."""
        answers = self._request_all(
            groups,
            MAX_GROUPS_PER_REQUEST,
            lambda some, timeout: self._client.request(partial(request, some), "describe consumer groups", timeout),
        )
        problems = {group: answer for group, answer in answers.items() if isinstance(answer, KplanError)}
        missing = {group: p for group, p in problems.items() if not isinstance(p, Conflict)}  # it was deleted meanwhile
        reason = ""
        for group, problem in list(missing.items())[:1]:
            explained = self._client.add_acl(problem, Acl("Describe", "Group", "*"))
            reason = f"group {group}: {explained.message}"
            if explained is not problem:
                self._client.warn(explained)
        return {group: answer for group, answer in answers.items() if group not in problems}, reason

    def _ask_positions(self, groups: Sequence[str]) -> dict[str, Future[Any]]:
        """Request the positions; the client takes one group a call."""
        futures: dict[str, Future[Any]] = {}
        for group in groups:
            request = [ConsumerGroupTopicPartitions(group)]
            futures |= self._client.admin.list_consumer_group_offsets(request, request_timeout=UNLIMITED_TIMEOUT_S)
        return futures

    def _ask_members(self, groups: Sequence[str]) -> Mapping[str, Future[Any]]:
        return self._client.admin.describe_consumer_groups(list(groups), request_timeout=UNLIMITED_TIMEOUT_S)


def _make_facts(
    own_partitions: Sequence[Partition],
    answers: tuple[Answers, Answers, Answers, Answers],
    readers: Sequence[Reader],
    unknown_readers: str,
) -> Facts:
    """Return the facts of one topic's partitions; `unknown_readers` is why there may be more readers."""
    first, last, oldest, newest = answers
    count_problem = _find_problem(own_partitions, first) or _find_problem(own_partitions, last)
    reasons = {
        "records": count_problem,
        "first_write": count_problem
        or _find_problem(own_partitions, oldest)
        or _find_time_problem(own_partitions, oldest),
        "last_write": count_problem or _find_problem(own_partitions, newest),
        "readers": unknown_readers,
    }
    unknown = {field: reason for field, reason in reasons.items() if reason}
    return Facts(
        records=None if "records" in unknown else count_between(own_partitions, first, last),
        first_write=None if "first_write" in unknown else min(_list_times(own_partitions, oldest), default=None),
        last_write=None if "last_write" in unknown else max(_list_times(own_partitions, newest), default=None),
        readers=tuple(readers),
        unknown=unknown,
    )


def _is_empty(first: Any, last: Any) -> bool:
    return not isinstance(first, KplanError) and not isinstance(last, KplanError) and last.offset <= first.offset


def _is_temporary(answer: Any) -> bool:
    """Return whether it may be known soon: a leader is elected, a coordinator loads, a new partition is announced."""
    return isinstance(answer, KplanError) and answer.error_class is not ErrorClass.FATAL


def _find_problem(own_partitions: Sequence[Partition], answers: Answers) -> str:
    """Return why one of the partitions has no answer; empty where all have."""
    return next((a.message for p in own_partitions if isinstance(a := answers.get(p), KplanError)), "")


def _find_time_problem(own_partitions: Sequence[Partition], oldest: Answers) -> str:
    return "its records have no time" if any(oldest[p].offset < 0 for p in own_partitions if p in oldest) else ""


def _list_times(own_partitions: Sequence[Partition], answers: Answers) -> list[int]:
    return [answers[p].timestamp for p in own_partitions if p in answers and answers[p].timestamp >= 0]


def _list_committed(answer: Any) -> dict[Partition, int]:
    """Return the committed offsets of a group."""
    positions = answer.topic_partitions if answer is not None else ()
    return {(p.topic, p.partition): p.offset for p in positions or () if p.offset >= 0 and p.error is None}


def _list_assigned(answer: Any) -> set[Partition]:
    """Return the partitions that the members of a group read now."""
    members = answer.members if answer is not None else ()
    return {(p.topic, p.partition) for m in members if m.assignment for p in m.assignment.topic_partitions}


def _sum_lags(committed: Mapping[Partition, int], assigned: Collection[Partition], first: Answers,
          last: Answers) -> dict[str, int]:  # fmt: skip
    """Return how many records a group has not read, by topic; of a partition without a position, all."""
    lags: dict[str, int] = {}
    for partition in {*committed, *assigned} & last.keys():
        begin, end = first[partition], last[partition]
        if not isinstance(begin, KplanError) and not isinstance(end, KplanError):
            position = committed.get(partition, begin.offset)
            lags[partition[0]] = lags.get(partition[0], 0) + max(0, end.offset - position)
    return lags


__all__ = ["EARLIEST", "LATEST", "FactsReader", "count_between", "list_partitions", "read_offsets"]
