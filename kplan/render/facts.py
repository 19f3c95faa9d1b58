"""What a risk says in every view: its sentence, and the times of its facts as seen from when the plan was made;
and how old a snapshot was then."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

UNITS = ((48 * 3600, 24 * 3600, "d"), (3600, 3600, "h"), (60, 60, "min"))  # from so many seconds on, in this unit


def sentence(risk: Mapping[str, Any], created_at: str) -> str:
    """`data loss. Up to 214 records. Last write 3 min ago.`"""
    return " ".join(filter(None, (risk["summary"], times(risk.get("facts") or {}, created_at))))


def times(facts: Mapping[str, Any], created_at: str) -> str:
    """`Oldest record 6 d ago, last write 3 min ago.`; nothing where no time is known."""
    first, last = facts.get("first_write"), facts.get("last_write")
    said = [f"oldest record {ago(first, created_at)}"] if first is not None and first != last else []
    said += [f"last write {ago(last, created_at)}"] if last is not None else []
    text = ", ".join(said)
    return f"{text[0].upper()}{text[1:]}." if said else ""


def ago(then: int, created_at: str) -> str:
    """The time (milliseconds since 1970) in words: `3 min ago`; a date where it is not in the past."""
    try:
        seconds = int(datetime.fromisoformat(created_at).timestamp()) - then // 1000
    except ValueError:
        return _date(then)
    if seconds < -60:
        return f"dated {_date(then)}"
    return next((f"{seconds // unit} {name} ago" for least, unit, name in UNITS if seconds >= least), "just now")


def snapshot(document: Mapping[str, Any]) -> str:
    """`taken 2026-01-01T09:00:00Z, 60 min ago`, for a plan that was made from a snapshot; else nothing."""
    taken: str = document["target"].get("snapshot", "")
    try:
        then = int(datetime.fromisoformat(taken).timestamp()) * 1000
    except (ValueError, OverflowError):  # there is none, or it names a day that no calendar has
        return f"taken {taken}" if taken else ""
    return f"taken {taken}, {ago(then, document['created_at'])}"


def _date(then: int) -> str:
    try:
        return datetime.fromtimestamp(then / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):  # what a producer wrote into its records
        return "beyond the calendar"
