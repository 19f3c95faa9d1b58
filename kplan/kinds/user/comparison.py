"""Two states of a user, compared. No broker tells a password: a login shows it, or the digest of the last apply."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kplan.kinds.comparison import Blocker, Compared, Comparison, Differing, Value, find_cause
from kplan.kinds.user.user import ScramUser
from kplan.model import Action, Address, AttrDiff, Change, Secret

PASSWORD, PREVIOUS, MECHANISM, ITERATIONS = "/password", "/previous_password", "/mechanisms/", "/iterations"
UNTOLD = Secret()  # a password that is there, and of which nothing is known


class UserComparison(Comparison[ScramUser]):
    """A mechanism that the stack does not name is left alone, unless an apply of this stack made it."""

    def attributes(self, user: ScramUser) -> Mapping[str, Value]:
        iterations: dict[str, Value] = {name_path(name): number for name, number in user.mechanisms.items()}
        return iterations | ({PASSWORD: user.password} if user.password is not None else {})

    def read_attribute(self, user: ScramUser, path: str) -> Value:
        return self.attributes(user).get(path)

    def is_same(self, path: str, one: Value, other: Value) -> bool:
        if isinstance(one, Secret) and isinstance(other, Secret):
            return one.same_as(other) is not False
        return one == other

    def uses(self, user: ScramUser) -> frozenset[Address]:
        return frozenset()

    def compare(self, declared: ScramUser, live: ScramUser, applied: ScramUser | None) -> Compared:
        diffs: list[AttrDiff] = []
        unchanged = 0
        old = applied.mechanisms if applied else {}
        ignores = "iterations" in declared.rules.ignore
        for name in dict.fromkeys((*declared.mechanisms, *(name for name in live.mechanisms if name in old))):
            wanted, present = declared.mechanisms.get(name), live.mechanisms.get(name)
            if wanted == present or (ignores and wanted is not None and present is not None):
                unchanged += 1
            else:
                cause = find_cause(wanted, present, old.get(name), applied is not None)
                diffs.append(AttrDiff(name_path(name), present, wanted, cause))
        if declared.password is not None:
            if is_another_password(declared, live, applied):
                diffs.append(AttrDiff(PASSWORD, declared.previous or UNTOLD, declared.password))
            else:
                unchanged += 1
        unmanaged = [name for name in live.mechanisms if name not in declared.mechanisms and name not in old]
        return Compared(tuple(diffs), tuple(unmanaged), unchanged)

    def find_differing(self, then: ScramUser, now: ScramUser) -> list[Differing]:
        differing: list[Differing] = [
            (name_path(name), number, now.mechanisms.get(name))
            for name, number in then.mechanisms.items()
            if number != now.mechanisms.get(name)
        ]
        if then.password is not None and now.password is not None and then.password.same_as(now.password) is False:
            differing.append((PASSWORD, then.password, now.password))
        return differing

    def find_set_since(self, change: Change, now: ScramUser) -> list[str]:
        new = (diff.path for diff in change.diffs if diff.before is None and diff.path.startswith(MECHANISM))
        there = self.attributes(now)
        return [path for path in new if path in there]

    def is_anothers(self, change: Change, now: ScramUser) -> bool:
        if change.action is Action.REPLACE:
            return False
        after, before = change.after, change.before
        wanted = {path for path, _, _ in self.find_differing(after, now)} if isinstance(after, ScramUser) else set()
        had = {path for path, _, _ in self.find_differing(before, now)} if isinstance(before, ScramUser) else wanted
        return bool((wanted & had) - {PASSWORD})

    def find_blocker(self, declared: ScramUser, live: ScramUser, diff: AttrDiff) -> Blocker | None:
        return None

    def secrets(self, user: ScramUser) -> Mapping[str, Secret]:
        passwords = {PASSWORD: user.password, PREVIOUS: user.previous}
        return {path: secret for path, secret in passwords.items() if secret is not None}

    def with_values(self, user: ScramUser, values: Mapping[str, Any]) -> ScramUser:
        iterations = {
            path.removeprefix(MECHANISM).removesuffix(ITERATIONS): value
            for path, value in values.items()
            if path.startswith(MECHANISM)
        }
        return replace(
            user,
            mechanisms={**user.mechanisms, **iterations},
            password=values.get(PASSWORD, user.password),
            previous=values.get(PREVIOUS, user.previous),
        )


def name_path(mechanism: str) -> str:
    """Return the path of a mechanism's iterations."""
    return f"{MECHANISM}{mechanism}{ITERATIONS}"


def is_another_password(declared: ScramUser, live: ScramUser, applied: ScramUser | None) -> bool:
    """Whether the declared password is certainly not the live one: by a login, else by the digest of the last apply."""
    if declared.password is None:
        return False
    if live.password is not None and (same := declared.password.same_as(live.password)) is not None:
        return not same
    last = applied.password if applied else None
    return last is not None and declared.password.same_as(last) is False
