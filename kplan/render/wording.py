"""The sentences of an apply. They name no secret and read the same in every view."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kplan.kinds.connector.options import keeps_offsets, snapshots_of
from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.options import reassignment_of
from kplan.model import Action, AttrDiff, Change, Connector, Secret, Topic
from kplan.text import count

if TYPE_CHECKING:
    from kplan.execution.run import Result
    from kplan.planning.document import Plan

SIGNS = {
    Action.CREATE: "+",
    Action.UPDATE: "~",
    Action.DELETE: "-",
    Action.REPLACE: "±",
    Action.MOVE: ">",
    Action.ADOPT: "=",
    Action.RELEASE: "o",
}


PAST = {
    Action.CREATE: "added",
    Action.UPDATE: "changed",
    Action.DELETE: "deleted",
    Action.REPLACE: "replaced",
    Action.MOVE: "moved",
    Action.ADOPT: "adopted",
    Action.RELEASE: "given up",
}


def value(key: str, raw: object) -> str:
    """A value for people, with its unit: `86400000 (1d)`."""
    if raw is None:
        return "(unset)"
    if isinstance(raw, Secret):
        return "(sensitive)"
    text = str(raw).lower() if isinstance(raw, bool) else str(raw)
    human = catalog.human(key, text) if key in catalog.CONFIGS else ""
    return f"{text} ({human})" if human else text


def short(key: str, raw: object) -> str:
    """A value in the fewest words: `1d`."""
    text = value(key, raw)
    human = text.rpartition("(")[2].rstrip(")")
    return human if text.endswith(")") and not text.startswith("(") else text


def differences(change: Change, most: int = 2) -> str:
    """The first differences in words, and how many more there are."""
    shown = [_one(diff) for diff in change.diffs[:most]]
    more = len(change.diffs) - most
    return ", ".join(shown) + (f", {more} more" if more > 0 else "")


def _one(diff: AttrDiff) -> str:
    if diff.sensitive:
        return f"{diff.key} (sensitive)"
    before, after = short(diff.key, diff.before), short(diff.key, diff.after)
    return f"{diff.key} {before} -> {after}" if len(before) + len(after) < 60 else diff.key


def doing(change: Change) -> str:
    kind = change.address.kind
    if reassignment_of(change) is not None:
        return "moving its replicas"
    return {
        Action.CREATE: "creating",
        Action.DELETE: "deleting",
        Action.REPLACE: "deleting, then making it anew",
        Action.MOVE: f"moving it from {change.source}",
    }.get(change.action, "changing its config" if kind == "topic" else "updating it")


def done(change: Change) -> str:
    running = change.after.state.upper() if isinstance(change.after, Connector) else ""
    made = f"created, {running}" if running else "created, read back"
    if snapshots_of(change):
        return "RUNNING"
    return (
        {
            Action.CREATE: made,
            Action.DELETE: "deleted",
            Action.REPLACE: "deleted and made anew",
            Action.MOVE: f"moved from {change.source} with its offsets",
            Action.ADOPT: "adopted",
            Action.RELEASE: "given up" if change.before is not None else "forgotten",
        }.get(change.action)
        or differences(change)
        or "restarted"
    )


ADOPTED_MEANWHILE = "created by another client meanwhile, exactly as planned"


def adopted_meanwhile() -> str:
    """What an apply says of a topic that it did not need to create."""
    return f"{ADOPTED_MEANWHILE}: adopted"


def undone(change: Change) -> str:
    if change.action is Action.CREATE:
        if isinstance(change.after, Topic):
            return "empty, deleted"
        return "deleted; its offsets stay" if keeps_offsets(change) else "deleted, with its offsets"
    if change.action is Action.DELETE:
        return "made again, with its offsets"
    if change.action is Action.MOVE:
        return f"moved back to {change.source}"
    if isinstance(change.after, Connector):
        return "previous config and state put back"
    if reassignment_of(change) is not None:
        return "replicas are where they were, in sync"
    reverse = [AttrDiff(d.path, d.after, d.before) for d in change.diffs if d.path.startswith("/config/")]
    return ", ".join(_one(d) for d in reverse[:2]) or "put back"


def rolling_back(count: int, sent: int) -> str:
    return f"Rolling back {count} of {sent} step{'' if sent == 1 else 's'} that were sent, newest first"


def summary(result: Result, plan: Plan) -> str:
    """The last sentences of an apply."""
    said = _summary(result, plan)
    again = f"{count(result.retries, 'request')} {'was' if result.retries == 1 else 'were'} sent again"
    return f"{said} {again}." if result.retries and said.endswith(".") else said


def _summary(result: Result, plan: Plan) -> str:
    if result.outcome == "applied":
        done = [(result.actions.count(action), word) for action, word in PAST.items()]
        numbers = ", ".join(f"{n} {word}" for n, word in done if n)
        said = f" {numbers}." if numbers else ""
        so = _so_already(result.skipped)
        if result.skipped == len(plan.steps):
            return f"Nothing was left to do:{so}"
        return f"Applied {result.done} of {len(plan.steps)} in {result.seconds:.1f} s.{said}{so}"
    if result.outcome == "rolled_back" and not result.undone:
        return "Apply failed; nothing was changed by it, and that was read again."
    if result.outcome == "rolled_back":
        never = len(plan.steps) - result.undone
        rest = f" {count(never, 'step')} left no trace." if never > 0 else ""
        return (
            f"Apply failed; rolled back. Read again: {result.undone} of {result.undone} resources are as before.{rest}"
        )
    if result.outcome == "stopped":
        return f"Apply failed and stopped, as asked. {result.done} of {len(plan.steps)} steps are done and stay."
    return f"Apply failed; rollback is INCOMPLETE. {result.undone} undone, {len(result.left)} left as it is:"


def watching(seconds: float) -> str:
    return f"not answered: watched for {seconds:g} s, in case it still takes effect"


def waiting(seconds: float) -> str:
    return f"waiting {seconds:g} s: a request of the interrupted run may still take effect"


def awaiting(why: str) -> str:
    return f"waiting for an answer: {why}"


def recovered(result: Result, plan: Plan) -> str:
    """The last sentence of a recovery that puts back."""
    if result.left:
        return f"Recovery is INCOMPLETE. {result.undone} undone, {len(result.left)} left as it is:"
    return f"Recovered. {count(result.undone, 'step')} put back; the run is closed."


def ended_meanwhile(outcome: str) -> str:
    """The last sentence where there was nothing to recover any more."""
    how = f" ({outcome.replace('_', ' ')})" if outcome else ""
    return f"Nothing to recover: the run has ended by itself{how}."


def completed(result: Result, plan: Plan) -> str:
    """The last sentence of a recovery that completes."""
    if result.left:
        return f"The run is NOT completed: {count(len(result.left), 'difference')} to what it was to do:"
    so = _so_already(result.skipped)
    return f"Completed: all {count(len(plan.steps), 'step')} of the run are done, and it is closed.{so}"


def _so_already(skipped: int) -> str:
    """The sentence about steps that were done before the run came to them; empty where there are none."""
    return f" {count(skipped, 'step')} {'was' if skipped == 1 else 'were'} so already." if skipped else ""
