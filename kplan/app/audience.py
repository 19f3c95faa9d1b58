"""Who watches runs: what a use case asks of the person or the program that it serves."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from kplan.app.plan import PlanOutcome
    from kplan.diagnostics import KplanError
    from kplan.execution.run import Result, Stop
    from kplan.model.events import Emit
    from kplan.planning.document import Plan
    from kplan.state.base import Store


class RunAudience(Protocol):
    """Who watches one run and may stop it."""

    def stoppable(self, run: str) -> AbstractContextManager[Stop]:
        """Return what ends the run early; signals set it while the context is open."""

    def watch_run(self, run: str, store: Store, stop: Stop) -> AbstractContextManager[Emit]:
        """Return what shows the events of the run."""


class ApplyAudience(RunAudience, Protocol):
    """Who watches an apply of stacks and is asked before it."""

    def show_plans(self, outcome: PlanOutcome) -> None:
        """Show the plans before anything is done."""

    def show_unchanged(self, plans: Sequence[Plan]) -> None:
        """Show the plans that have nothing to do."""

    def confirm(self, plans: Sequence[Plan]) -> None:
        """Ask whether to do this. Raises Declined."""

    def start_stack(self, plan: Plan, number: int, count: int) -> None:
        """Show that the stack with this number begins, one of `count`."""

    def end_run(self, result: Result) -> None:
        """Take the result of a run, whose events were shown."""

    def show_failure(self, failure: KplanError) -> int:
        """Show why one of several stacks was not applied; return the exit code."""

    def show_ends(self, ends: Mapping[str, tuple[str, str]], exit_code: int) -> None:
        """Show what became of several stacks: by stack in words, and in which run."""
