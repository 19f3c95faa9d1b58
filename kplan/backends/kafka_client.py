"""The one admin client of the topics' backend, whose answers are awaited and mapped in one place."""

from __future__ import annotations

import getpass
import logging
import random
import socket
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Future, wait
from typing import Any, Final, TypeVar

from confluent_kafka import KafkaException
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclOperation,
    AdminClient,
)

from kplan.access import Contact, unusable
from kplan.backends.kafka_errors import Forbidden, failure, foreign
from kplan.diagnostics import (
    Denied,
    ErrorClass,
    KplanError,
    Timeout,
    Unreachable,
)
from kplan.permissions import Acl, missing
from kplan.secrets import Mask, MaskingFilter

K = TypeVar("K")
T = TypeVar("T")

LONGEST_PAUSE: Final = 30.0
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
                 warn: Callable[[str], None]) -> None:  # fmt: skip
        self.bootstrap = str(config.get("bootstrap.servers", ""))
        self.timeout, self.attempts, self._delay, self._warn = timeout, max(1, attempts), delay, warn
        self.retries = 0
        self._mask = Mask(secrets)
        self._masking = MaskingFilter(self._mask)
        self._logger = logging.getLogger("kplan.kafka")
        self._logger.addFilter(self._masking)
        self._cluster: Any = None
        self._lock = threading.Lock()
        for key in sorted(config.keys() & set(KPLANS_OWN)):
            warn(f"kafka: {key} is set by kplan; what the environment says is not used")
        self.config = config
        self._contact = Contact(config, self._mask)
        self.name = _who()
        asked: dict[str, Any] = {**config, "client.id": self.name, "allow.auto.create.topics": False}
        asked |= {"error_cb": self._contact.note, "throttle_cb": self._throttled}
        try:
            self.admin = AdminClient(asked, logger=self._logger)
        except (KafkaException, ValueError, TypeError) as exception:
            raise unusable(self.mapped(exception).message, config) from exception

    def _throttled(self, event: Any) -> None:
        self._warn(f"broker {event.broker_id} slows kplan down by {event.throttle_time:.1f} s: its quota is used up")

    def cluster(self) -> Any:
        """Who the cluster is, asked once. Raises Denied or Unreachable with the true cause."""
        with self._lock:
            if self._cluster is None:
                self._cluster = self._contact.first_answer(self.admin, self.timeout, foreign)
            return self._cluster

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
        return self._contact.refused if silent and self._contact.refused is not None else problem

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
        self.retries += 1
        longest = min(LONGEST_PAUSE, self._delay * 2 ** (attempt - 1))
        time.sleep(longest * random.uniform(0.5, 1.0))

    def close(self) -> None:
        self._logger.removeFilter(self._masking)
