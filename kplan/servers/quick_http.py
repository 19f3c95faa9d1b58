"""Simple readings of a REST API by the standard library, which is imported far sooner than a client with sessions."""

from __future__ import annotations

import contextlib
import http.client
import io
import os
import socket
import time
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from kplan.servers.access import Access
from kplan.servers.http_logins import DIRECT
from kplan.values import dataclass

# 2,000 connectors with 64 KiB each of settings, states and traces; Connect itself takes at most 1 MiB for one config.
MAX_ANSWER_BYTES: Final = 128 * 1024 * 1024
CONNECT_TIMEOUT_S: Final = 2.0
TIMEOUT_SHARE: Final = 1 / 3  # of a request's time: a server that takes longer is left to a session


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a request; `date` is the server's, as HTTP writes it, or empty."""

    status: int
    text: str
    date: str


def find_unsuited(access: Access, has_header: bool, user: str) -> str:
    """Return what of an access only a session can follow; empty where there is nothing.

    requests takes proxies from the process's variables, and the login of a netrc file where it has no other.
    https://requests.readthedocs.io/en/latest/user/advanced/#proxies
    """
    if not all(url.lower().startswith("http://") for url in access.urls):
        return "TLS"
    if access.oidc is not None:
        return "a token that an issuer gives"
    if access.certificate or access.ca:
        return "a certificate"
    names = {name.lower() for name in os.environ}
    if access.proxy != DIRECT and (access.proxy or names & {"http_proxy", "all_proxy"}):
        return "a proxy"
    if user and not has_header:
        return "a user without a password"
    if not has_header and (os.environ.get("NETRC") or any(_exists(name) for name in ("~/.netrc", "~/_netrc"))):
        return "a netrc file"
    return ""


def _exists(path: str) -> bool:
    try:
        return Path(path).expanduser().exists()
    except (OSError, RuntimeError):  # without a home
        return False


class _DeadlineReader(io.RawIOBase):
    """Reads from a socket until a time; after it each read raises TimeoutError."""

    def __init__(self, connection: socket.socket, seconds: float | None) -> None:
        self._socket = connection
        self._stream = connection.makefile("rb", buffering=0)
        self._seconds = seconds
        self._end = None if seconds is None else time.monotonic() + seconds

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if self._end is not None:
            remaining = self._end - time.monotonic()
            if remaining <= 0:
                raise TimeoutError("the answer has not ended in time")
            self._socket.settimeout(remaining)
        return self._stream.readinto(buffer)

    def close(self) -> None:
        """Give the socket its earlier timeout back, for the next request on this connection."""
        if not self.closed:
            with contextlib.suppress(OSError):
                self._socket.settimeout(self._seconds)
            self._stream.close()
        super().close()


class LimitedResponse(http.client.HTTPResponse):
    """An answer whose headers and body together must arrive within the socket's timeout."""

    def __init__(self, sock: socket.socket, *arguments: Any, **options: Any) -> None:
        super().__init__(sock, *arguments, **options)
        self.fp.close()
        self.fp = io.BufferedReader(_DeadlineReader(sock, sock.gettimeout()))


class _Connection(http.client.HTTPConnection):
    response_class = LimitedResponse


class QuickReader:
    """Reads over one connection each. `login` is the header Authorization; empty for none."""

    def __init__(self, login: str) -> None:
        self._headers = {"Accept": "application/json", "Connection": "close"}
        if login:
            self._headers["Authorization"] = login

    def read(self, url: str, timeout: float) -> Answer | None:
        """Return the answer, whatever its status; None where there is none in good time."""
        parts, seconds = urlsplit(url), timeout * TIMEOUT_SHARE
        target = url.partition(parts.netloc)[2] or "/"
        try:
            connection = _Connection(parts.hostname or "", parts.port, timeout=min(CONNECT_TIMEOUT_S, seconds))
            with contextlib.closing(connection):
                connection.connect()
                connection.sock.settimeout(seconds)
                connection.request("GET", target, headers=self._headers)
                response = connection.getresponse()
                body = response.read(MAX_ANSWER_BYTES + 1)
                if response.length or len(body) > MAX_ANSWER_BYTES:  # cut off, or too large
                    return None
        except (OSError, http.client.HTTPException, ValueError):
            return None
        return Answer(response.status, body.decode("utf-8", "replace"), response.getheader("Date") or "")
