"""Topics on real brokers: plans read them by a few requests of the protocol, and librdkafka does everything else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from kplan.kinds.topic import configs as catalog
from kplan.model import Target, Topic
from kplan.servers.base import KAFKA, BackendState, ReportProgress, ignore_progress
from kplan.servers.kafka.wire.connection import BrokerConnection, connect
from kplan.servers.kafka.wire.encoding import FAILURES
from kplan.servers.kafka.wire.topics import (
    TOPICS_PER_REQUEST,
    Listing,
    read_configs,
    receive_listing,
    request_listing,
)
from kplan.servers.waits import WAITS
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.servers.kafka.topics import KafkaTopics

CLIENT: Final = "kplan"
MAX_LISTING_AGE_S: Final = 5.0  # between the question who the cluster is, and the reading that uses its answer
CONNECTIONS: Final = 2  # for the configs of many topics: a broker answers one connection's requests in their order
MANY: Final = 2 * TOPICS_PER_REQUEST

log = logging.getLogger("kplan.servers.kafka")


@dataclass(slots=True)
class _Begun:
    """A connection with the listing that was read over it, and when, on the monotonic clock."""

    connection: BrokerConnection
    listing: Listing
    read_at: float


class QuickTopics:
    """The topics of a Kafka cluster. `open_full` makes the backend for all that is not a reading, once.

    Where this way fails for any reason, the full backend reads, and has the reason of a failure.
    """

    kind = "topic"
    server = KAFKA
    check_name = "validate_only"

    def __init__(
        self,
        config: Mapping[str, Any],
        open_full: Callable[[], KafkaTopics],
        timeout: float,
        tell: ReportProgress = ignore_progress,
    ) -> None:
        self._config = config
        self._bootstrap = str(config["bootstrap.servers"])
        self._open_full = open_full
        self._timeout = timeout
        self._tell = tell
        self._full: KafkaTopics | None = None
        self._begun: _Begun | None = None
        self._opening, self._reading = threading.Lock(), threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self.find_full(), name)

    def find_full(self) -> KafkaTopics:
        """Return the backend for all that is not a reading, opened at the first call."""
        with self._opening:
            if self._full is None:
                self._full = self._open_full()
            return self._full

    @property
    def retries(self) -> int:
        return 0 if self._full is None else self._full.retries

    def identify(self) -> Target:
        """Return which cluster this is. Raises Unreachable or Denied, with the reason that only librdkafka has."""
        if self._full is None:
            with suppress(*FAILURES), self._reading, WAITS.add(f"reading {self._bootstrap}", self._timeout):
                listing = self._begin().listing
                return Target(listing.cluster_id, self._bootstrap, len(listing.brokers))
        return self.find_full().identify()

    def read(self, names: Collection[str] | None) -> BackendState:
        """Read the live topics: metadata of all, and the configs of the named ones (None: of all)."""
        if self._full is None:
            try:
                with self._reading, WAITS.add(f"reading {self._bootstrap}", self._timeout):
                    if self._full is None:  # who waited for a reading that failed does not try again
                        return self._read(names)
            except FAILURES as failure:
                log.debug("topics are read by librdkafka: %s", failure)
        return self.find_full().read(names)

    def _begin(self) -> _Begun:
        """Return a connection and a fresh listing of all topics."""
        begun = self._begun
        if begun is not None and time.monotonic() - begun.read_at < MAX_LISTING_AGE_S:
            return begun
        self._forget()
        started = time.monotonic()
        connection = connect(self._bootstrap, self._config, CLIENT, self._timeout)
        try:
            request_listing(connection)
            listing = receive_listing(connection)
        except BaseException:
            connection.close()
            raise
        log.debug("list topics (%d) %.3f s", len(listing.shapes), time.monotonic() - started)
        self._begun = _Begun(connection, listing, started)
        return self._begun

    def _forget(self) -> None:
        """Close the connection of a listing; the next reading makes another."""
        begun, self._begun = self._begun, None
        if begun is not None:
            begun.connection.close()

    def _read(self, names: Collection[str] | None) -> BackendState:
        begun = self._begin()
        try:
            listed = begun.listing.shapes
            wanted = list(listed) if names is None else list(dict.fromkeys(names))
            shapes = {name: listed[name] for name in wanted if name in listed}
            if missing := [name for name in wanted if name not in listed and catalog.check_name(name) is None]:
                request_listing(begun.connection, missing)  # metadata of all topics lacks those that are hidden
                shapes |= receive_listing(begun.connection).shapes
            configs = self._read_configs(begun.connection, list(shapes))
        finally:
            self._forget()
        topics = [Topic(name, *shape, configs[name]) for name, shape in shapes.items()]
        return BackendState({topic.address: topic for topic in topics}, frozenset(listed))

    def _read_configs(self, connection: BrokerConnection, names: Sequence[str]) -> Mapping[str, Mapping[str, str]]:
        """Return what is set on each topic; of many topics, over several connections side by side."""
        started = time.monotonic()
        parts = [names[start::CONNECTIONS] for start in range(CONNECTIONS)] if len(names) > MANY else [names]
        counts = [0] * len(parts)

        def report(part: int, count: int) -> None:
            counts[part] = count
            self._tell("topics read", sum(counts), len(names))

        def read_part(part: int) -> Mapping[str, Mapping[str, str]]:
            with connect(self._bootstrap, self._config, CLIENT, self._timeout) if part else connection as own:
                return read_configs(own, parts[part], partial(report, part))

        self._tell("topics read", 0, len(names))
        if len(parts) == 1:
            configs = read_part(0)
        else:
            with ThreadPoolExecutor(len(parts)) as pool:
                configs = {name: own for part in pool.map(read_part, range(len(parts))) for name, own in part.items()}
        log.debug("describe configs (%d) %.3f s", len(names), time.monotonic() - started)
        return configs

    def close(self) -> None:
        with self._reading:
            self._forget()
        if self._full is not None:
            self._full.close()
