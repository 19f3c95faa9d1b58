"""Records to and from topics through which connectors are spoken to: signals in, notifications out."""

from __future__ import annotations

import time
from collections.abc import Mapping

from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition

from kplan.diagnostics import Denied, KplanError, Timeout, Unreachable

DENIED = (29, 30, 31, KafkaError._AUTHENTICATION, KafkaError._SSL)


class KafkaSignals:
    """Writes and reads partition 0 of topics of the cluster that `config` (librdkafka's) reaches. Times are seconds."""

    def __init__(self, config: Mapping[str, str], request_timeout: float = 30.0) -> None:
        self._config = {**config, "allow.auto.create.topics": "false"}
        self._timeout = request_timeout
        self._consumer: Consumer | None = None
        self._reading: dict[str, int] = {}

    def send(self, topic: str, key: str, value: str) -> None:
        """The record is stored. Raises KplanError; after a Timeout it may be or not."""
        failed: list[KafkaError] = []
        producer = Producer({**self._config, "acks": "all", "delivery.timeout.ms": int(self._timeout * 1000),
                             "enable.idempotence": True})  # fmt: skip
        producer.produce(
            topic, value.encode(), key.encode(), 0, on_delivery=lambda e, _: failed.append(e) if e else None
        )
        if producer.flush(self._timeout + 1):
            raise Timeout(f"no answer for the signal to {topic}")
        if failed:
            raise _meant(failed[0], f"the signal was not written to {topic}")

    def end(self, topic: str) -> int:
        """The offset of the next record."""
        try:
            _, end = self._reader().get_watermark_offsets(TopicPartition(topic, 0), timeout=self._timeout)
        except KafkaException as e:
            raise _meant(e.args[0], f"{topic} cannot be read") from e
        return end

    def read(self, topic: str, start: int, seconds: float) -> tuple[list[bytes], int]:
        """The values from offset `start`, waited for at most `seconds`, and the offset behind the last one."""
        consumer = self._reader()
        if self._reading != {topic: start}:
            consumer.assign([TopicPartition(topic, 0, start)])
        values: list[bytes] = []
        end = time.monotonic() + seconds
        while (rest := end - time.monotonic()) > 0:
            message = consumer.poll(min(rest, 0.2) if not values else 0.0)
            if message is None and values:
                break
            problem = message.error() if message is not None else None
            if problem is not None and not problem.retriable() and problem.code() != KafkaError._PARTITION_EOF:
                raise _meant(problem, f"{topic} cannot be read")
            if message is not None and problem is None:
                start = (message.offset() or 0) + 1
                values += [value for value in [message.value()] if isinstance(value, bytes)]
            time.sleep(0.01)  # facts.md 1.2: without a gap, polling starves every other call of a consumer
        self._reading = {topic: start}
        return values, start

    def _reader(self) -> Consumer:
        if self._consumer is None:
            own = {"group.id": "kplan.notifications", "enable.auto.commit": False, "auto.offset.reset": "earliest"}
            self._consumer = Consumer({**self._config, **own})
        return self._consumer

    def close(self) -> None:
        if self._consumer is not None:
            self._consumer.close()
            self._consumer = None


def _meant(problem: KafkaError, doing: str) -> KplanError:
    text = f"{doing}: {problem.str()}"
    if problem.code() in DENIED:
        return Denied(text, help="grant the user of this environment Write on the signal topic and Read on the other")
    if problem.code() in (KafkaError._MSG_TIMED_OUT, KafkaError.REQUEST_TIMED_OUT):
        return Timeout(text)
    return Unreachable(text, help="check that the topic is there and has a leader")
