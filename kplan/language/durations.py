"""Durations as people write them: `30s`, `2m`, `500ms`, or a number of seconds."""

from __future__ import annotations

from kplan.patterns import late_pattern

DURATION = late_pattern(r"(\d+(?:\.\d+)?)\s*(ms|s|m|h|d)?\Z")
SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0, None: 1.0}


def seconds(value: object) -> float:
    """Return the seconds of `30s`, `2m`, `500ms` or a number. Raises ValueError."""
    match = DURATION.match(str(value).strip())
    if not match or isinstance(value, bool):
        raise ValueError(f"{value!r} is not a duration: write 30s, 2m or 500ms")
    return float(match.group(1)) * SECONDS[match.group(2)]
