"""How changes of connectors are put into words."""

from __future__ import annotations

from collections.abc import Collection

from kplan.kinds.connector.options import keeps_offsets
from kplan.kinds.wording import Wording
from kplan.model import Change, Connector


class ConnectorWording(Wording):
    creation_undo = "delete it, and its offsets"
    deletion_undo = "recreate it with its offsets and state"
    deletion_undone = "recreated, with its offsets"

    def say_update_undo(self, paths: Collection[str]) -> str:
        return "restore the previous config and state, wait for RUNNING"

    def say_created(self, change: Change) -> str:
        state = change.after.state.upper() if isinstance(change.after, Connector) else ""
        return f"created, {state}" if state else super().say_created(change)

    def say_creation_undone(self, change: Change) -> str:
        return "deleted; its offsets stay" if keeps_offsets(change) else "deleted, with its offsets"

    def say_update_undone(self, change: Change) -> str:
        return "previous config and state restored"
