"""The nouns for resources of a kind."""

from __future__ import annotations

from kplan.kinds.registry import KINDS


def name_several(kind: str) -> str:
    """Return the noun for several: of resources, or of what is not a kind of resource, such as tables."""
    return KINDS[kind].views.plural if kind in KINDS else f"{kind}s"


def count_kind(number: int, kind: str) -> str:
    """Return `1 topic`, `2 topics`."""
    return f"{number} {kind if number == 1 else name_several(kind)}"
