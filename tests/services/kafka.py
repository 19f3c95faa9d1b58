"""A Kafka cluster of combined KRaft nodes (each is broker and controller)."""

from __future__ import annotations

import base64
import signal
import uuid
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from tests.services.downloads import HERE, java, kafka_jars
from tests.services.process import Process, Service, ServiceFailed, free_port, listens, run

READY_SECONDS = 90


class KafkaCluster(Service):
    """A cluster of `brokers` nodes; `properties` go over the defaults in each node's server.properties.

    `heap` is each node's, as java writes it: 512m hold some thousand partitions. `flags` are those of its JVM.
    """

    def __init__(
        self,
        brokers: int = 1,
        properties: Mapping[str, str] | None = None,
        heap: str = "512m",
        flags: tuple[str, ...] = (),
    ) -> None:
        super().__init__("kafka")
        places = [(node, free_port(), free_port()) for node in range(1, brokers + 1)]
        self.cluster_id = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A")
        self.brokers = {
            node: Broker(
                node, port, self.folder, _server_properties(self.folder, node, places, properties or {}), heap, flags
            )
            for node, port, _ in places
        }

    @property
    def bootstrap(self) -> str:
        """The value of bootstrap.servers; it stays the same when brokers are restarted."""
        return ",".join(f"127.0.0.1:{broker.port}" for broker in self.brokers.values())

    def start(self) -> Self:
        """All brokers are up and know each other."""
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            list(pool.map(lambda broker: broker.format(self.cluster_id), self.brokers.values()))
            list(pool.map(Broker.launch, self.brokers.values()))
            list(pool.map(Broker.await_port, self.brokers.values()))
        self._await_members()
        return self

    def stop(self, node: int | None = None) -> None:
        """The node (all of them without one) has shut down in an orderly way; its data and port stay its own."""
        chosen = self.brokers.values() if node is None else [self.brokers[node]]
        with ThreadPoolExecutor(len(self.brokers)) as pool:
            list(pool.map(Broker.stop, chosen))

    def kill(self, node: int = 1) -> None:
        """The node has ended by kill -9."""
        self.brokers[node].kill()

    def restart(self, node: int = 1, properties: Mapping[str, str] | None = None) -> None:
        """The node, running before or not, is up again with the data it had, and with these properties over its own."""
        self.brokers[node].stop()
        self.brokers[node].configure(properties or {})
        self.brokers[node].launch()
        self.brokers[node].await_port()
        self._await_members()

    def kill_all(self) -> None:
        for broker in self.brokers.values():
            broker.kill()

    def _await_members(self) -> None:
        running = {node: broker for node, broker in self.brokers.items() if broker.alive}
        watched = next(iter(running.values()))
        admin = AdminClient({"bootstrap.servers": f"127.0.0.1:{watched.port}", "log_level": 0})
        watched.await_ready(partial(_members_are, admin, set(running)))


@dataclass(slots=True)
class Broker:
    """One node of a cluster: its properties file, and its process while it runs."""

    node: int
    port: int
    folder: Path
    properties: Mapping[str, str]
    heap: str
    flags: tuple[str, ...] = ()
    _process: Process | None = field(default=None, init=False)

    def format(self, cluster_id: str) -> None:
        """The node's storage is formatted for the cluster; one that has been formatted is left as it is."""
        if Path(self.properties["log.dirs"], "meta.properties").exists():
            return
        self._file.write_text(_properties_text(self.properties))
        tool = ["kafka.tools.StorageTool", "format", "--cluster-id", cluster_id, "--config", str(self._file)]
        run([*java_command("-Xmx128m"), *tool], self.folder / f"format-{self.node}.log")

    def configure(self, properties: Mapping[str, str]) -> None:
        """The node has these properties over its own from its next start on."""
        self.properties = {**self.properties, **properties}
        self._file.write_text(_properties_text(self.properties))

    def launch(self) -> None:
        """The node's process has been started."""
        self._process = Process(
            [*java_command(f"-Xmx{self.heap}", *self.flags), "kafka.Kafka", str(self._file)], self._log
        )

    def await_port(self) -> None:
        """The node accepts connections."""
        self.await_ready(partial(listens, self.port))

    def await_ready(self, ready: partial[bool]) -> None:
        if self._process is None:
            raise ServiceFailed(f"broker {self.node} has not been started")
        self._process.wait_until(ready, READY_SECONDS)

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(signal.SIGTERM)

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()

    @property
    def alive(self) -> bool:
        return self._process is not None and self._process.alive

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    @property
    def _file(self) -> Path:
        return self.folder / f"server-{self.node}.properties"

    @property
    def _log(self) -> Path:
        return self.folder / f"broker-{self.node}.log"


def java_command(*flags: str) -> list[str]:
    """The command of a JVM that starts fast and has the jars of Kafka and Connect, up to the main class."""
    small = ["-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true"]
    logging = f"-Dlog4j2.configurationFile={HERE / 'log4j2.properties'}"
    return [java(), *flags, *small, logging, "-cp", f"{kafka_jars()}/*"]


def _server_properties(
    folder: Path, node: int, places: list[tuple[int, int, int]], extra: Mapping[str, str]
) -> dict[str, str]:
    """The properties of one node; internal topics are small and as much replicated as the cluster allows."""
    _, port, controller_port = places[node - 1]
    replicas = min(3, len(places))
    return {
        "process.roles": "broker,controller",
        "node.id": str(node),
        "controller.quorum.voters": ",".join(f"{each}@127.0.0.1:{quorum}" for each, _, quorum in places),
        "controller.listener.names": "CONTROLLER",
        "listeners": f"PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}",
        "advertised.listeners": f"PLAINTEXT://127.0.0.1:{port}",
        "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT",
        "log.dirs": str(folder / f"data-{node}"),
        "broker.heartbeat.interval.ms": "500",
        "broker.session.timeout.ms": "3000",  # a killed broker may come back after this time, not after 9 s
        "auto.create.topics.enable": "false",
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": "1000",  # else a killed apply keeps its lock for 6 s at least
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
        "offsets.topic.num.partitions": "5",
        "offsets.topic.replication.factor": str(replicas),
        "transaction.state.log.num.partitions": "5",
        "transaction.state.log.replication.factor": str(replicas),
        "transaction.state.log.min.isr": str(max(1, replicas - 1)),
        **extra,
    }


def _members_are(admin: AdminClient, nodes: set[int]) -> bool:
    try:
        return nodes <= set(admin.list_topics(timeout=2).brokers)
    except KafkaException:
        return False


def _properties_text(properties: Mapping[str, str]) -> str:
    return "".join(f"{key}={value}\n" for key, value in properties.items())
