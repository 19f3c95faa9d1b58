"""What happens during an apply, as records: the text view, the JSON view and the journal cannot disagree."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

TYPES = (
    "version",
    "plan_summary",
    "step_started",
    "step_progress",
    "step_done",
    "step_failed",
    "rollback_started",
    "undo_done",
    "undo_failed",
    "diagnostic",
    "apply_summary",
    "stack_started",
    "stacks_summary",
)


@dataclass(frozen=True, slots=True)
class Event:
    """`message` is the sentence that the text view shows; `seconds` how long the step took."""

    type: str
    message: str
    step: int = 0
    address: str = ""
    level: str = "info"  # info | warning | error
    seconds: float | None = None
    data: Mapping[str, Any] = field(default_factory=dict)


Emit = Callable[[Event], None]


def silent(event: Event) -> None:
    """Takes events and shows nothing."""


def unbreakable(emit: Emit, broke: Callable[[Exception], None] = lambda e: None) -> Emit:
    """`emit`, left alone once it fails, which `broke` is told: a run does not depend on whether somebody watches it."""
    broken = False

    def guarded(event: Event) -> None:
        nonlocal broken
        if broken:
            return
        try:
            emit(event)
        except Exception as e:
            broken = True
            broke(e)

    return guarded
