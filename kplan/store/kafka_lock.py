"""The lock of a stack, and the transactions that only its holder can write.

The member of the consumer group `kplan.STACK` that holds the topic's partition holds the stack; its heartbeats keep
it, and a killed one loses it after the session timeout. The assignor is `cooperative-sticky`, for `range` hands the
partition to newcomers. Each transaction commits offsets as that member and generation, so that brokers check
generation and producer epoch: whoever was stopped and superseded is refused at the next write.
"""

from __future__ import annotations

import struct
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from kplan.diagnostics import Denied, JournalBroken, KplanError
from kplan.journal import Entry
from kplan.model import Address, Owned
from kplan.store.base import Holder
from kplan.store.base import Record as Stored
from kplan.store.kafka_clients import (
    CLIENT,
    DENIED,
    EVICTED,
    HOPELESS,
    PASSING,
    STALE_GENERATION,
    TRANSACTION_SECONDS,
    TRY_SECONDS,
    Clients,
    code_of,
    problem_of,
)
from kplan.store.kafka_log import Log, Record, dumped, journal_records, ledger_key, ledger_record, lock_record
from kplan.store.kafka_topic import Cluster

OFFSETS_SECONDS: Final = 8.0  # for the part of a transaction that the group's coordinator answers
REWRITTEN_AT_ONCE: Final = 20  # records, each of up to a megabyte
GAP_SECONDS: Final = 0.01  # without it, polling starves every other call of a consumer (facts.md 1.2)
LONGEST_POLL_SECONDS: Final = 30.0  # a thread that does not poll for so long gives the lock up


class Membership:
    """One try to hold a group's partition. Its thread makes every call of the consumer, with a gap between polls."""

    def __init__(self, clients: Clients, group: str, holder: Holder, session: float) -> None:
        self.held = threading.Event()
        self.settled = threading.Event()  # the group has said who holds it, or there was an error
        self.lost = threading.Event()  # for ever: another may have held it since
        self.problem: KafkaError | None = None
        self._clients = clients
        self._stop = threading.Event()
        self._member: tuple[int, str] | None = None
        self._metadata = b""
        self._turn = threading.Lock()
        own = {
            "partition.assignment.strategy": "cooperative-sticky",
            "session.timeout.ms": round(session * 1000),
            "heartbeat.interval.ms": round(session * 200),
            "max.poll.interval.ms": round(max(LONGEST_POLL_SECONDS, session) * 1000),
            "auto.offset.reset": "latest",
        }
        self._consumer = clients.consumer(f"{CLIENT}{holder.who}/{holder.run}", group, **own)
        self._thread = threading.Thread(target=self._run, name=f"lock-{group}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._consumer.subscribe([self._clients.topic], on_assign=self._assigned, on_revoke=self._revoked,
                                     on_lost=self._revoked)  # fmt: skip
            while not self._stop.wait(GAP_SECONDS):
                message = self._consumer.poll(0.02)
                problem = message and message.error()
                if problem:
                    self._hear(problem)
                self._refresh()
        except Exception as exception:  # whatever it is, nobody holds anything any more
            self.problem = self.problem or problem_of(exception) or KafkaError(KafkaError._FAIL, repr(exception))
        finally:
            self._end()

    def _end(self) -> None:
        self.lost.set()
        self.held.clear()
        self.settled.set()
        with suppress(Exception):  # it may be unusable; its session ends by itself then
            self._consumer.close()

    def _assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        if partitions and not self.lost.is_set():
            consumer.pause(partitions)
            self.held.set()
            self._refresh()
        self.settled.set()

    def _revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self.lost.set()
            self.held.clear()
            consumer.incremental_unassign(partitions)

    def _hear(self, problem: KafkaError) -> None:
        """A refusal ends the try; anything else may pass."""
        if problem.code() in DENIED | {26, 24, 35} or problem.fatal():
            self.problem = problem
            self.settled.set()
        else:
            self._clients.contact.note(problem)

    def _refresh(self) -> None:
        """The generation changes whenever a contender joins; the member id only when this one was put out."""
        if not self.held.is_set() or self.lost.is_set():
            return
        metadata = self._consumer.consumer_group_metadata()
        generation, member = _member(metadata)
        with self._turn:
            if self._member is not None and member and member != self._member[1]:
                self.lost.set()
                self.held.clear()
            elif generation >= 0 and member:
                self._member, self._metadata = (generation, member), metadata

    def metadata(self) -> bytes | None:
        """What brokers check a write against; None once the lock is lost.

        Never that of a client without a member id: brokers let such a one commit unchecked.
        """
        with self._turn:
            return self._metadata if self._metadata and self.held.is_set() and not self.lost.is_set() else None

    def leave(self, seconds: float) -> None:
        """The group is left, if that is possible in time; else the session ends by itself."""
        self._stop.set()
        self._thread.join(seconds)


def _member(metadata: bytes) -> tuple[int, str]:
    """Generation and member id in librdkafka's serialised metadata: `CGMDv2:`, an int, then texts ended by NUL."""
    magic, colon, rest = metadata.partition(b":")
    if not magic.startswith(b"CGMD") or not colon or len(rest) < 4:
        raise ValueError("this client's group metadata has another format than librdkafka's CGMD")
    (generation,) = struct.unpack("=i", rest[:4])
    return generation, rest[4:].split(b"\0")[1].decode()


class KafkaLock:
    """The lock of one stack, held. A write is accepted by the brokers only while it is."""

    def __init__(self, clients: Clients, cluster: Cluster, stack: str, holder: Holder, membership: Membership) -> None:
        self._clients = clients
        self._cluster = cluster
        self._stack = stack
        self._holder = holder
        self._membership = membership
        self._turn = threading.Lock()
        self._log = Log()
        self._released = False
        self._lost = ""
        self._right = "Write"  # what a refused write lacks
        self._renew()

    def _renew(self) -> None:
        """A producer that has not been told to begin; what an earlier one left open is aborted by its beginning."""
        holder, clients = self._holder, self._clients
        own = {
            "transactional.id": clients.group(self._stack),
            "transaction.timeout.ms": round(TRANSACTION_SECONDS * 1000),
            "linger.ms": 0,
            "message.max.bytes": 8_000_000,
            "batch.size": 900_000,
            "compression.type": "lz4",
        }
        name = f"{CLIENT}{holder.who}/{holder.run}"
        self._producer = Producer(clients.settings(name, **own), logger=clients.library)

    def connect(self) -> None:
        """The producer is connected and knows the topic's leader, and claims nothing yet.

        One that begins without that may wait for half a second, and as long again before it sends (2.16.0). The first
        answer comes through a connection that is given up for one to the broker by its id; the second one needs that.
        """
        with suppress(KafkaException):  # what is wrong, `begin` says
            for _ in range(2):
                self._producer.list_topics(self._clients.topic, timeout=min(TRY_SECONDS, self._clients.timeout))

    def begin(self, reader: Callable[[], Log]) -> None:
        """Predecessors are fenced and their open transaction is aborted; what they wrote is known; so is the holder."""
        try:
            self._producer.init_transactions(self._clients.timeout)
        except KafkaException as exception:
            if code_of(exception) in PASSING:
                raise self._cluster.no_transactions() from exception
            raise self._clients.said(exception, "no transactions for kplan") from exception
        # Written before anything is read: its end also ends what a broker that was killed left open of this stack's
        # last transaction, which readers would wait for in vain.
        self._commit([lock_record(self._stack, self._holder, "held")])
        self._log = reader()

    def write(self, entries: Sequence[Entry] = (), ledger: Mapping[Address, Owned | None] | None = None) -> None:
        """All of it is in the topic, in one transaction. Records of other stacks are refused (ValueError)."""
        self._check_stack(entries, ledger or {})
        with self._turn:
            if self._released:
                raise JournalBroken(f"the lock of stack {self._stack} was released, so nothing more is written")
            records = [*self._ledger_records(ledger or {}), *self._journal_records(entries)]
            if records:
                self._commit(records)

    def rewrite(self, records: Sequence[Stored]) -> None:
        """Replace records, some in a transaction; the topic keeps what they were until it is compacted."""
        if any(not record.key.startswith(f"stack/{self._stack}/") for record in records):
            raise ValueError(f"the lock of {self._stack} does not cover the records of another stack")
        with self._turn:
            if self._released:
                raise JournalBroken(f"the lock of stack {self._stack} was released, so nothing more is written")
            for start in range(0, len(records), REWRITTEN_AT_ONCE):
                some = records[start : start + REWRITTEN_AT_ONCE]
                self._commit([(record.key, dict(record.data)) for record in some])

    def release(self) -> None:
        """It is said to be released, if that can be; nothing can be written any more, and the group is left."""
        with self._turn:
            try:
                if not self._released and not self._lost and self._membership.metadata() is not None:
                    with suppress(KplanError):
                        self._commit([lock_record(self._stack, self._holder, "released")])
            finally:
                self._released = True
                self._membership.leave(self._clients.timeout)

    def _check_stack(self, entries: Sequence[Entry], ledger: Mapping[Address, Owned | None]) -> None:
        others = {entry.stack for entry in entries} | {owned.stack for owned in ledger.values() if owned}
        if others - {self._stack}:
            raise ValueError(f"the lock of {self._stack} does not cover {', '.join(sorted(others - {self._stack}))}")

    def _ledger_records(self, ledger: Mapping[Address, Owned | None]) -> Iterator[Record]:
        for address, owned in ledger.items():
            claim = self._log.claims.get(address, {}).get(self._stack)
            key = ledger_key(self._stack, address)
            if owned is not None:
                yield ledger_record(owned, claim.claimed if claim else None)
            elif claim is not None or key in self._log.broken:
                yield key, None

    def _journal_records(self, entries: Sequence[Entry]) -> Iterator[Record]:
        """Each entry's records; with an `end`, the removal of what is older than the newest runs."""
        for entry in entries:
            log = self._log.runs.get((self._stack, entry.run))
            if log is not None and any(seq == entry.seq for seq, _ in log.keys.values()):
                raise JournalBroken(
                    f"entry {entry.seq} of run {entry.run} is there already", help="see `kplan recover --list`"
                )
            yield from journal_records(entry)
            if entry.event == "end":
                yield from ((key, None) for key in self._log.forgotten(self._stack, entry.run))

    # -- transactions -------------------------------------------------------------------------------------------------
    def _commit(self, records: Sequence[Record]) -> None:
        """The records are durable and of this holder. Raises JournalBroken; once the lock is lost, for ever."""
        encoded = [(key.encode(), None if data is None else dumped(data)) for key, data in records]
        deadline = time.monotonic() + self._clients.timeout
        pause = 0.02
        while True:
            self._refuse_lost()
            try:
                offsets = self._transaction(encoded, deadline)
                break
            except KafkaException as exception:
                self._give_up(exception, deadline)
            except KplanError:
                raise
            except Exception as exception:  # of a fenced client, any call may raise anything (facts.md 5.1)
                self._lost = self._because(exception.__cause__ or exception)
                self._refuse_lost(exception)
            except BaseException as exception:  # an interrupt: how far the write came is not known
                self._lost = f"a write was cut off ({type(exception).__name__})"
                raise
            time.sleep(pause)
            pause = min(0.5, pause * 2)
        for (key, value), offset in zip(encoded, offsets, strict=True):
            self._log.put(offset, key, value)

    def _transaction(self, encoded: Sequence[tuple[bytes, bytes | None]], deadline: float) -> list[int]:
        """One try. The offsets bind it to the member and generation: a transaction without them is no fence check."""
        offsets: dict[int, int] = {}
        failures: list[KafkaError] = []
        self._producer.begin_transaction()
        for number, (key, value) in enumerate(encoded):

            def told(problem: KafkaError | None, message: Any, number: int = number) -> None:
                if problem is not None:
                    failures.append(problem)
                else:
                    offsets[number] = message.offset()

            self._producer.produce(self._clients.topic, value, key, 0, on_delivery=told)
        self._producer.flush(max(0.1, deadline - time.monotonic()))
        metadata = self._membership.metadata()
        if metadata is None:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "the lock is not held"))
        where = [TopicPartition(self._clients.topic, 0, 0)]
        # After a failure this raises, too, and its error says why; a delivery's only says that it was purged.
        self._right = "Write" if failures else "Read"  # whoever commits offsets of a topic must be allowed to read it
        self._send_offsets(where, metadata, max(0.1, min(OFFSETS_SECONDS, deadline - time.monotonic())))
        if failures or len(offsets) < len(encoded):
            raise KafkaException(failures[0] if failures else KafkaError(KafkaError._TIMED_OUT, "not written in time"))
        self._end_transaction(deadline)
        return [offsets[number] for number in range(len(encoded))]

    def _send_offsets(self, where: list[TopicPartition], metadata: bytes, seconds: float) -> None:
        """As the client's own, but it ends: the client's may hang once the group's coordinator has died (2.16.0).

        A producer that hangs is given up for a new one, while the group's membership says that the lock is still held.
        """
        outcome: Future[None] = Future()
        producer = self._producer

        def send() -> None:
            try:
                producer.send_offsets_to_transaction(where, metadata, seconds)
                outcome.set_result(None)
            except BaseException as exception:
                outcome.set_exception(exception)

        threading.Thread(target=send, name="offsets", daemon=True).start()
        if not wait([outcome], seconds + 2).done:
            self._refuse_lost()
            self._renew()
            self._producer.init_transactions(self._clients.timeout)
            raise KafkaException(KafkaError(KafkaError._RETRY, "the group's coordinator changed"))
        outcome.result()

    def _end_transaction(self, deadline: float) -> None:
        """A commit whose answer is late is asked for again: the coordinator knows whether it was."""
        while True:
            try:
                self._producer.commit_transaction(max(0.1, deadline - time.monotonic()))
                return
            except KafkaException as exception:
                problem = problem_of(exception)
                if problem is None or not problem.retriable() or problem.txn_requires_abort():
                    raise
                if time.monotonic() > deadline:
                    self._lost = "whether the last write took effect is not known"
                    raise JournalBroken(f"{self._clients.topic} cannot be written: {problem.str()}; {self._lost}",
                                        help="see `kplan recover`") from exception  # fmt: skip

    def _give_up(self, exception: KafkaException, deadline: float) -> None:
        """Returns if another try is right: the transaction is undone then. Otherwise raises."""
        problem = problem_of(exception)
        code = code_of(exception)
        if code == KafkaError._RETRY:
            return  # with a new producer, which has nothing open
        if problem is None or problem.fatal() or code in EVICTED:
            self._lost = self._because(exception)
        else:
            self._abort(deadline)
        if code in HOPELESS:
            raise self._unwritten(exception) from exception
        self._refuse_lost(exception)
        late = time.monotonic() > deadline
        if code in STALE_GENERATION and late:
            self._lost = "the group has another generation"
            self._refuse_lost(exception)
        if late:
            raise self._unwritten(exception) from exception

    def _because(self, exception: BaseException) -> str:
        return "another run took over" if code_of(exception) in EVICTED else self._clients.mask.mask(str(exception))

    def _abort(self, deadline: float) -> None:
        """The open transaction is undone; where that cannot be, the lock counts as lost."""
        while True:
            try:
                self._producer.abort_transaction(5.0)
                return
            except KafkaException as exception:
                problem = problem_of(exception)
                if problem is None or not problem.retriable() or time.monotonic() > deadline:
                    self._lost = self._clients.mask.mask(str(problem or exception))
                    return

    def _unwritten(self, exception: KafkaException) -> KplanError:
        said = self._clients.said(exception, f"{self._clients.topic} cannot be written", self._right)
        return said if isinstance(said, Denied) else JournalBroken(said.message, help=said.help)

    def _refuse_lost(self, cause: BaseException | None = None) -> None:
        if not self._lost and self._membership.lost.is_set():
            self._lost = "its session ended"
        if self._lost:
            message = f"the lock of stack {self._stack} was lost: {self._lost}{self._successor()}"
            raise JournalBroken(message, help="nothing more is changed by this run; see `kplan recover`") from cause

    def _successor(self) -> str:
        with suppress(KplanError):
            found = self._cluster.members(self._stack).holding(None)
            if found is not None and found.run != self._holder.run:
                return f"; {found.who} has it now (run {found.run})"
        return ""
