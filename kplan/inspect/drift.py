"""What was changed live since the last apply, and what the stack says to it: ledger, servers and stack, all three."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from kplan.kinds.registry import comparison_of
from kplan.model import Address, AttrDiff, Drift, Live, Resource, Secret, Stack, Text
from kplan.model.codec import text_to_json
from kplan.planning.comparison import compare, find_blocker
from kplan.planning.diff import Ledger

GONE = "/"  # the path of a resource that is not there any more
FORMAT = "1.0"


class Next(StrEnum):
    """What the next apply does about what was changed live."""

    PUTS_BACK = "puts_back"  # the stack declares what was applied
    OVERWRITES = "overwrites"  # the stack declares something else by now
    DELETES = "deletes"  # the resource left the stack
    GIVES_UP = "gives_up"  # the same, with `keep: true`
    REFUSES = "refuses"  # it cannot be changed in place
    IGNORES = "ignores"  # the stack leaves it to others
    NOTHING = "nothing"  # the stack declares what is live


TAKEN_UP = (Next.IGNORES, Next.NOTHING)  # no apply would change it: no drift


@dataclass(frozen=True, slots=True)
class Judged:
    """A difference of live to what was applied, what the stack declares there by now, and what the next apply does."""

    drift: Drift
    declared: Text | int | bool | None
    next: Next


@dataclass(frozen=True, slots=True)
class Found:
    """All differences of one stack. `owned` of its resources were compared, `unseen` cannot be."""

    stack: str
    env: str
    owned: int
    differences: tuple[Judged, ...] = ()
    unseen: tuple[Address, ...] = ()

    @property
    def drift(self) -> tuple[Judged, ...]:
        return tuple(each for each in self.differences if each.next not in TAKEN_UP)

    @property
    def taken_up(self) -> tuple[Judged, ...]:
        return tuple(each for each in self.differences if each.next in TAKEN_UP)


def find(stack: Stack, live: Live, ledger: Ledger, key: str | None = None) -> Found:
    """Each difference of `live` to what was applied for `stack`, judged by what the stack declares now."""
    mine = [a for a, owned in sorted(ledger.items()) if owned.stack == stack.name and owned.applied is not None]
    unseen = tuple(address for address in mine if address in live.hidden)
    found = [_judged(drift, stack, live, ledger, key) for drift in drifted(stack.name, live, ledger, key)]
    return Found(stack.name, stack.env, len(mine), tuple(found), unseen)


def drifted(stack: str, live: Live, ledger: Ledger, key: str | None = None) -> list[Drift]:
    """Each attribute that kplan set for `stack` and that is not so any more, and each resource that is gone.

    A secret is compared by the digest that was made of it with `key`; nothing is said of one without a digest.
    """
    found: list[Drift] = []
    for address, owned in sorted(ledger.items()):
        if owned.stack != stack or owned.applied is None or address in live.hidden:
            continue
        now = live.resources.get(address)
        if now is None:
            found.append(Drift(address, GONE, "there", None))
            continue
        diffs = compare(owned.applied, _signed(now, owned.applied, key), None).diffs
        found += [Drift(address, d.path, d.after, d.before) for d in diffs if not _same_secret(d, key)]
    return found


def _signed(now: Resource, applied: Resource, key: str | None) -> Resource:
    """What is live, with digests where a secret was applied: the ledger holds no value to compare with."""
    comparison = comparison_of(applied.address)
    present = {path: comparison.read_attribute(now, path) for path in comparison.secrets(applied)}
    signed = {
        path: (Secret(value=value) if isinstance(value, str) else value).signed(key)
        for path, value in present.items()
        if isinstance(value, str | Secret)
    }
    return comparison.with_values(now, signed)


def _same_secret(diff: AttrDiff, key: str | None) -> bool:
    """Whether what differs is a secret that is the same, or of which that cannot be told."""
    was, now = diff.after, diff.before
    if not isinstance(was, Secret):
        return False
    if now is None:
        return False
    if key is None or not was.fingerprint:
        return True
    return was.same_as(now if isinstance(now, Secret) else Secret(value=str(now)).signed(key)) is not False


# -- what the stack says to it ----------------------------------------------------------------------------------------
def _judged(drift: Drift, stack: Stack, live: Live, ledger: Ledger, key: str | None) -> Judged:
    declared = _declared(drift.address, stack)
    if drift.path == GONE:
        return _gone(drift, declared, stack)
    if declared is None:
        kept = any(entry.address == drift.address and entry.keep for entry in stack.removed)
        return Judged(drift, None, Next.GIVES_UP if kept else Next.DELETES)
    attribute = drift.path.removeprefix("/config/") if drift.path.startswith("/config/") else ""
    want = comparison_of(declared.address).read_attribute(declared, drift.path)
    if attribute in declared.rules.ignore:
        return Judged(drift, want, Next.IGNORES)
    now = live.resources[drift.address]
    diffs = compare(declared, now, ledger[drift.address]).diffs
    planned = next((d for d in diffs if d.path == drift.path), None)
    if planned is None:  # the plan has nothing to do there; but what it does not know is no declaration of what is live
        unknown = isinstance(want, Secret) and want.value is None
        return Judged(drift, want, Next.PUTS_BACK if unknown else Next.NOTHING)
    if find_blocker(declared, now, planned):
        return Judged(drift, want, Next.REFUSES)
    return Judged(drift, want, Next.PUTS_BACK if _same(want, drift.applied, key) else Next.OVERWRITES)


def _gone(drift: Drift, declared: Resource | None, stack: Stack) -> Judged:
    if declared is None:
        return Judged(drift, None, Next.NOTHING)
    return Judged(drift, "there", Next.PUTS_BACK if stack.guards.create else Next.REFUSES)


def _declared(address: Address, stack: Stack) -> Resource | None:
    """What the stack declares there; of a resource that is to move, under its new name."""
    targets = (move.target for move in stack.moved if move.source == address)
    return stack.resources.get(address) or next((stack.resources[t] for t in targets if t in stack.resources), None)


def _same(want: object, applied: object, key: str | None) -> bool:
    if isinstance(want, Secret) and isinstance(applied, Secret):
        return want.signed(key).same_as(applied) is not False
    return want == applied


# -- as a document ----------------------------------------------------------------------------------------------------
def document(found: Found, target: dict[str, Any], at: str) -> dict[str, Any]:
    """The document of schemas/drift.v1.json for one stack. `at` is the time of this reading."""
    return {
        "format_version": FORMAT,
        "created_at": at,
        "stack": {"name": found.stack, "env": found.env},
        "target": target,
        "owned": found.owned,
        "drift": [_to_json(each) for each in found.drift],
        "taken_up": [_to_json(each) for each in found.taken_up],
        "unseen": [str(address) for address in found.unseen],
    }


def _to_json(judged: Judged) -> dict[str, Any]:
    return {
        "address": str(judged.drift.address),
        "path": judged.drift.path,
        "applied": text_to_json(judged.drift.applied),
        "live": text_to_json(judged.drift.live),
        "declared": text_to_json(judged.declared),
        "next": str(judged.next),
    }
