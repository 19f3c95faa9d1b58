"""What came of rehearsing a plan on a simulation."""

from __future__ import annotations

from typing import Final

from kplan.values import dataclass

# What a simulation cannot show. docs/rehearsal.md says more of each.
NOT_MODELLED: Final = (
    "records, and who reads them",
    "databases: slots, publications and rows",
    "missing rights, and limits of the service",
    "several brokers and workers, and their timing",
    "changes that others make meanwhile",
)


@dataclass(frozen=True, slots=True)
class RehearsalProblem:
    """Something that would not be put back. `step` is the one whose failure was rehearsed; 0: the run to its end."""

    step: int
    address: str
    message: str


@dataclass(frozen=True, slots=True)
class Rehearsal:
    """Count the failures that were rehearsed, one run for each.

    `points` are the steps that can fail. After `restored` of those tried everything was as before; after `kept` only
    what the plan itself says has no undo was not. `obstacle` is why there was no rehearsal, or none to its end.
    """

    points: int
    tried: int = 0
    restored: int = 0
    kept: int = 0
    problems: tuple[RehearsalProblem, ...] = ()
    obstacle: str = ""

    @property
    def is_sampled(self) -> bool:
        return not self.obstacle and self.tried < self.points
