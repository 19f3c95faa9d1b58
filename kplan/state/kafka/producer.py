"""Write the transactions of a stack's lock.

Each transaction commits offsets as the lock's member and generation, so that brokers check generation and producer
epoch: a holder that was stopped and superseded is refused at the next write.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from concurrent.futures import Future, wait
from contextlib import suppress
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Producer, TopicPartition

from kplan.diagnostics import JournalBroken
from kplan.state.base import Holder
from kplan.state.kafka.clients import ATTEMPT_TIMEOUT_S, CLIENT_PREFIX, TRANSACTION_TIMEOUT_S, Clients, find_problem
from kplan.state.kafka.membership import Membership

OFFSETS_TIMEOUT_S: Final = 8.0  # for the part of a transaction that the group's coordinator answers
OUTCOME_UNKNOWN: Final = "whether the last write took effect is not known"

Encoded = Sequence[tuple[bytes, bytes | None]]  # records: key, and value or None


class OutcomeUnknown(JournalBroken):
    """The answer to a commit did not arrive in time, so nothing more can be written."""


class ProducerHangs(Exception):
    """A call of the client does not return: its producer is abandoned."""


class StackProducer:
    """Write transactions as the lock of `stack`. `right` is the permission that a refused write lacks."""

    def __init__(self, clients: Clients, stack: str, holder: Holder) -> None:
        self._clients = clients
        self._stack = stack
        self._holder = holder
        self.right = "Write"
        self.renew()

    def renew(self) -> None:
        """Make a new producer; what an earlier one left open is aborted when this one begins."""
        holder, clients = self._holder, self._clients
        own = {
            "transactional.id": clients.name_group(self._stack),
            "transaction.timeout.ms": round(TRANSACTION_TIMEOUT_S * 1000),
            "linger.ms": 0,
            "message.max.bytes": 8_000_000,
            "batch.size": 900_000,
            "compression.type": "gzip",  # which Python can read, too
            "compression.level": 1,
        }
        name = f"{CLIENT_PREFIX}{holder.who}/{holder.run}"
        self._producer = Producer(clients.make_settings(name, **own), logger=clients.library)

    def connect(self) -> None:
        """Connect, and learn the topic's leader, without claiming anything yet.

        A producer that begins without that may wait for half a second, and as long again before it sends (2.16.0). The
        first answer comes through a connection that is dropped for one to the broker by its id; the second one needs
        that.
        """
        started = time.monotonic()
        with suppress(KafkaException):  # `begin` reports what is wrong
            for _ in range(2):
                self._producer.list_topics(self._clients.topic, timeout=min(ATTEMPT_TIMEOUT_S, self._clients.timeout))
        self._clients.log_request("connect the producer", started)

    def init_transactions(self, seconds: float) -> None:
        """Fence predecessors, and abort their open transaction. Raises KafkaException."""
        self._producer.init_transactions(seconds)

    def serve_callbacks(self) -> None:
        """Let the client report its errors."""
        self._producer.poll(0)

    def write(self, encoded: Encoded, membership: Membership, deadline: float) -> list[int]:
        """Try once. The offsets bind the write to the member and generation: without them brokers check no fence."""
        offsets: dict[int, int] = {}
        failures: list[KafkaError] = []
        if membership.get_metadata() is None:  # nothing is left open, whose end would be an abort
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "the lock is not held"))
        self._producer.begin_transaction()
        for number, (key, value) in enumerate(encoded):

            def note_delivery(problem: KafkaError | None, message: Any, number: int = number) -> None:
                if problem is not None:
                    failures.append(problem)
                else:
                    offsets[number] = message.offset()

            self._producer.produce(self._clients.topic, value, key, 0, on_delivery=note_delivery)
        self._producer.flush(max(0.1, deadline - time.monotonic()))
        metadata = membership.get_metadata()
        if metadata is None:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "the lock is not held"))
        partitions = [TopicPartition(self._clients.topic, 0, 0)]
        # After a failure this raises, too, and its error says why; a delivery's only says that it was purged.
        self.right = "Write" if failures else "Read"  # whoever commits offsets of a topic must be allowed to read it
        self._send_offsets(partitions, metadata, max(0.1, min(OFFSETS_TIMEOUT_S, deadline - time.monotonic())))
        if failures or len(offsets) < len(encoded):
            raise KafkaException(failures[0] if failures else KafkaError(KafkaError._TIMED_OUT, "not written in time"))
        self._end_transaction(deadline)
        return [offsets[number] for number in range(len(encoded))]

    def _send_offsets(self, partitions: list[TopicPartition], metadata: bytes, seconds: float) -> None:
        """Send offsets as the client does, but return: the client may hang once the group's coordinator has died
        (2.16.0).

        A producer that hangs is replaced by a new one.
        """
        outcome: Future[None] = Future()
        producer = self._producer

        def send() -> None:
            try:
                producer.send_offsets_to_transaction(partitions, metadata, seconds)
                outcome.set_result(None)
            except BaseException as exception:
                outcome.set_exception(exception)

        threading.Thread(target=send, name="offsets", daemon=True).start()
        if not wait([outcome], seconds + 2).done:
            raise ProducerHangs("the group's coordinator does not answer")
        outcome.result()

    def _end_transaction(self, deadline: float) -> None:
        """Commit. A commit with a late answer is asked for again: the coordinator knows its outcome."""
        while True:
            try:
                self._producer.commit_transaction(max(0.1, deadline - time.monotonic()))
                return
            except KafkaException as exception:
                problem = find_problem(exception)
                if problem is None or not problem.retriable() or problem.txn_requires_abort():
                    raise
                if time.monotonic() > deadline:
                    raise OutcomeUnknown(
                        f"{self._clients.topic} cannot be written: {problem.str()}; {OUTCOME_UNKNOWN}",
                        help="see `kplan recover`",
                    ) from exception

    def abort(self, deadline: float) -> bool:
        """Abort the open transaction, and return whether that succeeded."""
        while True:
            try:
                self._producer.abort_transaction(max(0.1, min(5.0, deadline - time.monotonic())))
                return True
            except KafkaException as exception:
                problem = find_problem(exception)
                if problem is None or not problem.retriable() or time.monotonic() > deadline:
                    return False
