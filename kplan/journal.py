"""The record of a run, and what it says is left to do or to undo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

EVENTS = ("begin", "will", "did", "failed", "will_undo", "undid", "undo_failed", "kept", "end")


@dataclass(frozen=True, slots=True)
class Item:
    """One step within an entry. `change` is its JSON (no secrets), in `will`; `captured` what its undo needs."""

    step: int
    address: str
    change: Mapping[str, Any] | None = None
    captured: Mapping[str, Any] | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the journal, of a whole wave. `seq` counts from 0 within the run; `at` is UTC in ISO 8601.

    `about` belongs to `begin` (stack, env, digest, mode, who, steps) and `end` (outcome).
    """

    run: str
    stack: str
    seq: int
    event: str
    at: str
    wave: int = 0
    items: tuple[Item, ...] = ()
    about: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Progress:
    """What the journal says of a run. Steps by number; `flying` were sent and not answered."""

    run: str
    stack: str
    about: Mapping[str, Any]
    done: Mapping[int, Item] = field(default_factory=dict)
    flying: Mapping[int, Item] = field(default_factory=dict)
    undone: frozenset[int] = frozenset()
    kept: Mapping[int, Item] = field(default_factory=dict)
    outcome: str = ""  # empty while the run has no end

    @property
    def is_open(self) -> bool:
        return not self.outcome


def replay(entries: Iterable[Entry]) -> Progress | None:
    """The state of one run after all `entries`, in any order of arrival; None where there are none."""
    run = stack = outcome = ""
    about: dict[str, Any] = {}
    will: dict[int, Item] = {}
    answered: dict[int, str] = {}
    undone: set[int] = set()
    kept: dict[int, Item] = {}
    for entry in sorted(entries, key=lambda e: e.seq):
        run, stack = entry.run, entry.stack
        about |= entry.about
        if entry.event == "end":
            outcome = str(entry.about.get("outcome", "ended"))
        for item in entry.items:
            if entry.event == "will":
                will[item.step] = item
            elif entry.event in ("did", "failed"):
                answered[item.step] = entry.event
            elif entry.event == "undid":
                undone.add(item.step)
                kept.pop(item.step, None)
            elif entry.event in ("kept", "undo_failed"):
                kept[item.step] = item
    if not run:
        return None
    return Progress(
        run,
        stack,
        about,
        done={n: item for n, item in will.items() if answered.get(n) == "did"},
        flying={n: item for n, item in will.items() if answered.get(n) != "did"},
        undone=frozenset(undone),
        kept=kept,
        outcome=outcome,
    )
