"""Two states of a subject, compared: its latest schema by what the registry takes for the same, and its level."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from kplan.kinds.comparison import Blocker, Compared, Comparison, Differing, Value, find_cause
from kplan.kinds.subject.subject import Reference, Subject, name_subject
from kplan.model import Action, Address, AttrDiff, Change, Secret

SCHEMA, TYPE, REFERENCES, LEVEL, FIELD = "/schema", "/type", "/references", "/level", "/fields/"
VERSIONS = "/versions"  # that are deleted, while the subject stays


class SubjectComparison(Comparison[Subject]):
    """A subject that the stack gives no level keeps the one it has, unless an apply of this stack set it."""

    def attributes(self, subject: Subject) -> Mapping[str, Value]:
        values: dict[str, Value] = {LEVEL: subject.level}
        if subject.fingerprint:
            values |= {SCHEMA: name_schema(subject), TYPE: subject.schema_type}
        if subject.references:
            values[REFERENCES] = describe_references(subject.references)
        return {path: value for path, value in values.items() if value is not None}

    def read_attribute(self, subject: Subject, path: str) -> Value:
        return self.attributes(subject).get(path)

    def is_same(self, path: str, one: Value, other: Value) -> bool:
        return one == other

    def uses(self, subject: Subject) -> frozenset[Address]:
        return frozenset(Address(Subject.kind, name_subject(each.subject)) for each in subject.references)

    def compare(self, declared: Subject, live: Subject, applied: Subject | None) -> Compared:
        diffs: list[AttrDiff] = []
        unchanged = 0
        if declared.fingerprint and not is_registered(declared, live):
            cause = find_cause(
                declared.fingerprint, live.fingerprint, applied.fingerprint if applied else None, applied is not None
            )
            diffs.append(AttrDiff(SCHEMA, name_schema(live), name_schema(declared), cause))
            if live.schema_type and live.schema_type != declared.schema_type:
                diffs.append(AttrDiff(TYPE, live.schema_type, declared.schema_type, cause))
            if _differ(declared.references, live.references):
                before = describe_references(live.references) or None
                diffs.append(AttrDiff(REFERENCES, before, describe_references(declared.references) or None, cause))
            diffs += _compare_fields(live, declared, cause)
        elif declared.fingerprint:
            unchanged += 1
        if live.unwanted:
            diffs.append(AttrDiff(VERSIONS, ", ".join(map(str, live.unwanted)), None))
        is_ours = declared.level is not None or (applied is not None and applied.level is not None)
        if not is_ours or "level" in declared.rules.ignore or declared.level == live.level:
            unchanged += is_ours
        else:
            old = applied.level if applied else None
            diffs.append(
                AttrDiff(LEVEL, live.level, declared.level, find_cause(declared.level, live.level, old, bool(applied)))
            )
        unmanaged = (f"level {live.level}",) if live.level is not None and not is_ours else ()
        return Compared(tuple(diffs), unmanaged, unchanged)

    def view_as(self, live: Subject, states: Sequence[Subject]) -> Subject | None:
        if not states or any(not state.is_level_only for state in states):
            return None if live.is_level_only and states else live
        return None if live.level is None else Subject(live.name, level=live.level)

    def find_differing(self, then: Subject, now: Subject) -> list[Differing]:
        differing: list[Differing] = []
        if then.fingerprint and not is_same_schema(then, now):
            differing.append((SCHEMA, name_schema(then), name_schema(now)))
        if then.version is None and now.unwanted:  # a declared state; a live one has its version, and these with it
            differing.append((VERSIONS, None, ", ".join(map(str, now.unwanted))))
        if then.level is not None and then.level != now.level:
            differing.append((LEVEL, then.level, now.level))
        return differing

    def find_set_since(self, change: Change, now: Subject) -> list[str]:
        return [d.path for d in change.diffs if d.path == LEVEL and d.before is None and now.level is not None]

    def is_anothers(self, change: Change, now: Subject) -> bool:
        if change.action is Action.REPLACE:
            return False
        after, before = change.after, change.before
        wanted = {path for path, _, _ in self.find_differing(after, now)} if isinstance(after, Subject) else set()
        had = {path for path, _, _ in self.find_differing(before, now)} if isinstance(before, Subject) else wanted
        return bool(wanted & had)

    def find_blocker(self, declared: Subject, live: Subject, diff: AttrDiff) -> Blocker | None:
        return None

    def secrets(self, subject: Subject) -> Mapping[str, Secret]:
        return {}

    def with_values(self, subject: Subject, values: Mapping[str, Any]) -> Subject:
        return replace(subject, level=values.get(LEVEL, subject.level))


def is_same_schema(one: Subject, other: Subject) -> bool:
    """Whether the registry takes the schema of one for that of the other; one of the two is live."""
    is_known = one.fingerprint == other.fingerprint or one.fingerprint in other.equals
    return (is_known or other.fingerprint in one.equals) and not _differ(one.references, other.references)


def is_registered(declared: Subject, live: Subject) -> bool:
    """Whether the schema is that of a live version, which need not be the latest: a warning says so then."""
    return is_same_schema(declared, live) or declared.fingerprint in live.earlier


def _differ(declared: tuple[Reference, ...], live: tuple[Reference, ...]) -> bool:
    """Whether the references differ, in the version only where both give one."""
    here, there = ({each.name: each for each in references} for references in (declared, live))
    return here.keys() != there.keys() or any(
        each.subject != there[name].subject
        or (None not in (each.version, there[name].version) and each.version != there[name].version)
        for name, each in here.items()
    )


def name_schema(subject: Subject) -> str | None:
    """Return a schema as views and documents name it: by its version, and the start of its fingerprint."""
    version = f"version {subject.version}, " if subject.version is not None else ""
    return f"{version}sha256 {subject.fingerprint[:8]}" if subject.fingerprint else None


def describe_references(references: tuple[Reference, ...]) -> str:
    """Return `common.address 3, common.money`."""
    return ", ".join(f"{each.subject} {each.version}" if each.version else each.subject for each in references)


def _compare_fields(live: Subject, declared: Subject, cause: str) -> list[AttrDiff]:
    """Return what changes field by field, where both texts are known and of one type."""
    if not live.text or not declared.text or live.schema_type != declared.schema_type:
        return []
    from kplan.kinds.subject.fields import compare_fields

    changes = compare_fields(declared.schema_type, live.text, declared.text)
    return [AttrDiff(f"{FIELD}{each.path}", each.before, each.after, cause) for each in changes]
