"""Say in one sentence what came of a rehearsal."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kplan.text import count


def describe_rehearsal(document: Mapping[str, Any]) -> str:
    """Return the sentence; empty where the plan was not rehearsed. Its problems are among the diagnostics."""
    rehearsal = document.get("rehearsal")
    if rehearsal is None or not (rehearsal["points"] or rehearsal["obstacle"]):
        return ""
    if rehearsal["obstacle"]:
        return f"Not rehearsed: the simulation cannot play it: {rehearsal['obstacle']}"
    tried = count(rehearsal["tried"], "failure")
    if rehearsal["tried"] < rehearsal["points"]:
        tried = f"a sample of {tried} in {count(rehearsal['points'], 'step')}"
    ends = [f"{rehearsal['restored']:,} put back"]
    ends += [f"{rehearsal['kept']:,} as far as the plan says"] if rehearsal["kept"] else []
    failed = rehearsal["tried"] - rehearsal["restored"] - rehearsal["kept"]
    ends += [f"{failed:,} NOT put back (K526)"] if failed else []
    return f"Rehearsed on a simulation: {tried}, {', '.join(ends)}."
