"""The producer that writes the transactions of a stack's lock.

Each transaction commits offsets as the lock's member and generation, so that brokers check generation and producer
epoch: whoever was stopped and superseded is refused at the next write.
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
from kplan.state.kafka.clients import ATTEMPT_TIMEOUT_S, CLIENT, TRANSACTION_SECONDS, Clients, problem_of
from kplan.state.kafka.membership import Membership

OFFSETS_SECONDS: Final = 8.0  # for the part of a transaction that the group's coordinator answers
OUTCOME_UNKNOWN: Final = "whether the last write took effect is not known"

Encoded = Sequence[tuple[bytes, bytes | None]]  # records: key, and value or None


class OutcomeUnknown(JournalBroken):
    """The answer to a commit did not come in time, so that nothing more can be written."""


class ProducerHangs(Exception):
    """A call of the client does not return: its producer is given up."""


class StackProducer:
    """Writes transactions as the lock of `stack`. `right` is what a write lacks that is refused."""

    def __init__(self, clients: Clients, stack: str, holder: Holder) -> None:
        self._clients = clients
        self._stack = stack
        self._holder = holder
        self.right = "Write"
        self.renew()

    def renew(self) -> None:
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
                self._producer.list_topics(self._clients.topic, timeout=min(ATTEMPT_TIMEOUT_S, self._clients.timeout))
        self._clients.log_request("connect the producer", started)

    def init_transactions(self, seconds: float) -> None:
        """Fences predecessors, and aborts their open transaction. Raises KafkaException."""
        self._producer.init_transactions(seconds)

    def serve_callbacks(self) -> None:
        """Lets the client report the errors that it has met."""
        self._producer.poll(0)

    def write(self, encoded: Encoded, membership: Membership, deadline: float) -> list[int]:
        """One try. The offsets bind it to the member and generation: a transaction without them is no fence check."""
        offsets: dict[int, int] = {}
        failures: list[KafkaError] = []
        if membership.metadata() is None:  # nothing is left open, whose end would be an abort
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
        metadata = membership.metadata()
        if metadata is None:
            raise KafkaException(KafkaError(KafkaError.UNKNOWN_MEMBER_ID, "the lock is not held"))
        where = [TopicPartition(self._clients.topic, 0, 0)]
        # After a failure this raises, too, and its error says why; a delivery's only says that it was purged.
        self.right = "Write" if failures else "Read"  # whoever commits offsets of a topic must be allowed to read it
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
                    raise OutcomeUnknown(
                        f"{self._clients.topic} cannot be written: {problem.str()}; {OUTCOME_UNKNOWN}",
                        help="see `kplan recover`",
                    ) from exception

    def abort(self, deadline: float) -> bool:
        """Whether the open transaction is undone."""
        while True:
            try:
                self._producer.abort_transaction(max(0.1, min(5.0, deadline - time.monotonic())))
                return True
            except KafkaException as exception:
                problem = problem_of(exception)
                if problem is None or not problem.retriable() or time.monotonic() > deadline:
                    return False
