"""Reading facts from brokers that do not answer, or not all: what is unknown is said, and nothing takes for ever."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from types import SimpleNamespace as Named
from typing import Any

import pytest
from confluent_kafka import ConsumerGroupState, TopicPartition

from kplan.diagnostics import Busy, Conflict, Denied, KplanError, Unsupported
from kplan.model import Address, Facts, Reader
from kplan.servers.kafka import facts as kafka_facts
from kplan.servers.kafka.facts import EARLIEST, LATEST, NEWEST, OLDEST, FactsReader

TOPIC = Address("topic", "t")
USUAL: Mapping[Any, Any] = {EARLIEST: (0, -1), LATEST: (5, -1), OLDEST: (0, 1000), NEWEST: (4, 9000)}


class Brokers:
    """A client of brokers that answer with what a test says; a KplanError is an answer like any other."""

    timeout = 30.0

    def __init__(self, partitions: int = 1) -> None:
        self.partitions = partitions
        self.offsets: dict[Any, Any] = dict(USUAL)  # by what is asked for; a function is given the partition
        self.groups: dict[str, Any] = {}  # name: (state, committed offset or KplanError, whether it is assigned)
        self.listing: KplanError | None = None
        self.unlisted: KplanError | None = None
        self.requests: list[float] = []  # the time that each was given
        self.admin = self

    def metadata(self) -> Any:
        return Named(topics={"t": Named(partitions=dict.fromkeys(range(self.partitions)))})

    def request(self, ask: Callable[[], Any], *about: Any) -> Any:
        return ask()

    def find_group_list_problem(self) -> KplanError | None:
        return self.unlisted

    def add_acl(self, problem: KplanError, *lacking: Any) -> KplanError:
        return problem

    def warn(self, problem: KplanError) -> None: ...

    def list_offsets(self, asked: Mapping[TopicPartition, Any], request_timeout: float) -> dict[TopicPartition, Any]:
        self.requests.append(request_timeout)
        return {key: self._offset(key.partition, spec) for key, spec in asked.items()}

    def _offset(self, partition: int, spec: Any) -> Any:
        said = self.offsets[spec](partition) if callable(self.offsets[spec]) else self.offsets[spec]
        return said if isinstance(said, KplanError) else Named(offset=said[0], timestamp=said[1])

    def list_consumer_groups(self, request_timeout: float) -> Any:
        self.requests.append(request_timeout)
        groups = [Named(group_id=name, state=said[0]) for name, said in self.groups.items()]
        return self.listing or Named(valid=groups, errors=[])

    def list_consumer_group_offsets(self, asked: Iterable[Any], request_timeout: float) -> dict[str, Any]:
        (request,) = asked
        said = self.groups[request.group_id][1]
        place = [] if said is None else [Named(topic="t", partition=0, offset=said, error=None)]
        return {request.group_id: said if isinstance(said, KplanError) else Named(topic_partitions=place)}

    def describe_consumer_groups(self, names: Iterable[str], request_timeout: float) -> dict[str, Any]:
        return {name: self._members(self.groups[name][2]) for name in names}

    def _members(self, assigned: Any) -> Any:
        if isinstance(assigned, KplanError):
            return assigned
        places = [Named(topic="t", partition=0)] if assigned else [Named(topic="other", partition=0)]
        return Named(members=[Named(assignment=Named(topic_partitions=places)), Named(assignment=None)])


def read(brokers: Brokers, **more: Any) -> Facts:
    return FactsReader(brokers, **more).read(["t", "missing"])[TOPIC]  # type: ignore[arg-type]


def test_what_is_stored_and_who_reads_it() -> None:
    brokers = Brokers()
    brokers.groups = {
        "idle": (ConsumerGroupState.EMPTY, 2, None),
        "busy": (ConsumerGroupState.STABLE, 5, True),
        "elsewhere": (ConsumerGroupState.STABLE, 1, False),
        "moving": (ConsumerGroupState.PREPARING_REBALANCING, 4, False),
        "new": (ConsumerGroupState.STABLE, None, True),
        "strange": (ConsumerGroupState.STABLE, None, False),
    }
    readers = (Reader("busy", 0), Reader("elsewhere", 4, False), Reader("idle", 3, False), Reader("moving", 1),
               Reader("new", 5))  # fmt: skip
    assert read(brokers) == Facts(5, None, 9000, readers, 1000)


def test_an_empty_topic_is_not_asked_for_times() -> None:
    brokers = Brokers()
    brokers.offsets = {EARLIEST: (7, -1), LATEST: (7, -1)}
    assert read(brokers) == Facts(records=0)


@pytest.mark.parametrize(
    ("spec", "answer", "unknown"),
    [
        (EARLIEST, Denied("no right to read"), {"records", "first_write", "last_write"}),
        (LATEST, Denied("no right to read"), {"records", "first_write", "last_write"}),
        (NEWEST, Unsupported("this broker is older than 3.0"), {"last_write"}),
        (OLDEST, Denied("no right to read"), {"first_write"}),
        (OLDEST, (-1, -1), {"first_write"}),  # no record has a time
    ],
)
def test_what_one_partition_does_not_answer_is_not_known_of_the_topic(
    spec: Any, answer: Any, unknown: set[str]
) -> None:
    brokers = Brokers(partitions=3)
    brokers.offsets[spec] = lambda partition: answer if partition == 1 else USUAL[spec]
    found = read(brokers)
    assert found.unknown.keys() == unknown
    assert [getattr(found, name) for name in unknown] == [None] * len(unknown)
    assert isinstance(answer, tuple) or set(found.unknown.values()) == {answer.message}
    assert found.records == (None if "records" in unknown else 15)


def test_a_group_that_cannot_be_read_is_named_and_the_others_stay_known() -> None:
    brokers = Brokers()
    brokers.groups = {
        "hidden": (ConsumerGroupState.STABLE, Denied("not authorized"), True),
        "known": (ConsumerGroupState.EMPTY, 5, None),
    }
    found = read(brokers)
    assert found.unknown == {"readers": "group hidden: not authorized"}
    assert Reader("known", 0, False) in found.readers
    brokers.groups = {"hidden": (ConsumerGroupState.STABLE, 5, Denied("not authorized"))}
    assert read(brokers).unknown == {"readers": "group hidden: not authorized"}


def test_groups_that_cannot_be_listed() -> None:
    brokers = Brokers()
    brokers.listing = Denied("not authorized")
    assert read(brokers).unknown == {"readers": "consumer groups could not be listed: not authorized"}


def test_groups_that_may_be_hidden() -> None:
    brokers = Brokers()
    brokers.unlisted = Denied("groups may be hidden")
    assert read(brokers).unknown == {"readers": "groups may be hidden"}


def test_a_group_that_is_gone_meanwhile_reads_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_facts.time, "sleep", lambda seconds: None)
    brokers = Brokers()
    brokers.groups = {"gone": (ConsumerGroupState.EMPTY, Conflict("there is no such group"), None)}
    ticks = iter(range(10_000))
    assert read(brokers, clock=lambda: float(next(ticks))) == Facts(5, None, 9000, (), 1000)


def test_a_leader_that_is_being_elected_is_awaited(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kafka_facts.time, "sleep", lambda seconds: None)
    answers = [Busy("not leader"), Busy("not leader"), (0, -1)]
    brokers = Brokers()
    brokers.offsets[EARLIEST] = lambda partition: answers.pop(0)
    assert read(brokers).records == 5


def test_it_ends_in_time_whatever_the_brokers_do(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(kafka_facts.time, "sleep", lambda seconds: None)

    def slow(partition: int) -> Any:
        now[0] += 3
        return Busy("not leader")

    brokers = Brokers()
    brokers.offsets = dict.fromkeys(USUAL, slow)
    found = read(brokers, seconds=20, clock=lambda: now[0])
    assert found.unknown.keys() == {"records", "first_write", "last_write", "readers"}
    assert now[0] <= 20 + 3
    assert all(0 < timeout <= 20 for timeout in brokers.requests)


def test_nothing_is_asked_once_time_is_up() -> None:
    brokers = Brokers()
    found = read(brokers, seconds=0, clock=lambda: 0.0)
    assert set(found.unknown.values()) == {"not read within 0 s"}
    assert brokers.requests == []


def test_a_request_has_no_more_time_than_the_environment_gives_it() -> None:
    brokers = Brokers()
    brokers.timeout = 2.0
    read(brokers)
    assert max(brokers.requests) == 2.0


def test_positions_raise_what_kept_a_group_from_being_asked() -> None:
    brokers = Brokers()
    brokers.groups = {"a": (ConsumerGroupState.EMPTY, 0, None), "b": (ConsumerGroupState.EMPTY, None, None)}
    assert FactsReader(brokers).find_groups_with_positions(["a", "b"]) == {"a"}  # type: ignore[arg-type]
    brokers.groups["c"] = (ConsumerGroupState.EMPTY, Denied("not authorized"), None)
    with pytest.raises(KplanError, match="group c: not authorized"):
        FactsReader(brokers).find_groups_with_positions(["a", "c"])  # type: ignore[arg-type]
