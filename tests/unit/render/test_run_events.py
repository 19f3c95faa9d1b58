"""Each event of a run has a record with its sentence, and the last sentence reads well, whatever was done before it."""

from __future__ import annotations

from typing import get_args

import pytest

from kplan.diagnostics import codes, error
from kplan.model import Action, Address, Change
from kplan.model.events import (
    TYPES,
    Event,
    LateEffectAwaited,
    LateEffectWatched,
    PlannedChange,
    ProblemFound,
    Purpose,
    RollbackStarted,
    RunEnded,
    RunEvent,
    ServerAwaited,
    ServerReported,
    StepDone,
    StepFailed,
    StepSkipped,
    StepStarted,
    UndoDone,
    UndoFailed,
)
from kplan.render.run_events import make_record, write_sentence

TOPIC = Address("topic", "a")
STEP = PlannedChange(2, 3, Change(TOPIC, Action.CREATE))
ABOUT = {"action": "create", "total": 3}
PROBLEM = error(codes.K513, "s", "it is missing", address=TOPIC)
END = {"outcome": "incomplete", "run": "r", "left": ["topic/a: is not as before"], "exit_code": 8, "statistics": {}}


def ended(outcome: str, *, done: int = 0, skipped: int = 0, actions: tuple[Action, ...] = (),
          seconds: float = 0.0) -> RunEnded:  # fmt: skip
    return RunEnded(Purpose.APPLY, "r", outcome, 0, done + skipped, done, skipped, actions, seconds=seconds)


@pytest.mark.parametrize(("event", "said"), [
    (ended("applied", skipped=1), "Nothing was left to do: 1 step was already done."),
    (ended("applied", skipped=3), "Nothing was left to do: 3 steps were already done."),
    (ended("applied", done=2, skipped=1, actions=(Action.CREATE, Action.UPDATE), seconds=1.0),
     "Applied 2 of 3 in 1.0 s. 1 added, 1 changed. 1 step was already done."),
    (ended("applied", done=1, actions=(Action.ADOPT,), seconds=1.0), "Applied 1 of 1 in 1.0 s. 1 adopted."),
])  # fmt: skip
def test_what_was_so_already_is_a_sentence(event: RunEnded, said: str) -> None:
    assert write_sentence(event) == said


RECORDS: list[tuple[RunEvent, Event]] = [
    (StepStarted(STEP), Event("step_started", "creating", 2, "topic/a", data=ABOUT)),
    (ServerReported(STEP, "1 of 3"), Event("step_progress", "1 of 3", 2, "topic/a", data=ABOUT)),
    (ServerAwaited(STEP, "no"), Event("step_progress", "waiting for an answer: no", 2, "topic/a", data=ABOUT)),
    (LateEffectWatched(STEP, 30.0), Event(
        "step_progress", "no answer: watched for 30 s, in case it still takes effect", 2, "topic/a", data=ABOUT)),
    (LateEffectAwaited(STEP, 1.5), Event(
        "step_progress", "waiting 1.5 s: a request of the interrupted run may still take effect", 2, "topic/a",
        data=ABOUT)),
    (StepDone(STEP, 1.0, note="as x"), Event(
        "step_done", "created, read back, as x", 2, "topic/a", "info", 1.0, ABOUT)),
    (StepDone(STEP, 1.0, adopted=True), Event(
        "step_done", "created by another client meanwhile, exactly as planned: adopted", 2, "topic/a", "info", 1.0,
        ABOUT)),
    (StepSkipped(STEP), Event("step_done", "already done", 2, "topic/a", data=ABOUT)),
    (StepFailed(STEP, 1.0, "no", "K301"), Event(
        "step_failed", "FAILED: no", 2, "topic/a", "error", 1.0, {**ABOUT, "code": "K301"})),
    (RollbackStarted(1, 2), Event(
        "rollback_started", "Rolling back 1 of 2 steps that were sent, newest first", level="warning")),
    (UndoDone(STEP, 1.0), Event("undo_done", "empty, deleted", 2, "topic/a", "info", 1.0, ABOUT)),
    (UndoFailed(STEP, 1.0, "records", is_kept=True), Event(
        "undo_failed", "kept: records", 2, "topic/a", "error", 1.0, ABOUT)),
    (ProblemFound(PROBLEM, "it is missing", 2, TOPIC), Event(
        "diagnostic", "it is missing", 2, "topic/a", "error", data={"diagnostic": PROBLEM})),
    (RunEnded(Purpose.COMPLETE, "r", "incomplete", 8, 3, left=("topic/a: is not as before",)), Event(
        "apply_summary", "The run is NOT completed: 1 difference from what it was to do:", 0, "", "error", 0.0,
        {**END, "forward": True})),
    (RunEnded(Purpose.PUT_BACK, "r", "incomplete", 8, 3, left=("topic/a: is not as before",)), Event(
        "apply_summary", "Recovery is INCOMPLETE. 0 undone, 1 left as it is:", 0, "", "error", 0.0, END)),
]  # fmt: skip


@pytest.mark.parametrize(("event", "record"), RECORDS)
def test_an_event_has_its_record(event: RunEvent, record: Event) -> None:
    made = make_record(event)
    assert type(made.data) is dict
    assert (made, list(made.data)) == (record, list(record.data))
    assert made.type in TYPES


def test_every_event_has_a_record() -> None:
    assert {type(event) for event, _ in RECORDS} == set(get_args(RunEvent))


def test_a_run_that_ended_by_itself_is_named_with_its_end() -> None:
    event = RunEnded(Purpose.PUT_BACK, "r", "recovered", 0, 1, earlier_outcome="rolled_back")
    assert write_sentence(event) == "Nothing to recover: the run ended on its own (rolled back)."
