"""The nouns for resources of a kind, and what is shown of them, also where this kplan does not know the kind."""

from __future__ import annotations

from typing import Any

from kplan.kinds.registry import KINDS
from kplan.kinds.views import Views
from kplan.kinds.wording import Wording


class UnknownViews(Views[Any]):
    """What is shown of a kind that only a later kplan knows, or of what is not a kind of resource, such as tables."""

    def __init__(self, kind: str) -> None:
        self.plural = f"{kind}s"


class UnknownWording(Wording):
    """The words for changes of a kind that only a later kplan knows."""


def views_of(kind: str) -> Views[Any]:
    """Return what is shown of the kind."""
    return KINDS[kind].views if kind in KINDS else UnknownViews(kind)


def wording_of(kind: str) -> Wording:
    """Return the words for changes of the kind."""
    return KINDS[kind].wording if kind in KINDS else UnknownWording()


def name_several(kind: str) -> str:
    """Return the noun for several."""
    return views_of(kind).plural


def describe_unknown(kind: str, number: int) -> str:
    """Say how many live resources of the kind cannot be named; empty where all can."""
    if not number:
        return ""
    return f"{count_kind(number, kind)} of a type, or with an operation, that this kplan does not know"


def count_kind(number: int, kind: str) -> str:
    """Return `1 binding`, `2 bindings`."""
    return f"{number} {(views_of(kind).singular or kind) if number == 1 else name_several(kind)}"
