"""What puts a change of a topic back."""

from __future__ import annotations

from dataclasses import replace

from kplan.diagnostics import codes
from kplan.kinds.topic.options import TopicOptions, reassignment_of, topic_options
from kplan.model import Action, Change, Topic, Undo

LOSSES = (codes.K405.number, codes.K406.number)  # risks of changes that let the brokers delete records
PARTITIONS, FACTOR = "/partitions", "/replication_factor"


def decide_undo(change: Change) -> Undo:
    """Say how `change`, whose risks are known, is put back."""
    undo = _decide_plain_undo(change)
    if any(risk.code in LOSSES for risk in change.risks):
        why = "; ".join(filter(None, (undo.why, "records that are deleted meanwhile stay deleted")))
        return Undo("restore", False, why)
    if topic_options(change).if_empty and change.action is Action.DELETE:
        return replace(undo, why="it is empty and will not be recreated")
    return undo


def _decide_plain_undo(change: Change) -> Undo:
    if change.action is Action.CREATE:
        return Undo("delete_if_empty", True)
    if change.action is not Action.UPDATE:
        return Undo("none", False, "the records are gone")
    grown = [d for d in change.diffs if d.path in kept_paths(change)]
    if not grown:
        return Undo("restore", True)
    why = "partitions cannot be taken away" if grown[0].path == PARTITIONS else "replicas are moved by an operator"
    return Undo("restore" if len(grown) < len(change.diffs) else "none", False, why)


def kept_paths(change: Change) -> tuple[str, ...]:
    """Return what an undo leaves as it is: partitions, and replicas that kplan does not move itself."""
    return (PARTITIONS,) if reassignment_of(change) else (PARTITIONS, FACTOR)


def complete_undo(change: Change, back: Change) -> Change:
    """Return `back` as it can be sent: a new topic is deleted while it is empty, and partitions are not removed."""
    moved = reassignment_of(change)
    options = TopicOptions(
        back.options.effects,
        back.options.verified,
        if_empty=change.action is Action.CREATE,
        reassignment=moved.back if moved else None,
    )
    back = replace(back, options=options)
    if not isinstance(change.after, Topic) or not isinstance(change.before, Topic):
        return back
    factor = change.before if moved else change.after
    kept = replace(change.before, partitions=change.after.partitions, replication_factor=factor.replication_factor)
    return replace(back, after=kept, diffs=tuple(d for d in back.diffs if d.path not in kept_paths(change)))
