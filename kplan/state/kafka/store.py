"""Keep the ledger, the journal and the lock in one compacted topic of the cluster (facts.md 5; schemas/state.v1.json).

`log` has its records, `topic` reads it, `lock` writes it. The required rights are in `kplan.kinds.acl.permissions`.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from typing import Final, TypeVar

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from kplan.diagnostics import Denied, Invalid, JournalBroken, KplanError, Locked, Span, Unreachable, Unsupported
from kplan.model import Address, Owned
from kplan.model.history import PastChange, RunSummary
from kplan.model.journal import Entry
from kplan.model.masked_logs import MaskingFilter
from kplan.model.masks import Mask
from kplan.servers.connection_errors import NO_PLACES, Contact, Retry
from kplan.state.base import UNREADABLE_HELP, Holder, Lock, Overview, Record, RecordUnreadable, ReportKeys, ignore_keys
from kplan.state.kafka.clients import ATTEMPT_TIMEOUT_S, Clients
from kplan.state.kafka.lock import KafkaLock
from kplan.state.kafka.log import Log
from kplan.state.kafka.membership import Membership, make_member
from kplan.state.kafka.producer import StackProducer
from kplan.state.kafka.topic import LedgerTopicReader, Members, StateCluster
from kplan.state.signing import Signer
from kplan.values import dataclass

T = TypeVar("T")

TOPIC: Final = "__kplan"
POLL_INTERVAL_S: Final = 1.0  # between two requests for the holder
NAMING_TIMEOUT_S: Final = 1.0  # a killed holder's open transaction may hide its name, and is not waited for


class KafkaStore:
    """Keep the state in `topic` of the cluster that `config` (of librdkafka) reaches. Times are seconds.

    A missing topic reads as empty; the first lock creates it. `secrets` are hidden in all messages. `session_timeout`
    is how long a killed holder keeps the lock; brokers allow `group.min.session.timeout.ms` (6 s) and more. The first
    contact is tried `attempts` times, with growing pauses that begin with `delay`. With a `key` records are signed, and
    those that are not are reported.
    """

    def __init__(self, config: Mapping[str, str], topic: str = TOPIC, *, request_timeout: float = 30.0,
                 secrets: Sequence[str] = (), session_timeout: float = 10.0, attempts: int = 1,
                 delay: float = 2.0, key: str | None = None,
                 places: Mapping[str, Span] = NO_PLACES) -> None:  # fmt: skip
        self.where = self.topic = topic
        self._signer = Signer(key or "")
        mask = Mask(secrets)
        loggers = logging.Logger("kplan.state"), logging.Logger("kplan.kafka")  # own ones: their filters end with them
        for logger, parent in zip(loggers, ("kplan.state", "kplan.kafka"), strict=True):
            logger.parent = logging.getLogger(parent)
            logger.addFilter(MaskingFilter(mask))
        self._clients = Clients(config, topic, request_timeout, mask, *loggers,
                                Contact(config, mask, Retry(attempts, delay)), places)  # fmt: skip
        self._session = session_timeout
        self._turn, self._opening = threading.RLock(), threading.Lock()
        self._opened_cluster: StateCluster | None = None
        self._reader: LedgerTopicReader | None = None
        self._connected: _LockClients | None = None  # in advance
        self._closings = 0
        self._expected = False  # the topic is known to exist: its absence is a broker's ignorance

    @property
    def _cluster(self) -> StateCluster:
        with self._opening:  # not the turn, which a reading that waits for a broker holds
            if self._opened_cluster is None:
                self._opened_cluster = StateCluster(self._clients)
            return self._opened_cluster

    def overview(self, report_keys: ReportKeys = ignore_keys) -> Overview:
        return self._read(Log.overview)

    def ledger(self) -> Mapping[Address, Owned]:
        """Return every stack's records. Where two stacks claim one address, the first one owns it."""
        return self._read(Log.find_owners)

    def runs(self) -> Sequence[str]:
        """Return the ids of all runs with details, oldest first."""
        return self._read(lambda log: [run_log.run for run_log in log.list_runs()])

    def summaries(self) -> Sequence[RunSummary]:
        return self._read(Log.list_summaries)

    def changes(self, address: Address) -> Mapping[str, Sequence[PastChange]]:
        return self._read(lambda log: log.find_changes(str(address)))

    def entries(self, run: str) -> Sequence[Entry]:
        """Return the records of `run` by their `seq`; empty if there is no such run."""

        def find_entries(log: Log) -> list[Entry]:
            candidates = [run_log for run_log in log.runs.values() if run_log.run == run]
            rank = lambda item: (log.has_ended(item), len(item.problems) > len(item.unreadable), item.first)  # noqa: E731
            chosen = min(candidates, key=rank, default=None)
            if chosen is not None and chosen.unreadable:
                raise RecordUnreadable(chosen.unreadable[0].message, help=UNREADABLE_HELP)
            return (
                chosen.decode_entries() if chosen else []
            )  # records of another stack under this id are not of this run

        return self._read(find_entries)

    def open_runs(self) -> Sequence[str]:
        """Return the ids of the runs without an `end`, oldest first."""
        return self._read(lambda log: list(log.open_runs()))

    def records(self) -> Sequence[Record]:
        """Return every record of the ledger and the journal, damaged ones too."""
        return self._read(Log.list_records)

    def find_obstacle(self) -> KplanError | None:
        """Return why the brokers would refuse the topic, or what is written to it; None where it is there."""
        with self._turn, self._explain_errors():
            if self._cluster.describe_topic() is not None:
                return None
            from kplan.state.kafka.obstacles import find_obstacle

            return find_obstacle(self._clients, self._cluster)

    def holder(self, stack: str) -> Holder | None:
        """Return who holds the lock now, asked of the group's coordinator; that neither fences nor moves a member."""
        with self._explain_errors():
            if self._cluster.describe_topic() is None:  # the request would create Kafka's topic of offsets
                return None
            end = time.monotonic() + self._session
            while True:
                members = self._cluster.find_members(stack, "Describe")
                current_holder = self._find_holder(members, stack)
                if current_holder is not None or members.is_settled or time.monotonic() > end:
                    return current_holder
                time.sleep(0.1)

    def connect_lock(self, stack: str, holder: Holder) -> None:
        """Connect in advance what the lock needs, where the topic is there."""
        closings = self._closings
        if self._cluster.describe_topic() is None:  # asking for the group would create Kafka's topic of offsets
            return
        group = self._clients.name_group(stack)
        member = make_member(self._clients, group, holder, self._session)
        finding = threading.Thread(target=self._find_coordinator, args=(member, group), daemon=True)
        finding.start()
        producer = _connect_producer(self._clients, stack, holder)
        finding.join()
        with self._turn:
            unused = self._connected.member if self._connected else None
            if closings == self._closings:
                self._connected = _LockClients(stack, holder, member, producer)
            else:
                unused = member  # the store was closed meanwhile
        if unused is not None:
            unused.close()

    def _find_coordinator(self, member: Consumer, group: str) -> None:
        """Ask who coordinates the group, so that the member knows."""
        started = time.monotonic()
        with suppress(KafkaException):  # joining reports what is wrong
            member.committed([TopicPartition(self.topic, 0)], timeout=ATTEMPT_TIMEOUT_S)
        self._clients.log_request(f"find the coordinator of {group}", started)

    def lock(self, stack: str, holder: Holder, timeout: float) -> AbstractContextManager[Lock]:
        return self._hold_lock(stack, holder, timeout)

    def close(self) -> None:
        """Close the connections; a later call opens them again."""
        with self._turn:
            self._closings += 1
            if self._connected is not None:
                self._connected.member.close()
                self._connected = None
            if self._reader is not None:
                self._reader.close()
            self._reader = self._opened_cluster = None

    # -- reading ------------------------------------------------------------------------------------------------------
    def _read(self, evaluate: Callable[[Log], T], timeout: float | None = None) -> T:
        """Return what `evaluate` makes of the records. Without `timeout` (seconds), wait for open transactions."""
        with self._turn, self._explain_errors():
            if self._reader is None:
                self._reader = LedgerTopicReader(self._clients, self._cluster, self._signer)
            return evaluate(self._reader.read(self._expected, timeout))

    def _find_holder(self, members: Members, stack: str) -> Holder | None:
        """Return the holder with command and time, which the lock's record has."""
        if not members.members:
            return None
        recorded = self._read(lambda log: log.locks.get(stack), NAMING_TIMEOUT_S)
        return members.find_holder(recorded)

    @contextmanager
    def _explain_errors(self) -> Iterator[None]:
        """Turn errors of the client or of unreadable data into KplanError, which names the topic."""
        try:
            yield
        except KplanError as failure:
            if self.where not in failure.message and not isinstance(failure, Locked | Denied | Unreachable | Invalid):
                failure.message = f"{self.where}: {failure.message}"
                failure.args = (failure.message,)
            raise
        except KafkaException as failure:
            raise self._clients.to_kplan_error(failure, f"the state in {self.where} cannot be used") from failure
        except ValueError as failure:
            raise JournalBroken(f"the state in {self.where} cannot be used: a record cannot be read: {failure}",
                                help="see which run it is with `kplan recover --list`") from failure  # fmt: skip

    # -- locking ------------------------------------------------------------------------------------------------------
    @contextmanager
    def _hold_lock(self, stack: str, holder: Holder, timeout: float) -> Iterator[Lock]:
        with self._explain_errors():
            self._cluster.ensure_topic()
            self._expected = True
            lock = self._acquire(stack, holder, timeout)
        try:
            yield lock
        finally:
            lock.release()

    def _acquire(self, stack: str, holder: Holder, timeout: float) -> KafkaLock:
        """Acquire the lock, or raise Locked when another run has it and `timeout` is over.

        Joining costs the holder one try of a write, so it is done only where there is no holder. Of several that join
        at once one gets it; the others leave. While the group is rebalancing, brokers do not tell which one that is.
        """
        start = time.monotonic()
        while True:
            members = self._cluster.find_members(stack)
            if members.is_free:
                lock = self._join(stack, holder)
                if lock is not None:
                    return lock
                members = self._cluster.find_members(stack)
            current_holder = self._find_holder(members, stack)
            allowed = timeout if current_holder is not None else max(timeout, self._session + 5)
            remaining = start + allowed - time.monotonic()
            if remaining <= 0:
                raise _make_refusal(stack, current_holder, self._session)
            max_interval = POLL_INTERVAL_S if current_holder is not None else 0.2
            time.sleep(min(remaining, max_interval * random.uniform(0.5, 1.0)))

    def _join(self, stack: str, holder: Holder) -> KafkaLock | None:
        """Return the lock; None where another one got it first."""
        started, group = time.monotonic(), self._clients.name_group(stack)
        connected = self._take_connected(stack, holder)
        membership = Membership(self._clients, group, holder, self._session, connected.member if connected else None)
        try:
            # A new producer is connected while the group settles.
            producer = connected.producer if connected else _connect_producer(self._clients, stack, holder)
            lock = KafkaLock(self._clients, self._cluster, stack, holder, membership, self._signer, producer)
            membership.settled.wait(max(self._clients.timeout, 2 * self._session))
            if membership.problem is not None:
                self._clients.log_request(f"join group {group}", started, refusal=KafkaException(membership.problem))
                raise self._explain_join_failure(membership.problem, stack)
            outcome = "" if membership.held.is_set() else ", which another member holds"
            self._clients.log_request(f"join group {group}{outcome}", started)
            if membership.held.is_set():
                lock.begin(lambda: self._read(lambda log: log.copy_for_stack(stack)))
                return lock
        except BaseException as failure:
            was_lost = membership.lost.is_set()
            membership.leave(self._clients.timeout)
            if isinstance(failure, JournalBroken) and was_lost:
                return None  # this process was too slow, and another one has it now
            raise
        membership.leave(self._clients.timeout)
        return None

    def _take_connected(self, stack: str, holder: Holder) -> _LockClients | None:
        """Return the clients that are connected for this lock, once."""
        connected = self._connected
        if connected is None or (connected.stack, connected.holder) != (stack, holder):
            return None
        self._connected = None
        return connected

    def _explain_join_failure(self, problem: KafkaError, stack: str) -> KplanError:
        group = self._clients.name_group(stack)
        if problem.code() == 26:  # INVALID_SESSION_TIMEOUT
            return Unsupported(f"the brokers do not allow a session of {self._session:g} s",
                               help="see the brokers' group.min.session.timeout.ms and …max…")  # fmt: skip
        return self._clients.explain_problem(problem, f"group {group} cannot be joined", "Read")


@dataclass(frozen=True, slots=True)
class _LockClients:
    """The clients for the lock of `stack`, connected, which claim nothing yet."""

    stack: str
    holder: Holder
    member: Consumer
    producer: StackProducer


def _connect_producer(clients: Clients, stack: str, holder: Holder) -> StackProducer:
    """Return a producer that is connected and knows the topic's leader, without claiming anything yet."""
    producer = StackProducer(clients, stack, holder)
    producer.connect()
    return producer


def _make_refusal(stack: str, holder: Holder | None, session: float) -> Locked:
    description = "another process"
    if holder is not None:
        since = f" since {holder.since}: {holder.command}" if holder.since else ""
        description = f"{holder.who}{since} (run {holder.run}" + (f", pid {holder.pid})" if holder.pid else ")")
    return Locked(f"stack {stack} is locked by {description}",
                  help=f"wait for it with `--lock-timeout 60s`; a killed run's ends after {session:g} s")  # fmt: skip
