"""Steps that say the same of many resources, so that a plan of thousands can be read."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

ENOUGH = 10  # steps in a row, before they are shown as one

Json = Mapping[str, Any]


def runs(changes: Sequence[Json]) -> Iterator[list[Json]]:
    """The steps in their order: each alone, or many in a row that differ in their names alone.

    A step with a danger or a caution is always alone.
    """
    for _, same in groupby(changes, _what):
        steps = list(same)
        if len(steps) < ENOUGH:
            yield from ([step] for step in steps)
        else:
            yield steps


def _what(change: Json) -> Any:
    """What the step says but for the name, what made it, and where it is declared."""
    if any(risk["level"] != "note" for risk in change["risks"]):
        return change["step"]
    parts = [change[key] for key in ("kind", "actions", "reason", "diff", "undo", "risks", "unchanged")]
    parts += [change.get(key) for key in ("effects", "unmanaged", "adopts")]
    resource = change["after"] or change["before"] or {}
    return json.dumps([*parts, {key: value for key, value in resource.items() if key != "note"}], sort_keys=True)
