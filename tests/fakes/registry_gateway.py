"""A gateway in front of a schema registry that wants a login, a token or a certificate, and lets some users read only.

with guard_registry(registry.url, {write_basic("ann", "secret"): True}) as url: …
"""

from __future__ import annotations

import base64
import ssl
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from tests.fakes.http import Handler, serving


def write_basic(user: str, password: str) -> str:
    """Return the header that a user and a password are sent in."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def write_bearer(token: str) -> str:
    """Return the header that a token is sent in."""
    return f"Bearer {token}"


def require_certificate(certificate: Path, key: Path, clients: Path | None = None) -> ssl.SSLContext:
    """Return the server's TLS; `clients` is the authority of the clients' certificates, which are wanted then."""
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate, key)
    if clients is not None:
        tls.verify_mode = ssl.CERT_REQUIRED
        tls.load_verify_locations(clients)
    return tls


def is_write(method: str, path: str) -> bool:
    """Whether a request changes something: a lookup and a check of compatibility are POST, and change nothing."""
    if method == "POST":
        return "/compatibility/" not in path and path.partition("?")[0].endswith("/versions")
    return method in ("PUT", "DELETE")


@contextmanager
def guard_registry(
    url: str,
    logins: Mapping[str, bool] | Callable[[str], bool | None] | None = None,
    tls: ssl.SSLContext | None = None,
) -> Iterator[str]:
    """Serve inside the `with`; yields the gateway's URL, with the path of the registry's `url`.

    `logins` maps headers to whether their user may write, None for unknown ones; without it everyone may, whom `tls`
    lets in.
    """
    judge = logins.get if isinstance(logins, Mapping) else logins
    parts = urlsplit(url)

    class Gate(Handler):
        def do_GET(self) -> None:
            body = self.read_body()
            may_write = True if judge is None else judge(self.headers.get("Authorization", ""))
            if may_write is None:
                self.refuse(401, "Unauthorized", {"WWW-Authenticate": 'Basic realm="registry"'})
            elif not may_write and is_write(self.command, self.path):
                self.refuse(403, "Forbidden")
            else:
                self.send(*forward(f"{parts.scheme}://{parts.netloc}{self.path}", self.command, body))

        do_POST = do_PUT = do_DELETE = do_GET

        def refuse(self, status: int, title: str, headers: Mapping[str, str] | None = None) -> None:
            self.send(status, f"<html><title>{title}</title></html>".encode(), headers or {})

    with serving(Gate, tls) as gateway:
        yield gateway + parts.path


def forward(url: str, method: str, body: bytes) -> tuple[int, bytes, Mapping[str, str]]:
    """Send a request to the registry; return the status, the body and the headers of its answer."""
    request = urllib.request.Request(url, body or None, {"Content-Type": "application/json"}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return answer.status, answer.read(), {"Content-Type": "application/json"}
    except urllib.error.HTTPError as failure:
        return failure.code, failure.read(), {"Content-Type": "application/json"}
