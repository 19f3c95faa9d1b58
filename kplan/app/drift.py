"""Find what was changed live since the last apply, and notify those who want to know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from kplan.app.ledger import read_ledger
from kplan.inspect.drift import compare_stack
from kplan.kinds.connector.sensitivity import of_ledger, of_stacks
from kplan.planning.reading import read_addresses
from kplan.render.drift import describe_change, describe_next, summarize
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.execution.notify import DriftNotice
    from kplan.inspect.drift import DriftReport
    from kplan.model import Target
    from kplan.project.environment import Environment
    from kplan.project.loading import Loaded


@dataclass(frozen=True, slots=True)
class DriftOutcome:
    """What differs, stack by stack, and where."""

    stacks: Sequence[DriftReport]
    target: Target

    @property
    def exit_code(self) -> int:
        """Return 2 with drift, 4 where something cannot be seen, else 0."""
        if any(stack.drift for stack in self.stacks):
            return 2
        return 4 if any(stack.unseen for stack in self.stacks) else 0


def find_drift(loaded: Loaded, opened: OpenEnvironment, runtime: Runtime) -> DriftOutcome:
    """Compare what the loaded stacks own with the last apply. Raises RecordUnreadable, and what servers raise."""
    names = {stack.name for stack in loaded.stacks}
    ledger = read_ledger(opened.store, runtime, names)
    mine = [address for address, owned in ledger.items() if owned.stack in names]
    live = read_addresses(opened.cluster, mine, [*of_ledger(ledger), *of_stacks(loaded.stacks)])
    return DriftOutcome([compare_stack(stack, live, ledger, runtime.key) for stack in loaded.stacks], live.target)


def notify_drift(outcome: DriftOutcome, environment: Environment, runtime: Runtime) -> None:
    """Notify the environment's receivers of each stack that drifted, without secrets."""
    notifier = runtime.notifier(environment)
    for stack in outcome.stacks:
        if stack.drift:
            notifier.notify_drift(make_drift_notice(stack))


def make_drift_notice(stack: DriftReport) -> DriftNotice:
    """Return what receivers are notified of a stack that drifted."""
    from kplan.execution.notify import DriftNotice

    lines = [f"{judged.drift.address}: {describe_change(judged)}; {describe_next(judged)}" for judged in stack.drift]
    return DriftNotice(stack.stack, f"drift: {summarize(stack.drift)}.", lines)
