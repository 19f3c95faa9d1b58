"""Describe a risk in every view: its sentence, the times of its facts relative to the creation of the plan, and the
age of a snapshot at that time."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

UNITS = ((48 * 3600, 24 * 3600, "d"), (3600, 3600, "h"), (60, 60, "min"))  # from so many seconds on, in this unit


def format_sentence(risk: Mapping[str, Any], created_at: str) -> str:
    """Return `data loss. Up to 214 records. Last write 3 min ago.`"""
    return " ".join(filter(None, (risk["summary"], format_times(risk.get("facts") or {}, created_at))))


def format_times(facts: Mapping[str, Any], created_at: str) -> str:
    """Return `Oldest record 6 d ago, last write 3 min ago.`; empty where no time is known."""
    first, last = facts.get("first_write"), facts.get("last_write")
    parts = [f"oldest record {format_age(first, created_at)}"] if first is not None and first != last else []
    parts += [f"last write {format_age(last, created_at)}"] if last is not None else []
    text = ", ".join(parts)
    return f"{text[0].upper()}{text[1:]}." if parts else ""


def format_age(milliseconds: int, created_at: str) -> str:
    """Return the time (milliseconds since 1970) in words: `3 min ago`; a date where it is not in the past."""
    try:
        seconds = int(datetime.fromisoformat(created_at).timestamp()) - milliseconds // 1000
    except ValueError:
        return _format_date(milliseconds)
    if seconds < -60:
        return f"dated {_format_date(milliseconds)}"
    return next((f"{seconds // unit} {name} ago" for least, unit, name in UNITS if seconds >= least), "just now")


def describe_snapshot(document: Mapping[str, Any]) -> str:
    """Return `taken 2026-01-01T09:00:00Z, 60 min ago` for a plan from a snapshot; else an empty text."""
    taken: str = document["target"].get("snapshot", "")
    try:
        milliseconds = int(datetime.fromisoformat(taken).timestamp()) * 1000
    except (ValueError, OverflowError):  # missing, or a date that no calendar has
        return f"taken {taken}" if taken else ""
    return f"taken {taken}, {format_age(milliseconds, document['created_at'])}"


def _format_date(milliseconds: int) -> str:
    try:
        return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%d %H:%M UTC")
    except (ValueError, OverflowError, OSError):  # a producer may write any number
        return "beyond the calendar"
