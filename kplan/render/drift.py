"""Write the sentences about drift: what was changed live, and what the next apply does about it."""

from __future__ import annotations

from collections.abc import Iterable

from kplan.inspect.drift import GONE, JudgedDrift, Next
from kplan.kinds.registry import KINDS
from kplan.model import Drift, Secret
from kplan.render.wording import format_value
from kplan.text import count


def describe_change(judged: JudgedDrift, width: int = 0) -> str:
    """Return what was changed: `retention.ms  604800000 (7d) -> 60000 (1m)`."""
    drift = judged.drift
    if drift.path == GONE:
        return "it is gone"
    key = _name_attribute(drift)
    if any(isinstance(value, Secret) for value in (drift.applied, drift.live)):
        return f"{key:<{width}} (sensitive, changed)"
    return f"{key:<{width}} {format_value(key, drift.applied)} -> {format_value(key, drift.live)}"


def describe_next(judged: JudgedDrift) -> str:
    """Return what the stack declares, and what the next apply does."""
    drift, want = judged.drift, format_value(_name_attribute(judged.drift), judged.declared)
    if drift.path == GONE:
        recreates = "recreates it, empty" if KINDS[drift.address.kind].views.holds_records else "recreates it"
        return {
            Next.PUTS_BACK: f"the stack still declares it: the next apply {recreates}",
            Next.REFUSES: "the stack still declares it, but its guards refuse to create it: see `kplan plan`",
        }.get(judged.next, "the stack no longer declares it")
    sets = f"the stack now declares {want}: the next apply sets that"
    unsets = "the stack no longer declares it: the next apply unsets it"
    return {
        Next.PUTS_BACK: "the stack declares what was applied: the next apply will set it back",
        Next.OVERWRITES: unsets if judged.declared is None else sets,
        Next.DELETES: "the stack no longer declares this resource: `kplan plan` shows its deletion",
        Next.GIVES_UP: "the stack releases this resource: the next apply leaves it unchanged",
        Next.REFUSES: f"the stack declares {want}, which needs more than a change in place: `kplan plan` shows why",
        Next.IGNORES: "the stack now ignores it",
        Next.NOTHING: "the stack now declares the live value",
    }[judged.next]


def summarize(judged_drift: Iterable[JudgedDrift]) -> str:
    """Return `2 resources, 3 differences`."""
    listed = list(judged_drift)
    resources = len({judged.drift.address for judged in listed})
    return f"{count(resources, 'resource')}, {count(len(listed), 'difference')}"


def _name_attribute(drift: Drift) -> str:
    return drift.path.removeprefix("/config/").removeprefix("/")
