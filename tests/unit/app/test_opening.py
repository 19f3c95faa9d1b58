"""An environment whose servers are asked ahead."""

from __future__ import annotations

import threading
from concurrent.futures import Future
from typing import Any, cast

import pytest

from kplan.app.opening import OpenEnvironment
from kplan.diagnostics import KplanError, Unreachable
from kplan.planning.reading import Prefetch
from kplan.state.base import Holder, Overview

HOLDER = Holder("ann@host", "r1", "kplan apply", "2026-01-01T00:00:00Z", 1)


class Store:
    """Remembers whose lock was connected."""

    def __init__(self) -> None:
        self.connected: list[tuple[str, Holder]] = []

    def connect_lock(self, stack: str, holder: Holder) -> None:
        self.connected.append((stack, holder))


def open_environment(recorded: Future[Overview] | None, store: Store | None = None) -> OpenEnvironment:
    none: Any = None
    begun = None if recorded is None else Prefetch({}, {}, recorded)
    return OpenEnvironment(none, none, cast(Any, store), begun)


def resolve(overview: Overview | KplanError) -> Future[Overview]:
    future: Future[Overview] = Future()
    if isinstance(overview, Overview):
        future.set_result(overview)
    else:
        future.set_exception(overview)
    return future


@pytest.mark.parametrize(
    ("recorded", "expected"),
    [
        (None, False),
        (resolve(Overview({})), False),
        (resolve(Overview({}, {"r1": "another"})), False),
        (resolve(Overview({}, {"r1": "another", "r2": "shop"})), True),
        (resolve(Unreachable("no broker")), False),
    ],
    ids=["not read", "no run", "another stack's", "its own", "unreadable"],
)
def test_a_run_that_was_open_makes_a_reading_out_of_date(recorded: Future[Overview] | None, expected: bool) -> None:
    assert open_environment(recorded).had_open_runs(["shop"]) is expected


def test_the_lock_is_connected_once_the_state_was_read() -> None:
    recorded: Future[Overview] = Future()
    store = Store()
    connecting = open_environment(recorded, store).prepare_lock("shop", HOLDER).connecting
    assert not connecting.done() and store.connected == []
    threading.Timer(0.05, lambda: recorded.set_result(Overview({}))).start()
    connecting.result(10)
    assert store.connected == [("shop", HOLDER)]


def test_a_state_that_cannot_be_read_connects_nothing() -> None:
    store = Store()
    connecting = open_environment(resolve(Unreachable("no broker")), store).prepare_lock("shop", HOLDER).connecting
    with pytest.raises(Unreachable):
        connecting.result(10)
    assert store.connected == []
