"""The topics of a cluster: who is there, their partitions, and what is set on each.

Almost all topics have the same configs as another one: the bytes of their configs are the same. So the bytes of each
different answer are decoded once, and compared afterwards.
"""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Final

from kplan.servers.kafka.wire.connection import DESCRIBE_CONFIGS, METADATA, BrokerConnection
from kplan.servers.kafka.wire.encoding import NULL_ARRAY, Cursor, Unsuited, encode_array, encode_string
from kplan.values import dataclass

TOPICS_PER_REQUEST: Final = 250  # their configs are 300 KB, and take a broker 35 ms
REQUESTS_IN_FLIGHT: Final = 2  # the broker works on one while the answer before it is decoded
REMEMBERED: Final = 50  # different configs, which are compared in turn
TOPIC_SOURCE: Final = 1  # DYNAMIC_TOPIC_CONFIG: set on the topic itself
UNKNOWN_TOPIC: Final = 3
_TOPIC_RESOURCE: Final = b"\x02"
_TOPIC: Final = struct.Struct(">hh")  # error, length of the name
_COUNT: Final = struct.Struct(">i")
_PARTITION: Final = struct.Struct(">hiii")  # error, index, leader, number of replicas


@dataclass(frozen=True, slots=True)
class Broker:
    """A broker's id, and where it is reached."""

    id: int
    host: str
    port: int

    @property
    def server(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@dataclass(frozen=True, slots=True)
class Listing:
    """What metadata says: the cluster, its living brokers, and the topics with their partitions and replicas.

    `leaders` has the leader of each topic's first partition.
    """

    cluster_id: str
    brokers: Sequence[Broker]
    shapes: Mapping[str, tuple[int, int]]
    leaders: Mapping[str, int]

    def find_server(self, broker: int) -> str:
        """Return where a broker is reached. Raises Unsuited where it is not among the living ones."""
        for each in self.brokers:
            if each.id == broker:
                return each.server
        raise Unsuited(f"broker {broker} is not there")


def request_listing(connection: BrokerConnection, names: Collection[str] | None = None) -> None:
    """Ask for the metadata of the named topics (None: all); none is created by that."""
    body = NULL_ARRAY if names is None else encode_array(map(encode_string, names))
    connection.send(METADATA, body + b"\0")


def receive_listing(connection: BrokerConnection) -> Listing:
    """Return the answer to `request_listing`; topics that do not exist are left out. Raises Unsuited."""
    answer = connection.receive()
    answer.take_int32()  # throttle time
    brokers = answer.take_array(lambda: _take_broker(answer))
    cluster_id = answer.take_text()
    answer.take_int32()  # the controller
    return Listing(cluster_id, brokers, *_take_topics(answer))


def _take_broker(answer: Cursor) -> Broker:
    broker = Broker(answer.take_int32(), answer.take_text(), answer.take_int32())
    answer.take_text()  # rack
    return broker


def _take_topics(answer: Cursor) -> tuple[dict[str, tuple[int, int]], dict[str, int]]:
    """Return the shapes and the leaders of the topics. Of 10,000 topics this loop takes 40 ms, with calls 200 ms."""
    shapes: dict[str, tuple[int, int]] = {}
    leaders: dict[str, int] = {}
    count, data, at = answer.take_int32(), answer.data, answer.at
    for _ in range(count):
        error, length = _TOPIC.unpack_from(data, at)
        name = data[at + 4 : at + 4 + length].decode()
        at += 5 + length  # with the byte that says whether it is internal
        (partitions,) = _COUNT.unpack_from(data, at)
        at += 4
        replicas, leader = 0, -1
        for number in range(partitions):
            _, _, its_leader, its_replicas = _PARTITION.unpack_from(data, at)
            at += 14 + 4 * its_replicas
            (in_sync,) = _COUNT.unpack_from(data, at)
            at += 4 + 4 * in_sync
            if not number:
                replicas, leader = its_replicas, its_leader
        if error == UNKNOWN_TOPIC:
            continue
        if error:
            raise Unsuited(f"topic {name}: error {error}")
        shapes[name], leaders[name] = (max(0, partitions), replicas), leader
    return shapes, leaders


def read_configs(
    connection: BrokerConnection, names: Collection[str], report: Callable[[int], None] = lambda count: None
) -> dict[str, Mapping[str, str]]:
    """Return what is set on each topic itself. Raises Unsuited where one of them is refused or unknown."""
    remaining, in_flight = iter(names), 0
    configs: dict[str, Mapping[str, str]] = {}
    known = _KnownConfigs()
    chunks = iter(lambda: list(islice(remaining, TOPICS_PER_REQUEST)), [])
    while True:
        for chunk in islice(chunks, REQUESTS_IN_FLIGHT - in_flight):
            resources = (_TOPIC_RESOURCE + encode_string(name) + NULL_ARRAY for name in chunk)
            connection.send(DESCRIBE_CONFIGS, encode_array(resources) + b"\0")  # without synonyms
            in_flight += 1
        if not in_flight:
            return configs
        configs.update(_take_results(connection.receive(), known))
        in_flight -= 1
        report(len(configs))


class _KnownConfigs:
    """The bytes of configs that were decoded, and what they mean; those that were met last come first."""

    def __init__(self) -> None:
        self._blocks: deque[tuple[bytes, Mapping[str, str]]] = deque(maxlen=REMEMBERED)

    def take(self, answer: Cursor) -> Mapping[str, str]:
        for place, (block, configs) in enumerate(self._blocks):
            if answer.data.startswith(block, answer.at):
                answer.at += len(block)
                if place > 2:
                    del self._blocks[place]
                    self._blocks.appendleft((block, configs))
                return configs
        start = answer.at
        configs = dict(_take_own_configs(answer))
        self._blocks.appendleft((answer.data[start : answer.at], configs))
        return configs


def _take_results(answer: Cursor, known: _KnownConfigs) -> Iterator[tuple[str, Mapping[str, str]]]:
    answer.take_int32()  # throttle time
    for _ in range(answer.take_int32()):
        error, message = answer.take_int16(), answer.take_text()
        answer.at += 1  # the type of the resource
        name = answer.take_text()
        if error:
            raise Unsuited(f"the configs of {name}: error {error} {message}")
        yield name, known.take(answer)


def _take_own_configs(answer: Cursor) -> Iterator[tuple[str, str]]:
    """Yield the configs that are set on the topic itself."""
    for _ in range(answer.take_int32()):
        name, value = answer.take_text(), answer.take_text()
        answer.at += 1  # whether it is read-only
        source = answer.take_int8()
        answer.at += 1  # whether it is sensitive
        for _ in range(answer.take_int32()):  # synonyms, if the broker adds them unasked
            answer.take_text(), answer.take_text(), answer.take_int8()
        if source == TOPIC_SOURCE:
            yield name, value
