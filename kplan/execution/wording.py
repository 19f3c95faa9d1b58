"""Write in words what an error about a run quotes and the views show, too: errors leave `execution` as they are."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kplan.execution.places import OtherPlace


def describe_other_place(place: OtherPlace) -> str:
    """Return how this differs from where a run was, as the end of a sentence."""
    if place.what == "cluster":
        return f"it was on cluster {place.was}, and this is {place.here}"
    if place.what == "unseen":
        return f"{place.was} may not be described with this login"
    if not place.here:
        return f"it changed connectors at {place.was or 'a Connect'}, and there is no Connect here"
    return f"it changed connectors at {place.was}, and this is {place.here}"
