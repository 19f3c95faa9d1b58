"""Why brokers let nobody in or do not answer: librdkafka's words for it, a look at a certificate, and the way out."""

from __future__ import annotations

import logging
import random
import re
import socket
import ssl
import struct
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import wait
from contextlib import suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any, Final

from kplan.diagnostics import Denied, Diagnostic, ErrorClass, Invalid, KplanError, Span, Unreachable, codes, error
from kplan.model.masks import Mask
from kplan.servers.waits import RETRY, WAITS

log = logging.getLogger("kplan.servers.kafka")  # one name for all that is done with brokers

ALL_DOWN_SECONDS: Final = 3.0  # every broker refused for this long: no use in waiting for the whole timeout
STILL_DOWN_SECONDS: Final = 1.0  # the same, in a later attempt
TRY_SECONDS: Final = 5.0  # for one answer to a question that can be asked again
# A request to a group's coordinator never ends early, it is only waited for no longer: librdkafka 2.16 aborts the
# process where a coordinator answers one that has timed out (https://github.com/confluentinc/librdkafka/issues/4605).
NEVER_SECONDS: Final = 3600.0
SILENT: Final = ("_TIMED_OUT", "_TIMED_OUT_QUEUE", "_TRANSPORT", "REQUEST_TIMED_OUT")
LOOK_SECONDS: Final = 5.0  # at a certificate
PROBE_AFTER_S: Final = 2.0  # without an answer; ordinary brokers answer in less
PROBE_TIMEOUT_S: Final = 2.0
MAX_PROBED: Final = 5  # servers
LONGEST_PAUSE_S: Final = 30.0
_API_VERSIONS, _METADATA = 18, 3  # https://kafka.apache.org/protocol#protocol_api_keys
_SERVER = re.compile(r"(?:\w+://)?(?P<server>[^/\s]+)/\S+: ")
_TAIL = re.compile(r" \(after \d+ms in state .*\)$")
_INTERNAL = re.compile(r"error:[0-9A-F]{8}:SSL routines::")
_OWN_CERTIFICATE = re.compile(
    r"alert (?:bad certificate|certificate required|certificate expired|certificate unknown|unknown ca)"
)
_HTTP_SIZE = "1213486160"  # the letters HTTP, read as the size of an answer
_NO_MECHANISM = re.compile(r"supported mechanisms:\s*$")
_CONTINUES = re.compile(r"PLAINTEXT broker listener\?|SSL listener\?")

# What librdkafka or OpenSSL say, and what to do about it; the first that fits counts.
_WAYS_OUT: Final = (
    ("no provider for sasl mechanism gssapi",
     "write a `sasl.mechanism` into `kafka:`, such as PLAIN or SCRAM-SHA-512; without one it is GSSAPI"),
    ("unsupported sasl mechanism", "set `sasl.mechanism` to one that the brokers support"),
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
USUAL: Final = "check `bootstrap.servers`, `security.protocol`, and that the brokers are up"


def way_out(words: str) -> str:
    """What to do about it."""
    return next((help for sign, help in _WAYS_OUT if re.search(sign, words, re.IGNORECASE)), USUAL)


def plain(words: str) -> tuple[str, str]:
    """The server that librdkafka's words are about (empty where they name none), and what is the matter with it."""
    words = _TAIL.sub("", _INTERNAL.sub("", words))
    found = _SERVER.match(words)
    return (found["server"], words[found.end() :]) if found else ("", words)


def unusable(words: str, config: Mapping[str, str], places: Mapping[str, Span] = NO_PLACES) -> Invalid:
    """The error for settings of which no client can be made, because librdkafka refuses them.

    It stands at the place of the setting that is missing its file, or that the words name.
    """
    lost = {key: f"{key}: there is no file {value}" for key, value in config.items()
            if key.endswith(".location") and not Path(value).exists()}  # fmt: skip
    named = [key for key in config if re.search(rf"(?<![\w.]){re.escape(key)}(?![\w.])", words)]
    key = next(iter(lost), "") or max(named, key=len, default="")
    span = places.get(key) or places.get("")
    help = way_out(words)
    return Invalid([refused_setting("; ".join(lost.values()) or words, span, "" if lost or help == USUAL else help)])


def refused_setting(words: str, span: Span | None, help: str = "") -> Diagnostic:
    """Return the error for what librdkafka says of a setting, or of several together."""
    help = help or "correct it under `kafka:` of the environment; the names are librdkafka's"
    return error(codes.K203, "a setting of the Kafka client is wrong", words, help=help, span=span)


class Protocol(StrEnum):
    """What a port speaks, as far as one small request can tell."""

    BROKER = "a Kafka broker"
    CONTROLLER = "a KRaft controller"
    HTTP = "HTTP"
    TLS = "TLS"
    UNKNOWN = ""


_WRONG_PORTS: Final[Mapping[Protocol, tuple[str, str]]] = {
    Protocol.CONTROLLER: ("this is a controller's port (KRaft)", "`bootstrap.servers` needs a broker's port"),
    Protocol.HTTP: ("this port speaks HTTP, so it is not a broker's",
                    "`bootstrap.servers` needs a broker's port; is this one Connect's?"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Retry:
    """How often the first contact is tried, and the pause after the first try; it grows."""

    attempts: int = 1
    delay: float = 2.0

    def pause(self, attempt: int) -> float:
        """Seconds to wait after the attempt of that number: longer each time, and different for each process."""
        return min(LONGEST_PAUSE_S, self.delay * 2.0 ** (attempt - 1)) * random.uniform(0.5, 1.0)


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


THROTTLING = Throttling()  # of all clients of this process: the quota is theirs together


NOTICEABLE_THROTTLE_S = 0.1  # shorter pauses come by the hundred, and only their sum matters


class Contact:
    """What the callbacks of a client hear of why no broker answers; `config` is that client's."""

    def __init__(self, config: Mapping[str, str], mask: Mask, retry: Retry | None = None) -> None:
        self.refused: KplanError | None = None
        self.trouble = ""
        self.retries = 0
        self._config = config
        self._mask = mask
        self._retry = retry or Retry()
        self._all_down = 0.0  # when every broker was seen down for the first time

    @property
    def servers(self) -> list[str]:
        return [part.strip() for part in self._config.get("bootstrap.servers", "").split(",") if part.strip()]

    @property
    def _protocol(self) -> str:
        return self._config.get("security.protocol", "plaintext").lower()

    def note(self, problem: Any) -> None:
        """Remembers what a KafkaError says; a refusal is not forgotten for a lesser trouble."""
        words = self._mask.mask(problem.str())
        if problem.name() == "_ALL_BROKERS_DOWN":
            self._all_down = self._all_down or time.monotonic()
        elif problem.name() in ("_AUTHENTICATION", "_SSL") or _OWN_CERTIFICATE.search(words):
            # a guess at the wrong protocol may be wrong itself, as when a broker is just stopping
            if _CONTINUES.search(words):
                self.trouble = words
            else:
                self.refused = self.refused or self._refusal(words)
        elif _HTTP_SIZE in words and len(self.servers) == 1:
            self.refused = self.refused or _wrong_port(self.servers[0], Protocol.HTTP)
        elif way_out(self.trouble) == USUAL:  # else it tells more than this
            self.trouble = words

    def note_throttle(self, event: Any) -> None:
        """Remember and log that a broker slows this client down; an event of no seconds says that it ended."""
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
            words = f"{QUOTA} slowed this client down by {seconds:.1f} s in all; raise it, or `timeouts: request`"
            problem.help = "; ".join(filter(None, (words, problem.help)))
        return problem

    def _refusal(self, words: str) -> KplanError:
        server, cause = plain(words)
        if "certificate verify failed" in cause:
            why = certificate_problem(server, self._config)
            cause = f"the broker's certificate is refused: {why}" if why else cause
        if _NO_MECHANISM.search(cause):
            return self._without_sasl(server)
        code = codes.K313 if "SASL" in cause else codes.K317
        return Denied(f"{server}: {cause}" if server else cause, code=code, help=way_out(cause))

    def _without_sasl(self, server: str) -> Unreachable:
        """The error for a listener that knows no SASL mechanism at all."""
        tls = "ssl" in self._protocol
        if spoken_at(server, tls) is Protocol.CONTROLLER:
            return _wrong_port(server, Protocol.CONTROLLER)
        help = f"set `security.protocol: {'SSL' if tls else 'PLAINTEXT'}`, or take the port of a SASL listener"
        return misdirected(f"{server}: this listener has no SASL", help)

    def unreachable(self, words: str = "") -> KplanError:
        """Why there is no answer, as far as is known."""
        if self.refused is not None:
            return self.refused
        server, cause = plain(self.trouble or self._wrong_protocol() or words)
        servers = server or self._config.get("bootstrap.servers", "")
        if _HTTP_SIZE in cause:
            return _wrong_port(servers, Protocol.HTTP)
        if not cause:
            return Unreachable(f"no broker answered at {servers}", help=USUAL)
        found = Unreachable(f"{servers}: {cause}", help=way_out(cause))
        if _CONTINUES.search(cause):  # another attempt meets the same port
            found.error_class = ErrorClass.FATAL
        return found

    @staticmethod
    def _may_pass(answer: Any, end: float) -> bool:
        """Whether another try may help: the broker that was asked did not answer, and there is time left."""
        problem = answer.exception()
        return problem is not None and problem.args[0].name() in SILENT and time.monotonic() < end

    def _wrong_protocol(self) -> str:
        """What librdkafka does not say of a port that wants TLS: that it does."""
        server = next(iter(self.servers), "")
        protocol = self._protocol
        return "" if "ssl" in protocol or not _speaks_tls(server) else f"security.protocol is {protocol}: SSL listener?"

    def first_answer(self, admin: Any, timeout: float, mapped: Callable[[BaseException], KplanError]) -> Any:
        """Who the cluster is, asked again while that may help. Raises Denied or Unreachable with the cause.

        An attempt that took the whole timeout is the last one: a server that is silent for so long is not starting.
        """
        for attempt in range(1, self._retry.attempts + 1):
            started = time.monotonic()
            try:
                with WAITS.on(f"reading {', '.join(self.servers)}", timeout):
                    return self._answer(admin, timeout, mapped, attempt)
            except KplanError as problem:
                late = time.monotonic() - started >= timeout
                if problem.error_class is not ErrorClass.RETRIABLE or late or attempt == self._retry.attempts:
                    raise
                self._wait(problem, attempt)
        raise AssertionError("the last attempt returns or raises")

    def _wait(self, problem: KplanError, attempt: int) -> None:
        pause = self._retry.pause(attempt)
        self.retries += 1
        log.warning("%s; attempt %d of %d in %.1f s", problem.message, attempt + 1, self._retry.attempts, pause,
                    extra=RETRY)  # fmt: skip
        with WAITS.on(f"waiting to try {', '.join(self.servers)} again", pause):
            time.sleep(pause)

    def _answer(self, admin: Any, timeout: float, mapped: Callable[[BaseException], KplanError], attempt: int) -> Any:
        """Who the cluster is, by one request. Raises soon after the cause of a failure is heard."""
        admin.poll(0)
        started = time.monotonic()
        end = started + timeout
        answer = admin.describe_cluster(request_timeout=min(TRY_SECONDS, timeout))
        patience = min(ALL_DOWN_SECONDS if attempt == 1 else STILL_DOWN_SECONDS, timeout)
        probed = False
        while not wait([answer], 0.05).done or self._may_pass(answer, end):
            admin.poll(0)
            down = self._all_down and time.monotonic() - max(self._all_down, started) > patience
            if self.refused or down or time.monotonic() > end + 1:
                break
            if answer.done():
                relearn(admin, min(PROBE_TIMEOUT_S, timeout))
                answer = admin.describe_cluster(request_timeout=min(TRY_SECONDS, timeout))
            if not probed and not self._all_down and time.monotonic() - started > min(PROBE_AFTER_S, timeout / 2):
                probed = True
                self.refused = self._probe()
        log.debug("describe cluster -> %s %.3f s", "answered" if answer.done() else "no answer",
                  time.monotonic() - started)  # fmt: skip
        if answer.done() and answer.exception() is None:
            self.refused, self.trouble, self._all_down = None, "", 0.0
            return answer.result()
        admin.poll(0)
        problem = mapped(answer.exception()) if answer.done() else None
        if isinstance(problem, Denied):
            raise problem
        raise self.unreachable(self._mask.mask(problem.message) if problem else "")

    def _probe(self) -> KplanError | None:
        """What is wrong with the addresses: one belongs to something else than a broker.

        That counts beside a broker's too: librdkafka (2.16) that asks a controller first does not ask the next one.
        """
        tls = "ssl" in self._protocol
        spoken = ((server, spoken_at(server, tls)) for server in self.servers[:MAX_PROBED])
        return next((_wrong_port(server, each) for server, each in spoken if each in _WRONG_PORTS), None)


def _wrong_port(server: str, protocol: Protocol) -> Unreachable:
    words, help = _WRONG_PORTS[protocol]
    return misdirected(f"{server}: {words}", help)


def misdirected(words: str, help: str) -> Unreachable:
    """The error for a port that is open and not the right one: no attempt more can help."""
    found = Unreachable(words, code=codes.K334, help=help)
    found.error_class = ErrorClass.FATAL
    return found


def spoken_at(server: str, tls: bool) -> Protocol:
    """What the port speaks, by its answer to a request for the versions of Kafka's API; brokers answer it to anyone.

    https://kafka.apache.org/protocol#The_Messages_ApiVersions
    """
    body = struct.pack(">hhih", _API_VERSIONS, 0, 1, -1)
    try:
        with _connected(server, PROBE_TIMEOUT_S) as connection:
            stream = _unverified().wrap_socket(connection) if tls else connection
            stream.sendall(struct.pack(">i", len(body)) + body)
            end = time.monotonic() + PROBE_TIMEOUT_S
            head = _received(stream, 14, end)
            if head.startswith(b"HTTP"):
                return Protocol.HTTP
            if head[:1] == b"\x15":  # a TLS alert record
                return Protocol.TLS
            _, correlation, _, count = struct.unpack(">iihi", head)
            if correlation != 1 or not 0 < count < 1000:
                return Protocol.UNKNOWN
            keys = {key for key, _, _ in struct.iter_unpack(">hhh", _received(stream, 6 * count, end))}
    except (OSError, ValueError, struct.error):
        return Protocol.UNKNOWN
    return Protocol.BROKER if _METADATA in keys else Protocol.CONTROLLER


def _received(stream: socket.socket, size: int, end: float) -> bytes:
    """The next bytes, fewer where the stream ends. Raises OSError where they do not come before `end`."""
    data = b""
    while len(data) < size:
        stream.settimeout(max(0.001, end - time.monotonic()))
        part = stream.recv(size - len(data))
        if not part:
            break
        data += part
    return data


def relearn(admin: Any, seconds: float) -> None:
    """Ask any living broker for metadata: requests wait for the broker that it names, also where that is dead."""
    with suppress(Exception):  # what is wrong, the next request says
        admin.list_topics("__consumer_offsets", timeout=seconds)


def certificate_problem(server: str, config: Mapping[str, str]) -> str:
    """Why the server's certificate is refused, which librdkafka does not tell; empty where that cannot be seen."""
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
        _shake_hands(server, _unverified())
    except (OSError, ValueError):
        return False
    return True


def _unverified() -> ssl.SSLContext:
    """For a look at a port: nothing secret is sent, the answer alone matters."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def _shake_hands(server: str, context: ssl.SSLContext) -> None:
    """Returns after a TLS handshake with the server. Raises OSError or ValueError."""
    host = server.rpartition(":")[0].strip("[]")
    with _connected(server, LOOK_SECONDS) as connection:
        context.wrap_socket(connection, server_hostname=host).close()


def _connected(server: str, seconds: float) -> socket.socket:
    host, _, port = server.rpartition(":")
    return socket.create_connection((host.strip("[]"), int(port)), seconds)
