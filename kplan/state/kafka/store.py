"""The ledger, the journal and the lock in one compacted topic of the cluster (facts.md 5; schemas/state.v1.json).

`log` has its records, `topic` reads it, `lock` writes it. Who may is in `kplan.servers.permissions`.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Final, TypeVar

from confluent_kafka import KafkaError, KafkaException

from kplan.diagnostics import Denied, Invalid, JournalBroken, KplanError, Locked, Span, Unreachable, Unsupported
from kplan.model import Address, Owned
from kplan.model.history import PastChange, RunSummary
from kplan.model.journal import Entry
from kplan.model.masks import Mask, MaskingFilter
from kplan.servers.connection_errors import NO_PLACES, Contact, Retry
from kplan.state.base import UNREADABLE_HELP, Holder, Lock, Overview, Record, RecordUnreadable
from kplan.state.kafka.clients import Clients
from kplan.state.kafka.lock import KafkaLock
from kplan.state.kafka.log import Log
from kplan.state.kafka.membership import Membership
from kplan.state.kafka.topic import Cluster, Members, Reader
from kplan.state.signing import Signer

T = TypeVar("T")

TOPIC: Final = "__kplan"
POLL_SECONDS: Final = 1.0  # between two questions who holds it
NAMING_SECONDS: Final = 1.0  # a killed holder's open transaction may hide its name, and is not waited for


class KafkaStore:
    """The store in `topic` of the cluster that `config` (of librdkafka) reaches. Times are seconds.

    Reading a topic that is not there sees nothing; the first lock makes it. `secrets` are hidden in all that is said.
    `session_timeout` is how long a killed holder keeps the lock; brokers allow `group.min.session.timeout.ms` (6 s)
    and more. The first contact is tried `attempts` times, with growing pauses that begin with `delay`. With a `key`
    records are signed, and those that are not are found.
    """

    def __init__(self, config: Mapping[str, str], topic: str = TOPIC, *, request_timeout: float = 30.0,
                 secrets: Sequence[str] = (), session_timeout: float = 10.0, attempts: int = 1,
                 delay: float = 2.0, key: str | None = None,
                 places: Mapping[str, Span] = NO_PLACES) -> None:  # fmt: skip
        self.where = self.topic = topic
        self._signer = Signer(key or "")
        mask = Mask(secrets)
        loggers = logging.Logger("kplan.state"), logging.Logger("kplan.kafka")  # own ones: their filters end with them
        for logger, parent in zip(loggers, ("kplan", "kplan.kafka"), strict=True):
            logger.parent = logging.getLogger(parent)
            logger.addFilter(MaskingFilter(mask))
        self._clients = Clients(config, topic, request_timeout, mask, *loggers,
                                Contact(config, mask, Retry(attempts, delay)), places)  # fmt: skip
        self._session = session_timeout
        self._turn = threading.RLock()
        self._asked: Cluster | None = None
        self._reader: Reader | None = None
        self._expected = False  # the topic is known to exist: its absence is a broker's ignorance

    @property
    def _cluster(self) -> Cluster:
        with self._turn:
            if self._asked is None:
                self._asked = Cluster(self._clients)
            return self._asked

    def overview(self) -> Overview:
        return self._read(lambda log: Overview(log.ledger(), log.open_runs(), log.unreadable()))

    def ledger(self) -> Mapping[Address, Owned]:
        """Every stack's records. Where two stacks claim one address, it is the first one's."""
        return self._read(Log.ledger)

    def runs(self) -> Sequence[str]:
        """Ids of all runs with details, the one that began first comes first."""
        return self._read(lambda log: [each.run for each in log.known_runs()])

    def summaries(self) -> Sequence[RunSummary]:
        return self._read(Log.run_summaries)

    def changes(self, stack: str, address: Address) -> Sequence[PastChange]:
        return self._read(lambda log: log.changes(stack, str(address)))

    def entries(self, run: str) -> Sequence[Entry]:
        """The records of `run` by their `seq`; none where there is no such run."""

        def find_entries(log: Log) -> list[Entry]:
            named = [each for each in log.runs.values() if each.run == run]
            trust = lambda each: (log.has_ended(each), len(each.problems) > len(each.unreadable), each.first)  # noqa: E731
            first = min(named, key=trust, default=None)
            if first is not None and first.unreadable:
                raise RecordUnreadable(first.unreadable[0].message, help=UNREADABLE_HELP)
            return first.entries() if first else []  # records of another stack under this id are not of this run

        return self._read(find_entries)

    def open_runs(self) -> Sequence[str]:
        """Ids of the runs without an `end`, oldest first."""
        return self._read(lambda log: list(log.open_runs()))

    def records(self) -> Sequence[Record]:
        """Return every record of the ledger and the journal, damaged ones too."""
        return self._read(Log.records)

    def holder(self, stack: str) -> Holder | None:
        """Who holds the lock now, asked of the group's coordinator; nobody is fenced or moved by it."""
        with self._explained():
            if self._cluster.described() is None:  # the question would make Kafka's topic of offsets
                return None
            end = time.monotonic() + self._session
            while True:
                members = self._cluster.members(stack, "Describe")
                found = self._named(members, stack)
                if found is not None or members.settled or time.monotonic() > end:
                    return found
                time.sleep(0.1)

    def lock(self, stack: str, holder: Holder, timeout: float) -> AbstractContextManager[Lock]:
        return self._locked(stack, holder, timeout)

    def close(self) -> None:
        """Connections are closed; a later call opens them anew."""
        with self._turn:
            if self._reader is not None:
                self._reader.close()
            self._reader = self._asked = None

    # -- reading ------------------------------------------------------------------------------------------------------
    def _read(self, look: Callable[[Log], T], patience: float | None = None) -> T:
        """What `look` makes of the records. Without `patience` (seconds), open transactions are waited for."""
        with self._turn, self._explained():
            if self._reader is None:
                self._reader = Reader(self._clients, self._cluster, self._signer)
            return look(self._reader.read(self._expected, patience))

    def _named(self, members: Members, stack: str) -> Holder | None:
        """The holder with command and time, which the lock's record has."""
        if not members.members:
            return None
        recorded = self._read(lambda log: log.locks.get(stack), NAMING_SECONDS)
        return members.holding(recorded)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """No error of the client or of unreadable data gets out but as a sentence that names the topic."""
        try:
            yield
        except KplanError as failure:
            if self.where not in failure.message and not isinstance(failure, Locked | Denied | Unreachable | Invalid):
                failure.message = f"{self.where}: {failure.message}"
                failure.args = (failure.message,)
            raise
        except KafkaException as failure:
            raise self._clients.said(failure, f"the state in {self.where} cannot be used") from failure
        except ValueError as failure:
            raise JournalBroken(f"the state in {self.where} cannot be used: a record cannot be read: {failure}",
                                help="see which run it is with `kplan recover --list`") from failure  # fmt: skip

    # -- locking ------------------------------------------------------------------------------------------------------
    @contextmanager
    def _locked(self, stack: str, holder: Holder, timeout: float) -> Iterator[Lock]:
        with self._explained():
            self._cluster.make_sure()
            self._expected = True
            held = self._acquire(stack, holder, timeout)
        try:
            yield held
        finally:
            held.release()

    def _acquire(self, stack: str, holder: Holder, timeout: float) -> KafkaLock:
        """Raises Locked when somebody else has it and `timeout` is over.

        Joining costs the holder one try of a write, so it is done only where nobody holds it. Of those who join at
        once one gets it; the others leave. While the group is rebalancing, brokers do not say who that is.
        """
        began = time.monotonic()
        while True:
            members = self._cluster.members(stack)
            if members.free:
                held = self._join(stack, holder)
                if held is not None:
                    return held
                members = self._cluster.members(stack)
            other = self._named(members, stack)
            allowed = timeout if other is not None else max(timeout, self._session + 5)
            left = began + allowed - time.monotonic()
            if left <= 0:
                raise _refusal(stack, other, self._session)
            longest = POLL_SECONDS if other is not None else 0.2
            time.sleep(min(left, longest * random.uniform(0.5, 1.0)))

    def _join(self, stack: str, holder: Holder) -> KafkaLock | None:
        """The lock; None where another one got it first."""
        started, group = time.monotonic(), self._clients.group(stack)
        membership = Membership(self._clients, group, holder, self._session)
        try:
            held = KafkaLock(self._clients, self._cluster, stack, holder, membership, self._signer)
            held.connect()  # while the group settles
            membership.settled.wait(max(self._clients.timeout, 2 * self._session))
            if membership.problem is not None:
                self._clients.log_request(f"join group {group}", started, refusal=KafkaException(membership.problem))
                raise self._refused(membership.problem, stack)
            outcome = "" if membership.held.is_set() else ", which another member holds"
            self._clients.log_request(f"join group {group}{outcome}", started)
            if membership.held.is_set():
                held.begin(lambda: self._read(lambda log: log.of(stack)))
                return held
        except BaseException as failure:
            late = membership.lost.is_set()
            membership.leave(self._clients.timeout)
            if isinstance(failure, JournalBroken) and late:
                return None  # this process was too slow, and somebody else has it now
            raise
        membership.leave(self._clients.timeout)
        return None

    def _refused(self, problem: KafkaError, stack: str) -> KplanError:
        group = self._clients.group(stack)
        if problem.code() == 26:  # INVALID_SESSION_TIMEOUT
            return Unsupported(f"the brokers do not allow a session of {self._session:g} s",
                               help="see the brokers' group.min.session.timeout.ms and …max…")  # fmt: skip
        return self._clients.meant(problem, f"group {group} cannot be joined", "Read")


def _refusal(stack: str, holder: Holder | None, session: float) -> Locked:
    words = "another process"
    if holder is not None:
        since = f" since {holder.since}: {holder.command}" if holder.since else ""
        words = f"{holder.who}{since} (run {holder.run}" + (f", pid {holder.pid})" if holder.pid else ")")
    return Locked(f"stack {stack} is locked by {words}",
                  help=f"wait for it with `--lock-timeout 60s`; a killed run's ends after {session:g} s")  # fmt: skip
