"""Which settings are followed, and connections that fail."""

from __future__ import annotations

import socket
import threading

import pytest

from kplan.servers.kafka.wire.connection import METADATA, connect, find_unsuited_setting
from kplan.servers.kafka.wire.encoding import FAILURES
from tests.services.process import free_port

PLAIN = {"bootstrap.servers": "k:1"}
SASL = {**PLAIN, "security.protocol": "sasl_ssl", "sasl.username": "u", "sasl.password": "p"}


@pytest.mark.parametrize(
    ("settings", "unsuited"),
    [
        (PLAIN, ""),
        ({**PLAIN, "socket.timeout.ms": "5000"}, ""),
        ({**PLAIN, "socket.timeout.ms": "soon"}, "socket.timeout.ms"),
        ({**PLAIN, "security.protocol": "SSL", "ssl.ca.location": "ca.pem"}, ""),
        ({**SASL, "sasl.mechanism": "PLAIN"}, ""),
        ({**SASL, "sasl.mechanisms": "SCRAM-SHA-512"}, ""),
        ({**SASL, "sasl.mechanism": "OAUTHBEARER"}, "sasl.mechanism"),
        ({**SASL, "sasl.mechanism": "PLAIN", "sasl.password": "ä"}, "sasl.password"),
        ({**SASL}, "sasl.mechanism"),
        ({**PLAIN, "oauth_cb": "…"}, "oauth_cb"),
        ({**PLAIN, "enable.ssl.certificate.verification": "false"}, "enable.ssl.certificate.verification"),
        ({**PLAIN, "security.protocol": "other"}, "security.protocol"),
        ({}, "bootstrap.servers"),
    ],
)
def test_settings_that_only_librdkafka_follows_are_named(settings: dict[str, str], unsuited: str) -> None:
    assert find_unsuited_setting(settings) == unsuited


@pytest.mark.parametrize("servers", ["127.0.0.1", "", "127.0.0.1:port", "nowhere.invalid:9092"])
def test_an_address_that_is_none_is_a_failure(servers: str) -> None:
    with pytest.raises(FAILURES):
        connect(servers, PLAIN, "test", 3.0)


def test_a_closed_port_is_passed_over() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        open_port = server.getsockname()[1]
        connect(f"127.0.0.1:{free_port()},127.0.0.1:{open_port}", PLAIN, "test", 3.0).close()


@pytest.mark.parametrize("said", [b"", b"HTTP/1.1 400 Bad Request\r\n\r\n", b"\0\0\0\x08\0\0\0\x63----"])
def test_an_answer_that_is_none_is_a_failure(said: bytes) -> None:
    def answer(server: socket.socket) -> None:
        client, _ = server.accept()
        with client:
            client.recv(100)
            client.sendall(said)

    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=answer, args=(server,), daemon=True).start()
        with connect(f"127.0.0.1:{server.getsockname()[1]}", PLAIN, "test", 3.0) as connection, pytest.raises(FAILURES):
            connection.ask(METADATA, b"")


def test_a_silent_server_is_given_up_after_a_part_of_the_timeout() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        connect(f"127.0.0.1:{server.getsockname()[1]}", PLAIN, "test", 0.3) as connection,
        pytest.raises(TimeoutError),
    ):
        connection.ask(METADATA, b"")
