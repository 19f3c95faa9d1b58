"""What puts a change of a connector back."""

from __future__ import annotations

import re
from dataclasses import replace

from kplan.diagnostics import codes
from kplan.kinds.connector.names import alias_of
from kplan.kinds.connector.options import connector_options, drops_of
from kplan.model import Action, Change, Connector, Secret, Target, Undo

# The Connect release that brought what an undo needs: KIP-875, KIP-980, KIP-477.
STOP_AND_OFFSETS, CREATE_STOPPED, PATCH_CONFIG = (3, 6), (3, 7), (3, 8)


def decide_undo(change: Change, target: Target) -> Undo:
    """Say how `change`, whose risks are known, is put back by the worker of `target`."""
    version = _version(target, change)
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
    if drops_of(change) and change.action is Action.REPLACE:
        return Undo("none", False, f"{' and '.join(drops_of(change))} cannot be had again")
    if drops_of(change):
        return Undo("recreate", False, f"until it drops {' and '.join(drops_of(change))}")
    if change.action is Action.CREATE and any(risk.code == codes.K420.number for risk in change.risks):
        return Undo("delete", True, "its offsets stay, as they are then")
    kind = {Action.CREATE: "delete", Action.UPDATE: "restore"}.get(change.action, "recreate")
    lost = [d.key for d in change.diffs if isinstance(d.before, Secret)]
    if change.action in (Action.DELETE, Action.REPLACE) and isinstance(change.before, Connector):
        lost = list(change.before.secrets)
    why = f"after a crash give the previous {', '.join(lost)} again: it is not stored" if lost else ""
    return Undo(kind, True, why)


def _has_secrets(change: Change) -> bool:
    return isinstance(change.before, Connector) and bool(change.before.secrets)


def _version(target: Target, change: Change) -> tuple[int, int]:
    match = re.match(r"(\d+)\.(\d+)", target.find_connect(alias_of(change.address.name))[1])
    return (int(match.group(1)), int(match.group(2))) if match else (99, 0)


def complete_undo(change: Change, back: Change) -> Change:
    """Return `back` as it can be sent: the snapshots of new tables are ended before."""
    options = connector_options(change)
    return replace(back, options=replace(options, snapshots=(), stops=options.snapshots))
