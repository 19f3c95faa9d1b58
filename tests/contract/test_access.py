"""What a user who may not do everything sees, and what a wrong password or address looks like; on a real broker."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, NewTopic
from confluent_kafka.admin import ResourcePatternType as Pattern
from confluent_kafka.admin import ResourceType as Kind

from kplan.backends.kafka import KafkaTopics
from kplan.diagnostics import Denied, KplanError, Unreachable
from kplan.model import Action, Address, AttrDiff, Change, Topic
from tests.services import KafkaCluster, ServiceMissing
from tests.services.fixtures import without
from tests.services.process import free_port

pytestmark = pytest.mark.xdist_group("guarded broker")  # starts its own

PASSWORD = "the-password-of-eve"
PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule"


@pytest.fixture(scope="module")
def eve() -> Iterator[str]:
    """The address of a broker for the user eve, who may describe topics `seen*` and read the configs of `seen.all`."""
    port = free_port()
    try:
        cluster = KafkaCluster(properties={
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "super.users": "User:ANONYMOUS",
            "listener.security.protocol.map": "PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL:SASL_PLAINTEXT",
            "sasl.enabled.mechanisms": "PLAIN",
            "listener.name.sasl.plain.sasl.jaas.config": f'{PLAIN} required user_eve="{PASSWORD}";',
        })  # fmt: skip
        broker = cluster.brokers[1]
        broker.properties = {
            **broker.properties,
            "listeners": f"{broker.properties['listeners']},SASL://127.0.0.1:{port}",
            "advertised.listeners": f"{broker.properties['advertised.listeners']},SASL://127.0.0.1:{port}",
        }
        with cluster:
            admin = AdminClient({"bootstrap.servers": cluster.bootstrap})
            names = ["seen.all", "seen.but", "hidden"]
            for future in admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
                future.result()
            allowed = [
                (Kind.TOPIC, "seen", Pattern.PREFIXED, AclOperation.DESCRIBE),
                (Kind.TOPIC, "seen.all", Pattern.LITERAL, AclOperation.DESCRIBE_CONFIGS),
            ]
            rules = [
                AclBinding(kind, name, pattern, "User:eve", "*", operation, AclPermissionType.ALLOW)
                for kind, name, pattern, operation in allowed
            ]
            for future in admin.create_acls(rules).values():
                future.result()
            yield f"127.0.0.1:{port}"
    except ServiceMissing as missing:
        without(missing)


def login(bootstrap: str, password: str = PASSWORD, **more: str) -> dict[str, str]:
    return {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SASL_PLAINTEXT",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "eve",
        "sasl.password": password,
        **more,
    }


def test_what_may_not_be_described_is_hidden_and_not_absent(eve: str) -> None:
    """Without DESCRIBE a missing topic answers 29 (TOPIC_AUTHORIZATION_FAILED) as well, so it counts as hidden."""
    backend = KafkaTopics(login(eve), delay=0.1)
    end = time.monotonic() + 10
    while not backend.read(["seen.all"]).resources and time.monotonic() < end:
        time.sleep(0.2)  # a new ACL takes a moment to be in force
    reading = backend.read(["seen.all", "seen.but", "hidden", "seen.absent"])
    assert reading.resources == {Address("topic", "seen.all"): Topic("seen.all", 1, 1)}
    assert reading.hidden == {Address("topic", "seen.but"), Address("topic", "hidden")}
    assert reading.names == {"seen.all", "seen.but"}
    assert backend.read(["other.absent"]).hidden == {Address("topic", "other.absent")}


def test_what_is_not_allowed_is_denied_by_check_and_by_act(eve: str) -> None:
    backend = KafkaTopics(login(eve), delay=0.1)
    live = Topic("seen.all", 1, 1)
    diffs = (AttrDiff("/config/retention.ms", None, "1000"),)
    changes = [
        Change(Address("topic", "new"), Action.CREATE, None, Topic("new", 1, 1)),
        Change(live.address, Action.UPDATE, live, Topic("seen.all", 1, 1, {"retention.ms": "1000"}), diffs),
    ]
    said = backend.check(changes)
    assert [[problem.code for problem in said[change.address]] for change in changes] == [["K313"], ["K313"]]
    outcomes = backend.act([*changes, Change(Address("topic", "seen.but"), Action.DELETE, live, None)], {})
    assert [type(outcome.error) for outcome in outcomes.values()] == [Denied] * 3


def test_a_wrong_password_is_denied_soon_and_says_so(eve: str, caplog: pytest.LogCaptureFixture) -> None:
    wrong = "not-the-password-of-eve"
    backend = KafkaTopics(login(eve, wrong), request_timeout=20, secrets=[wrong])
    began = time.monotonic()
    with caplog.at_level("DEBUG", "kplan.kafka"), pytest.raises(Denied) as failed:
        backend.read(["seen.all"])
    assert time.monotonic() - began < 15  # of 20
    assert "uthentication" in failed.value.message
    assert wrong not in caplog.text + failed.value.message
    backend.close()


@pytest.mark.parametrize(
    "config",
    [
        {"bootstrap.servers": "127.0.0.1:1"},
        {"bootstrap.servers": "no-such-host.invalid:9092"},
    ],
    ids=["port", "host"],
)
def test_a_wrong_address_is_unreachable_soon_and_says_so(config: dict[str, str]) -> None:
    began = time.monotonic()
    with pytest.raises(Unreachable) as failed:
        KafkaTopics(config, request_timeout=20).identify()
    assert time.monotonic() - began < 15  # of 20
    assert config["bootstrap.servers"] in failed.value.message


def test_the_wrong_protocol_is_unreachable_and_says_so(eve: str) -> None:
    with pytest.raises(KplanError) as failed:
        KafkaTopics(login(eve, **{"security.protocol": "SASL_SSL"}), request_timeout=6).identify()
    assert failed.value.code in ("K310", "K313")
    assert "SSL" in failed.value.message
