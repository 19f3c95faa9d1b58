"""A client of REST APIs: requests with retries, logins, TLS, and errors that name the server and what to do.

A lost answer proves nothing, so the caller passes a function that reads from live state whether it took effect.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import re
import ssl
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit, urlunsplit

import requests
from requests.auth import AuthBase, HTTPBasicAuth
from urllib3.exceptions import NewConnectionError

from kplan.diagnostics import (
    Denied,
    ErrorClass,
    Invalid,
    KplanError,
    Timeout,
    Unreachable,
    Unsupported,
    codes,
    error,
)
from kplan.model.masks import Mask
from kplan.servers.access import Access, Pacing
from kplan.servers.connection_errors import misdirected_error
from kplan.servers.http_limits import MIB, TooLarge, create_limited_session, has_timed_out
from kplan.servers.ports import PortProtocol, detect_protocol
from kplan.servers.waits import RETRY, WAITS
from kplan.values import dataclass

# 2,000 connectors with 64 KiB each of settings, states and traces; Connect itself takes at most 1 MiB for one config.
MAX_ANSWER_BYTES = 128 * MIB
TLS_ALERT = "x15\\x03"  # in the representation of a TLS port's answer to plain HTTP

# -- requests


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """How long and how often something is tried: `attempts`, or for the effects of a rebalance, `seconds`."""

    attempts: int
    delay: float
    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def pause(self, attempt: int) -> float:
        """Return the seconds before the next attempt: doubling up to 5, and three quarters to all of it at random."""
        return float(min(self.delay * 2**attempt, max(self.delay, 5)) * (0.75 + 0.25 * self.jitter()))

    def wait_until(self, check: Callable[[], bool], seconds: float | None = None) -> bool:
        """Return whether `check` came true in time; it is called at least once."""
        end = self.clock() + (self.seconds if seconds is None else seconds)
        while not check():
            if self.clock() >= end:
                return False
            self.sleep(0.25)
        return True


@dataclass(frozen=True, slots=True)
class Peer:
    """How errors name a server, and what its failures mean.

    `name` begins a sentence, `node` is one process of it, `section` the key of its environment, `port` a hint at its
    usual port. `make_error` gets the status, the body, the request and the host, and hides what `Mask` knows.
    """

    name: str
    product: str
    node: str
    section: str
    port: str
    log: logging.Logger
    make_error: Callable[[int, str, str, str, Mask], KplanError]
    is_temporary: Callable[[KplanError], bool]


class Rest:
    """Sends requests to whichever node answers; every failure is a KplanError without a secret in it."""

    def __init__(self, peer: Peer, urls: Sequence[str], session: requests.Session, verify: bool | str, timeout: float,
                 policy: RetryPolicy, mask: Mask) -> None:  # fmt: skip
        self._peer = peer
        self.urls = tuple(urls)
        self.patience = policy
        self._session = session
        self._verify = verify
        self._timeout = timeout
        self._mask = mask
        self._first = 0
        self._met = False  # whether any node has answered
        self.retries = 0

    @property
    def url(self) -> str:
        """Return the node that is asked first."""
        return self.urls[self._first % len(self.urls)]

    def call(self, method: str, path: str, body: Any = None, *, done: Callable[[], bool] | None = None) -> Any:
        """Return the answer, after as many attempts as it takes and the policy allows."""
        # Where an answer was lost, `done` says whether the request took effect anyway; only if not, it is sent again.
        # Without `done` sending it twice is harmless.
        start, attempt = self.patience.clock(), 0
        while True:
            try:
                return self.send_once(method, path, body)
            except KplanError as failure:
                if failure.error_class is not ErrorClass.RETRIABLE:
                    raise
                if failure.applied is None and done is not None and done():
                    self._peer.log.info("%s %s: the answer was lost, but it took effect", method, path)
                    return None
                pause = self.patience.pause(attempt)
                attempt += 1
                self.retries += 1
                if not self._may_wait(failure, attempt, self.patience.clock() + pause - start):
                    raise
                self._peer.log.warning("%s %s: %s; again in %.1f s", method, path, failure.message, pause, extra=RETRY)
                with WAITS.add(f"waiting to try {self.url} again", pause):
                    self.patience.sleep(pause)

    def _may_wait(self, failure: KplanError, attempt: int, elapsed: float) -> bool:
        return (
            elapsed <= self.patience.seconds if self._peer.is_temporary(failure) else attempt < self.patience.attempts
        )

    def send_once(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> Any:
        """Return the answer to one request, of the next node where one refuses the connection."""
        refusals = []
        for offset in range(len(self.urls)):
            index = (self._first + offset) % len(self.urls)
            try:
                answer = self._send(method, self.urls[index], path, body, timeout or self._timeout)
            except Unreachable as failure:
                refusals.append(failure)
                continue
            except Timeout:
                self._first = (index + 1) % len(self.urls)
                raise
            self._first = index
            return answer
        raise refusals[0] if len(refusals) == 1 else Unreachable(
            f"no {self._peer.name} {self._peer.node} answers: " + "; ".join(failure.message for failure in refusals),
            help=refusals[0].help,
        )  # fmt: skip

    def _send(self, method: str, url: str, path: str, body: Any, timeout: float) -> Any:
        start = time.monotonic()
        status: object = "no answer"
        try:
            with WAITS.add(f"reading {url}", timeout), _map_errors(self._peer, url, self._mask, timeout, self._met):
                response = self._session.request(method, url + path, json=body, timeout=(min(timeout, 10), timeout),
                                                 verify=self._verify, allow_redirects=False)  # fmt: skip
                text = response.content.decode("utf-8", "replace")
            status = response.status_code
            self._met = True
        finally:
            self._peer.log.debug("%s %s -> %s %.3f s", method, path, status, time.monotonic() - start)
        return self._parse_answer(url, response.status_code, text, f"{method} {path}")

    def _parse_answer(self, url: str, status: int, text: str, request: str) -> Any:
        if status < 300:
            return self._parse_json(url, text)
        raise self._peer.make_error(status, text, request, urlsplit(url).netloc, self._mask)

    def _parse_json(self, url: str, text: str) -> Any:
        if not text:
            return None
        try:
            return json.loads(text)
        except ValueError:
            raise Unsupported(f"{url} does not answer like {self._peer.product}: its answer is not JSON",
                              help=f"check `{self._peer.section}.url`")  # fmt: skip

    def at(self, urls: Sequence[str]) -> Rest:
        """Return a client of other paths of the same server, with the same session."""
        return Rest(self._peer, urls, self._session, self._verify, self._timeout, self.patience, self._mask)

    def close(self) -> None:
        self._session.close()


class AnswerTooLarge(KplanError):
    """The answer is larger than kplan takes; the request may have taken effect."""

    entry = codes.K333
    applied = None


class _map_errors:
    """Turns exceptions of requests or urllib3 into Unreachable (it was not sent) or Timeout (it may have been)."""

    def __init__(self, peer: Peer, url: str, mask: Mask, timeout: float, met: bool) -> None:
        self._peer = peer
        self._url = url
        self._mask = mask
        self._timeout = timeout
        self._met = met

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, failure: BaseException | None, trace: object) -> None:
        if not isinstance(failure, requests.RequestException):
            return
        peer, lost = self._peer, f"see the log of the {self._peer.name} {self._peer.node}"
        reason = self._mask.mask(_innermost_reason(failure))
        if isinstance(failure, requests.exceptions.SSLError):
            reason = re.sub(r"^\w+\] | \(_ssl\.c:\d+\)$", "", reason)
            raise Denied(
                f"no TLS connection to {self._url}: {reason}", code=codes.K317, help=_find_tls_help(reason, self._peer)
            ) from None
        if isinstance(failure, TooLarge):
            raise AnswerTooLarge(f"{self._url}: {failure}", help=f"check `{peer.section}.url`") from None
        if not self._met and _is_not_http(failure, self._url):
            raise misdirected_error(
                f"no {peer.name} at {self._url}: the port does not speak HTTP",
                f"check `{peer.section}.url`: {peer.port}",
            ) from None
        if TLS_ALERT in str(failure):
            refused = Unreachable(f"{self._url} does not speak HTTP: it answers as TLS does",
                                  help=f"write https:// in `{peer.section}.url`")  # fmt: skip
            refused.error_class = ErrorClass.FATAL
            raise refused from None
        if _was_not_sent(failure):
            raise Unreachable(f"{peer.name} does not answer at {self._url}: {reason}",
                              help=f"check `{peer.section}.url`, and that the {peer.node} runs") from None  # fmt: skip
        timed_out = has_timed_out(failure)
        reason = f"not all of it arrived within {self._timeout:g} s" if timed_out else reason
        raise Timeout(
            f"the answer of {self._url} was lost: {reason}", help=f"{lost}; {_LATE}" if timed_out else lost
        ) from None


def _is_not_http(failure: requests.RequestException, url: str) -> bool:
    """Return whether the port is not HTTP: it answers differently, or closes the connection as brokers do."""
    if TLS_ALERT in str(failure):
        return False
    if "BadStatusLine" in str(failure):
        return True
    parts = urlsplit(url)
    is_aborted = "RemoteDisconnected" in str(failure) or "reset by peer" in str(failure)
    return is_aborted and detect_protocol(parts.netloc, parts.scheme == "https") in (
        PortProtocol.BROKER,
        PortProtocol.CONTROLLER,
    )


def _was_not_sent(failure: requests.RequestException) -> bool:
    if isinstance(failure, requests.ConnectTimeout | requests.exceptions.ProxyError | ValueError):
        return True
    reason = getattr(failure.args[0], "reason", None) if failure.args else None
    return isinstance(reason, NewConnectionError)


def _innermost_reason(failure: requests.RequestException) -> str:
    """Return the innermost reason: `Connection refused`, `Read timed out. (read timeout=30)`."""
    text = str((getattr(failure.args[0], "reason", None) if failure.args else None) or failure)
    errno = re.search(r"(?:\(\d+, '|\[Errno -?\d+\] )([^'\")]+)", text)
    return errno[1] if errno else text.rpartition(": ")[2].strip("'\"") or type(failure).__name__


def _find_tls_help(reason: str, peer: Peer) -> str:
    """Return what to do about a failed handshake, by OpenSSL's message."""
    setting, node = peer.section, peer.node
    plain = f"this port speaks no TLS: write http:// in `{setting}.url`, or another port"
    remedies = {
        "mismatch": f"name the {node} in `{setting}.url` as its certificate does",
        "has expired": f"renew the {node}'s certificate, or correct the clock of this machine",
        "wrong version number": plain,
        "record layer failure": plain,
        "alert": f"the {node} wants a certificate that it trusts: check `{setting}.certificate` and `{setting}.key`",
    }
    default = f"put the authority that signed the {node}'s certificate into `{setting}.ca`"
    return next((help for sign, help in remedies.items() if sign in reason), default)


_LATE = "if it is only slow, raise `timeouts: {request: …}` of the environment"

# -- logins


def open_rest(peer: Peer, access: Access, pacing: Pacing, mask: Mask) -> Rest:
    """Return the client; `mask` learns the login and the password of the key. Raises Invalid for an unusable file."""
    policy = RetryPolicy(
        pacing.attempts, pacing.delay, pacing.settle_timeout, pacing.clock, pacing.sleep, pacing.jitter
    )
    plain, login = split_login(access.urls)
    user, secret = access.username or login[0], access.password or login[1]
    context = create_tls_context(access.ca, access.certificate, access.key, access.key_password, peer.section)
    session = create_session(user, secret, context, max(pacing.parallel, 1), access.token)
    header = base64.b64encode(f"{user}:{secret}".encode()).decode() if secret else ""
    mask.add([secret, access.key_password, access.token, header])
    return Rest(peer, plain, session, access.ca or True, pacing.request_timeout, policy, mask)


def create_tls_context(ca: str, certificate: str, key: str, password: str, section: str) -> ssl.SSLContext | None:
    """Return kplan's client certificate, None without one. Raises Invalid where a file cannot be used."""
    file, setting = ca, f"{section}.ca"
    try:
        if ca:
            is_folder = Path(ca).is_dir()
            ssl.create_default_context(cafile=None if is_folder else ca, capath=ca if is_folder else None)
        if not certificate:
            return None
        file, setting = certificate, f"{section}.certificate"
        context = ssl.create_default_context()
        context.load_cert_chain(certificate, key or None, lambda: password)
        return context
    except (OSError, ValueError) as failure:
        reason = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
        if isinstance(failure, ssl.SSLError):
            reason = "it holds no certificate" if setting == f"{section}.ca" else "key and password do not fit it"
        raise Invalid([error(codes.K203, "a file for TLS cannot be used", f"{setting} {file}: {reason}",
                             help="the files are PEM, and their paths begin at kplan.yaml")]) from failure  # fmt: skip


class BearerAuth(AuthBase):
    """Sends a bearer token. A header of the session would give way to a netrc file."""

    def __init__(self, token: str) -> None:
        self._token = token

    def __call__(self, request: requests.PreparedRequest) -> requests.PreparedRequest:
        request.headers["Authorization"] = f"Bearer {self._token}"
        return request


def create_session(
    username: str, password: str, context: ssl.SSLContext | None, parallel: int, token: str = ""
) -> requests.Session:
    session = create_limited_session(MAX_ANSWER_BYTES, context, max(parallel, 10))
    session.headers["Accept"] = "application/json"
    if token:
        session.auth = BearerAuth(token)
    elif username:
        session.auth = HTTPBasicAuth(username.encode(), password.encode())
    return session


def split_login(urls: Sequence[str]) -> tuple[list[str], tuple[str, str]]:
    """Return the URLs as they may be shown, and the first name and password in them."""
    login = ("", "")
    plain = []
    for url in urls:
        parts = urlsplit(url)
        if parts.username and not login[0]:
            login = unquote(parts.username), unquote(parts.password or "")
        host = parts.netloc.rpartition("@")[2]
        plain.append(urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", "")))
    return plain, login
