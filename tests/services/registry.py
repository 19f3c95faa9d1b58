"""Apicurio Registry, which speaks the REST API of Confluent's registry, too."""

from __future__ import annotations

import json
import signal
import urllib.error
import urllib.request
from typing import Any, Self

from tests.services.downloads import java, registry_app
from tests.services.process import Process, Service, free_port

READY_SECONDS = 120
CCOMPAT, NATIVE = "/apis/ccompat/v7", "/apis/registry/v2"


class Registry(Service):
    """A registry that keeps all in memory. `url` is the base of the API of Confluent's, `native_url` of its own."""

    def __init__(self) -> None:
        super().__init__("registry")
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{CCOMPAT}"
        self.native_url = f"http://127.0.0.1:{self.port}{NATIVE}"
        self._process: Process | None = None

    def start(self) -> Self:
        """The registry answers; it is empty whenever it starts."""
        jar = next(registry_app().glob("*-runner.jar"))
        options = [f"-Dquarkus.http.port={self.port}", "-Dquarkus.http.host=127.0.0.1", "-XX:TieredStopAtLevel=1"]
        command = [java(), "-Xmx400m", "-XX:+UseSerialGC", *options, "-jar", str(jar)]
        self._process = Process(command, self.folder / "registry.log")
        self._process.wait_until(self._answers, READY_SECONDS)
        return self

    def stop(self) -> None:
        if self._process is not None:
            self._process.stop(signal.SIGTERM)

    def kill_all(self) -> None:
        if self._process is not None:
            self._process.kill()

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """The answer of the API of Confluent's; None for 404."""
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                text = answer.read()
        except urllib.error.HTTPError as failure:
            if failure.code == 404:
                return None
            raise
        return json.loads(text) if text else None

    def _answers(self) -> bool:
        try:
            return isinstance(self.call("GET", "/subjects"), list)
        except OSError:
            return False
