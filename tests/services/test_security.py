"""Brokers and a Connect that let nobody in: passwords and certificates, the ACLs of kplan's user, and secrets.

One broker with an authorizer and one worker, which asks for certificates and passwords, serve all tests here.
"""

from __future__ import annotations

import base64
import contextlib
import io
import json
import os
import re
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from urllib.parse import quote, quote_plus
from uuid import uuid4

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AclBinding,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)

from kplan.diagnostics import Denied
from kplan.kinds.acl.permissions import ACTIVITIES, HEARTBEAT, Acl, Activity
from kplan.kinds.topic.options import TopicOptions
from kplan.servers.kafka.signals import KafkaSignals
from tests.fakes.gateway import read_only_gateway
from tests.services import ServiceMissing, plugin_path
from tests.services.fixtures import without
from tests.services.kafka import java_command
from tests.services.secure import SecureConnect, SecureKafka
from tests.shell import Ended, Shell

pytestmark = pytest.mark.xdist_group("secure services")  # starts its own

SASL, MUTUAL_KEY, CONNECT, VARIABLE, FLAG = (  # canaries: no byte of them may be written anywhere
    "canary-sasl+p@ss/1", "canary-key phrase 2", "canary-connect:word/3", 'canary-"variable"+4', "canary-flag-5",
)  # fmt: skip
CANARIES = (SASL, MUTUAL_KEY, CONNECT, VARIABLE, FLAG)
WRONG = "not-the-canary-6"


# -- the servers ------------------------------------------------------------------------------------------------------
@dataclass
class Secure:
    """The broker, the worker, and the files of the certificates."""

    folder: Path
    kafka: SecureKafka
    connect: SecureConnect
    client: tuple[Path, Path] = field(init=False)
    stranger: tuple[Path, Path] = field(init=False)

    def __post_init__(self) -> None:
        self.client = self.kafka.clients.sign("kplan", password=MUTUAL_KEY)
        self.stranger = self.kafka.strangers.sign("stranger")

    @cached_property
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.kafka.bootstrap})

    @property
    def ca(self) -> str:
        return str(self.kafka.servers.file)

    def allow(self, rights: Mapping[str, Sequence[Acl]]) -> None:
        """Each user (`User:NAME`) has these rights and no others."""
        kinds = {"Topic": ResourceType.TOPIC, "Group": ResourceType.GROUP, "Cluster": ResourceType.BROKER,
                 "TransactionalId": ResourceType.TRANSACTIONAL_ID}  # fmt: skip
        bindings = [
            AclBinding(
                kinds[acl.kind], acl.name or "kafka-cluster",
                ResourcePatternType.PREFIXED if acl.prefixed else ResourcePatternType.LITERAL, user, "*",
                AclOperation[re.sub(r"(?<=[a-z])(?=[A-Z])", "_", acl.operation).upper()], AclPermissionType.ALLOW,
            )
            for user, acls in rights.items() for acl in dict.fromkeys(acls)
        ]  # fmt: skip
        for future in self.admin.create_acls(bindings).values():
            future.result(10)

    def topics(self, prefix: str) -> set[str]:
        return {name for name in self.admin.list_topics(timeout=10).topics if name.startswith(prefix)}

    def make(self, *names: str) -> None:
        for future in self.admin.create_topics([NewTopic(name, 1, 1) for name in names]).values():
            future.result(10)


def everything(prefix: str) -> list[Acl]:
    """What it takes to plan, apply, destroy and recover with the state in Kafka."""
    return [
        acl for each in ACTIVITIES if each.name in ("topics", "readers", "state") for acl in each.with_names(prefix)
    ]


@pytest.fixture(scope="module")
def secure(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secure]:
    folder = tmp_path_factory.mktemp("certificates")
    with contextlib.ExitStack() as stack:
        try:
            with ThreadPoolExecutor(1) as pool:
                plugins = pool.submit(plugin_path)
                kafka = stack.enter_context(SecureKafka(folder))
                connect = stack.enter_context(SecureConnect(kafka, plugins.result(), "ops", CONNECT))
        except ServiceMissing as missing:
            without(missing)
        made = Secure(folder, kafka, connect)
        kafka.add_user("alice", SASL)
        made.allow(
            {
                "User:alice": everything("walk-scram.") + everything("walk-all"),
                "User:CN=kplan": everything("walk-mutual."),
            }
        )
        yield made


def environments(secure: Secure) -> str:
    """kplan.yaml: `scram` and `mutual` are right, and what is wrong with the others their tests say by variables."""
    return f"""
version: 1
default: scram
environments:
  scram:
    kafka:
      bootstrap.servers: "{{{{ env.BROKER }}}}"
      security.protocol: "{{{{ env.PROTOCOL }}}}"
      sasl.mechanism: "{{{{ env.MECHANISM }}}}"
      sasl.username: alice
      sasl.password: "{{{{ env.SASL_WORD }}}}"
      ssl.ca.location: "{{{{ env.CA }}}}"
      debug: all
    connect: {{url: "{{{{ env.WORKER }}}}", username: "{{{{ env.OPS }}}}", password: "{{{{ env.CONNECT_WORD }}}}"}}
    state: {{kafka_topic: __kplan}}
    timeouts: {{request: 10s, settle: 60s, session: 6s}}
  mutual:
    kafka:
      bootstrap.servers: "{{{{ env.MUTUAL }}}}"
      security.protocol: SSL
      ssl.ca.location: "{{{{ env.CA }}}}"
      ssl.certificate.location: "{{{{ env.CERTIFICATE }}}}"
      ssl.key.location: "{{{{ env.KEY }}}}"
      ssl.key.password: "{{{{ env.KEY_WORD }}}}"
    connect:
      url: "{{{{ env.WORKER_TLS }}}}"
      ca: "{{{{ env.WORKER_CA }}}}"
      username: ops
      password: "{{{{ env.CONNECT_WORD }}}}"
      certificate: "{{{{ env.CERTIFICATE }}}}"
      key: "{{{{ env.KEY }}}}"
      key_password: "{{{{ env.WORKER_KEY_WORD }}}}"
    state: {{kafka_topic: __kplan}}
    timeouts: {{request: 10s, settle: 60s, session: 6s}}
  all:
    kafka:
      bootstrap.servers: "{{{{ env.BROKER }}}}"
      security.protocol: SASL_SSL
      sasl.mechanism: SCRAM-SHA-512
      sasl.username: alice
      sasl.password: "{{{{ env.SASL_WORD }}}}"
      ssl.ca.location: "{{{{ env.CA }}}}"
      ssl.certificate.location: "{{{{ env.CERTIFICATE }}}}"
      ssl.key.location: "{{{{ env.KEY }}}}"
      ssl.key.password: "{{{{ env.KEY_WORD }}}}"
      debug: all
    connect:
      url: "{{{{ env.WORKER_LOGIN }}}}"
      ca: "{{{{ env.WORKER_CA }}}}"
      certificate: "{{{{ env.CERTIFICATE }}}}"
      key: "{{{{ env.KEY }}}}"
      key_password: "{{{{ env.KEY_WORD }}}}"
    state: {{kafka_topic: __kplan}}
    timeouts: {{request: 10s, settle: 60s, session: 6s}}
  bare:
    kafka: {{bootstrap.servers: "{{{{ env.MUTUAL }}}}", security.protocol: SSL, ssl.ca.location: "{{{{ env.CA }}}}"}}
    state: {{kafka_topic: __kplan}}
  bare-worker:
    kafka: {{bootstrap.servers: "{secure.kafka.bootstrap}"}}
    connect: {{url: "{{{{ env.WORKER_TLS }}}}", ca: "{{{{ env.WORKER_CA }}}}"}}
    state: {{sqlite: worker.db}}
    timeouts: {{request: 5s, settle: 5s}}
    retry: {{attempts: 2, delay: 100ms}}
"""


def variables(secure: Secure) -> dict[str, str]:
    return {
        "BROKER": secure.kafka.at("SCRAM"), "PROTOCOL": "SASL_SSL", "MECHANISM": "SCRAM-SHA-512", "SASL_WORD": SASL,
        "CA": secure.ca, "WORKER": secure.connect.plain_url, "OPS": "ops", "CONNECT_WORD": CONNECT,
        "MUTUAL": secure.kafka.at("MUTUAL"), "CERTIFICATE": str(secure.client[0]), "KEY": str(secure.client[1]),
        "WORKER_LOGIN": secure.connect.url.replace("://", f"://ops:{quote(CONNECT, safe='')}@"),
        "KEY_WORD": MUTUAL_KEY, "WORKER_KEY_WORD": MUTUAL_KEY, "WORKER_TLS": secure.connect.url, "WORKER_CA": secure.ca,
    }  # fmt: skip


@pytest.fixture
def shell(secure: Secure, tmp_path: Path) -> Shell:
    signing = {"KPLAN_KEY": "key-of-the-test"}  # for all: they share a state, and a key refuses what is not signed
    made = Shell(tmp_path, variables(secure) | signing, CANARIES)
    made.write("kplan.yaml", environments(secure))
    return made


def stack(env: str, folder: Path, more: str = "", settings: str = "") -> str:
    """Two topics and a connector with a secret, for one environment."""
    return f"""
version: 1
stack: walk-{env}
variables:
  word: {{type: string, env: STACK_WORD, sensitive: true}}
  other: {{type: string, sensitive: true, default: unused-word}}
topics:
  walk-{env}.a: {{partitions: 2, accept: [data-loss]}}
  walk-{env}.b: {{config: {{retention.ms: 7d}}}}
{more}
connectors:
  walk-{env}:
    class: org.apache.kafka.connect.file.FileStreamSourceConnector
    topics: {{walk-{env}.lines: }}
    config:
      file: "{folder / "in"}"
      topic: walk-{env}.lines
      api.password: "{{{{ var.word }}}}"
      api.token: "{{{{ var.other }}}}"
      {settings}
"""


# -- in by password, in by certificate --------------------------------------------------------------------------------
DIES = """
import os, sys
from kplan.servers.kafka.topics import KafkaTopics
act = KafkaTopics.act
def half(self, changes, captured):
    act(self, changes, captured)
    os._exit(9)
KafkaTopics.act = half
from kplan.__main__ import run
run(sys.argv[1:])
"""


def dies(shell: Shell, *arguments: str, **environment: str) -> None:
    """kplan is gone after the brokers did what it asked of them, and before it wrote that down."""
    run = subprocess.run([sys.executable, "-c", DIES, *arguments], cwd=shell.folder, capture_output=True, timeout=120,
                         env={**os.environ, **shell.environment, **environment})  # fmt: skip
    assert run.returncode == 9, run.stderr.decode()


@pytest.mark.parametrize("env", ["scram", "mutual"])
def test_everything_works_for_whoever_is_let_in(env: str, shell: Shell, secure: Secure) -> None:
    shell.environment["STACK_WORD"] = VARIABLE
    shell.write("in", "one\n")
    shell.write("stack.yaml", stack(env, shell.folder))
    shell.kplan("validate", "stack.yaml", "--env", env)
    shell.kplan("plan", "stack.yaml", "--env", env, "--out", "plan.json")
    shell.kplan("apply", "plan.json")
    assert len(secure.topics(f"walk-{env}.")) == 3
    assert secure.connect.request("GET", f"/connectors/walk-{env}/config")["api.password"] == VARIABLE
    assert "No changes." in shell.kplan("plan", "stack.yaml", "--env", env).out

    if env == "mutual":  # with a password it is done where secrets are searched for
        shell.write("stack.yaml", stack(env, shell.folder, f"  walk-{env}.c:\n"))
        dies(shell, "apply", "stack.yaml", "--yes", "--env", env)
        assert f"walk-{env}.c" in secure.topics(f"walk-{env}.")
        shell.kplan("recover", "--yes", "--env", env)
        assert f"walk-{env}.c" not in secure.topics(f"walk-{env}.")
    shell.kplan("destroy", "stack.yaml", "--yes", "--env", env, "--accept", "delete:topic/*")
    assert not secure.topics(f"walk-{env}.")
    shell.assert_no_secret_on_disk()


# -- refused ----------------------------------------------------------------------------------------------------------
@dataclass(frozen=True)
class Refusal:
    """What is wrong, by environment and variables; what is said: the code, the server, the cause and the way out."""

    code: str
    server: str
    cause: str
    help: str
    env: str = "scram"
    wrong: Mapping[str, str] = field(default_factory=dict)


def refusals(secure: Secure) -> dict[str, Refusal]:
    broker, mutual, expired = (secure.kafka.at(name) for name in ("SCRAM", "MUTUAL", "EXPIRED"))
    worker, plain = secure.connect.url, secure.connect.plain_url
    controller = re.findall(r"CONTROLLER://([^,]+)", secure.kafka.brokers[1].properties["listeners"])[0]
    strangers, me = (
        str(secure.kafka.strangers.file),
        {"CERTIFICATE": str(secure.stranger[0]), "KEY": str(secure.stranger[1])},
    )
    return {
        "wrong password": Refusal("K313", broker, "SCRAM-SHA-512", "sasl.password", wrong={"SASL_WORD": WRONG}),
        "wrong mechanism": Refusal(
            "K313", broker, "Unsupported SASL mechanism", "sasl.mechanism", wrong={"MECHANISM": "PLAIN"}
        ),
        "untrusted broker": Refusal("K317", broker, "local issuer", "ssl.ca.location", wrong={"CA": strangers}),
        "expired broker": Refusal("K317", expired, "has expired", "renew", wrong={"BROKER": expired}),
        "another host name": Refusal(
            "K317", secure.kafka.at('SCRAM', 'localhost'), "mismatch", "bootstrap.servers",
            wrong={"BROKER": secure.kafka.at("SCRAM", "localhost")},
        ),
        "plain to a TLS port": Refusal(
            "K310", broker, "security.protocol is plaintext", "SASL_SSL", wrong={"PROTOCOL": "PLAINTEXT"}
        ),
        "plain login to a TLS port": Refusal(
            "K310", broker, "sasl_plaintext", "SASL_SSL", wrong={"PROTOCOL": "SASL_PLAINTEXT"}
        ),
        "TLS to a plain port": Refusal(
            "K310", secure.kafka.bootstrap, "PLAINTEXT", "speaks no TLS", wrong={"BROKER": secure.kafka.bootstrap}
        ),
        "a controller's port": Refusal(
            "K334", controller, "controller's port", "needs a broker's port",
            wrong={"BROKER": controller, "PROTOCOL": "PLAINTEXT"},
        ),
        "Connect's port as a broker": Refusal(
            "K334", plain[7:], "speaks HTTP", "Connect's", wrong={"BROKER": plain[7:], "PROTOCOL": "PLAINTEXT"}
        ),
        "a login where no SASL is": Refusal(
            "K334", secure.kafka.bootstrap, "has no SASL", "security.protocol: PLAINTEXT",
            wrong={"BROKER": secure.kafka.bootstrap, "PROTOCOL": "SASL_PLAINTEXT"},
        ),
        "a login at a controller": Refusal(
            "K334", controller, "controller's port", "needs a broker's port",
            wrong={"BROKER": controller, "PROTOCOL": "SASL_PLAINTEXT"},
        ),
        "no file of authorities": Refusal("K203", "", "there is no file", "kafka:", wrong={"CA": "/no/such.pem"}),
        "no certificate": Refusal("K317", mutual, "alert", "ssl.certificate.location", "bare"),
        "a stranger's certificate": Refusal(
            "K317", mutual, "alert", "ssl.certificate.location", "mutual",
            {**me, "KEY_WORD": "x", "WORKER_KEY_WORD": "x"},
        ),
        "wrong word for the key": Refusal("K203", "", "ssl.key.location", "kafka:", "mutual", {"KEY_WORD": WRONG}),
        "Connect: wrong password": Refusal("K313", plain[7:], "401", "connect.password", wrong={"CONNECT_WORD": WRONG}),
        "Connect: wrong user": Refusal("K313", plain[7:], "401", "connect.username", wrong={"OPS": "nobody"}),
        "Connect: untrusted worker": Refusal(
            "K317", worker, "local issuer", "connect.ca", "bare-worker", {"WORKER_CA": strangers}
        ),
        "Connect: another host name": Refusal(
            "K317", worker.replace("127.0.0.1", "localhost"), "mismatch", "connect.url", "bare-worker",
            {"WORKER_TLS": worker.replace("127.0.0.1", "localhost")},
        ),
        "Connect: no certificate": Refusal("K317", worker, "alert", "connect.certificate", "bare-worker"),
        "Connect: a broker's port": Refusal(
            "K334", secure.kafka.bootstrap, "does not speak HTTP", "connect.url", "bare-worker",
            {"WORKER_TLS": f"http://{secure.kafka.bootstrap}"},
        ),
        "Connect: a broker's TLS port": Refusal(
            "K334", broker, "does not speak HTTP", "connect.url", "bare-worker", {"WORKER_TLS": f"https://{broker}"}
        ),
        "Connect: plain to a TLS port": Refusal(
            "K310", worker.replace("https", "http"), "TLS", "https://", "bare-worker",
            {"WORKER_TLS": worker.replace("https", "http")},
        ),
        "Connect: TLS to a plain port": Refusal(
            "K317", plain.replace("http", "https"), "wrong version", "http://", "bare-worker",
            {"WORKER_TLS": plain.replace("http", "https")},
        ),
    }  # fmt: skip


NAMES = (
    "wrong password", "wrong mechanism", "untrusted broker", "expired broker", "another host name",
    "plain to a TLS port", "plain login to a TLS port", "TLS to a plain port", "no file of authorities",
    "a controller's port", "Connect's port as a broker", "a login where no SASL is", "a login at a controller",
    "Connect: a broker's port", "Connect: a broker's TLS port",
    "no certificate", "a stranger's certificate", "wrong word for the key", "Connect: wrong password",
    "Connect: wrong user", "Connect: untrusted worker", "Connect: another host name", "Connect: no certificate",
    "Connect: plain to a TLS port", "Connect: TLS to a plain port",
)  # fmt: skip


def told(ended: Ended, refusal: Refusal) -> None:
    """The refusal is said with its code, server, cause and way out, and nothing else is."""
    words = " ".join(ended.err.split())
    assert words.count("error[") == 1 and f"error[{refusal.code}]" in words, words
    for each in (refusal.server, refusal.cause):
        assert each.lower() in words.lower(), (each, words)
    assert refusal.help.lower() in words.partition("help:")[2].lower(), words
    assert WRONG not in ended.all


@pytest.mark.parametrize("name", NAMES)
def test_who_is_not_let_in_is_told_why_and_what_to_do(name: str, shell: Shell, secure: Secure) -> None:
    refusal = refusals(secure)[name]
    shell.write("stack.yaml", "version: 1\nstack: refused\ntopics: {refused.a: {}}\n")
    expect = 4 if refusal.code == "K203" else 1
    told(shell.kplan("plan", "stack.yaml", "--env", refusal.env, expect=expect, timeout=20, **refusal.wrong), refusal)


@pytest.mark.parametrize(
    "arguments",
    [("apply", "stack.yaml", "--yes"), ("destroy", "stack.yaml", "--yes"), ("recover", "--list"), ("show",)],
)
def test_every_command_says_it_alike(arguments: tuple[str, ...], shell: Shell, secure: Secure) -> None:
    refusal = refusals(secure)["wrong password"]
    shell.write("stack.yaml", "version: 1\nstack: refused\ntopics: {refused.a: {}}\n")
    told(shell.kplan(*arguments, expect=1, timeout=20, **refusal.wrong), refusal)


@pytest.fixture
def gate(secure: Secure) -> Iterator[str]:
    with read_only_gateway(secure.connect.request) as url:
        yield url


def test_a_403_names_the_request_that_is_forbidden(gate: str, shell: Shell) -> None:
    shell.environment |= {"STACK_WORD": VARIABLE, "WORKER_TLS": gate, "WORKER_CA": shell.environment["CA"]}
    shell.write("stack.yaml", stack("gate", shell.folder))
    ended = shell.kplan("apply", "stack.yaml", "--env", "bare-worker", "--yes", expect=7)
    words = " ".join(ended.all.split())
    assert "answers 403 to" in words and "/connectors" in words and "docs/permissions.md" in words


# -- exactly these ACLs -----------------------------------------------------------------------------------------------
BESIDES = {  # what an activity is of no use without; a topic whose readers are not known is deleted by `--accept` alone
    "topics": ("readers",), "connectors": ("readers",), "readers": ("topics",), "state read": ("look",),
    "state": ("topics", "readers"), "reassign": ("topics",),
}  # fmt: skip


@dataclass(frozen=True)
class Case:
    """A user who has all rights of an activity, or all but one."""

    number: int
    activity: Activity
    lacking: int | None = None

    @property
    def user(self) -> str:
        return f"user{self.number}"

    @property
    def prefix(self) -> str:
        return f"acl{self.number}."

    @property
    def state(self) -> str:
        return f"__s{self.number}"

    @property
    def needs(self) -> list[Acl]:
        return list(self.activity.with_names(self.prefix, self.state))

    @property
    def missing(self) -> Acl | None:
        return None if self.lacking is None else self.needs[self.lacking]

    @property
    def rights(self) -> list[Acl]:
        besides = [each for each in ACTIVITIES if each.name in BESIDES.get(self.activity.name, ())]
        return [a for a in self.needs if a != self.missing] + [
            a for each in besides for a in each.with_names(self.prefix)
        ]

    def __str__(self) -> str:
        return f"{self.activity.name}, {'exactly these' if self.missing is None else f'without {self.missing}'}"


def cases() -> list[Case]:
    found = [(activity, n) for activity in ACTIVITIES for n in (None, *range(len(activity.needs)))]
    return [Case(number, *each) for number, each in enumerate(found)]


CASES = cases()


@pytest.fixture(scope="module")
def users(secure: Secure) -> Secure:
    """All users of the cases with what they may do, and a topic of each that has a record and a reader."""
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda case: secure.kafka.add_user(case.user, SASL), CASES))
    secure.allow({f"User:{case.user}": case.rights for case in CASES})
    secure.make(*(f"{case.prefix}there" for case in CASES), *(f"{HEARTBEAT}{case.prefix}there" for case in CASES),
                *(case.state for case in CASES if case.activity.name == "state read"))  # fmt: skip
    producer = Producer({"bootstrap.servers": secure.kafka.bootstrap})
    for case in CASES:
        producer.produce(f"{case.prefix}there", b"a record")
    assert producer.flush(10) == 0
    return secure


@dataclass
class Inside:
    """kplan in this process as a case's user, which spares a process each."""

    case: Case
    secure: Secure
    folder: Path

    def __post_init__(self) -> None:
        case, secure = self.case, self.secure
        state = f"kafka_topic: {case.state}" if case.activity.name.startswith("state") else "sqlite: state.db"
        (self.folder / "kplan.yaml").write_text(f"""
version: 1
environments:
  only:
    kafka:
      bootstrap.servers: "{secure.kafka.at("SCRAM")}"
      security.protocol: SASL_SSL
      sasl.mechanism: SCRAM-SHA-512
      sasl.username: {case.user}
      sasl.password: "{{{{ env.SASL_WORD }}}}"
      ssl.ca.location: {secure.ca}
    state: {{{state}}}
    authorizer: {{allow_everyone_if_no_acl: false}}
    timeouts: {{request: 10s, settle: 20s, session: 3s}}
    retry: {{attempts: 2, delay: 100ms}}
""")

    def kplan(self, stack: str, *arguments: str, expect: int | None = 0) -> str:
        """What kplan says, on one line."""
        from kplan.__main__ import run

        (self.folder / "stack.yaml").write_text(f"version: 1\nstack: acl{self.case.number}\n{stack}")
        output, here, kept = io.StringIO(), Path.cwd(), dict(os.environ)
        os.chdir(self.folder)
        os.environ.update(SASL_WORD=SASL, NO_COLOR="1")
        try:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                code = run([arguments[0], "stack.yaml", *arguments[1:]])
        finally:
            os.chdir(here)
            os.environ.clear()
            os.environ.update(kept)
        said = " ".join(output.getvalue().split())
        assert expect is None or code == expect, f"{arguments} ended with {code}, not {expect}\n{output.getvalue()}"
        assert not any(canary in said for canary in CANARIES)
        return said

    def whole(self, prefix: str) -> None:
        """Topics are made, adopted, changed, grown and deleted, and the rest is destroyed."""
        new, there = f"{prefix}new", f"{prefix}there"
        self.kplan(f"topics: {{{new}: {{config: {{retention.ms: 1d}}}}, {there}: {{}}}}\n", "apply", "--yes")
        grown = f"topics: {{{new}: {{partitions: 3, config: {{retention.ms: 2d}}}}}}\n"
        self.kplan(grown + f"removed: [{{topic: {there}, accept: [data-loss, readers]}}]\n", "apply", "--yes")
        assert self.secure.topics(prefix) == {new}
        self.kplan(grown, "destroy", "--yes")
        assert not self.secure.topics(prefix)

    def heartbeat(self) -> None:
        """A heartbeat's topic is made and changed; one that no template made is given up and stays."""
        new = f"{HEARTBEAT}{self.case.prefix}new"
        for days in (1, 2):
            self.kplan(f"topics: {{{new}: {{config: {{retention.ms: {days}d}}}}}}\n", "apply", "--yes")
        self.kplan(f"topics: {{{new}: {{}}}}\n", "destroy", "--yes")
        assert new in self.secure.topics(HEARTBEAT)

    def change(self, prefix: str, operation: str) -> str:
        """What is said of a change that takes this right."""
        there = f"{prefix}there"
        return self.kplan({
            "Create": f"topics: {{{prefix}new: {{}}}}\n",
            "Alter": f"topics: {{{there}: {{partitions: 2}}}}\n",
            "AlterConfigs": f"topics: {{{there}: {{config: {{retention.ms: 30d}}}}}}\n",
            "Delete": f"removed: [{{topic: {there}, accept: [data-loss, readers]}}]\n",
        }[operation], "plan", expect=None)  # fmt: skip


def look(inside: Inside) -> str:
    expect = 0 if inside.case.missing is None else None
    return inside.kplan(f"topics: {{{inside.case.prefix}there: {{}}}}\n", "plan", "--offline", expect=expect)


def change(inside: Inside) -> str:
    missing, prefix = inside.case.missing, inside.case.prefix
    if missing is not None and missing.name == HEARTBEAT:
        return inside.change(HEARTBEAT + prefix, "Create" if missing.operation == "Create" else "AlterConfigs")
    if missing is not None:
        return inside.change(prefix, missing.operation)
    inside.whole(prefix)
    if inside.case.activity.name == "connectors":
        inside.heartbeat()
    return ""


def readers(inside: Inside) -> str:
    topic, group = f"{inside.case.prefix}there", f"{inside.case.prefix}group"
    consumer = Consumer({"bootstrap.servers": inside.secure.kafka.bootstrap, "group.id": group})
    consumer.commit(offsets=[TopicPartition(topic, 0, 0)], asynchronous=False)
    consumer.close()
    said = inside.kplan(f"removed: [{{topic: {topic}}}]\n", "plan", expect=3)
    if inside.case.missing is None:
        assert group in said and "missing ACL" not in said
    return said


def state(inside: Inside) -> str:
    if inside.case.missing is not None:
        return inside.kplan(f"topics: {{{inside.case.prefix}new: {{}}}}\n", "apply", "--yes", expect=None)
    inside.whole(inside.case.prefix)
    return ""


def signals(inside: Inside) -> str:
    topic = f"{inside.case.prefix}there"
    settings = {"security.protocol": "SASL_SSL", "sasl.mechanism": "SCRAM-SHA-512", "sasl.password": SASL,
                "ssl.ca.location": str(inside.secure.ca)}  # fmt: skip
    spoken = KafkaSignals({"bootstrap.servers": inside.secure.kafka.at("SCRAM"), "sasl.username": inside.case.user,
                           **settings}, 10)  # fmt: skip
    try:
        before = spoken.end(topic)
        spoken.send(topic, "key", "a signal")
        assert spoken.read(topic, before, 10) == ([b"a signal"], before + 1)
    except Denied as e:
        return " ".join(f"{e.message}. {e.help}".split())
    finally:
        spoken.close()
    return ""


def eventually(holds: Callable[[], bool], seconds: float = 10) -> None:
    """A broker shows a setting a moment after it was accepted."""
    deadline = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def reassign(inside: Inside) -> str:
    """Of one broker nothing can be moved: its replica is assigned to it again, throttled as if another one came."""
    from kplan.app.servers import open_cluster
    from kplan.diagnostics import KplanError
    from kplan.kinds.topic.options import Reassignment
    from kplan.kinds.topic.placement import LEADER_RATE
    from kplan.model import Action, Address, Change, Topic
    from kplan.project.loading import Request, load_environment
    from kplan.servers.kafka.reassign import Reassignments

    environment = load_environment(Request(folder=str(inside.folder), process={"SASL_WORD": SASL}))
    name = f"{inside.case.prefix}there"
    with contextlib.closing(open_cluster(environment).topics) as backend:
        replicas: Reassignments = backend.find_full()._replicas  # type: ignore[attr-defined]
        more = {name: Reassignment({0: (1,)}, {0: (1, 1_000)}, None, 1_048_576)}
        problem = replicas._find_missing_right(more.values())
        if problem is not None:
            with contextlib.suppress(KplanError):
                replicas.mover.list_running({name: [0]})
                replicas._set_throttle(more)
                raise AssertionError("it is allowed all the same")
            return " ".join(f"{problem.message} {problem.help} ".split()) + " "
        same = Address("topic", name), Topic(name, 1, 1)
        again = Reassignment({0: (1,)}, {0: (1,)}, 0, 9_999)
        change = Change(same[0], Action.UPDATE, same[1], same[1], options=TopicOptions(reassignment=again))
        assert backend.placement([name]).sizes[name, 0] > 0
        captured = backend.capture([change])
        replicas._alter_configs(ConfigResource.Type.BROKER, "1", {LEADER_RATE: "9999"})
        eventually(lambda: replicas._list_rates([1]) == [f"1/{LEADER_RATE}"])
        assert backend.act([change], captured)[same[0]].ok
        assert backend.settle([change], lambda *_: None)[same[0]].ok
        eventually(lambda: replicas._list_rates([1]) == [])
    return ""


def access(inside: Inside) -> str:
    """A binding and a user are planned; with the right to change them they are made and deleted."""
    stack = f"access: {{User:{inside.case.prefix}who: {{produce: {inside.case.prefix}there}}}}\n"
    expect = 0 if inside.case.missing is None else None
    if inside.case.activity.name == "access read" or inside.case.missing is not None:
        return inside.kplan(stack, "plan", expect=expect)
    inside.kplan(stack, "apply", "--yes")
    return inside.kplan(stack, "destroy", "--yes")


def quotas(inside: Inside) -> str:
    """A quota is planned; with the right to change it, it is made and deleted."""
    stack = f"quotas: [{{user: {inside.case.prefix}who, consumer_byte_rate: 1000}}]\n"
    expect = 0 if inside.case.missing is None else None
    if inside.case.activity.name == "quotas read" or inside.case.missing is not None:
        return inside.kplan(stack, "plan", "--offline", expect=expect)
    inside.kplan(stack, "apply", "--yes")
    return inside.kplan(stack, "destroy", "--yes")


DONE = {
    "look": look,
    "topics": change,
    "signals": signals,
    "reassign": reassign,
    "connectors": change,
    "readers": readers,
    "state read": look,
    "state": state,
    "access read": access,
    "access": access,
    "quotas read": quotas,
    "quotas": quotas,
}
NAMED = re.compile(
    r"missing ACL: (\w+) on (\w+)(?: (\S+))?(?: \(prefixed\))? for (\S+?)(?: \(([\w, ]+ includes? it)\))?[;.) ]"
)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_exactly_these_rights_are_enough_and_one_less_is_named(case: Case, users: Secure, tmp_path: Path) -> None:
    """Named is the right itself, or the least one of those that it includes."""
    said = DONE[case.activity.name](Inside(case, users, tmp_path))
    if case.missing is None:
        return
    found = NAMED.search(said)
    assert found, said
    operation, kind, name, who, including = found.groups()
    assert case.missing.operation in (operation, *re.findall(r"\w+", including or "")), said
    assert (kind, who) == (case.missing.kind, f"User:{case.user}")
    assert (name or "").startswith(case.missing.name)
    line = said[said.index("kafka-acls.sh") :]
    assert f"--bootstrap-server {users.kafka.at('SCRAM')}" in line
    assert f"--allow-principal User:{case.user} --operation {operation}" in line


def test_a_login_by_scram_over_tls_reads_by_the_protocol(users: Secure, tmp_path: Path) -> None:
    from kplan.app.servers import open_cluster
    from kplan.project.loading import Request, load_environment
    from kplan.servers.kafka.quick_topics import QuickTopics

    case = next(c for c in CASES if c.activity.name == "look" and c.missing is None)
    inside = Inside(case, users, tmp_path)
    environment = load_environment(Request(folder=str(inside.folder), process={"SASL_WORD": SASL}))
    with contextlib.closing(open_cluster(environment).topics) as topics:
        assert isinstance(topics, QuickTopics)
        reading = topics.read([f"{case.prefix}there"])
        assert [address.name for address in reading.resources] == [f"{case.prefix}there"]
        assert topics._full is None


def test_altering_configs_is_named_where_they_may_be_seen(users: Secure, tmp_path: Path) -> None:
    """Who may not see them is told that first."""
    case = next(c for c in CASES if c.activity.name == "topics" and c.missing and c.missing.operation == "AlterConfigs")
    users.allow({f"User:{case.user}": [Acl("DescribeConfigs", "Topic", case.prefix, True)]})
    said = Inside(case, users, tmp_path).change(case.prefix, "AlterConfigs")
    assert f"missing ACL: AlterConfigs on Topic {case.prefix}there for User:{case.user}" in said


def test_whoever_waits_for_topics_needs_to_describe_them_alone(users: Secure, tmp_path: Path) -> None:
    looks = {c.missing.operation: c for c in CASES if c.activity.name == "look" and c.missing}
    arguments = ("wait", "--for", "kafka,topics", "--retries", "1")
    described = looks["DescribeConfigs"]
    there, later = f"topics: {{{described.prefix}there: {{}}}}\n", f"topics: {{{described.prefix}later: {{}}}}\n"
    assert "ready: kafka, topics" in Inside(described, users, tmp_path).kplan(there, *arguments)
    assert "topics missing" in Inside(described, users, tmp_path).kplan(later, *arguments, expect=1)
    hidden = looks["Describe"]
    said = Inside(hidden, users, tmp_path).kplan(f"topics: {{{hidden.prefix}there: {{}}}}\n", *arguments, expect=1)
    assert f"missing ACL: Describe on Topic {hidden.prefix}there" in said


def test_the_line_that_is_shown_grants_the_right(users: Secure, tmp_path: Path) -> None:
    """Kafka's own tool takes it as it is, but for the server: the test's administrator comes in by another listener."""
    case = next(c for c in CASES if c.activity.name == "topics" and c.missing and c.missing.operation == "Create")
    inside = Inside(case, users, tmp_path)
    said = inside.change(case.prefix, "Create")
    words = shlex.split(said[said.index("kafka-acls.sh") :].partition(f"--topic {case.prefix}new")[0])[1:]
    words[words.index("--bootstrap-server") + 1] = users.kafka.bootstrap
    (tmp_path / "ADMIN.properties").touch()
    tool = [*java_command("-Xmx128m"), "org.apache.kafka.tools.AclCommand", *words, "--topic", f"{case.prefix}new"]
    subprocess.run(tool, cwd=tmp_path, check=True, capture_output=True, timeout=60)
    assert "1 to add" in inside.change(case.prefix, "Create")


def test_a_rollback_that_may_not_delete_says_so(users: Secure, tmp_path: Path, gate: str) -> None:
    """Whether a topic may be deleted that is not there yet cannot be asked, so this shows late: 8, and what is left."""
    case = next(c for c in CASES if c.activity.name == "topics" and c.missing and c.missing.operation == "Delete")
    inside = Inside(case, users, tmp_path)
    file = tmp_path / "kplan.yaml"
    file.write_text(file.read_text().replace("    state:", f"    connect: {{url: {gate}}}\n    state:"))
    connector = f"connectors: {{{case.prefix}c: {{class: org.apache.kafka.connect.file.FileStreamSourceConnector, "
    connector += f"topics: {{{case.prefix}new: {{}}}}, config: {{file: /dev/null, topic: {case.prefix}new}}}}}}\n"
    said = inside.kplan(connector, "apply", "--yes", expect=8)
    assert f"missing ACL: Delete on Topic {case.prefix}new for User:{case.user}" in said


# -- no secret anywhere -----------------------------------------------------------------------------------------------
def forms(secret: str) -> Iterator[bytes]:
    """The ways in which a secret may be written."""
    for text in (secret, quote(secret), quote(secret, safe=""), quote_plus(secret), json.dumps(secret)[1:-1]):
        yield text.encode()
    for before in range(3):  # alone, or inside something longer
        whole = base64.b64encode(b"." * before + secret.encode()).rstrip(b"=")
        yield whole[(0, 2, 3)[before] : -1]
    yield secret.encode().hex().encode()


def found_in(data: bytes) -> list[str]:
    return [secret for secret in CANARIES for form in forms(secret) if form in data]


def records(secure: Secure, topic: str) -> list[bytes]:
    """Keys, values and headers of all records, those of aborted transactions too."""
    settings = {"group.id": "canaries", "enable.partition.eof": True, "isolation.level": "read_uncommitted"}
    consumer = Consumer({"bootstrap.servers": secure.kafka.bootstrap, "enable.auto.commit": False, **settings})
    consumer.assign([TopicPartition(topic, 0, 0)])
    found = []
    while (message := consumer.poll(10)) is not None:
        problem = message.error()
        if problem is not None:
            assert problem.code() == KafkaError._PARTITION_EOF, problem
            break
        found.append((message.key() or b"") + (message.value() or b"") + repr(message.headers()).encode())
    consumer.close()
    return found


def test_no_command_writes_a_secret_anywhere(shell: Shell, secure: Secure) -> None:
    """All that is said and written, at the most talkative, librdkafka's own debugging included.

    The environment `all` has a secret in every place: for SASL, for the keys, in the address of Connect.
    """
    said: list[bytes] = []
    name = f"all-{uuid4().hex[:6]}"  # a test that is run again meets nothing of its first run
    shell.environment["STACK_WORD"] = VARIABLE
    shell.write("in", "one\n")
    where = ("--env", "all")
    flags = (*where, "--var", f"other={FLAG}")

    def kplan(*arguments: str, expect: int | None = 0, **environment: str) -> None:
        number = len(said)
        log = [("--log-format", "json"), ("--log-file", f"log-{number}.txt"), ()][number % 3]
        ended = shell.kplan(*arguments, "--log-level", "debug", *log, expect=expect, **environment)
        said.append(ended.all.encode())

    def declare(more: str = "", settings: str = "") -> None:
        shell.write("stack.yaml", stack(name, shell.folder, more, settings))

    declare()
    kplan("validate", "stack.yaml", *flags)
    views = [f"--report={kind}={kind}.txt" for kind in ("md", "html", "json", "text", "junit", "sarif")]
    kplan("plan", "stack.yaml", *flags, "--out", "plan.json", "--verbose", *views)
    kplan("plan", "stack.yaml", *flags, "--format", "json")
    kplan("show", "plan.json", "--verbose")
    kplan("show", "stack.yaml", "--stack", *flags)
    kplan("apply", "plan.json", "--var", f"other={FLAG}", "--format", "json")
    declare(settings='nonsense.password: "{{ var.word }}"')
    kplan("apply", "stack.yaml", *flags, "--yes", STACK_WORD=VARIABLE + "-changed")
    declare(f"  walk-{name}.c: {{}}\n", 'tasks.max: "{{ var.other }}"')  # which Connect refuses, with the value
    kplan("plan", "stack.yaml", *flags, expect=4)
    kplan("apply", "stack.yaml", *flags, "--yes", "--offline", expect=7)
    declare(f"  walk-{name}.d: {{}}\n")
    dies(shell, "apply", "stack.yaml", "--yes", *flags)
    kplan("recover", "--list", *where)
    kplan("recover", "--yes", *where)
    kplan("drift", "stack.yaml", *flags, expect=None)
    kplan("status", "stack.yaml", *flags, expect=None)
    kplan("list", *where)
    kplan("show", *where, "--format", "json")
    kplan("snapshot", "stack.yaml", *flags, "--out", "live.json", expect=None)
    for word in ("SASL_WORD", "KEY_WORD"):
        kplan("plan", "stack.yaml", *flags, expect=None, **{word: SASL[::-1]})
    kplan(
        "plan",
        "stack.yaml",
        *flags,
        expect=1,
        WORKER_LOGIN=shell.environment["WORKER_LOGIN"].replace("canary", SASL[:3]),
    )
    kplan("destroy", "stack.yaml", *flags, "--yes", "--accept", "delete:topic/*")

    written = [path.read_bytes() for path in shell.folder.rglob("*") if path.is_file()]
    kept = records(secure, "__kplan")
    assert len(kept) > 10 and len(written) > 15
    assert b"[thrd:" in b"".join(said) and b"[thrd:" in b"".join(written), "librdkafka speaks"
    assert b"kplan.servers.connect" in b"".join(said), "and so does the client of Connect"
    assert not [found for data in (*said, *written, *kept) if (found := found_in(data))]
    assert not any(SASL[::-1].encode() in data for data in (*said, *written))
    bytes_said, bytes_written = sum(map(len, said)), sum(map(len, written))
    print(f"searched {bytes_said:,} bytes said, {bytes_written:,} in {len(written)} files, {len(kept)} records")
