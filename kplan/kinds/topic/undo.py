"""What puts a change of a topic back."""

from __future__ import annotations

from kplan.model import Action, Change, Undo

PARTITIONS, FACTOR = "/partitions", "/replication_factor"


def decide_undo(change: Change) -> Undo:
    """Say how `change` is put back."""
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
    """What an undo leaves as it is: partitions, and replicas that kplan does not move itself."""
    return (PARTITIONS,) if change.reassignment else (PARTITIONS, FACTOR)
