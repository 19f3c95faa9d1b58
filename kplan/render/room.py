"""Fit what matters most into limited space: pieces of a page, taken by rank until one does not fit."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import field
from typing import Any

from kplan.values import dataclass

MAX_REST_LENGTH = 120  # of the sentence about what was left out


@dataclass(frozen=True, slots=True)
class PageItem:
    """Hold a piece of text, created when it is needed. Rank 0 is required; `noun` names it where it is left out.

    `text` takes the `arguments`: a page may have two items for each of many steps, and a closure is larger.
    """

    rank: int
    text: Callable[..., str]
    noun: str = ""
    arguments: tuple[Any, ...] = ()

    def write(self) -> str:
        return self.text(*self.arguments)


@dataclass(frozen=True, slots=True)
class Part:
    """Hold items in the order of the page; `head` and `tail` are added if at least one item is.

    `rest` describes in at most `MAX_REST_LENGTH` characters which of the others, counted by their nouns, were left out.
    """

    items: Sequence[PageItem]
    head: str = ""
    tail: str = ""
    rest: Callable[[Counter[str]], str] | None = None


@dataclass(slots=True)
class FittedPage:
    """Hold what was taken of each part, and how many items of each noun were not."""

    parts: Sequence[Part]
    taken: list[dict[int, str]] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        return "".join(_join_items(part, taken) for part, taken in zip(self.parts, self.taken, strict=True))


def fit_page(parts: Sequence[Part], space: int, size: Callable[[str], int]) -> FittedPage | None:
    """Return the page of at most `space` characters; None where not even the items of rank 0 fit.

    Of two items the one of lower rank is taken, then the earlier one; nothing is taken after what does not fit.
    """
    page = FittedPage(parts, [{} for _ in parts])
    queue = _queue_by_rank(parts)
    for rank, p, i in queue:
        item = parts[p].items[i]
        text = item.write()
        space -= size(text) + (0 if page.taken[p] else _measure_frame(parts[p], size))
        if space < 0:
            if rank == 0:
                return None
            page.left.update((item.noun,))
            page.left.update(parts[p].items[i].noun for _, p, i in queue)
            break
        page.taken[p][i] = text
    return page


def _queue_by_rank(parts: Sequence[Part]) -> Iterator[tuple[int, int, int]]:
    """Yield rank, part and number of each item, by rank and then in the order of the page."""
    numbers: dict[tuple[int, int], array[int]] = {}
    for p, part in enumerate(parts):
        for i, item in enumerate(part.items):
            numbers.setdefault((item.rank, p), array("L")).append(i)
    for (rank, p), of_part in sorted(numbers.items()):
        yield from ((rank, p, i) for i in of_part)


def _measure_frame(part: Part, size: Callable[[str], int]) -> int:
    return size(part.head) + size(part.tail) + (MAX_REST_LENGTH if part.rest else 0)


def _join_items(part: Part, taken: dict[int, str]) -> str:
    if not taken:
        return ""
    left = Counter(item.noun for i, item in enumerate(part.items) if i not in taken)
    rest = part.rest(left) if part.rest and left else ""
    return part.head + "".join(taken[i] for i in sorted(taken)) + rest + part.tail
