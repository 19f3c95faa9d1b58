"""Values and differences for people. They name no secret and read the same in every view."""

from __future__ import annotations

from kplan.kinds.topic import configs as catalog
from kplan.model import AttrDiff, Change, Secret


def value(key: str, raw: object) -> str:
    """A value for people, with its unit: `86400000 (1d)`."""
    if raw is None:
        return "(unset)"
    if isinstance(raw, Secret):
        return "(sensitive)"
    text = str(raw).lower() if isinstance(raw, bool) else str(raw)
    human = catalog.human(key, text) if key in catalog.CONFIGS else ""
    return f"{text} ({human})" if human else text


def short(key: str, raw: object) -> str:
    """A value in the fewest words: `1d`."""
    text = value(key, raw)
    human = text.rpartition("(")[2].rstrip(")")
    return human if text.endswith(")") and not text.startswith("(") else text


def differences(change: Change, most: int = 2) -> str:
    """The first differences in words, and how many more there are."""
    shown = [difference(diff) for diff in change.diffs[:most]]
    more = len(change.diffs) - most
    return ", ".join(shown) + (f", {more} more" if more > 0 else "")


def difference(diff: AttrDiff) -> str:
    """One difference in words, without its values where they are long."""
    if diff.sensitive:
        return f"{diff.key} (sensitive)"
    before, after = short(diff.key, diff.before), short(diff.key, diff.after)
    return f"{diff.key} {before} -> {after}" if len(before) + len(after) < 60 else diff.key
