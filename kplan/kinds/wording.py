"""The words for changes of one kind: how they are undone, and what a run does."""

from __future__ import annotations

from typing import Protocol

from kplan.model import Change


class Wording(Protocol):
    """How changes of one kind are put into words; a kind inherits it, and overrides what is different."""

    changing: str = "updating it"  # while an update runs
    creation_undo: str = "delete it"
    deletion_undo: str = "recreate it"
    update_undo: str = ""  # empty: each restored attribute with its value
    deletion_undone: str = "recreated"

    def say_created(self, change: Change) -> str:
        return "created, read back"

    def say_creation_undone(self, change: Change) -> str:
        return "deleted"

    def say_update_undone(self, change: Change) -> str:
        """Return what was put back; empty where the attributes with their values say it."""
        return ""
