"""Topics and their configs, from bytes as brokers send them."""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from typing import cast

import pytest

from kplan.servers.kafka.wire.connection import BrokerConnection
from kplan.servers.kafka.wire.encoding import FAILURES, Unsuited, encode_array, encode_string
from kplan.servers.kafka.wire.topics import (
    REMEMBERED,
    TOPICS_PER_REQUEST,
    Broker,
    read_configs,
    receive_listing,
    request_listing,
)
from tests.unit.servers.kafka.wire.test_records import Answers


def make_topic(name: str, partitions: Sequence[tuple[int, int]], error: int = 0) -> bytes:
    """Make a topic of metadata; a partition is its leader and the number of its replicas."""
    parts = (
        struct.pack(">hii", 0, number, leader) + encode_array([struct.pack(">i", 1)] * replicas) + encode_array([])
        for number, (leader, replicas) in enumerate(partitions)
    )
    return struct.pack(">h", error) + encode_string(name) + b"\0" + encode_array(parts)


def make_listing(*topics: bytes) -> bytes:
    broker = struct.pack(">i", 4) + encode_string("k1") + struct.pack(">i", 9092) + b"\xff\xff"
    return (
        struct.pack(">i", 0)
        + encode_array([broker])
        + encode_string("ID")
        + struct.pack(">i", 4)
        + encode_array(topics)
    )


def make_config(name: str, value: str | None, source: int) -> bytes:
    text = b"\xff\xff" if value is None else encode_string(value)
    return encode_string(name) + text + b"\0" + bytes([source]) + b"\0" + encode_array([])


def make_result(name: str, configs: Mapping[str, str], error: int = 0) -> bytes:
    """Make a topic's configs: those it sets itself, and what every topic has."""
    own = [make_config(key, value, 1) for key, value in configs.items()]
    rest = [make_config("retention.ms", "604800000", 5), make_config("index.interval.bytes", None, 4)]
    return struct.pack(">h", error) + b"\xff\xff\x02" + encode_string(name) + encode_array([*own, *rest])


def make_results(results: Sequence[bytes]) -> bytes:
    return struct.pack(">i", 0) + encode_array(results)


def ask(connection: Answers, names: Sequence[str]) -> dict[str, Mapping[str, str]]:
    return read_configs(cast(BrokerConnection, connection), names)


def list_topics(*topics: bytes) -> dict[str, tuple[int, int]]:
    connection = cast(BrokerConnection, Answers(make_listing(*topics)))
    request_listing(connection)
    return dict(receive_listing(connection).shapes)


def test_a_listing_has_cluster_brokers_shapes_and_leaders() -> None:
    answers = Answers(make_listing(make_topic("a", [(4, 3), (5, 3)]), make_topic("ß", [])))
    listing = receive_listing(cast(BrokerConnection, answers))
    assert (listing.cluster_id, listing.brokers) == ("ID", [Broker(4, "k1", 9092)])
    assert listing.shapes == {"a": (2, 3), "ß": (0, 0)}
    assert listing.leaders["a"] == 4
    assert listing.find_server(4) == "k1:9092"
    with pytest.raises(Unsuited):
        listing.find_server(5)


def test_an_absent_topic_is_left_out_and_a_refused_one_is_left_to_librdkafka() -> None:
    assert list_topics(make_topic("there", [(1, 1)]), make_topic("not", [], error=3)) == {"there": (1, 1)}
    with pytest.raises(Unsuited):
        list_topics(make_topic("hidden", [], error=29))


def test_only_what_a_topic_sets_itself_is_returned() -> None:
    answer = make_results([make_result("a", {"cleanup.policy": "compact"}), make_result("b", {})])
    assert ask(Answers(answer), ["a", "b"]) == {"a": {"cleanup.policy": "compact"}, "b": {}}


def test_configs_that_differ_in_a_byte_are_told_apart_whatever_was_read_before() -> None:
    expected = {f"t{number}": {"segment.ms": str(100 + number % (2 * REMEMBERED))} for number in range(1_000)}
    names = list(expected)
    chunks = [names[start : start + TOPICS_PER_REQUEST] for start in range(0, len(names), TOPICS_PER_REQUEST)]
    answers = Answers(*(make_results([make_result(name, expected[name]) for name in chunk]) for chunk in chunks))
    assert ask(answers, names) == expected
    assert answers.asked == len(chunks)


def test_a_refused_config_is_left_to_librdkafka() -> None:
    with pytest.raises(Unsuited):
        ask(Answers(make_results([make_result("a", {}, error=29)])), ["a"])


def test_an_answer_that_ends_too_early_is_a_failure() -> None:
    whole = make_results([make_result("a", {"segment.ms": "1"})])
    for length in range(4, len(whole)):
        with pytest.raises(FAILURES):
            ask(Answers(whole[:length]), ["a"])
