"""A Kafka Connect worker in distributed mode."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from tests.services.kafka import java_command
from tests.services.process import Process, Service, free_port

READY_SECONDS = 120


class ConnectWorker(Service):
    """A worker of the Connect cluster `group`; `properties` go over the defaults.

    Several workers with the same bootstrap and group are one Connect cluster. `environment` is what
    `${env:NAME}` in a connector's config sees; `${file:PATH:KEY}` reads any properties file.
    """

    def __init__(
        self,
        bootstrap: str,
        plugin_path: Path,
        properties: Mapping[str, str] | None = None,
        environment: Mapping[str, str] | None = None,
        group: str = "connect",
    ) -> None:
        super().__init__("connect")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._environment = dict(environment or {})
        self._properties = {
            **_worker_properties(bootstrap, plugin_path, self.url, group),
            **(properties or {}),
        }
        self._process: Process | None = None

    def start(self) -> Self:
        """The worker says that it is healthy; started again after `stop` or `kill` it has the same address."""
        file = self.folder / "connect.properties"
        file.write_text("".join(f"{key}={value}\n" for key, value in self._properties.items()))
        main = ["org.apache.kafka.connect.cli.ConnectDistributed", str(file)]
        log = self.folder / "connect.log"
        self._process = Process([*java_command("-Xmx768m"), *main], log, environment=self._environment)
        self._process.wait_until(self.healthy, READY_SECONDS)
        return self

    def stop(self) -> None:
        """The worker has left its group in an orderly way."""
        if self._process is not None:
            self._process.stop(signal.SIGTERM)

    def kill(self) -> None:
        """The worker has ended by kill -9."""
        if self._process is not None:
            self._process.kill()

    def kill_all(self) -> None:
        self.kill()

    @property
    def pid(self) -> int | None:
        return None if self._process is None else self._process.pid

    def healthy(self) -> bool:
        """Whether the worker answers `GET /health` with 200."""
        try:
            self.request("GET", "/health", timeout=5)
        except (OSError, ValueError):
            return False
        return True

    def request(self, method: str, path: str, body: object = None, timeout: float = 100) -> Any:
        """The JSON answer of the worker (None for an empty one); urllib.error.HTTPError for 4xx and 5xx."""
        data = None if body is None else json.dumps(body).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.url + path, data, headers, method=method)
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            text = answer.read()
        return json.loads(text) if text else None

    def put_connector(self, name: str, config: Mapping[str, str]) -> None:
        """The connector exists with that config; a refusal is an HTTPError with Connect's own words as its note."""
        try:
            self.request("PUT", f"/connectors/{name}/config", config)
        except urllib.error.HTTPError as error:
            error.add_note(error.read().decode(errors="replace"))
            raise


def _worker_properties(bootstrap: str, plugin_path: Path, url: str, group: str) -> dict[str, str]:
    json_converter = "org.apache.kafka.connect.json.JsonConverter"
    providers = "org.apache.kafka.common.config.provider"
    return {
        "bootstrap.servers": bootstrap,
        "group.id": group,
        "listeners": url,
        "plugin.path": str(plugin_path),
        "plugin.discovery": "service_load",
        "key.converter": json_converter,
        "key.converter.schemas.enable": "false",
        "value.converter": json_converter,
        "value.converter.schemas.enable": "false",
        "config.storage.topic": f"{group}-configs",
        "config.storage.replication.factor": "1",
        "offset.storage.topic": f"{group}-offsets",
        "offset.storage.replication.factor": "1",
        "offset.storage.partitions": "1",
        "status.storage.topic": f"{group}-status",
        "status.storage.replication.factor": "1",
        "status.storage.partitions": "1",
        "offset.flush.interval.ms": "1000",
        "session.timeout.ms": "6000",  # the least a broker allows: a killed worker's successor waits for it
        "heartbeat.interval.ms": "1500",
        "scheduled.rebalance.max.delay.ms": "0",
        "topic.creation.enable": "true",
        "config.providers": "env,file",
        "config.providers.env.class": f"{providers}.EnvVarConfigProvider",
        "config.providers.file.class": f"{providers}.FileConfigProvider",
    }
