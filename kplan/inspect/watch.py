"""What an agent remembers from reading to reading: drift that is new or over, and what may be put back, and when."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field
from typing import TYPE_CHECKING, Any, Final

from kplan.inspect.drift import DriftReport, Next
from kplan.model import Action, Address
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.planning.document import Plan

CONFIG: Final = "/config/"
MAX_PAUSE_S: Final = 3600.0  # between two attempts to put the same resource back

STARTING, ACTIVE, STANDBY, FAILED = "starting", "active", "standby", "failed"

Differences = frozenset[tuple[str, str, str]]  # address, path, what is live now


@dataclass(frozen=True, slots=True)
class Watched:
    """What the agent knows after a reading. It is replaced as a whole, so that other threads may read it."""

    phase: str = STARTING
    env: str = ""
    stacks: tuple[str, ...] = ()
    status: Mapping[str, Any] | None = None
    drift: Sequence[DriftReport] = ()
    files_are_valid: bool = True
    read_at: float = 0.0  # seconds since 1970
    seconds: float = 0.0  # that the last reading took
    readings: Mapping[str, int] = field(default_factory=dict)  # by phase
    restarts: Mapping[str, int] = field(default_factory=dict)  # by address
    healed: Mapping[str, int] = field(default_factory=dict)  # resources, by stack
    refused: Mapping[str, int] = field(default_factory=dict)  # attempts to heal, by stack


@dataclass(slots=True)
class DriftMemory:
    """Remember the drift of each stack at the last reading."""

    seen: dict[str, Differences] = field(default_factory=dict)

    def update(self, reports: Iterable[DriftReport]) -> tuple[list[DriftReport], list[str]]:
        """Return the stacks whose drift is not the one of the last reading, and those that have none any more."""
        changed, settled = [], []
        for report in reports:
            now = frozenset((str(d.drift.address), d.drift.path, repr(d.drift.live)) for d in report.drift)
            before = self.seen.get(report.stack, frozenset())
            self.seen[report.stack] = now
            if now and now != before:
                changed.append(report)
            elif before and not now:
                settled.append(report.stack)
        return changed, settled


def find_healable(report: DriftReport) -> dict[Address, frozenset[str]]:
    """Return the resources that exist and differ in configs alone, all of which the stack declares as it applied them.

    The values are the paths that differ.
    """
    paths: dict[Address, set[str]] = {}
    for difference in report.drift:
        paths.setdefault(difference.drift.address, set()).add(difference.drift.path)
    others = {
        difference.drift.address
        for difference in report.drift
        if difference.next is not Next.PUTS_BACK or not difference.drift.path.startswith(CONFIG)
    }
    return {address: frozenset(own) for address, own in paths.items() if address not in others}


def find_obstacle_to_healing(plan: Plan, healable: Mapping[Address, frozenset[str]]) -> str:
    """Return why a plan does more than put these configs back; empty where it does not."""
    if plan.errored:
        return "its plan has errors"
    if plan.blocked:
        return f"its plan is blocked: {', '.join(plan.blocked)}"
    for change in plan.changes:
        if change.address not in healable or change.action is not Action.UPDATE:
            return f"its plan would {change.action.value} {change.address}"
        if dangers := [risk.code for risk in change.risks if risk.level == "danger"]:
            return f"{change.address} is a danger ({', '.join(dangers)})"
        if others := sorted({diff.path for diff in change.diffs} - healable[change.address]):
            return f"{change.address} would change in {', '.join(others)}, too"
    return ""


@dataclass(slots=True)
class HealingPauses:
    """Space out attempts at the same resource: someone else may set it again each time."""

    interval: float  # seconds
    attempts: dict[Address, tuple[int, float]] = field(default_factory=dict)  # how many, and the next time

    def find_due(self, addresses: Iterable[Address], now: float) -> list[Address]:
        """Return those that may be tried; `now` is in seconds of any clock."""
        return [address for address in addresses if now >= self.attempts.get(address, (0, now))[1]]

    def record(self, addresses: Sequence[Address], now: float) -> None:
        """Take note of an attempt: the next one waits twice as long as the one before."""
        for address in addresses:
            number = self.attempts.get(address, (0, 0.0))[0] + 1
            self.attempts[address] = number, now + min(self.interval * 2**number, MAX_PAUSE_S)

    def forget_settled(self, drifted: Iterable[Address], now: float) -> None:
        """Remove what has not drifted again for as long as it would have been waited for."""
        current = frozenset(drifted)
        for address, (_, until) in list(self.attempts.items()):
            if address not in current and now >= until:
                del self.attempts[address]
