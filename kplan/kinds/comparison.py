"""Two states of a resource, compared by its kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol, TypeVar

from kplan.diagnostics.codes.code import Code
from kplan.model import Address, AttrDiff, Change, Resource, Secret, Text
from kplan.values import dataclass

R = TypeVar("R", bound=Resource)

Value = Text | int | bool | None
Differing = tuple[str, Value, Value]  # the path of an attribute, and its value in the one state and in the other


@dataclass(frozen=True, slots=True)
class Compared:
    """What differs, which live settings no stack manages, and how many attributes are as they should be."""

    diffs: tuple[AttrDiff, ...] = ()
    unmanaged: tuple[str, ...] = ()
    unchanged: int = 0


@dataclass(frozen=True, slots=True)
class Blocker:
    """Why a difference cannot be made in place, as a diagnostic says it."""

    code: Code
    summary: str
    detail: str
    help: str


class Comparison(Protocol[R]):
    """How one kind compares its resources. Paths are those of differences: `/partitions`, `/config/retention.ms`."""

    def attributes(self, resource: R) -> Mapping[str, Value]:
        """Return the attributes that are set, by their paths."""

    def read_attribute(self, resource: R, path: str) -> Value:
        """Return the value of an attribute; None where it is not set."""

    def is_same(self, path: str, one: Value, other: Value) -> bool:
        """Compare two values of an attribute as the server does."""

    def uses(self, resource: R) -> frozenset[Address]:
        """Return what has to be there before the resource, and is not deleted while it is there."""

    def compare(self, declared: R, live: R, applied: R | None) -> Compared:
        """Compare what a stack declares with what is live; `applied` is what was applied last, where that is known."""

    def view_as(self, live: R, states: Sequence[R]) -> R | None:
        """Return a live resource as far as the states are about it; None where nothing of that is there."""
        return live

    def find_differing(self, then: R, now: R) -> list[Differing]:
        """Return the attributes of `then` that are different now."""

    def find_set_since(self, change: Change, now: R) -> list[str]:
        """Return the paths that were not set before the change was planned, are set now, and are not among those that
        `find_differing` compares."""

    def is_anothers(self, change: Change, now: R) -> bool:
        """Whether an attribute is neither as before the change nor as it is to be, so that somebody else changed it."""

    def find_blocker(self, declared: R, live: R, diff: AttrDiff) -> Blocker | None:
        """Say why a difference cannot be made in place; None where it can."""

    def secrets(self, resource: R) -> Mapping[str, Secret]:
        """Return the secrets of the resource by their paths."""

    def with_values(self, resource: R, values: Mapping[str, Any]) -> R:
        """Return the resource with other values of attributes that it has already, by their paths."""


def find_cause(wanted: object, present: object, last: object, is_known: bool) -> str:
    """Say who changed a value: one that the stack still declares as it was applied was changed live."""
    if not is_known or isinstance(wanted, Secret) or isinstance(present, Secret):
        return "stack"
    if wanted == last:
        return "drift"
    return "stack" if present == last else "both"
