"""The state in a topic: plans read it by a few requests of the protocol, and librdkafka does everything else."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, Final

from kplan.kinds.acl.permissions import group_prefix
from kplan.servers.kafka.wire.connection import BrokerConnection, connect
from kplan.servers.kafka.wire.encoding import FAILURES, Unsuited
from kplan.servers.kafka.wire.groups import ABANDONED, find_coordinator, read_state
from kplan.servers.kafka.wire.records import read_records, request_records
from kplan.servers.kafka.wire.topics import Listing, receive_listing, request_listing
from kplan.servers.waits import WAITS
from kplan.state.base import Holder, Overview, ReportKeys, ignore_keys
from kplan.state.kafka.log import Log, NewestRecords, is_history
from kplan.state.signing import Signer

if TYPE_CHECKING:
    from kplan.state.kafka.store import KafkaStore

CLIENT: Final = "kplan-reader"
MAX_READING_S: Final = 60.0  # far less than removals are kept, so that none is missed

log = logging.getLogger("kplan.state")


class QuickStore:
    """The state in `topic` of the cluster. `open_full` makes the store for all that is not a plan's reading, once.

    Where this way fails for any reason, the full store reads, and explains the failure.
    """

    def __init__(
        self,
        config: Mapping[str, Any],
        topic: str,
        key: str | None,
        open_full: Callable[[], KafkaStore],
        timeout: float,
    ) -> None:
        self.where = self.topic = topic
        self._config = config
        self._bootstrap = str(config["bootstrap.servers"])
        self._signer = Signer(key or "")
        self._open_full = open_full
        self._timeout = timeout
        self._full: KafkaStore | None = None
        self._opening, self._reading = threading.Lock(), threading.Lock()

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        return getattr(self._find_full(), name)

    def _find_full(self) -> KafkaStore:
        with self._opening:
            if self._full is None:
                self._full = self._open_full()
            return self._full

    def overview(self, report_keys: ReportKeys = ignore_keys) -> Overview:
        """Return the ledger, the open runs and what cannot be read or trusted; all empty where there is no topic."""
        if self._full is None:
            try:
                with self._reading, WAITS.add(f"reading the state in {self.topic}", self._timeout):
                    return self._read_log(report_keys).overview()
            except FAILURES as failure:
                log.debug("%s is read by librdkafka: %s", self.topic, failure)
        return self._find_full().overview()

    def holder(self, stack: str) -> Holder | None:
        """Return who holds the stack's lock; the full store names a holder, where the lock's group has members."""
        if self._full is None:
            try:
                with self._reading, WAITS.add(f"reading the state in {self.topic}", self._timeout):
                    if self._is_free(stack):
                        return None
            except FAILURES as failure:
                log.debug("the lock of %s is read by librdkafka: %s", stack, failure)
        return self._find_full().holder(stack)

    def _read_log(self, report_keys: ReportKeys) -> Log:
        started, newest, result = time.monotonic(), NewestRecords(is_whole=True), Log(signer=self._signer)
        with connect(self._bootstrap, self._config, CLIENT, self._timeout) as connection:
            listing = self._read_listing(connection)
            if self.topic not in listing.shapes:
                return result
            if listing.shapes[self.topic][0] != 1:
                raise Unsuited("the topic has not one partition")
            with self._reach(listing, connection) as leader:
                request_records(leader, self.topic, 0)
                read_records(leader, self.topic, 0, newest.add)
        report_keys(key.decode("utf-8", "replace") for key, _, _ in newest if key is not None)
        end = 0
        for key, offset, value in newest:
            if not is_history(key):  # an overview has none
                result.put(offset, key, value)
            end = offset + 1
        if result.foreign or time.monotonic() - started > MAX_READING_S:
            raise Unsuited("records that are not kplan's, or a slow connection")
        log.debug("read to offset %d, %d bytes (%d) %.3f s", end, newest.size, newest.count, time.monotonic() - started)
        return result

    def _read_listing(self, connection: BrokerConnection) -> Listing:
        request_listing(connection, [self.topic])
        return receive_listing(connection)

    def _reach(self, listing: Listing, connection: BrokerConnection) -> BrokerConnection:
        """Return a connection to the leader of the topic; this one where there is only one broker."""
        if len(listing.brokers) == 1:
            return connection
        return connect(listing.find_server(listing.leaders[self.topic]), self._config, CLIENT, self._timeout)

    def _is_free(self, stack: str) -> bool:
        """Return whether the lock's group certainly has no members."""
        started, group = time.monotonic(), group_prefix(self.topic) + stack
        with connect(self._bootstrap, self._config, CLIENT, self._timeout) as connection:
            listing = self._read_listing(connection)
            if self.topic not in listing.shapes:  # the next request would create Kafka's topic of offsets
                return True
            coordinator = find_coordinator(connection, group)
            if len(listing.brokers) == 1:
                state = read_state(connection, group)
            else:
                with connect(coordinator, self._config, CLIENT, self._timeout) as own:
                    state = read_state(own, group)
        log.debug("describe groups (1) %.3f s", time.monotonic() - started)
        return state in ABANDONED

    def close(self) -> None:
        if self._full is not None:
            self._full.close()
