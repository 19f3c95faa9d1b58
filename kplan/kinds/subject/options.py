"""What a change of a subject has in addition to its differences."""

from __future__ import annotations

from kplan.model import Change, ChangeOptions
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class SubjectOptions(ChangeOptions):
    """`hard`: the deletion removes the schemas themselves, so that records with their ids cannot be read."""

    hard: bool = False


def is_hard(change: Change) -> bool:
    """Whether a deletion removes the schemas themselves."""
    return isinstance(change.options, SubjectOptions) and change.options.hard
