"""The lock and the ledger in Kafka: what only several processes, kill -9 and strange records can show."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    ResourcePatternType,
    ResourceType,
)
from jsonschema import Draft202012Validator

from kplan.diagnostics import Denied, JournalBroken, KplanError, Locked, Timeout, Unsupported
from kplan.model import Address, Connector, Owned, Rules, Secret, Topic
from kplan.model.journal import Entry, Item, replay
from kplan.state.base import Holder, UnfinishedWrite
from kplan.state.kafka import topic as state_topic
from kplan.state.kafka.log import Log, make_ledger_key
from kplan.state.kafka.membership import Membership
from kplan.state.kafka.producer import StackProducer
from kplan.state.kafka.store import KafkaStore
from kplan.state.kafka.topic import COMPACTION, EARLIER_COMPACTION, LedgerTopicReader
from tests.schemas import published, strict
from tests.services import KafkaCluster

SESSION = 3.0
ORDERS = Address("topic", "orders")
SCHEMA = strict(published("state.v1"))


def me(run: str = "run-1", who: str = "ann@laptop") -> Holder:
    return Holder(who, run, "kplan apply", "2026-08-22T10:15:02Z", os.getpid())


def owned(stack: str = "a", address: Address = ORDERS, **fields: Any) -> Owned:
    return Owned(address, stack, "dev", created=True, run="run-1", at="2026-08-22T10:15:02Z", **fields)


def entry(seq: int, event: str, run: str = "run-1", stack: str = "a", **fields: Any) -> Entry:
    return Entry(run, stack, seq, event, "2026-08-22T10:15:02Z", **fields)


@dataclass(frozen=True)
class World:
    """A topic of its own on a broker."""

    bootstrap: str
    topic: str

    def store(self, **options: Any) -> KafkaStore:
        asked = {"request_timeout": 30.0, "secrets": [], "session_timeout": SESSION, **options}
        return KafkaStore({"bootstrap.servers": self.bootstrap}, self.topic, **asked)

    @cached_property  # kept alive: a client that is collected fails its futures (facts.md 1.2)
    def admin(self) -> AdminClient:
        return AdminClient({"bootstrap.servers": self.bootstrap})

    def make(self, **config: str) -> None:
        self.admin.create_topics([NewTopic(self.topic, 1, 1, config=config)])[self.topic].result(30)

    def topics(self) -> set[str]:
        return set(self.admin.list_topics(timeout=10).topics)

    def produce(self, key: str | bytes | None, value: bytes | None) -> None:
        """A record that kplan did not write."""
        producer = Producer({"bootstrap.servers": self.bootstrap})
        producer.produce(self.topic, value, key)
        assert producer.flush(10) == 0

    def records(self, isolation: str = "read_committed") -> list[tuple[int, str, Any]]:
        """Offset, key and value of all records."""
        consumer = Consumer({
            "bootstrap.servers": self.bootstrap, "group.id": "test", "enable.partition.eof": True,
            "isolation.level": isolation, "enable.auto.commit": False,
        })  # fmt: skip
        consumer.assign([TopicPartition(self.topic, 0, 0)])
        found = []
        while (message := consumer.poll(10)) is not None:
            problem = message.error()
            if problem is not None:
                assert problem.code() == KafkaError._PARTITION_EOF, problem
                break
            value = message.value()
            found.append((message.offset() or 0, (message.key() or b"").decode(), json.loads(value) if value else None))
        consumer.close()
        return found

    def process(self, body: str, **names: object) -> subprocess.Popen[str]:
        """Another process with `store`, `me`, `entry` and `owned` at hand; its standard output is a pipe."""
        program = [
            "import os, sys, time",
            f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})",
            "from tests.services.test_kafka_store import *",
            f"store = World({self.bootstrap!r}, {self.topic!r}).store()",
            *(f"{name} = {value!r}" for name, value in names.items()),
            textwrap.dedent(body),
        ]
        return subprocess.Popen(
            [sys.executable, "-c", "\n".join(program)], stdout=subprocess.PIPE, stdin=subprocess.PIPE, text=True
        )


@pytest.fixture(scope="module")
def broker() -> Iterator[KafkaCluster]:
    """A broker that allows short sessions, so that a killed holder's lock ends soon."""
    with KafkaCluster(properties={"group.min.session.timeout.ms": "1000"}) as cluster:
        yield cluster


@pytest.fixture
def world(broker: KafkaCluster) -> World:
    return World(broker.bootstrap, f"__state-{uuid.uuid4().hex[:12]}")


@pytest.fixture
def store(world: World) -> Iterator[KafkaStore]:
    opened = world.store()
    yield opened
    opened.close()


@pytest.fixture
def processes() -> Iterator[Callable[[subprocess.Popen[str]], subprocess.Popen[str]]]:
    """Processes that are gone after the test."""
    with ExitStack() as stack:

        def keep(process: subprocess.Popen[str]) -> subprocess.Popen[str]:
            stack.callback(process.wait)
            stack.callback(process.kill)
            return process

        yield keep


def begin_foreign(world: World, key: bytes) -> Producer:
    """Write a record of another program, and leave its transaction open."""
    producer = Producer({"bootstrap.servers": world.bootstrap, "transactional.id": f"other-{uuid.uuid4().hex}"})
    producer.init_transactions(20)
    producer.begin_transaction()
    producer.produce(world.topic, b"{}", key)
    producer.flush(10)
    return producer


def line(process: subprocess.Popen[str]) -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


HOLD = """
    with store.lock("a", me("run-9", "eve@elsewhere"), 0) as lock:
        lock.write([entry(0, "begin", "run-9")], {ORDERS: owned()})
        print("held", flush=True)
        sys.stdin.readline()
        try:
            lock.write([entry(1, "will", "run-9")])
            print("written", flush=True)
        except KplanError as refused:
            print(type(refused).__name__, refused, flush=True)
        try:
            lock.write(ledger={ORDERS: None})
            print("written", flush=True)
        except KplanError as refused:
            print(type(refused).__name__, refused, flush=True)
"""
Keep = Callable[[subprocess.Popen[str]], subprocess.Popen[str]]


class TestConnectingAhead:
    def test_the_lock_takes_what_is_connected_and_claims_nothing_before(self, world: World, store: KafkaStore) -> None:
        with store.lock("a", me("run-0"), 10):
            pass
        written = world.records()
        store.connect_lock("a", me())
        assert store._connected is not None
        assert store.holder("a") is None and world.records() == written
        member = store._connected.member
        with store.lock("a", me(), 10) as lock:
            assert store._connected is None and lock._membership._consumer is member  # type: ignore[attr-defined]
            lock.write([entry(0, "begin")], {ORDERS: owned()})
            with pytest.raises(Locked), world.store().lock("a", me("run-2"), 0):
                pass
        assert set(store.ledger()) == {ORDERS} and store.holder("a") is None

    def test_another_holder_takes_its_own(self, world: World, store: KafkaStore) -> None:
        with store.lock("a", me("run-0"), 10):
            pass
        store.connect_lock("a", me())
        with store.lock("a", me("run-2"), 10):
            assert store._connected is not None
        store.close()
        assert store._connected is None

    def test_no_topic_is_made(self, world: World, store: KafkaStore) -> None:
        before = world.topics()
        store.connect_lock("a", me())
        assert world.topics() == before and store._connected is None

    def test_a_store_that_is_closed_meanwhile_keeps_nothing(
        self, world: World, store: KafkaStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        with store.lock("a", me("run-0"), 10):
            pass
        connect = StackProducer.connect
        monkeypatch.setattr(StackProducer, "connect", lambda each: (store.close(), connect(each))[1])
        store.connect_lock("a", me())
        assert store._connected is None


class TestTopic:
    def test_reading_makes_no_topic(self, world: World, store: KafkaStore) -> None:
        before = world.topics()
        assert store.ledger() == {} and list(store.runs()) == [] and store.holder("a") is None
        assert world.topics() == before

    def test_the_first_lock_makes_it_with_safe_settings(self, world: World, store: KafkaStore) -> None:
        with store.lock("a", me(), 0):
            pass
        resource = ConfigResource(ConfigResource.Type.TOPIC, world.topic)
        settings = world.admin.describe_configs([resource])[resource].result(10)
        assert settings["cleanup.policy"].value == "compact"
        assert settings["min.insync.replicas"].value == "1"
        assert settings["unclean.leader.election.enable"].value == "false"
        assert len(world.admin.list_topics(timeout=10).topics[world.topic].partitions) == 1

    @pytest.mark.parametrize("hours", [2, 9600, -9600])
    def test_brokers_take_the_records_of_a_machine_with_a_wrong_clock(
        self, world: World, store: KafkaStore, hours: int
    ) -> None:
        with store.lock("a", me(), 0):
            pass
        refusals: list[KafkaError | None] = []
        producer = Producer({"bootstrap.servers": world.bootstrap})
        producer.produce(
            world.topic, b"{}", b"other", timestamp=round((time.time() + hours * 3600) * 1000),
            on_delivery=lambda refusal, _: refusals.append(refusal),
        )  # fmt: skip
        assert producer.flush(10) == 0 and refusals == [None]

    def config(self, world: World) -> dict[str, Any]:
        resource = ConfigResource(ConfigResource.Type.TOPIC, world.topic)
        return {
            name: entry.value for name, entry in world.admin.describe_configs([resource])[resource].result(10).items()
        }

    @pytest.mark.parametrize("earlier", EARLIER_COMPACTION, ids=["one day", "one minute"])
    def test_one_of_an_earlier_kplan_is_compacted_as_promptly_as_a_new_one(
        self, world: World, store: KafkaStore, earlier: dict[str, str]
    ) -> None:
        world.make(**{"cleanup.policy": "compact", **earlier})
        time.sleep(0.5)
        with store.lock("a", me(), 0):
            pass
        time.sleep(0.5)
        found = self.config(world)
        assert {name: found[name] for name in COMPACTION} == dict(COMPACTION)

    def test_settings_that_somebody_chose_stay(self, world: World, store: KafkaStore) -> None:
        world.make(**{"cleanup.policy": "compact", "min.cleanable.dirty.ratio": "0.1", "segment.ms": "3600000"})
        time.sleep(0.5)
        with store.lock("a", me(), 0):
            pass
        found = self.config(world)
        assert (found["segment.ms"], found["min.cleanable.dirty.ratio"]) == ("3600000", "0.1")

    def test_what_a_plan_reads_does_not_grow_with_the_runs(self) -> None:
        """The cleaner removes what later runs replaced; a segment lasts for 0.2 s here, not for ten.

        Before it does, only the newest record of each key is decoded.
        """
        with KafkaCluster(properties={"log.cleaner.backoff.ms": "300"}) as cluster:
            world = World(cluster.bootstrap, "__state-many")
            store = world.store(session_timeout=6.0)
            addresses = [Address("topic", f"t{n}") for n in range(50)]
            counts, decoded = [], []

            def work(first: int, last: int) -> None:
                with store.lock("a", me(), 10) as lock:
                    for number in range(first, last):
                        run = f"r{number:03}"
                        items = tuple(Item(n, str(a), {"actions": ["update"]}) for n, a in enumerate(addresses))
                        lock.write([entry(0, "begin", run, items=items)])
                        records = {a: owned(address=a, protect=bool(number % 2)) for a in addresses}
                        lock.write([entry(1, "end", run, about={"outcome": "applied"})], records)

            with store.lock("a", me(), 10):
                pass
            resource = ConfigResource(ConfigResource.Type.TOPIC, world.topic, incremental_configs=[
                ConfigEntry(name, value, incremental_operation=AlterConfigOpType.SET)
                for name, value in {"segment.ms": "200", "delete.retention.ms": "100"}.items()
            ])  # fmt: skip
            world.admin.incremental_alter_configs([resource])[resource].result(10)
            for first, last in ((0, 10), (10, 100)):
                work(first, last)
                decoded.append(self.count_decoded(world.store()))
                least, end = len(world.records()), time.monotonic() + 30
                while time.monotonic() < end and least > 300:
                    time.sleep(1)
                    with store.lock("b", me("run-b"), 10):  # a write ends the newest segment
                        pass
                    least = min(least, len(world.records()))
                counts.append(least)
            print(f"{counts[0]} records after 10 runs, {counts[1]} after 100")
            print(f"before compaction {decoded} are decoded")
            assert counts[1] < 2 * counts[0], counts
            assert decoded[1] < 2 * decoded[0] < 400, decoded
            store.close()  # here removals are kept for less time than there is between two readings
            assert len(store.summaries()) == 100 and len(store.runs()) == 20
            store.close()

    def count_decoded(self, store: KafkaStore) -> int:
        """How many records a new reader applies to its log."""
        puts: list[int] = []
        put = Log.put

        def counted(log: Log, offset: int, key: bytes | None, value: bytes | None) -> None:
            puts.append(offset)
            put(log, offset, key, value)

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(Log, "put", counted)
            store.overview()
        store.close()
        return len(puts)

    def test_a_reading_that_took_longer_than_removals_are_kept_begins_again(
        self, world: World, store: KafkaStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The clock goes on by so many seconds with each look at it: at the beginning and the end of a reading."""
        with store.lock("a", me(), 0) as lock:
            lock.write([entry(0, "begin")], {ORDERS: owned()})
        read_to = LedgerTopicReader._read_to

        def read(reader: KafkaStore, *clock: float) -> list[int]:
            """Where the readings that this takes begin."""
            starts: list[int] = []
            times = iter(clock)
            with monkeypatch.context() as patch:
                patch.setattr(state_topic, "_read_clock", lambda: next(times))
                patch.setattr(
                    LedgerTopicReader, "_read_to",
                    lambda each, *asked: (starts.append(each._position), read_to(each, *asked))[1],
                )  # fmt: skip
                assert set(reader.ledger()) == {ORDERS}
            with world.store().lock("b", me(), 0) as lock:  # else there is nothing more to read
                lock.write([entry(0, "begin", stack="b", run=uuid.uuid4().hex)])
            return starts

        reader = world.store()
        assert read(reader, 1000, 1001) == [0]
        (second,) = read(reader, 1100, 1101)
        assert second > 0, "what was read before still counts"
        assert read(reader, 1500, 1501) == [0], "it was read too long ago"
        (going_on, again) = read(reader, 1600, 2101, 2102, 2103)
        assert going_on > 0 and again == 0, "1500 to 2101 is longer than removals are kept"
        assert read(reader, 2000, 2001) == [0], "a clock that went back says nothing"
        with pytest.raises(Timeout, match="could not be read within 600 s"):
            read(world.store(), 1000, 1700, 2000, 2700)
        reader.close()

    def test_the_protocol_and_a_consumer_read_on_alike(self, world: World, store: KafkaStore) -> None:
        by_consumer = KafkaStore({"bootstrap.servers": world.bootstrap, "queued.min.messages": "1000"}, world.topic)
        for number in range(3):
            with store.lock("a", me(f"run-{number}"), 10) as lock:
                lock.write([entry(0, "begin", f"run-{number}")], {ORDERS: owned() if number % 2 == 0 else None})
                begin_foreign(world, b"stack/b/topic/orders").abort_transaction(10)
                lock.write([entry(1, "end", f"run-{number}", about={"outcome": "applied"})])
            assert store.records() == by_consumer.records()
            assert store.overview() == by_consumer.overview()
        assert store._reader is not None and store._reader._consumer is None
        assert by_consumer._reader is not None and by_consumer._reader._consumer is not None
        assert len(store.summaries()) == 3
        by_consumer.close()

    def test_what_is_beyond_an_open_transaction_is_read_once_it_ends(self, world: World, store: KafkaStore) -> None:
        with store.lock("a", me(), 10) as lock:
            lock.write([entry(0, "begin")], {ORDERS: owned()})
        assert set(store.ledger()) == {ORDERS}
        producer = begin_foreign(world, b"stack/b/topic/payments")
        threading.Timer(1.0, lambda: producer.abort_transaction(10)).start()
        assert set(store.ledger()) == {ORDERS}
        assert store._reader is not None and store._reader._consumer is not None  # it waits, and reads from then on
        with store.lock("a", me("run-2"), 10) as lock:
            lock.write([entry(0, "begin", "run-2")], {ORDERS: None})
        assert not store.ledger()

    @pytest.mark.parametrize("policy", ["delete", "compact,delete"])
    def test_a_topic_whose_records_expire_is_refused(self, world: World, store: KafkaStore, policy: str) -> None:
        world.make(**{"cleanup.policy": policy})
        with pytest.raises(JournalBroken, match=r"cleanup\.policy") as broken, store.lock("a", me(), 0):
            pass
        assert "compact" in broken.value.help

    def test_a_topic_with_two_partitions_is_refused(self, world: World, store: KafkaStore) -> None:
        new = NewTopic(world.topic, 2, 1, config={"cleanup.policy": "compact"})
        world.admin.create_topics([new])[world.topic].result(30)
        time.sleep(0.5)
        for call in (store.ledger, store.lock("a", me(), 0).__enter__):
            with pytest.raises(JournalBroken, match="2 partitions"):
                call()

    def test_one_that_was_made_anew_is_read_anew(self, world: World, store: KafkaStore) -> None:
        with store.lock("a", me(), 0) as lock:
            lock.write(ledger={ORDERS: owned()})
        assert set(store.ledger()) == {ORDERS}
        world.admin.delete_topics([world.topic])[world.topic].result(30)
        time.sleep(1)
        other = world.store()
        with other.lock("a", me(), 0) as lock:
            for n in range(9):
                lock.write(ledger={Address("topic", f"t{n}"): owned(address=Address("topic", f"t{n}"))})
        assert len(store.ledger()) == 9


class TestRecords:
    def test_what_is_written_meets_the_published_schema(self, world: World, store: KafkaStore) -> None:
        rules = Rules(protect=True, ignore=frozenset({"segment.bytes"}))
        topic = Topic("orders", 3, 1, {"retention.ms": "1"}, rules=rules)
        config = {"connector.class": "C", "password": Secret("{{ var.p }}", "canary-5ecret", "hmac:1")}
        cdc = Connector("cdc", config, "paused", feeds=("cdc.t",), unique=("slot:cdc",), heartbeat="h")
        address = Address("connector", "cdc")
        items = tuple(Item(n, "topic/orders", {"step": n}, {"offsets": []}, "done") for n in range(450))
        with store.lock("a", me(), 0) as lock:
            lock.write([entry(0, "begin", about={"who": "ann"})], {ORDERS: owned(applied=topic)})
            lock.write([entry(1, "will", items=items)], {ORDERS: owned(), address: owned("a", address, applied=cdc)})
            lock.write([entry(2, "end", about={"outcome": "applied"})])
        Draft202012Validator.check_schema(SCHEMA)
        validator = Draft202012Validator(SCHEMA)
        found = world.records()
        assert {key.split("/")[2] for _, key, _ in found} == {"lock", "run", "runs", "history", "topic", "connector"}
        for _, _, value in found:
            assert [e.message for e in validator.iter_errors(value)] == []
            assert "canary-5ecret" not in json.dumps(value)
        assert not validator.is_valid({**found[0][2], "v": 2}) and not validator.is_valid({"v": 1})

    def test_an_entry_of_500_items_is_split_and_joined(self, world: World, store: KafkaStore) -> None:
        items = tuple(Item(n, f"topic/t{n}", {"step": n}, outcome="x" * 50) for n in range(500))
        written = entry(7, "will", wave=2, items=items, about={"a": 1})
        with store.lock("a", me(), 0) as lock:
            lock.write([written])
            with pytest.raises(JournalBroken, match="there already"):
                lock.write([entry(7, "did")])
        assert list(world.store().entries("run-1")) == [written]
        sizes = [len(value["items"]) for _, key, value in world.records() if "/run/" in key]
        assert sizes == [200, 200, 100]

    def test_large_items_are_split_by_size(self, world: World, store: KafkaStore) -> None:
        items = tuple(Item(n, f"topic/t{n}", captured={"config": uuid.uuid4().hex * 6000}) for n in range(8))
        with store.lock("a", me(), 0) as lock:
            lock.write([entry(0, "will", items=items)])
        assert store.entries("run-1")[0].items == items
        assert len([key for _, key, _ in world.records() if "/run/" in key]) > 1

    def test_what_is_too_large_is_refused_and_the_lock_stays(self, world: World, store: KafkaStore) -> None:
        with store.lock("a", me(), 0) as lock:
            with pytest.raises(JournalBroken):
                lock.write([entry(0, "will", items=(Item(1, "topic/t", captured={"x": "y" * 9_000_000}),))])
            lock.write([entry(0, "begin")])
        assert [e.event for e in store.entries("run-1")] == ["begin"]

    def test_runs_older_than_the_newest_twenty_leave_tombstones(self, world: World, store: KafkaStore) -> None:
        with store.lock("a", me(), 0) as lock:
            for n in range(22):
                lock.write([entry(0, "begin", f"r{n:02}"), entry(1, "end", f"r{n:02}")])
        assert list(world.store().runs()) == [f"r{n:02}" for n in range(2, 22)]
        gone = [key for _, key, value in world.records() if value is None]
        assert gone == [f"stack/a/run/{run}/{seq}" for run in ("r00", "r01") for seq in (0, 1)]

    @pytest.mark.parametrize(
        ("value", "why"),
        [
            (b"{", "cannot be read"), (b"[]", "not an object"), (b'{"v":1}', "cannot be read"),
            (b"\xff\xfe", "cannot be read"), (b'{"v":2,"new":1}', "newer kplan"), (b'{"event":"begin"}', "no version"),
        ],
    )  # fmt: skip
    def test_a_record_that_cannot_be_read_is_named(
        self, world: World, store: KafkaStore, value: bytes, why: str
    ) -> None:
        with store.lock("a", me(), 0) as lock:
            lock.write([entry(0, "begin")], {ORDERS: owned()})
        bad = make_ledger_key("a", Address("topic", "x")), "stack/a/run/run-1/1"
        for key in bad:
            world.produce(key, value)
        for call in (lambda: store.overview().refuse_unreadable(["a"]), lambda: store.entries("run-1")):
            with pytest.raises(JournalBroken, match=why) as broken:
                call()
            assert "offset" in broken.value.message and broken.value.help
        assert {problem.message.split("(key ")[1].split(")")[0] for problem in store.overview().unreadable} == set(bad)
        assert list(store.entries("other")) == []
        for key in bad:  # the way out that its help names
            world.produce(key, None)
        assert set(store.ledger()) == {ORDERS} and [e.seq for e in store.entries("run-1")] == [0]

    def test_a_foreign_record_is_a_warning(
        self, world: World, store: KafkaStore, caplog: pytest.LogCaptureFixture
    ) -> None:
        world.make(**{"cleanup.policy": "compact"})
        for key in ("something", "stack/a", "stack/a/run/x/y", "stack//topic/x", b"\xff", "stack/a/lock/x"):
            world.produce(key, b"\xff{")
        time.sleep(0.3)
        assert store.ledger() == {} and list(store.runs()) == []
        assert "not kplan's" in caplog.text and "something" in caplog.text

    def test_a_killed_transaction_is_invisible(self, world: World, store: KafkaStore, processes: Keep) -> None:
        body = """
            from confluent_kafka import Producer
            producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": group})
            producer.init_transactions()
            producer.begin_transaction()
            producer.produce(store.where, b'{"v":1}', b"stack/a/topic/never")
            producer.flush()
            print("open", flush=True)
            time.sleep(60)
        """
        with store.lock("a", me(), 0) as lock:
            lock.write(ledger={ORDERS: owned()})
        group = f"{world.topic.removeprefix('__')}.a"
        killed = processes(world.process(body, bootstrap=world.bootstrap, group=group))
        assert line(killed) == "open"
        killed.kill()
        began = time.monotonic()
        with store.lock("a", me("run-2"), 0) as lock:  # and does not wait for the transaction to time out
            lock.write([entry(0, "begin", "run-2")])
        assert set(store.ledger()) == {ORDERS} and list(store.runs()) == ["run-2"]
        assert time.monotonic() - began < 5
        assert all("never" not in key for _, key, _ in world.records())
        assert any("never" in key for _, key, _ in world.records("read_uncommitted")), "it had been written"

    def test_a_write_without_an_end_is_named_and_ended_by_the_next_lock_of_its_stack(
        self, world: World, store: KafkaStore, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As a broker leaves it that was killed while it ended the transaction (tests/faults/README.md)."""
        monkeypatch.setattr("kplan.state.kafka.topic.TRANSACTION_TIMEOUT_S", 1.0)
        with store.lock("b", me(), 0) as lock:
            lock.write(ledger={ORDERS: owned("b")})
        with store.lock("a", me(), 0):
            pass
        group = f"{world.topic.removeprefix('__')}.a"
        left = Producer({"bootstrap.servers": world.bootstrap, "transactional.id": group,
                         "transaction.timeout.ms": 600_000})  # fmt: skip
        left.init_transactions(30)
        left.begin_transaction()
        left.produce(world.topic, b'{"v":1}', b"stack/a/lock")
        left.flush()
        reader = world.store(request_timeout=3)
        with pytest.raises(UnfinishedWrite) as caught:
            reader.ledger()
        assert (caught.value.code, caught.value.stacks) == ("K617", ("a",))
        assert "stack a" in caught.value.message and "stack b" not in caught.value.message
        with store.lock("a", me("run-2"), 0):
            pass
        assert set(reader.ledger()) == {ORDERS}
        reader.close()


class TestClaims:
    def test_of_two_stacks_that_claim_at_once_the_lower_offset_wins(self, world: World) -> None:
        addresses = [Address("topic", f"t{n}") for n in range(12)]
        ready = threading.Barrier(2)
        won: dict[str, list[Address]] = {}

        def claim(stack: str) -> None:
            store = world.store()
            mine = []
            with store.lock(stack, me(), 0) as lock:
                for address in addresses:
                    ready.wait(30)
                    lock.write(ledger={address: owned(stack, address)})
                    if store.ledger()[address].stack == stack:
                        mine.append(address)
            won[stack] = mine
            store.close()

        threads = [threading.Thread(target=claim, args=(stack,)) for stack in ("a", "b")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert sorted(won["a"] + won["b"]) == sorted(addresses), "each has one owner, and both agree on whom"
        first: dict[str, str] = {}
        for _, key, _value in world.records():
            if "/topic/" in key:
                first.setdefault(key.split("/", 2)[2], key.split("/")[1])
        found = world.store().ledger()
        assert {str(address): record.stack for address, record in found.items()} == first

    def test_an_open_transaction_below_is_waited_for(self, world: World, store: KafkaStore) -> None:
        """Else a claim with a lower offset that is about to be committed would be missed."""
        with store.lock("b", me(), 0) as lock:
            other = Producer({"bootstrap.servers": world.bootstrap, "transactional.id": "another"})
            other.init_transactions(30)
            other.begin_transaction()
            record = {"v": 1, "stack": "a", "env": "dev", "created": True, "applied": None}
            other.produce(world.topic, json.dumps(record).encode(), make_ledger_key("a", ORDERS))
            other.flush()
            lock.write(ledger={ORDERS: owned("b")})
            threading.Timer(1, other.commit_transaction).start()
            assert store.ledger()[ORDERS].stack == "a"

    def test_the_order_of_claims_survives_compaction(self, world: World, store: KafkaStore) -> None:
        """The winner's later records name the offset of its claim: the record that had it may be gone."""
        with store.lock("a", me(), 0) as first, store.lock("b", me(), 0) as second:
            first.write(ledger={ORDERS: owned()})
            second.write(ledger={ORDERS: owned("b")})
            first.write(ledger={ORDERS: owned(protect=True)})
        with store.lock("a", me(), 0) as again:
            again.write(ledger={ORDERS: owned(protect=False)})
        ledger = [(offset, value) for offset, key, value in world.records() if key == make_ledger_key("a", ORDERS)]
        assert [value.get("claimed") for _, value in ledger] == [None, ledger[0][0], ledger[0][0]]
        last = {key: (offset, value) for offset, key, value in world.records()}  # what compaction leaves
        assert last[make_ledger_key("b", ORDERS)][0] < last[make_ledger_key("a", ORDERS)][0]
        log = Log()
        for key, (offset, value) in sorted(last.items(), key=lambda each: each[1][0]):
            log.put(offset, key.encode(), json.dumps(value).encode())
        assert log.find_owners()[ORDERS] == store.ledger()[ORDERS] == owned("a", protect=False)


class TestLock:
    def test_who_is_refused_is_told_who_holds_it(self, world: World, store: KafkaStore, processes: Keep) -> None:
        holder = processes(world.process(HOLD))
        assert line(holder) == "held"
        began = time.monotonic()
        with pytest.raises(Locked) as refused, store.lock("a", me("run-2"), 0):
            pass
        assert time.monotonic() - began < 3
        for word in ("eve@elsewhere", "run-9", "2026-08-22T10:15:02Z", "kplan apply", str(holder.pid)):
            assert word in refused.value.message
        assert refused.value.exit_code == 6 and "--lock-timeout" in refused.value.help
        assert store.holder("a") == Holder("eve@elsewhere", "run-9", "kplan apply", "2026-08-22T10:15:02Z", holder.pid)
        print("\n", file=holder.stdin, flush=True)
        assert line(holder) == "written", "asking and being refused took nothing from the holder"

    def test_kill_9_frees_it_within_the_session(self, world: World, store: KafkaStore, processes: Keep) -> None:
        holder = processes(world.process(HOLD))
        assert line(holder) == "held"
        holder.kill()
        began = time.monotonic()
        with store.lock("a", me("run-2"), 30) as lock:
            took = time.monotonic() - began
            lock.write([entry(0, "begin", "run-2")])
            assert list(store.open_runs()) == ["run-9", "run-2"]
        print(f"freed {took:.1f} s after kill -9, the session is {SESSION:g} s")
        assert took < SESSION + 3

    def test_a_stopped_holder_that_wakes_changes_nothing(
        self, world: World, store: KafkaStore, processes: Keep
    ) -> None:
        holder = processes(world.process(HOLD))
        assert line(holder) == "held"
        holder.send_signal(signal.SIGSTOP)
        try:
            with store.lock("a", me("run-2"), 30) as lock:
                lock.write([entry(0, "begin", "run-2")])
                print("\n", file=holder.stdin, flush=True)
                holder.send_signal(signal.SIGCONT)
                first, second = line(holder), line(holder)
                assert first.startswith("JournalBroken") and "lost" in first, first
                assert second.startswith("JournalBroken") and "lost" in second, second
                lock.write([entry(1, "end", "run-2")])
        finally:
            holder.send_signal(signal.SIGCONT)
        assert [e.event for e in store.entries("run-9")] == ["begin"]
        assert set(store.ledger()) == {ORDERS}

    def test_a_holder_that_wakes_with_nobody_there_changes_nothing_either(
        self, world: World, store: KafkaStore, processes: Keep
    ) -> None:
        holder = processes(world.process(HOLD))
        assert line(holder) == "held"
        holder.send_signal(signal.SIGSTOP)
        end = time.monotonic() + SESSION + 5
        while store.holder("a") is not None and time.monotonic() < end:
            time.sleep(0.2)
        assert store.holder("a") is None
        print("\n", file=holder.stdin, flush=True)
        holder.send_signal(signal.SIGCONT)
        assert line(holder).startswith("JournalBroken")
        assert [e.event for e in store.entries("run-9")] == ["begin"]

    def test_a_broker_that_is_away_for_longer_than_the_session_is_not_another_run(self) -> None:
        """The group forgets its member while the only broker is down; nobody else was there."""
        with KafkaCluster(properties={"group.min.session.timeout.ms": "1000"}) as cluster:
            world = World(cluster.bootstrap, "__state-away")
            store = world.store(request_timeout=60.0, session_timeout=4.0)
            with store.lock("a", me(), 0) as lock:
                lock.write([entry(0, "begin")], {ORDERS: owned()})
                time.sleep(1)  # else Kafka may drop the end of this write: tests/faults/README.md
                cluster.kill()
                time.sleep(7)
                cluster.restart()
                time.sleep(3)
                lock.write([entry(1, "will")])
                lock.write([entry(2, "end", about={"outcome": "applied"})], {ORDERS: owned(protect=True)})
            assert [e.event for e in store.entries("run-1")] == ["begin", "will", "end"]
            assert store.ledger()[ORDERS].protect and store.holder("a") is None
            store.close()

    def fenced(self, world: World, *records: tuple[str, dict[str, Any]]) -> None:
        """Another client takes the transactional id of the lock, and writes."""
        name = f"{world.topic.removeprefix('__')}.a"
        other = Producer({"bootstrap.servers": world.bootstrap, "transactional.id": name})
        other.init_transactions(30)
        other.begin_transaction()
        for key, value in records:
            other.produce(world.topic, json.dumps(value).encode(), key.encode(), 0)
        other.commit_transaction(30)

    @pytest.mark.parametrize("actor", ["", "ann"])
    def test_a_producer_that_was_fenced_goes_on_where_no_run_took_the_lock(
        self, world: World, store: KafkaStore, actor: str
    ) -> None:
        """The lock's record does not have the person for whom a CI service runs kplan."""
        with store.lock("a", replace(me(), actor=actor), 0) as lock:
            lock.write([entry(0, "begin")], {ORDERS: owned()})
            self.fenced(world, ("stack/b/lock", {"v": 1}))
            lock.write([entry(1, "will")])
            lock.write([entry(2, "end", about={"outcome": "applied"})])
        assert [e.event for e in store.entries("run-1")] == ["begin", "will", "end"]

    @pytest.mark.parametrize("state", ["held", "released"])
    def test_a_run_that_took_the_lock_meanwhile_is_named(self, world: World, store: KafkaStore, state: str) -> None:
        with store.lock("a", me(), 0) as lock:
            lock.write([entry(0, "begin")], {ORDERS: owned()})
            other = {"who": "eve@elsewhere", "run": "run-9", "command": "kplan apply", "since": "now", "pid": 1}
            self.fenced(world, ("stack/a/lock", {"v": 1, "state": state, **other}))
            for event in ("will", "did"):
                with pytest.raises(JournalBroken, match="another run took over: eve@elsewhere") as lost:
                    lock.write([entry(1, event)])
                assert lost.value.code == "K624"
        assert [e.event for e in store.entries("run-1")] == ["begin"]

    def test_ten_at_once_five_times_are_never_two(self, world: World, store: KafkaStore, processes: Keep) -> None:
        """Each holder marks its beginning and its end: the marks of two never interleave."""
        body = """
            print("ready", flush=True)
            sys.stdin.readline()
            for number in range(5):
                run = f"{name}-{number}"
                with store.lock("a", me(run, name), 120) as lock:
                    lock.write([entry(0, "begin", run)])
                    time.sleep(0.02)
                    lock.write([entry(1, "end", run)])
            store.close()
            print("done", flush=True)
        """
        world.make(**{"cleanup.policy": "compact", "segment.ms": "86400000"})  # what is replaced can still be read
        everyone = [processes(world.process(body, name=f"c{n}")) for n in range(10)]
        assert [line(each) for each in everyone] == ["ready"] * 10
        began = time.monotonic()
        for each in everyone:
            print(file=each.stdin, flush=True)
        assert [line(each) for each in everyone] == ["done"] * 10
        marks = [
            (key.split("/")[3], value["event"]) for _, key, value in world.records() if "/run/" in key and value
        ]  # fmt: skip
        assert len(marks) == 100
        for (one, begin), (two, end) in zip(marks[::2], marks[1::2], strict=True):
            assert (one, begin, end) == (two, "begin", "end")
        print(f"50 holders in {time.monotonic() - began:.1f} s, never two")

    def test_who_joins_and_gets_nothing_leaves_at_once(self, world: World) -> None:
        """Two that join at the same time: the one that does not get the lock would else stay for a session."""
        world.make()
        clients = [world.store(session_timeout=30.0)._clients for _ in range(2)]
        group = f"{world.topic}.a"
        members = [Membership(each, group, me(str(number)), 30.0) for number, each in enumerate(clients)]
        assert all(member.settled.wait(20) for member in members)
        held = [member for member in members if member.held.is_set()]
        assert len(held) == 1
        began = time.monotonic()
        for member in sorted(members, key=lambda each: each is held[0]):  # the other one first
            member.leave(10)
        while world.admin.describe_consumer_groups([group])[group].result(10).members:
            assert time.monotonic() - began < 10
            time.sleep(0.1)

    def test_the_end_of_a_run_records_the_release(self, world: World, store: KafkaStore) -> None:
        def read_states() -> list[str]:
            return [value["state"] for _, key, value in world.records() if key == "stack/a/lock"]

        with store.lock("a", me(), 0) as lock:
            lock.write([entry(0, "begin"), entry(1, "end", about={"outcome": "applied"})])
            assert read_states() == ["held", "released"] and store.holder("a") == me()
            lock.write([entry(0, "begin", "run-2")])
            assert read_states() == ["held", "released", "held"]
        assert read_states() == ["held", "released", "held", "released"] and store.holder("a") is None

    def test_the_lock_is_handed_over_soon(self, world: World, store: KafkaStore) -> None:
        times: list[float] = []

        def wait() -> None:
            with world.store().lock("a", me("run-2"), 30):
                times.append(time.monotonic())

        with store.lock("a", me(), 0):
            thread = threading.Thread(target=wait)
            thread.start()
            time.sleep(1.5)
            assert not times
            released = time.monotonic()
        thread.join()
        print(f"handed over in {times[0] - released:.2f} s")
        assert times[0] - released < 4

    def test_a_session_that_brokers_do_not_allow_is_told(self, world: World) -> None:
        with (
            pytest.raises(Unsupported, match=r"session of 0\.5 s"),
            world.store(session_timeout=0.5).lock("a", me(), 0),
        ):
            pass


class TestTrouble:
    def test_a_broker_that_is_not_there_is_unreachable(self) -> None:
        store = World("127.0.0.1:9", "__none").store(request_timeout=2.0)
        began = time.monotonic()
        for call in (store.ledger, store.lock("a", me(), 0).__enter__):
            with pytest.raises(KplanError) as failed:
                call()
            assert type(failed.value).__name__ == "Unreachable"
        assert time.monotonic() - began < 20

    def test_a_cluster_without_transactions_says_why(self) -> None:
        with KafkaCluster(properties={"transaction.state.log.replication.factor": "3"}) as cluster:
            store = World(cluster.bootstrap, "__kplan").store(request_timeout=5.0, session_timeout=6.0)
            began = time.monotonic()
            with (
                pytest.raises(Unsupported, match=r"replication.factor is 3, and there are 1 brokers"),
                store.lock("a", me(), 0),
            ):
                pass
            assert time.monotonic() - began < 40

    def test_a_broker_that_restarts_in_the_middle_loses_nothing(self) -> None:
        with KafkaCluster(properties={"group.min.session.timeout.ms": "1000"}) as cluster:
            store = World(cluster.bootstrap, "__kplan").store(session_timeout=120.0, request_timeout=90.0)
            with store.lock("a", me(), 0) as lock:
                lock.write([entry(0, "begin")])
                thread = threading.Thread(target=cluster.restart)
                thread.start()
                for seq in range(1, 6):
                    time.sleep(0.5)
                    lock.write([entry(seq, "will")])
                thread.join()
            assert [e.seq for e in store.entries("run-1")] == list(range(6))
            progress = replay(store.entries("run-1"))
            assert progress is not None and progress.is_open


NEEDED = [
    (ResourceType.TOPIC, "__kplan", "READ"),
    (ResourceType.TOPIC, "__kplan", "WRITE"),
    (ResourceType.TOPIC, "__kplan", "DESCRIBE_CONFIGS"),
    (ResourceType.TOPIC, "__kplan", "CREATE"),
    (ResourceType.GROUP, "kplan.", "READ"),
    (ResourceType.TRANSACTIONAL_ID, "kplan.", "WRITE"),
]
SAID = {"READ": "Read", "WRITE": "Write", "CREATE": "Create", "DESCRIBE_CONFIGS": "DescribeConfigs"}
KINDS = {ResourceType.TOPIC: "Topic", ResourceType.GROUP: "Group", ResourceType.TRANSACTIONAL_ID: "TransactionalId"}


@pytest.fixture(scope="module")
def guarded() -> Iterator[KafkaCluster]:
    settings = {
        "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
        "allow.everyone.if.no.acl.found": "true",
        "group.min.session.timeout.ms": "1000",
    }
    with KafkaCluster(properties=settings) as cluster:
        yield cluster


class TestPermissions:
    """With an authorizer that denies what no ACL allows: exactly NEEDED works, and one less is named."""

    def allow(self, bootstrap: str, lacking: object = None) -> None:
        """The client may do what NEEDED says, but for `lacking`; somebody else may do all of it."""
        admin = AdminClient({"bootstrap.servers": bootstrap})
        for kind in KINDS:
            any_of = AclBindingFilter(
                kind, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
            )
            for future in admin.delete_acls([any_of]).values():
                future.result(10)
        everything = AclOperation.ALL, AclPermissionType.ALLOW
        creation = AclOperation.CREATE, AclPermissionType.DENY  # it would allow every topic's
        bindings = [
            AclBinding(ResourceType.BROKER, "kafka-cluster", ResourcePatternType.LITERAL, "User:ANONYMOUS", "*", *each)
            for each in (everything, creation)
        ]
        for future in admin.create_acls(bindings).values():
            future.result(10)
        bindings = []
        for each in NEEDED:
            kind, name, operation = each
            pattern = ResourcePatternType.LITERAL if kind is ResourceType.TOPIC else ResourcePatternType.PREFIXED
            for user in ("User:other", *(["User:ANONYMOUS"] if each != lacking else [])):
                bindings.append(
                    AclBinding(kind, name, pattern, user, "*", AclOperation[operation], AclPermissionType.ALLOW)
                )
        for future in admin.create_acls(bindings).values():
            future.result(10)
        time.sleep(0.3)

    def remove(self, bootstrap: str) -> None:
        admin = AdminClient({"bootstrap.servers": bootstrap})
        if "__kplan" in admin.list_topics(timeout=10).topics:
            admin.create_acls([
                AclBinding(ResourceType.TOPIC, "__kplan", ResourcePatternType.LITERAL, "User:ANONYMOUS", "*",
                           AclOperation.DELETE, AclPermissionType.ALLOW)
            ])  # fmt: skip
            time.sleep(0.3)
            admin.delete_topics(["__kplan"])["__kplan"].result(10)
            time.sleep(0.5)

    def use(self, bootstrap: str) -> None:
        store = World(bootstrap, "__kplan").store(request_timeout=10.0)
        with store.lock("a", me(), 5) as lock:
            lock.write([entry(0, "begin", uuid.uuid4().hex)], {ORDERS: owned()})
        assert set(store.ledger()) == {ORDERS}
        store.close()

    def test_exactly_these_work(self, guarded: KafkaCluster) -> None:
        self.allow(guarded.bootstrap)
        self.use(guarded.bootstrap)

    @pytest.mark.parametrize("lacking", NEEDED, ids=lambda each: f"{KINDS[each[0]]}-{each[2]}")
    def test_one_less_is_named(self, guarded: KafkaCluster, lacking: tuple[ResourceType, str, str]) -> None:
        self.allow(guarded.bootstrap)
        if lacking[2] == "CREATE":
            self.remove(guarded.bootstrap)
        self.allow(guarded.bootstrap, lacking)
        with pytest.raises(Denied) as denied:
            self.use(guarded.bootstrap)
        assert (
            f"{SAID[lacking[2]]}" in denied.value.message
            and f"{KINDS[lacking[0]]} {lacking[1]}" in denied.value.message
        )
