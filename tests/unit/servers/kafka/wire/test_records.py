"""The records of a partition, from bytes as brokers send them."""

from __future__ import annotations

import gzip
import struct
from collections.abc import Sequence
from typing import cast

import pytest

from kplan.servers.kafka.wire import records
from kplan.servers.kafka.wire.connection import BrokerConnection
from kplan.servers.kafka.wire.encoding import Cursor, Unsuited
from kplan.servers.kafka.wire.records import Record, read_records

GZIP, LZ4, TRANSACTIONAL, CONTROL = 1, 3, 0x10, 0x20


def encode_varint(number: int) -> bytes:
    """Encode as the protocol does: zigzag, seven bits in a byte."""
    number, encoded = (number << 1) ^ (number >> 63), b""
    while number >> 7:
        encoded, number = encoded + bytes([number & 0x7F | 0x80]), number >> 7
    return encoded + bytes([number])


def make_field(data: bytes | None) -> bytes:
    return encode_varint(-1) if data is None else encode_varint(len(data)) + data


def make_batch(
    base: int, records: Sequence[tuple[bytes, bytes | None]], attributes: int = 0, producer: int = -1, magic: int = 2
) -> bytes:
    """Make a record batch of version 2, without its checksum."""
    body = b""
    for delta, (key, value) in enumerate(records):
        record = b"\0" + encode_varint(5) + encode_varint(delta) + make_field(key) + make_field(value) + b"\0"
        body += encode_varint(len(record)) + record
    if attributes & 7 == GZIP:
        body = gzip.compress(body)
    rest = struct.pack(">ibIhiqqqhii", 0, magic, 0, attributes, len(records) - 1, 0, 0, producer, 0, -1, len(records))
    return struct.pack(">qi", base, len(rest) + len(body)) + rest + body


def make_answer(data: bytes, end: int, stable: int | None = None, aborted: Sequence[tuple[int, int]] = (),
                error: int = 0) -> bytes:  # fmt: skip
    head = struct.pack(">ii", 0, 1) + b"\0\x01t" + struct.pack(">iih", 1, 0, error)
    offsets = struct.pack(">qqq", end, end if stable is None else stable, 0)
    undone = struct.pack(">i", len(aborted)) + b"".join(struct.pack(">qq", *each) for each in aborted)
    return head + offsets + undone + struct.pack(">i", len(data)) + data


class Answers:
    """Stands for a connection whose broker has these answers."""

    def __init__(self, *answers: bytes) -> None:
        self.answers = list(answers)
        self.asked = 0

    def send(self, api: object, body: bytes) -> None:
        self.asked += 1

    def receive(self) -> Cursor:
        return Cursor(self.answers.pop(0))


def read(*answers: bytes, position: int = 0) -> list[Record]:
    found: list[Record] = []
    end = read_records(cast(BrokerConnection, Answers(*answers)), "t", position, lambda *each: found.append(each))
    assert end >= max([position, *(offset + 1 for _, offset, _ in found)])
    return found


@pytest.mark.parametrize("codec", [0, GZIP])
def test_records_have_key_offset_and_value(codec: int) -> None:
    large = b"v" * 70_000
    data = make_batch(3, [(b"a", b"1"), (b"b", None)], codec) + make_batch(9, [(b"c", large)], codec)
    assert read(make_answer(data, 10)) == [(b"a", 3, b"1"), (b"b", 4, None), (b"c", 9, large)]


def test_an_empty_topic_has_no_records() -> None:
    assert read(make_answer(b"", 0)) == []


def test_records_of_aborted_transactions_are_left_out() -> None:
    data = (
        make_batch(0, [(b"lost", b"1")], TRANSACTIONAL, producer=7)
        + make_batch(1, [(b"kept", b"2")], TRANSACTIONAL, producer=8)
        + make_batch(2, [(b"", b"")], TRANSACTIONAL | CONTROL, producer=7)
        + make_batch(3, [(b"again", b"3")], TRANSACTIONAL, producer=7)
        + make_batch(4, [(b"", b"")], TRANSACTIONAL | CONTROL, producer=7)
    )
    assert read(make_answer(data, 5, aborted=[(7, 0)])) == [(b"kept", 1, b"2"), (b"again", 3, b"3")]


def test_a_batch_that_is_cut_off_is_asked_for_again() -> None:
    first, second = make_batch(0, [(b"a", b"1")]), make_batch(1, [(b"b", b"2")])
    answers = make_answer(first + second[:-3], 2), make_answer(second, 2)
    assert read(*answers) == [(b"a", 0, b"1"), (b"b", 1, b"2")]


def test_only_what_was_there_at_the_first_answer_is_waited_for() -> None:
    first, second = make_batch(0, [(b"a", b"1")]), make_batch(1, [(b"b", b"2")])
    assert len(read(make_answer(first, 2), make_answer(second, 900, stable=5))) == 2


@pytest.mark.parametrize(
    "answer",
    [
        make_answer(make_batch(0, [(b"a", b"1")], LZ4), 1),
        make_answer(make_batch(0, [(b"a", b"1")], magic=1), 1),
        make_answer(b"", 5),
        make_answer(b"", 0, error=29),
    ],
    ids=["lz4", "old format", "nothing before the end", "refused"],
)
def test_what_it_is_not_for_is_left_to_librdkafka(answer: bytes) -> None:
    with pytest.raises(Unsuited):
        read(answer)


def test_what_was_read_before_is_not_read_again_and_a_marker_moves_the_end() -> None:
    data = make_batch(3, [(b"a", b"1"), (b"b", b"2")]) + make_batch(5, [(b"\0\0\0\1", b"")], attributes=0x30)
    found: list[Record] = []
    answers = cast(BrokerConnection, Answers(make_answer(data, 6)))
    assert read_records(answers, "t", 4, lambda *each: found.append(each)) == 6
    assert found == [(b"b", 4, b"2")]


def test_the_end_of_a_transaction_is_waited_for_a_little(monkeypatch: pytest.MonkeyPatch) -> None:
    """A commit is answered before its end can be read."""
    decided, rest = make_batch(0, [(b"a", b"1")]), make_batch(1, [(b"b", b"2")], TRANSACTIONAL, producer=7)
    marker = make_batch(2, [(b"\0\0\0\1", b"")], TRANSACTIONAL | CONTROL, producer=7)
    open_still = make_answer(decided, 3, stable=1), make_answer(b"", 3, stable=1)
    assert read(*open_still, make_answer(rest + marker, 3)) == [(b"a", 0, b"1"), (b"b", 1, b"2")]
    monkeypatch.setattr(records, "MAX_OPEN_S", 0.0)
    with pytest.raises(Unsuited, match="a transaction is open"):
        read(*open_still)
