"""Make the records of a run's events with their sentences, which name no secret and read the same in every view."""

from __future__ import annotations

from typing import Any

from kplan.kinds.connector.options import snapshots_of
from kplan.kinds.nouns import views_of, wording_of
from kplan.kinds.topic.options import reassignment_of
from kplan.model import Action, AttrDiff, Change
from kplan.model.events import (
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
from kplan.model.journal import ADOPTED_MEANWHILE
from kplan.render.wording import describe_difference, describe_differences
from kplan.text import count

PAST = {
    Action.CREATE: "added",
    Action.UPDATE: "changed",
    Action.DELETE: "deleted",
    Action.REPLACE: "replaced",
    Action.MOVE: "moved",
    Action.ADOPT: "adopted",
    Action.RELEASE: "given up",
}


# -- records ----------------------------------------------------------------------------------------------------------
def make_record(event: RunEvent) -> Event:
    """Return the record of an event: its type, its sentence, and what the views for programs have."""
    words = write_sentence(event)
    match event:
        case StepStarted(step):
            return _make_step_record("step_started", words, step)
        case ServerReported(step) | ServerAwaited(step) | LateEffectWatched(step) | LateEffectAwaited(step):
            return _make_step_record("step_progress", words, step)
        case StepDone(step, seconds):
            return _make_step_record("step_done", words, step, seconds)
        case StepSkipped(step):
            return _make_step_record("step_done", words, step)
        case StepFailed(step, seconds):
            return _make_step_record("step_failed", words, step, seconds, "error", code=event.code)
        case UndoDone(step, seconds):
            return _make_step_record("undo_done", words, step, seconds)
        case UndoFailed(step, seconds):
            return _make_step_record("undo_failed", words, step, seconds, "error")
        case RollbackStarted():
            return Event("rollback_started", words, level="warning")
        case ProblemFound():
            data = {"diagnostic": event.diagnostic}
            return Event("diagnostic", words, event.step, str(event.address or ""), "error", data=data)
        case RunEnded():
            return _make_end_record(event, words)


def _make_step_record(
    type: str, words: str, step: PlannedChange, seconds: float | None = None, level: str = "info", **more: Any
) -> Event:
    data = {"action": str(step.change.action), "total": step.total, **more}
    return Event(type, words, step.number, str(step.change.address), level, seconds, data)


def _make_end_record(event: RunEnded, words: str) -> Event:
    data = {
        "outcome": event.outcome,
        "run": event.run,
        "left": list(event.left),
        "exit_code": event.exit_code,
        "statistics": event.statistics,
        **({"forward": True} if event.purpose is Purpose.COMPLETE else {}),
    }
    level = "info" if event.exit_code == 0 else "error"
    return Event("apply_summary", words, level=level, seconds=event.seconds, data=data)


# -- sentences --------------------------------------------------------------------------------------------------------
def write_sentence(event: RunEvent) -> str:
    """Return the sentence of an event."""
    match event:
        case StepStarted(step):
            return _describe_start(step.change)
        case ServerReported():
            return event.words
        case ServerAwaited():
            return f"waiting for an answer: {event.reason}"
        case LateEffectWatched():
            return f"no answer: watched for {event.seconds:g} s, in case it still takes effect"
        case LateEffectAwaited():
            return f"waiting {event.seconds:g} s: a request of the interrupted run may still take effect"
        case StepDone(waits=True):
            return event.note
        case StepDone(step):
            words = f"{ADOPTED_MEANWHILE}: adopted" if event.adopted else _describe_done(step.change)
            return words + (f", {event.note}" if event.note else "")
        case StepSkipped():
            return "already done"
        case StepFailed():
            return f"FAILED: {event.reason}"
        case RollbackStarted():
            steps = f"{event.sent} step{'' if event.sent == 1 else 's'}"
            return f"Rolling back {event.count} of {steps} that were sent, newest first"
        case UndoDone(step):
            return _describe_undone(step.change)
        case UndoFailed():
            return f"kept: {event.reason}" if event.is_kept else event.reason
        case ProblemFound():
            return event.message
        case RunEnded():
            return _describe_end(event)


def _describe_start(change: Change) -> str:
    if reassignment_of(change) is not None:
        return "moving its replicas"
    return {
        Action.CREATE: "creating",
        Action.DELETE: "deleting",
        Action.REPLACE: "deleting, then recreating it",
        Action.MOVE: f"moving it from {change.source}",
    }.get(change.action, wording_of(change.address.kind).changing)


def _describe_done(change: Change) -> str:
    if snapshots_of(change):
        return "RUNNING"
    return (
        {
            Action.CREATE: wording_of(change.address.kind).say_created(change),
            Action.DELETE: "deleted",
            Action.REPLACE: "deleted and recreated",
            Action.MOVE: f"moved from {change.source} with its offsets",
            Action.ADOPT: "adopted",
            Action.RELEASE: "given up" if change.before is not None else "forgotten",
        }.get(change.action)
        or describe_differences(change)
        or "restarted"
    )


def _describe_undone(change: Change) -> str:
    wording = wording_of(change.address.kind)
    if change.action is Action.CREATE:
        return wording.say_creation_undone(change)
    if change.action is Action.DELETE:
        return wording.deletion_undone
    if change.action is Action.MOVE:
        return f"moved back to {change.source}"
    if words := wording.say_update_undone(change):
        return words
    reverse = [
        AttrDiff(d.path, d.after, d.before)
        for d in change.diffs
        if d.path not in views_of(change.address.kind).undo_omits
    ]
    return ", ".join(describe_difference(d) for d in reverse[:2]) or "restored"


# -- the end of a run -------------------------------------------------------------------------------------------------
def _describe_end(event: RunEnded) -> str:
    if event.earlier_outcome is not None:
        outcome = f" ({event.earlier_outcome.replace('_', ' ')})" if event.earlier_outcome else ""
        return f"Nothing to recover: the run ended on its own{outcome}."
    if event.purpose is Purpose.PUT_BACK:
        return _describe_put_back(event)
    if event.purpose is Purpose.COMPLETE:
        return _describe_completed(event)
    words = _describe_applied(event)
    retries = f"{count(event.retries, 'request')} {'was' if event.retries == 1 else 'were'} sent again"
    return f"{words} {retries}." if event.retries and words.endswith(".") else words


def _describe_applied(event: RunEnded) -> str:
    if event.outcome == "applied":
        done = [(event.actions.count(action), word) for action, word in PAST.items()]
        numbers = ", ".join(f"{n} {word}" for n, word in done if n)
        counts = f" {numbers}." if numbers else ""
        skipped = _describe_skipped(event.skipped)
        if event.skipped == event.total:
            return f"Nothing was left to do:{skipped}"
        return f"Applied {event.done} of {event.total} in {event.seconds:.1f} s.{counts}{skipped}"
    if event.outcome == "rolled_back" and not event.undone:
        return "Apply failed. Nothing was changed (verified)."
    if event.outcome == "rolled_back":
        return f"Apply failed; rolled back. Verified: {_describe_verified(event)}."
    if event.outcome == "stopped":
        return f"Apply failed and stopped, as requested. {event.done} of {event.total} steps are done and kept."
    return f"Apply failed; rollback is INCOMPLETE. {event.undone} undone, {len(event.left)} left as it is:"


def _describe_verified(event: RunEnded) -> str:
    """Return which resources are as before, and how many steps changed nothing."""
    restored = {1: "the resource is", 2: "both resources are"}.get(event.undone, f"all {event.undone} resources are")
    others = event.total - event.undone
    unchanged = f"; the other {'step' if others == 1 else f'{others} steps'} changed nothing" if others > 0 else ""
    return f"{restored} as before{unchanged}"


def _describe_put_back(event: RunEnded) -> str:
    if event.left:
        return f"Recovery is INCOMPLETE. {event.undone} undone, {len(event.left)} left as it is:"
    return f"Recovered. {count(event.undone, 'step')} undone; the run is closed."


def _describe_completed(event: RunEnded) -> str:
    if event.left:
        return f"The run is NOT completed: {count(len(event.left), 'difference')} from what it was to do:"
    skipped = _describe_skipped(event.skipped)
    return f"Completed: all {count(event.total, 'step')} of the run are done; the run is closed.{skipped}"


def _describe_skipped(skipped: int) -> str:
    """Return the sentence about steps that were done before the run came to them; empty where there are none."""
    return f" {count(skipped, 'step')} {'was' if skipped == 1 else 'were'} already done." if skipped else ""
