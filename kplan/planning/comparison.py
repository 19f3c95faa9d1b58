"""Declared, live, applied and planned resources, compared as their kind does it."""

from __future__ import annotations

from kplan.kinds.comparison import Blocker, Compared, Differing
from kplan.kinds.registry import comparison_of
from kplan.model import AttrDiff, Owned, Resource


def compare(declared: Resource, live: Resource, owned: Owned | None) -> Compared:
    """Compare what a stack declares with what is live; the ledger's record says what was applied last."""
    applied = owned.applied if owned else None
    return comparison_of(declared.address).compare(declared, live, applied)


def find_differing(then: Resource, now: Resource) -> list[Differing]:
    """Return the attributes of `then` that are different now: (path, then, now)."""
    return comparison_of(then.address).find_differing(then, now)


def find_blocker(declared: Resource, live: Resource, diff: AttrDiff) -> Blocker | None:
    """Say why a difference cannot be made in place; None where it can."""
    return comparison_of(declared.address).find_blocker(declared, live, diff)
