"""A proxy that stands for a distance: what passes takes so many seconds there and back, and so does each connection."""

from __future__ import annotations

import contextlib
import queue
import socket
import threading
import time
from typing import Self

CHUNK = 65_536


class DelayingProxy:
    """Listens on `port` and passes everything on to `upstream`, a port of this machine; `seconds` can be changed."""

    def __init__(self, port: int, upstream: int, seconds: float = 0.0) -> None:
        self.seconds = seconds
        self._upstream = upstream
        self._listener = socket.create_server(("127.0.0.1", port))
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                threading.Thread(target=self._serve, args=(client,), daemon=True).start()

    def _serve(self, client: socket.socket) -> None:
        time.sleep(self.seconds)  # of the connection itself
        try:
            server = socket.create_connection(("127.0.0.1", self._upstream))
        except OSError:
            client.close()
            return
        server.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._open += [client, server]
        for source, target in ((client, server), (server, client)):
            passing: queue.Queue[tuple[float, bytes]] = queue.Queue()
            threading.Thread(target=self._take, args=(source, passing), daemon=True).start()
            threading.Thread(target=self._give, args=(target, passing), daemon=True).start()

    def _take(self, source: socket.socket, passing: queue.Queue[tuple[float, bytes]]) -> None:
        data = b"-"
        while data:
            try:
                data = source.recv(CHUNK)
            except OSError:
                data = b""
            passing.put((time.monotonic() + self.seconds / 2, data))

    def _give(self, target: socket.socket, passing: queue.Queue[tuple[float, bytes]]) -> None:
        while True:
            due, data = passing.get()
            time.sleep(max(0.0, due - time.monotonic()))
            try:
                if not data:
                    target.shutdown(socket.SHUT_WR)
                    return
                target.sendall(data)
            except OSError:
                return

    def close(self) -> None:
        for each in (self._listener, *self._open):
            each.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *failure: object) -> None:
        self.close()
