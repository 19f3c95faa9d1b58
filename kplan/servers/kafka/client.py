"""The one admin client of the topics' backend, whose answers are awaited and mapped in one place."""

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
    KplanError,
    Span,
    Timeout,
    Unreachable,
)
from kplan.model.masks import Mask, MaskingFilter
from kplan.servers.connection_errors import (
    NO_PLACES,
    NOTICEABLE_THROTTLE_S,
    TRY_SECONDS,
    Contact,
    Retry,
    relearn,
    unusable,
)
from kplan.servers.kafka.errors import Forbidden, failure, foreign
from kplan.servers.permissions import Acl, missing
from kplan.servers.waits import RETRY, WAITS

K = TypeVar("K")
T = TypeVar("T")

log = logging.getLogger("kplan.servers.kafka")
KPLANS_OWN: Final = ("client.id", "allow.auto.create.topics", "error_cb", "throttle_cb", "logger")


def _who() -> str:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):  # no such user in a container
        user = "unknown"
    return f"kplan/{user}@{socket.gethostname()}"


class Client:
    """One AdminClient, kept alive, whose answers are awaited and mapped here."""

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
        for key in sorted(config.keys() & set(KPLANS_OWN)):
            warn(f"kafka: {key} is set by kplan; what the environment says is not used")
        self.config = config
        self._retry = Retry(self.attempts, delay)
        self._contact = Contact(config, self._mask, self._retry)
        self._failed: tuple[float, KplanError] | None = None  # when the first contact failed, and why
        self.name = _who()
        asked: dict[str, Any] = {**config, "client.id": self.name, "allow.auto.create.topics": False}
        asked |= {"error_cb": self._contact.note, "throttle_cb": self._throttled}
        try:
            self.admin = AdminClient(asked, logger=self._logger)
        except (KafkaException, ValueError, TypeError, AttributeError, ImportError) as exception:
            raise unusable(self.mapped(exception).message, config, places) from exception

    def _throttled(self, event: Any) -> None:
        self._contact.note_throttle(event)
        if event.throttle_time >= NOTICEABLE_THROTTLE_S:
            self._warn(
                f"broker {event.broker_id} slows kplan down by {event.throttle_time:.1f} s: its quota is used up"
            )

    def cluster(self) -> Any:
        """Who the cluster is, asked once. Raises Denied or Unreachable with the true cause.

        A thread that waits while another one asks gets the same failure, and does not ask a second time.
        """
        began = time.monotonic()
        with self._lock:
            if self._cluster is None:
                if self._failed is not None and self._failed[0] > began:
                    raise self._failed[1]
                try:
                    self._cluster = self._contact.first_answer(self.admin, self.timeout, foreign)
                except KplanError as failure:
                    self._failed = time.monotonic(), failure
                    raise
            return self._cluster

    @property
    def retries(self) -> int:
        """How many requests were sent again so far."""
        return self._retries + self._contact.retries

    def answers(
        self, futures: Mapping[K, Future[Any]], what: str = "request", seconds: float | None = None
    ) -> dict[K, Any]:
        """Each future's result, or the KplanError that came of it; after `seconds`, where they are given, a Timeout.

        `what` names the request in the log.
        """
        started = time.monotonic()
        pending = set(futures.values())
        # librdkafka answers in time; this is for when it does not
        deadline = time.monotonic() + (self.timeout + 30 if seconds is None else seconds)
        with WAITS.on(f"reading {self.bootstrap}", self.timeout):
            while pending and time.monotonic() < deadline:
                pending = wait(pending, 0.1).not_done
                self.admin.poll(0)
        found = {key: self._answer(future) for key, future in futures.items()}
        self._logged(what, found.values(), started)
        return found

    def _logged(self, what: str, answers: Collection[Any], started: float) -> None:
        """The log has the request: how many things it was about, how many were refused, and how long it took."""
        refused = sum(isinstance(answer, KplanError) for answer in answers)
        log.debug("%s (%d)%s %.3f s", what, len(answers), f" -> {refused} refused" if refused else "",
                  time.monotonic() - started)  # fmt: skip

    def _answer(self, future: Future[Any]) -> Any:
        if not future.done():
            return self._contact.explain_throttling(Timeout(f"no answer within {self.timeout:g} s"))
        exception = future.exception()
        return future.result() if exception is None else self.mapped(exception)

    def mapped(self, exception: BaseException) -> KplanError:
        """The exception as an error of ours; a failed authentication is the cause of any silence."""
        problem = foreign(exception)
        problem.message = self._mask.mask(problem.message)
        problem.args = (problem.message,)
        silent = isinstance(problem, Timeout | Unreachable)
        if silent and self._contact.refused is not None:
            return self._contact.refused
        return self._contact.explain_throttling(problem) if silent else problem

    def named(self, problem: KplanError, acl: Acl) -> KplanError:
        """The problem; for lack of this right, with its name and the way to get it."""
        if not isinstance(problem, Forbidden):
            return problem
        return self.missing(acl)

    def missing(self, acl: Acl) -> Denied:
        """The lack of this right, with the way to get it."""
        words, help = missing(acl, self.config)
        return Denied(f"{acl.name or 'the cluster'}: {words}", help=help)

    def coded(self, code: int, message: str) -> KplanError:
        """The error for a code that brokers gave to another client."""
        return failure(code, self._mask.mask(message))

    def unlisted_groups(self) -> KplanError | None:
        """Why brokers may leave consumer groups out when they are listed: they do that without a word."""
        asked = {"": self.admin.describe_cluster(include_authorized_operations=True, request_timeout=self.timeout)}
        answer = self.answers(asked)[""]
        if isinstance(answer, KplanError):
            return answer
        if AclOperation.DESCRIBE in (answer.authorized_operations or ()):
            return None
        return self.named(Forbidden("Describe"), Acl("Describe", "Cluster"))

    def tell(self, problem: KplanError) -> None:
        """A person knows of what stops nothing."""
        self._warn("; ".join(filter(None, (problem.message, problem.help))))

    def asked(
        self, ask: Callable[[], Mapping[K, Future[Any]]], what: str = "request", seconds: float | None = None
    ) -> dict[K, Any]:
        """The answers to a request that changes nothing; one that cannot even be formed is Rejected for all."""
        try:
            return self.answers(ask(), what, seconds)
        except (KafkaException, ValueError, TypeError) as exception:
            raise self.mapped(exception) from exception

    @property
    def patience(self) -> float:
        """The seconds of one try of a request that changes nothing: all tries take `timeout` together."""
        return min(self.timeout, max(TRY_SECONDS, self.timeout / self.attempts))

    def retried(self, read: Callable[[], T]) -> T:
        """What `read` returns, asked again while that may help. It must change nothing."""
        for attempt in range(1, self.attempts):
            try:
                return read()
            except KplanError as problem:
                if problem.error_class is not ErrorClass.RETRIABLE:
                    raise
                self.pause(attempt, problem.message)
        return read()

    def metadata(self) -> Any:
        """All topics and the living brokers, as one broker sees them."""

        def read() -> Any:
            started = time.monotonic()
            try:
                with WAITS.on(f"reading {self.bootstrap}", self.timeout):
                    found = self.admin.list_topics(timeout=self.patience)
                self._logged("list topics", found.topics, started)
                return found
            except KafkaException as exception:
                self.admin.poll(0)
                raise self.mapped(exception) from exception

        return self.retried(read)

    def pause(self, attempt: int, why: str) -> None:
        """Waits before the next attempt, and says in the log why there is one."""
        self._retries += 1
        seconds = self._retry.pause(attempt)
        log.warning("%s: %s; again in %.1f s", self.bootstrap, why, seconds, extra=RETRY)
        with WAITS.on(f"waiting to try {self.bootstrap} again", seconds):
            time.sleep(seconds)
            relearn(self.admin, min(TRY_SECONDS, self.timeout))

    def close(self) -> None:
        self._logger.removeFilter(self._masking)
