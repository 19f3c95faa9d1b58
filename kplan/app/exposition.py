"""Serve what an agent has seen over HTTP: `/metrics` for Prometheus and `/healthz` for what restarts processes."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler
from socketserver import TCPServer, ThreadingMixIn
from typing import Any

from kplan.diagnostics import KplanError, codes
from kplan.values import dataclass

READ_TIMEOUT_S = 10.0  # for one request


@dataclass(frozen=True, slots=True)
class Answers:
    """What the paths answer: metrics as text with its media type, and health as JSON with its status (200, 503)."""

    render_metrics: Callable[[], str]
    media_type: str
    describe_health: Callable[[], tuple[int, Mapping[str, Any]]]

    def answer(self, path: str) -> tuple[int, str, str]:
        """Return status, media type and body for the path of a request."""
        if path == "/metrics":
            return 200, self.media_type, self.render_metrics()
        if path == "/healthz":
            status, health = self.describe_health()
            return status, "application/json", json.dumps(health) + "\n"
        return 404, "text/plain; charset=utf-8", "/metrics and /healthz are here\n"


class _Server(ThreadingMixIn, TCPServer):
    """Answer each request in a thread of its own. A client that goes away in between is not an error."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
        super().__init__(address, handler)

    def handle_error(self, request: object, client_address: object) -> None:
        """Print nothing."""


@contextmanager
def open_http_server(host: str, port: int, answers: Answers) -> Iterator[str]:
    """Open the server for as long as the context is; yield the address, `http://HOST:PORT`.

    Raises KplanError (K339) where it cannot be listened on.
    """

    class Handler(BaseHTTPRequestHandler):
        timeout = READ_TIMEOUT_S

        def do_GET(self) -> None:
            try:
                status, media_type, body = answers.answer(self.path.partition("?")[0])
            except Exception as e:  # the agent goes on, and the scrape says that it failed
                status, media_type, body = 500, "text/plain; charset=utf-8", f"{type(e).__name__}\n"
            self.send_response(status)
            self.send_header("Content-Type", media_type)
            self.send_header("Content-Length", str(len(body.encode())))
            self.end_headers()
            self.wfile.write(body.encode())

        def log_message(self, format: str, *args: Any) -> None:
            """Log nothing: a scrape a second is no news."""

    try:
        server = _Server((host, port), Handler)
    except (OSError, OverflowError) as e:
        reason = e.strerror if isinstance(e, OSError) and e.strerror else str(e)
        help = "name another one with --listen, or none with --listen ''"
        raise KplanError(f"{host}:{port}: {reason}", help=help, code=codes.K339) from e
    thread = threading.Thread(target=server.serve_forever, name="exposition", daemon=True)
    thread.start()
    try:
        shown = f"[{host}]" if ":" in host else host or "0.0.0.0"
        yield f"http://{shown}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
