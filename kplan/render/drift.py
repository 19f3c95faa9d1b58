"""The sentences about drift: what was changed live, and what the next apply does about it."""

from __future__ import annotations

from collections.abc import Iterable

from kplan.inspect.drift import GONE, Judged, Next
from kplan.kinds.registry import KINDS
from kplan.model import Drift, Secret
from kplan.render.wording import format_value
from kplan.text import count


def changed(judged: Judged, width: int = 0) -> str:
    """What was changed: `retention.ms  604800000 (7d) -> 60000 (1m)`."""
    drift = judged.drift
    if drift.path == GONE:
        return "it is gone"
    key = _key(drift)
    if any(isinstance(each, Secret) for each in (drift.applied, drift.live)):
        return f"{key:<{width}} (sensitive, changed)"
    return f"{key:<{width}} {format_value(key, drift.applied)} -> {format_value(key, drift.live)}"


def said(judged: Judged) -> str:
    """What the stack says to it, and what the next apply does."""
    drift, want = judged.drift, format_value(_key(judged.drift), judged.declared)
    if drift.path == GONE:
        anew = "makes it anew, empty" if KINDS[drift.address.kind].views.holds_records else "makes it anew"
        return {
            Next.PUTS_BACK: f"the stack still declares it: the next apply {anew}",
            Next.REFUSES: "the stack still declares it, and its guards create nothing: `kplan plan` refuses it",
        }.get(judged.next, "the stack does not declare it any more")
    sets = f"the stack declares {want} by now: the next apply sets that"
    unsets = "the stack does not declare it any more: the next apply unsets it"
    return {
        Next.PUTS_BACK: "the stack declares what was applied: the next apply puts it back",
        Next.OVERWRITES: unsets if judged.declared is None else sets,
        Next.DELETES: "the stack does not declare this resource any more: `kplan plan` is to delete it",
        Next.GIVES_UP: "the stack gives this resource up: the next apply leaves it as it is live",
        Next.REFUSES: f"the stack declares {want}, which cannot be made of it in place: `kplan plan` says why",
        Next.IGNORES: "the stack ignores it by now",
        Next.NOTHING: "the stack declares it as it is live by now",
    }[judged.next]


def summary(found: Iterable[Judged]) -> str:
    """`2 resources, 3 differences`."""
    each = list(found)
    resources = len({judged.drift.address for judged in each})
    return f"{count(resources, 'resource')}, {count(len(each), 'difference')}"


def _key(drift: Drift) -> str:
    return drift.path.removeprefix("/config/").removeprefix("/")
