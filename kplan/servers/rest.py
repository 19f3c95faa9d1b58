"""A client of REST APIs: requests with retries, logins, TLS, and errors that name the server and what to do.

A lost answer proves nothing, so the caller passes a function that reads from live state whether it took effect.
"""

from __future__ import annotations

import base64
import json
import random
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from kplan.diagnostics import ErrorClass, KplanError, Timeout, Unreachable, Unsupported
from kplan.model.checkup import CheckResult, ServerCheck
from kplan.model.masks import Mask
from kplan.servers.access import Access, Pacing
from kplan.servers.http_logins import create_tls_context, read_proxy_password, split_login
from kplan.servers.peer import Peer
from kplan.servers.quick_http import Answer, QuickReader, find_unsuited
from kplan.servers.waits import RETRY, WAITS
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.servers.http_sessions import RestSession
    from kplan.servers.tokens import TokenSource

QUICK_READINGS = 8  # what asks for more is quicker over the connections that a session keeps
MAX_CLOCK_LEAD_S = 5  # of a server, before it is worth a word: dates are exact to a second, and answers take time

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


class Link:
    """How requests reach a server: by a session, which is opened when something but a simple reading needs it."""

    def __init__(
        self, open_session: Callable[[], RestSession], quick: QuickReader | None, tokens: TokenSource | None
    ) -> None:
        self._open_session = open_session
        self._quick = quick
        self._readings = 0
        self._session: RestSession | None = None
        self._opening = threading.Lock()
        self.tokens = tokens

    def ask(self, method: str, url: str, path: str, body: Any, timeout: float, token: str, met: bool) -> Answer:
        """Return the answer. A reading that fails without a session is tried again by one, which explains it."""
        if self._session is None and method == "GET" and self._quick is not None and self._readings < QUICK_READINGS:
            self._readings += 1
            answer = self._quick.read(url + path, timeout)
            if answer is not None:
                return answer
        with self._opening:
            if self._session is None:
                self._session = self._open_session()
        return self._session.ask(method, url, path, body, timeout, token, met)

    def close(self) -> None:
        if self._session is not None:
            self._session.close()
        if self.tokens is not None:
            self.tokens.close()


class _TokenRefused(Exception):
    """The server answers 401 to a token that an issuer gave; `failure` is what that means."""

    def __init__(self, failure: KplanError) -> None:
        super().__init__(failure.message)
        self.failure = failure


class Rest:
    """Sends requests to whichever node answers; every failure is a KplanError without a secret in it."""

    def __init__(self, peer: Peer, urls: Sequence[str], link: Link, timeout: float, policy: RetryPolicy,
                 mask: Mask) -> None:  # fmt: skip
        self._peer = peer
        self.urls = tuple(urls)
        self.patience = policy
        self._link = link
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
        tokens = self._link.tokens
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
            with WAITS.add(f"reading {url}", timeout):
                answer = self._link.ask(method, url, path, body, timeout, token, self._met)
            status = answer.status
            self._met = True
            self.clock_lead_s = _measure_lead(answer.date)
        finally:
            self._peer.log.debug("%s %s -> %s %.3f s", method, path, status, time.monotonic() - start)
        return self._parse_answer(url, answer.status, answer.text, f"{method} {path}", bool(token))

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
        return Rest(self._peer, urls, self._link, self._timeout, self.patience, self._mask)

    def close(self) -> None:
        self._link.close()


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


# -- logins


def open_rest(peer: Peer, access: Access, pacing: Pacing, mask: Mask) -> Rest:
    """Return the client; `mask` learns the login and the password of the key. Raises Invalid for an unusable file."""
    policy = RetryPolicy(
        pacing.attempts, pacing.delay, pacing.settle_timeout, pacing.clock, pacing.sleep, pacing.jitter
    )
    plain, login = split_login(access.urls)
    user, secret = access.username or login[0], access.password or login[1]
    context = create_tls_context(access.ca, access.certificate, access.key, access.key_password, peer.section)
    header = base64.b64encode(f"{user}:{secret}".encode()).decode() if secret else ""
    mask.add([secret, access.key_password, access.token, header, read_proxy_password(access.proxy)])
    tokens = None
    if access.oidc is not None:
        from kplan.servers.tokens import TokenSource

        tokens = TokenSource(access.oidc, mask, pacing.request_timeout)

    def open_session() -> RestSession:
        from kplan.servers.http_sessions import RestSession

        return RestSession(peer, mask, access, (user, secret), context, max(pacing.parallel, 10))

    login_header = f"Bearer {access.token}" if access.token else f"Basic {header}" if header else ""
    quick = None if find_unsuited(access, bool(login_header), user) else QuickReader(login_header)
    return Rest(peer, plain, Link(open_session, quick, tokens), pacing.request_timeout, policy, mask)
