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
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from kplan.diagnostics import Denied, JournalBroken, KplanError, Timeout, Unreachable, codes
from kplan.model import Address, Owned
from kplan.model.history import past_changes, summarize, surplus, with_change
from kplan.model.journal import Entry
from kplan.state.base import Holder, ledger_key, summary_key
from kplan.state.base import Record as Stored
from kplan.state.kafka.clients import (
    CLIENT,
    DENIED,
    EVICTED,
    HOPELESS,
    PASSING,
    SILENT,
    STALE_GENERATION,
    TRANSACTION_SECONDS,
    TRY_SECONDS,
    Clients,
    code_of,
    problem_of,
)
from kplan.state.kafka.log import (
    Log,
    Record,
    dumped,
    history_record,
    journal_records,
    ledger_record,
    lock_key,
    lock_record,
    summary_record,
)
from kplan.state.kafka.topic import Cluster
from kplan.state.signing import Signer

OFFSETS_SECONDS: Final = 8.0  # for the part of a transaction that the group's coordinator answers
REWRITTEN_AT_ONCE: Final = 20  # records, each of up to a megabyte
GAP_SECONDS: Final = 0.01  # without it, polling starves every other call of a consumer (facts.md 1.2)
LONGEST_POLL_SECONDS: Final = 30.0  # a thread that does not poll for so long gives the lock up
RELEASE_SECONDS: Final = 5.0  # for the last write, and for leaving the group: its session ends by itself
REGAIN_SECONDS: Final = 5.0  # beyond the session, at least, until a lock that brokers lost must be held again


TAKEN_OVER: Final = "another run took over"


class Membership:
    """One try to hold a group's partition. Its thread makes every call of the consumer, with a gap between polls."""

    def __init__(self, clients: Clients, group: str, holder: Holder, session: float) -> None:
        self.held = threading.Event()
        self.settled = threading.Event()  # the group has said who holds it, or there was an error
        self.lost = threading.Event()  # for ever: another may have held it since
        self.problem: KafkaError | None = None
        self._clients = clients
        self.session = session
        self._polled = time.monotonic()
        self._longest_pause = 0.0
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
                self._longest_pause, self._polled = self._pause(), time.monotonic()
                message = self._consumer.poll(0.02)
                problem = message and message.error()
                if problem:
                    self._hear(problem)
                self._refresh()
        except Exception as exception:  # whatever it is, nobody holds anything any more
            self.problem = self.problem or problem_of(exception) or KafkaError(KafkaError._FAIL, repr(exception))
        finally:
            self._end()

    def _pause(self) -> float:
        """The longest time for which this thread did not run, in seconds."""
        return max(self._longest_pause, time.monotonic() - self._polled)

    @property
    def was_stopped(self) -> bool:
        """Whether the process, not the brokers, may be why the session ended: it began before the process stopped."""
        return self._pause() > self.session / 2

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

    def __init__(self, clients: Clients, cluster: Cluster, stack: str, holder: Holder, membership: Membership,
                 signer: Signer) -> None:  # fmt: skip
        self._clients = clients
        self._signer = signer
        self._cluster = cluster
        self._stack = stack
        self._holder = holder
        self._membership = membership
        self._turn = threading.Lock()
        self._log = Log(signer=signer)
        self._released = False
        self._lost = ""
        self._right = "Write"  # what a refused write lacks
        self._reader: Callable[[], Log] | None = None  # set when the lock is held
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
        started = time.monotonic()
        with suppress(KafkaException):  # what is wrong, `begin` says
            for _ in range(2):
                self._producer.list_topics(self._clients.topic, timeout=min(TRY_SECONDS, self._clients.timeout))
        self._clients.log_request("connect the producer", started)

    def begin(self, reader: Callable[[], Log]) -> None:
        """Predecessors are fenced and their open transaction is aborted; what they wrote is known; so is the holder."""
        started = time.monotonic()
        try:
            self._producer.init_transactions(self._clients.timeout)
            self._clients.log_request("init transactions", started)
        except KafkaException as exception:
            self._clients.log_request("init transactions", started, refusal=exception)
            self._producer.poll(0)  # serves the callbacks
            if code_of(exception) in PASSING:
                raise self._cluster.no_transactions() from exception
            raise self._clients.said(exception, "no transactions for kplan") from exception
        # Written before anything is read: its end also ends what a broker that was killed left open of this stack's
        # last transaction, which readers would wait for in vain.
        self._commit([lock_record(self._stack, self._holder, "held")])
        self._log = reader()
        self._reader = reader

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
                self._commit([(record.key, dict(record.data)) for record in some],
                             unsigned={record.key for record in some if record.fault})  # fmt: skip

    def release(self) -> None:
        """It is said to be released, if that can be; nothing can be written any more, and the group is left."""
        with self._turn:
            try:
                if not self._released and not self._lost and self._membership.metadata() is not None:
                    self._reader = None  # a lock that is lost now need not be had again
                    with suppress(KplanError):
                        self._commit([lock_record(self._stack, self._holder, "released")], RELEASE_SECONDS)
            finally:
                self._released = True
                self._membership.leave(min(RELEASE_SECONDS, self._clients.timeout))

    def _check_stack(self, entries: Sequence[Entry], ledger: Mapping[Address, Owned | None]) -> None:
        others = {entry.stack for entry in entries} | {owned.stack for owned in ledger.values() if owned}
        if others - {self._stack}:
            raise ValueError(f"the lock of {self._stack} does not cover {', '.join(sorted(others - {self._stack}))}")

    def _ledger_records(self, ledger: Mapping[Address, Owned | None]) -> Iterator[Record]:
        for address, owned in ledger.items():
            claim = self._log.claims.get(address, {}).get(self._stack)
            if owned is not None:
                yield ledger_record(owned, claim.claimed if claim else None)
            elif claim is not None:
                yield ledger_key(self._stack, address), None

    def _journal_records(self, entries: Sequence[Entry]) -> Iterator[Record]:
        """Each entry's records; with an `end`, what stays of the run, and the removal of the details of older ones."""
        for entry in entries:
            log = self._log.runs.get((self._stack, entry.run))
            if log is not None and any(seq == entry.seq for seq, _ in log.records):
                raise JournalBroken(
                    f"entry {entry.seq} of run {entry.run} is there already", help="see `kplan recover --list`"
                )
            yield from journal_records(entry)
        for run in dict.fromkeys(entry.run for entry in entries if entry.event == "end"):
            known = self._log.runs.get((self._stack, run))
            earlier = known.entries() if known is not None else []
            yield from self._lasting_records([*earlier, *(entry for entry in entries if entry.run == run)])
            yield from ((key, None) for key in self._log.forgotten(self._stack, run))

    def _lasting_records(self, ended: Sequence[Entry]) -> Iterator[Record]:
        """The summary of the run that ends, those that older runs lack, and the history of what it changed."""
        made = [summarize(ended), *(summarize(log.entries()) for log in self._log.unsummarized())]
        summaries = [summary for summary in made if summary is not None]
        yield from map(summary_record, summaries)
        known = [summary for _, summary in self._log.summaries.values()]
        yield from ((summary_key(self._stack, run), None) for run in surplus([*known, *summaries]))
        for address, change in past_changes(ended).items():
            try:
                earlier = self._log.changes(self._stack, address)
            except ValueError as cause:
                self._clients.logger.warning("the history of %s begins again: it cannot be read: %s", address, cause)
                earlier = []
            yield history_record(self._stack, address, with_change(earlier, change))

    # -- transactions -------------------------------------------------------------------------------------------------
    def _commit(self, records: Sequence[Record], seconds: float | None = None, unsigned: Collection[str] = ()) -> None:
        """The records are durable and of this holder. Raises JournalBroken; once the lock is lost, for ever."""
        unsigned = {*unsigned, lock_key(self._stack)}
        encoded = [(key.encode(), None if data is None else dumped(self._signed(key, data, unsigned)))
                   for key, data in records]  # fmt: skip
        deadline = time.monotonic() + min(seconds or self._clients.timeout, self._clients.timeout)
        pause = 0.02
        while True:
            self._refuse_lost()
            cause: Exception | None = None
            started = time.monotonic()
            try:
                offsets = self._transaction(encoded, deadline)
                size = sum(len(key) + len(value or b"") for key, value in encoded)
                self._clients.log_request(f"write in a transaction, {size} bytes", started, len(encoded))
                break
            except KafkaException as exception:
                failure: BaseException = exception
                self._clients.log_request("write in a transaction", started, len(encoded), exception)
                if self._is_gone(exception, deadline):
                    cause = exception
            except KplanError:
                raise
            except Exception as exception:  # of a fenced client, any call may raise anything (facts.md 5.1)
                cause = failure = exception
                self._clients.log_request("write in a transaction", started, len(encoded), exception)
            except BaseException as exception:  # an interrupt: how far the write came is not known
                self._lost = f"a write was cut off ({type(exception).__name__})"
                raise
            if cause is not None:
                self._regain(cause, deadline)
                if self._is_written(encoded):
                    return
            self._clients.pause("write in a transaction", failure, pause)
            pause = min(0.5, pause * 2)
        for (key, value), offset in zip(encoded, offsets, strict=True):
            self._log.put(offset, key, value)

    def _signed(self, key: str, data: Mapping[str, Any], unsigned: Collection[str]) -> dict[str, Any]:
        """Return the record's value with its signature, unless its key is one of `unsigned`."""
        return (Signer() if key in unsigned else self._signer).sign(key, data)

    # -- a lock that was lost ---------------------------------------------------------------------------------------
    def _regain(self, cause: Exception, deadline: float) -> None:
        """The lock is held again, and nobody else had it meanwhile. Raises JournalBroken otherwise.

        A coordinator that was away, or that was restarted, forgets members and producers without anybody having taken
        their place. Whoever takes a lock writes that down before anything else: so if the newest record of the lock is
        this run's own, read as a holder again, no other run had it (facts.md 5.2).
        """
        reader = self._reader
        if reader is None or self._membership.was_stopped:
            self._lost = self._because(cause)
            self._refuse_lost(cause)
            return
        self._clients.logger.info("the lock of stack %s was lost, and is taken again: %s", self._stack, cause)
        end = max(deadline, time.monotonic() + self._membership.session + REGAIN_SECONDS)
        while True:
            try:
                self._rejoin(end)
                self._renew()
                self.connect()
                self._producer.init_transactions(max(1.0, end - time.monotonic()))
                # Ends what a broker that was killed left open, which the reader would wait for: a run has no summary
                # before its end, so this removes nothing.
                self._transaction([(summary_key(self._stack, self._holder.run).encode(), None)], end)
                self._refuse_others(reader())
                return
            except (KafkaException, Timeout, Unreachable) as exception:
                if code_of(exception) in HOPELESS or time.monotonic() > end:
                    self._lost = self._because(exception)
                    self._refuse_lost(exception)
                failure = exception
            self._clients.pause(f"take the lock of stack {self._stack} again", failure, 0.5)

    def _rejoin(self, end: float) -> None:
        """This process holds the group's partition as a member of now. A lock that somebody else holds is lost."""
        old = self._membership
        if old.metadata() is None or old.lost.is_set():
            old.leave(1.0)
            group = self._clients.group(self._stack)
            self._membership = Membership(self._clients, group, self._holder, old.session)
        asked = time.monotonic()
        while not self._membership.held.wait(0.2):
            if self._membership.problem is not None:
                raise KafkaException(self._membership.problem)
            if time.monotonic() > end:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the group was not joined in time"))
            if time.monotonic() - asked > 1.0:
                asked = time.monotonic()
                if self._successor():
                    self._lost = TAKEN_OVER
                    self._refuse_lost()

    def _refuse_others(self, fresh: Log) -> None:
        """Raise JournalBroken where another run had the lock meanwhile, or records of this one are gone."""
        _, recorded = fresh.locks.get(self._stack, ("", None))
        known = self._log.runs.get((self._stack, self._holder.run))
        now = fresh.runs.get((self._stack, self._holder.run))
        if recorded is None or (known is not None and (now is None or known.records.keys() - now.records.keys())):
            self._lost = "records that this run wrote are no longer there"
        elif recorded != self._holder:
            self._lost = f"{TAKEN_OVER}: {recorded.who} (run {recorded.run})"
        elif others := {run for _, run in fresh.runs} - {run for _, run in self._log.runs} - {self._holder.run}:
            self._lost = f"{TAKEN_OVER} (run {min(others)})"
        self._refuse_lost()
        self._log = fresh

    def _is_written(self, encoded: Sequence[tuple[bytes, bytes | None]]) -> bool:
        """Whether the write of a journal's record had taken effect: then all of its transaction has."""
        written = {(key, value) for log in self._log.runs.values() for _, key, value in log.records.values()}
        return any((key.decode(), value) in written for key, value in encoded if value is not None)

    # -- one transaction --------------------------------------------------------------------------------------------
    def _transaction(self, encoded: Sequence[tuple[bytes, bytes | None]], deadline: float) -> list[int]:
        """One try. The offsets bind it to the member and generation: a transaction without them is no fence check."""
        offsets: dict[int, int] = {}
        failures: list[KafkaError] = []
        if self._membership.metadata() is None:  # nothing is left open, whose end would be an abort
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "the lock is not held"))
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

        A producer that hangs is given up for a new one.
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
            raise ProducerHangs("the group's coordinator does not answer")
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

    def _is_gone(self, exception: KafkaException, deadline: float) -> bool:
        """Whether the lock, or its producer, is gone; False where another try is right. Raises where none is."""
        problem = problem_of(exception)
        code = code_of(exception)
        gone = problem is None or problem.fatal() or code in EVICTED or not self._abort(deadline)
        if code in HOPELESS:
            self._lost = self._because(exception) if gone else ""
            raise self._unwritten(exception) from exception
        if gone or self._membership.lost.is_set():
            return True
        if time.monotonic() > deadline:
            if code in STALE_GENERATION:
                self._lost = "the group has another generation"
                self._refuse_lost(exception)
            raise self._unwritten(exception) from exception
        return False

    def _because(self, exception: BaseException) -> str:
        """Why the lock is lost, where it is not known that another run has it."""
        if self._membership.was_stopped:
            return "this process did not run for longer than `timeouts: session`"
        if isinstance(exception, KplanError):
            return exception.message
        if code_of(exception) in EVICTED | SILENT and self._reader is not None:
            return f"the brokers were away, {self._clients.contact.unreachable().message}"
        if code_of(exception) in EVICTED:
            return "its session ended"
        return self._clients.mask.mask(str(exception))

    def _abort(self, deadline: float) -> bool:
        """Whether the open transaction is undone."""
        while True:
            try:
                self._producer.abort_transaction(max(0.1, min(5.0, deadline - time.monotonic())))
                return True
            except KafkaException as exception:
                problem = problem_of(exception)
                if problem is None or not problem.retriable() or time.monotonic() > deadline:
                    return False

    def _unwritten(self, exception: KafkaException) -> KplanError:
        said = self._clients.said(exception, f"{self._clients.topic} cannot be written", self._right)
        if isinstance(said, Denied):
            return said
        self._producer.poll(0)  # serves the callbacks
        return self._clients.contact.explain_throttling(JournalBroken(said.message, help=said.help))

    def _refuse_lost(self, cause: BaseException | None = None) -> None:
        if self._lost:
            message = f"the lock of stack {self._stack} was lost: {self._lost}{self._successor()}"
            help = "nothing more is changed by this run; see `kplan recover`"
            problem = JournalBroken(message, help=help, code=codes.K624)
            raise self._clients.contact.explain_throttling(problem) from cause

    def _successor(self) -> str:
        """Who holds the lock now, as the end of a sentence; empty where that is nobody else, or not known."""
        with suppress(KplanError):
            found = self._cluster.members(self._stack, patience=TRY_SECONDS).holding(None)
            if found is not None and found.run != self._holder.run:
                return f"; {found.who} has it now (run {found.run})"
        return ""


class ProducerHangs(Exception):
    """A call of the client does not return: its producer is given up."""
