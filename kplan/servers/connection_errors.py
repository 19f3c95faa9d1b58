"""Why authentication fails or brokers do not answer: librdkafka's messages, a check of certificates, and remedies."""

from __future__ import annotations

import logging
import random
import re
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import field
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from kplan.diagnostics import Denied, Diagnostic, ErrorClass, Invalid, KplanError, Span, Unreachable, codes, error
from kplan.model.masks import Mask
from kplan.patterns import late_pattern
from kplan.servers.ports import (
    PROBE_TIMEOUT_S,
    PortProtocol,
    create_unverified_context,
    detect_protocol,
    open_connection,
)
from kplan.servers.waits import RETRY, WAITS
from kplan.values import dataclass

log = logging.getLogger("kplan.servers.kafka")  # one name for all work with brokers

ALL_DOWN_TIMEOUT_S: Final = 3.0  # every broker refused for this long: waiting for the whole timeout is useless
STILL_DOWN_TIMEOUT_S: Final = 1.0  # the same, in later attempts
ATTEMPT_TIMEOUT_S: Final = 5.0  # for one answer to a request that can be repeated
# A request to a group's coordinator never ends early; kplan only stops waiting for it: librdkafka 2.16 aborts the
# process where a coordinator answers one that has timed out (https://github.com/confluentinc/librdkafka/issues/4605).
UNLIMITED_TIMEOUT_S: Final = 3600.0
SILENT_ERRORS: Final = ("_TIMED_OUT", "_TIMED_OUT_QUEUE", "_TRANSPORT", "REQUEST_TIMED_OUT")
CERTIFICATE_TIMEOUT_S: Final = 5.0  # for a handshake that shows a certificate
PROBE_AFTER_S: Final = 2.0  # without an answer; ordinary brokers answer in less
MAX_PROBED: Final = 5  # servers
MAX_PAUSE_S: Final = 30.0
_SERVER = late_pattern(r"(?:\w+://)?(?P<server>[^/\s]+)/\S+: ")
_TAIL = late_pattern(r" \(after \d+ms in state .*\)$")
_INTERNAL = late_pattern(r"error:[0-9A-F]{8}:SSL routines::")
_OWN_CERTIFICATE = late_pattern(
    r"alert (?:bad certificate|certificate required|certificate expired|certificate unknown|unknown ca)"
)
_HTTP_SIZE = "1213486160"  # the letters HTTP, read as the size of an answer
_NO_MECHANISM = late_pattern(r"supported mechanisms:\s*$")
_CONTINUES = late_pattern(r"PLAINTEXT broker listener\?|SSL listener\?")

_NO_TOKEN = late_pattern(r"^Failed to acquire SASL OAUTHBEARER token: ")
TOKEN_URL: Final = "sasl.oauthbearer.token.endpoint.url"
# The words of libcurl, which fetches tokens for librdkafka, where the endpoint gave no answer.
_NO_ANSWER = late_pattern(
    r"could(?: not|n't) (?:connect|resolve)|failed to connect|timed out|timeout|empty reply|recv failure", re.IGNORECASE
)
_NO_TRUST = late_pattern(r"certificate|SSL|TLS")

# Messages of librdkafka or OpenSSL, and what to do; the first match counts.
_REMEDIES: Final = (
    ("no provider for sasl mechanism gssapi",
     "write a `sasl.mechanism` into `kafka:`, such as PLAIN or SCRAM-SHA-512; without one it is GSSAPI"),
    ("unsupported sasl mechanism", "set `sasl.mechanism` to one that the brokers support"),
    ("invalid_token",
     "the brokers refuse the token: compare its issuer, audience and signing keys with their "
     "`sasl.oauthbearer.expected.*` and `sasl.oauthbearer.jwks.endpoint.url`"),
    ("sasl authentication error|authentication failed|invalid credentials",
     "check `sasl.username`, `sasl.password` and `sasl.mechanism` of the environment"),
    ("certificate has expired", "renew the broker's certificate, or correct the clock of this machine"),
    ("mismatch", "name the brokers in `bootstrap.servers` and `advertised.listeners` as their certificates do"),
    ("certificate verify failed|self-signed|local issuer",
     "put the authority that signed the brokers' certificates into `ssl.ca.location`"),
    (r"alert certificate expired", "renew the certificate in `ssl.certificate.location`"),
    (_OWN_CERTIFICATE.pattern, "the brokers want a certificate of yours that they trust: check "
                               "`ssl.certificate.location` and `ssl.key.location`"),
    (r"plaintext broker listener\?", "this port speaks no TLS: check `security.protocol` and the port"),
    (r"ssl listener\?", "this port wants TLS: set `security.protocol: SSL` or `SASL_SSL`"),
    ("disconnected while requesting apiversion|during sasl",
     "the broker hung up at once: check `security.protocol` against what this port speaks"),
)  # fmt: skip
NO_PLACES: Final[Mapping[str, Span]] = {}
QUOTA: Final = "a quota of the brokers (`kafka-configs.sh --describe --entity-type clients`, or `users`)"
ADVERTISED_REMEDY: Final = (
    "a broker is advertised by that name: `advertised.listeners` in its server.properties needs one that this machine "
    "reaches; is the broker up?"
)
USUAL_REMEDY: Final = "check `bootstrap.servers`, `security.protocol`, and that the brokers are up"


def find_remedy(message: str) -> str:
    """Return what to do about librdkafka's message."""
    return next((help for sign, help in _REMEDIES if re.search(sign, message, re.IGNORECASE)), USUAL_REMEDY)


def split_message(message: str) -> tuple[str, str]:
    """Return the server of librdkafka's message (empty where it names none), and the cause."""
    message = _TAIL.sub("", _INTERNAL.sub("", message))
    match = _SERVER.match(message)
    return (match["server"], message[match.end() :]) if match else ("", message)


def unusable_settings(message: str, config: Mapping[str, str], places: Mapping[str, Span] = NO_PLACES) -> Invalid:
    """Return the error for settings that librdkafka refuses to create a client from.

    Its place is that of the setting whose file is missing, or that the message names.
    """
    missing_files = {key: f"{key}: there is no file {value}" for key, value in config.items()
            if key.endswith(".location") and not Path(value).exists()}  # fmt: skip
    named_settings = [key for key in config if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", message)]
    key = next(iter(missing_files), "") or max(named_settings, key=len, default="")
    span = places.get(key) or places.get("")
    help = find_remedy(message)
    return Invalid(
        [
            refused_setting(
                "; ".join(missing_files.values()) or message,
                span,
                "" if missing_files or help == USUAL_REMEDY else help,
            )
        ]
    )


def refused_setting(message: str, span: Span | None, help: str = "") -> Diagnostic:
    """Return the error for librdkafka's message about a setting, or about several together."""
    help = help or "correct it under `kafka:` of the environment; the names are librdkafka's"
    return error(codes.K203, "a setting of the Kafka client is wrong", message, help=help, span=span)


_WRONG_PORTS: Final[Mapping[PortProtocol, tuple[str, str]]] = {
    PortProtocol.CONTROLLER: ("this is a controller's port (KRaft)", "`bootstrap.servers` needs a broker's port"),
    PortProtocol.HTTP: ("this port speaks HTTP, so it is not a broker's",
                    "`bootstrap.servers` needs a broker's port; is this one Connect's?"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Retry:
    """How often the first contact is tried, and the pause after the first attempt; it grows."""

    attempts: int = 1
    delay: float = 2.0

    def pause(self, attempt: int) -> float:
        """Return the seconds to wait after the attempt of that number: longer each time, different for each process."""
        return min(MAX_PAUSE_S, self.delay * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)


@dataclass(slots=True)
class Throttling:
    """How long brokers slowed this process down because of quotas, in seconds, by their addresses."""

    _seconds: dict[str, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, servers: str, seconds: float) -> None:
        with self._lock:
            self._seconds[servers] = self._seconds.get(servers, 0.0) + seconds

    def seconds(self, servers: str) -> float:
        return self._seconds.get(servers, 0.0)


THROTTLING = Throttling()  # of all clients of this process: they share the quota


NOTICEABLE_THROTTLE_S = 0.1  # there are hundreds of shorter pauses; only their sum matters


class Contact:
    """Collects from the callbacks of a client why no broker answers; `config` is that client's."""

    def __init__(self, config: Mapping[str, str], mask: Mask, retry: Retry | None = None) -> None:
        self.refused: KplanError | None = None
        self.trouble = ""
        self.retries = 0
        self._config = config
        self._mask = mask
        self._retry = retry or Retry()
        self._all_down = 0.0  # when every broker was first down

    @property
    def servers(self) -> list[str]:
        return [part.strip() for part in self._config.get("bootstrap.servers", "").split(",") if part.strip()]

    @property
    def _protocol(self) -> str:
        return self._config.get("security.protocol", "plaintext").lower()

    def note_error(self, problem: Any) -> None:
        """Remember a KafkaError; a refusal is not replaced by a lesser error."""
        message = self._mask.mask(problem.str())
        if problem.name() == "_ALL_BROKERS_DOWN":
            self._all_down = self._all_down or time.monotonic()
        elif problem.name() in ("_AUTHENTICATION", "_SSL") or _OWN_CERTIFICATE.search(message):
            # librdkafka's guess at the wrong protocol may be wrong, for example when a broker is stopping
            if _CONTINUES.search(message):
                self.trouble = message
            else:
                self.refused = self.refused or self._make_refusal(message)
        elif _HTTP_SIZE in message and len(self.servers) == 1:
            self.refused = self.refused or _wrong_port_error(self.servers[0], PortProtocol.HTTP)
        elif find_remedy(self.trouble) == USUAL_REMEDY:  # otherwise it is more precise than this
            self.trouble = message

    def note_throttle(self, event: Any) -> None:
        """Remember and log that a broker slows this client down; an event of no seconds is the end of it."""
        if event.throttle_time > 0:
            THROTTLING.add(self._config.get("bootstrap.servers", ""), event.throttle_time)
            level = logging.WARNING if event.throttle_time >= NOTICEABLE_THROTTLE_S else logging.DEBUG
            log.log(
                level, "broker %s slows kplan down by %.1f s: a quota is used up", event.broker_id, event.throttle_time
            )

    def explain_throttling(self, problem: KplanError) -> KplanError:
        """Return the problem; where brokers slowed kplan down before, its help names the quota."""
        seconds = THROTTLING.seconds(self._config.get("bootstrap.servers", ""))
        if seconds and QUOTA not in (problem.help or ""):
            hint = f"{QUOTA} slowed this client down by {seconds:.1f} s in all; raise it, or `timeouts: request`"
            problem.help = "; ".join(filter(None, (hint, problem.help)))
        return problem

    def _make_refusal(self, message: str) -> KplanError:
        """Return the error of a refused authentication."""
        callback: Any = self._config.get("oauth_cb")  # of a login to a cloud
        own_failure = getattr(callback, "failure", None)
        if _NO_TOKEN.search(message) and isinstance(own_failure, KplanError):
            return own_failure
        if _NO_TOKEN.search(message):
            return missing_token_error(_NO_TOKEN.sub("", message), self._config.get(TOKEN_URL, ""))
        server, cause = split_message(message)
        if "certificate verify failed" in cause:
            reason = find_certificate_problem(server, self._config)
            cause = f"the broker's certificate is refused: {reason}" if reason else cause
        if _NO_MECHANISM.search(cause):
            return self._no_sasl_error(server)
        code = codes.K313 if "SASL" in cause else codes.K317
        help = getattr(callback, "remedy", "") if code is codes.K313 else ""
        return Denied(f"{server}: {cause}" if server else cause, code=code, help=help or find_remedy(cause))

    def _no_sasl_error(self, server: str) -> Unreachable:
        """Return the error for a listener that has no SASL mechanism at all."""
        uses_tls = "ssl" in self._protocol
        if detect_protocol(server, uses_tls) is PortProtocol.CONTROLLER:
            return _wrong_port_error(server, PortProtocol.CONTROLLER)
        help = f"set `security.protocol: {'SSL' if uses_tls else 'PLAINTEXT'}`, or take the port of a SASL listener"
        return misdirected_error(f"{server}: this listener has no SASL", help)

    def unreachable_error(self, message: str = "") -> KplanError:
        """Return why there is no answer, as far as is known."""
        if self.refused is not None:
            return self.refused
        server, cause = split_message(self.trouble or self._find_wrong_protocol() or message)
        servers = server or self._config.get("bootstrap.servers", "")
        if _HTTP_SIZE in cause:
            return _wrong_port_error(servers, PortProtocol.HTTP)
        if not cause:
            token_url = self._config.get(TOKEN_URL, "")  # librdkafka may still be trying there, without a word
            help = f"; or the token endpoint {_strip_login(token_url)} gives no token yet" if token_url else ""
            return Unreachable(f"no broker answered at {servers}", help=USUAL_REMEDY + help)
        if server and server not in self.servers and find_remedy(cause) == USUAL_REMEDY:
            return Unreachable(f"the brokers send clients to {server}: {cause}", help=ADVERTISED_REMEDY)
        failure = Unreachable(f"{servers}: {cause}", help=find_remedy(cause))
        if _CONTINUES.search(cause):  # another attempt would reach the same port
            failure.error_class = ErrorClass.FATAL
        return failure

    @staticmethod
    def _may_pass(answer: Any, end: float) -> bool:
        """Return whether another attempt may help: the broker did not answer, and there is time left."""
        problem = answer.exception()
        return problem is not None and problem.args[0].name() in SILENT_ERRORS and time.monotonic() < end

    def _find_wrong_protocol(self) -> str:
        """Return what librdkafka does not report: that a port expects TLS."""
        server = next(iter(self.servers), "")
        protocol = self._protocol
        return "" if "ssl" in protocol or not _speaks_tls(server) else f"security.protocol is {protocol}: SSL listener?"

    def describe_cluster(self, admin: Any, timeout: float, map_error: Callable[[BaseException], KplanError]) -> Any:
        """Return who the cluster is, with retries while they may help. Raises Denied or Unreachable with the cause.

        An attempt that took the whole timeout is the last one: a server that is silent for that long is not starting.
        """
        for attempt in range(1, self._retry.attempts + 1):
            started = time.monotonic()
            try:
                with WAITS.add(f"reading {', '.join(self.servers)}", timeout):
                    return self._attempt(admin, timeout, map_error, attempt)
            except KplanError as problem:
                timed_out = time.monotonic() - started >= timeout
                if problem.error_class is not ErrorClass.RETRIABLE or timed_out or attempt == self._retry.attempts:
                    raise
                self._wait(problem, attempt)
        raise AssertionError("the last attempt returns or raises")

    def _wait(self, problem: KplanError, attempt: int) -> None:
        pause = self._retry.pause(attempt)
        self.retries += 1
        log.warning("%s; attempt %d of %d in %.1f s", problem.message, attempt + 1, self._retry.attempts, pause,
                    extra=RETRY)  # fmt: skip
        with WAITS.add(f"waiting to try {', '.join(self.servers)} again", pause):
            time.sleep(pause)

    def _attempt(
        self, admin: Any, timeout: float, map_error: Callable[[BaseException], KplanError], attempt: int
    ) -> Any:
        """Return who the cluster is, by one request. Raises soon after the cause of a failure is known."""
        admin.poll(0)
        started = time.monotonic()
        end = started + timeout
        answer = admin.describe_cluster(request_timeout=min(ATTEMPT_TIMEOUT_S, timeout))
        max_down_s = min(ALL_DOWN_TIMEOUT_S if attempt == 1 else STILL_DOWN_TIMEOUT_S, timeout)
        probed = False
        while not wait([answer], 0.05).done or self._may_pass(answer, end):
            admin.poll(0)
            is_down = self._all_down and time.monotonic() - max(self._all_down, started) > max_down_s
            if self.refused or is_down or time.monotonic() > end + 1:
                break
            if answer.done():
                refresh_metadata(admin, min(PROBE_TIMEOUT_S, timeout))
                answer = admin.describe_cluster(request_timeout=min(ATTEMPT_TIMEOUT_S, timeout))
            if not probed and not self._all_down and time.monotonic() - started > min(PROBE_AFTER_S, timeout / 2):
                probed = True
                self.refused = self._probe()
        log.debug("describe cluster -> %s %.3f s", "answered" if answer.done() else "no answer",
                  time.monotonic() - started)  # fmt: skip
        if answer.done() and answer.exception() is None:
            self.refused, self.trouble, self._all_down = None, "", 0.0
            return answer.result()
        admin.poll(0)
        problem = map_error(answer.exception()) if answer.done() else None
        if isinstance(problem, Denied):
            raise problem
        raise self.unreachable_error(self._mask.mask(problem.message) if problem else "")

    def _probe(self) -> KplanError | None:
        """Return what is wrong with the addresses: one is not a broker's.

        It is an error even next to a broker's: librdkafka (2.16) that asks a controller first asks no other server.
        """
        uses_tls = "ssl" in self._protocol
        protocols = ((server, detect_protocol(server, uses_tls)) for server in self.servers[:MAX_PROBED])
        return next(
            (_wrong_port_error(server, protocol) for server, protocol in protocols if protocol in _WRONG_PORTS), None
        )


def _wrong_port_error(server: str, protocol: PortProtocol) -> Unreachable:
    message, help = _WRONG_PORTS[protocol]
    return misdirected_error(f"{server}: {message}", help)


def missing_token_error(cause: str, url: str) -> KplanError:
    """Return the error for a token endpoint that gave no token: it cannot be reached, is not trusted, or refuses."""
    endpoint = f"token endpoint {_strip_login(url)}"
    if _NO_ANSWER.search(cause):
        failure = Unreachable(
            f"{endpoint}: {cause}", help=f"check `{TOKEN_URL}`, and that the issuer is up and reachable from here"
        )
        failure.error_class = ErrorClass.FATAL  # librdkafka asks again only after ten seconds
        return failure
    if _NO_TRUST.search(cause):
        help = "put the authority that signed the endpoint's certificate into `https.ca.location`"
        return Denied(f"{endpoint}: {cause}", code=codes.K317, help=help)
    help = (
        f"check `sasl.oauthbearer.client.id`, `sasl.oauthbearer.client.secret`, `sasl.oauthbearer.scope` and the path "
        f"of `{TOKEN_URL}`"
    )
    return Denied(f"{endpoint} issues no token: {cause}", code=codes.K336, help=help)


def _strip_login(url: str) -> str:
    """Return the URL as it may be shown: without a login or a query."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def misdirected_error(message: str, help: str) -> Unreachable:
    """Return the error for a port that is open and wrong: no further attempt can help."""
    failure = Unreachable(message, code=codes.K334, help=help)
    failure.error_class = ErrorClass.FATAL
    return failure


def refresh_metadata(admin: Any, seconds: float) -> None:
    """Ask any living broker for metadata: requests wait for the broker that it names, even if that one is dead."""
    with suppress(Exception):  # the next request reports the error
        admin.list_topics("__consumer_offsets", timeout=seconds)


def find_certificate_problem(server: str, config: Mapping[str, str]) -> str:
    """Return why the server's certificate is refused, which librdkafka does not report; empty where unknown."""
    try:
        context = ssl.create_default_context(cafile=config.get("ssl.ca.location"))
        context.check_hostname = config.get("ssl.endpoint.identification.algorithm", "https") != "none"
        _shake_hands(server, context)
    except ssl.SSLCertVerificationError as refusal:
        return refusal.verify_message.rstrip(".")
    except (OSError, ValueError):
        pass
    return ""


def _speaks_tls(server: str) -> bool:
    try:
        _shake_hands(server, create_unverified_context())
    except (OSError, ValueError):
        return False
    return True


def _shake_hands(server: str, context: ssl.SSLContext) -> None:
    """Perform a TLS handshake with the server. Raises OSError or ValueError."""
    host = server.rpartition(":")[0].strip("[]")
    with open_connection(server, CERTIFICATE_TIMEOUT_S) as connection:
        context.wrap_socket(connection, server_hostname=host).close()
