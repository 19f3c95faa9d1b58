"""A project with a simulated cluster, and a caller that keeps what it is told."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import pytest

from kplan.app.opening import OpenEnvironment, open_environment
from kplan.app.plan import PlanOutcome
from kplan.app.runtime import Runtime
from kplan.diagnostics import Declined, KplanError
from kplan.execution.run import Result, Stop
from kplan.model.events import Emit, Event
from kplan.model.masks import Mask
from kplan.planning.document import Plan
from kplan.project.loading import Loaded, Request, load_project
from kplan.state.base import Store

NOW = datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)


@dataclass
class Caller:
    """A caller of use cases: `notes` and `warnings` are what they reported, `calls` what its audience saw."""

    folder: Path
    answer: bool = True
    notes: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    calls: list[str] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    process: dict[str, str] = field(default_factory=dict)

    def runtime(self, key: str | None = None) -> Runtime:
        return Runtime(Mask(), lambda: NOW, key, self.notes.append, self.warnings.append)

    def write(self, name: str, text: str) -> str:
        path = self.folder / name
        path.write_text(text)
        return str(path)

    def topics(self, stack: str, *names: str) -> str:
        """The path of a stack that declares these topics with one partition each."""
        lines = "".join(f"  {name}: {{partitions: 1}}\n" for name in names)
        return self.write(f"{stack}.yaml", f"version: 1\nstack: {stack}\ntopics:\n{lines}")

    def request(self, *paths: str) -> Request:
        return Request(paths, folder=str(self.folder), process=self.process)

    def load(self, *paths: str) -> Loaded:
        return load_project(self.request(*paths))

    def open(self, loaded: Loaded) -> OpenEnvironment:
        return open_environment(loaded.environment, self.runtime())

    # -- the audience of an apply ---------------------------------------------------------------------------------
    def show_plans(self, outcome: PlanOutcome) -> None:
        self.calls.append(f"plans {[plan.stack for plan in outcome.plans]}")

    def show_unchanged(self, plans: Sequence[Plan]) -> None:
        self.calls.append(f"unchanged {[plan.stack for plan in plans]}")

    def confirm(self, plans: Sequence[Plan]) -> None:
        self.calls.append(f"confirm {[plan.stack for plan in plans]}")
        if not self.answer:
            raise Declined("nothing was changed")

    def start_stack(self, plan: Plan, number: int, count: int) -> None:
        self.calls.append(f"start {plan.stack} {number}/{count}")

    @contextmanager
    def stoppable(self, run: str) -> Iterator[Stop]:
        yield Stop()

    @contextmanager
    def watch_run(self, run: str, store: Store, stop: Stop) -> Iterator[Emit]:
        yield self.events.append

    def end_run(self, result: Result) -> None:
        self.calls.append(f"end {result.outcome}")

    def show_failure(self, failure: KplanError) -> int:
        self.calls.append(f"failure {failure.code}")
        return failure.exit_code

    def show_ends(self, ends: Mapping[str, tuple[str, str]], exit_code: int) -> None:
        self.calls.append(f"ends { ({stack: outcome for stack, (outcome, _) in ends.items()}) } {exit_code}")


@pytest.fixture
def caller(tmp_path: Path) -> Caller:
    """A caller in a folder of its own, whose environment is a simulated cluster."""
    (tmp_path / "kplan.yaml").write_text("version: 1\nenvironments: {dev: {}}\n")
    return Caller(tmp_path)
