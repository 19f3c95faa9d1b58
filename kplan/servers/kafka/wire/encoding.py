"""The primitive types of Kafka's protocol, as far as these requests need them.

https://kafka.apache.org/protocol#protocol_types: numbers are big-endian; a string has its length before it as INT16,
bytes and arrays as INT32, and -1 stands for null.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from typing import Final, TypeVar

T = TypeVar("T")

_INT8, _INT16, _INT32, _INT64 = (struct.Struct(f">{code}") for code in "bhiq")
NULL_STRING: Final = b"\xff\xff"
NULL_ARRAY: Final = b"\xff\xff\xff\xff"


class Unsuited(Exception):
    """The cluster, the login or the answer is not what this package is for: ask through librdkafka."""


# What any call here may raise: the connection, or an answer that is no answer to the request. TLS raises OSError.
FAILURES: Final = (Unsuited, OSError, struct.error, ValueError, IndexError)


def encode_string(text: str) -> bytes:
    data = text.encode()
    return _INT16.pack(len(data)) + data


def encode_bytes(data: bytes) -> bytes:
    return _INT32.pack(len(data)) + data


def encode_array(items: Iterable[bytes]) -> bytes:
    parts = list(items)
    return _INT32.pack(len(parts)) + b"".join(parts)


class Cursor:
    """Takes values from the bytes of an answer, one after the other. Raises struct.error at their end."""

    __slots__ = ("at", "data")

    def __init__(self, data: bytes, at: int = 0) -> None:
        self.data = data
        self.at = at

    def take_int8(self) -> int:
        self.at += 1
        return int(_INT8.unpack_from(self.data, self.at - 1)[0])

    def take_int16(self) -> int:
        self.at += 2
        return int(_INT16.unpack_from(self.data, self.at - 2)[0])

    def take_int32(self) -> int:
        self.at += 4
        return int(_INT32.unpack_from(self.data, self.at - 4)[0])

    def take_int64(self) -> int:
        self.at += 8
        return int(_INT64.unpack_from(self.data, self.at - 8)[0])

    def take_text(self) -> str:
        """Take a string; a null one is empty."""
        length = self.take_int16()
        start, self.at = self.at, self.at + max(0, length)
        return self.data[start : self.at].decode()

    def take_bytes(self) -> bytes:
        """Take bytes; null ones are empty."""
        length = self.take_int32()
        start, self.at = self.at, self.at + max(0, length)
        if self.at > len(self.data):
            raise struct.error("the bytes are cut off")
        return self.data[start : self.at]

    def take_array(self, take: Callable[[], T]) -> list[T]:
        """Take as many items as the array has; a null one is empty."""
        return [take() for _ in range(self.take_int32())]
