"""Two states of a quota, compared key by key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kplan.kinds.comparison import Blocker, Compared, Comparison, Differing, Value, find_cause
from kplan.kinds.quota.quota import Quota
from kplan.model import Action, Address, AttrDiff, Change, Secret

LIMIT = "/limits/"


class QuotaComparison(Comparison[Quota]):
    """A key that the stack does not name is left alone, unless an apply of this stack set it."""

    def attributes(self, quota: Quota) -> Mapping[str, Value]:
        return {LIMIT + key: tell(value) for key, value in quota.values.items()}

    def read_attribute(self, quota: Quota, path: str) -> Value:
        return tell(quota.values.get(path.removeprefix(LIMIT)))

    def is_same(self, path: str, one: Value, other: Value) -> bool:
        return one == other

    def uses(self, quota: Quota) -> frozenset[Address]:
        return frozenset()

    def compare(self, declared: Quota, live: Quota, applied: Quota | None) -> Compared:
        diffs: list[AttrDiff] = []
        unchanged = 0
        old = applied.values if applied else {}
        for key in sorted((declared.values.keys() | (live.values.keys() & old.keys())) - declared.rules.ignore):
            wanted, present = tell(declared.values.get(key)), tell(live.values.get(key))
            if wanted == present:
                unchanged += 1
            else:
                cause = find_cause(wanted, present, tell(old.get(key)), applied is not None)
                diffs.append(AttrDiff(LIMIT + key, present, wanted, cause))
        unmanaged = tuple(sorted(live.values.keys() - declared.values.keys() - old.keys()))
        return Compared(tuple(diffs), unmanaged, unchanged)

    def find_differing(self, then: Quota, now: Quota) -> list[Differing]:
        return [
            (LIMIT + key, tell(value), tell(now.values.get(key)))
            for key, value in sorted(then.values.items())
            if value != now.values.get(key)
        ]

    def find_set_since(self, change: Change, now: Quota) -> list[str]:
        new = (diff.path for diff in change.diffs if diff.before is None)
        return [path for path in new if path.removeprefix(LIMIT) in now.values]

    def is_anothers(self, change: Change, now: Quota) -> bool:
        if change.action is Action.REPLACE:
            return False
        after, before = change.after, change.before
        wanted = {path for path, _, _ in self.find_differing(after, now)} if isinstance(after, Quota) else set()
        had = {path for path, _, _ in self.find_differing(before, now)} if isinstance(before, Quota) else wanted
        return bool(wanted & had)

    def find_blocker(self, declared: Quota, live: Quota, diff: AttrDiff) -> Blocker | None:
        return None

    def secrets(self, quota: Quota) -> Mapping[str, Secret]:
        return {}

    def with_values(self, quota: Quota, values: Mapping[str, Any]) -> Quota:
        limits = {path.removeprefix(LIMIT): value for path, value in values.items() if path.startswith(LIMIT)}
        return replace(quota, values={**quota.values, **{key: float(value) for key, value in limits.items()}})


def tell(value: float | None) -> Value:
    """Return a number as views and documents show it: 1048576, 12.5."""
    if value is None:
        return None
    return int(value) if value == int(value) else str(value)
