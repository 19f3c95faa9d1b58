"""Every HTTP answer ends in time and has a largest size: of Connect, of GitHub and GitLab, of receivers."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from kplan.ci.hosting import Api, Refused
from kplan.diagnostics import KplanError, Timeout, Unreachable
from kplan.execution.notify import RunNotice, Undelivered, post_to_receivers
from kplan.project.environment import Receiver
from kplan.render.messages import describe_undelivered
from kplan.servers.access import Access, Pacing
from kplan.servers.connect.connectors import ConnectConnectors
from kplan.servers.http_limits import MIB
from kplan.servers.quick_http import MAX_ANSWER_BYTES
from tests.fakes.sockets import answering

HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
TIMEOUT_S = 0.3  # of a request, which a trickling answer exceeds
Serve = Callable[[Callable[[socket.socket], None]], str]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Starts a server that does with each connection what it is given, once a request is there; its URL."""
    with ExitStack() as servers:
        yield lambda answer: f"http://{servers.enter_context(answering(answer))}"


def trickle(start: bytes, part: bytes = b" ") -> Callable[[socket.socket], None]:
    """Sends `start` and then a part ten times a second, for a minute."""

    def answer(connection: socket.socket) -> None:
        connection.sendall(start)
        for _ in range(600):
            connection.sendall(part)
            time.sleep(0.1)

    return answer


def endless(connection: socket.socket) -> None:
    connection.sendall(HEAD + b"\r\n[")
    while True:
        connection.sendall(b" " * MIB)


SLOW = {
    "status line": trickle(b"HTTP/1.1 2"),
    "headers": trickle(HEAD + b"X: ", b"x"),
    "body": trickle(HEAD + b"Content-Length: 100000\r\n\r\n[", b" "),
    "chunks": trickle(HEAD + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\n \r\n"),
}


def seconds(work: Callable[[], object]) -> float:
    began = time.monotonic()
    work()
    return time.monotonic() - began


def connect(url: str, timeout: float = TIMEOUT_S, attempts: int = 1) -> ConnectConnectors:
    return ConnectConnectors(Access([url]), Pacing(request_timeout=timeout, attempts=attempts, delay=0.01))


@pytest.mark.parametrize("where", SLOW)
def test_an_answer_of_connect_that_trickles_ends_with_the_request_timeout(serve: Serve, where: str) -> None:
    backend = connect(serve(SLOW[where]))

    def read() -> None:
        with pytest.raises(Timeout, match=rf"was lost: not all of it arrived within {TIMEOUT_S} s") as failed:
            backend.read(None)
        assert failed.value.applied is None and "timeouts" in failed.value.help

    assert TIMEOUT_S * 0.9 < seconds(read) < 4
    backend.close()


def test_an_endless_answer_of_connect_is_refused(serve: Serve) -> None:
    backend = connect(serve(endless), timeout=60)
    with pytest.raises(KplanError, match="larger than 128 MiB") as failed:
        backend.read(None)
    assert failed.value.code == "K333"
    backend.close()


@pytest.mark.slow
def test_two_thousand_large_connectors_are_read(serve: Serve) -> None:
    config = {"connector.class": "C", "table.include.list": "x" * 50_000}
    status = {
        "name": "c",
        "connector": {"state": "RUNNING"},
        "tasks": [{"id": 0, "state": "RUNNING"}],
        "type": "source",
    }
    body = json.dumps({
        f"c{n}": {"info": {"name": f"c{n}", "config": config, "tasks": []}, "status": status} for n in range(2000)
    }).encode()  # fmt: skip
    assert 100_000_000 < len(body) < MAX_ANSWER_BYTES

    def answer(connection: socket.socket) -> None:
        connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)

    backend = connect(serve(answer), timeout=60)
    assert len(backend.read(None).names) == 2000
    backend.close()


def test_a_connection_has_its_whole_timeout_for_each_request(serve: Serve) -> None:
    """What one answer has used of its time is not missing in the next one on the same connection."""
    body = b'{"version": "4.3.1", "commit": "x", "kafka_cluster_id": "id"}'

    def answer(connection: socket.socket) -> None:
        while True:
            time.sleep(0.6 * TIMEOUT_S)
            connection.sendall(HEAD + b"Content-Length: %d\r\n\r\n" % len(body) + body)
            connection.recv(65536)

    backend = connect(serve(answer))
    for _ in range(3):
        assert backend.identify().cluster_id == "id"
    backend.close()


@pytest.mark.parametrize("where", SLOW)
def test_an_answer_of_the_host_that_trickles_ends_in_time(serve: Serve, where: str) -> None:
    api = Api(serve(SLOW[where]), "token", timeout=TIMEOUT_S)

    def ask() -> None:
        with pytest.raises(Timeout, match=f"has not answered within {TIMEOUT_S} s"):
            api.request_json("GET", "/user", "")

    assert TIMEOUT_S * 0.9 < seconds(ask) < 4


def test_an_endless_answer_of_the_host_is_refused(serve: Serve) -> None:
    with pytest.raises(Refused, match="larger than 64 MiB") as failed:
        Api(serve(endless), "token").download("/archive.zip", "")
    assert failed.value.code == "K333"


def test_a_receiver_that_trickles_is_given_up(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kplan.execution.notify.REQUEST_TIMEOUT_S", TIMEOUT_S)
    lost: list[Undelivered] = []
    to = [Receiver(serve(SLOW["headers"]), ("failure",))]
    assert seconds(lambda: lost.extend(post_to_receivers(to, {"failure"}, {}))) < 4
    problems = [describe_undelivered(RunNotice("s", "r", "applied", ""), each) for each in lost]
    assert problems == ["127.0.0.1 could not be notified how the run ended (ReadTimeout)"]


def test_the_body_of_a_receivers_answer_is_not_read(serve: Serve) -> None:
    assert post_to_receivers([Receiver(serve(endless), ("failure",))], {"failure"}, {}) == []


# -- another port -----------------------------------------------------------------------------------------------------
def test_a_port_that_speaks_something_else_is_not_connect(serve: Serve) -> None:
    backend = connect(serve(lambda connection: connection.sendall(b"SSH-2.0-OpenSSH_9.2\r\n")), attempts=3)
    with pytest.raises(Unreachable, match="the port does not speak HTTP") as failed:
        backend.read(None)
    assert failed.value.code == "K334" and "connect.url" in failed.value.help
    backend.close()


def test_a_worker_that_ends_during_a_request_is_still_connect(serve: Serve) -> None:
    backend = connect(serve(lambda connection: None))
    with pytest.raises(Timeout, match="was lost"):
        backend.read(None)
    backend.close()
