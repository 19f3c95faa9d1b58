"""What puts a change back: decided when the plan is made, and a Change itself."""

from __future__ import annotations

from dataclasses import replace

from kplan.kinds.connector import undo as connectors
from kplan.kinds.topic import undo as topics
from kplan.model import Action, AttrDiff, Change, Target, Topic, Undo


def undo_of(change: Change, target: Target) -> Undo:
    """How `change` is put back on this cluster."""
    if change.is_ledger_only:
        return Undo("record", True)
    return topics.decide_undo(change) if change.address.kind == "topic" else connectors.decide_undo(change, target)


def inverse(change: Change) -> Change | None:
    """The change that puts `change` back; None where nothing can be sent."""
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
        snapshots=(),
        topic_id="",
        stops=change.snapshots,
        reassignment=change.reassignment.back if change.reassignment else None,
    )
    if change.action is Action.CREATE:
        return replace(back, action=Action.DELETE, if_empty=isinstance(change.after, Topic))
    if change.action is Action.DELETE:
        return replace(back, action=Action.CREATE)
    if change.action is Action.MOVE and change.source is not None:
        return replace(back, address=change.source, source=change.address)
    if isinstance(change.after, Topic) and isinstance(change.before, Topic):
        factor = change.before if change.reassignment else change.after
        stays = replace(change.before, partitions=change.after.partitions, replication_factor=factor.replication_factor)
        return replace(back, after=stays, diffs=tuple(d for d in back.diffs if d.path not in topics.kept_paths(change)))
    return back
