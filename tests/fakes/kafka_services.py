"""Services that speak a part of Kafka's protocol, played in front of a real broker by what they document.

A service lists the requests that it knows in its answer to ApiVersions, so what it lacks is taken out of the broker's.

| service          | source                                                                                      |
|------------------|---------------------------------------------------------------------------------------------|
| WarpStream       | https://docs.warpstream.com/warpstream/reference/protocol-and-feature-support (its list)      |
| Event Hubs       | https://learn.microsoft.com/azure/event-hubs/azure-event-hubs-kafka-overview (Standard tier) |
| Confluent Cloud  | https://docs.confluent.io/cloud/current/clusters/cluster-types.html (Freight clusters)      |
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass

API_VERSIONS, CREATE_TOPICS = 18, 19
INVALID_CONFIG = 40


@dataclass(frozen=True)
class PartialService:
    """`lacks` are the keys of requests that it does not know; `compacts`: whether a topic may be compacted."""

    name: str
    lacks: frozenset[int]
    compacts: bool = True

    def edit(self, api: int, version: int, request: bytes, answer: bytes) -> bytes:
        """The answer of the service in place of the broker's; both are frames."""
        if api == API_VERSIONS:
            return _list_requests(version, answer, self.lacks)
        if api == CREATE_TOPICS and not self.compacts and b"compact" in request:
            return _refuse_topics(version, answer)
        return answer


TRANSACTIONS = frozenset({22, 24, 25, 26, 27, 28})
ACCESS = frozenset({29, 30, 31})
QUOTAS_AND_USERS = frozenset({48, 49, 50, 51})
WARPSTREAM = PartialService("WarpStream", frozenset({44, 45, 46}) | QUOTAS_AND_USERS)
EVENT_HUBS = PartialService("Event Hubs", TRANSACTIONS | ACCESS | QUOTAS_AND_USERS | {44, 45, 46})
FREIGHT = PartialService("Confluent Cloud", frozenset({45, 46}) | QUOTAS_AND_USERS, compacts=False)


# -- frames: a length, the correlation id, and the body (https://kafka.apache.org/protocol#protocol_messages)
def _list_requests(version: int, answer: bytes, lacks: frozenset[int]) -> bytes:
    """The answer to ApiVersions without some keys. Its header has no tags in any version."""
    head, body = answer[4:8], answer[8:]
    if body[:2] != b"\0\0":  # the version is not known: the client asks again with an older one
        return answer
    if version < 3:
        (count,) = struct.unpack(">i", body[2:6])
        kept = [entry for entry in struct.iter_unpack(">hhh", body[6 : 6 + 6 * count]) if entry[0] not in lacks]
        rest = body[6 + 6 * count :]
        body = body[:2] + struct.pack(">i", len(kept)) + b"".join(struct.pack(">hhh", *each) for each in kept) + rest
    else:
        entries, rest = _read_compact(body[2:])
        kept_raw = [each for each in entries if struct.unpack(">h", each[:2])[0] not in lacks]
        body = body[:2] + _write_number(len(kept_raw) + 1) + b"".join(kept_raw) + rest
    return struct.pack(">i", len(head) + len(body)) + head + body


def _read_compact(body: bytes) -> tuple[list[bytes], bytes]:
    """The entries of 6 bytes and no tags, and what follows them."""
    count, size = _read_number(body)
    entries = [body[start : start + 7] for start in range(size, size + 7 * (count - 1), 7)]
    assert all(each.endswith(b"\0") for each in entries)
    return entries, body[size + 7 * (count - 1) :]


def _read_number(body: bytes) -> tuple[int, int]:
    """An unsigned varint, and its size in bytes."""
    number = size = 0
    while True:
        byte = body[size]
        number |= (byte & 0x7F) << (7 * size)
        size += 1
        if byte < 0x80:
            return number, size


def _write_number(number: int) -> bytes:
    written = b""
    while number > 0x7F:
        written, number = written + bytes([number & 0x7F | 0x80]), number >> 7
    return written + bytes([number])


def _refuse_topics(version: int, answer: bytes) -> bytes:
    """The answer to CreateTopics in which each topic is refused for its cleanup policy."""
    assert 1 <= version <= 4, "librdkafka asks in version 4"
    head, body = answer[4:8], answer[8:]
    start = 4 if version >= 2 else 0  # the throttle time
    names = list(_read_topics(body[start:]))
    words = b"cleanup.policy: only delete is allowed"
    entries = b"".join(
        struct.pack(">h", len(name)) + name + struct.pack(">hh", INVALID_CONFIG, len(words)) + words for name in names
    )
    body = body[:start] + struct.pack(">i", len(names)) + entries
    return struct.pack(">i", len(head) + len(body)) + head + body


def _read_topics(body: bytes) -> Iterator[bytes]:
    (count,) = struct.unpack(">i", body[:4])
    place = 4
    for _ in range(count):
        (size,) = struct.unpack(">h", body[place : place + 2])
        yield body[place + 2 : place + 2 + size]
        place += 2 + size + 2
        (size,) = struct.unpack(">h", body[place : place + 2])
        place += 2 + max(size, 0)
