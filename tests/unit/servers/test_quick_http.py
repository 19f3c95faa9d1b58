"""Simple readings without a session: what they ask, when they give up, and what is left to a session."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import KplanError
from kplan.model.masks import Mask
from kplan.servers.access import Access, OidcLogin, Pacing
from kplan.servers.connect.rest import PEER
from kplan.servers.quick_http import QuickReader, find_unsuited
from kplan.servers.rest import QUICK_READINGS, open_rest

PACING = Pacing(6.0, 1.0, 1, 0.0, 1)


class Server(ThreadingHTTPServer):
    """Answers every GET with `answer`, and remembers the requests."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.answer: tuple[int, bytes] = (200, b'{"version": "4.3.1"}')
        self.requests: list[tuple[str, dict[str, str]]] = []
        threading.Thread(target=self.serve_forever, args=(0.01,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def count_quick(self) -> int:
        return sum("User-Agent" not in headers for _, headers in self.requests)


class Handler(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        server: Any = self.server
        server.requests.append((self.path, dict(self.headers)))
        status, body = server.answer
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[Server]:
    started = Server()
    yield started
    started.shutdown()
    started.server_close()


@pytest.fixture(autouse=True)
def plain_process(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy", "NETRC"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.parametrize("status", [200, 302, 404, 500])
def test_an_answer_is_one_whatever_its_status(server: Server, status: int) -> None:
    server.answer = (status, "\N{WHITE SMILING FACE}".encode())
    answer = QuickReader("Basic eA==").read(f"{server.url}/a/b?expand=info&expand=status", 6.0)
    assert answer is not None and (answer.status, answer.text) == (status, "\N{WHITE SMILING FACE}")
    assert answer.date.endswith("GMT")
    [(path, headers)] = server.requests
    assert path == "/a/b?expand=info&expand=status"
    assert headers["Authorization"] == "Basic eA==" and headers["Accept"] == "application/json"


def serve_once(*parts: bytes, pause: float = 0.0) -> str:
    """Return the URL of a server that sends these bytes to the first who asks, with pauses, and nothing more."""
    listener = socket.create_server(("127.0.0.1", 0))

    def serve() -> None:
        accepted, _ = listener.accept()
        with accepted:
            accepted.recv(65_536)
            try:
                for part in parts:
                    accepted.sendall(part)
                    time.sleep(pause)
            except OSError:
                pass

    threading.Thread(target=serve, daemon=True).start()
    return f"http://127.0.0.1:{listener.getsockname()[1]}/"


@pytest.mark.parametrize(
    ("parts", "pause"),
    [
        ((b"\x15\x03\x03\x00\x02\x02\x46",), 0.0),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",), 0.0),
        ((b"HTTP/1.1 200 OK\r\n", *[b"X: y\r\n"] * 50), 0.05),
        ((b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\n", *[b"x"] * 50), 0.05),
        ((b"",), 2.0),
    ],
    ids=["no HTTP", "half an answer", "slow headers", "a slow body", "silence"],
)
def test_what_is_no_answer_in_time_is_none(parts: tuple[bytes, ...], pause: float) -> None:
    started = time.monotonic()
    assert QuickReader("").read(serve_once(*parts, pause=pause), 1.5) is None
    assert time.monotonic() - started < 1.5


def test_a_refused_connection_and_an_impossible_url_are_none() -> None:
    assert QuickReader("").read("http://127.0.0.1:1/", 1.5) is None
    assert QuickReader("").read("http://127.0.0.1:1/with a space", 1.5) is None


@pytest.mark.parametrize(
    ("access", "has_header", "user", "expected"),
    [
        (Access(["http://a:1", "http://b:1"]), False, "", ""),
        (Access(["http://a:1"], proxy="direct"), True, "ann", ""),
        (Access(["http://a:1", "https://b:1"]), False, "", "TLS"),
        (Access(["http://a:1"], ca="ca.pem"), False, "", "a certificate"),
        (Access(["http://a:1"], proxy="http://proxy:1"), False, "", "a proxy"),
        (Access(["http://a:1"]), False, "ann", "a user without a password"),
    ],
)
def test_what_only_a_session_can_follow_is_named(access: Access, has_header: bool, user: str, expected: str) -> None:
    assert find_unsuited(access, has_header, user) == expected


def test_what_the_process_says_counts_as_it_does_for_a_session(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    access = Access(["http://a:1"])
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:1")
    assert find_unsuited(access, True, "ann") == "a proxy"
    assert find_unsuited(replace(access, proxy="direct"), True, "ann") == ""
    monkeypatch.delenv("HTTP_PROXY")
    (tmp_path / ".netrc").write_text("machine a login ann password x\n")
    assert find_unsuited(access, False, "") == "a netrc file"
    assert find_unsuited(access, True, "ann") == ""


def test_an_issuer_of_tokens_is_for_a_session() -> None:
    access = Access(["http://a:1"], oidc=OidcLogin("connect.oidc", "http://issuer", "kplan", "secret"))
    assert find_unsuited(access, False, "") == "a token that an issuer gives"


def test_a_client_reads_without_a_session_until_it_asks_for_much(server: Server) -> None:
    rest = open_rest(PEER, Access([server.url], username="ann", password="x"), PACING, Mask())
    for _ in range(QUICK_READINGS):
        assert rest.call("GET", "/") == {"version": "4.3.1"}
    assert server.count_quick() == len(server.requests) == QUICK_READINGS
    assert rest.call("GET", "/") == {"version": "4.3.1"}
    assert server.count_quick() == QUICK_READINGS
    assert len({headers["Authorization"] for _, headers in server.requests}) == 1
    assert rest.clock_lead_s is not None
    rest.close()


def test_a_refusal_is_final_and_a_lost_answer_is_explained_by_a_session(server: Server) -> None:
    rest = open_rest(PEER, Access([server.url]), PACING, Mask())
    server.answer = (404, b'{"error_code": 404, "message": "no such thing"}')
    with pytest.raises(KplanError, match="no such thing"):
        rest.call("GET", "/connectors/a")
    assert len(server.requests) == 1
    rest.close()
    dead = open_rest(PEER, Access(["http://127.0.0.1:1"]), PACING, Mask())
    with pytest.raises(KplanError, match="Connection refused"):
        dead.call("GET", "/")
    dead.close()
