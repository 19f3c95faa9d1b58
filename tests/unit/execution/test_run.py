"""A run that waits for servers that start again, and one that was stopped between its journal and its requests."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import Denied, JournalBroken, KplanError, Unreachable
from kplan.execution.apply import Apply
from kplan.execution.run import Result, Run, make_reader
from kplan.model import Address, Change, Live, Owned, Stack, Topic
from kplan.model.events import RunEvent, ServerAwaited
from kplan.model.journal import Entry
from kplan.servers.base import Backend, Cluster, Outcome
from kplan.state.base import Holder, Lock, Store
from tests.unit.planning.test_planning import everything, opened, planned

TOPICS = {topic.address: topic for topic in (Topic("orders", 1, 1), Topic("payments", 1, 1))}
ME = Holder("test@here", "run1", "test", "now")


@dataclass
class Clock:
    now: float = 0.0

    def __call__(self) -> float:
        return self.now

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@dataclass
class Down:
    """Servers that answer nothing from the first wave on, which they did; `until` then by `clock`."""

    backend: Backend
    clock: Clock
    until: float
    error: KplanError = field(default_factory=lambda: Unreachable("nobody answers"))
    gone: bool = False

    def __getattr__(self, name: str) -> Any:
        return getattr(self.backend, name)

    def act(self, changes: Sequence[Change], captured: Mapping[Address, Any]) -> Mapping[Address, Outcome]:
        if not self.gone:
            self.backend.act(changes, captured)
            self.gone = True
            return {change.address: Outcome(Unreachable("it went away")) for change in changes}
        return self.backend.act(changes, captured)

    def read(self, names: Any) -> Any:
        if self.gone and self.clock() < self.until:
            raise self.error
        return self.backend.read(names)


def failing(
    tmp_path: Path, until: float, error: KplanError | None = None
) -> tuple[Result, Clock, Live, list[RunEvent]]:
    """The end of an apply whose server goes away after its first wave and is back at `until`."""
    cluster, store = opened(str(tmp_path))
    plan = planned(Stack("s", "local", TOPICS), cluster, store)
    clock, events = Clock(), list[RunEvent]()
    down = Down(cluster.topics, clock, until, error or Unreachable("nobody answers"))
    spoilt = Cluster.of(down, cluster.connectors)  # type: ignore[arg-type]
    run = Run(plan, spoilt, store, ME, make_reader(plan, spoilt, store), events.append, clock=clock, sleep=clock.sleep)
    run.answer_timeout = 60
    result = Apply(run).execute()
    return result, clock, make_reader(plan, cluster, store)()[0], events


def test_a_server_that_starts_again_is_waited_for_and_everything_is_put_back(tmp_path: Path) -> None:
    result, clock, live, events = failing(tmp_path, until=45)
    assert (result.exit_code, result.left) == (7, ())
    assert 45 <= clock() < 60
    assert not live.resources
    assert any("nobody answers" in event.reason for event in events if isinstance(event, ServerAwaited))


def test_a_server_that_stays_away_is_not_waited_for_longer_than_settling_takes(tmp_path: Path) -> None:
    result, clock, _, _ = failing(tmp_path, until=1000)
    assert result.exit_code == 8
    assert all("its state is not known" in line for line in result.left)
    assert 60 <= clock() < 62


def test_nothing_is_waited_for_that_does_not_pass(tmp_path: Path) -> None:
    result, clock, _, _ = failing(tmp_path, until=1000, error=Denied("not with this login"))
    assert result.exit_code == 8
    assert clock() == 0


@dataclass
class Stopped:
    """A store at whose write of `event` the process stands still for `seconds`, `times` times."""

    store: Store
    clock: Clock
    event: str
    seconds: float
    times: int = 1
    stolen: bool = False
    written: list[str] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        return getattr(self.store, name)

    @contextmanager
    def lock(self, stack: str, holder: Holder, timeout: float) -> Iterator[Lock]:
        with self.store.lock(stack, holder, timeout) as held:
            self.held, self.lost = held, False
            yield self

    def write(self, entries: Sequence[Entry] = (), ledger: Mapping[Address, Owned | None] | None = None) -> None:
        if self.lost:
            raise JournalBroken("another run took over")
        self.held.write(entries, ledger)
        self.written += [entry.event for entry in entries]
        if self.times and any(entry.event == self.event for entry in entries):
            self.times -= 1
            self.clock.now += self.seconds
            self.lost = self.stolen


def stopped(tmp_path: Path, seconds: float, times: int = 1, stolen: bool = False) -> Stopped:
    """The store of an apply that stood still after its first `will`."""
    cluster, store = opened(str(tmp_path))
    plan = planned(Stack("s", "local", TOPICS), cluster, store)
    clock = Clock()
    slow = Stopped(store, clock, "will", seconds, times, stolen)
    run = Run(plan, cluster, slow, ME, make_reader(plan, cluster, store), clock=clock, sleep=clock.sleep, session=10)  # type: ignore[arg-type]
    Apply(run).execute()
    return slow


def test_a_wave_announced_too_long_ago_is_announced_again_before_it_is_sent(tmp_path: Path) -> None:
    slow = stopped(tmp_path, seconds=11)
    assert slow.written[:4] == ["begin", "will", "will", "did"]
    assert everything(opened(str(tmp_path))[0]).keys() == TOPICS.keys()


def test_a_process_that_stood_still_and_lost_its_lock_sends_nothing(tmp_path: Path) -> None:
    with pytest.raises(JournalBroken, match="another run took over"):
        stopped(tmp_path, seconds=11, stolen=True)
    assert not everything(opened(str(tmp_path))[0])


def test_a_pause_shorter_than_half_a_session_is_none(tmp_path: Path) -> None:
    assert stopped(tmp_path, seconds=4).written.count("will") == 1


def test_a_journal_that_is_always_too_slow_ends_the_run_before_it_sends(tmp_path: Path) -> None:
    with pytest.raises(JournalBroken, match="took longer than half of `timeouts: session`"):
        stopped(tmp_path, seconds=11, times=9)


def test_a_step_whose_server_is_missing_names_its_kind_and_server(tmp_path: Path) -> None:
    cluster, store = opened(str(tmp_path))
    plan = planned(Stack("s", "local", TOPICS), cluster, store)
    without_kafka = Cluster.of(cluster.connectors)
    run = Run(plan, without_kafka, store, ME, make_reader(plan, cluster, store))
    with store.lock("s", ME, 0.0) as lock:
        failure = run._run_wave(lock, plan.steps)
    assert failure is not None and failure.error is not None
    assert failure.error.message == "this environment has no kafka server for resources of kind topic"
