"""The words for changes of one kind: how they are undone, and what a run does."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, Protocol

from kplan.model import Change


class Wording(Protocol):
    """How changes of one kind are put into words; a kind inherits it, and overrides what is different."""

    changing: str = "updating it"  # while an update runs
    creation_undo: str = "delete it"
    deletion_undo: str = "recreate it"
    deletion_undone: str = "recreated"

    def say_creation_undo(self, made: Mapping[str, Any]) -> str:
        """Return how a creation is undone; `made` is the encoding of the resource."""
        return self.creation_undo

    def say_deletion_undo(self, deleted: Mapping[str, Any]) -> str:
        """Return how a deletion is undone; `deleted` is the encoding of the resource."""
        return self.deletion_undo

    def say_update_undo(self, paths: Collection[str]) -> str:
        """Return how an update of these attributes is undone; empty where the attributes with their values say it."""
        return ""

    def say_created(self, change: Change) -> str:
        return "created, read back"

    def say_creation_undone(self, change: Change) -> str:
        return "deleted"

    def say_update_undone(self, change: Change) -> str:
        """Return what was put back; empty where the attributes with their values say it."""
        return ""
