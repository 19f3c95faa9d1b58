"""Records to and from topics through which connectors are spoken to: signals in, notifications out."""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping
from typing import Any

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from kplan.diagnostics import Denied, KplanError, Timeout, Unreachable
from kplan.kinds.acl.permissions import Acl, describe_missing

LOGGER = logging.getLogger("kplan.kafka")
# The second is told to whoever may write to no topic at all: InitProducerId takes Write on any of them since Kafka 2.8.
FORBIDDEN = (KafkaError.TOPIC_AUTHORIZATION_FAILED, KafkaError.CLUSTER_AUTHORIZATION_FAILED)
# The client looks for its group's coordinator, though nothing here is a group's.
PASSING = (KafkaError._PARTITION_EOF, KafkaError.GROUP_AUTHORIZATION_FAILED)
DENIED = (KafkaError._AUTHENTICATION, KafkaError._SSL)


class KafkaSignals:
    """Writes and reads partition 0 of topics of the cluster that `config` (librdkafka's) reaches. Times are seconds."""

    def __init__(self, config: Mapping[str, str], request_timeout: float = 30.0) -> None:
        self._config = {**config, "allow.auto.create.topics": "false"}
        self._timeout = request_timeout
        self._consumer: Consumer | None = None
        self._reading: dict[str, int] = {}

    def send(self, topic: str, key: str, value: str) -> None:
        """Write the record. Raises KplanError; after a Timeout it may be stored or not."""
        failures: list[KafkaError] = []
        settings = {"acks": "all", "delivery.timeout.ms": int(self._timeout * 1000), "enable.idempotence": True}
        producer = Producer({**self._config, **settings}, logger=LOGGER)

        def record_failure(problem: KafkaError | None, _: Any) -> None:
            if problem is not None:
                failures.append(problem)

        producer.produce(topic, value.encode(), key.encode(), 0, on_delivery=record_failure)
        try:
            waiting = producer.flush(self._timeout + 1)
        except (KafkaException, SystemError) as e:  # a fatal error; the client fails to report one itself (2.16.0)
            fatal = e if isinstance(e, KafkaException) else e.__cause__
            if not isinstance(fatal, KafkaException):
                raise
            waiting, failures = 0, [fatal.args[0]]
        if waiting:
            raise Timeout(f"no answer for the signal to {topic}")
        if failures:
            raise self._map_error(failures[0], f"the signal was not written to {topic}", Acl("Write", "Topic", topic))

    def end(self, topic: str) -> int:
        """Return the offset of the next record."""
        try:
            _, end = self._open_consumer().get_watermark_offsets(TopicPartition(topic, 0), timeout=self._timeout)
        except KafkaException as e:
            raise self._map_error(e.args[0], f"{topic} cannot be read", Acl("Read", "Topic", topic)) from e
        return end

    def read(self, topic: str, start: int, seconds: float) -> tuple[list[bytes], int]:
        """Return the values from offset `start`, after at most `seconds`, and the offset after the last one."""
        consumer = self._open_consumer()
        if self._reading != {topic: start}:
            consumer.assign([TopicPartition(topic, 0, start)])
        values: list[bytes] = []
        end = time.monotonic() + seconds
        while (remaining := end - time.monotonic()) > 0:
            message = consumer.poll(min(remaining, 0.2) if not values else 0.0)
            if message is None and values:
                break
            problem = message.error() if message is not None else None
            if problem is not None and not problem.retriable() and problem.code() not in PASSING:
                raise self._map_error(problem, f"{topic} cannot be read", Acl("Read", "Topic", topic))
            if message is not None and problem is None:
                start = (message.offset() or 0) + 1
                values += [value for value in [message.value()] if isinstance(value, bytes)]
            time.sleep(0.01)  # facts.md 1.2: without a gap, polling starves every other call of a consumer
        self._reading = {topic: start}
        return values, start

    def _open_consumer(self) -> Consumer:
        if self._consumer is None:
            own = {"group.id": "kplan.notifications", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
            self._consumer = Consumer({**self._config, **own}, logger=LOGGER)
        return self._consumer

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None

    def _map_error(self, problem: KafkaError, action: str, needs: Acl) -> KplanError:
        text = f"{action}: {problem.str()}"
        if problem.code() in FORBIDDEN:
            message, help = describe_missing(needs, self._config)
            return Denied(f"{action}: {message}", help=help)
        if problem.code() in DENIED:
            return Denied(text, help="check the login and the certificates of this environment")
        if problem.code() in (KafkaError._MSG_TIMED_OUT, KafkaError.REQUEST_TIMED_OUT):
            return Timeout(text)
        return Unreachable(text, help="check that the topic is there and has a leader")
