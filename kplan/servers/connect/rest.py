"""The client of Connect's REST API: requests with patience, paths, logins, and what which version can do.

An answer that was lost says nothing, so whoever calls tells how to see from live state whether it took effect.
https://kafka.apache.org/documentation/#connect_rest
"""

from __future__ import annotations

import json
import logging
import random
import re
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote, unquote, urlsplit, urlunsplit

import requests
from requests.auth import HTTPBasicAuth
from urllib3.exceptions import NewConnectionError

from kplan.diagnostics import (
    Busy,
    Denied,
    ErrorClass,
    Invalid,
    KplanError,
    Rejected,
    Timeout,
    Unreachable,
    Unsupported,
    codes,
    error,
)
from kplan.model.masks import Mask
from kplan.servers.connect.errors import NO_CLASS, classify, patient, said, title
from kplan.servers.connection_errors import Protocol, misdirected, spoken_at
from kplan.servers.http_limits import MIB, TooLarge, limited_session, ran_out
from kplan.servers.waits import RETRY, WAITS

log = logging.getLogger("kplan.servers.connect")  # one name for all that is done with Connect

_DENIALS: Mapping[int, str] = {401: "it does not know this login", 403: "this user may not"}
# 2,000 connectors with 64 KiB each of settings, states and traces; Connect itself takes at most 1 MiB for one config.
LARGEST_ANSWER = 128 * MIB
TLS_ALERT = "x15\\x03"  # how the representation of what a TLS port answers to plain HTTP begins

# -- versions

FEATURES: Mapping[str, tuple[int, int]] = {
    "read_offsets": (3, 5),  # KIP-875
    "stop": (3, 6),  # KIP-875
    "offsets": (3, 6),  # KIP-875: alter and delete
    "initial_state": (3, 7),  # KIP-980
    "patch": (3, 8),  # KIP-477
}


def kafka_version(version: str) -> tuple[int, int] | None:
    """Major and minor of Apache Kafka; Confluent's versions are 4 ahead, so 7.6.0-ccs is Kafka 3.6."""
    found = re.match(r"(\d+)\.(\d+)", version)
    if not found:
        return None
    major, minor = int(found[1]), int(found[2])
    return (major - 4 if re.search(r"-(ccs|ce)\b", version) else major), minor


def supports(version: str, feature: str) -> bool:
    """Whether a worker of `version` has one of `FEATURES`; an unknown version has none."""
    known = kafka_version(version)
    return known is not None and known >= FEATURES[feature]


# -- requests


@dataclass(frozen=True, slots=True)
class Patience:
    """How long and how often something is tried: `attempts`, or for what a rebalance causes, `seconds`."""

    attempts: int
    delay: float
    seconds: float
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random

    def pause(self, attempt: int) -> float:
        """Seconds before the next try: doubling up to 5, and three quarters to all of it at random."""
        return float(min(self.delay * 2**attempt, max(self.delay, 5)) * (0.75 + 0.25 * self.jitter()))

    def until(self, check: Callable[[], bool], seconds: float | None = None) -> bool:
        """Whether `check` came true in time; it is asked at least once."""
        end = self.clock() + (self.seconds if seconds is None else seconds)
        while not check():
            if self.clock() >= end:
                return False
            self.sleep(0.25)
        return True


class Rest:
    """Speaks with whichever worker answers, and every failure is a KplanError without a secret in it."""

    def __init__(self, urls: Sequence[str], session: requests.Session, verify: bool | str, timeout: float,
                 patience: Patience, mask: Mask) -> None:  # fmt: skip
        self.urls = tuple(urls)
        self.patience = patience
        self._session = session
        self._verify = verify
        self._timeout = timeout
        self._mask = mask
        self._first = 0
        self._met = False  # whether any worker has answered
        self.retries = 0

    @property
    def url(self) -> str:
        """The worker that is asked first."""
        return self.urls[self._first % len(self.urls)]

    def call(self, method: str, path: str, body: Any = None, *, done: Callable[[], bool] | None = None) -> Any:
        """The answer, after as many tries as it takes and patience allows."""
        # Where an answer was lost, `done` says whether the request took effect all the same; only if not, it is sent
        # again. Without `done` sending it twice is harmless.
        start, attempt = self.patience.clock(), 0
        while True:
            try:
                return self.once(method, path, body)
            except KplanError as failure:
                if failure.error_class is not ErrorClass.RETRIABLE:
                    raise
                if failure.applied is None and done is not None and done():
                    log.info("%s %s: the answer was lost, but it took effect", method, path)
                    return None
                pause = self.patience.pause(attempt)
                attempt += 1
                self.retries += 1
                if not self._may_wait(failure, attempt, self.patience.clock() + pause - start):
                    raise
                log.warning("%s %s: %s; again in %.1f s", method, path, failure.message, pause, extra=RETRY)
                with WAITS.on(f"waiting to try {self.url} again", pause):
                    self.patience.sleep(pause)

    def _may_wait(self, failure: KplanError, attempt: int, elapsed: float) -> bool:
        return elapsed <= self.patience.seconds if patient(failure) else attempt < self.patience.attempts

    def once(self, method: str, path: str, body: Any = None, timeout: float | None = None) -> Any:
        """The answer to one request, of the next worker where one refuses the connection."""
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
            "no Connect worker answers: " + "; ".join(failure.message for failure in refusals),
            help=refusals[0].help,
        )  # fmt: skip

    def _send(self, method: str, url: str, path: str, body: Any, timeout: float) -> Any:
        start = time.monotonic()
        status: object = "no answer"
        try:
            with WAITS.on(f"reading {url}", timeout), _explained(url, self._mask, timeout, self._met):
                response = self._session.request(method, url + path, json=body, timeout=(min(timeout, 10), timeout),
                                                 verify=self._verify, allow_redirects=False)  # fmt: skip
                text = response.content.decode("utf-8", "replace")
            status = response.status_code
            self._met = True
        finally:
            log.debug("%s %s -> %s %.3f s", method, path, status, time.monotonic() - start)
        return self._answer(url, response.status_code, text, f"{method} {path}")

    def _answer(self, url: str, status: int, text: str, asked: str) -> Any:
        if status < 300:
            return self._parsed(url, text)
        message = said(text)
        kind = classify(status, message)
        words = self._mask.mask(message or title(text)) or _DENIALS.get(status, "nothing more")
        asked = f" to {asked}" if kind is Denied else ""
        raise kind(f"Connect ({urlsplit(url).netloc}) answers {status}{asked}: {words}",
                   code=codes.K303 if NO_CLASS in message.lower() else None, help=_help(status, kind))  # fmt: skip

    def _parsed(self, url: str, text: str) -> Any:
        if not text:
            return None
        try:
            return json.loads(text)
        except ValueError:
            raise Unsupported(f"{url} does not answer like Kafka Connect: its answer is no JSON",
                              help="check `connect.url`")  # fmt: skip

    def close(self) -> None:
        self._session.close()


class AnswerTooLarge(KplanError):
    """The answer is larger than kplan takes; the request may have taken effect."""

    entry = codes.K333
    applied = None


class _explained:
    """No exception of requests or urllib3 gets out of it, but Unreachable (it was not sent) or Timeout (it may be)."""

    def __init__(self, url: str, mask: Mask, timeout: float, met: bool) -> None:
        self._url = url
        self._mask = mask
        self._timeout = timeout
        self._met = met

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, failure: BaseException | None, trace: object) -> None:
        if not isinstance(failure, requests.RequestException):
            return
        why = self._mask.mask(_cause(failure))
        if isinstance(failure, requests.exceptions.SSLError):
            why = re.sub(r"^\w+\] | \(_ssl\.c:\d+\)$", "", why)
            raise Denied(f"no TLS connection to {self._url}: {why}", code=codes.K317, help=_tls_help(why)) from None
        if isinstance(failure, TooLarge):
            raise AnswerTooLarge(f"{self._url}: {failure}", help="check `connect.url`") from None
        if not self._met and _is_not_http(failure, self._url):
            raise misdirected(f"no Connect at {self._url}: the port does not speak HTTP", _OTHER_PORT) from None
        if TLS_ALERT in str(failure):
            refused = Unreachable(f"{self._url} does not speak HTTP: it answers as TLS does",
                                  help="write https:// in `connect.url`")  # fmt: skip
            refused.error_class = ErrorClass.FATAL
            raise refused from None
        if _was_not_sent(failure):
            raise Unreachable(f"Connect does not answer at {self._url}: {why}",
                              help="check `connect.url`, and that the worker runs") from None  # fmt: skip
        late = ran_out(failure)
        why = f"not all of it arrived within {self._timeout:g} s" if late else why
        raise Timeout(f"the answer of {self._url} was lost: {why}", help=_LATE if late else _LOST) from None


def _is_not_http(failure: requests.RequestException, url: str) -> bool:
    """Whether the port belongs to something else: it answers in another way, or closes the connection as brokers do."""
    if TLS_ALERT in str(failure):
        return False
    if "BadStatusLine" in str(failure):
        return True
    parts = urlsplit(url)
    aborted = "RemoteDisconnected" in str(failure) or "reset by peer" in str(failure)
    return aborted and spoken_at(parts.netloc, parts.scheme == "https") in (Protocol.BROKER, Protocol.CONTROLLER)


def _was_not_sent(failure: requests.RequestException) -> bool:
    if isinstance(failure, requests.ConnectTimeout | requests.exceptions.ProxyError | ValueError):
        return True
    reason = getattr(failure.args[0], "reason", None) if failure.args else None
    return isinstance(reason, NewConnectionError)


def _cause(failure: requests.RequestException) -> str:
    """`Connection refused`, `Read timed out. (read timeout=30)`: the innermost words."""
    text = str((getattr(failure.args[0], "reason", None) if failure.args else None) or failure)
    errno = re.search(r"(?:\(\d+, '|\[Errno -?\d+\] )([^'\")]+)", text)
    return errno[1] if errno else text.rpartition(": ")[2].strip("'\"") or type(failure).__name__


def _tls_help(why: str) -> str:
    """What to do about a handshake that fails, by OpenSSL's words."""
    ways_out = {
        "mismatch": "name the worker in `connect.url` as its certificate does",
        "has expired": "renew the worker's certificate, or correct the clock of this machine",
        "wrong version number": "this port speaks no TLS: write http:// in `connect.url`, or another port",
        "record layer failure": "this port speaks no TLS: write http:// in `connect.url`, or another port",
        "alert": "the worker wants a certificate that it trusts: check `connect.certificate` and `connect.key`",
    }
    usual = "put the authority that signed the worker's certificate into `connect.ca`"
    return next((help for sign, help in ways_out.items() if sign in why), usual)


def _help(status: int, kind: type[KplanError]) -> str:
    if status == 403:
        return "let whoever guards Connect allow this user what docs/permissions.md lists"
    if status in (301, 302, 303, 307, 308):
        return "this address redirects; put the final one into `connect.url`"
    return {
        Denied: "check `connect.username` and `connect.password`",
        Busy: "Connect rebalances or starts; try again",
        Unsupported: "see which version of Connect this needs",
    }.get(kind, "")


_OTHER_PORT = "check `connect.url`: it needs the port of Connect's REST API, often 8083, not a broker's"
_LOST = "see the log of the Connect worker"
_LATE = f"{_LOST}; if it is only slow, raise `timeouts: {{request: …}}` of the environment"
NAME = re.compile(r"[A-Za-z0-9._-]+\Z")


def path_of(name: str, *more: str) -> str:
    """`/connectors/NAME/…`; Rejected is raised for a name that the REST API cannot address, such as one with a `/`."""
    if not NAME.match(name) or name in (".", ".."):
        raise Rejected(f"{name!r} is no name for a connector", help="use letters, digits, dot, underscore and hyphen")
    return "/".join(["/connectors", quote(name, safe=""), *more])


def plugin_path(java_class: str, *more: str) -> str:
    return "/".join(["/connector-plugins", quote(java_class, safe=""), *more])


# -- logins


def context_of(ca: str, certificate: str, key: str, password: str) -> ssl.SSLContext | None:
    """What proves to workers who kplan is, None without a certificate. Raises Invalid where a file cannot be used."""
    file, setting = ca, "connect.ca"
    try:
        if ca:
            folder = Path(ca).is_dir()
            ssl.create_default_context(cafile=None if folder else ca, capath=ca if folder else None)
        if not certificate:
            return None
        file, setting = certificate, "connect.certificate"
        context = ssl.create_default_context()
        context.load_cert_chain(certificate, key or None, lambda: password)
        return context
    except (OSError, ValueError) as failure:
        why = failure.strerror if isinstance(failure, OSError) and failure.strerror else str(failure)
        if isinstance(failure, ssl.SSLError):
            why = "it holds no certificate" if setting == "connect.ca" else "key and password do not fit it"
        raise Invalid([error(codes.K203, "a file for TLS cannot be used", f"{setting} {file}: {why}",
                             help="the files are PEM, and their paths begin at kplan.yaml")]) from failure  # fmt: skip


def session_of(username: str, password: str, context: ssl.SSLContext | None, parallel: int) -> requests.Session:
    session = limited_session(LARGEST_ANSWER, context, max(parallel, 10))
    session.headers["Accept"] = "application/json"
    if username:
        session.auth = HTTPBasicAuth(username.encode(), password.encode())
    return session


def without_login(urls: Sequence[str]) -> tuple[list[str], tuple[str, str]]:
    """The URLs as they may be shown, and the name and password that stood in the first that had one."""
    login = ("", "")
    plain = []
    for url in urls:
        parts = urlsplit(url)
        if parts.username and not login[0]:
            login = unquote(parts.username), unquote(parts.password or "")
        host = parts.netloc.rpartition("@")[2]
        plain.append(urlunsplit((parts.scheme, host, parts.path.rstrip("/"), "", "")))
    return plain, login
