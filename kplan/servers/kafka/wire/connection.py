"""A connection to one broker, over which requests can be in flight while answers are read."""

from __future__ import annotations

import socket
import struct
from collections import deque
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from kplan.servers.kafka.wire.encoding import Cursor, Unsuited, encode_bytes, encode_string
from kplan.values import dataclass

CONNECT_TIMEOUT_S: Final = 2.0
FIRST_TIMEOUT_S: Final = 2.0  # for the first answer: a server that is silent is left to librdkafka soon
ANSWER_TIMEOUT_S: Final = 10.0  # without a byte, for the others
MAX_ANSWER_BYTES: Final = 100_000_000  # librdkafka's receive.message.max.bytes
_MECHANISMS: Final = frozenset({"PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512"})
# Settings that this client follows, and those that are nothing to a few requests that only read.
_FOLLOWED: Final = frozenset({
    "bootstrap.servers", "security.protocol", "sasl.mechanism", "sasl.mechanisms", "sasl.username", "sasl.password",
    "ssl.ca.location", "ssl.certificate.location", "ssl.key.location", "ssl.key.password",
    "ssl.endpoint.identification.algorithm",
})  # fmt: skip
_NUMBERS_WITHOUT_EFFECT: Final = frozenset({
    "socket.timeout.ms", "metadata.max.age.ms", "reconnect.backoff.ms", "reconnect.backoff.max.ms", "log_level",
    "topic.metadata.refresh.interval.ms", "connections.max.idle.ms", "retry.backoff.ms", "message.max.bytes",
})  # fmt: skip


@dataclass(frozen=True, slots=True)
class RequestKind:
    """A kind of request, in the version in which it is sent."""

    key: int
    version: int


METADATA, DESCRIBE_CONFIGS, FETCH = RequestKind(3, 4), RequestKind(32, 1), RequestKind(1, 5)
FIND_COORDINATOR, DESCRIBE_GROUPS = RequestKind(10, 1), RequestKind(15, 1)
SASL_HANDSHAKE, SASL_AUTHENTICATE = RequestKind(17, 1), RequestKind(36, 0)


def find_unsuited_setting(config: Mapping[str, Any]) -> str:
    """Return the first setting that only librdkafka can follow; empty where there is none."""
    for key, value in config.items():
        if key not in _FOLLOWED and not (key in _NUMBERS_WITHOUT_EFFECT and str(value).isdigit()):
            return key
    protocol = _protocol_of(config)
    if protocol not in ("PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"):
        return "security.protocol"
    if protocol.startswith("SASL") and _mechanism_of(config) not in _MECHANISMS:
        return "sasl.mechanism"
    if not str(config.get("sasl.password", "")).isascii():  # SCRAM prepares other passwords by RFC 4013
        return "sasl.password"
    return "" if config.get("bootstrap.servers") else "bootstrap.servers"


def _protocol_of(config: Mapping[str, Any]) -> str:
    return str(config.get("security.protocol", "plaintext")).upper()


def _mechanism_of(config: Mapping[str, Any]) -> str:
    return str(config.get("sasl.mechanism") or config.get("sasl.mechanisms") or "")


class BrokerConnection:
    """An open connection to one broker. It is used by one thread at a time."""

    def __init__(self, stream: socket.socket, client: str, timeout: float) -> None:
        self._stream = stream
        self._timeout = min(ANSWER_TIMEOUT_S, timeout)
        self._client = encode_string(client)
        self._number = 0
        self._waiting: deque[int] = deque()  # the numbers of the requests in flight, in their order

    def send(self, api: RequestKind, body: bytes) -> None:
        """Send a request without waiting for its answer; brokers answer in the order of the requests."""
        self._number += 1
        head = struct.pack(">hhi", api.key, api.version, self._number) + self._client
        self._waiting.append(self._number)
        self._stream.sendall(encode_bytes(head + body))

    def receive(self) -> Cursor:
        """Return the answer to the oldest request in flight. Raises Unsuited or OSError."""
        (length,) = struct.unpack(">i", self._read(4))
        self._stream.settimeout(self._timeout)
        if not 4 <= length <= MAX_ANSWER_BYTES:
            raise Unsuited("this is not an answer of a broker")
        answer = Cursor(self._read(length))
        if answer.take_int32() != self._waiting.popleft():
            raise Unsuited("the answer belongs to another request")
        return answer

    def ask(self, api: RequestKind, body: bytes) -> Cursor:
        """Send a request and return its answer; none is in flight before."""
        self.send(api, body)
        return self.receive()

    def _read(self, length: int) -> bytes:
        data = bytearray(length)
        view, done = memoryview(data), 0
        while done < length:
            count = self._stream.recv_into(view[done:])
            if not count:
                raise Unsuited("the broker ended the connection")
            done += count
        return bytes(data)

    def log_in(self, config: Mapping[str, Any]) -> None:
        """Log in as the settings say. Raises Unsuited where the broker refuses."""
        from kplan.servers.kafka.wire.login import log_in

        mechanism = _mechanism_of(config)
        answer = self.ask(SASL_HANDSHAKE, encode_string(mechanism))
        if answer.take_int16():
            raise Unsuited(f"the broker has no {mechanism}")
        log_in(mechanism, str(config.get("sasl.username", "")), str(config.get("sasl.password", "")), self._exchange)

    def _exchange(self, token: bytes) -> bytes:
        answer = self.ask(SASL_AUTHENTICATE, encode_bytes(token))
        if answer.take_int16():
            raise Unsuited("the login is refused")
        answer.take_text()
        return answer.take_bytes()

    def close(self) -> None:
        with suppress(OSError):
            self._stream.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def connect(servers: str, config: Mapping[str, Any], client: str, timeout: float) -> BrokerConnection:
    """Connect to the first server of the list that accepts. `timeout` is that of a request, in seconds.

    A server that does not answer at all is given up after a part of it. Raises one of FAILURES.
    """
    for server in filter(None, map(str.strip, servers.split(","))):
        with suppress(ConnectionRefusedError):
            return _connect(server, config, client, timeout)
    raise Unsuited("no broker accepts a connection")


def _connect(server: str, config: Mapping[str, Any], client: str, timeout: float) -> BrokerConnection:
    host, _, port = server.rpartition(":")
    host = host.rpartition("://")[2].strip("[]")
    if not host or not port.isdigit():
        raise Unsuited(f"{server} has no port")
    address: Any = host.encode() if host.isascii() else host  # as bytes it needs no rules for international names
    stream = socket.create_connection((address, int(port)), min(CONNECT_TIMEOUT_S, timeout / 3))
    try:
        stream.settimeout(min(FIRST_TIMEOUT_S, timeout / 3))
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if _protocol_of(config).endswith("SSL"):
            stream = _make_tls_context(config).wrap_socket(stream, server_hostname=host)
        connection = BrokerConnection(stream, client, timeout)
        if _protocol_of(config).startswith("SASL"):
            connection.log_in(config)
        return connection
    except BaseException:
        stream.close()
        raise


def _make_tls_context(config: Mapping[str, Any]) -> Any:
    import ssl

    authorities = config.get("ssl.ca.location")
    if not authorities or not Path(authorities).is_file():  # librdkafka looks for those of the system in its own places
        raise Unsuited("ssl.ca.location does not name a file")
    context = ssl.create_default_context(cafile=authorities)
    context.check_hostname = config.get("ssl.endpoint.identification.algorithm", "https") != "none"
    if certificate := config.get("ssl.certificate.location"):
        password = str(config.get("ssl.key.password", ""))
        context.load_cert_chain(certificate, config.get("ssl.key.location"), lambda: password)
    return context
