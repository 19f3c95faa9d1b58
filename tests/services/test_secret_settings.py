"""A value that was ever secret stays secret: rotated, removed, made plain, set by others, moved and destroyed.

The names of the settings give nothing away. The same scenario runs on a real broker with a real Connect worker and on
the simulated cluster. After each step everything that kplan writes is searched, and so are the bytes of its state.
"""

from __future__ import annotations

import json
import sqlite3
import time
import urllib.error
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    ResourceType,
)

from kplan.model import Action, Address, AttrDiff, Change, Connector
from kplan.servers.simulated import SimulatedConnectors
from tests.services import ConnectWorker, KafkaCluster
from tests.services.test_undo import stopped_offsets
from tests.shell import Shell

FIRST, SECOND, THIRD, STRANGE, LATER, OLD = (
    "canary-First_1", "canary-Second_2", "canary-Third_3", "canary-Strange_4", "canary-Later_5", "canary-Old_6",
)  # fmt: skip
CANARIES = (FIRST, SECOND, THIRD, STRANGE, LATER, OLD)
SOURCE = "org.apache.kafka.connect.file.FileStreamSourceConnector"
SINK = "org.apache.kafka.connect.file.FileStreamSinkConnector"
VARIABLES = "variables:\n  s: {type: string, sensitive: true}\n"
TOPICS = "topics:\n  canary.lines:\n"
STATE = "__canary"
REPORTS = ("text", "md", "html", "json", "concise", "sarif", "junit", "github")


@dataclass
class Place:
    """Where the scenario runs: `shell` insists on it that no canary is printed."""

    shell: Shell
    secret: Path  # a folder that is named by a canary
    number: int = 0
    files: list[Path] = field(default_factory=list)

    def set_live(self, name: str, **config: str) -> None:
        """Somebody sets settings of a connector, not kplan."""
        raise NotImplementedError

    def live(self, name: str) -> Mapping[str, Any] | None:
        raise NotImplementedError

    def create(self, name: str, config: Mapping[str, str]) -> None:
        raise NotImplementedError

    def state(self) -> bytes:
        """All that kplan's state holds, older versions of its records included."""
        raise NotImplementedError

    def has(self, name: str, key: str, value: str) -> bool:
        raise NotImplementedError

    def stack(self, connectors: str, more: str = "") -> None:
        self.shell.write("stack.yaml", f"version: 1\nstack: canary\n{VARIABLES}{TOPICS}connectors:\n{connectors}{more}")

    def source(self, name: str, *settings: str, file: str = "") -> str:
        lines = [f'file: "{file or self.shell.folder / "in"}"', "topic: canary.lines", *settings]
        return f"  {name}:\n    class: {SOURCE}\n    config:\n" + "".join(f"      {line}\n" for line in lines)

    def kplan(self, *arguments: str, s: str | None, expect: int | None = 0) -> str:
        """Run kplan with a debug log and look at what it printed, at its files and at its state."""
        self.number += 1
        environment = {} if s is None else {"KPLAN_VAR_s": s}
        log = ("--log-level", "debug", "--log-file", f"log{self.number}.txt")
        ended = self.shell.kplan(*arguments, *log, expect=expect, **environment)
        self.look_at_files(arguments)
        return ended.all

    def look_at_files(self, about: object = "") -> None:
        for path in self.shell.folder.rglob("*"):
            if path.is_file() and ".db" not in path.name:
                assert_clean(path.read_bytes(), f"{path.name} after {about}")
        assert_clean(self.state(), f"the state after {about}")

    def everything(self, s: str | None, *plan: str, known: bool = True, expect: int | None = 0) -> str:
        """Run all that shows something, and return the plan's text."""
        reports = [word for kind in REPORTS for word in ("--report", f"{kind}=report.{kind}")]
        text = ""
        if s is not None:
            text = self.kplan("plan", "stack.yaml", *plan, *reports, "--out", "plan.json", s=s, expect=expect)
            self.kplan("show", "plan.json", "--verbose", s=None)
            document = json.loads(Path(self.shell.folder, "report.json").read_text())
            assert not document["drift"], document["drift"]
        self.kplan("status", "stack.yaml", "--format", "json", s=None, expect=None)
        self.kplan("status", "stack.yaml", s=None, expect=None)
        self.kplan("drift", "stack.yaml", "--format", "json", s=None, expect=None)
        if known:
            self.kplan("snapshot", "--out", "live.json", s=None)
        for name in ("canary-a", "canary-b"):
            if known and self.live(name) is not None:
                self.kplan("connector", "config", name, s=None)
                self.kplan("connector", "status", name, s=None, expect=None)
        return text

    def last_run(self) -> None:
        run = self.shell.kplan("history", "--format", "json").json["runs"][0]["run"]
        for kind in ("json", "text"):
            self.kplan("show", run, "--format", kind, s=None)


def assert_clean(data: bytes, what: str) -> None:
    for canary in CANARIES:
        assert canary.encode() not in data, (
            f"{canary} is in {what}: …{data[max(0, data.find(canary.encode()) - 200) :][:400]!r}"
        )


@dataclass
class Real(Place):
    kafka: KafkaCluster | None = None
    connect: ConnectWorker | None = None

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        assert self.connect is not None
        return self.connect.request(method, path, body)

    def set_live(self, name: str, **config: str) -> None:
        now = self._ask("GET", f"/connectors/{name}/config")
        self._ask("PUT", f"/connectors/{name}/config", {**now, **config})

    def live(self, name: str) -> Mapping[str, Any] | None:
        try:
            return dict(self._ask("GET", f"/connectors/{name}/config"))
        except urllib.error.HTTPError as e:
            assert e.code == 404
            return None

    def has(self, name: str, key: str, value: str) -> bool:
        return (self.live(name) or {}).get(key) == value

    def create(self, name: str, config: Mapping[str, str]) -> None:
        self._ask("POST", "/connectors", {"name": name, "config": dict(config)})
        end = time.monotonic() + 60
        while "trace" not in json.dumps(self._status(name)):
            assert time.monotonic() < end
            time.sleep(0.3)

    def _status(self, name: str) -> Any:
        try:
            return self._ask("GET", f"/connectors/{name}/status")
        except urllib.error.HTTPError:
            return {}

    def state(self) -> bytes:
        assert self.kafka is not None
        return raw_bytes(self.kafka, STATE)


def raw_bytes(kafka: KafkaCluster, topic: str) -> bytes:
    """Every byte of keys and values, of aborted transactions too."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": f"canary-{time.monotonic_ns()}",
                         "isolation.level": "read_uncommitted", "enable.auto.commit": False})  # fmt: skip
    try:
        if topic not in consumer.list_topics(timeout=10).topics:
            return b""
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: list[bytes] = []
        deadline = time.monotonic() + 30
        while consumer.position([TopicPartition(topic, 0)])[0].offset < end and time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is not None and message.error() is None:
                found += [message.key() or b"", message.value() or b""]
        return b"\n".join(found)
    finally:
        consumer.close()


@dataclass
class Simulated(Place):
    @property
    def backend(self) -> SimulatedConnectors:
        return SimulatedConnectors(self.file)

    @property
    def file(self) -> Path:
        return self.shell.folder / ".kplan" / "dev.db"

    def live(self, name: str) -> Mapping[str, Any] | None:
        address = Address("connector", name)
        found = self.backend.read([name]).resources.get(address)
        return found.config if isinstance(found, Connector) else None

    def has(self, name: str, key: str, value: str) -> bool:
        kept = (self.live(name) or {}).get(key)
        return kept == value or (hasattr(kept, "matches") and bool(kept.matches(value)))

    def set_live(self, name: str, **config: str) -> None:
        now = self.backend.read([name]).resources[Address("connector", name)]
        assert isinstance(now, Connector)
        after = Connector(name, {**now.config, **config}, now.state)
        diffs = tuple(AttrDiff(f"/config/{key}", now.config.get(key), value) for key, value in config.items())
        outcome = self.backend.act([Change(after.address, Action.UPDATE, now, after, diffs)], {})
        assert outcome[after.address].ok

    def create(self, name: str, config: Mapping[str, str]) -> None:
        after = Connector(name, dict(config))
        assert self.backend.act([Change(after.address, Action.CREATE, None, after)], {})[after.address].ok
        trace = f"ConnectException: Couldn't find or create file '{config['file']}' for FileStreamSinkTask"
        with sqlite3.connect(self.file) as db:
            db.execute("INSERT OR REPLACE INTO sim_failures VALUES (?, ?)", (name, trace))

    def state(self) -> bytes:
        if not self.file.exists():
            return b""
        with sqlite3.connect(self.file) as db:
            return "\n".join(line for line in db.iterdump() if "kplan_" in line).encode()


SETTINGS = """
version: 1
default: dev
environments:
  dev:
    kafka: {{bootstrap.servers: "{kafka.bootstrap}"}}
    connect: {{url: "{connect.url}"}}
    state: {{kafka_topic: {state}}}
    timeouts: {{request: 5s, settle: 30s, session: 6s}}
"""
SIMULATED = "version: 1\ndefault: dev\nenvironments:\n  dev: {{simulated: {simulated}}}\n"


@pytest.fixture(params=["real", "simulated"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    folder, secret = tmp_path / "work", tmp_path / "named" / FIRST
    folder.mkdir()
    secret.mkdir(parents=True)
    (secret / "in").write_text("a\nb\n")
    shell = Shell(folder, secrets=CANARIES)
    shell.write("in", "one\n")
    made: Place
    if request.param == "real":
        kafka, connect = request.getfixturevalue("kafka"), request.getfixturevalue("connect")
        shell.write("kplan.yaml", SETTINGS.format(kafka=kafka, connect=connect, state=STATE))
        made = Real(shell, secret, kafka=kafka, connect=connect)
    else:
        shell.write("kplan.yaml", SIMULATED.format(simulated="{brokers: 3}"))
        made = Simulated(shell, secret)
    yield made
    if isinstance(made, Real) and made.connect is not None:
        for name in made.connect.request("GET", "/connectors"):
            if name.startswith("canary"):
                made.connect.request("DELETE", f"/connectors/{name}")


FAILING = f"""
  canary-b:
    class: {SINK}
    config: {{topics: canary.lines, file: "/nonexistent/{{{{ var.s }}}}/x"}}
"""
JAAS = "org.example.Login required user=u key={{ var.s }};"
WITH_SECRETS = ('webhook: "{{ var.s }}"', 'link: "http://svc:{{ var.s }}@host.example/x"', f'login: "{JAAS}"')


def test_a_value_that_was_secret_stays_secret(place: Place) -> None:
    # from a sensitive variable, and rotated
    place.stack(place.source("canary-a", *WITH_SECRETS))
    place.kplan("apply", "stack.yaml", "--yes", s=FIRST)
    assert place.has("canary-a", "webhook", FIRST)
    assert "No changes." in place.everything(FIRST)
    text = place.everything(SECOND)
    assert "webhook" in text and "(sensitive, changed)" in text
    place.kplan("apply", "plan.json", s=SECOND)
    place.last_run()
    assert place.has("canary-a", "webhook", SECOND)

    # rotated by a run that fails later on: the value from before is back, from memory alone
    place.shell.write("kplan.yaml", place.shell.folder.joinpath("kplan.yaml").read_text().replace(
        "simulated: {brokers: 3}", "simulated: {fail: [connector/canary-b]}"))  # fmt: skip
    place.stack(place.source("canary-a", *WITH_SECRETS) + FAILING)
    place.kplan("apply", "stack.yaml", "--yes", s=THIRD, expect=7)
    place.last_run()
    assert place.has("canary-a", "webhook", SECOND) and place.live("canary-b") is None
    place.shell.write("kplan.yaml", place.shell.folder.joinpath("kplan.yaml").read_text().replace(
        "simulated: {fail: [connector/canary-b]}", "simulated: {brokers: 3}"))  # fmt: skip

    # set live by somebody else
    place.stack(place.source("canary-a", *WITH_SECRETS))
    place.set_live("canary-a", webhook=STRANGE)
    assert "(sensitive, changed)" in place.everything(SECOND)

    # replaced by a plain value, and taken out
    place.stack(place.source("canary-a", "webhook: plain", WITH_SECRETS[2]))
    text = place.everything(SECOND)
    assert "webhook" in text and "(sensitive, removed)" in text
    place.kplan("apply", "stack.yaml", "--yes", s=SECOND)
    place.last_run()
    assert place.has("canary-a", "webhook", "plain") and "link" not in (place.live("canary-a") or {})
    assert "No changes." in place.everything(SECOND)

    # remembered: both settings are set live by somebody else
    place.set_live("canary-a", webhook=LATER, link=f"http://host.example/{LATER}")
    assert "(sensitive, removed)" in place.everything(SECOND)

    # moved, with what is remembered; then it leaves the stack
    place.stack(place.source("canary-b", "webhook: plain", WITH_SECRETS[2]),
                "moved:\n  - {from: connector/canary-a, to: connector/canary-b}\n")  # fmt: skip
    place.everything(THIRD)
    place.kplan("apply", "plan.json", s=THIRD)
    place.last_run()
    assert place.live("canary-a") is None and place.has("canary-b", "webhook", "plain")
    place.set_live("canary-b", webhook=LATER)
    place.everything(THIRD)
    place.kplan("plan", "stack.yaml", "--out", "orphan.json", s=THIRD)
    place.stack(" {}\n", "removed: [{connector: canary-b}]\n")
    place.everything(THIRD)
    place.stack(place.source("canary-b", "webhook: plain", WITH_SECRETS[2]))
    place.kplan("destroy", "stack.yaml", "--yes", "--accept", "*", s=THIRD)
    place.last_run()


def test_a_trace_shows_no_secret(place: Place) -> None:
    place.stack(" {}\n")
    place.kplan("apply", "stack.yaml", "--yes", s=FIRST)
    file = f"/nonexistent/{OLD}/x"
    place.create("canary-b", {"connector.class": SINK, "topics": "canary.lines", "file": file})
    place.stack(FAILING)
    text = place.everything(OLD, known=False)
    assert "K417" in text and "Couldn't find or create file" in text
    place.kplan("apply", "stack.yaml", "--yes", s=OLD)
    assert "K417" in place.everything(THIRD)
    shown = place.kplan("status", "stack.yaml", s=None, expect=2)
    assert "Couldn't find or create file" in shown
    place.stack(" {}\n", "removed: [{connector: canary-b}]\n")
    place.everything(THIRD)
    place.kplan("apply", "stack.yaml", "--yes", s=THIRD)
    place.last_run()


def test_connects_own_errors_show_no_secret(place: Place) -> None:
    place.stack(place.source("canary-a", 'tasks.max: "{{ var.s }}"'))
    text = place.kplan("plan", "stack.yaml", "--report", "json=report.json", s=FIRST, expect=4)
    assert "tasks.max" in text and "(sensitive)" in text
    place.kplan("apply", "stack.yaml", "--yes", "--offline", s=FIRST, expect=None)


def test_offsets_in_the_journal_show_no_secret(place: Place) -> None:
    """A file source's offsets name its file; the journal holds what is remembered before a deletion or a move."""
    file = str(place.secret / "in").replace(FIRST, "{{ var.s }}")
    place.stack(place.source("canary-a", file=file))
    place.kplan("apply", "stack.yaml", "--yes", s=FIRST)
    if isinstance(place, Real):
        assert place.connect is not None
        assert FIRST in json.dumps(stopped_offsets(place.connect, "canary-a"))
    place.stack(place.source("canary-b", file=file), "moved:\n  - {from: connector/canary-a, to: connector/canary-b}\n")
    place.kplan("apply", "stack.yaml", "--yes", s=FIRST)
    place.last_run()
    if isinstance(place, Real):
        assert place.connect is not None
        assert FIRST in json.dumps(stopped_offsets(place.connect, "canary-b"))
    place.kplan("destroy", "stack.yaml", "--yes", "--accept", "*", s=FIRST)
    place.last_run()


# -- the state of an earlier kplan ------------------------------------------------------------------------------------
def newest(kafka: KafkaCluster, topic: str) -> dict[str, bytes]:
    """The newest value of each key."""
    consumer = Consumer({"bootstrap.servers": kafka.bootstrap, "group.id": f"newest-{time.monotonic_ns()}",
                         "isolation.level": "read_committed", "enable.auto.commit": False})  # fmt: skip
    try:
        _, end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=10)
        consumer.assign([TopicPartition(topic, 0, 0)])
        found: dict[str, bytes] = {}
        deadline = time.monotonic() + 30
        while consumer.position([TopicPartition(topic, 0)])[0].offset < end and time.monotonic() < deadline:
            message = consumer.poll(1)
            if message is not None and message.error() is None:
                found[(message.key() or b"").decode()] = message.value() or b""
        return found
    finally:
        consumer.close()


def test_the_state_is_cleaned_of_what_an_earlier_kplan_wrote(
    tmp_path: Path, kafka: KafkaCluster, connect: ConnectWorker
) -> None:
    topic = "__canary_old"
    shell = Shell(tmp_path, secrets=CANARIES)
    shell.write("in", "one\n")
    shell.write("kplan.yaml", SETTINGS.format(kafka=kafka, connect=connect, state=topic))
    place = Real(shell, tmp_path, kafka=kafka, connect=connect)
    place.stack(place.source("canary-old", WITH_SECRETS[0]))
    shell.kplan("apply", "stack.yaml", "--yes", KPLAN_VAR_s=FIRST)
    shell.kplan("apply", "stack.yaml", "--yes", KPLAN_VAR_s=SECOND)
    key = [key for key in newest(kafka, topic) if "/run/" in key and key.endswith("/0")][-1]
    record = json.loads(newest(kafka, topic)[key])
    change = next(item["change"] for item in record["items"] if item["address"] == "connector/canary-old")
    change["before"]["config"]["webhook"] = OLD
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    producer.produce(topic, json.dumps(record).encode(), key.encode())
    producer.produce(topic, b"no record", b"stack/other/run/20200101T000000Z-aaaa/0")
    assert producer.flush(10) == 0
    assert OLD.encode() in raw_bytes(kafka, topic)

    assert "webhook" in shell.kplan("state", "clean", expect=9).out
    ended = shell.kplan("state", "clean", "--yes", expect=2)
    assert "segment.ms" in ended.out and "K619" in ended.err and "20200101T000000Z-aaaa" in ended.err
    assert not any(OLD.encode() in value for value in newest(kafka, topic).values())
    assert newest(kafka, topic)["stack/other/run/20200101T000000Z-aaaa/0"] == b"no record"
    shell.kplan("show", key.split("/")[3], "--format", "json", expect=None)

    # what the command says of older versions: they are there until the segment is closed and compacted
    assert OLD.encode() in raw_bytes(kafka, topic)
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})
    settings = {"segment.ms": "1000", "min.cleanable.dirty.ratio": "0.0", "max.compaction.lag.ms": "1000"}
    entries = [
        ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET) for name, value in settings.items()
    ]
    resource = ConfigResource(ResourceType.TOPIC, topic, incremental_configs=entries)
    admin.incremental_alter_configs([resource])[resource].result(10)
    deadline = time.monotonic() + 120
    while OLD.encode() in raw_bytes(kafka, topic):
        assert time.monotonic() < deadline, "the earlier version is still there"
        producer.produce(topic, b"", b"stack/other/run/20200101T000000Z-aaaa/0")  # closes the segment
        producer.flush(10)
        time.sleep(3)
    assert "No changes." in shell.kplan("plan", "stack.yaml", KPLAN_VAR_s=SECOND).out
    shell.kplan("destroy", "stack.yaml", "--yes", "--accept", "*", KPLAN_VAR_s=SECOND)
