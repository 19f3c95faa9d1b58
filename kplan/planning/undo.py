"""What puts a change back: decided when the plan is made, and a Change itself."""

from __future__ import annotations

import re
from dataclasses import replace

from kplan.model import Action, AttrDiff, Change, Connector, Secret, Target, Topic, Undo

# The Connect release that brought what an undo needs: KIP-875, KIP-980, KIP-477.
STOP_AND_OFFSETS, CREATE_STOPPED, PATCH_CONFIG = (3, 6), (3, 7), (3, 8)
PARTITIONS, FACTOR = "/partitions", "/replication_factor"


def undo_of(change: Change, target: Target) -> Undo:
    """How `change` is put back on this cluster."""
    if change.is_ledger_only:
        return Undo("record", True)
    return _of_topic(change) if change.address.kind == "topic" else _of_connector(change, _version(target))


def _of_topic(change: Change) -> Undo:
    if change.action is Action.CREATE:
        return Undo("delete_if_empty", True)
    if change.action is not Action.UPDATE:
        return Undo("none", False, "the records are gone")
    grown = [d for d in change.diffs if d.path in _kept(change)]
    if not grown:
        return Undo("restore", True)
    why = "partitions cannot be taken away" if grown[0].path == PARTITIONS else "replicas are moved by an operator"
    return Undo("restore" if len(grown) < len(change.diffs) else "none", False, why)


def _kept(change: Change) -> tuple[str, ...]:
    """What an undo leaves as it is: partitions, and replicas that kplan does not move itself."""
    return (PARTITIONS,) if change.reassignment else (PARTITIONS, FACTOR)


def _of_connector(change: Change, version: tuple[int, int]) -> Undo:
    needed = {
        Action.CREATE: STOP_AND_OFFSETS,
        Action.DELETE: CREATE_STOPPED,
        Action.REPLACE: CREATE_STOPPED,
        Action.MOVE: CREATE_STOPPED,
    }.get(change.action, (0, 0))
    if change.action is Action.UPDATE and _has_secrets(change):
        needed = PATCH_CONFIG
    if version < needed:
        return Undo("none", False, f"needs Connect {needed[0]}.{needed[1]}, this worker has {version[0]}.{version[1]}")
    if change.drops and change.action is Action.REPLACE:
        return Undo("none", False, f"{' and '.join(change.drops)} cannot be had again")
    if change.drops:
        return Undo("recreate", False, f"until it drops {' and '.join(change.drops)}")
    kind = {Action.CREATE: "delete", Action.UPDATE: "restore"}.get(change.action, "recreate")
    lost = [d.key for d in change.diffs if isinstance(d.before, Secret)]
    if change.action in (Action.DELETE, Action.REPLACE) and isinstance(change.before, Connector):
        lost = list(change.before.secrets)
    why = f"after a crash the previous {', '.join(lost)} must be given again, for it is stored nowhere" if lost else ""
    return Undo(kind, True, why)


def _has_secrets(change: Change) -> bool:
    return isinstance(change.before, Connector) and bool(change.before.secrets)


def _version(target: Target) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", target.connect_version)
    return (int(match.group(1)), int(match.group(2))) if match else (99, 0)


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
        return replace(back, after=stays, diffs=tuple(d for d in back.diffs if d.path not in _kept(change)))
    return back
