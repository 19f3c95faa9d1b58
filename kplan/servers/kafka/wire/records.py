"""The committed records of a partition, from its beginning to the end that it has when they are asked for.

https://kafka.apache.org/documentation/#messageformat (record batches of version 2). A reader of committed records skips
those of aborted transactions: the answer lists their producers with the offset at which each transaction begins, and a
control batch ends it.
"""

from __future__ import annotations

import struct
import time
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import Final

from kplan.servers.kafka.wire.connection import FETCH, BrokerConnection
from kplan.servers.kafka.wire.encoding import Cursor, Unsuited, encode_array, encode_string

MAX_FETCH_BYTES: Final = 16_777_216
MAX_OPEN_S: Final = 0.2  # for the end of a transaction that is committed
PAUSE_S: Final = 0.005
_HEAD: Final = struct.Struct(">qiibIhiqqqhii")  # baseOffset … records count
_PREFIX: Final = 12  # of the head: the offset and the length, which counts what follows it
_GZIP: Final = 1
_COMPRESSION, _TRANSACTIONAL, _CONTROL = 0x07, 0x10, 0x20
Record = tuple[bytes | None, int, bytes | None]  # key, offset, value
TakeRecord = Callable[[bytes | None, int, bytes | None], object]


def request_records(connection: BrokerConnection, topic: str, offset: int) -> None:
    """Ask for the committed records of the topic's only partition from this offset on, without waiting for new ones."""
    partition = struct.pack(">iqqi", 0, offset, -1, MAX_FETCH_BYTES)
    topics = encode_array([encode_string(topic) + encode_array([partition])])
    connection.send(FETCH, struct.pack(">iiiib", -1, 0, 0, MAX_FETCH_BYTES, 1) + topics)


def read_records(connection: BrokerConnection, topic: str, position: int, take: TakeRecord) -> int:
    """Give `take` each record from this offset on, and return the offset behind what was read.

    The first request for them has been sent. Raises Unsuited for an open transaction: a commit is answered a little
    before its end can be read, so that is waited for.
    """
    end, deadline = -1, time.monotonic() + MAX_OPEN_S
    while True:
        high_watermark, stable, aborted, data = _take_partition(connection.receive())
        end = high_watermark if end < 0 else end
        previous = position
        for last, records in _take_batches(data, aborted):
            position = last + 1
            for key, offset, value in records:
                if offset >= previous:
                    take(key, offset, value)
        if position >= end:
            return position
        if stable < end:
            if time.monotonic() > deadline:
                raise Unsuited("a transaction is open")
            time.sleep(PAUSE_S)
        elif position == previous:
            raise Unsuited("the partition has no records up to its end")
        request_records(connection, topic, position)


def _take_partition(answer: Cursor) -> tuple[int, int, list[tuple[int, int]], bytes]:
    """Return the end, the end of what is decided, the aborted transactions, and the batches."""
    answer.take_int32()  # throttle time
    if answer.take_int32() != 1:
        raise Unsuited("the topic is missing in the answer")
    answer.take_text()
    if answer.take_int32() != 1:
        raise Unsuited("the partition is missing in the answer")
    answer.take_int32()
    if error := answer.take_int16():
        raise Unsuited(f"error {error}")
    end, stable = answer.take_int64(), answer.take_int64()
    answer.take_int64()  # where the log starts
    aborted = answer.take_array(lambda: (answer.take_int64(), answer.take_int64()))
    return end, stable, aborted, answer.take_bytes()


def _take_batches(data: bytes, aborted: list[tuple[int, int]]) -> Iterator[tuple[int, Iterable[Record]]]:
    """Yield the last offset of each whole batch, and its records; one of an aborted transaction has none."""
    at, waiting, active = 0, sorted(aborted, key=lambda entry: entry[1], reverse=True), set[int]()
    while at + _HEAD.size <= len(data):
        base, length, _, magic, _, attributes, delta, _, _, producer, _, _, count = _HEAD.unpack_from(data, at)
        start, at = at + _HEAD.size, at + _PREFIX + length
        if at > len(data):
            return  # the broker cuts the last batch off
        if magic != 2:
            raise Unsuited(f"records of version {magic}")
        last = base + delta
        while waiting and waiting[-1][1] <= last:
            active.add(waiting.pop()[0])
        if attributes & _CONTROL:
            active.discard(producer)
        is_read = not (attributes & _CONTROL or (attributes & _TRANSACTIONAL and producer in active))
        yield last, _take_batch(_decompress(data[start:at], attributes & _COMPRESSION), base, count) if is_read else ()


def _decompress(data: bytes, codec: int) -> bytes:
    if not codec:
        return data
    if codec != _GZIP:
        raise Unsuited("the records are compressed")
    return zlib.decompress(data, zlib.MAX_WBITS | 16)


def _take_batch(data: bytes, base: int, count: int) -> Iterator[Record]:
    end = 0
    for _ in range(count):
        length, at = _take_varint(data, end)
        end = at + length
        _, at = _take_varint(data, at + 1)  # attributes, and the difference of its time
        delta, at = _take_varint(data, at)
        length, at = _take_varint(data, at)
        key = None
        if length >= 0:
            key, at = data[at : at + length], at + length
        length, at = _take_varint(data, at)
        yield key, base + delta, None if length < 0 else data[at : at + length]


def _take_varint(data: bytes, at: int) -> tuple[int, int]:
    """Return a zigzag-encoded number of variable length, and where the next value is."""
    number, at = data[at], at + 1
    if number < 0x80:
        return (number >> 1) ^ -(number & 1), at
    number, byte, shift = number & 0x7F, 0x80, 7
    while byte & 0x80:
        byte = data[at]
        number |= (byte & 0x7F) << shift
        shift, at = shift + 7, at + 1
    return (number >> 1) ^ -(number & 1), at
