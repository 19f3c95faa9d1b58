"""Write a step as the lines of a diff, whose sign is in the first column, where GitHub and GitLab colour it.

None of them can end the fence around it: each begins with a sign, or with more than three spaces.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kplan.render import text
from kplan.render.diagnostics import escape_controls
from kplan.render.facts import format_sentence
from kplan.render.folding import Fold
from kplan.render.forecast import describe_storage
from kplan.render.steps import (
    Row,
    describe_unchanged,
    find_common_beginning,
    list_rows,
    name_action,
    place,
    summarize_resource,
)
from kplan.text import count, truncate

SIGNS = {"create": "+", "delete": "-", "adopt": " ", "give up": " "}
MAX_VALUE_LENGTH, MAX_LINES = 200, 60  # characters of a value, lines of attributes
CONTEXT_LENGTH = 24  # characters of an unchanged text that are shown beside a change
MIN_COLUMN_WIDTH = 21
MAX_NAME_WIDTH = 72  # of the addresses of folded steps

Json = Mapping[str, Any]


def write_patch(change: Json, created_at: str) -> str:
    """Return the step: what it is, what differs, what stays, its other effects and its undo."""
    attributes = list(_write_attributes(change))
    more = [f"#      … {count(len(attributes) - MAX_LINES, 'more line')}"] if len(attributes) > MAX_LINES else []
    lines = [
        _write_head(change),
        *_write_notes(change),
        *attributes[:MAX_LINES],
        *more,
        *_write_effects(change, created_at),
    ]
    return "".join(f"{line}\n" for line in lines)


def write_fold(fold: Fold, is_brief: bool = False) -> str:
    """Return folded steps: a head, then each in a line with its address and, unless `is_brief`, what it is."""
    sign = SIGNS.get(name_action(fold.first), "!")
    mark = text.format_sign(fold.first) + ("" if fold.first["undo"]["complete"] else "!")
    head = f"{sign} {fold.numbers:>4}  {mark:<2} {fold.title}  {fold.size}  {fold.place}".rstrip()
    column = min(MAX_NAME_WIDTH, max(len(step["address"]) for step in fold.steps))
    words = ["" if is_brief or fold.is_alike else summarize_resource(step) for step in fold.steps]
    lines = [
        f"{sign} {step['step']:>4}     {step['address']:<{column}}  {brief}".rstrip()
        for step, brief in zip(fold.steps, words, strict=True)
    ]
    notes = [_write_note(f"note {note['code']}: {note['summary']}") for note in fold.notes]
    undo = _write_note(f"undo of each: {text.describe_undo(fold.first)}")
    attributes = list(_write_attributes(fold.first))[:MAX_LINES] if fold.is_alike else []
    return "".join(f"{line}\n" for line in (*map(escape_controls, (head, *lines)), *attributes, *notes, undo, ""))


def _write_head(change: Json) -> str:
    sign = SIGNS.get(name_action(change), "!")
    mark = text.format_sign(change) + ("" if change["undo"]["complete"] else "!")
    where = place(change.get("source"))
    return escape_controls(f"{sign} {change['step']:>4}  {mark:<2} {change['address']:<48}  {where}".rstrip())


def _write_notes(change: Json) -> Iterator[str]:
    yield from (_write_note(note) for note in text.list_notes(change))


def _write_note(note: str) -> str:
    return f"#      {escape_controls(truncate(note, 2 * MAX_VALUE_LENGTH))}"


def _write_attributes(change: Json) -> Iterator[str]:
    attributes = list_rows(change)
    if change["actions"] == ["delete"]:
        attributes = attributes[:2]
    column = min(40, max([MIN_COLUMN_WIDTH, *(len(row.key) for row in attributes)]))
    sign = "+" if change["after"] else "-"
    for row in attributes:
        yield from _write_row(row, sign, column)
        if row.cause:
            yield _write_note(f"{row.key}: {row.cause}")


def _write_row(row: Row, sign: str, column: int) -> Iterator[str]:
    if row.shape == "plain":
        yield _write_line(sign, row.key, row.after, column)
    elif row.shape == "change":
        before, after = _drop_common_beginning(row.before, row.after)
        if row.mark != "+":
            yield _write_line("-", row.key, before, column)
        if row.mark != "-":
            yield _write_line("+", row.key, after, column)
    elif row.shape == "list":
        yield from _write_items(row, column)
    elif row.shape == "words":
        yield _write_line("-", row.key, _join_side(row, "gone"), column)
        yield _write_line("+", row.key, _join_side(row, "add"), column)
    else:
        for n, (_, piece) in enumerate(row.pieces):
            yield _write_line("!", "" if n else row.key, piece, column)


def _write_line(sign: str, key: str, value: str, column: int) -> str:
    return (
        f"{sign}      {escape_controls(truncate(key, MAX_VALUE_LENGTH)):<{column}} "
        f" {escape_controls(truncate(value, MAX_VALUE_LENGTH))}"
    ).rstrip()


def _drop_common_beginning(before: str, after: str) -> tuple[str, str]:
    """Return both texts without a common beginning that is so long that the difference would be cut off."""
    skipped = len(find_common_beginning(before, after)) - CONTEXT_LENGTH
    return (before, after) if skipped < MAX_VALUE_LENGTH // 2 else (f"…{before[skipped:]}", f"…{after[skipped:]}")


def _write_items(row: Row, column: int) -> Iterator[str]:
    """Yield a list: what stays on one line, then what comes and what goes, an item a line."""
    unchanged = ", ".join(piece for kind, piece in row.pieces if kind == "same")
    yield _write_line(
        " ", row.key, ", ".join(filter(None, [truncate(unchanged, MAX_VALUE_LENGTH // 2), row.more])), column
    )
    for kind, piece in row.pieces:
        if kind != "same":
            yield _write_line("+" if kind == "add" else "-", "", piece, column)


def _join_side(row: Row, kind: str) -> str:
    """Return the text before or after, of which long stretches that stay are left out."""
    return "".join(
        piece if piece_kind == kind else _shorten(piece)
        for piece_kind, piece in row.pieces
        if piece_kind in (kind, "same")
    )


def _shorten(piece: str) -> str:
    return piece if len(piece) <= 2 * CONTEXT_LENGTH else f"{piece[:CONTEXT_LENGTH]}…{piece[-CONTEXT_LENGTH:]}"


def _write_effects(change: Json, created_at: str) -> Iterator[str]:
    if unchanged := describe_unchanged(change):
        yield _write_note(unchanged)
    yield from (_write_note(f"effect: {effect}") for effect in change.get("effects", ()))
    if "storage" in change:
        yield _write_note(f"storage: {describe_storage(change['storage'])}")
    for risk in change["risks"]:
        yield _write_note(f"{risk['level']} {risk['code']}: {format_sentence(risk, created_at)}")
    yield _write_note(f"undo: {text.describe_undo(change)}")
