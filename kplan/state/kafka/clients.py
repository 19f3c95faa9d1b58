"""Make the clients of the state's topic, and explain their errors."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from dataclasses import field
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, libversion

from kplan.diagnostics import Denied, Invalid, JournalBroken, KplanError, Span, Unsupported
from kplan.kinds.acl.permissions import Acl, describe_missing, group_prefix
from kplan.model.masks import Mask
from kplan.servers.connection_errors import ATTEMPT_TIMEOUT_S as ATTEMPT_TIMEOUT_S
from kplan.servers.connection_errors import Contact, unusable_settings
from kplan.servers.waits import RETRY
from kplan.values import dataclass

CLIENT_PREFIX: Final = "kplan/"
TRANSACTION_TIMEOUT_S: Final = 15.0
REPEAT_INTERVAL_S: Final = 5.0  # a retry for the same cause is no new warning for so long
# When every broker has gone, librdkafka forgets them all and bootstraps anew, and with it what it was about to ask of a
# group's coordinator: `send_offsets_to_transaction` then never returns (2.16.0, seen when a single broker restarts).
RECOVERY: Final = {"metadata.recovery.strategy": "none"} if libversion()[1] >= 0x020B0000 else {}
# A client drops its first connection for one to the broker by its id, and counts that as a connection again, for which
# it waits as long as half of this; its own value is 100. Failed connections wait longer each time, as usual.
SWIFTNESS: Final[Mapping[str, Any]] = {"reconnect.backoff.ms": 10}
RESERVED_SETTINGS: Final = ("client.id", "allow.auto.create.topics", "error_cb", "throttle_cb", "logger", "group.id",
                     "transactional.id", "isolation.level", "enable.auto.commit", "acks")  # fmt: skip

DENIED = frozenset({29, 30, 31, 53, 58, KafkaError._AUTHENTICATION, KafkaError._SSL})
MISSING = frozenset({3, KafkaError._UNKNOWN_TOPIC, KafkaError._UNKNOWN_PARTITION, 100})
SILENT = frozenset({KafkaError._TRANSPORT, KafkaError._ALL_BROKERS_DOWN, KafkaError._RESOLVE, KafkaError._TIMED_OUT,
                    KafkaError._TIMED_OUT_QUEUE, KafkaError.REQUEST_TIMED_OUT})  # fmt: skip
TRANSIENT = SILENT | {3, 5, 6, 8, 9, 13, 14, 15, 16, 27, 51, 56, 74, 75, 78,
                    KafkaError._WAIT_COORD, KafkaError._WAIT_CACHE}  # fmt: skip
EVICTED = frozenset({25, 47, 82, 90, KafkaError._FENCED})  # this member, or this producer, is no more
STALE_GENERATION = frozenset({22, 27})  # a contender joined: the same member has a newer generation in a moment
PERMANENT = frozenset({10, 18, 35, KafkaError._INVALID_ARG}) | DENIED  # too large, unsupported, not allowed


def find_problem(exception: BaseException) -> KafkaError | None:
    args = exception.args if isinstance(exception, KafkaException) else ()
    return args[0] if args and isinstance(args[0], KafkaError) else None


def find_code(exception: BaseException) -> int:
    problem = find_problem(exception)
    return KafkaError._FAIL if problem is None else problem.code()


@dataclass(slots=True)
class Clients:
    """Make clients of this cluster, and keep what only their callbacks know: why a broker does not answer.

    `logger` is kplan's own, `library` librdkafka's.
    """

    config: Mapping[str, str]
    topic: str
    timeout: float
    mask: Mask
    logger: logging.Logger
    library: logging.Logger
    contact: Contact
    places: Mapping[str, Span] = field(default_factory=dict)  # of the settings in the file that has them
    _last_retry: tuple[str, float] = ("", 0.0)  # what was logged, and when

    @property
    def prefix(self) -> str:
        """Return the prefix of groups and transactional ids: `kplan.` for `__kplan`. Another topic has other locks."""
        return group_prefix(self.topic)

    def name_group(self, stack: str) -> str:
        return self.prefix + stack

    def make_settings(self, client: str, **own: Any) -> dict[str, Any]:
        configured = {key: value for key, value in self.config.items() if key not in RESERVED_SETTINGS}
        return {**SWIFTNESS, **configured, **RECOVERY, "client.id": client, "error_cb": self.contact.note_error,
                "throttle_cb": self.contact.note_throttle, **own}  # fmt: skip

    def log_request(self, what: str, started: float, number: int = 1, refusal: BaseException | None = None) -> None:
        """Log a request: how many things it was about, why it was refused, and how long it took."""
        refused = "" if refusal is None else f" -> {self._describe(refusal)}"
        self.logger.debug("%s (%d)%s %.3f s", what, number, refused, time.monotonic() - started)

    def pause(self, doing: str, cause: BaseException | str, seconds: float) -> None:
        """Wait before the next try, and log why there is one; the same cause is a warning every few seconds only."""
        text = f"{doing}: {cause if isinstance(cause, str) else self._describe(cause)}"
        now = time.monotonic()
        is_repeated = text == self._last_retry[0] and now - self._last_retry[1] < REPEAT_INTERVAL_S
        if not is_repeated:
            self._last_retry = text, now
        level = logging.DEBUG if is_repeated else logging.WARNING
        self.logger.log(level, "%s: %s; again in %.2f s", self.topic, text, seconds, extra=RETRY)
        time.sleep(seconds)

    def _describe(self, exception: BaseException) -> str:
        problem = find_problem(exception)
        return f"{problem.str()} ({problem.name()})" if problem else str(exception) or type(exception).__name__

    def make_consumer(self, client: str, group: str, **own: Any) -> Consumer:
        usual = {"group.id": group, "enable.auto.commit": False, "isolation.level": "read_committed",
                 "allow.auto.create.topics": False}  # fmt: skip
        try:
            return Consumer(self.make_settings(client, **{**usual, **own}), logger=self.library)
        except (KafkaException, ValueError, TypeError, AttributeError, ImportError) as exception:
            raise self.make_settings_error(exception) from exception

    def make_settings_error(self, exception: BaseException) -> Invalid:
        """Return the error for settings of which no client can be made."""
        return unusable_settings(self.mask.mask(str(find_problem(exception) or exception)), self.config, self.places)

    def to_kplan_error(self, exception: BaseException, doing: str, resource: str = "") -> KplanError:
        """Return the exception as an error of kplan. `resource` is what a refusal is about where its code does not
        say."""
        problem = find_problem(exception)
        if isinstance(exception, KplanError):
            return exception
        if problem is None:
            return JournalBroken(f"{doing}: {self.mask.mask(f'{type(exception).__name__}: {exception}')}")
        return self.explain_problem(problem, doing, resource)

    def explain_problem(self, problem: KafkaError, doing: str, resource: str = "") -> KplanError:
        words = self.mask.mask(problem.str())
        if problem.code() in _ACLS:
            kind, operation = _ACLS[problem.code()]
            name, prefixed = (self.topic, False) if kind == "Topic" else (self.prefix, kind != "Cluster")
            denial, help = describe_missing(
                Acl(operation or resource, kind, name if kind != "Cluster" else "", prefixed), self.config
            )
            return Denied(f"{doing}: {denial}", help=help)
        if problem.code() in SILENT | DENIED:
            failure = self.contact.unreachable_error(f"{words} ({problem.name()})")
            explained = type(failure)(f"{doing}: {failure.message}", help=failure.help, code=failure.entry)
            explained.error_class = failure.error_class
            return self.contact.explain_throttling(explained)
        words = f"{doing}: {words} ({problem.name()})"
        if problem.code() == 35:
            return Unsupported(words)
        if problem.code() == KafkaError.INVALID_TIMESTAMP:
            return JournalBroken(words, help="the clocks of this machine and of the brokers differ: set them, "
                                 f"or set message.timestamp.type=LogAppendTime on {self.topic}")  # fmt: skip
        return JournalBroken(words)


_ACLS: Final[Mapping[int, tuple[str, str]]] = {  # the operation, where it is always the same one
    29: ("Topic", ""), 30: ("Group", ""), 31: ("Cluster", ""), 53: ("TransactionalId", "Write"),
}  # fmt: skip
