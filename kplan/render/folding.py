"""Fold steps in a row into one, where their kind says that they are about one thing."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from kplan.kinds.nouns import views_of
from kplan.text import format_ranges
from kplan.values import dataclass

MIN_FOLD_SIZE = 2

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Fold:
    """Hold steps that are shown as one: `title` says what they are about, `parts` what they do."""

    steps: Sequence[Json]
    title: str
    noun: str
    parts: Sequence[str]
    is_alike: bool = False  # all have the same attributes

    @property
    def first(self) -> Json:
        return self.steps[0]

    @property
    def numbers(self) -> str:
        return f"{self.steps[0]['step']}\u2013{self.steps[-1]['step']}"

    @property
    def size(self) -> str:
        return f"{len(self.steps)} {self.noun}"

    @property
    def summary(self) -> str:
        """Return `12 bindings: produce shop.orders; consume …`."""
        return f"{self.size}: {'; '.join(self.parts)}" if self.parts else self.size

    @property
    def place(self) -> str:
        """Return the lines that asked for the steps: `shop.yaml:3–5, 9`."""
        lines: dict[str, set[int]] = {}
        for step in self.steps:
            source = step.get("source") or {}
            if source.get("path"):
                lines.setdefault(source["path"], set()).update([source["line"]] if source["line"] else [])
        return ", ".join(
            f"{path}:{format_ranges(sorted(numbers))}" if numbers else path for path, numbers in lines.items()
        )

    @property
    def notes(self) -> Sequence[Json]:
        """Return the notes about the steps, each once."""
        return list({(risk["code"], risk["summary"]): risk for step in self.steps for risk in step["risks"]}.values())


def find_failing(document: Json) -> frozenset[str]:
    """Return the addresses with an error: their steps are shown alone."""
    return frozenset(each["address"] for each in document["diagnostics"] if each["severity"] == "error")


def fold_steps(changes: Sequence[Json], alone: Collection[str] = ()) -> Iterator[Fold | Json]:
    """Yield the steps in their order, alone or folded; those whose address is in `alone` are never folded."""

    def find_key(change: Json) -> Hashable:
        key = None if change["address"] in alone else _make_key(change)
        return change["step"] if key is None else key

    for _, group in groupby(changes, find_key):
        steps = list(group)
        if len(steps) < MIN_FOLD_SIZE:
            yield from steps
        else:
            words = views_of(steps[0]["kind"]).describe_fold(steps)
            yield Fold(steps, words.title, words.noun, words.parts)


def _make_key(change: Json) -> Hashable | None:
    """Return what steps of one row have in common; None for a step that needs to be seen by itself."""
    key = views_of(change["kind"]).fold_key(change)
    if key is None or any(risk["level"] != "note" for risk in change["risks"]) or change.get("effects"):
        return None
    undo = change["undo"]
    return (change["kind"], key, *change["actions"], change["reason"], undo["kind"], undo.get("why"))
