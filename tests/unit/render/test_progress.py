"""How far long work is, as it is told to a person."""

from __future__ import annotations

import time
from dataclasses import dataclass

import pytest

from kplan.model.events import Event
from kplan.render import events, progress
from kplan.render.events import LineView
from kplan.render.progress import ProgressMeter, Ticker
from kplan.render.text import Style


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def test_nothing_is_said_in_the_first_second() -> None:
    clock = Clock()
    far = ProgressMeter(clock)
    far.report("topics read", 500, 10_000)
    clock.now += 0.9
    assert far.describe() == ""


def test_counts_rate_and_time_left_follow_from_what_is_done() -> None:
    clock = Clock()
    far = ProgressMeter(clock)
    far.report("topics read", 0, 10_000)
    clock.now += 4
    assert far.describe() == "0 of 10,000 topics read, 4 s", "no rate is known before anything is done"
    far.report("topics read", 2_000, 10_000)
    assert far.describe() == "2,000 of 10,000 topics read, 4 s; 500/s, about 16 s left"


def test_a_slow_rate_and_a_long_time_are_told_in_units_that_fit() -> None:
    clock = Clock()
    far = ProgressMeter(clock)
    far.report("connectors checked", 0, 300)
    clock.now += 20
    far.report("connectors checked", 10, 300)
    assert far.describe() == "10 of 300 connectors checked, 20 s; 0.5/s, about 10 minutes left"


def test_what_is_done_is_not_spoken_of() -> None:
    clock = Clock()
    far = ProgressMeter(clock)
    far.report("topics read", 0, 500)
    clock.now += 30
    far.report("topics read", 500, 500)
    assert far.describe() == ""


def test_other_work_begins_with_a_time_of_its_own() -> None:
    clock = Clock()
    far = ProgressMeter(clock)
    far.report("topics read", 0, 500)
    clock.now += 30
    far.report("topics created", 0, 500)
    clock.now += 0.5
    assert far.describe() == ""
    clock.now += 1.5
    assert far.describe() == "0 of 500 topics created, 2 s"


def test_without_a_terminal_a_line_comes_with_each_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "FRAME_INTERVAL_S", 0.01)
    monkeypatch.setattr(progress, "HEARTBEAT_INTERVAL_S", 0.05)
    monkeypatch.setattr(progress, "MIN_DURATION_S", 0.0)
    said: list[str] = []
    far = ProgressMeter()
    far.report("topics read", 1, 4)
    with Ticker(far, said.append):
        _until(lambda: len(said) >= 2)
    assert all(line.startswith("  … 1 of 4 topics read") for line in said)


def test_on_a_terminal_one_line_is_written_over_and_taken_away(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(progress, "FRAME_INTERVAL_S", 0.01)
    monkeypatch.setattr(progress, "MIN_DURATION_S", 0.0)
    far = ProgressMeter()
    far.report("topics read", 1, 4)
    with Ticker(far, pytest.fail, live=True) as ticker:
        _until(lambda: ticker._shown)
    written = capsys.readouterr().err
    assert "\r\x1b[K  … 1 of 4 topics read" in written
    assert written.endswith("\r\x1b[K")
    assert "\n" not in written


def test_work_that_ends_at_once_leaves_no_word(capsys: pytest.CaptureFixture[str]) -> None:
    with Ticker(ProgressMeter(), pytest.fail, live=True):
        pass
    assert capsys.readouterr().err == ""


def test_the_heartbeat_of_an_apply_tells_how_far_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "HEARTBEAT_INTERVAL_S", 0.0)
    said: list[str] = []
    view = LineView(said.append, Style(), lambda _: None, lambda: "3 of 9 topics settled, 12 s")
    try:
        view(Event("step_started", "creating", 4, "topic/a", data={"action": "create", "total": 9}))
        _until(lambda: bool(said))
    finally:
        view.close()
    assert said[0].startswith("  … still [4] topic/a: creating (")
    assert said[0].endswith("s); 3 of 9 topics settled, 12 s")


def _until(holds: object) -> None:
    end = time.monotonic() + 20
    assert callable(holds)
    while not holds():
        assert time.monotonic() < end, "nothing was said"
        time.sleep(0.005)
