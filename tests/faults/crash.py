"""Runs kplan in this process and stops it dead at a chosen point; the product has no hook for that.

    python -m tests.faults.crash --at 17 -- apply stack.yaml --yes

A point is the moment before or after something that lasts: a record of the journal (also while its transaction is
open), a request that changes topics, a request to Connect that is no GET. At point N this process sends itself SIGKILL
(`--at`) or SIGSTOP (`--stop`). Without either it runs to its end. `--points FILE` names each point that was reached.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import wait
from functools import partial
from pathlib import Path
from typing import Any

import confluent_kafka
import requests
from confluent_kafka.admin import AdminClient

import kplan.cli.apply
import kplan.cli.recover
import kplan.planning.pipeline
import kplan.servers.access
import kplan.servers.kafka.client
import kplan.servers.kafka.second_client
import kplan.state.kafka.producer
from kplan.__main__ import run

STEADY = 0.3  # seconds that a connector's state has to hold; kplan's own second is half of all the time of the trials


class Points:
    """Counts the points of one run, and does at the chosen one what was asked for."""

    def __init__(self, at: int = 0, doing: signal.Signals = signal.SIGKILL, told: Path | None = None) -> None:
        self._at = at
        self._doing = doing
        self._told = None if told is None else os.open(told, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
        self._turn = threading.Lock()
        self.count = 0

    def reach(self, label: str) -> None:
        """The point is counted and told; this is where the process may end."""
        with self._turn:
            self.count += 1
            if self._told is not None:
                os.write(self._told, f"{time.monotonic():.3f} {label}\n".encode())
            if self.count == self._at:
                os.kill(os.getpid(), self._doing)


def wrap(points: Points) -> None:
    """Every record of the state and every request that changes something has its points from now on."""
    vars(kplan.state.kafka.producer)["Producer"] = _producer(points)
    vars(kplan.servers.kafka.client)["AdminClient"] = _admin(points)
    client = kplan.servers.kafka.second_client.SecondClient
    client.request = _quotas(points, client.request)  # type: ignore[method-assign]
    requests.Session.request = _request(points, requests.Session.request)  # type: ignore[method-assign]
    vars(kplan.servers.access)["Pacing"] = partial(kplan.servers.access.Pacing, steady=STEADY)


def _producer(points: Points) -> type[confluent_kafka.Producer]:
    class Counted(confluent_kafka.Producer):
        label = ""

        def begin_transaction(self) -> None:
            self.label = ""
            super().begin_transaction()

        def produce(self, topic: str, value: Any = None, key: Any = None, *more: Any, **named: Any) -> None:
            label = _record(key, value)
            if label and not self.label:
                self.label = label
                points.reach(f"{label} before")
            super().produce(topic, value, key, *more, **named)

        def commit_transaction(self, *arguments: Any) -> None:
            points.reach(f"{self.label} open")
            super().commit_transaction(*arguments)
            points.reach(f"{self.label} after")

    return Counted


def _record(key: bytes, value: bytes | None) -> str:
    """What a record of the state is, in words; nothing for the ledger's, which come with a journal's."""
    parts = key.decode().split("/")
    data = json.loads(value or b"{}")
    if parts[2] == "lock":
        return f"lock {data.get('state')}"
    return f"journal {data['event']}" if parts[2] == "run" and data else ""


def _admin(points: Points) -> type[AdminClient]:
    def counted(name: str) -> Callable[..., Any]:
        def call(self: AdminClient, items: Sequence[Any], **options: Any) -> Mapping[Any, Any]:
            send = getattr(AdminClient, name)
            if options.get("validate_only"):
                found: Mapping[Any, Any] = send(self, items, **options)
                return found
            points.reach(f"{name} before")
            futures: Mapping[Any, Any] = send(self, items, **options)
            wait(futures.values(), 60)
            points.reach(f"{name} after")
            return futures

        return call

    names = ("create_topics", "delete_topics", "create_partitions", "incremental_alter_configs", "create_acls",
             "delete_acls", "alter_user_scram_credentials")  # fmt: skip
    return type("Counted", (AdminClient,), {name: counted(name) for name in names})


def _quotas(points: Points, send: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: kplan.servers.kafka.second_client.SecondClient, ask: Callable[[Any], Any]) -> Any:
        points.reach("quotas before")
        answer = send(self, ask)
        points.reach("quotas after")
        return answer

    return call


def _request(points: Points, send: Callable[..., Any]) -> Callable[..., Any]:
    def call(self: requests.Session, method: str, url: str, **options: Any) -> Any:
        if method == "GET" or url.endswith("/validate"):
            return send(self, method, url, **options)
        label = f"{method} {_shape(url)}"
        points.reach(f"{label} before")
        answer = send(self, method, url, **options)
        points.reach(f"{label} after")
        return answer

    return call


def _shape(url: str) -> str:
    """The path without the connector's name: `offsets` of `/connectors/NAME/offsets`."""
    path = url.partition("?")[0].split("/", 3)[3].split("/")
    return "/".join([path[0], *path[2:]]) if len(path) > 1 else path[0]


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="tests.faults.crash")
    parser.add_argument("--at", type=int, default=0, help="the point to be killed at")
    parser.add_argument("--stop", type=int, default=0, help="the point to be stopped at, until a SIGCONT")
    parser.add_argument("--points", type=Path, help="a file that gets a line for each point")
    parser.add_argument("command", nargs="+", help="kplan's own arguments, after --")
    asked = parser.parse_args(arguments)
    wrap(Points(asked.at or asked.stop, signal.SIGKILL if asked.at else signal.SIGSTOP, asked.points))
    return run(asked.command)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
