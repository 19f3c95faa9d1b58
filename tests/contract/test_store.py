"""What every store does. A store joins by a `World` in `WORLDS`: how it is made, and what is its own."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from kplan.diagnostics import JournalBroken, KplanError, Locked
from kplan.model import Address, Connector, Owned, Secret, Topic
from kplan.model.journal import Entry, Item, replay
from kplan.state.base import Holder, Store
from kplan.state.sqlite import SqliteStore
from kplan.version import __version__

ORDERS = Address("topic", "orders")
CDC = Address("connector", "cdc")
ME = Holder("ann@laptop", "run-1", "kplan apply", "2026-08-22T10:15:02Z", os.getpid())
CANARY = "canary-5ecret"


@dataclass(frozen=True)
class World:
    """`store` opens the same store anew; `source` is Python text that does so in another process.

    `damage` writes the text over a record: of the ledger (`topic/NAME`), or of a journal (`run/ID/SEQ`), of a stack.
    `text` reads such a record, `signed` opens the store with a key.
    """

    store: Callable[[], Store]
    source: str
    damage: Callable[[str, str, str], None]
    text: Callable[[str, str], str]
    signed: Callable[[str], Store]


def sqlite_world(request: pytest.FixtureRequest, folder: Path) -> World:
    path = folder / ".kplan" / "local.db"
    imports = "from pathlib import Path; from kplan.state.sqlite import SqliteStore"

    def damage(stack: str, record: str, text: str) -> None:
        kind, *rest = record.split("/")
        with sqlite3.connect(path) as connection:
            if kind == "run":
                event = "end" if '"event":"end"' in text else "will"
                row = (rest[0], stack, int(rest[1]), event, text)
                insert = "INSERT OR REPLACE INTO kplan_journal (run, stack, seq, event, record) VALUES (?, ?, ?, ?, ?)"
            else:
                row = (record, stack, text)
                insert = "INSERT OR REPLACE INTO kplan_ledger (address, stack, record) VALUES (?, ?, ?)"
            connection.execute(insert, row)
        connection.close()

    def text(stack: str, record: str) -> str:
        kind, *rest = record.split("/")
        with sqlite3.connect(path) as connection:
            if kind == "run":
                asked = "SELECT record FROM kplan_journal WHERE stack = ? AND run = ? AND seq = ?", (stack, *rest)
            else:
                asked = "SELECT record FROM kplan_ledger WHERE stack = ? AND address = ?", (stack, record)
            (found,) = connection.execute(*asked).fetchone()
        connection.close()
        return str(found)

    source = f"{imports}; store = SqliteStore(Path({str(path)!r}))"
    return World(lambda: SqliteStore(path), source, damage, text, lambda key: SqliteStore(path, key=key))


def kafka_world(request: pytest.FixtureRequest, folder: Path) -> World:
    """A topic of its own, so a group and transactional ids of its own, on the session's broker."""
    from kplan.state.kafka.store import KafkaStore

    config, topic = {"bootstrap.servers": request.getfixturevalue("kafka").bootstrap}, f"__contract-{uuid.uuid4().hex}"
    options = {"request_timeout": 30.0, "secrets": [CANARY], "session_timeout": 6.0}  # the least that a broker allows
    source = f"from kplan.state.kafka.store import KafkaStore; store = KafkaStore({config!r}, {topic!r}, **{options!r})"

    def damage(stack: str, record: str, text: str) -> None:
        from confluent_kafka import Producer

        producer = Producer(config)
        producer.produce(topic, text.encode(), f"stack/{stack}/{record}".encode(), 0)
        assert producer.flush(10) == 0

    def text(stack: str, record: str) -> str:
        from confluent_kafka import OFFSET_BEGINNING, Consumer, TopicPartition

        own = {"group.id": "text", "enable.partition.eof": True, "isolation.level": "read_committed"}
        consumer, found = Consumer({**config, **own}), ""
        consumer.assign([TopicPartition(topic, 0, OFFSET_BEGINNING)])
        while (message := consumer.poll(10)) is not None and message.error() is None:
            if message.key() == f"stack/{stack}/{record}".encode():
                found = (message.value() or b"").decode()
        consumer.close()
        return found

    return World(
        lambda: KafkaStore(config, topic, **options), source, damage, text,  # type: ignore[arg-type]
        lambda key: KafkaStore(config, topic, key=key, **options),  # type: ignore[arg-type]
    )  # fmt: skip


WORLDS = {"sqlite": sqlite_world, "kafka": kafka_world}


@pytest.fixture(params=sorted(WORLDS))
def world(request: pytest.FixtureRequest, tmp_path: Path) -> World:
    return WORLDS[request.param](request, tmp_path)


@pytest.fixture
def store(world: World) -> Iterator[Store]:
    opened = world.store()
    yield opened
    opened.close()


def owned(address: Address = ORDERS, stack: str = "a", **fields: object) -> Owned:
    return replace(Owned(address, stack, "local", created=True, run="run-1", at="2026-08-22T10:15:02Z"), **fields)


def entry(seq: int, event: str, run: str = "run-1", stack: str = "a", **fields: object) -> Entry:
    return replace(Entry(run, stack, seq, event, "2026-08-22T10:15:02Z"), **fields)


class TestReading:
    def test_a_store_that_is_not_there_is_empty(self, store: Store) -> None:
        assert store.ledger() == {}
        assert list(store.runs()) == list(store.open_runs()) == list(store.entries("run-1")) == []
        assert store.holder("a") is None

    def test_what_was_written_is_read_by_another(self, world: World, store: Store) -> None:
        topic = Topic("orders", 3, 1, {"retention.ms": "1"})
        secret = Connector("cdc", {"connector.class": "C", "password": Secret("{{ var.p }}", CANARY)}, "paused")
        records = {ORDERS: owned(applied=topic, protect=True), CDC: owned(CDC, applied=secret, created=False)}
        item = Item(1, "topic/orders", {"step": 1}, {"offsets": [{"a": None}]})
        entries = (entry(0, "begin", about={"who": "ann", "steps": 2}), entry(1, "will", wave=1, items=(item,)))
        with store.lock("a", ME, 0) as lock:
            lock.write(entries, records)
        other = world.store()
        found = other.ledger()
        assert found[ORDERS] == records[ORDERS]
        assert found[CDC].applied == replace(secret, config={**secret.config, "password": Secret("{{ var.p }}")})
        assert tuple(other.entries("run-1")) == entries

    def test_no_value_of_a_secret_is_stored(self, store: Store, tmp_path: Path) -> None:
        connector = Connector("cdc", {"password": Secret("{{ var.p }}", CANARY)})
        with store.lock("a", ME, 0) as lock:
            lock.write(ledger={CDC: owned(CDC, applied=connector)})
            assert all(CANARY.encode() not in file.read_bytes() for file in tmp_path.rglob("*") if file.is_file())

    def test_null_removes_a_record(self, store: Store) -> None:
        with store.lock("a", ME, 0) as lock:
            lock.write(ledger={ORDERS: owned(), CDC: owned(CDC)})
            lock.write(ledger={ORDERS: None, Address("topic", "never"): None})
        assert set(store.ledger()) == {CDC}

    def test_the_last_write_counts(self, store: Store) -> None:
        with store.lock("a", ME, 0) as lock:
            lock.write(ledger={ORDERS: owned(protect=True)})
            lock.write(ledger={ORDERS: owned(protect=False, run="run-2")})
        assert store.ledger()[ORDERS] == owned(protect=False, run="run-2")


NEWER = '{"v": 2, "event": "will", "stack": "b"}'


class TestUnreadable:
    """A record that this kplan cannot read stops its own stack, and those that are about its address."""

    @pytest.fixture
    def two_stacks(self, store: Store) -> Store:
        for stack, address in (("a", ORDERS), ("b", CDC)):
            with store.lock(stack, ME, 0) as lock:
                lock.write([entry(0, "begin", f"run-{stack}", stack)], {address: owned(address, stack)})
                lock.write([entry(1, "end", f"run-{stack}", stack, about={"outcome": "applied"})])
        return store

    @pytest.mark.parametrize("text", [NEWER, "{", "[]", '{"v": 1}'])
    @pytest.mark.parametrize("record", ["topic/payments", "connector/cdc", "lease/payments"])
    def test_of_the_ledger(self, world: World, two_stacks: Store, record: str, text: str) -> None:
        world.damage("b", record, text)
        overview = two_stacks.overview()
        assert overview.ledger[ORDERS].stack == "a"
        overview.refuse_unreadable(["a"], [ORDERS])
        with pytest.raises(JournalBroken, match=record) as refused:
            overview.refuse_unreadable(["b"])
        is_unknown = record.startswith("lease/")
        assert refused.value.code == ("K626" if is_unknown else "K623") and refused.value.exit_code == 1
        assert not is_unknown or f"kplan {__version__} does not know the kind `lease`" in refused.value.message
        assert "stack b" in refused.value.message and refused.value.help
        assert text != NEWER or is_unknown or "format 2" in refused.value.message
        if record.startswith("topic/"):
            with pytest.raises(JournalBroken, match="may own topic/payments"):
                overview.refuse_unreadable(["a"], [ORDERS, Address("topic", "payments")])
        with two_stacks.lock("a", replace(ME, run="run-2"), 0) as lock:
            lock.write([entry(0, "begin", "run-2")], {ORDERS: owned(protect=True)})
        assert two_stacks.ledger()[ORDERS].protect

    @pytest.mark.parametrize("text", [NEWER, "{", "[]"])
    def test_of_a_journal(self, world: World, two_stacks: Store, text: str) -> None:
        with two_stacks.lock("b", replace(ME, run="run-9"), 0) as lock:
            lock.write([entry(0, "begin", "run-9", "b")])
        world.damage("b", "run/run-9/1", text)
        with two_stacks.lock("a", replace(ME, run="run-2"), 0) as lock:
            lock.write([entry(0, "begin", "run-2")])
        overview = two_stacks.overview()
        assert dict(overview.open_runs) == {"run-2": "a"} and list(two_stacks.open_runs()) == ["run-2"]
        overview.refuse_unreadable(["a"], [ORDERS])
        with pytest.raises(JournalBroken, match="run-9"):
            overview.refuse_unreadable(["b"])
        with pytest.raises(JournalBroken, match="run-9"):
            two_stacks.entries("run-9")
        assert {"run-a", "run-b", "run-2"} <= {summary.run for summary in two_stacks.summaries()}

    def test_of_a_run_that_has_ended_it_stops_nothing(self, world: World, two_stacks: Store) -> None:
        world.damage("b", "run/run-b/2", NEWER)
        with pytest.raises(JournalBroken, match="run-b"):
            two_stacks.entries("run-b")
        overview = two_stacks.overview()
        overview.refuse_unreadable(["a", "b"])
        assert not overview.unreadable and not overview.open_runs
        with two_stacks.lock("b", replace(ME, run="run-2"), 0) as lock:
            lock.write(ledger={CDC: owned(CDC, "b", protect=True)})
        assert two_stacks.ledger()[CDC].protect


class TestSigned:
    """With a key, records that are not signed with it stop their stack, and those that are about their address."""

    @pytest.fixture
    def signed(self, world: World) -> Iterator[Store]:
        """Stack `a` owns ORDERS and has an open run, `b` owns CDC; each has a run that ended."""
        opened = world.signed("key")
        for stack, address in (("a", ORDERS), ("b", CDC)):
            with opened.lock(stack, ME, 0) as lock:
                lock.write([entry(0, "begin", f"run-{stack}", stack)], {address: owned(address, stack)})
                lock.write([entry(1, "end", f"run-{stack}", stack, about={"outcome": "applied"})])
        with opened.lock("a", ME, 0) as lock:
            lock.write([entry(0, "begin", "run-9")])
        yield opened
        opened.close()

    @staticmethod
    def refused(store: Store, stacks: list[str], *addresses: Address) -> str:
        with pytest.raises(JournalBroken) as refused:
            store.overview().refuse_unreadable(stacks, addresses)
        assert refused.value.code == "K621" and "kplan state sign" in refused.value.help
        return refused.value.message

    def test_what_was_signed_is_read_with_and_without_the_key(self, world: World, signed: Store) -> None:
        assert not [record.fault for record in signed.records() if record.fault]
        for store in (signed, world.signed("key"), world.store()):
            overview = store.overview()
            overview.refuse_unreadable(["a", "b"], [ORDERS, CDC])
            assert dict(overview.ledger) == {ORDERS: owned(), CDC: owned(CDC, "b")}
            assert dict(overview.open_runs) == {"run-9": "a"}
            assert [e.event for e in store.entries("run-a")] == ["begin", "end"]
        for record in ("topic/orders", "run/run-9/0"):
            assert json.loads(world.text("a", record))["signature"].startswith("hmac-sha256:")

    def test_without_a_key_there_is_no_signature(self, world: World, signed: Store) -> None:
        with world.store().lock("a", ME, 0) as lock:
            lock.write([entry(1, "will", "run-9")], {ORDERS: owned(protect=True)})
        for record in ("topic/orders", "run/run-9/1"):
            assert "signature" not in world.text("a", record)
        assert "not signed" in self.refused(signed, ["a"])

    def test_with_another_key_all_of_the_stack_is_refused(self, world: World, signed: Store) -> None:
        assert "another KPLAN_KEY" in self.refused(world.signed("other"), ["b"])
        assert not world.signed("other").overview().open_runs

    @pytest.mark.parametrize(
        ("record", "change"),
        [
            ("topic/orders", ('"created":true', '"created":false')),
            ("topic/orders", ('"signature"', '"was"')),
            ("run/run-9/0", ('"event":"begin"', '"event":"end"')),
            ("run/run-9/0", ('"signature"', '"was"')),
        ],
    )
    def test_a_changed_record_stops_its_stack_alone(
        self, world: World, signed: Store, record: str, change: tuple[str, str]
    ) -> None:
        text = world.text("a", record)
        assert change[0] in text
        world.damage("a", record, text.replace(*change))
        assert record.replace("run/", "").split("/")[0] in self.refused(signed, ["a"])
        overview = signed.overview()
        overview.refuse_unreadable(["b"], [CDC])
        assert dict(overview.open_runs) == ({} if record.startswith("run/") else {"run-9": "a"})
        with signed.lock("b", replace(ME, run="run-2"), 0) as lock:
            lock.write([entry(0, "begin", "run-2", "b")])
        assert signed.overview().open_runs["run-2"] == "b"

    def test_a_record_that_was_copied_is_refused(self, world: World, signed: Store) -> None:
        world.damage("a", "topic/other", world.text("a", "topic/orders"))
        assert "topic/other" in self.refused(signed, ["a"])

    def test_the_end_of_a_run_does_not_end_another(self, world: World, signed: Store) -> None:
        world.damage("a", "run/run-9/1", world.text("a", "run/run-a/1"))
        assert "run-9" in self.refused(signed, ["a"])

    def test_a_forged_claim_stops_who_is_about_it_and_takes_nothing(self, world: World, signed: Store) -> None:
        forged = json.loads(world.text("a", "topic/orders")) | {"stack": "c", "claimed": 0}
        world.damage("c", "topic/orders", json.dumps(forged))
        assert "may own topic/orders" in self.refused(signed, ["a"], ORDERS)
        overview = signed.overview()
        overview.refuse_unreadable(["a"])
        overview.refuse_unreadable(["b"], [CDC])
        assert overview.ledger[ORDERS].stack == "a"

    def test_a_forged_run_of_another_stack_is_not_read_as_this_ones(self, world: World, signed: Store) -> None:
        world.damage("c", "run/run-9/7", json.dumps({"v": 1, **json.loads(world.text("a", "run/run-9/0"))}))
        overview = signed.overview()
        overview.refuse_unreadable(["a"], [ORDERS])
        assert dict(overview.open_runs) == {"run-9": "a"}
        assert [(e.stack, e.seq) for e in signed.entries("run-9")] == [("a", 0)]

    def test_rewriting_signs_what_was_looked_at(self, world: World, signed: Store) -> None:
        with world.store().lock("a", ME, 0) as lock:
            lock.write([entry(1, "will", "run-9")], {ORDERS: owned(protect=True)})
        faulty = [record for record in signed.records() if record.fault]
        assert sorted(record.name for record in faulty) == ["entry 1 of run run-9", "topic/orders"]
        with signed.lock("a", ME, 0) as lock:
            lock.rewrite(faulty)
            assert [record.name for record in signed.records() if record.fault] == [record.name for record in faulty]
            lock.rewrite([replace(record, fault="") for record in faulty])
        signed.overview().refuse_unreadable(["a", "b"])
        assert dict(signed.overview().open_runs) == {"run-9": "a"}
        assert signed.ledger()[ORDERS].protect


class TestHistory:
    """What stays of a run: its summary, and the last changes of each resource."""

    @staticmethod
    def change(store: Store, run: str, action: str = "update", stack: str = "a", steps: int = 1) -> None:
        """One run that changes `steps` topics, each named for its step."""
        diff = [{"path": "/config/retention.ms", "before": "1", "after": CANARY}]
        items = tuple(
            Item(n, f"topic/t{n}", {"step": n, "actions": action.split("+"), "diff": diff}) for n in range(1, steps + 1)
        )
        done = tuple(Item(n, f"topic/t{n}") for n in range(1, steps + 1))
        about = {"who": "ann@laptop", "digest": f"digest of {run}", "created_at": "now", "commit": "c0ffee", "steps": 1}
        with store.lock(stack, replace(ME, run=run), 30) as lock:
            lock.write([entry(0, "begin", run, stack, items=items, about=about)])
            lock.write([entry(1, "will", run, stack, wave=1, items=done)])
            lock.write([entry(2, "did", run, stack, wave=1, items=done)])
            records = {Address("topic", f"t{n}"): owned(Address("topic", f"t{n}"), stack) for n in range(1, steps + 1)}
            lock.write([entry(3, "end", run, stack, about={"outcome": "applied", "retries": 2})], records)

    def test_every_run_has_a_summary_after_its_details_are_gone(self, store: Store) -> None:
        for number in range(23):
            self.change(store, f"run-{number:02}", "create" if number == 0 else "update")
        assert len(store.runs()) == 20 and "run-00" not in store.runs()
        found = store.summaries()
        assert [summary.run for summary in found] == [f"run-{number:02}" for number in range(23)]
        first = found[0]
        assert (first.outcome, first.stack, dict(first.counts), first.created) == ("applied", "a", {"create": 1}, 1)
        assert first.began == first.ended == "2026-08-22T10:15:02Z"
        assert first.about["who"] == "ann@laptop" and first.about["commit"] == "c0ffee" and first.about["retries"] == 2
        assert (first.about["digest"], first.about["created_at"]) == ("digest of run-00", "now")

    def test_an_open_run_has_one_too(self, store: Store) -> None:
        with store.lock("a", ME, 0) as lock:
            lock.write([entry(0, "begin", about={"who": "ann"})])
        (summary,) = store.summaries()
        assert summary.is_open and summary.about["who"] == "ann"

    def test_a_resource_keeps_its_last_twenty_changes(self, world: World, store: Store) -> None:
        for number in range(23):
            self.change(store, f"run-{number:02}", "delete+create" if number == 22 else "update")
        found = world.store().changes(Address("topic", "t1"))["a"]
        assert [change.run for change in found] == [f"run-{number:02}" for number in range(22, 2, -1)]
        assert [change.action for change in found[:2]] == ["replace", "update"]
        assert found[0].paths == ("/config/retention.ms",) and found[0].at
        assert CANARY not in repr(found), "values are no part of it"
        assert "b" not in store.changes(Address("topic", "t1"))

    def test_what_was_rolled_back_is_no_change(self, store: Store) -> None:
        item = Item(1, "topic/t1", {"step": 1, "actions": ["create"], "diff": []})
        with store.lock("a", ME, 0) as lock:
            lock.write(
                [entry(0, "begin", items=(item,)), entry(1, "will", items=(item,)), entry(2, "did", items=(item,))]
            )
            lock.write([entry(3, "will_undo", items=(item,)), entry(4, "undid", items=(item,))])
            lock.write([entry(5, "end", about={"outcome": "rolled_back"})])
        assert store.changes(Address("topic", "t1")) == {}
        assert [(s.outcome, dict(s.counts)) for s in store.summaries()] == [("rolled_back", {})]

    def test_the_records_stay_small(self, store: Store) -> None:
        from kplan.model.history import changes_to_json, summary_to_json

        long = "x" * 3000
        item = Item(1, "topic/t1", {"actions": ["update"], "diff": [{"path": f"/config/{n}{long}"} for n in range(30)]})
        for number in range(20):
            run = f"run-{number:02}"
            about = {"who": long, "digest": "d" * 71, "connect": long, "cluster": long, "commit": long, "mode": long}
            with store.lock("a", replace(ME, run=run), 30) as lock:
                lock.write([entry(0, "begin", run, items=(item,), about=about)])
                lock.write([entry(1, "end", run, about={"outcome": "applied"})])
        sizes = [len(json.dumps(summary_to_json(summary)).encode()) for summary in store.summaries()]
        assert max(sizes) <= 1100
        changes = store.changes(Address("topic", "t1"))["a"]
        assert len(changes) > 1 and len(json.dumps(changes_to_json(changes), ensure_ascii=False).encode()) <= 4300


class TestStacks:
    def test_of_two_that_claim_one_address_it_is_the_first_ones(self, store: Store) -> None:
        with store.lock("a", ME, 0) as first, store.lock("b", ME, 0) as second:
            first.write(ledger={ORDERS: owned()})
            second.write(ledger={ORDERS: owned(stack="b")})
            first.write(ledger={ORDERS: owned(protect=True)})
            assert store.ledger()[ORDERS].stack == "a"
            second.write(ledger={ORDERS: None})
            assert store.ledger()[ORDERS].stack == "a"

    def test_a_released_address_can_be_taken_by_another(self, store: Store) -> None:
        with store.lock("a", ME, 0) as lock:
            lock.write(ledger={ORDERS: owned()})
            lock.write(ledger={ORDERS: None})
        with store.lock("b", ME, 0) as lock:
            lock.write(ledger={ORDERS: owned(stack="b")})
        assert store.ledger()[ORDERS].stack == "b"

    def test_a_lock_covers_its_own_stack_only(self, store: Store) -> None:
        with store.lock("a", ME, 0) as lock:
            with pytest.raises(ValueError, match="b"):
                lock.write(ledger={ORDERS: owned(stack="b")})
            with pytest.raises(ValueError, match="b"):
                lock.write([entry(0, "begin", stack="b")])

    def test_two_stacks_write_at_the_same_time(self, world: World, store: Store) -> None:
        def work(stack: str) -> None:
            with world.store().lock(stack, ME, 0) as lock:
                for number in range(20):
                    address = Address("topic", f"{stack}-{number}")
                    lock.write([entry(number, "did", f"run-{stack}", stack)], {address: owned(address, stack)})

        threads = [threading.Thread(target=work, args=(stack,)) for stack in ("a", "b", "c")]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert len(store.ledger()) == 60
        assert [len(store.entries(f"run-{stack}")) for stack in "abc"] == [20, 20, 20]


class TestRuns:
    def test_a_run_without_an_end_is_open(self, store: Store) -> None:
        with store.lock("a", ME, 0) as lock:
            lock.write([entry(0, "begin", "old"), entry(1, "end", "old", about={"outcome": "applied"})])
            lock.write([entry(0, "begin", "new")])
            lock.write([entry(1, "will", "new", items=(Item(1, "topic/x"),))])
        assert list(store.runs()) == ["old", "new"]
        assert list(store.open_runs()) == ["new"]
        progress = replay(store.entries("old"))
        assert progress is not None and progress.outcome == "applied"

    def test_the_newest_twenty_finished_runs_of_a_stack_are_kept(self, store: Store) -> None:
        with store.lock("a", ME, 0) as a, store.lock("b", ME, 0) as b:
            b.write([entry(0, "begin", "other", "b"), entry(1, "end", "other", "b")])
            a.write([entry(0, "begin", "unfinished")])
            for number in range(25):
                run = f"run-{number:02}"
                a.write([entry(0, "begin", run)])
                a.write([entry(1, "end", run)])
        assert list(store.runs()) == ["other", "unfinished"] + [f"run-{number:02}" for number in range(5, 25)]
        assert list(store.open_runs()) == ["unfinished"]

    def test_a_record_is_never_overwritten(self, store: Store) -> None:
        with store.lock("a", ME, 0) as lock:
            lock.write([entry(0, "begin", about={"who": "ann"})])
            with pytest.raises(JournalBroken):
                lock.write([entry(0, "begin", about={"who": "bob"})], {ORDERS: owned()})
        assert store.entries("run-1")[0].about == {"who": "ann"}
        assert store.ledger() == {}, "a write is all or nothing"


class TestLock:
    def test_who_is_refused_sees_who_holds_it(self, world: World, store: Store) -> None:
        with store.lock("a", ME, 0), pytest.raises(Locked) as refused, world.store().lock("a", replace(ME, run="2"), 0):
            pass
        assert "ann@laptop" in refused.value.message and "run-1" in refused.value.message
        assert refused.value.exit_code == 6

    def test_the_holder_is_seen_while_it_is_held(self, world: World, store: Store) -> None:
        with store.lock("a", ME, 0):
            assert world.store().holder("a") == ME
            assert world.store().holder("b") is None
        assert store.holder("a") is None

    def test_it_is_waited_for(self, world: World, store: Store) -> None:
        held, leaving = threading.Event(), threading.Event()

        def hold() -> None:
            with world.store().lock("a", ME, 0):
                held.set()
                time.sleep(0.5)
                leaving.set()

        thread = threading.Thread(target=hold)
        thread.start()
        assert held.wait(30)
        with store.lock("a", replace(ME, run="run-2"), 30) as lock:
            assert leaving.is_set(), "two hold the lock at once"
            lock.write(ledger={ORDERS: owned()})
        thread.join()
        assert store.ledger() == {ORDERS: owned()}

    def test_an_error_inside_frees_it(self, store: Store) -> None:
        with pytest.raises(RuntimeError), store.lock("a", ME, 0):
            raise RuntimeError
        with store.lock("a", ME, 0):
            pass

    def test_once_released_it_writes_nothing(self, store: Store) -> None:
        with store.lock("a", ME, 0) as lock:
            pass
        with pytest.raises(JournalBroken):
            lock.write(ledger={ORDERS: owned()})

    def test_only_one_of_many_has_it(self, world: World) -> None:
        inside, most, gate = [0], [0], threading.Lock()

        def contend() -> None:
            with world.store().lock("a", ME, 30):
                with gate:
                    inside[0] += 1
                    most[0] = max(most[0], inside[0])
                time.sleep(0.01)
                with gate:
                    inside[0] -= 1

        threads = [threading.Thread(target=contend) for _ in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert most == [1]

    def test_asking_who_holds_it_never_takes_it_from_anybody(self, world: World, store: Store) -> None:
        with store.lock("a", ME, 0):
            pass
        stop = threading.Event()
        answers: list[Holder | Exception | None] = []

        def ask() -> None:
            while not stop.is_set():
                try:
                    answers.append(world.store().holder("a"))
                except Exception as failure:
                    answers.append(failure)

        threads = [threading.Thread(target=ask) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(20):
                address = Address("topic", f"t{number}")
                with store.lock("a", ME, 0) as lock:
                    lock.write(ledger={address: owned(address)})
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert len(store.ledger()) == 20, "each holder wrote while it was asked for"
        assert ME in answers and set(answers) <= {ME, None}

    def test_kill_9_frees_it(self, world: World, store: Store) -> None:
        process = _hold_elsewhere(world)
        try:
            with pytest.raises(Locked, match="eve@elsewhere"), store.lock("a", ME, 0):
                pass
            holder = store.holder("a")
            assert holder is not None and holder.pid == process.pid
        finally:
            process.send_signal(signal.SIGKILL)
            process.wait()
        with store.lock("a", ME, 20) as lock:
            assert store.ledger()[ORDERS].stack == "a", "what it had written is there"
            lock.write(ledger={ORDERS: None})
        assert store.holder("a") is None


def _hold_elsewhere(world: World) -> subprocess.Popen[str]:
    """Another process holds the lock of `a` and has written a record."""
    program = f"""
        import os, time
        {world.source}
        from kplan.model import Address, Owned
        from kplan.state.base import Holder
        holder = Holder("eve@elsewhere", "run-9", "kplan apply", "2026-08-22T10:15:02Z", os.getpid())
        with store.lock("a", holder, 0) as lock:
            address = Address("topic", "orders")
            lock.write(ledger={{address: Owned(address, "a", "local", True)}})
            print("held", flush=True)
            time.sleep(60)
    """
    process = subprocess.Popen([sys.executable, "-c", textwrap.dedent(program)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None and process.stdout.readline() == "held\n"
    return process


class TestSqlite:
    """What is its own."""

    @pytest.fixture
    def path(self, tmp_path: Path) -> Path:
        return tmp_path / ".kplan" / "local.db"

    def test_reading_makes_no_file(self, path: Path) -> None:
        store = SqliteStore(path)
        store.ledger(), store.runs(), store.holder("a")
        assert not path.parent.exists()

    def test_the_first_lock_makes_the_folder_which_git_ignores(self, path: Path) -> None:
        with SqliteStore(path).lock("a", ME, 0):
            pass
        assert (path.parent / ".gitignore").read_text() == "*\n"

    def test_a_folder_of_another_name_gets_no_gitignore(self, tmp_path: Path) -> None:
        with SqliteStore(tmp_path / "state" / "x.db").lock("a", ME, 0):
            pass
        assert not (tmp_path / "state" / ".gitignore").exists()

    def test_it_is_durable(self, path: Path) -> None:
        with SqliteStore(path).lock("a", ME, 0) as lock:
            connection = lock._connection  # type: ignore[attr-defined]
            assert connection.execute("PRAGMA synchronous").fetchone() == (2,)
            assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)

    def test_other_tables_of_the_file_are_left_alone(self, path: Path) -> None:
        path.parent.mkdir()
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE simulated_topics (name TEXT)")
            connection.execute("INSERT INTO simulated_topics VALUES ('x')")
        connection.close()
        assert SqliteStore(path).ledger() == {}
        with SqliteStore(path).lock("a", ME, 0) as lock:
            lock.write(ledger={ORDERS: owned()})
        assert sqlite3.connect(path).execute("SELECT * FROM simulated_topics").fetchall() == [("x",)]

    @pytest.mark.parametrize(
        "content", [b"this is not a database, but a text\n" * 50, b"SQLite format 3\0" + b"\7" * 4096]
    )
    def test_a_broken_file_is_said_to_be_one(self, path: Path, content: bytes) -> None:
        path.parent.mkdir()
        path.write_bytes(content)
        for call in (SqliteStore(path).ledger, SqliteStore(path).runs, SqliteStore(path).lock("a", ME, 0).__enter__):
            with pytest.raises(JournalBroken) as broken:
                call()
            assert str(path) in broken.value.message and broken.value.help

    def test_a_damaged_record_is_said_to_be_one(self, path: Path) -> None:
        with SqliteStore(path).lock("a", ME, 0) as lock:
            lock.write([entry(0, "begin")], {ORDERS: owned()})
        for record in ("{", "[]", '{"stack": 1}'):
            with sqlite3.connect(path) as connection:
                connection.execute("UPDATE kplan_ledger SET record = ?", (record,))
                connection.execute("UPDATE kplan_journal SET record = ?", (record,))
            connection.close()
            assert SqliteStore(path).ledger() == {}
            with pytest.raises(JournalBroken, match="cannot be read"):
                SqliteStore(path).overview().refuse_unreadable(["a"])
            with pytest.raises(JournalBroken, match="cannot be read"):
                SqliteStore(path).entries("run-1")

    def test_a_newer_format_is_refused(self, path: Path) -> None:
        with SqliteStore(path).lock("a", ME, 0):
            pass
        with sqlite3.connect(path) as connection:
            connection.execute("UPDATE kplan_meta SET value = '2'")
        connection.close()
        for call in (SqliteStore(path).ledger, SqliteStore(path).lock("a", ME, 0).__enter__):
            with pytest.raises(KplanError, match="newer kplan"):
                call()

    def test_a_folder_that_cannot_be_made_is_said_to_be_one(self, tmp_path: Path) -> None:
        (tmp_path / "file").write_text("")
        with (
            pytest.raises(JournalBroken, match="cannot be used"),
            SqliteStore(tmp_path / "file" / "x.db").lock("a", ME, 0),
        ):
            pass

    def test_a_full_disk_is_said_to_be_one(self, path: Path) -> None:
        with SqliteStore(path).lock("a", ME, 0) as lock:
            lock.write(ledger={ORDERS: owned()})
            lock._connection.execute("PRAGMA max_page_count = 1")  # type: ignore[attr-defined]
            many = {Address("topic", f"t{n}"): owned(Address("topic", f"t{n}")) for n in range(500)}
            with pytest.raises(JournalBroken, match="the disk is full"):
                lock.write(ledger=many)
        assert set(SqliteStore(path).ledger()) == {ORDERS}

    def test_a_file_size_limit_ends_in_a_sentence(self, path: Path) -> None:
        program = f"""
            import resource, signal
            from pathlib import Path
            from kplan.diagnostics import JournalBroken
            from kplan.model import Address, Owned
            from kplan.state.base import Holder
            from kplan.state.sqlite import SqliteStore
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            with SqliteStore(Path({str(path)!r})).lock("a", Holder("", "", "", ""), 0) as lock:
                resource.setrlimit(resource.RLIMIT_FSIZE, (64000, 64000))
                addresses = [Address("topic", f"t{{n}}") for n in range(5000)]
                try:
                    lock.write(ledger={{address: Owned(address, "a", "local", True) for address in addresses}})
                except JournalBroken as broken:
                    print(broken)
        """
        done = subprocess.run([sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True)
        assert "cannot be used: the disk" in done.stdout and not done.stderr
        assert SqliteStore(path).ledger() == {}

    def test_a_read_only_file_is_said_to_be_one(self, path: Path) -> None:
        with SqliteStore(path).lock("a", ME, 0) as lock:
            lock.write(ledger={ORDERS: owned()})
        path.chmod(0o444)
        path.parent.chmod(0o555)
        try:
            if os.access(path.parent, os.W_OK):
                pytest.skip("this user may write everywhere")
            assert set(SqliteStore(path).ledger()) == {ORDERS}
            assert SqliteStore(path).holder("a") is None
            with pytest.raises(JournalBroken, match="cannot be used"), SqliteStore(path).lock("a", ME, 0):
                pass
        finally:
            path.parent.chmod(0o755)

    def test_a_holder_whose_lock_file_was_removed_writes_no_more(self, path: Path) -> None:
        with SqliteStore(path).lock("a", ME, 0) as first:
            (path.parent / "local.db.a.lock").unlink()
            with SqliteStore(path).lock("a", replace(ME, who="bob@host", run="run-2"), 0) as second:
                with pytest.raises(JournalBroken, match="bob@host"):
                    first.write(ledger={ORDERS: owned()})
                second.write(ledger={CDC: owned(CDC)})
        assert set(SqliteStore(path).ledger()) == {CDC}
