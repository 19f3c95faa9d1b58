"""Two proxies that spoil what passes through them: one knows Kafka's frames, the other HTTP.

A `Fault` says which request is meant and what becomes of it or of its answer:

| kind     | what happens                                                                                  |
|----------|-----------------------------------------------------------------------------------------------|
| `lose`   | the server acts, its answer never comes, the connection stays open                            |
| `cut`    | the server acts, instead of its answer the connection is reset                                |
| `half`   | the server acts, instead of its answer the connection is closed on one side (FIN)             |
| `reset`  | the request never arrives, the connection is reset                                            |
| `pass`   | nothing; `hit` is called                                                                      |
| `late`   | the server acts, the answer comes after `seconds`                                             |
| `slow`   | the request arrives after `seconds`, even if the client has long gone                         |
| `status` | HTTP only: the request never arrives, the answer is `status` with `words`                     |
| `spoilt` | HTTP only: the server acts, and the answer is `status` with `words` all the same              |
"""

from __future__ import annotations

import contextlib
import http.client
import json
import socket
import struct
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# https://kafka.apache.org/protocol#protocol_api_keys
APIS = {19: "CreateTopics", 20: "DeleteTopics", 37: "CreatePartitions", 44: "IncrementalAlterConfigs",
        0: "Produce", 3: "Metadata", 22: "InitProducerId", 24: "AddPartitionsToTxn", 25: "AddOffsetsToTxn",
        26: "EndTxn", 28: "TxnOffsetCommit", 32: "DescribeConfigs"}  # fmt: skip
CHANGING = frozenset({"CreateTopics", "DeleteTopics", "CreatePartitions", "IncrementalAlterConfigs"})
STORING = frozenset({"Produce", "AddPartitionsToTxn", "AddOffsetsToTxn", "EndTxn", "TxnOffsetCommit"})
PATIENCE = 30.0  # seconds for an answer that nobody waits for any more


@dataclass(frozen=True)
class Request:
    """`method` is HTTP's, or the name of Kafka's API with an empty path."""

    method: str
    path: str = ""

    def __str__(self) -> str:
        return f"{self.method} {self.path}".strip()


def changing(request: Request) -> bool:
    """Whether topics or connectors may change by it; Kafka's validations look the same, so plan with --offline."""
    if request.path:
        return request.method != "GET" and not request.path.endswith("/validate")
    return request.method in CHANGING


@dataclass
class Fault:
    """Of the requests that are `wanted`, after `skip` of them, `times` are spoilt; `hit` is called for each."""

    kind: str
    wanted: Callable[[Request], bool] = changing
    skip: int = 0
    times: int = 1
    seconds: float = 0.0
    status: int = 0
    words: str = ""
    hit: Callable[[Request], None] = lambda request: None
    spoilt: list[Request] = field(default_factory=list)
    over: int = 0  # of the spoilt ones, those with which everything has happened that ever will
    _turn: threading.Lock = field(default_factory=threading.Lock)

    def takes(self, request: Request) -> bool:
        """Whether this one is to be spoilt; it counts."""
        with self._turn:
            if not self.wanted(request) or len(self.spoilt) >= self.times:
                return False
            if self.skip > 0:
                self.skip -= 1
                return False
            self.spoilt.append(request)
        self.hit(request)
        return True

    def end(self) -> None:
        with self._turn:
            self.over += 1

    def await_over(self, seconds: float) -> None:
        """All that was held has arrived and was answered."""
        deadline = time.monotonic() + seconds
        while self.over < len(self.spoilt) and time.monotonic() < deadline:
            time.sleep(0.05)


class Proxy:
    """What both have: a port, and the fault that is on. There are no faults until one is set."""

    port: int

    def __init__(self) -> None:
        self.faults: tuple[Fault, ...] = ()

    def fate(self, request: Request) -> Fault | None:
        return next((fault for fault in self.faults if fault.takes(request)), None)


class KafkaProxy(Proxy):
    """Listens on `port` for one broker, whose listener must be advertised with that port.

    `edit` gets the API key and the version of each request, the request, and the broker's answer; both are frames. What
    it returns is the answer.
    """

    def __init__(self, port: int, upstream: int) -> None:
        super().__init__()
        self.edit: Callable[[int, int, bytes, bytes], bytes] | None = None
        self._edited: dict[tuple[socket.socket, int], tuple[int, int, bytes]] = {}
        self.port = port
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", port), backlog=64)
        self._open: set[socket.socket] = set()
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        try:
            server = socket.create_connection(("127.0.0.1", self._upstream), 5)
        except OSError:
            client.close()
            return
        server.settimeout(None)
        for each in (client, server):
            each.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open |= {client, server}
        fates: dict[int, Fault] = {}
        threading.Thread(target=self._down, args=(client, server, fates), daemon=True).start()
        self._up(client, server, fates)
        self._open -= {client, server}

    def _up(self, client: socket.socket, server: socket.socket, fates: dict[int, Fault]) -> None:
        """Requests go to the broker. After the client's end the broker's side stays open while an answer is due."""
        while (frame := _frame(client)) is not None:
            api, version, correlation = struct.unpack(">hhi", frame[4:12])
            if self.edit is not None:
                self._edited[client, correlation] = (api, version, frame)
            fault = self.fate(Request(APIS.get(api, f"api {api}")))
            if fault is not None:
                if fault.kind == "reset":
                    fault.end()
                    _reset(client)
                    break
                if fault.kind == "slow":
                    time.sleep(fault.seconds)
                fates[correlation] = fault
            if not _sent(server, frame):
                break
        deadline = time.monotonic() + PATIENCE
        while fates and time.monotonic() < deadline:
            time.sleep(0.05)
        _close(server)

    def _down(self, client: socket.socket, server: socket.socket, fates: dict[int, Fault]) -> None:
        while (frame := _frame(server)) is not None:
            (correlation,) = struct.unpack(">i", frame[4:8])
            if self.edit is not None and (request := self._edited.pop((client, correlation), None)):
                frame = self.edit(*request, frame)
            fault = fates.get(correlation)
            if fault is None or fault.kind in ("slow", "pass"):
                _sent(client, frame)
            elif fault.kind == "late":
                threading.Timer(fault.seconds, _sent, (client, frame)).start()
            elif fault.kind == "cut":
                _reset(client)
            elif fault.kind == "half":
                with contextlib.suppress(OSError):
                    client.shutdown(socket.SHUT_WR)
            if fault is not None:
                fault.end()
                del fates[correlation]
        _close(client)

    def break_all(self) -> None:
        """Every connection that is open now is reset."""
        for each in list(self._open):
            _reset(each)

    def close(self) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.break_all()


def _frame(source: socket.socket) -> bytes | None:
    """One frame with its length; None at the end."""
    head = _exactly(source, 4)
    if head is None:
        return None
    body = _exactly(source, struct.unpack(">i", head)[0])
    return None if body is None else head + body


def _exactly(source: socket.socket, count: int) -> bytes | None:
    found = bytearray()
    while len(found) < count:
        try:
            part = source.recv(min(count - len(found), 1 << 16))
        except OSError:
            return None
        if not part:
            return None
        found += part
    return bytes(found)


def _sent(target: socket.socket, data: bytes) -> bool:
    try:
        target.sendall(data)
    except OSError:
        return False
    return True


def _reset(each: socket.socket) -> None:
    """The other side gets a RST, not a FIN."""
    with contextlib.suppress(OSError):
        each.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    _close(each)


def _close(each: socket.socket) -> None:
    with contextlib.suppress(OSError):
        each.shutdown(socket.SHUT_RD)  # wakes the thread that reads from it, and sends nothing
    with contextlib.suppress(OSError):
        each.close()


class ConnectProxy(Proxy):
    """Listens on `port` for a Connect worker."""

    def __init__(self, upstream: int) -> None:
        super().__init__()
        self._upstream = upstream
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self.port = int(self._server.server_address[1])
        self.url = f"http://127.0.0.1:{self.port}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def forwarded(self, method: str, path: str, body: bytes, headers: dict[str, str]) -> tuple[int, bytes]:
        """The worker's own answer."""
        worker = http.client.HTTPConnection("127.0.0.1", self._upstream, timeout=100)
        try:
            worker.request(method, path, body or None, headers)
            answer = worker.getresponse()
            return answer.status, answer.read()
        finally:
            worker.close()

    def _handler(proxy) -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                fault = proxy.fate(Request(self.command, self.path.partition("?")[0]))
                try:
                    self.spoil(fault, body)
                finally:
                    if fault is not None:
                        fault.end()

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = answer

            def spoil(self, fault: Fault | None, body: bytes) -> None:
                kind = "" if fault is None else fault.kind
                if fault is not None and kind in ("status", "spoilt"):
                    if kind == "spoilt":
                        self.forward(body)
                    self.reply(fault.status, json.dumps({"error_code": fault.status, "message": fault.words}).encode())
                    return
                if kind == "reset":
                    self.reset()
                    return
                if fault is not None and kind == "slow":
                    time.sleep(fault.seconds)
                try:
                    status, text = self.forward(body)
                except OSError:
                    self.reset()
                    return
                if fault is not None and kind == "late":
                    time.sleep(fault.seconds)
                if kind == "cut":
                    self.reset()
                elif kind == "half":
                    self.close_connection = True
                    self.connection.shutdown(socket.SHUT_WR)
                elif fault is not None and kind == "lose":
                    self.close_connection = True
                    time.sleep(max(fault.seconds, 1.0))  # the connection stays open for so long
                else:
                    self.reply(status, text)

            def forward(self, body: bytes) -> tuple[int, bytes]:
                kept = {k: v for k, v in self.headers.items() if k in ("Accept", "Content-Type", "Authorization")}
                return proxy.forwarded(self.command, self.path, body, kept)

            def reset(self) -> None:
                self.close_connection = True
                _reset(self.connection)

            def reply(self, status: int, text: bytes) -> None:
                with contextlib.suppress(OSError):
                    self.send_response(status)
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(len(text)))
                    self.end_headers()
                    self.wfile.write(text)

            def finish(self) -> None:
                with contextlib.suppress(OSError, ValueError):
                    super().finish()

            def log_message(self, format: str, *arguments: object) -> None:
                pass

        return Handler
