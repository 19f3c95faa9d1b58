"""docs/least-privilege.md is true: its files are applied in their order on a broker with an authorizer, what kplan
prints is what it shows, and the three services work, or are refused, as each step says.

Beside what every guide may say there is `properties`: the broker is restarted with these.
"""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest
from confluent_kafka import KafkaError, Producer
from confluent_kafka.admin import AclBindingFilter, AdminClient, NewTopic  # type: ignore[attr-defined]

from kplan.kinds.acl.binding import parse_binding
from kplan.kinds.user.user import Credentials
from kplan.model import Address
from kplan.servers.kafka.acls import to_wire
from kplan.servers.kafka.logins import Logins
from tests.guides import DOCS, Reader, only_shown
from tests.services import ServiceMissing
from tests.services.fixtures import without
from tests.services.lines import Client, Refused
from tests.services.secure import SecureKafka
from tests.shell import Shell

pytestmark = pytest.mark.xdist_group("access guide")  # starts its own broker

GUIDE = (DOCS / "least-privilege.md").read_text("utf-8")
TOPICS = ("shop.orders", "shop.customers", "shop.totals", "shop.salaries")
STORE = "shop.sums-sums-changelog"
FIRST = {"orders-service": "first-of-orders", "totals": "first-of-totals", "etl": "first-of-etl"}
SECOND = {**FIRST, "orders-service": "second-of-orders"}
SHARED, SHARED_PASSWORD = "shop", "password-of-all"
ADMIN_PASSWORD = "password-of-admin"
SECRETS = ("first-of-", "second-of-", ADMIN_PASSWORD)
PROPERTIES = {"allow.everyone.if.no.acl.found": "true", "super.users": "User:ANONYMOUS;User:admin"}


@dataclass
class Service(Client):
    """A client with a login of its own."""

    password: str = ""

    @property
    def settings(self) -> dict[str, Any]:
        return {**super().settings, "sasl.password": self.password}


# -- what the services do ---------------------------------------------------------------------------------------------
def serve_orders(service: Service) -> None:
    service.produce("shop.orders")
    service.consume("shop.customers", "orders-service").close()


def add_totals(service: Service) -> None:
    """Do what a Streams application does: with its store, with a record, and with both after a restart."""
    if STORE not in service.admin.list_topics(timeout=10).topics:
        service.wait(service.admin.create_topics([NewTopic(STORE, 1, 1)]))
    consumer = service.consume("shop.orders", "shop.sums")
    try:
        service.produce("shop.totals", "shop.sums-1", consumer)
    finally:
        consumer.close()
    service.produce(STORE, "shop.sums-1")
    service.restore(STORE, "shop.sums")


def load(service: Service) -> None:
    for topic in ("shop.orders", "shop.totals"):
        service.consume(topic, "etl").close()


WORKS: Mapping[str, Callable[[Service], None]] = {"orders-service": serve_orders, "totals": add_totals, "etl": load}
FOREIGN: Mapping[str, Callable[[Service], object]] = {
    "orders-service": lambda service: service.consume("shop.orders", "orders-service"),
    "totals": lambda service: service.produce("shop.customers"),
    "etl": lambda service: service.consume("shop.customers", "etl"),
}


@dataclass
class Operator(Reader):
    """Follows the page on the broker of this run, as its team."""

    kafka: SecureKafka

    def here(self, text: str) -> str:
        places = {
            "kafka:9093": self.kafka.at("SCRAM"),
            "ca.pem": str(self.kafka.servers.file),
        }
        for there, here in places.items():
            text = text.replace(there, here)
        return text

    def properties(self, _: str, text: str) -> None:
        self.kafka.restart(properties=dict(line.split("=", 1) for line in text.split()))

    def work(self, passwords: Mapping[str, str]) -> None:
        """Let each service do its work; with no password of its own it is the shared user."""
        producer = Producer({"bootstrap.servers": self.kafka.bootstrap})
        producer.produce("shop.customers", b"customer")
        assert producer.flush(10) == 0
        for name, act in WORKS.items():
            act(self.service(name, passwords[name]) if name in passwords else self.shared)

    def service(self, name: str, password: str) -> Service:
        return Service(self.kafka, name, password)

    @property
    def shared(self) -> Service:
        return Service(self.kafka, SHARED, SHARED_PASSWORD)

    def can_log_in(self, name: str, password: str) -> bool | None:
        address = Address("user", name)
        return Logins(self.shared.settings).check({address: Credentials(name, "SCRAM-SHA-512", password)}).get(address)


@contextmanager
def writing(service: Service) -> Iterator[None]:
    """A client that writes without a pause, none of whose records is refused."""
    stop = Event()
    outcomes: list[KafkaError | None] = []

    def write() -> None:
        producer = Producer({**service.settings, "message.timeout.ms": 60_000})
        while not stop.wait(0.02):
            producer.produce("shop.orders", b"order", on_delivery=lambda problem, _: outcomes.append(problem))
            producer.poll(0)
        producer.flush(30)

    thread = Thread(target=write, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join(60)
    assert outcomes and not [problem for problem in outcomes if problem]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    folder = tmp_path_factory.mktemp("certificates")
    try:
        with SecureKafka(folder, PROPERTIES) as kafka:
            kafka.add_user(SHARED, SHARED_PASSWORD)
            kafka.add_user("admin", ADMIN_PASSWORD)
            admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
            for future in admin.create_topics([NewTopic(topic, 1, 1) for topic in TOPICS]).values():
                future.result(10)
            yield kafka
    except ServiceMissing as missing:
        without(missing)


@pytest.fixture(scope="module")
def sections() -> Mapping[str, str]:
    """The parts of the page by their numbers; 0 is all before the first step."""
    parts = re.split(r"^## (?=\d)", GUIDE, flags=re.MULTILINE)
    return {str(number): part for number, part in enumerate(parts)}


@pytest.mark.parametrize(
    ("binding", "work"),
    [
        ("topic/shop.salaries", lambda shared: shared.produce("shop.salaries")),
        ("group-any", lambda shared: shared.consume("shop.customers", "late")),
        ("group-prefix/la", lambda shared: shared.consume("shop.customers", "late")),
        ("transactional-id-any", lambda shared: shared.produce("shop.salaries", "late")),
    ],
)
def test_the_first_binding_refuses_everybody_else(
    kafka: SecureKafka, binding: str, work: Callable[[Service], object]
) -> None:
    """Without the first step of the page clients are refused. The page has not been followed yet."""
    wire = to_wire(parse_binding(f"User:kplan/allow/Describe/{binding}"))
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    admin.create_acls([wire])[wire].result(10)
    try:
        time.sleep(0.3)  # the broker answers before its authorizer has it
        with pytest.raises(Refused):
            work(Service(kafka, SHARED, SHARED_PASSWORD))
    finally:
        one = AclBindingFilter(
            wire.restype, wire.name, wire.resource_pattern_type, wire.principal, wire.host, wire.operation,
            wire.permission_type,
        )  # fmt: skip
        admin.delete_acls([one])[one].result(10)


def test_the_guide_is_true(kafka: SecureKafka, sections: Mapping[str, str], tmp_path: Path) -> None:
    assert len(sections) == 9
    shell = Shell(tmp_path, secrets=SECRETS)
    team = Operator(shell, kafka)
    team.follow(sections["0"])
    with writing(team.shared):
        team.follow(sections["1"])
        team.follow(sections["2"])
        team.work({})
        team.follow(sections["3"])
        team.work(FIRST)
    orders = team.service("orders-service", FIRST["orders-service"])
    with writing(orders):
        for step in "456":
            team.follow(sections[step])
        team.work({"totals": FIRST["totals"]})  # the others are late, and use the shared user
        team.follow(sections["7"])
        team.work(FIRST)
    assert_least_privilege(team)
    team.follow(sections["8"])
    assert not team.can_log_in("orders-service", FIRST["orders-service"])
    team.work(SECOND)
    team.shell.assert_no_secret_on_disk()


def assert_least_privilege(team: Operator) -> None:
    """Each service is refused what others do, and the shared user everything."""
    for name, act in FOREIGN.items():
        service = team.service(name, FIRST[name])
        for attempt in (act, lambda service: service.consume("shop.salaries", service.user)):
            with pytest.raises(Refused):
                attempt(service)
    with pytest.raises(Refused):
        team.shared.produce("shop.orders")
    with pytest.raises(Refused):
        team.shared.consume("shop.orders", "etl")


def test_every_block_that_can_be_run_is_run() -> None:
    assert not only_shown(GUIDE)
