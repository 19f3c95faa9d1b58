"""Count what a run created, kind by kind, for programs: in `apply_summary` and in the document of `kplan status`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from kplan.kinds.registry import KINDS

TOPIC = "topic"  # its numbers also have the keys of the first version of the document


def make_statistics(created: Iterable[str], failed: Iterable[str], retries: int) -> dict[str, Any]:
    """Return the numbers of a run: `created` and `failed` are the kinds of what it created and could not create."""
    successes, errors = Counter(created), Counter(failed)
    return {
        "topics_created": successes[TOPIC],
        "topic_creation_errors": errors[TOPIC],
        "retries": retries,
        "created": _sort_by_kind(successes),
        "creation_errors": _sort_by_kind(errors),
    }


def read_creations(statistics: Mapping[str, Any]) -> tuple[Mapping[str, int], Mapping[str, int]]:
    """Return what was created, and what could not be, by kind; documents of earlier versions count topics alone."""
    created = statistics.get("created", {TOPIC: statistics.get("topics_created", 0)})
    errors = statistics.get("creation_errors", {TOPIC: statistics.get("topic_creation_errors", 0)})
    return created, errors


def _sort_by_kind(numbers: Mapping[str, int]) -> dict[str, int]:
    """Return the numbers in the order of the registry; kinds of later versions come last."""
    order = list(KINDS)
    known = {kind: numbers[kind] for kind in order if numbers.get(kind)}
    return known | {kind: numbers[kind] for kind in sorted(numbers) if kind not in KINDS}
