"""What each of Kafka's error codes means for an admin request, and what is done when an outcome is unknown."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace

import pytest
from confluent_kafka import KafkaError, KafkaException

from kplan.diagnostics import (
    Busy,
    Conflict,
    Denied,
    ErrorClass,
    JournalBroken,
    KplanError,
    Rejected,
    Timeout,
    Unreachable,
    Unsupported,
)
from kplan.model import Action, Change, Topic
from kplan.servers.kafka import errors
from kplan.servers.kafka.errors import MEANINGS, classify_error, make_error, map_exception
from kplan.servers.kafka.topic_requests import Failures
from kplan.servers.kafka.topics import KafkaTopics
from kplan.servers.topics import count_records, is_as_declared, make_batches

CODES = {
    name: getattr(KafkaError, name)
    for name in dir(KafkaError)
    if name.lstrip("_").isupper() and isinstance(getattr(KafkaError, name), int)
}


def test_every_code_of_the_client_is_classified() -> None:
    assert len(CODES) > 180
    unknown = sorted(name for name, code in CODES.items() if code not in MEANINGS)
    assert unknown == ["NO_ERROR"]


def test_no_code_has_two_classes() -> None:
    groups = [
        errors._CONFLICT, errors._BUSY, errors._UNREACHABLE, errors._UNKNOWN_OUTCOME, errors._DENIED,
        errors._UNSUPPORTED, errors._LOCK_LOST, errors._REJECTED,
    ]  # fmt: skip
    assert sum(len(group) for group in groups) == len(frozenset().union(*groups)) == len(MEANINGS)


@pytest.mark.parametrize(
    ("codes", "kind", "applied"),
    [
        ((3, 36, 69, 84), Conflict, False),
        ((41, 5, 6, 8, 9, 13, 14, 15, 16, 27, 51, 56, 60, 88, 89, -180, -164, -153, -166), Busy, False),
        ((7, -185, -195, -1, -199, -197), Timeout, None),
        ((17, 37, 38, 39, 40, 42, 44, 73, 18, 10, -186, -173), Rejected, False),
        ((29, 30, 31, 53, 65, 33, 34, 58, -169, -181), Denied, False),
        ((35, 54, -165, -170), Unsupported, False),
        ((-144, 90, 47, 22, 25, 82), JournalBroken, None),
        ((-187, -193), Unreachable, False),
    ],
)
def test_the_table_of_facts(codes: Sequence[int], kind: type[KplanError], applied: bool | None) -> None:
    """`KafkaError.retriable()` says nothing of use for admin requests, so each code has its own verdict."""
    for code in codes:
        verdict = classify_error(code)
        assert (code, verdict.error, verdict.applied) == (code, kind, applied)
        assert make_error(code, "words").applied is applied


@pytest.mark.parametrize(
    ("code", "message", "kind", "applied"),
    [
        (-185, "Failed while waiting for controller: Local: Timed out", Unreachable, False),
        (-185, "Failed while waiting for response from broker: Local: Timed out", Timeout, None),
        (37, "Topic already has 2 partition(s).", Conflict, False),
        (37, "The topic a currently has 2 partition(s); 1 would not be an increase.", Rejected, False),
        (38, "only 1 broker(s) are registered", Rejected, False),
        (38, "All brokers are currently fenced.", Busy, False),
        (9999, "a code of the future", KplanError, None),
    ],
)
def test_the_message_decides_where_the_code_does_not(
    code: int, message: str, kind: type[KplanError], applied: bool | None
) -> None:
    problem = make_error(code, message)
    assert (type(problem), problem.applied, problem.message) == (kind, applied, message)


def test_what_the_client_raises_is_mapped() -> None:
    assert type(map_exception(KafkaException(KafkaError(40, "no")))) is Rejected
    assert type(map_exception(ValueError("out of range"))) is Rejected
    assert map_exception(RuntimeError("odd")).applied is None


# -- repeated attempts ------------------------------------------------------------------------------------------------
class Scripted(KafkaTopics):
    """Answers to creates, deletes, settings and growth are as scripted; `there` is what is read."""

    def __init__(self, *answers: KplanError | None) -> None:
        self.warned: list[str] = []
        super().__init__({"bootstrap.servers": "127.0.0.1:1"}, attempts=3, delay=0, warn=self.warned.append)
        self.client.timeout = 0.05  # a pause asks for metadata, which no broker has here
        self.answers = list(answers)
        self.there: dict[str, Topic] = {}
        self.unreadable = False
        self.sent = 0
        self.before_answer: Callable[[], None] = lambda: None
        vars(self._requests).update(
            create=lambda topics, validate=False: self._scripted([topic.name for topic in topics]),
            delete=self._scripted,
            set_configs=lambda settings, validate=False: self._scripted(list(settings)) if settings else {},
        )
        vars(self._reader).update(read_present=self._seen)

    def _scripted(self, names: Sequence[str]) -> Failures:
        self.sent += 1
        self.before_answer()
        answer = self.answers.pop(0)
        return dict.fromkeys(names, answer)

    def _seen(self, names: Sequence[str], pause: bool) -> dict[str, Topic | None]:
        return {} if self.unreadable else {name: self.there.get(name) for name in names}


ASKED = Topic("a", 1, 1, {"retention.ms": "1000"})
CREATE = Change(ASKED.address, Action.CREATE, None, ASKED)
DELETE = Change(ASKED.address, Action.DELETE, ASKED, None)
EXISTS, LOST, BUSY = make_error(36, "exists"), make_error(7, "lost"), make_error(41, "not controller")


def acted(backend: Scripted, change: Change = CREATE) -> KplanError | None:
    return backend.act([change], {})[change.address].error


def test_what_is_busy_is_tried_again() -> None:
    backend = Scripted(BUSY, BUSY, None)
    assert acted(backend) is None
    assert backend.sent == 3


def test_what_stays_busy_is_an_error_that_took_no_effect() -> None:
    backend = Scripted(*(make_error(41, "not controller") for _ in range(3)))
    error = acted(backend)
    assert isinstance(error, Busy)
    assert error.applied is False
    assert backend.sent == 3


def test_an_existing_topic_is_a_conflict_where_it_differs() -> None:
    backend = Scripted(make_error(36, "exists"))
    backend.there["a"] = replace(ASKED, partitions=ASKED.partitions + 1)
    assert isinstance(acted(backend), Conflict)


def test_an_existing_topic_is_adopted_where_it_is_as_asked() -> None:
    backend = Scripted(make_error(36, "exists"))
    backend.there["a"] = ASKED
    assert acted(backend) is None


def test_an_existing_topic_is_ours_if_an_answer_was_lost_before() -> None:
    backend = Scripted(make_error(7, "lost"), make_error(36, "exists"))
    reads = iter([{}, {"a": ASKED}])

    def next_read() -> None:
        backend.there = next(reads)

    backend.before_answer = next_read
    assert acted(backend) is None
    assert backend.sent == 2


def test_an_existing_topic_that_differs_is_not_ours() -> None:
    backend = Scripted(make_error(7, "lost"), make_error(36, "exists"))
    reads = iter([{}, {"a": Topic("a", 9, 1)}])

    def next_read() -> None:
        backend.there = next(reads)

    backend.before_answer = next_read
    error = acted(backend)
    assert isinstance(error, Conflict)
    assert error.applied is None


def test_a_lost_answer_is_not_repeated_when_it_took_effect() -> None:
    backend = Scripted(make_error(-185, "waiting for response"))
    backend.there["a"] = ASKED
    assert acted(backend) is None
    assert backend.sent == 1


def test_a_lost_answer_is_repeated_when_it_took_no_effect() -> None:
    backend = Scripted(make_error(7, "lost"), None)
    assert acted(backend) is None
    assert backend.sent == 2


def test_a_lost_answer_is_not_repeated_blindly() -> None:
    backend = Scripted(make_error(7, "lost"))
    backend.unreadable = True
    error = acted(backend)
    assert isinstance(error, Timeout)
    assert error.applied is None
    assert backend.sent == 1


def test_a_refusal_after_a_lost_answer_may_have_taken_effect() -> None:
    backend = Scripted(make_error(7, "lost"), make_error(44, "policy"))
    error = acted(backend)
    assert isinstance(error, Rejected)
    assert error.applied is None


def test_what_is_rejected_is_not_repeated() -> None:
    backend = Scripted(make_error(40, "Invalid value"))
    assert isinstance(acted(backend), Rejected)
    assert backend.sent == 1


def test_a_lost_delete_that_took_effect_is_done() -> None:
    backend = Scripted(make_error(7, "lost"))
    assert acted(backend, DELETE) is None


def test_a_delete_of_what_is_gone_is_done() -> None:
    backend = Scripted(make_error(3, "unknown"))
    backend.unreadable = True
    assert acted(backend, DELETE) is None


def test_what_the_client_would_refuse_with_all_others_is_not_sent() -> None:
    backend = Scripted(None)
    bad = Topic("b", 200_000)
    outcomes = backend.act([CREATE, Change(bad.address, Action.CREATE, None, bad)], {})
    assert outcomes[ASKED.address].ok
    assert isinstance(outcomes[bad.address].error, Rejected)


def test_what_kplan_sets_on_its_client_is_warned_of() -> None:
    warned: list[str] = []
    KafkaTopics({"bootstrap.servers": "127.0.0.1:1", "client.id": "mine"}, warn=warned.append).close()
    assert len(warned) == 1
    assert "client.id" in warned[0]


def test_a_closed_port_is_said_soon_with_its_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kplan.servers.connection_errors.ALL_DOWN_TIMEOUT_S", 0.3)
    backend = KafkaTopics({"bootstrap.servers": "127.0.0.1:1"}, request_timeout=20, attempts=1)
    started = time.monotonic()
    with pytest.raises(Unreachable) as failed:
        backend.identify()
    assert time.monotonic() - started < 10, "it waits for less than the timeout of a request"
    assert "127.0.0.1:1" in failed.value.message
    assert "refused" in failed.value.message
    assert failed.value.error_class is ErrorClass.RETRIABLE


# -- parts ------------------------------------------------------------------------------------------------------------
def test_a_request_stays_below_what_a_controller_takes() -> None:
    topics = [Topic(str(number), 7, 1, {"a": "b", "c": "d"}) for number in range(2_000)]
    made = list(make_batches(topics, count_records))
    assert [topic for batch in made for topic in batch] == topics
    assert all(sum(map(count_records, batch)) <= 8_000 for batch in made)
    assert len(made) == 3


def test_what_is_too_heavy_goes_alone() -> None:
    assert list(make_batches([3, 9_000, 4], lambda each: each)) == [[3], [9_000], [4]]


def test_a_topic_equals_what_was_asked_for() -> None:
    live = Topic("a", 3, 2, {"cleanup.policy": "delete,compact"})
    assert is_as_declared(Topic("a", -1, -1, {"cleanup.policy": "compact,delete"}), live)
    assert not is_as_declared(Topic("a", 2, -1, {"cleanup.policy": "compact,delete"}), live)
    assert not is_as_declared(Topic("a", 3, 2), live)
