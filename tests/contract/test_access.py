"""What a user who may not do everything sees, and what a wrong password or address looks like; on a real broker."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka.admin import AclBinding, AclOperation, AclPermissionType, AdminClient, NewTopic
from confluent_kafka.admin import ResourcePatternType as Pattern
from confluent_kafka.admin import ResourceType as Kind

from kplan.diagnostics import Denied, KplanError, Unreachable
from kplan.model import Action, Address, AttrDiff, Change, Topic
from kplan.servers.kafka.topics import KafkaTopics
from tests.fakes.sockets import answering, silent
from tests.services import KafkaCluster, ServiceMissing
from tests.services.fixtures import without
from tests.services.process import free_port
from tests.shell import Shell

pytestmark = pytest.mark.xdist_group("guarded broker")  # starts its own

_GUARDED: dict[str, str] = {}  # the other addresses of the broker
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
            listeners = dict(each.split("://") for each in broker.properties["listeners"].split(","))
            _GUARDED.update(plain=cluster.bootstrap, controller=listeners["CONTROLLER"])
            yield f"127.0.0.1:{port}"
    except ServiceMissing as missing:
        without(missing)


@pytest.fixture(scope="module")
def plain(eve: str) -> str:
    """The address of the same broker that lets everyone in."""
    return _GUARDED["plain"]


@pytest.fixture(scope="module")
def controller(eve: str) -> str:
    """The address of the same node's controller."""
    return _GUARDED["controller"]


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


def test_a_controllers_port_is_named_soon(eve: str, controller: str) -> None:
    """librdkafka waits for its whole timeout there, and says `Failed while waiting for controller`."""
    backend = KafkaTopics({"bootstrap.servers": controller}, request_timeout=60)
    began = time.monotonic()
    for ask in (backend.identify, lambda: backend.read(["any"])):
        with pytest.raises(Unreachable, match=r"this is a controller's port \(KRaft\)") as failed:
            ask()
        assert failed.value.code == "K334" and "broker's" in failed.value.help
    assert time.monotonic() - began < 20  # of 120
    backend.close()


def test_a_controller_beside_a_broker_does_no_harm_or_is_named(eve: str, controller: str, plain: str) -> None:
    """librdkafka asks one of them at random; one that asks the controller first does not ask the broker any more."""
    for _ in range(3):
        backend = KafkaTopics({"bootstrap.servers": f"{controller},{plain}"}, request_timeout=60)
        began = time.monotonic()
        try:
            assert backend.identify().brokers == 1
        except Unreachable as failure:
            assert failure.code == "K334" and failure.message.startswith(controller)
        assert time.monotonic() - began < 20
        backend.close()


def test_a_login_at_a_listener_without_sasl_is_named(eve: str, plain: str) -> None:
    with pytest.raises(Unreachable, match="this listener has no SASL") as failed:
        KafkaTopics(login(plain), request_timeout=20).identify()
    assert failed.value.code == "K334" and "security.protocol: PLAINTEXT" in failed.value.help


def test_a_port_that_speaks_http_is_named() -> None:
    refusal = b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n"
    with (
        answering(lambda connection: connection.sendall(refusal)) as address,
        pytest.raises(Unreachable, match="this port speaks HTTP") as failed,
    ):
        KafkaTopics({"bootstrap.servers": address}, request_timeout=20).identify()
    assert failed.value.code == "K334" and "Connect's" in failed.value.help


def test_a_dead_broker_is_tried_as_often_as_retry_says(caplog: pytest.LogCaptureFixture) -> None:
    backend = KafkaTopics({"bootstrap.servers": "127.0.0.1:1"}, request_timeout=20, attempts=3, delay=0.2)
    with (
        caplog.at_level("WARNING", "kplan.servers.kafka"),
        pytest.raises(Unreachable, match="Connection refused"),
    ):
        backend.identify()
    lines = [record.getMessage() for record in caplog.records if record.name == "kplan.servers.kafka"]
    assert [re.sub(r"[\d.]+ s$", "N s", line) for line in lines] == [
        "127.0.0.1:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused; attempt 2 of 3 in N s",
        "127.0.0.1:1: Connect to ipv4#127.0.0.1:1 failed: Connection refused; attempt 3 of 3 in N s",
    ]
    assert backend.retries == 2


def test_a_silent_server_is_given_up_after_the_request_timeout() -> None:
    """It accepts the connection and never answers: another attempt would not help."""
    with silent() as address:
        backend = KafkaTopics({"bootstrap.servers": address}, request_timeout=4, attempts=5, delay=0.1)
        began = time.monotonic()
        with pytest.raises(Unreachable):
            backend.identify()
        assert time.monotonic() - began < 10
        backend.close()


def test_the_wrong_protocol_is_unreachable_and_says_so(eve: str) -> None:
    with pytest.raises(KplanError) as failed:
        KafkaTopics(login(eve, **{"security.protocol": "SASL_SSL"}), request_timeout=6).identify()
    assert failed.value.code in ("K310", "K313")
    assert "SSL" in failed.value.message


# -- a Connect that does not answer -----------------------------------------------------------------------------------
TOPICS = "version: 1\nstack: alone\ntopics: {alone.a: {}, alone.b: {partitions: 2}}\n"
SINK = """
connectors:
  sink: {class: org.apache.kafka.connect.file.FileStreamSinkConnector, config: {file: /x, topics: alone.a}}
"""


@pytest.fixture
def shell(plain: str, tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write(
        "kplan.yaml",
        f"""
version: 1
environments:
  dev:
    kafka: {{bootstrap.servers: "{plain}"}}
    connect: {{url: "http://127.0.0.1:1"}}
    state: {{sqlite: state.db}}
    timeouts: {{settle: 5s}}
    retry: {{attempts: 2, delay: 100ms}}
""",
    )
    return made


def test_topics_are_applied_while_connect_does_not_answer(shell: Shell) -> None:
    shell.write("stack.yaml", TOPICS)
    made = shell.kplan("apply", "stack.yaml", "--yes", "--log-level", "debug", "--log-file", "run.log")
    log = (shell.folder / "run.log").read_text()
    for request in ("describe cluster", r"list topics \(\d+\)", r"create topics \(2\)", r"describe configs \(2\)"):
        assert re.search(rf"DEBUG +kplan\.servers\.kafka +{request}.* [\d.]+ s\n", log), request
    assert "INFO    kplan.run" in log and "topic/alone.a" in log
    assert "warning[K335]" in made.err and "Connect does not answer at http://127.0.0.1:1" in made.err
    assert shell.kplan("plan", "stack.yaml", "--detailed-exitcode").code == 0
    shell.write("stack.yaml", TOPICS.replace("alone.b: {partitions: 2}", "") + "removed: [{topic: alone.b}]\n")
    blocked = " ".join(shell.kplan("plan", "stack.yaml", expect=3).out.split())
    assert "K402" in blocked and "so sink connectors are not known" in blocked
    shell.kplan("apply", "stack.yaml", "--yes", "--accept", "delete:topic/alone.b")
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "delete:topic/alone.a")


def test_a_stack_with_a_connector_needs_connect(shell: Shell) -> None:
    shell.write("stack.yaml", TOPICS + SINK)
    assert "error[K310]" in shell.kplan("plan", "stack.yaml", expect=1).err


def test_an_apply_waits_for_kafka_and_not_longer_than_it_is_told(shell: Shell) -> None:
    """`--wait` waits for Kafka alone where no connector needs Connect, and ends with K530 where one does."""
    shell.write("stack.yaml", TOPICS)
    shell.kplan("apply", "stack.yaml", "--yes", "--wait", "60s")
    # which sinks read the topics is not known while Connect is silent, and that is a danger
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "delete:topic/*", KPLAN_WAIT="60s")
    shell.write("stack.yaml", TOPICS + SINK)
    late = shell.kplan("apply", "stack.yaml", "--yes", "--wait", "2s", expect=1).err
    assert "not ready, waiting" in late and "error[K530]" in late and "Connect does not answer" in late
