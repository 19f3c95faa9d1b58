"""How changes of subjects are put into words."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any

from kplan.kinds.subject.comparison import LEVEL, SCHEMA, VERSIONS
from kplan.kinds.subject.subject import Subject
from kplan.kinds.wording import Wording
from kplan.model import Change


class SubjectWording(Wording):
    changing = "registering it"
    creation_undo = "delete it (soft)"
    deletion_undo = "register it again"
    deletion_undone = "registered again"

    def say_creation_undo(self, made: Mapping[str, Any]) -> str:
        return self.creation_undo if made.get("sha256") else "give it the registry's level again"

    def say_deletion_undo(self, deleted: Mapping[str, Any]) -> str:
        return self.deletion_undo if deleted.get("sha256") else "set the level again"

    def say_update_undo(self, paths: Collection[str]) -> str:
        if VERSIONS in paths:
            return "register these schemas again: with the same ids, and other version numbers"
        if SCHEMA not in paths:
            return ""
        return "delete the new version (soft)" + (", restore the level" if LEVEL in paths else "")

    def say_created(self, change: Change) -> str:
        is_level = isinstance(change.after, Subject) and change.after.is_level_only
        return "level set, read back" if is_level else "registered, read back"

    def say_creation_undone(self, change: Change) -> str:
        return "deleted (soft)"

    def say_update_undone(self, change: Change) -> str:
        is_schema = any(diff.path == SCHEMA for diff in change.diffs)
        return "its new version is deleted (soft)" if is_schema else ""
