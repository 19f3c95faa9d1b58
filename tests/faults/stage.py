"""The services that the trials share, and the lanes in which trials run side by side.

The broker has one more listener for each lane, advertised at the port of that lane's proxy: whatever a client asks for
through it passes the proxy, also after it has learnt where the broker is.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import cached_property
from threading import Thread
from typing import TYPE_CHECKING, Any, Self

import requests
from confluent_kafka.admin import AdminClient

from tests.faults.proxy import ConnectProxy, Fault, KafkaProxy
from tests.services import ConnectWorker, KafkaCluster, plugin_path
from tests.services.process import free_port

if TYPE_CHECKING:
    from tests.faults.database import Database

PROPERTIES = {
    "group.min.session.timeout.ms": "500",
    "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
}


class ProxiedCluster(KafkaCluster):
    """A cluster whose nodes have `lanes` more listeners each, and their proxies by node and lane."""

    def __init__(self, brokers: int = 1, lanes: int = 1, properties: Mapping[str, str] | None = None) -> None:
        super().__init__(brokers, {**PROPERTIES, **(properties or {})})
        self._ports: dict[tuple[int, int], tuple[int, int]] = {}
        for node, broker in self.brokers.items():
            more = {lane: (free_port(), free_port()) for lane in range(lanes)}
            self._ports |= {(node, lane): ports for lane, ports in more.items()}
            names = {lane: f"LANE{lane}" for lane in more}
            added = {
                "listeners": [f"{names[lane]}://127.0.0.1:{own}" for lane, (own, _) in more.items()],
                "advertised.listeners": [f"{names[lane]}://127.0.0.1:{seen}" for lane, (_, seen) in more.items()],
                "listener.security.protocol.map": [f"{name}:PLAINTEXT" for name in names.values()],
            }
            old = broker.properties
            broker.properties = {**old, **{key: ",".join([old[key], *values]) for key, values in added.items()}}
        self.proxies: dict[tuple[int, int], KafkaProxy] = {}

    def start(self) -> Self:
        super().start()
        self.proxies = {place: KafkaProxy(seen, own) for place, (own, seen) in self._ports.items()}
        return self

    def kill_all(self) -> None:
        super().kill_all()
        for proxy in self.proxies.values():
            proxy.close()
        self.proxies = {}

    def through(self, lane: int) -> str:
        """The value of bootstrap.servers that leads through the lane's proxies."""
        return ",".join(f"127.0.0.1:{proxy.port}" for (_, n), proxy in self.proxies.items() if n == lane)


@dataclass
class Lane:
    """One trial at a time runs here."""

    number: int
    stage: Stage
    connect_proxy: ConnectProxy
    proxied: bool = False

    @property
    def bootstrap(self) -> str:
        cluster = self.stage.kafka
        return cluster.through(self.number) if self.proxied else cluster.bootstrap

    @property
    def url(self) -> str:
        return self.connect_proxy.url if self.proxied else self.stage.connect.url

    def spoil(self, *faults: Fault) -> None:
        """The faults are on, for what passes this lane's proxies."""
        self.connect_proxy.faults = faults
        for (_, lane), proxy in self.stage.kafka.proxies.items():
            if lane == self.number:
                proxy.faults = faults


class Stage:
    """One cluster, one worker, and `lanes` lanes; everything is gone after the `with`.

    `busy` are threads in which something is killed or started; `database` is what its connectors read, if anything.
    """

    def __init__(self, lanes: int = 1, brokers: int = 1, properties: Mapping[str, str] | None = None) -> None:
        self._stack = ExitStack()
        self._wanted = lanes, brokers
        self._properties = properties or {}
        self.busy: list[Thread] = []
        self.database: Database | None = None

    def __enter__(self) -> Self:
        lanes, brokers = self._wanted
        with ExitStack() as stack:
            self.kafka = stack.enter_context(ProxiedCluster(brokers, lanes, self._properties))
            replicas = {f"{name}.storage.replication.factor": str(brokers) for name in ("config", "offset", "status")}
            worker = ConnectWorker(self.kafka.bootstrap, plugin_path(), replicas)
            self.connect = stack.enter_context(worker)
            self.lanes = [Lane(n, self, ConnectProxy(self.connect.port)) for n in range(lanes)]
            for lane in self.lanes:
                stack.callback(lane.connect_proxy.close)
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    @cached_property  # kept: a client that is collected fails its futures
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.kafka.bootstrap, "log_level": 0})

    @cached_property
    def http(self) -> requests.Session:
        return requests.Session()

    def ask(self, method: str, path: str, body: Any = None) -> requests.Response:
        """Connect's own answer, past all proxies; a passing 409 or 500 is asked again."""
        for _ in range(60):
            answer = self.http.request(method, self.connect.url + path, json=body, timeout=100)
            if answer.status_code not in (409, 500):
                break
            time.sleep(0.25)
        return answer

    def await_all(self) -> None:
        """What was killed in the background is up again."""
        while self.busy:
            self.busy.pop().join()
        if not self.connect.healthy():
            self.connect.kill()
            self.connect.start()
