"""A Kafka Connect worker, version 4.3.1, as far as kplan uses its REST API; it can be made to misbehave.

The shapes of all answers were recorded from a real worker.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any

from tests.fakes.http import Handler, serving

CLASS = "org.example.GoodSourceConnector"
SINK = "org.example.GoodSinkConnector"
REBALANCE = (409, "Cannot complete request because of a conflicting operation (e.g. worker rebalance)")
EXPECTED = (500, "Request cannot be completed because a rebalance is expected")
FORWARD = (500, "IO Error trying to forward REST request: java.net.ConnectException: Connection refused")
STOPPED_FIRST = (400, "Connectors must be in the STOPPED state before their offsets can be modified.")
JETTY = (404, "<html><head><title>Error 404 Not Found</title></head><body>HTTP ERROR 404</body></html>")
LOST = (0, "answered by nobody, but done")
RESET = (-1, "neither answered nor done")


@dataclass
class Entry:
    """One connector of the fake. `failing`: its tasks fail; `hidden`: that many looks see no status of it."""

    config: dict[str, str]
    state: str
    offsets: list[Any] = field(default_factory=list)
    hidden: int = 1
    trace: str = ""
    restarts: int = 0


class FakeConnect:
    """What a worker does, as far as kplan uses it. `faults`: the next answers to `METHOD path` that fit a pattern."""

    def __init__(self, version: str = "4.3.1") -> None:
        self.version = version
        self.connectors: dict[str, Entry] = {}
        self.requests: list[str] = []
        self.bodies: list[tuple[str, Any]] = []
        self.faults: list[tuple[str, tuple[int, str]]] = []
        self.validation: dict[str, str] = {}
        self.fails_with: Callable[[Mapping[str, str]], str] = lambda config: ""
        self.headers: list[Mapping[str, str]] = []
        self.old_tasks: dict[str, Mapping[str, str]] = {}  # configs that tasks still run with

    def fault(self, pattern: str, *answers: tuple[int, str]) -> None:
        self.faults += [(pattern, answer) for answer in answers]

    def answer(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        call = f"{method} {path}"
        self.requests.append(call)
        self.bodies.append((call, body))
        for index, (pattern, fault) in enumerate(self.faults):
            if re.search(pattern, call):
                del self.faults[index]
                if fault is LOST:
                    self._do(method, path, body)
                return fault
        return self._do(method, path, body)

    def _do(self, method: str, path: str, body: Any) -> tuple[int, Any]:
        route, _, query = path.partition("?")
        parts = [part for part in route.split("/") if part]
        if not parts:
            return 200, {
                "version": self.version,
                "commit": "26b251a451ce941d",
                "kafka_cluster_id": "QoGeIyCnQp6G29BSHsm6eQ",
            }
        if parts[0] == "connector-plugins":
            return self._plugins(method, parts[1:], body)
        if len(parts) == 1:
            return self._all(method, query, body)
        if parts[1] not in self.connectors and not (method == "PUT" and parts[2:] == ["config"]):
            return 404, f"Connector {parts[1]} not found"
        return self._one(method, parts[1], parts[2] if len(parts) > 2 else "", query, body)

    def _all(self, method: str, query: str, body: Any) -> tuple[int, Any]:
        if method == "POST":
            if body["name"] in self.connectors:
                return 409, f"Connector {body['name']} already exists"
            self.put(body["name"], body["config"], body.get("initial_state", "RUNNING"))
            return 201, {}
        if not query:
            return 200, list(self.connectors)
        return 200, {name: self._expanded(name) for name in list(self.connectors) if not self._is_hidden(name)}

    def _is_hidden(self, name: str) -> bool:
        entry = self.connectors[name]
        entry.hidden -= 1
        return entry.hidden >= 0

    def put(self, name: str, config: dict[str, str], state: str = "RUNNING", **more: Any) -> None:
        """It is there, as after a POST."""
        self.connectors[name] = Entry({**config, "name": name}, state, **more)
        self.connectors[name].trace = self.fails_with(config)

    def _status(self, name: str) -> dict[str, Any]:
        entry = self.connectors[name]
        tasks: list[Any] = []
        if entry.state != "STOPPED":
            failed = entry.trace and entry.state == "RUNNING"
            tasks = [{"id": 0, "state": "FAILED" if failed else entry.state, "worker_id": "w:8083", "version": "1"}]
            tasks[0] |= {"trace": entry.trace} if failed else {}
        return {
            "name": name,
            "connector": {"state": entry.state, "worker_id": "w:8083"},
            "tasks": tasks,
            "type": "source",
        }

    def _expanded(self, name: str) -> dict[str, Any]:
        entry = self.connectors[name]
        kind = "sink" if "topics" in entry.config else "source"
        tasks = [{"connector": name, "task": 0}] if entry.state != "STOPPED" else []
        info = {"name": name, "config": entry.config, "tasks": tasks, "type": kind}
        return {"info": info, "status": self._status(name)}

    def _one(self, method: str, name: str, what: str, query: str, body: Any) -> tuple[int, Any]:
        entry = self.connectors.get(name)
        if (method, what) == ("PUT", "config"):
            config = {**body, "name": name}
            self.connectors[name] = replace(entry, config=config) if entry else Entry(config, "RUNNING")
            self.connectors[name].trace = self.fails_with(config)
            return (200 if entry else 201), {}
        assert entry is not None
        match method, what:
            case "DELETE", "":
                del self.connectors[name]
                return 204, None
            case "GET", "":
                return 200, self._expanded(name)["info"]
            case "GET", "config":
                return 200, entry.config
            case "GET", "tasks":
                return 200, [{"id": {"connector": name, "task": 0}, "config": self.old_tasks.get(name, entry.config)}]
            case "PATCH", "config":
                entry.config = {k: v for k, v in {**entry.config, **body}.items() if v is not None}
                return 200, {}
            case "GET", "status":
                return 200, self._status(name)
            case "PUT", "pause" | "resume" | "stop":
                entry.state = {"pause": "PAUSED", "resume": "RUNNING", "stop": "STOPPED"}[what]
                return (204 if what == "stop" else 202), None
            case "GET", "offsets":
                return 200, {"offsets": entry.offsets}
            case "PATCH" | "DELETE", "offsets" if entry.state != "STOPPED":
                return STOPPED_FIRST
            case "PATCH" | "DELETE", "offsets":
                entry.offsets = body["offsets"] if body else []
                return 200, {"message": "The offsets for this connector have been altered successfully"}
            case "POST", "restart":
                entry.restarts += 1
                return 202, {}
        return 405, "Method Not Allowed"

    def _plugins(self, method: str, parts: list[str], body: Any) -> tuple[int, Any]:
        if not parts:
            return 200, [{"class": c, "type": "source", "version": "1"} for c in (CLASS, SINK)]
        keys = ["file", "topic", "table.include.list", "database.hostname", "database.password", "tasks.max"]
        if method == "GET":
            return 200, [{"name": key, "type": "STRING", "required": False} for key in keys]
        values = [{"name": key, "value": None, "recommended_values": [], "visible": True,
                   "errors": [self.validation[key].format(**{k.replace(".", "_"): v for k, v in body.items()})]
                   if key in self.validation else []} for key in keys]  # fmt: skip
        return 200, {
            "name": parts[0],
            "error_count": 0,
            "groups": [],
            "configs": [{"value": value} for value in values],
        }


@contextmanager
def serving_connect(fake: FakeConnect) -> Iterator[str]:
    """Serve the worker inside the `with`; the URL."""

    class Worker(Handler):
        def respond(self) -> None:
            text = self.read_body()
            fake.headers.append(dict(self.headers))
            status, data = fake.answer(self.command, self.path, json.loads(text) if text else None)
            if status <= 0:
                self.close_connection = True
                return
            self.send(status, _body(status, data).encode())

        do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = respond

    with serving(Worker) as url:
        yield url


def _body(status: int, data: Any) -> str:
    if data is None:
        return ""
    if isinstance(data, str):
        return data if data.startswith("<") else json.dumps({"error_code": status, "message": data})
    return json.dumps(data)
