"""What answers at a port: a broker and the requests that it knows, a controller, or something else."""

from __future__ import annotations

import socket
import ssl
import struct
import time
from enum import StrEnum
from typing import Final

PROBE_TIMEOUT_S: Final = 2.0
_API_VERSIONS, _METADATA = 18, 3  # https://kafka.apache.org/protocol#protocol_api_keys
_TLS_ALERT: Final = b"\x15"  # the type of a record


class PortProtocol(StrEnum):
    """The protocol of a port, as far as one small request can show."""

    BROKER = "a Kafka broker"
    CONTROLLER = "a KRaft controller"
    HTTP = "HTTP"
    TLS = "TLS"
    UNKNOWN = ""


class NoBroker(Exception):
    """What answers does not answer as brokers and controllers do."""

    def __init__(self, protocol: PortProtocol) -> None:
        super().__init__(str(protocol))
        self.protocol = protocol


def detect_protocol(server: str, uses_tls: bool) -> PortProtocol:
    """Return the protocol of the port, by its answer to an ApiVersions request."""
    try:
        keys = read_api_keys(server, create_unverified_context() if uses_tls else None)
    except NoBroker as answer:
        return answer.protocol
    except (OSError, ValueError):
        return PortProtocol.UNKNOWN
    return PortProtocol.BROKER if _METADATA in keys else PortProtocol.CONTROLLER


def read_api_keys(server: str, context: ssl.SSLContext | None) -> frozenset[int]:
    """Return the keys of the requests that the broker knows, which brokers tell anyone before a login.

    https://kafka.apache.org/protocol#The_Messages_ApiVersions. Raises OSError where the server cannot be reached, and
    NoBroker where it answers differently.
    """
    body = struct.pack(">hhih", _API_VERSIONS, 0, 1, -1)
    with open_connection(server, PROBE_TIMEOUT_S) as connection:
        stream = context.wrap_socket(connection, server_hostname=_find_host(server)) if context else connection
        stream.sendall(struct.pack(">i", len(body)) + body)
        end = time.monotonic() + PROBE_TIMEOUT_S
        head = _receive(stream, 14, end)
        if head.startswith(b"HTTP"):
            raise NoBroker(PortProtocol.HTTP)
        if head[:1] == _TLS_ALERT:
            raise NoBroker(PortProtocol.TLS)
        try:
            _, correlation, _, count = struct.unpack(">iihi", head)
            if correlation != 1 or not 0 < count < 1000:
                raise NoBroker(PortProtocol.UNKNOWN)
            return frozenset(key for key, _, _ in struct.iter_unpack(">hhh", _receive(stream, 6 * count, end)))
        except struct.error as e:
            raise NoBroker(PortProtocol.UNKNOWN) from e


def _receive(stream: socket.socket, size: int, end: float) -> bytes:
    """Return the next bytes, fewer where the stream ends. Raises OSError where they do not come before `end`."""
    data = b""
    while len(data) < size:
        stream.settimeout(max(0.001, end - time.monotonic()))
        part = stream.recv(size - len(data))
        if not part:
            break
        data += part
    return data


def create_unverified_context() -> ssl.SSLContext:
    """Return a context to probe a port: nothing secret is sent, only the answer matters."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _find_host(server: str) -> str:
    return server.rpartition(":")[0].strip("[]")


def open_connection(server: str, seconds: float) -> socket.socket:
    """Return a connection to `HOST:PORT`. Raises OSError, or ValueError where there is no port."""
    return socket.create_connection((_find_host(server), int(server.rpartition(":")[2])), seconds)
