"""Connectors that log in by themselves, with exactly what a line `connectors:` grants, or with one binding less.

The worker's principal has a line `worker:`, and the worker writes exactly once. Each connector is its own principal:
the settings `producer.override.…` and so on have its login, and its offsets are in a topic of its own (KIP-618).
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Thread
from typing import Any

import requests
from confluent_kafka import Consumer, TopicPartition

from kplan.model import Connector, Secret, Topic
from tests.services.connect import ConnectWorker
from tests.services.lines import WORD, Case, Lines, Refused, Work, load
from tests.services.secure import SecureKafka

GROUP = "workers"
LOGIN = 'org.apache.kafka.common.security.scram.ScramLoginModule required username="{user}" password="{word}";'
VARIABLE = {"word": {"type": "string", "sensitive": True, "env": "WORD"}}
PATIENCE_S = 60
ANSWER_S = 8  # of a request that takes less than a second where it is allowed
REFUSAL = re.compile(r"(Topic|Group|TransactionalId)AuthorizationException")
KEYS = {"Topic": "TOPIC", "Group": "GROUP", "TransactionalId": "TRANSACTIONAL_ID"}


def nothing(client: object) -> None:
    """The work is the connector's own."""


def list_worker_topics(group: str) -> list[str]:
    return [f"{group}-{each}" for each in ("configs", "offsets", "status")]


WORKER = Work("worker", lambda user: {"worker": {"group_id": GROUP, "topics": list_worker_topics(GROUP)}}, nothing)


def name_login(user: str) -> dict[str, str]:
    """The settings by which Connect's clients for a connector log in as the user."""
    login = LOGIN.format(user=user, word="{{ var.word }}")
    return {f"{client}.override.sasl.jaas.config": login for client in ("producer", "consumer", "admin")}


def declare_source(user: str) -> dict[str, Any]:
    """A source that writes each line of this file."""
    config = {"topic": f"{user}.lines", "file": __file__, "offsets.storage.topic": f"{user}.offsets"}
    block = {"class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "topics": {f"{user}.lines": {}},
             "config": {**config, **name_login(user)}}  # fmt: skip
    topics = {f"{user}.offsets": {"config": {"cleanup.policy": "compact"}}}
    return {"variables": VARIABLE, "topics": topics, "connectors": {user: block}}


def declare_sink(user: str) -> dict[str, Any]:
    """A sink that cannot read the record that there is, which is no JSON, so that it is a dead letter."""
    config = {"topics": f"{user}.in", "value.converter": "org.apache.kafka.connect.json.JsonConverter"}
    block = {"class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "dead_letter": {"topic": f"{user}.dead"},
             "config": {**config, **name_login(user)}}  # fmt: skip
    return {"variables": VARIABLE, "topics": {f"{user}.in": {}}, "connectors": {user: block}}


SOURCE = Work("source", lambda user: {"connectors": [user]}, nothing, stack=declare_source)
SINK = Work("sink", lambda user: {"connectors": [user]}, nothing, ["in"], declare_sink)


def make_worker(kafka: SecureKafka, plugins: Any, user: str, group: str = GROUP) -> ConnectWorker:
    """A worker that logs in as the user and writes exactly once; it has not been started."""
    own = {
        "security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(kafka.servers.file), "sasl.jaas.config": LOGIN.format(user=user, word=WORD),
    }  # fmt: skip
    clients = ("", "producer.", "consumer.", "admin.")
    properties = {f"{client}{key}": value for client in clients for key, value in own.items()}
    properties |= {"exactly.once.source.support": "enabled", "offset.flush.interval.ms": "500"}
    return ConnectWorker(kafka.at("SCRAM"), plugins, properties, group=group)


@dataclass
class Rig:
    """A worker, and the connectors of the cases."""

    lines: Lines
    worker: ConnectWorker

    def read_config(self, case: Case) -> dict[str, str]:
        """What kplan makes of the connector's block, with its password."""
        (connector,) = (each for each in self._resources(case) if isinstance(each, Connector))
        return {key: (value.value or "") if isinstance(value, Secret) else value
                for key, value in connector.config.items()}  # fmt: skip

    def list_topics(self, case: Case) -> dict[str, Mapping[str, str]]:
        return {each.name: each.config for each in self._resources(case) if isinstance(each, Topic)}

    def _resources(self, case: Case) -> Iterator[Any]:
        yield from load(case.user, case.work.block(case.user), case.work.stack(case.user)).values()

    @contextmanager
    def connector_of(self, case: Case) -> Iterator[None]:
        """The connector is there; it is deleted afterwards, since one that may not read tries without a pause."""
        self.worker.put_connector(case.user, self.read_config(case))
        try:
            yield
        finally:
            requests.delete(f"{self.worker.url}/connectors/{case.user}", timeout=PATIENCE_S).raise_for_status()

    @contextmanager
    def act_once_refused(self, name: str, act: Callable[[], None]) -> Iterator[None]:
        """A task of this connector fails for want of a right; then `act` is called, which helps."""
        refused: list[str] = []

        def wait() -> None:
            deadline = time.monotonic() + PATIENCE_S
            while not refused and time.monotonic() < deadline:
                answer = requests.get(f"{self.worker.url}/connectors/{name}/status", timeout=ANSWER_S)
                tasks = answer.json()["tasks"] if answer.ok else ()
                refused.extend(task["trace"] for task in tasks if REFUSAL.search(task.get("trace") or ""))
                time.sleep(0.1)
            act()

        thread = Thread(target=wait, daemon=True)
        thread.start()
        yield
        thread.join(PATIENCE_S)
        assert refused, "it was never refused"

    def count_records(self, topic: str) -> int:
        consumer = Consumer({"bootstrap.servers": self.lines.kafka.bootstrap, "group.id": "count"})
        try:
            return int(consumer.get_watermark_offsets(TopicPartition(topic, 0), 10)[1])
        finally:
            consumer.close()

    def await_records(self, case: Case, topic: str) -> None:
        """The connector has written to the topic; Refused with what it lacks."""
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            self.raise_failure(case)
            if self.count_records(topic):
                return
            if f"Topic authorization failed for topics [{topic}]" in self.worker.log:
                raise Refused("TOPIC_AUTHORIZATION_FAILED")  # the producer says it long before its task fails
            time.sleep(0.3)
        raise AssertionError(f"{case.user} neither writes nor fails")

    def raise_failure(self, case: Case) -> None:
        answer = requests.get(f"{self.worker.url}/connectors/{case.user}/status", timeout=ANSWER_S)
        if answer.status_code == 404:
            return  # it has just been created
        for task in answer.json()["tasks"]:
            if task["state"] == "FAILED":
                found = REFUSAL.search(task["trace"])
                assert found, task["trace"]
                raise Refused(f"{KEYS[found[1]]}_AUTHORIZATION_FAILED")

    def ask_offsets(self, case: Case, method: str) -> Any:
        """The answer to a request for the connector's offsets; Refused where there is none, or one with a 500."""
        try:
            answer = requests.request(method, f"{self.worker.url}/connectors/{case.user}/offsets", timeout=ANSWER_S)
        except requests.Timeout:
            raise Refused("OFFSETS") from None
        if answer.status_code == 500:
            raise Refused("OFFSETS")
        return answer.json()

    def run_source(self, case: Case) -> None:
        """Its records and offsets are written in transactions, and Connect can read the offsets again."""
        self.await_records(case, f"{case.user}.lines")
        deadline = time.monotonic() + PATIENCE_S
        while not self.ask_offsets(case, "GET")["offsets"]:
            self.raise_failure(case)
            assert time.monotonic() < deadline, "no offsets"
            time.sleep(0.3)

    def run_sink(self, case: Case) -> None:
        """What it cannot read is a dead letter; it is stopped, and its group deleted, as kplan deletes a sink."""
        self.await_records(case, f"{case.user}.dead")
        requests.put(f"{self.worker.url}/connectors/{case.user}/stop", timeout=ANSWER_S).raise_for_status()
        deadline = time.monotonic() + PATIENCE_S
        while self.worker.request("GET", f"/connectors/{case.user}/status")["tasks"]:
            assert time.monotonic() < deadline, "its tasks do not end"
            time.sleep(0.3)
        self.ask_offsets(case, "DELETE")
        assert self.ask_offsets(case, "GET")["offsets"] == []
