"""What happens during an apply: typed events, which have no sentences, and the record that every view is made of.

`execution` emits the typed events, `render.run_events` makes a record with its sentence of each, so the text view, the
JSON view and the log cannot disagree.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import field
from enum import StrEnum
from typing import Any

from kplan.diagnostics import Diagnostic
from kplan.model import Action, Address, Change
from kplan.values import dataclass

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


# -- typed events -----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class PlannedChange:
    """The step that an event is about: its number, of how many, and its change."""

    number: int
    total: int
    change: Change


@dataclass(frozen=True, slots=True)
class StepStarted:
    step: PlannedChange


@dataclass(frozen=True, slots=True)
class ServerReported:
    """How far a server is with a step; `words` are its backend's."""

    step: PlannedChange
    words: str


@dataclass(frozen=True, slots=True)
class ServerAwaited:
    """A server did not answer because of `reason`, and is asked again."""

    step: PlannedChange
    reason: str


@dataclass(frozen=True, slots=True)
class LateEffectWatched:
    """A request without an answer may still take effect: live state is read for so many seconds."""

    step: PlannedChange
    seconds: float


@dataclass(frozen=True, slots=True)
class LateEffectAwaited:
    """Nothing is done for so many seconds: a request of the interrupted run may still take effect."""

    step: PlannedChange
    seconds: float


@dataclass(frozen=True, slots=True)
class StepDone:
    """`seconds`: None where nothing was sent. `adopted`: another client had created the topic as planned.

    `note` is what the backend adds, in its words.
    `waits`: it is not made yet, as `note` says, and the next plan shows it again.
    """

    step: PlannedChange
    seconds: float | None = None
    adopted: bool = False
    note: str = ""
    waits: bool = False


@dataclass(frozen=True, slots=True)
class StepSkipped:
    """It was as planned before the run came to it."""

    step: PlannedChange


@dataclass(frozen=True, slots=True)
class StepFailed:
    step: PlannedChange
    seconds: float
    reason: str
    code: str = ""


@dataclass(frozen=True, slots=True)
class RollbackStarted:
    """`count` of the steps that were `sent` are undone."""

    count: int
    sent: int


@dataclass(frozen=True, slots=True)
class UndoDone:
    step: PlannedChange
    seconds: float


@dataclass(frozen=True, slots=True)
class UndoFailed:
    """`reason` is why the backend could not undo the step, or with `is_kept` why it did not."""

    step: PlannedChange
    seconds: float
    reason: str
    is_kept: bool = False


@dataclass(frozen=True, slots=True)
class ProblemFound:
    """The failure that ends a run; `step` and `address` where it is about one step."""

    diagnostic: Diagnostic
    message: str
    step: int = 0
    address: Address | None = None


class Purpose(StrEnum):
    """What a run was to do."""

    APPLY = "apply"
    PUT_BACK = "put back"
    COMPLETE = "complete"


@dataclass(frozen=True, slots=True)
class RunEnded:
    """How a run ended, as `execution.run.Result` says it; `total` is the number of its plan's steps.

    `earlier_outcome` is how the run had ended by itself, where there was nothing left to recover; None elsewhere.
    """

    purpose: Purpose
    run: str
    outcome: str
    exit_code: int
    total: int
    done: int = 0
    skipped: int = 0
    actions: tuple[Action, ...] = ()
    undone: int = 0
    left: tuple[str, ...] = ()
    seconds: float = 0.0
    retries: int = 0
    statistics: Mapping[str, Any] = field(default_factory=dict)
    earlier_outcome: str | None = None


RunEvent = (
    StepStarted
    | ServerReported
    | ServerAwaited
    | LateEffectWatched
    | LateEffectAwaited
    | StepDone
    | StepSkipped
    | StepFailed
    | RollbackStarted
    | UndoDone
    | UndoFailed
    | ProblemFound
    | RunEnded
)
EmitRunEvent = Callable[[RunEvent], None]


def ignore_event(event: RunEvent) -> None:
    """Take a typed event and do nothing."""


# -- records ----------------------------------------------------------------------------------------------------------
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
    """Return `emit`, left alone once it fails, which `broke` is told: a run does not depend on whether somebody watches
    it.
    """
    broken = False

    def emit_unless_broken(event: Event) -> None:
        nonlocal broken
        if broken:
            return
        try:
            emit(event)
        except Exception as e:
            broken = True
            broke(e)

    return emit_unless_broken
