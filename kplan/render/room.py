"""What matters most in a limited room: pieces of a page, taken by rank until one does not fit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

REST = 120  # the longest sentence about what was left out


@dataclass(frozen=True, slots=True)
class Item:
    """A piece of text, made when it is needed. Rank 0 must be there; `noun` names it where it is not."""

    rank: int
    text: Callable[[], str]
    noun: str = ""


@dataclass(frozen=True, slots=True)
class Part:
    """Items in the order of the page; `head` and `tail` stand where one of them does.

    `rest` says in at most `REST` characters which of the others, counted by their nouns, were left out.
    """

    items: Sequence[Item]
    head: str = ""
    tail: str = ""
    rest: Callable[[Counter[str]], str] | None = None


@dataclass(slots=True)
class Page:
    """What was taken of each part, and how many items of each noun were not."""

    parts: Sequence[Part]
    taken: list[dict[int, str]] = field(default_factory=list)
    left: Counter[str] = field(default_factory=Counter)

    @property
    def text(self) -> str:
        return "".join(_shown(part, taken) for part, taken in zip(self.parts, self.taken, strict=True))


def fitted(parts: Sequence[Part], room: int, size: Callable[[str], int]) -> Page | None:
    """The page of at most `room` characters; None where not even the items of rank 0 fit.

    Of two items the one of lower rank is taken, then the earlier one; nothing is taken after what does not fit.
    """
    page = Page(parts, [{} for _ in parts])
    queue = sorted((item.rank, p, i) for p, part in enumerate(parts) for i, item in enumerate(part.items))
    for position, (rank, p, i) in enumerate(queue):
        text = parts[p].items[i].text()
        room -= size(text) + (0 if page.taken[p] else _frame(parts[p], size))
        if room < 0:
            if rank == 0:
                return None
            page.left.update(parts[p].items[i].noun for _, p, i in queue[position:])
            break
        page.taken[p][i] = text
    return page


def _frame(part: Part, size: Callable[[str], int]) -> int:
    return size(part.head) + size(part.tail) + (REST if part.rest else 0)


def _shown(part: Part, taken: dict[int, str]) -> str:
    if not taken:
        return ""
    left = Counter(item.noun for i, item in enumerate(part.items) if i not in taken)
    rest = part.rest(left) if part.rest and left else ""
    return part.head + "".join(taken[i] for i in sorted(taken)) + rest + part.tail
