"""Choose which steps a page of a very large plan shows in detail, and how it summarizes the others."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from itertools import groupby
from typing import Any

from kplan.render import text
from kplan.render.steps import name_action, summarize_step
from kplan.text import format_ranges, truncate
from kplan.values import dataclass

MAX_WHOLE = 5_000  # a page of at most so many steps shows each of them in detail
MAX_ROWS = 2_000  # of problems, and of drift
MAX_RISKY = 1_000  # of a larger one: so many steps with a danger, a caution or without an undo
MAX_PLAIN = 1_000  # and so many others
MAX_ALIKE = 20  # of which so many do the same
MAX_KINDS = 6  # a stretch names so many kinds of steps
MAX_BRIEF = 120

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Stretch:
    """Hold steps in a row that the page only counts. `kinds` counts what they do, `risks` describes their risks."""

    id: str
    number: int
    steps: str
    total: int
    kinds: Sequence[tuple[int, str, str]]
    more: str
    risks: str


def _choose_steps(documents: Sequence[Json]) -> Sequence[set[int] | None]:
    """Return the numbers of each document's steps in detail; None where all of them are.

    A danger that is not accepted comes first, then an accepted one, a step without an undo, and a caution. Of other
    steps the first few of each kind are chosen.
    """
    if sum(len(document["changes"]) for document in documents) <= MAX_WHOLE:
        return [None] * len(documents)
    risky: list[tuple[int, int, int]] = []
    plain: list[tuple[int, int]] = []
    alike: Counter[tuple[int, str, str, str]] = Counter()
    for index, document in enumerate(documents):
        for change in document["changes"]:
            rank = _rank_step(change)
            if rank is not None:
                risky.append((rank, index, change["step"]))
            elif len(plain) < MAX_PLAIN:
                kind = (index, name_action(change), change["kind"], _summarize(change))
                alike[kind] += 1
                if alike[kind] <= MAX_ALIKE:
                    plain.append((index, change["step"]))
    chosen: list[set[int]] = [set() for _ in documents]
    for index, step in [*plain, *((index, step) for _, index, step in sorted(risky)[:MAX_RISKY])]:
        chosen[index].add(step)
    return chosen


def _summarize(change: Json) -> str:
    """Return what the step does in a few words; a deletion's risk differs for each and is not among them."""
    return "" if change["actions"] == ["delete"] else truncate(summarize_step(change), MAX_BRIEF)


def _rank_step(change: Json) -> int | None:
    """Return how much a step matters, 0 for what matters most; None for a step without a risk."""
    if not change["risks"]:
        return None if change["undo"]["complete"] else 2
    levels = {(risk["level"], bool(risk["accepted"])) for risk in change["risks"]}
    if ("danger", False) in levels:
        return 0
    if ("danger", True) in levels:
        return 1
    if not change["undo"]["complete"]:
        return 2
    return 3 if any(level == "caution" for level, _ in levels) else None


def split_steps(id: str, changes: Sequence[Json], chosen: set[int] | None) -> Iterator[Json | Stretch]:
    """Yield the steps in their order; those that are not chosen as stretches."""
    if chosen is None:
        yield from changes
        return
    for detailed, group in groupby(changes, lambda change: change["step"] in chosen):
        if detailed:
            yield from group
        else:
            yield _describe_stretch(id, list(group))


def _describe_stretch(id: str, changes: Sequence[Json]) -> Stretch:
    kinds = Counter((text.format_mark(c).strip(), f"{name_action(c)} {c['kind']}", _summarize(c)) for c in changes)
    shown_kinds = kinds.most_common(MAX_KINDS)
    others = len(changes) - sum(number for _, number in shown_kinds)
    risky = [change for change in changes if change["risks"]]
    open_dangers = sum(bool(text.list_open_dangers(change)) for change in risky)
    dangers = sum(any(risk["level"] == "danger" for risk in change["risks"]) for change in risky)
    final = sum(not change["undo"]["complete"] for change in changes)
    risks = [f"{dangers:,} with a danger, {open_dangers:,} of them not accepted"] if dangers else []
    risks += [f"{final:,} without a complete undo"] if final else []
    return Stretch(
        id=f"{id}-{changes[0]['step']}",
        number=changes[0]["step"],
        steps=format_ranges([change["step"] for change in changes]),
        total=len(changes),
        kinds=[(number, f"{mark} {what}", brief) for (mark, what, brief), number in shown_kinds],
        more=f"and {others:,} others" if others else "",
        risks="; ".join(risks),
    )


@dataclass(frozen=True, slots=True)
class Excerpt:
    """Hold what a page shows of one document: the steps in detail (None: all), and how many problems and drifted
    values."""

    chosen: set[int] | None
    problems: int
    drift: int


def make_excerpts(documents: Sequence[Json]) -> list[Excerpt]:
    """Return what one page of all these documents has space for."""
    chosen = _choose_steps(documents)
    problems = _share_space([len(document["diagnostics"]) for document in documents])
    drift = _share_space([len(document["drift"]) for document in documents])
    return [Excerpt(*parts) for parts in zip(chosen, problems, drift, strict=True)]


def _share_space(sizes: Sequence[int]) -> list[int]:
    """Return how many items of each list there is space for: all of them, or the same number of each list."""
    if sum(sizes) <= MAX_ROWS:
        return list(sizes)
    lists = sum(size > 0 for size in sizes)
    return [min(size, max(1, MAX_ROWS // lists)) for size in sizes]
