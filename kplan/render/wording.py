"""Write values and differences in words. They contain no secret and are the same in every view."""

from __future__ import annotations

from kplan.kinds.topic import configs as catalog
from kplan.model import AttrDiff, Change, Secret


def format_value(key: str, raw: object) -> str:
    """Return a value with its unit: `86400000 (1d)`."""
    if raw is None:
        return "(unset)"
    if isinstance(raw, Secret):
        return "(sensitive)"
    text = str(raw).lower() if isinstance(raw, bool) else str(raw)
    readable = catalog.human(key, text) if key in catalog.CONFIGS else ""
    return f"{text} ({readable})" if readable else text


def format_short_value(key: str, raw: object) -> str:
    """Return a value in the fewest words: `1d`."""
    text = format_value(key, raw)
    readable = text.rpartition("(")[2].rstrip(")")
    return readable if text.endswith(")") and not text.startswith("(") else text


def describe_differences(change: Change, max_shown: int = 2) -> str:
    """Return the first differences in words, and how many more there are."""
    shown = [describe_difference(diff) for diff in change.diffs[:max_shown]]
    more = len(change.diffs) - max_shown
    return ", ".join(shown) + (f", {more} more" if more > 0 else "")


def describe_difference(diff: AttrDiff) -> str:
    """Return one difference in words, without its values where they are long."""
    if diff.sensitive:
        return f"{diff.key} (sensitive)"
    before, after = format_short_value(diff.key, diff.before), format_short_value(diff.key, diff.after)
    return f"{diff.key} {before} -> {after}" if len(before) + len(after) < 60 else diff.key


def format_bytes(number: float) -> str:
    """Return the bytes in the largest unit that leaves a whole one: `1.5 KiB`."""
    for unit in ("B", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:,.0f} {unit}" if unit == "B" else f"{number:,.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"
