"""What puts a change back: decided when the plan is made, and a Change itself."""

from __future__ import annotations

from dataclasses import replace

from kplan.kinds.registry import consequences_of
from kplan.model import NO_OPTIONS, Action, AttrDiff, Change, Target, Undo


def decide_undo(change: Change, target: Target) -> Undo:
    """Say how `change` is put back on this cluster."""
    if change.is_ledger_only:
        return Undo("record", True)
    return consequences_of(change).decide_undo(change, target)


def inverse(change: Change) -> Change | None:
    """Return the change that puts `change` back; None where nothing can be sent."""
    if change.is_ledger_only or change.undo.kind == "none":
        return None
    back = replace(
        change,
        before=change.after,
        after=change.before,
        risks=(),
        needs=frozenset(),
        reason="undo",
        diffs=tuple(AttrDiff(d.path, d.after, d.before, "stack") for d in change.diffs),
        options=replace(NO_OPTIONS, effects=change.options.effects, verified=change.options.verified),
    )
    if change.action is Action.CREATE:
        back = replace(back, action=Action.DELETE)
    elif change.action is Action.DELETE:
        back = replace(back, action=Action.CREATE)
    elif change.source is not None:
        back = replace(back, address=change.source)
    return consequences_of(change).complete_undo(change, back)
