"""Put subjects back: delete what a run registered, register again what it deleted, and set the earlier level."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import lru_cache
from typing import Any, Final

from kplan.kinds.subject.schemas import fingerprint
from kplan.kinds.subject.subject import NONE, Subject
from kplan.model import Change
from kplan.servers.base import Outcome
from kplan.servers.registry.api import RegisteredSchema, Registry
from kplan.values import dataclass

NEWER: Final = "another client has registered a newer version"
compute_fingerprint = lru_cache(maxsize=4096)(fingerprint)


@dataclass(frozen=True, slots=True)
class Restoring:
    """Undoes changes on `registry`; `resolve` returns a schema with the versions of its references."""

    registry: Registry
    resolve: Callable[[Subject], RegisteredSchema]

    def undo(self, subject: str, change: Change, captured: Mapping[str, Any]) -> Outcome:
        """Bring the subject to what was captured: register what was deleted, and delete what was registered."""
        present = self.registry.list_versions(subject)
        had = captured.get("versions", [])
        kept = ""
        if captured.get("restore"):
            self._register_ids(subject, captured.get("schemas", ()), present)
        elif not is_level_only(change):
            deleted = captured.get("deleted", ())
            new = self._find_new(subject, [number for number in present if number not in had], deleted)
            kept = self._delete_own(subject, change, new) if new else ""
            if deleted and not kept:
                self._register_ids(subject, deleted, self.registry.list_versions(subject))
        level = captured.get("level")
        if not kept and self.registry.read_level(subject) != level:
            set_level(self.registry, subject, level)
        return Outcome(kept=kept)

    def _find_new(self, subject: str, numbers: Sequence[int], deleted: Sequence[int]) -> list[int]:
        """Return those of the numbers that are not of schemas which an earlier undo has registered again."""
        if not deleted:
            return list(numbers)
        found = {number: self.registry.read_version(subject, number) for number in numbers}
        return [number for number, schema in found.items() if schema is None or schema.id not in deleted]

    def _register_ids(self, subject: str, ids: Sequence[int], present: Sequence[int]) -> None:
        """Add those schemas again that are not `present` as versions: an earlier undo may have added some.

        They keep their ids, and get other version numbers.
        """
        there = {schema.id for number in present if (schema := self.registry.read_version(subject, number)) is not None}
        missing = [schema_id for schema_id in ids if schema_id not in there]
        for schema_id in missing:
            if schema_id != ids[0]:
                self.registry.set_level(subject, NONE)  # each was accepted once, by the level of its time
            self.registry.register(subject, self.registry.read_schema(schema_id))

    def _delete_own(self, subject: str, change: Change, new: Sequence[int]) -> str:
        """Delete the version that this run registered; return why it stays, if another one came after it."""
        latest = self.registry.read_version(subject)
        made = change.before
        if len(new) > 1 or latest is None or not isinstance(made, Subject):
            return NEWER
        is_own = compute_fingerprint(latest.schema_type, latest.text) == made.fingerprint
        if not is_own and made.text:
            found = self.registry.find(subject, self.resolve(made))
            is_own = found is not None and found.version == new[0]
        if not is_own:
            return NEWER
        self.registry.delete_version(subject, new[0])
        return ""


def set_level(registry: Registry, subject: str, level: str | None) -> None:
    """Give the subject this level; None: the registry's."""
    if level is None:
        registry.delete_level(subject)
    else:
        registry.set_level(subject, level)


def is_level_only(change: Change) -> bool:
    """Whether the change is about a level alone."""
    states = [state for state in (change.before, change.after) if isinstance(state, Subject)]
    return all(state.is_level_only for state in states)
