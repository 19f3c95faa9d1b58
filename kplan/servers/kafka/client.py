"""The only admin client of the topics' backend; its answers are awaited and mapped here."""

from __future__ import annotations

import getpass
import logging
import socket
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclOperation,
    AdminClient,
)

from kplan.diagnostics import (
    Denied,
    ErrorClass,
    Invalid,
    KplanError,
    Span,
    Timeout,
    Unreachable,
)
from kplan.kinds.acl.permissions import Acl, describe_missing
from kplan.model.masked_logs import MaskingFilter
from kplan.model.masks import Mask
from kplan.servers.client_properties import ask_librdkafka
from kplan.servers.connection_errors import (
    ATTEMPT_TIMEOUT_S,
    NO_PLACES,
    NOTICEABLE_THROTTLE_S,
    Contact,
    Retry,
    refresh_metadata,
    refused_setting,
    unusable_settings,
)
from kplan.servers.kafka.errors import Forbidden, make_error, map_exception
from kplan.servers.mechanisms import find_unusable_mechanism
from kplan.servers.waits import RETRY, WAITS

K = TypeVar("K")
T = TypeVar("T")

log = logging.getLogger("kplan.servers.kafka")
RESERVED_PROPERTIES: Final = ("client.id", "allow.auto.create.topics", "error_cb", "throttle_cb", "logger")


def _find_client_name() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # there is no such user in a container
        user = "unknown"
    return f"kplan/{user}@{socket.gethostname()}"


def _refuse_unusable_mechanism(config: Mapping[str, str], places: Mapping[str, Span]) -> None:
    """Raise Invalid where the login cannot work. A kplan.yaml is checked before; the process's variables are not."""
    mechanism = find_unusable_mechanism(config, ask_librdkafka)
    if mechanism is not None:
        span = places.get(mechanism.key) or places.get("")
        raise Invalid([refused_setting(mechanism.reason, span, mechanism.help)])


class Client:
    """One AdminClient, kept open, whose answers are awaited and mapped here."""

    def __init__(self, config: Mapping[str, str], timeout: float, attempts: int, delay: float, secrets: Sequence[str],
                 warn: Callable[[str], None], places: Mapping[str, Span] = NO_PLACES) -> None:  # fmt: skip
        self.bootstrap = str(config.get("bootstrap.servers", ""))
        self.timeout, self.attempts, self._warn = timeout, max(1, attempts), warn
        self._retries = 0
        self._mask = Mask(secrets)
        self._masking = MaskingFilter(self._mask)
        self._logger = logging.getLogger("kplan.kafka")
        self._logger.addFilter(self._masking)
        self._cluster: Any = None
        self._lock = threading.Lock()
        for key in sorted(config.keys() & set(RESERVED_PROPERTIES)):
            warn(f"kafka: {key} is set by kplan; what the environment says is not used")
        self.config = config
        self._retry = Retry(self.attempts, delay)
        self._contact = Contact(config, self._mask, self._retry)
        self._failed: tuple[float, KplanError] | None = None  # when the first contact failed, and why
        self.name = _find_client_name()
        _refuse_unusable_mechanism(config, places)
        properties: dict[str, Any] = {**config, "client.id": self.name, "allow.auto.create.topics": False}
        properties |= {"error_cb": self._contact.note_error, "throttle_cb": self._report_throttle}
        try:
            self.admin = AdminClient(properties, logger=self._logger)
        except (KafkaException, ValueError, TypeError, AttributeError, ImportError) as exception:
            raise unusable_settings(self.map_error(exception).message, config, places) from exception

    def _report_throttle(self, event: Any) -> None:
        self._contact.note_throttle(event)
        if event.throttle_time >= NOTICEABLE_THROTTLE_S:
            self._warn(
                f"broker {event.broker_id} slows kplan down by {event.throttle_time:.1f} s: its quota is used up"
            )

    def cluster(self) -> Any:
        """Return who the cluster is, asked once. Raises Denied or Unreachable with the actual cause.

        A thread that waits while another one asks gets the same failure, and does not ask a second time.
        """
        started = time.monotonic()
        with self._lock:
            if self._cluster is None:
                if self._failed is not None and self._failed[0] > started:
                    raise self._failed[1]
                try:
                    self._cluster = self._contact.describe_cluster(self.admin, self.timeout, map_exception)
                except KplanError as failure:
                    self._failed = time.monotonic(), failure
                    raise
            return self._cluster

    @property
    def retries(self) -> int:
        """Return how many requests were sent again so far."""
        return self._retries + self._contact.retries

    def await_answers(
        self, futures: Mapping[K, Future[Any]], what: str = "request", seconds: float | None = None
    ) -> dict[K, Any]:
        """Return each future's result, or its KplanError; after `seconds`, where they are given, a Timeout.

        `what` names the request in the log.
        """
        started = time.monotonic()
        pending = set(futures.values())
        # librdkafka answers in time; this limit applies if it does not
        deadline = time.monotonic() + (self.timeout + 30 if seconds is None else seconds)
        with WAITS.add(f"reading {self.bootstrap}", self.timeout):
            while pending and time.monotonic() < deadline:
                pending = wait(pending, 0.1).not_done
                self.admin.poll(0)
        answers = {key: self._answer_of(future) for key, future in futures.items()}
        self._log_request(what, answers.values(), started)
        return answers

    def _log_request(self, what: str, answers: Collection[Any], started: float) -> None:
        """Log the request: how many items it had, how many were refused, and how long it took."""
        refused = sum(isinstance(answer, KplanError) for answer in answers)
        log.debug("%s (%d)%s %.3f s", what, len(answers), f" -> {refused} refused" if refused else "",
                  time.monotonic() - started)  # fmt: skip

    def _answer_of(self, future: Future[Any]) -> Any:
        if not future.done():
            return self._contact.explain_throttling(Timeout(f"no answer within {self.timeout:g} s"))
        exception = future.exception()
        return future.result() if exception is None else self.map_error(exception)

    def map_error(self, exception: BaseException) -> KplanError:
        """Return the exception as an error of kplan; a failed authentication is the cause of any silence."""
        problem = map_exception(exception)
        problem.message = self._mask.mask(problem.message)
        problem.args = (problem.message,)
        is_silence = isinstance(problem, Timeout | Unreachable)
        if is_silence and self._contact.refused is not None:
            return self._contact.refused
        return self._contact.explain_throttling(problem) if is_silence else problem

    def add_acl(self, problem: KplanError, acl: Acl) -> KplanError:
        """Return the problem; where this right is missing, with its name and how to get it."""
        if not isinstance(problem, Forbidden):
            return problem
        return self.missing_right_error(acl)

    def missing_right_error(self, acl: Acl) -> Denied:
        """Return the error of this missing right, and how to get it."""
        message, help = describe_missing(acl, self.config)
        return Denied(f"{acl.name or 'the cluster'}: {message}", help=help)

    def error_of_code(self, code: int, message: str) -> KplanError:
        """Return the error for a code that brokers sent to another client."""
        return make_error(code, self._mask.mask(message))

    def find_group_list_problem(self) -> KplanError | None:
        """Return why brokers may omit consumer groups from their list: they do that without an error."""
        requests = {"": self.admin.describe_cluster(include_authorized_operations=True, request_timeout=self.timeout)}
        answer = self.await_answers(requests)[""]
        if isinstance(answer, KplanError):
            return answer
        if AclOperation.DESCRIBE in (answer.authorized_operations or ()):
            return None
        return self.add_acl(Forbidden("Describe"), Acl("Describe", "Cluster"))

    def warn(self, problem: KplanError) -> None:
        """Warn of a problem that stops nothing."""
        self._warn("; ".join(filter(None, (problem.message, problem.help))))

    def request(
        self, send: Callable[[], Mapping[K, Future[Any]]], what: str = "request", seconds: float | None = None
    ) -> dict[K, Any]:
        """Return the answers to a request that changes nothing; one that cannot be built is Rejected for all."""
        try:
            return self.await_answers(send(), what, seconds)
        except (KafkaException, ValueError, TypeError) as exception:
            raise self.map_error(exception) from exception

    @property
    def attempt_timeout(self) -> float:
        """Return the seconds of one attempt of a request that changes nothing: all attempts together take `timeout`."""
        return min(self.timeout, max(ATTEMPT_TIMEOUT_S, self.timeout / self.attempts))

    def retry(self, read: Callable[[], T]) -> T:
        """Return what `read` returns, with retries while they may help. It must change nothing."""
        for attempt in range(1, self.attempts):
            try:
                return read()
            except KplanError as problem:
                if problem.error_class is not ErrorClass.RETRIABLE:
                    raise
                self.pause(attempt, problem.message)
        return read()

    def metadata(self) -> Any:
        """Return all topics and the living brokers, as one broker sees them."""

        def read() -> Any:
            started = time.monotonic()
            try:
                with WAITS.add(f"reading {self.bootstrap}", self.timeout):
                    metadata = self.admin.list_topics(timeout=self.attempt_timeout)
                self._log_request("list topics", metadata.topics, started)
                return metadata
            except KafkaException as exception:
                self.admin.poll(0)
                raise self.map_error(exception) from exception

        return self.retry(read)

    def pause(self, attempt: int, reason: str) -> None:
        """Wait before the next attempt, and log why there is one."""
        self._retries += 1
        seconds = self._retry.pause(attempt)
        log.warning("%s: %s; again in %.1f s", self.bootstrap, reason, seconds, extra=RETRY)
        with WAITS.add(f"waiting to try {self.bootstrap} again", seconds):
            time.sleep(seconds)
            refresh_metadata(self.admin, min(ATTEMPT_TIMEOUT_S, self.timeout))

    def close(self) -> None:
        self._logger.removeFilter(self._masking)
