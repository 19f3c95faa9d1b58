"""Group steps that are the same for many resources, so that a plan of thousands can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

MIN_GROUP_SIZE = 10  # similar steps in a row that are shown as one

Json = Mapping[str, Any]


def group_similar_steps(changes: Sequence[Json]) -> Iterator[list[Json]]:
    """Yield the steps in their order: each alone, or many in a row that differ in their names alone.

    A step with a danger or a caution is always alone.
    """
    for _, group in groupby(changes, _make_group_key):
        steps = list(group)
        if len(steps) < MIN_GROUP_SIZE:
            yield from ([step] for step in steps)
        else:
            yield steps


def _make_group_key(change: Json) -> Any:
    """Return the step's content without its name, what created it, and where it is declared."""
    if any(risk["level"] != "note" for risk in change["risks"]):
        return change["step"]
    parts = [change[key] for key in ("kind", "actions", "reason", "diff", "undo", "risks", "unchanged")]
    parts += [change.get(key) for key in ("effects", "unmanaged", "adopts")]
    resource = change["after"] or change["before"] or {}
    return json.dumps([*parts, {key: value for key, value in resource.items() if key != "note"}], sort_keys=True)
