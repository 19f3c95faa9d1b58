"""Count the lines of imported Debezium stacks and of their JSON; a long line counts as the lines that it fills."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median

from kplan.importers.writing import WIDTH

DEBEZIUM = '"io.debezium.connector.'


@dataclass(frozen=True)
class LineCounts:
    """The lines of a connector's JSON, and of the stack that it became."""

    original: int
    stack: int


def count_filled_lines(text: str) -> int:
    """Return the number of lines of at most WIDTH characters; an empty line is one."""
    return sum(max(1, -(-len(line) // WIDTH)) for line in text.rstrip().splitlines())


def compare_lines(original: str, stack: str) -> LineCounts | None:
    """Return the lines of both; None where the original is not a Debezium connector's JSON."""
    if DEBEZIUM not in original:
        return None
    return LineCounts(count_filled_lines(original), count_filled_lines(stack))


def describe_lines(counts: Sequence[LineCounts]) -> str:
    """Return the medians of both and of their difference, in one sentence."""
    original, stack = (median(each.original for each in counts), median(each.stack for each in counts))
    difference = median(each.stack - each.original for each in counts)
    medians = f"median of lines {stack:g}, of their JSON {original:g}, difference {difference:g}"
    return f"{len(counts)} Debezium files: {medians}"
