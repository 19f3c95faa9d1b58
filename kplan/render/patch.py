"""A step as the lines of a diff, whose sign is in the first column, where GitHub and GitLab colour it.

None of them can end the fence around it: each begins with a sign, or with more than three spaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kplan.render import text
from kplan.render.diagnostics import visible
from kplan.render.facts import sentence
from kplan.render.steps import Row, beginning, place, rest, rows, verb
from kplan.text import count, truncate

SIGNS = {"create": "+", "delete": "-", "adopt": " ", "give up": " "}
VALUE, LINES = 200, 60  # characters of a value, lines of attributes
NEAR = 24  # characters of an unchanged text that are shown beside what changes
COLUMN = 21

Json = Mapping[str, Any]


def patch(change: Json, created_at: str) -> str:
    """The step: what it is, what differs, what is left alone, what it does besides and how it is put back."""
    found = list(_rows(change))
    more = [f"#      … {count(len(found) - LINES, 'more line')}"] if len(found) > LINES else []
    said = [_head(change), *_about(change), *found[:LINES], *more, *_besides(change, created_at)]
    return "".join(f"{line}\n" for line in said)


def _head(change: Json) -> str:
    sign = SIGNS.get(verb(change), "!")
    mark = text.sign(change) + ("" if change["undo"]["complete"] else "!")
    where = place(change.get("source"))
    return visible(f"{sign} {change['step']:>4}  {mark:<2} {change['address']:<48}  {where}".rstrip())


def _about(change: Json) -> Iterator[str]:
    yield from (_note(note) for note in text.notes(change))


def _note(words: str) -> str:
    return f"#      {visible(truncate(words, 2 * VALUE))}"


def _rows(change: Json) -> Iterator[str]:
    found = rows(change)
    if change["actions"] == ["delete"]:
        found = found[:2]
    column = min(40, max([COLUMN, *(len(row.key) for row in found)]))
    sign = "+" if change["after"] else "-"
    for row in found:
        yield from _row(row, sign, column)
        if row.cause:
            yield _note(f"{row.key}: {row.cause}")


def _row(row: Row, sign: str, column: int) -> Iterator[str]:
    if row.shape == "plain":
        yield _line(sign, row.key, row.after, column)
    elif row.shape == "change":
        before, after = _apart(row.before, row.after)
        if row.mark != "+":
            yield _line("-", row.key, before, column)
        if row.mark != "-":
            yield _line("+", row.key, after, column)
    elif row.shape == "list":
        yield from _items(row, column)
    elif row.shape == "words":
        yield _line("-", row.key, _side(row, "gone"), column)
        yield _line("+", row.key, _side(row, "add"), column)
    else:
        for n, (_, piece) in enumerate(row.pieces):
            yield _line("!", "" if n else row.key, piece, column)


def _line(sign: str, key: str, value: str, column: int) -> str:
    return f"{sign}      {visible(truncate(key, VALUE)):<{column}}  {visible(truncate(value, VALUE))}".rstrip()


def _apart(before: str, after: str) -> tuple[str, str]:
    """Both texts, without a beginning that is the same and so long that the difference would be cut off."""
    same = len(beginning(before, after)) - NEAR
    return (before, after) if same < VALUE // 2 else (f"…{before[same:]}", f"…{after[same:]}")


def _items(row: Row, column: int) -> Iterator[str]:
    """A list: what stays on one line, then what comes and what goes, an item a line."""
    same = ", ".join(piece for kind, piece in row.pieces if kind == "same")
    yield _line(" ", row.key, ", ".join(filter(None, [truncate(same, VALUE // 2), row.more])), column)
    for kind, piece in row.pieces:
        if kind != "same":
            yield _line("+" if kind == "add" else "-", "", piece, column)


def _side(row: Row, kind: str) -> str:
    """The text before or after, of which long stretches that stay are left out."""
    return "".join(piece if each == kind else _near(piece) for each, piece in row.pieces if each in (kind, "same"))


def _near(piece: str) -> str:
    return piece if len(piece) <= 2 * NEAR else f"{piece[:NEAR]}…{piece[-NEAR:]}"


def _besides(change: Json, created_at: str) -> Iterator[str]:
    if said := rest(change):
        yield _note(said)
    yield from (_note(f"effect: {effect}") for effect in change.get("effects", ()))
    for risk in change["risks"]:
        yield _note(f"{risk['level']} {risk['code']}: {sentence(risk, created_at)}")
    yield _note(f"undo: {text.undo(change)}")
