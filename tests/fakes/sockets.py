"""Servers below HTTP: one that answers each connection with given bytes, and one that never answers."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress

Answer = Callable[[socket.socket], None]


def address_of(server: socket.socket) -> str:
    """Return HOST:PORT."""
    return f"127.0.0.1:{server.getsockname()[1]}"


@contextmanager
def answering(answer: Answer) -> Iterator[str]:
    """Do `answer` with each connection once it has sent something; yields HOST:PORT."""

    def serve(connection: socket.socket) -> None:
        with connection, suppress(OSError):
            connection.recv(65536)
            answer(connection)

    def accept(listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                threading.Thread(target=serve, args=(listener.accept()[0],), daemon=True).start()

    with socket.create_server(("127.0.0.1", 0)) as listener:
        threading.Thread(target=accept, args=(listener,), daemon=True).start()
        yield address_of(listener)


@contextmanager
def silent() -> Iterator[str]:
    """Accept connections and never answer; yields HOST:PORT."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield address_of(listener)
