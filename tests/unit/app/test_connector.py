"""Offsets that a connector cannot run with are not left in place."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

import pytest

from kplan.app.connector import replace_offsets
from kplan.app.runtime import Runtime
from kplan.diagnostics import KplanError, codes
from kplan.model import Address, Change, Connector
from kplan.model.masks import Mask
from kplan.servers.base import Outcome

FEED = Connector("feed")
RUNTIME = Runtime(Mask(), lambda: datetime.now(UTC))
OLD, NEW = [{"partition": {}, "offset": {"n": 1}}], [{"partition": {}, "offset": {"n": 9}}]


class Backend:
    """A connector that runs only with offsets that are among `good`."""

    def __init__(self, *good: list[Any]) -> None:
        self.good = good
        self.now: list[Any] = OLD
        self.state = "running"

    def act(self, changes: Sequence[Change], captured: object) -> dict[Address, Outcome]:
        (change,) = changes
        assert isinstance(change.after, Connector)
        self.state = change.after.state
        return {change.address: Outcome()}

    def settle(self, changes: Sequence[Change], progress: object) -> dict[Address, Outcome]:
        runs = self.state == "stopped" or self.now in self.good
        return {
            each.address: Outcome(None if runs else KplanError("task 0 FAILED", code=codes.K512)) for each in changes
        }

    def put_offsets(self, name: str, offsets: list[Any] | None) -> None:
        assert self.state == "stopped"
        if offsets == [None]:
            raise KplanError("refused by Connect")
        self.now = offsets or []


def test_new_offsets_stay_where_it_runs_with_them() -> None:
    backend = Backend(OLD, NEW)
    replace_offsets(backend, FEED, NEW, OLD, RUNTIME)
    assert (backend.now, backend.state) == (NEW, "running")


def test_it_has_its_earlier_ones_again_where_it_does_not_run_with_the_new_ones() -> None:
    backend = Backend(OLD)
    with pytest.raises(KplanError, match=r"earlier ones are restored: task 0 FAILED") as failed:
        replace_offsets(backend, FEED, NEW, OLD, RUNTIME)
    assert (backend.now, backend.state) == (OLD, "running")
    assert (failed.value.code, failed.value.exit_code) == ("K512", 1)


def test_where_it_runs_with_neither_the_earlier_ones_are_told() -> None:
    with pytest.raises(KplanError, match="not with the earlier ones") as failed:
        replace_offsets(Backend(), FEED, NEW, OLD, RUNTIME)
    assert failed.value.exit_code == 8 and '"n": 1' in failed.value.help


def test_offsets_that_connect_refuses_leave_it_running() -> None:
    backend = Backend(OLD)
    with pytest.raises(KplanError, match="refused by Connect"):
        replace_offsets(backend, FEED, [None], OLD, RUNTIME)
    assert (backend.now, backend.state) == (OLD, "running")
