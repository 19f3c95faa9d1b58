"""Kafka's admin client as kplan uses it: one AdminClient whose answers are awaited, and whose errors are mapped, here."""

from __future__ import annotations

import getpass
import logging
import random
import re
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient

from kplan.diagnostics import (
    Busy,
    Conflict,
    Denied,
    Diagnostic,
    ErrorClass,
    JournalBroken,
    KplanError,
    Rejected,
    Timeout,
    Unreachable,
    Unsupported,
)  # fmt: skip
from kplan.model import Address
from kplan.secrets import Mask, MaskingFilter

K = TypeVar("K")
T = TypeVar("T")

LONGEST_PAUSE: Final = 30.0
ALL_DOWN_SECONDS: Final = 3.0  # every broker refused for this long: no use in waiting for the whole timeout
KPLANS_OWN: Final = ("client.id", "allow.auto.create.topics", "error_cb", "throttle_cb", "logger")


# -- errors -----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Verdict:
    """What an error code means for an admin request; `applied` as in KplanError."""

    error: type[KplanError]
    applied: bool | None = False


def _codes(*names: str) -> frozenset[int]:
    return frozenset(getattr(KafkaError, name) for name in names if hasattr(KafkaError, name))


# facts.md 1.3. `retriable()` is False for all of them, and names differ from Java's, so this is by number.
_CONFLICT = _codes(
    "UNKNOWN_TOPIC_OR_PART", "TOPIC_ALREADY_EXISTS", "GROUP_ID_NOT_FOUND", "ELECTION_NOT_NEEDED",
    "NO_REASSIGNMENT_IN_PROGRESS", "RESOURCE_NOT_FOUND", "DUPLICATE_RESOURCE", "_UNKNOWN_TOPIC", "_UNKNOWN_PARTITION",
    "_NOOP", "_NOENT", "_UNKNOWN_GROUP", "UNKNOWN_TOPIC_ID",
)  # fmt: skip
_BUSY = _codes(
    "NOT_CONTROLLER", "LEADER_NOT_AVAILABLE", "NOT_LEADER_FOR_PARTITION", "BROKER_NOT_AVAILABLE", "REPLICA_NOT_AVAILABLE",
    "NETWORK_EXCEPTION", "COORDINATOR_LOAD_IN_PROGRESS", "COORDINATOR_NOT_AVAILABLE", "NOT_COORDINATOR",
    "REBALANCE_IN_PROGRESS", "CONCURRENT_TRANSACTIONS", "KAFKA_STORAGE_ERROR", "REASSIGNMENT_IN_PROGRESS",
    "UNSTABLE_OFFSET_COMMIT", "THROTTLING_QUOTA_EXCEEDED", "_WAIT_COORD", "_WAIT_CACHE", "_RETRY", "_TIMED_OUT_QUEUE",
    "STALE_CTRL_EPOCH", "NOT_ENOUGH_REPLICAS", "OPERATION_NOT_ATTEMPTED", "LISTENER_NOT_FOUND", "FENCED_LEADER_EPOCH",
    "UNKNOWN_LEADER_EPOCH", "STALE_BROKER_EPOCH", "OFFSET_NOT_AVAILABLE", "MEMBER_ID_REQUIRED",
    "PREFERRED_LEADER_NOT_AVAILABLE", "ELIGIBLE_LEADERS_NOT_AVAILABLE", "INCONSISTENT_TOPIC_ID", "STALE_MEMBER_EPOCH",
    "UNRELEASED_INSTANCE_ID", "FETCH_SESSION_ID_NOT_FOUND", "INVALID_FETCH_SESSION_EPOCH", "SHARE_SESSION_NOT_FOUND",
    "INVALID_SHARE_SESSION_EPOCH", "SHARE_SESSION_LIMIT_REACHED", "REBOOTSTRAP_REQUIRED", "TRANSACTION_ABORTABLE",
    "FENCED_STATE_EPOCH", "_QUEUE_FULL", "_ISR_INSUFF", "_NODE_UPDATE", "_IN_PROGRESS", "_PREV_IN_PROGRESS", "_OUTDATED",
    "_INTR", "_PURGE_QUEUE", "_ASSIGNMENT_LOST", "STREAMS_INVALID_TOPOLOGY_EPOCH",
)  # fmt: skip
_UNREACHABLE = _codes("_ALL_BROKERS_DOWN", "_RESOLVE", "_UNKNOWN_BROKER")
_UNKNOWN_OUTCOME = _codes(
    "REQUEST_TIMED_OUT", "UNKNOWN", "_TIMED_OUT", "_TRANSPORT", "_BAD_MSG", "_DESTROY", "_DESTROY_BROKER", "_FAIL",
    "_MSG_TIMED_OUT", "_PURGE_INFLIGHT", "_PARTIAL", "_BAD_COMPRESSION", "_UNDERFLOW", "_CRIT_SYS_RESOURCE",
    "NOT_ENOUGH_REPLICAS_AFTER_APPEND",
)  # fmt: skip
_DENIED = _codes(
    "TOPIC_AUTHORIZATION_FAILED", "GROUP_AUTHORIZATION_FAILED", "CLUSTER_AUTHORIZATION_FAILED",
    "TRANSACTIONAL_ID_AUTHORIZATION_FAILED", "DELEGATION_TOKEN_AUTHORIZATION_FAILED", "UNSUPPORTED_SASL_MECHANISM",
    "ILLEGAL_SASL_STATE", "SASL_AUTHENTICATION_FAILED", "_AUTHENTICATION", "_SSL", "DELEGATION_TOKEN_NOT_FOUND",
    "DELEGATION_TOKEN_OWNER_MISMATCH", "DELEGATION_TOKEN_REQUEST_NOT_ALLOWED", "DELEGATION_TOKEN_EXPIRED",
    "INVALID_PRINCIPAL_TYPE", "PRINCIPAL_DESERIALIZATION_FAILURE", "UNACCEPTABLE_CREDENTIAL",
)  # fmt: skip
_UNSUPPORTED = _codes(
    "UNSUPPORTED_VERSION", "SECURITY_DISABLED", "_UNSUPPORTED_FEATURE", "_NOT_IMPLEMENTED", "_UNKNOWN_PROTOCOL",
    "UNSUPPORTED_FOR_MESSAGE_FORMAT", "DELEGATION_TOKEN_AUTH_DISABLED", "UNSUPPORTED_COMPRESSION_TYPE",
    "UNSUPPORTED_ASSIGNOR", "MISMATCHED_ENDPOINT_TYPE", "UNSUPPORTED_ENDPOINT_TYPE", "_NOT_CONFIGURED",
)  # fmt: skip
_LOCK_LOST = _codes(
    "_FENCED", "PRODUCER_FENCED", "INVALID_PRODUCER_EPOCH", "ILLEGAL_GENERATION", "UNKNOWN_MEMBER_ID",
    "FENCED_INSTANCE_ID", "FENCED_MEMBER_EPOCH", "TRANSACTION_COORDINATOR_FENCED", "_FATAL", "STREAMS_TOPOLOGY_FENCED",
)  # fmt: skip
_REJECTED = _codes(
    "OFFSET_OUT_OF_RANGE", "INVALID_MSG", "INVALID_MSG_SIZE", "MSG_SIZE_TOO_LARGE", "OFFSET_METADATA_TOO_LARGE",
    "TOPIC_EXCEPTION", "RECORD_LIST_TOO_LARGE", "INVALID_REQUIRED_ACKS", "INCONSISTENT_GROUP_PROTOCOL", "INVALID_GROUP_ID",
    "INVALID_SESSION_TIMEOUT", "INVALID_COMMIT_OFFSET_SIZE", "INVALID_TIMESTAMP", "INVALID_PARTITIONS",
    "INVALID_REPLICATION_FACTOR", "INVALID_REPLICA_ASSIGNMENT", "INVALID_CONFIG", "INVALID_REQUEST", "POLICY_VIOLATION",
    "OUT_OF_ORDER_SEQUENCE_NUMBER", "DUPLICATE_SEQUENCE_NUMBER", "INVALID_TXN_STATE", "INVALID_PRODUCER_ID_MAPPING",
    "INVALID_TRANSACTION_TIMEOUT", "LOG_DIR_NOT_FOUND", "UNKNOWN_PRODUCER_ID", "NON_EMPTY_GROUP",
    "TOPIC_DELETION_DISABLED", "GROUP_MAX_SIZE_REACHED", "GROUP_SUBSCRIBED_TO_TOPIC", "INVALID_RECORD",
    "INCONSISTENT_VOTER_SET", "INVALID_UPDATE_VERSION", "FEATURE_UPDATE_FAILED", "UNKNOWN_CONTROLLER_ID",
    "UNKNOWN_SUBSCRIPTION_ID", "TELEMETRY_TOO_LARGE", "INVALID_REGISTRATION", "INVALID_RECORD_STATE", "INVALID_VOTER_KEY",
    "DUPLICATE_VOTER", "VOTER_NOT_FOUND", "INVALID_REGULAR_EXPRESSION", "STREAMS_INVALID_TOPOLOGY", "_INVALID_ARG",
    "_CONFLICT", "_STATE", "_FS", "_PARTITION_EOF", "_EXISTING_SUBSCRIPTION", "_ASSIGN_PARTITIONS", "_REVOKE_PARTITIONS",
    "_NO_OFFSET", "_KEY_SERIALIZATION", "_VALUE_SERIALIZATION", "_KEY_DESERIALIZATION", "_VALUE_DESERIALIZATION",
    "_READ_ONLY", "_INVALID_TYPE", "_INCONSISTENT", "_GAPLESS_GUARANTEE", "_MAX_POLL_EXCEEDED", "_APPLICATION",
    "_AUTO_OFFSET_RESET", "_LOG_TRUNCATION", "_INVALID_DIFFERENT_RECORD",
)  # fmt: skip

VERDICTS: Final[Mapping[int, Verdict]] = {
    code: verdict
    for codes, verdict in (
        (_CONFLICT, Verdict(Conflict)), (_BUSY, Verdict(Busy)), (_UNREACHABLE, Verdict(Unreachable)),
        (_UNKNOWN_OUTCOME, Verdict(Timeout, None)), (_DENIED, Verdict(Denied)), (_UNSUPPORTED, Verdict(Unsupported)),
        (_LOCK_LOST, Verdict(JournalBroken, None)), (_REJECTED, Verdict(Rejected)),
    )
    for code in codes
}  # fmt: skip


def classify(code: int, message: str = "") -> Verdict:
    """What to make of an error code, and of the message where that decides (facts.md 1.3).

    A code that this table does not know may have taken effect.
    """
    if code == KafkaError._TIMED_OUT and "waiting for controller" in message:
        return Verdict(Unreachable)  # never sent
    if code == KafkaError.INVALID_PARTITIONS and "already has" in message:
        return Verdict(Conflict)
    if code == KafkaError.INVALID_REPLICATION_FACTOR and "fenced" in message:
        return Verdict(Busy)  # a broker is down; otherwise there are too few
    return VERDICTS.get(code, Verdict(KplanError, None))


def failure(code: int, message: str) -> KplanError:
    """The error for a code, with the server's own words."""
    verdict = classify(code, message)
    problem = verdict.error(message)
    problem.applied = verdict.applied
    return problem


def foreign(exception: BaseException) -> KplanError:
    """What the client raised, as an error of ours."""
    if isinstance(exception, KafkaException) and exception.args and isinstance(exception.args[0], KafkaError):
        return failure(exception.args[0].code(), exception.args[0].str())
    if isinstance(exception, ValueError | TypeError):
        return Rejected(str(exception))
    return KplanError(f"{type(exception).__name__}: {exception}", applied=None)


_NAMED = re.compile(r"for configuration ([\w.]+)|config name: ([\w.]+)|^Configuration '([\w.]+)'|setting ([\w.]+) \(")


def _path(message: str) -> str:
    """The attribute that a broker's message is about, as the path of a diff."""
    if named := _NAMED.search(message):
        return f"/config/{next(filter(None, named.groups()))}"
    if "Tiered Storage" in message or "remote log" in message:
        return "/config/remote.storage.enable"
    if re.search(r"replication factor|replicate the partition", message, re.IGNORECASE):
        return "/replication_factor"
    return "/partitions" if re.search(r"partition\(s\)|[Nn]umber of partitions", message) else ""


def diagnosed(problem: KplanError, address: Address) -> Diagnostic:
    return replace(problem.diagnostic(address), path=_path(problem.message))


# -- the client -------------------------------------------------------------------------------------------------------
def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user in a container
        user = "unknown"
    return f"kplan/{user}@{socket.gethostname()}"


class Client:
    """One AdminClient, kept alive, whose answers are awaited and mapped here."""

    def __init__(self, config: Mapping[str, str], timeout: float, attempts: int, delay: float, secrets: Sequence[str],
                 warn: Callable[[str], None]) -> None:  # fmt: skip
        self.bootstrap = str(config.get("bootstrap.servers", ""))
        self.timeout, self.attempts, self._delay, self._warn = timeout, max(1, attempts), delay, warn
        self._mask = Mask(secrets)
        self._masking = MaskingFilter(self._mask)
        self._logger = logging.getLogger("kplan.kafka")
        self._logger.addFilter(self._masking)
        self._denied: Denied | None = None
        self._trouble = ""
        self._all_down = 0.0  # when every broker was seen down for the first time
        self._cluster: Any = None
        self._lock = threading.Lock()
        for key in sorted(config.keys() & set(KPLANS_OWN)):
            warn(f"kafka: {key} is set by kplan; what the environment says is not used")
        asked: dict[str, Any] = {**config, "client.id": _who(), "allow.auto.create.topics": False}
        asked |= {"error_cb": self._note, "throttle_cb": self._throttled}
        self.admin = AdminClient(asked, logger=self._logger)

    def _note(self, problem: KafkaError) -> None:
        """Remembers the true cause, which only this callback hears (facts.md 1.2)."""
        code, words = problem.code(), self._mask.mask(problem.str())
        if code in (KafkaError._AUTHENTICATION, KafkaError._SSL):
            self._denied = Denied(words)
        elif code == KafkaError._ALL_BROKERS_DOWN:
            self._all_down = self._all_down or time.monotonic()
        else:
            self._trouble = words

    def _throttled(self, event: Any) -> None:
        self._warn(f"broker {event.broker_id} slows kplan down by {event.throttle_time:.1f} s: its quota is used up")

    def cluster(self) -> Any:
        """Who the cluster is, asked once. Raises Denied or Unreachable with the true cause."""
        with self._lock:
            if self._cluster is None:
                self._cluster = self._ask_cluster()
            return self._cluster

    def _ask_cluster(self) -> Any:
        self.admin.poll(0)
        answer = self.admin.describe_cluster(request_timeout=self.timeout)
        while not wait([answer], 0.05).done:
            self.admin.poll(0)
            down = self._all_down and time.monotonic() - self._all_down > min(ALL_DOWN_SECONDS, self.timeout)
            if self._denied or down:
                break
        if answer.done() and answer.exception() is None:
            self._denied, self._trouble, self._all_down = None, "", 0.0
            return answer.result()
        self.admin.poll(0)
        raise self._denied or self._unreachable(answer)

    def _unreachable(self, answer: Future[Any]) -> KplanError:
        problem = foreign(exception) if answer.done() and (exception := answer.exception()) else None
        if isinstance(problem, Denied):
            return problem
        cause = self._trouble or (problem.message if problem else "every broker is down")
        return Unreachable(self._mask.mask(f"{self.bootstrap}: {cause}"),
                           help="check bootstrap.servers, security.protocol, and that the brokers are up")  # fmt: skip

    def answers(self, futures: Mapping[K, Future[Any]]) -> dict[K, Any]:
        """Each future's result, or the KplanError that came of it."""
        pending = set(futures.values())
        deadline = time.monotonic() + self.timeout + 30  # librdkafka answers in time; this is for when it does not
        while pending and time.monotonic() < deadline:
            pending = wait(pending, 0.1).not_done
            self.admin.poll(0)
        return {key: self._answer(future) for key, future in futures.items()}

    def _answer(self, future: Future[Any]) -> Any:
        if not future.done():
            return Timeout(f"no answer within {self.timeout:g} s")
        exception = future.exception()
        return future.result() if exception is None else self.mapped(exception)

    def mapped(self, exception: BaseException) -> KplanError:
        """The exception as an error of ours; a failed authentication is the cause of any silence."""
        problem = foreign(exception)
        problem.message = self._mask.mask(problem.message)
        problem.args = (problem.message,)
        silent = isinstance(problem, Timeout | Unreachable)
        return self._denied if silent and self._denied is not None else problem

    def asked(self, ask: Callable[[], Mapping[K, Future[Any]]]) -> dict[K, Any]:
        """The answers to a request that changes nothing; one that cannot even be formed is Rejected for all."""
        try:
            return self.answers(ask())
        except (KafkaException, ValueError, TypeError) as exception:
            raise self.mapped(exception) from exception

    def retried(self, read: Callable[[], T]) -> T:
        """What `read` returns, asked again while that may help. It must change nothing."""
        for attempt in range(1, self.attempts):
            try:
                return read()
            except KplanError as problem:
                if problem.error_class is not ErrorClass.RETRIABLE:
                    raise
                self.pause(attempt)
        return read()

    def metadata(self) -> Any:
        """All topics and the living brokers, as one broker sees them."""

        def read() -> Any:
            try:
                return self.admin.list_topics(timeout=self.timeout)
            except KafkaException as exception:
                self.admin.poll(0)
                raise self.mapped(exception) from exception

        return self.retried(read)

    def pause(self, attempt: int) -> None:
        """Waits before the next attempt: longer each time, and not as long as everybody else."""
        longest = min(LONGEST_PAUSE, self._delay * 2 ** (attempt - 1))
        time.sleep(longest * random.uniform(0.5, 1.0))

    def close(self) -> None:
        self._logger.removeFilter(self._masking)
