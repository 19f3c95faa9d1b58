"""Hold the lock of a stack, and make the writes that only its holder can make.

`membership` knows who holds it, `producer` writes its transactions; this module decides what to do when a write fails:
try again, take the lock again, or give up.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException

from kplan.diagnostics import Denied, JournalBroken, KplanError, Timeout, Unreachable, codes
from kplan.model import Address, Owned
from kplan.model.journal import Entry
from kplan.state.base import Holder, make_summary_key
from kplan.state.base import Record as Stored
from kplan.state.kafka.clients import (
    ATTEMPT_TIMEOUT_S,
    EVICTED,
    PERMANENT,
    SILENT,
    STALE_GENERATION,
    TRANSIENT,
    Clients,
    find_code,
    find_problem,
)
from kplan.state.kafka.log import Log, Record, encode_json, make_lock_key, make_lock_record
from kplan.state.kafka.membership import Membership
from kplan.state.kafka.producer import OUTCOME_UNKNOWN, Encoded, OutcomeUnknown, StackProducer
from kplan.state.kafka.stack_records import StackRecords
from kplan.state.kafka.topic import StateCluster
from kplan.state.signing import Signer

MAX_REWRITTEN_RECORDS: Final = 20  # in one transaction; each has up to a megabyte
RELEASE_TIMEOUT_S: Final = 5.0  # for the last write, and for leaving the group: its session ends by itself
REGAIN_TIMEOUT_S: Final = 5.0  # beyond the session, at least, until a lock that brokers lost must be held again
TAKEN_OVER: Final = "another run took over"


class KafkaLock:
    """Hold the lock of one stack. Brokers accept a write only while it is held."""

    def __init__(self, clients: Clients, cluster: StateCluster, stack: str, holder: Holder, membership: Membership,
                 signer: Signer, producer: StackProducer) -> None:  # fmt: skip
        self._clients = clients
        self._signer = signer
        self._cluster = cluster
        self._stack = stack
        self._holder = replace(holder, actor="", request="")  # as its record has it
        self._membership = membership
        self._producer = producer
        self._turn = threading.Lock()
        self._log = Log(signer=signer)
        self._released = False
        self._lost = ""
        self._reader: Callable[[], Log] | None = None  # set when the lock is held

    def begin(self, reader: Callable[[], Log]) -> None:
        """Fence predecessors, abort their open transaction, record the holder, and read what predecessors wrote."""
        started = time.monotonic()
        try:
            self._producer.init_transactions(self._clients.timeout)
            self._clients.log_request("init transactions", started)
        except KafkaException as exception:
            self._clients.log_request("init transactions", started, refusal=exception)
            self._producer.serve_callbacks()
            if find_code(exception) in TRANSIENT:
                raise self._cluster.make_transactions_error() from exception
            raise self._clients.to_kplan_error(exception, "no transactions for kplan") from exception
        # Written before anything is read: its end also ends what a broker that was killed left open of this stack's
        # last transaction, which readers would wait for in vain.
        self._commit([make_lock_record(self._stack, self._holder, "held")])
        self._log = reader()
        self._reader = reader

    def write(self, entries: Sequence[Entry] = (), ledger: Mapping[Address, Owned | None] | None = None) -> None:
        """Write everything to the topic in one transaction. Records of other stacks are refused (ValueError)."""
        self._check_stack(entries, ledger or {})
        with self._turn:
            if self._released:
                raise JournalBroken(f"the lock of stack {self._stack} was released, so nothing more is written")
            stack_records = StackRecords(self._stack, self._log, self._clients.logger)
            records = [*stack_records.make_for_ledger(ledger or {}), *stack_records.make_for_journal(entries)]
            if records:
                # The release is recorded with the end of the run: a transaction right after another one waits for it.
                self._commit([*records, *self._make_lock_records(any(entry.event == "end" for entry in entries))])

    def rewrite(self, records: Sequence[Stored]) -> None:
        """Replace records, some in a transaction; the topic keeps what they were until it is compacted."""
        if any(not record.key.startswith(f"stack/{self._stack}/") for record in records):
            raise ValueError(f"the lock of {self._stack} does not cover the records of another stack")
        with self._turn:
            if self._released:
                raise JournalBroken(f"the lock of stack {self._stack} was released, so nothing more is written")
            for start in range(0, len(records), MAX_REWRITTEN_RECORDS):
                part = records[start : start + MAX_REWRITTEN_RECORDS]
                self._commit([(record.key, dict(record.data)) for record in part],
                             unsigned={record.key for record in part if record.fault})  # fmt: skip

    def release(self) -> None:
        """Record the release, if possible, and leave the group; nothing can be written any more."""
        with self._turn:
            try:
                if not self._released and not self._lost and self._membership.get_metadata() is not None:
                    self._reader = None  # a lock that is lost now is not needed again
                    if records := self._make_lock_records(is_over=True):
                        with suppress(KplanError):
                            self._commit(records, RELEASE_TIMEOUT_S)
            finally:
                self._released = True
                self._membership.leave(min(RELEASE_TIMEOUT_S, self._clients.timeout))

    def _make_lock_records(self, is_over: bool) -> list[Record]:
        """Return the record of the lock, unless the topic has it already. `is_over`: nothing else is to be written."""
        state = "released" if is_over else "held"
        is_known = self._log.locks.get(self._stack) == (state, self._holder)
        return [] if is_known else [make_lock_record(self._stack, self._holder, state)]

    def _check_stack(self, entries: Sequence[Entry], ledger: Mapping[Address, Owned | None]) -> None:
        others = {entry.stack for entry in entries} | {owned.stack for owned in ledger.values() if owned}
        if others - {self._stack}:
            raise ValueError(f"the lock of {self._stack} does not cover {', '.join(sorted(others - {self._stack}))}")

    # -- transactions -------------------------------------------------------------------------------------------------
    def _commit(self, records: Sequence[Record], seconds: float | None = None, unsigned: Collection[str] = ()) -> None:
        """Write the records durably as this holder. Raises JournalBroken; always, once the lock is lost."""
        unsigned = {*unsigned, make_lock_key(self._stack)}
        encoded = [(key.encode(), None if data is None else encode_json(self._sign(key, data, unsigned)))
                   for key, data in records]  # fmt: skip
        deadline = time.monotonic() + min(seconds or self._clients.timeout, self._clients.timeout)
        pause = 0.02
        while True:
            self._refuse_lost()
            cause: Exception | None = None
            started = time.monotonic()
            try:
                offsets = self._write_once(encoded, deadline)
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

    def _sign(self, key: str, data: Mapping[str, Any], unsigned: Collection[str]) -> dict[str, Any]:
        """Return the record's value with its signature, unless its key is one of `unsigned`."""
        return (Signer() if key in unsigned else self._signer).sign(key, data)

    def _write_once(self, encoded: Encoded, deadline: float) -> list[int]:
        """Try once, and return the records' offsets."""
        try:
            return self._producer.write(encoded, self._membership, deadline)
        except OutcomeUnknown:
            self._lost = OUTCOME_UNKNOWN
            raise

    # -- a lock that was lost ---------------------------------------------------------------------------------------
    def _regain(self, cause: Exception, deadline: float) -> None:
        """Take the lock again, if no other run had it meanwhile. Raises JournalBroken otherwise.

        A coordinator that was away, or that was restarted, forgets members and producers without a successor. A run
        that takes a lock writes that first: so if the newest record of the lock is this run's own, read as a holder
        again, no other run had it (facts.md 5.2).
        """
        reader = self._reader
        if reader is None or self._membership.was_stopped:
            self._lost = self._explain_loss(cause)
            self._refuse_lost(cause)
            return
        self._clients.logger.info("the lock of stack %s was lost, and is taken again: %s", self._stack, cause)
        end = max(deadline, time.monotonic() + self._membership.session + REGAIN_TIMEOUT_S)
        while True:
            try:
                self._rejoin(end)
                self._producer.renew()
                self._producer.connect()
                self._producer.init_transactions(max(1.0, end - time.monotonic()))
                # Ends what a broker that was killed left open, which the reader would wait for: a run has no summary
                # before its end, so this removes nothing.
                self._write_once([(make_summary_key(self._stack, self._holder.run).encode(), None)], end)
                self._refuse_others(reader())
                return
            except (KafkaException, Timeout, Unreachable) as exception:
                if find_code(exception) in PERMANENT or time.monotonic() > end:
                    self._lost = self._explain_loss(exception)
                    self._refuse_lost(exception)
                failure = exception
            self._clients.pause(f"take the lock of stack {self._stack} again", failure, 0.5)

    def _rejoin(self, end: float) -> None:
        """Join the group again, and wait for its partition. A lock that another run holds is lost."""
        old = self._membership
        if old.get_metadata() is None or old.lost.is_set():
            old.leave(1.0)
            group = self._clients.name_group(self._stack)
            self._membership = Membership(self._clients, group, self._holder, old.session)
        asked_at = time.monotonic()
        while not self._membership.held.wait(0.2):
            if self._membership.problem is not None:
                raise KafkaException(self._membership.problem)
            if time.monotonic() > end:
                raise KafkaException(KafkaError(KafkaError._TIMED_OUT, "the group was not joined in time"))
            if time.monotonic() - asked_at > 1.0:
                asked_at = time.monotonic()
                if self._describe_successor():
                    self._lost = TAKEN_OVER
                    self._refuse_lost()

    def _refuse_others(self, fresh: Log) -> None:
        """Raise JournalBroken where another run had the lock meanwhile, or records of this one are gone."""
        _, recorded = fresh.locks.get(self._stack, ("", None))
        own_log = self._log.runs.get((self._stack, self._holder.run))
        fresh_log = fresh.runs.get((self._stack, self._holder.run))
        if recorded is None or (
            own_log is not None and (fresh_log is None or own_log.records.keys() - fresh_log.records.keys())
        ):
            self._lost = "records that this run wrote are no longer there"
        elif recorded != self._holder:
            self._lost = f"{TAKEN_OVER}: {recorded.who} (run {recorded.run})"
        elif others := {run for _, run in fresh.runs} - {run for _, run in self._log.runs} - {self._holder.run}:
            self._lost = f"{TAKEN_OVER} (run {min(others)})"
        self._refuse_lost()
        self._log = fresh

    def _is_written(self, encoded: Encoded) -> bool:
        """Return whether the write of a journal's record had taken effect: then all of its transaction has."""
        written = {(key, value) for log in self._log.runs.values() for _, key, value in log.records.values()}
        return any((key.decode(), value) in written for key, value in encoded if value is not None)

    def _is_gone(self, exception: KafkaException, deadline: float) -> bool:
        """Return whether the lock, or its producer, is gone; False if another try may help. Raises if none can."""
        problem = find_problem(exception)
        code = find_code(exception)
        is_gone = problem is None or problem.fatal() or code in EVICTED or not self._producer.abort(deadline)
        if code in PERMANENT:
            self._lost = self._explain_loss(exception) if is_gone else ""
            raise self._explain_failed_write(exception) from exception
        if is_gone or self._membership.lost.is_set():
            return True
        if time.monotonic() > deadline:
            if code in STALE_GENERATION:
                self._lost = "the group has another generation"
                self._refuse_lost(exception)
            raise self._explain_failed_write(exception) from exception
        return False

    def _explain_loss(self, exception: BaseException) -> str:
        """Return why the lock is lost, where it is not known that another run has it."""
        if self._membership.was_stopped:
            return "this process did not run for longer than `timeouts: session`"
        if isinstance(exception, KplanError):
            return exception.message
        if find_code(exception) in EVICTED | SILENT and self._reader is not None:
            return f"the brokers were away, {self._clients.contact.unreachable_error().message}"
        if find_code(exception) in EVICTED:
            return "its session ended"
        return self._clients.mask.mask(str(exception))

    def _explain_failed_write(self, exception: KafkaException) -> KplanError:
        failure = self._clients.to_kplan_error(
            exception, f"{self._clients.topic} cannot be written", self._producer.right
        )
        if isinstance(failure, Denied):
            return failure
        self._producer.serve_callbacks()
        return self._clients.contact.explain_throttling(JournalBroken(failure.message, help=failure.help))

    def _refuse_lost(self, cause: BaseException | None = None) -> None:
        if self._lost:
            message = f"the lock of stack {self._stack} was lost: {self._lost}{self._describe_successor()}"
            help = "nothing more is changed by this run; see `kplan recover`"
            problem = JournalBroken(message, help=help, code=codes.K624)
            raise self._clients.contact.explain_throttling(problem) from cause

    def _describe_successor(self) -> str:
        """Return who holds the lock now, as the end of a sentence; empty where that is no other run, or not known."""
        with suppress(KplanError):
            holder = self._cluster.find_members(self._stack, timeout=ATTEMPT_TIMEOUT_S).find_holder(None)
            if holder is not None and holder.run != self._holder.run:
                return f"; {holder.who} has it now (run {holder.run})"
        return ""
