"""Numbers, sizes and lists as people read them: the helpers that every text of kplan uses."""

from __future__ import annotations

from collections.abc import Sequence

from kplan.patterns import late_pattern

# What changes how a terminal shows a line, and is in no name: control characters, line separators, text direction.
CONTROL_CHARACTERS = late_pattern(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def count(number: int, noun: str) -> str:
    """Return `1 step`, `2 steps`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def format_size(number: float) -> str:
    """Return so many bytes as people read them: `1.2 GiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:,.0f} bytes" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"


def truncate(text: str, max_length: int) -> str:
    """Return `text` in at most `max_length` characters; `…` marks what is left out."""
    return text if len(text) <= max_length else text[: max_length - 1] + "…"


def join_names(items: Sequence[str], max_names: int = 5) -> str:
    """Return `a, b and 3 more`."""
    more = len(items) - max_names
    return ", ".join(items[:max_names]) + (f" and {more} more" if more > 0 else "")


def format_ranges(numbers: Sequence[int], max_parts: int = 6) -> str:
    """Return `1–4, 7` for 1 2 3 4 7; beyond `max_parts` parts, how many numbers there are more."""
    parts: list[list[int]] = []
    for number in sorted(numbers):
        if parts and number == parts[-1][1] + 1:
            parts[-1][1] = number
        else:
            parts.append([number, number])
    written = [str(a) if a == b else f"{a}\u2013{b}" for a, b in parts[:max_parts]]
    more = sum(b - a + 1 for a, b in parts[max_parts:])
    return ", ".join(written) + (f" and {more} more" if more else "")
