"""Describe one step of a plan in words and rows, for every view that draws it its own way."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from typing import Any

from kplan.kinds.nouns import views_of
from kplan.render import text
from kplan.render.wording import format_short_value, format_value
from kplan.text import count
from kplan.values import dataclass

MAX_UNCHANGED_ITEMS = 12  # of a list, shown beside those that change
MAX_COMPARED_WORDS = 400  # texts of more words are not compared word by word
MAX_DIFFERENCE_LENGTH = 70  # a longer difference is shown by its name alone
VERBS = {
    "create": "create",
    "update": "change",
    "delete": "delete",
    "move": "move",
    "adopt": "adopt",
    "release": "give up",
}

Json = Mapping[str, Any]
place = text.format_place


@dataclass(frozen=True, slots=True)
class Row:
    """One attribute. `shape`: plain, change, list, words or lines; `pieces` are ("same" | "add" | "gone", text)."""

    key: str
    mark: str = ""
    shape: str = "plain"
    before: str = ""
    after: str = ""
    pieces: Sequence[tuple[str, str]] = ()
    more: str = ""
    cause: str = ""


def name_action(change: Json) -> str:
    return "replace" if change["actions"] == ["delete", "create"] else VERBS[change["actions"][0]]


def find_common_beginning(first: str, other: str) -> str:
    """Return what both texts begin with."""
    differing = (n for n, (a, b) in enumerate(zip(first, other, strict=False)) if a != b)
    return first[: next(differing, min(len(first), len(other)))]


def shows_differences(change: Json) -> bool:
    """Return whether the step is shown by its differences, not by what it creates or deletes."""
    return change["actions"][0] in ("update", "move") or change["reason"] == "protect_changed"


def summarize_step(change: Json) -> str:
    """Return the step in one line, without its details."""
    if not shows_differences(change):
        return summarize_resource(change)
    more = len(change["diff"]) - 2
    return ", ".join(_summarize_difference(diff) for diff in change["diff"][:2]) + (
        f" and {more} more" if more > 0 else ""
    )


def summarize_resource(change: Json) -> str:
    """Return what is created or deleted, in one line."""
    if change["actions"] == ["delete"]:
        dangers = (risk["summary"] for risk in change["risks"] if risk["level"] == "danger")
        return next(dangers, "") or summarize_deleted(change)
    if change["actions"][0] in ("adopt", "release"):
        return "in the ledger alone"
    resource = change["after"] or change["before"] or {}
    return views_of(change["kind"]).summarize(resource)


def summarize_deleted(change: Json) -> str:
    """Return what is deleted in one line, where its kind has words for that."""
    return views_of(change["kind"]).summarize_deleted(change["before"] or {}) if change["before"] else ""


def _summarize_difference(diff: Json) -> str:
    key, before, after = text.name_attribute(diff), diff["before"], diff["after"]
    if isinstance(before, dict) or isinstance(after, dict):
        return f"{key} (sensitive)"
    if _is_list(key, before, after):
        old, new = set(text.split_items(before)), set(text.split_items(after))
        counts = [f"{sign}{n}" for sign, n in (("+", len(new - old)), ("−", len(old - new))) if n]
        return " ".join([key, *counts])
    words = f"{key} {format_short_value(key, before)} → {format_short_value(key, after)}"
    return words if len(words) <= MAX_DIFFERENCE_LENGTH else key


def describe_unchanged(change: Json) -> str:
    """Return what the step leaves as it is."""
    noun = views_of(change["kind"]).attribute_noun
    unchanged, unmanaged = change["unchanged"], change.get("unmanaged", [])
    parts = [f"{count(unchanged, noun)} unchanged"] if unchanged and shows_differences(change) else []
    parts += [f"{count(len(unmanaged), 'config')} not managed: {', '.join(unmanaged)}"] if unmanaged else []
    return ", ".join(parts)


def list_rows(change: Json) -> list[Row]:
    """Return the attributes that differ, or those of what is created or deleted."""
    if shows_differences(change):
        return [_compare(diff) for diff in change["diff"]]
    if change["actions"][0] in ("adopt", "release"):
        return []
    resource = change["after"] or change["before"] or {}
    attributes = [Row(key, after=words) for key, words in text.list_main_attributes(change["kind"], resource)]
    config = resource.get("config") or {}
    return attributes + [Row(key, after=format_attribute(key, config[key])) for key in sorted(config)]


def format_attribute(key: str, raw: Any) -> str:
    return "(sensitive)" if isinstance(raw, dict) else format_value(key, raw)


def _compare(diff: Json) -> Row:
    """Return the difference of one attribute: a list by its items, JSON by its paths, a long text by its words."""
    key, before, after = text.name_attribute(diff), diff["before"], diff["after"]
    mark = "+" if before is None else "-" if after is None else "~"
    cause = text.CAUSES.get(diff["cause"], "")
    if isinstance(before, dict) or isinstance(after, dict):
        return Row(key, mark, "lines", pieces=[("same", text.describe_secret_change(diff))], cause=cause)
    if nested := text.compare_nested_json(before, after):
        return Row(key, mark, "lines", pieces=[("same", line) for line in nested], cause=cause)
    if _is_list(key, before, after):
        pieces, more = _compare_items(text.split_items(before), text.split_items(after))
        return Row(key, mark, "list", pieces=pieces, more=more, cause=cause)
    if pieces := _compare_words(before, after):
        return Row(key, mark, "words", pieces=pieces, cause=cause)
    return Row(key, mark, "change", format_attribute(key, before), format_attribute(key, after), cause=cause)


def _is_list(key: str, before: Any, after: Any) -> bool:
    texts = isinstance(before, str) and isinstance(after, str)
    return texts and bool(text.LISTS.search(key)) and ("," in before or "," in after)


def _compare_items(before: Sequence[str], after: Sequence[str]) -> tuple[list[tuple[str, str]], str]:
    """Return what comes and what goes, after the first of what stays; and how much more stays."""
    old, new = set(before), set(after)
    shown = [item for item in after if item in old]
    changed = [("add", item) for item in after if item not in old]
    changed += [("gone", item) for item in before if item not in new]
    more = f"and {len(shown) - MAX_UNCHANGED_ITEMS} more that stay" if len(shown) > MAX_UNCHANGED_ITEMS else ""
    return [*(("same", item) for item in shown[:MAX_UNCHANGED_ITEMS]), *changed], more or (
        "" if changed else "in another order"
    )


def _compare_words(before: Any, after: Any) -> list[tuple[str, str]]:
    """Return two long texts as one, with what goes and what comes; empty if they are short or have little in common."""
    if not (isinstance(before, str) and isinstance(after, str)) or len(before) + len(after) < 80:
        return []
    old, new = (re.findall(r"\w+|\s+|[^\w\s]", side) for side in (before, after))
    if len(old) > MAX_COMPARED_WORDS or len(new) > MAX_COMPARED_WORDS:
        return []
    match = difflib.SequenceMatcher(None, old, new, autojunk=False)
    if match.ratio() < 0.4:
        return []
    pieces = []
    for tag, a, b, c, d in match.get_opcodes():
        if tag == "equal":
            pieces.append(("same", "".join(old[a:b])))
        else:
            pieces += [(op, words) for op, words in (("gone", "".join(old[a:b])), ("add", "".join(new[c:d]))) if words]
    return pieces
