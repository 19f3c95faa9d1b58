"""The record of a run, and what it says is left to do or to undo."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import field, replace
from typing import Any

from kplan.values import dataclass

EVENTS = (
    "begin", "will", "did", "failed", "refused", "will_undo", "undid", "undo_failed", "forgotten", "kept", "end",
)  # fmt: skip

# The outcome of a step that needs no undo, because another client had created its topic.
ADOPTED_MEANWHILE = "created by another client meanwhile, exactly as planned"


@dataclass(frozen=True, slots=True)
class Item:
    """One step of an entry. `change` is its JSON (no secrets), in `begin`; `captured` its undo needs."""

    step: int
    address: str
    change: Mapping[str, Any] | None = None
    captured: Mapping[str, Any] | None = None
    outcome: str = ""


@dataclass(frozen=True, slots=True)
class Entry:
    """One record of the journal, of a whole wave. `seq` counts from 0 within the run; `at` is UTC in ISO 8601.

    `begin` lists every step of the plan, the later ones those that they are about. `refused` is a creation that failed
    for certain: what is there, others made. `about` belongs to `begin` (stack, env, cluster, connect, digest, mode,
    who, steps) and `end` (outcome).
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
    """What the journal says of a run. Steps by number; those of `flying` were sent and may have taken effect.

    `undoing` are the steps whose undo was sent and not answered; `settled` those whose undo was watched to its end, so
    that whatever is there now came later; `forgotten` those that somebody wanted left as they are.
    """

    run: str
    stack: str
    about: Mapping[str, Any]
    planned: Mapping[int, Item] = field(default_factory=dict)
    done: Mapping[int, Item] = field(default_factory=dict)
    flying: Mapping[int, Item] = field(default_factory=dict)
    undone: frozenset[int] = frozenset()
    undoing: frozenset[int] = frozenset()
    settled: frozenset[int] = frozenset()
    forgotten: frozenset[int] = frozenset()
    kept: Mapping[int, Item] = field(default_factory=dict)
    outcome: str = ""  # empty while the run has no end
    seq: int = 0  # of the next entry

    @property
    def is_open(self) -> bool:
        return not self.outcome


@dataclass(slots=True)
class _Replay:
    """What the entries amount to so far."""

    about: dict[str, Any] = field(default_factory=dict)
    planned: dict[int, Item] = field(default_factory=dict)
    sent: dict[int, Item] = field(default_factory=dict)
    answered: dict[int, str] = field(default_factory=dict)
    undone: set[int] = field(default_factory=set)
    undoing: set[int] = field(default_factory=set)
    settled: set[int] = field(default_factory=set)
    forgotten: set[int] = field(default_factory=set)
    kept: dict[int, Item] = field(default_factory=dict)
    outcome: str = ""

    def take(self, entry: Entry) -> None:
        self.about |= entry.about
        if entry.event == "end":
            self.outcome = str(entry.about.get("outcome", "ended"))
        for item in entry.items:
            self._item(entry.event, item)
        if entry.event == "kept":  # the last word of a way back that came to its end, of what is not as before
            self.settled |= self.undone - {item.step for item in entry.items}

    def _item(self, event: str, item: Item) -> None:
        step = item.step
        if event == "begin":
            self.planned[step] = item
        elif event == "will":  # also once more, where a recovery completes what was undone
            known = self.planned.get(step)
            self.sent[step] = replace(item, change=item.change or (known.change if known else None))
            self.answered.pop(step, None)
            self.kept.pop(step, None)
            self.undone.discard(step)
            self.settled.discard(step)
            self.undoing.discard(step)
        elif event in ("did", "failed", "refused"):
            self.answered[step] = event
        elif event == "will_undo":
            self.undoing.add(step)
        elif event == "undid":
            self.undone.add(step)
            self.undoing.discard(step)
            self.kept.pop(step, None)
        elif event == "forgotten":
            self.forgotten.add(step)
        elif event in ("kept", "undo_failed"):
            self.kept[step] = item


def replay(entries: Iterable[Entry]) -> Progress | None:
    """Return the state of one run after all `entries`, in any order of arrival; None where there are none."""
    state = _Replay()
    inorder = sorted(entries, key=lambda e: e.seq)
    for entry in inorder:
        state.take(entry)
    if not inorder:
        return None
    return Progress(
        inorder[-1].run,
        inorder[-1].stack,
        state.about,
        {**state.sent, **state.planned},
        done={n: item for n, item in state.sent.items() if state.answered.get(n) == "did"},
        flying={n: item for n, item in state.sent.items() if state.answered.get(n) not in ("did", "refused")},
        undone=frozenset(state.undone),
        undoing=frozenset(state.undoing),
        settled=frozenset(state.settled),
        forgotten=frozenset(state.forgotten),
        kept=state.kept,
        outcome=state.outcome,
        seq=1 + inorder[-1].seq,
    )
