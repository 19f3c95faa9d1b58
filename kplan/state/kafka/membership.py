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
from kplan.state.kafka.clients import CLIENT, DENIED, Clients, problem_of

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
            self._clients.contact.note_error(problem)

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
