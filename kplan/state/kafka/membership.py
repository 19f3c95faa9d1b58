"""The membership of a consumer group by which a process holds the lock of a stack.

The member of the group `kplan.STACK` that holds the topic's partition holds the stack; its heartbeats keep it, and a
killed one loses it after the session timeout. The assignor is `cooperative-sticky`, for `range` hands the partition to
newcomers.
"""

from __future__ import annotations

import struct
import threading
import time
from contextlib import suppress
from typing import Final

from confluent_kafka import Consumer, KafkaError, TopicPartition

from kplan.state.base import Holder
from kplan.state.kafka.clients import CLIENT_PREFIX, DENIED, Clients, find_problem

GAP_SECONDS: Final = 0.01  # without it, polling starves every other call of a consumer (facts.md 1.2)
LONGEST_POLL_SECONDS: Final = 30.0  # a thread that does not poll for so long gives the lock up


def make_member(clients: Clients, group: str, holder: Holder, session: float) -> Consumer:
    """Return a consumer that can join the group, and has not."""
    own = {
        "partition.assignment.strategy": "cooperative-sticky",
        "session.timeout.ms": round(session * 1000),
        "heartbeat.interval.ms": round(session * 200),
        "max.poll.interval.ms": round(max(LONGEST_POLL_SECONDS, session) * 1000),
        "auto.offset.reset": "latest",
    }
    return clients.make_consumer(f"{CLIENT_PREFIX}{holder.who}/{holder.run}", group, **own)


class Membership:
    """One try to hold a group's partition, with `consumer` where that is there already.

    Its thread makes every call of the consumer, with a gap between polls.
    """

    def __init__(
        self, clients: Clients, group: str, holder: Holder, session: float, consumer: Consumer | None = None
    ) -> None:
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
        self._consumer = consumer or make_member(clients, group, holder, session)
        self._thread = threading.Thread(target=self._run, name=f"lock-{group}", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._consumer.subscribe([self._clients.topic], on_assign=self._on_assigned, on_revoke=self._on_revoked,
                                     on_lost=self._on_revoked)  # fmt: skip
            while not self._stop.wait(GAP_SECONDS):
                self._longest_pause, self._polled = self._measure_pause(), time.monotonic()
                message = self._consumer.poll(0.02)
                problem = message and message.error()
                if problem:
                    self._handle_problem(problem)
                self._update_metadata()
        except Exception as exception:  # whatever it is, nobody holds anything any more
            self.problem = self.problem or find_problem(exception) or KafkaError(KafkaError._FAIL, repr(exception))
        finally:
            self._end()

    def _measure_pause(self) -> float:
        """Return the longest time for which this thread did not run, in seconds."""
        return max(self._longest_pause, time.monotonic() - self._polled)

    @property
    def was_stopped(self) -> bool:
        """Return whether the process, not the brokers, may be why the session ended: it was stopped before."""
        return self._measure_pause() > self.session / 2

    def _end(self) -> None:
        self.lost.set()
        self.held.clear()
        self.settled.set()
        with suppress(Exception):  # it may be unusable; its session ends by itself then
            self._consumer.unsubscribe()  # a client that was assigned nothing leaves only so, not by `close` (2.16.0)
            self._consumer.close()

    def _on_assigned(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        consumer.incremental_assign(partitions)
        if partitions and not self.lost.is_set():
            consumer.pause(partitions)
            self.held.set()
            self._update_metadata()
        self.settled.set()

    def _on_revoked(self, consumer: Consumer, partitions: list[TopicPartition]) -> None:
        if partitions:
            self.lost.set()
            self.held.clear()
            consumer.incremental_unassign(partitions)

    def _handle_problem(self, problem: KafkaError) -> None:
        """End the try at a refusal; anything else may be transient."""
        if problem.code() in DENIED | {26, 24, 35} or problem.fatal():
            self.problem = problem
            self.settled.set()
        else:
            self._clients.contact.note_error(problem)

    def _update_metadata(self) -> None:
        """Update the metadata: its generation changes whenever a contender joins, its member id only after an
        eviction."""
        if not self.held.is_set() or self.lost.is_set():
            return
        metadata = self._consumer.consumer_group_metadata()
        generation, member = _parse_metadata(metadata)
        with self._turn:
            if self._member is not None and member and member != self._member[1]:
                self.lost.set()
                self.held.clear()
            elif generation >= 0 and member:
                self._member, self._metadata = (generation, member), metadata

    def get_metadata(self) -> bytes | None:
        """Return what brokers check a write against; None once the lock is lost.

        Never that of a client without a member id: brokers let such a client commit without a check.
        """
        with self._turn:
            return self._metadata if self._metadata and self.held.is_set() and not self.lost.is_set() else None

    def leave(self, seconds: float) -> None:
        """Leave the group, if that is possible in time; else the session ends by itself."""
        self._stop.set()
        self._thread.join(seconds)


def _parse_metadata(metadata: bytes) -> tuple[int, str]:
    """Parse generation and member id in librdkafka's serialised metadata: `CGMDv2:`, an int, texts ended by NUL."""
    magic, colon, rest = metadata.partition(b":")
    if not magic.startswith(b"CGMD") or not colon or len(rest) < 4:
        raise ValueError("this client's group metadata has another format than librdkafka's CGMD")
    (generation,) = struct.unpack("=i", rest[:4])
    return generation, rest[4:].split(b"\0")[1].decode()
