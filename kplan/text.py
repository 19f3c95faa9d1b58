"""Numbers, sizes and lists for people: words that every text of kplan shares."""

from __future__ import annotations

import re
from collections.abc import Sequence

# What changes how a terminal shows a line, and is in no name: control characters, line separators, text direction.
CONTROL_CHARACTERS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069]")


def count(number: int, noun: str) -> str:
    """Return `1 step`, `2 steps`."""
    return f"{number} {noun}{'' if number == 1 else 's'}"


def size(number: float) -> str:
    """So many bytes for people: `1.2 GiB`."""
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        if number < 1024:
            return f"{number:,.0f} bytes" if unit == "bytes" else f"{number:.1f} {unit}"
        number /= 1024
    return f"{number:,.1f} TiB"


def cut(text: str, most: int) -> str:
    """Return `text` in at most `most` characters; what is left out is marked by `…`."""
    return text if len(text) <= most else text[: most - 1] + "…"


def listed(items: Sequence[str], most: int = 5) -> str:
    """`a, b and 3 more`."""
    more = len(items) - most
    return ", ".join(items[:most]) + (f" and {more} more" if more > 0 else "")
