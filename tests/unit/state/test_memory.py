"""The state of a rehearsal: it keeps what a run writes, and knows which runs have no end."""

from __future__ import annotations

from kplan.model import Address, Owned
from kplan.model.journal import Entry
from kplan.state.base import Holder
from kplan.state.memory import MemoryStore

ADDRESS = Address("topic", "a")
OWNED = Owned(ADDRESS, "shop", "local", created=True)
HOLDER = Holder("me", "run", "rehearse", "2026-01-01T10:00:00Z")
TIME = "2026-01-01T10:00:00Z"


def test_what_is_written_is_read() -> None:
    store = MemoryStore()
    with store.lock("shop", HOLDER, 0) as lock:
        lock.write([Entry("run", "shop", 0, "begin", TIME)], {ADDRESS: OWNED})
        assert (store.ledger(), store.open_runs(), store.runs()) == ({ADDRESS: OWNED}, ["run"], ["run"])
        assert store.overview().open_runs == {"run": "shop"}
        lock.write([Entry("run", "shop", 1, "end", TIME)], {ADDRESS: None})
    assert (store.ledger(), store.open_runs()) == ({}, [])
    assert [entry.event for entry in store.entries("run")] == ["begin", "end"]


def test_a_store_begins_with_a_ledger_of_its_own() -> None:
    given = {ADDRESS: OWNED}
    store = MemoryStore(given)
    with store.lock("shop", HOLDER, 0) as lock:
        lock.write((), {ADDRESS: None})
    assert (given, store.ledger()) == ({ADDRESS: OWNED}, {})
