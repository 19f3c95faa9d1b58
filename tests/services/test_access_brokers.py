"""Bindings on three brokers, which learn of them one after the other; all log in with certificates.

A principal is the certificate's subject, which kplan cannot know: `authorizer: {principal: …}` says it, or brokers do.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]

from kplan.kinds.acl.binding import parse_binding
from kplan.servers.kafka.acls import KafkaAcls, to_wire
from kplan.servers.kafka.client import Client
from tests.services import ServiceMissing
from tests.services.fixtures import without
from tests.services.secure import SecureKafka
from tests.shell import Ended, Shell

pytestmark = pytest.mark.xdist_group("three secure brokers")  # starts its own

BROKERS = 3
ROUNDS = 5
OWN = "User:CN=kplan"
# What `kplan: {do: [plan, apply, access]}` grants, for topics that begin with `far.`.
RIGHTS = [
    f"{OWN}/allow/Alter/cluster",
    *(f"{OWN}/allow/{operation}/topic-prefix/far." for operation in ("Create", "Alter", "AlterConfigs", "Delete")),
    *(f"{OWN}/allow/{operation}/topic/__kplan" for operation in ("Create", "Read", "Write", "DescribeConfigs")),
    f"{OWN}/allow/Describe/group-any",
    f"{OWN}/allow/Read/group-prefix/kplan.",
    f"{OWN}/allow/Write/transactional-id-prefix/kplan.",
]


@dataclass
class Brokers:
    """The cluster, seen by its super user and by who comes with a certificate."""

    kafka: SecureKafka

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.kafka.bootstrap})

    def sign(self, name: str) -> dict[str, str]:
        """The settings of a client with a certificate of this name."""
        certificate, key = self.kafka.clients.sign(name)
        return {
            "bootstrap.servers": self.kafka.at("MUTUAL"),
            "security.protocol": "SSL",
            "ssl.ca.location": str(self.kafka.servers.file),
            "ssl.certificate.location": str(certificate),
            "ssl.key.location": str(key),
        }

    def read(self, principal: str) -> set[str]:
        backend = KafkaAcls(Client({"bootstrap.servers": self.kafka.bootstrap}, 30, 3, 1, (), print))
        names = {address.name for address in backend.read(None).resources}
        return {name for name in names if name.startswith(f"{principal}/")}

    def write(self, settings: Mapping[str, Any], topic: str) -> list[str]:
        """Write a record to each broker's partition, at once and only once; return the errors."""
        producer = Producer({**settings, "message.send.max.retries": 0, "message.timeout.ms": 10_000, "log_level": 0})
        errors: list[KafkaError | None] = []
        for partition in range(BROKERS):
            producer.produce(topic, b"record", partition=partition, on_delivery=lambda error, _: errors.append(error))
        assert producer.flush(20) == 0 and len(errors) == BROKERS
        return [error.name() for error in errors if error is not None]


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Brokers]:
    try:
        with SecureKafka(tmp_path_factory.mktemp("certificates"), brokers=BROKERS) as kafka:
            made = Brokers(kafka)
            wait(made.admin.create_acls([to_wire(parse_binding(name)) for name in RIGHTS]))
            wait(made.admin.create_topics([NewTopic("far.events", BROKERS, 1)]))
            yield made
    except ServiceMissing as missing:
        without(missing)


def wait(futures: Mapping[Any, Any]) -> None:
    for future in futures.values():
        future.result(20)


def make_project(brokers: Brokers, folder: Path, **more: Any) -> Shell:
    shell = Shell(folder)
    environment = {"kafka": brokers.sign("kplan"), "timeouts": {"request": "10s", "settle": "30s"}, **more}
    shell.write("kplan.yaml", yaml.safe_dump({"version": 1, "environments": {"far": environment}}))
    return shell


@pytest.fixture
def project(brokers: Brokers, tmp_path: Path) -> Shell:
    return make_project(brokers, tmp_path, authorizer={"principal": OWN, "allow_everyone_if_no_acl": False})


def apply(shell: Shell, text: str, accept: Sequence[str] = (), code: int = 0) -> Ended:
    shell.write("far.yaml", f"version: 1\nstack: far\n{text}")
    words = [word for each in accept for word in ("--accept", each)]
    ended = shell.kplan("apply", "far.yaml", "--yes", *words, expect=None)
    assert ended.code == code, ended.all
    return ended


def test_what_is_granted_or_revoked_holds_on_every_broker_when_the_apply_ends(brokers: Brokers, project: Shell) -> None:
    clients = {f"svc{number}": brokers.sign(f"svc{number}") for number in range(ROUNDS)}
    for name, settings in clients.items():
        apply(project, f"access:\n  User:CN={name}: {{produce: far.events}}\n", accept=["delete:acl/*"])
        assert brokers.write(settings, "far.events") == [], name
    apply(project, "access: {}\n", accept=["delete:acl/*"])
    refused = [brokers.write(settings, "far.events") for settings in clients.values()]
    assert refused == [["TOPIC_AUTHORIZATION_FAILED"] * BROKERS] * ROUNDS


def test_kplan_keeps_the_rights_of_its_certificate(brokers: Brokers, project: Shell) -> None:
    deny = f"access:\n  {OWN}:\n    deny: [{{cluster: true, operations: [Alter]}}]\n"
    refused = apply(project, deny, code=4)
    assert "K446" in refused.err and OWN in refused.err


def test_brokers_say_what_a_principal_that_kplan_does_not_know_has_lost(brokers: Brokers, tmp_path: Path) -> None:
    """As with a principal of a group: no name that kplan has is in the binding."""
    before = brokers.read(OWN)
    project = make_project(brokers, tmp_path)
    topic = "topics: {far.made: {partitions: 1, replication_factor: 3}}\n"
    deny = f"access:\n  {OWN}:\n    deny: [{{topic: far.made, operations: [Delete]}}]\n"
    ended = apply(project, topic + deny, code=7)
    assert "can no longer Delete on topic far.made" in ended.all and "rolled back" in ended.all
    assert brokers.read(OWN) == before
    assert "far.made" not in brokers.admin.list_topics(timeout=10).topics


def test_a_broker_that_is_down_stops_nothing(brokers: Brokers, project: Shell) -> None:
    brokers.kafka.stop(3)
    try:
        apply(project, "access:\n  User:CN=down: {produce: far.events}\n", accept=["delete:acl/*"])
        assert brokers.read("User:CN=down") == {"User:CN=down/allow/Write/topic/far.events"}
    finally:
        brokers.kafka.restart(3)
    assert brokers.write(brokers.sign("down"), "far.events") == []
