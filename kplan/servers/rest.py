"""A client of REST APIs: requests with retries, logins, TLS, and errors that name the server and what to do.

A lost answer proves nothing, so the caller passes a function that reads from live state whether it took effect.
"""

from __future__ import annotations

import base64
import json
import logging
import random
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests
from requests.auth import HTTPBasicAuth

from kplan.diagnostics import Denied, ErrorClass, KplanError, Timeout, Unreachable, Unsupported, codes
from kplan.model.checkup import CheckResult, ServerCheck
from kplan.model.masks import Mask
from kplan.servers.access import Access, Pacing
from kplan.servers.connection_errors import misdirected_error
from kplan.servers.http_failures import find_innermost_reason, find_tls_reason, was_not_sent
from kplan.servers.http_limits import MIB, TooLarge, create_limited_session, has_timed_out
from kplan.servers.http_logins import (
    BearerAuth,
    create_tls_context,
    make_proxies,
    proxy_error,
    read_proxy_password,
    split_login,
)
from kplan.servers.ports import PortProtocol, detect_protocol
from kplan.servers.tokens import TokenSource
from kplan.servers.waits import RETRY, WAITS
from kplan.values import dataclass

# 2,000 connectors with 64 KiB each of settings, states and traces; Connect itself takes at most 1 MiB for one config.
MAX_ANSWER_BYTES = 128 * MIB
MAX_CLOCK_LEAD_S = 5  # of a server, before it is worth a word: dates are exact to a second, and answers take time
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


@dataclass(frozen=True, slots=True)
class Connection:
    """How requests reach the server: the session with its login, the authority to trust, proxies, and tokens that
    expire.
    """

    session: requests.Session
    verify: bool | str
    proxies: Mapping[str, str]
    tokens: TokenSource | None = None

    def request(self, method: str, url: str, body: Any, timeout: float, token: str) -> requests.Response:
        return self.session.request(
            method,
            url,
            json=body,
            timeout=(min(timeout, 10), timeout),
            verify=self.verify,
            proxies=dict(self.proxies),
            auth=BearerAuth(token) if token else None,
            allow_redirects=False,
        )

    def close(self) -> None:
        self.session.close()
        if self.tokens is not None:
            self.tokens.close()


class _TokenRefused(Exception):
    """The server answers 401 to a token that an issuer gave; `failure` is what that means."""

    def __init__(self, failure: KplanError) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Rest:
    """Sends requests to whichever node answers; every failure is a KplanError without a secret in it."""

    def __init__(self, peer: Peer, urls: Sequence[str], connection: Connection, timeout: float, policy: RetryPolicy,
                 mask: Mask) -> None:  # fmt: skip
        self._peer = peer
        self.urls = tuple(urls)
        self.patience = policy
        self._connection = connection
        self._timeout = timeout
        self._mask = mask
        self._first = 0
        self._met = False  # whether any node has answered
        self.clock_lead_s: float | None = None  # how far the clock of who answered last is ahead of this one
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
        """Return the answer to one request; with a new token where the server knows the present one no longer."""
        tokens = self._connection.tokens
        if tokens is None:
            return self._send_to_any(method, path, body, timeout or self._timeout)
        token = tokens.find()
        try:
            return self._send_to_any(method, path, body, timeout or self._timeout, token)
        except _TokenRefused:
            token = tokens.replace(token)
        try:
            return self._send_to_any(method, path, body, timeout or self._timeout, token)
        except _TokenRefused as refusal:
            raise tokens.refusal_error(refusal.failure, self._peer.node) from None

    def _send_to_any(self, method: str, path: str, body: Any, timeout: float, token: str = "") -> Any:
        """Return the answer to one request, of the next node where one refuses the connection."""
        refusals = []
        for offset in range(len(self.urls)):
            index = (self._first + offset) % len(self.urls)
            try:
                answer = self._send(method, self.urls[index], path, body, timeout, token)
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

    def _send(self, method: str, url: str, path: str, body: Any, timeout: float, token: str) -> Any:
        start = time.monotonic()
        status: object = "no answer"
        try:
            with WAITS.add(f"reading {url}", timeout), _map_errors(self._peer, url, self._mask, timeout, self._met):
                response = self._connection.request(method, url + path, body, timeout, token)
                text = response.content.decode("utf-8", "replace")
            status = response.status_code
            self._met = True
            self.clock_lead_s = _measure_lead(response.headers.get("Date", ""))
        finally:
            self._peer.log.debug("%s %s -> %s %.3f s", method, path, status, time.monotonic() - start)
        return self._parse_answer(url, response.status_code, text, f"{method} {path}", bool(token))

    def _parse_answer(self, url: str, status: int, text: str, request: str, has_token: bool) -> Any:
        if status < 300:
            return self._parse_json(url, text)
        failure = self._peer.make_error(status, text, request, urlsplit(url).netloc, self._mask)
        raise _TokenRefused(failure) if status == 401 and has_token else failure

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
        return Rest(self._peer, urls, self._connection, self._timeout, self.patience, self._mask)

    def close(self) -> None:
        self._connection.close()


def _measure_lead(date: str) -> float | None:
    """Return the seconds that the date of an answer is ahead of this machine's clock; it is exact to a second."""
    try:
        return parsedate_to_datetime(date).timestamp() - time.time()
    except ValueError:
        return None


def check_clock(server: str, rest: Rest) -> Iterator[ServerCheck]:
    """Yield how far the server's clock and this machine's are apart, where its answers have a date."""
    if rest.clock_lead_s is None:
        return
    seconds = round(rest.clock_lead_s)
    if abs(seconds) <= MAX_CLOCK_LEAD_S:
        yield ServerCheck(server, "clock", CheckResult.OK, "as on this machine")
        return
    words = f"{abs(seconds)} s {'ahead of' if seconds > 0 else 'behind'} this machine"
    help = "set the clocks: tokens, certificates and the times of records are judged by them"
    yield ServerCheck(server, "clock", CheckResult.LACKING, words, help)


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
        reason = self._mask.mask(find_innermost_reason(failure))
        if isinstance(failure, requests.exceptions.ProxyError):
            raise proxy_error(self._url, reason, peer.section) from None
        if isinstance(failure, requests.exceptions.SSLError):
            reason = self._mask.mask(find_tls_reason(failure))
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
        if was_not_sent(failure):
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
    session = create_limited_session(MAX_ANSWER_BYTES, context, max(pacing.parallel, 10))
    session.headers["Accept"] = "application/json"
    if access.oidc is not None:
        session.headers.update(access.oidc.headers)
    elif access.token:
        session.auth = BearerAuth(access.token)
    elif user:
        session.auth = HTTPBasicAuth(user.encode(), secret.encode())
    header = base64.b64encode(f"{user}:{secret}".encode()).decode() if secret else ""
    mask.add([secret, access.key_password, access.token, header, read_proxy_password(access.proxy)])
    tokens = None if access.oidc is None else TokenSource(access.oidc, mask, pacing.request_timeout)
    connection = Connection(session, access.ca or True, make_proxies(access.proxy), tokens)
    return Rest(peer, plain, connection, pacing.request_timeout, policy, mask)
