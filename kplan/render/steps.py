"""One step of a plan in words and rows, for every view that draws it its own way."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kplan.render import text
from kplan.render.wording import short, value
from kplan.text import count

KEPT = 12  # so many unchanged items of a list are shown beside those that change
WORDS = 400  # texts of more words are not compared word by word
SHORT = 70  # a difference of more characters is told by its name alone
VERBS = {
    "create": "create",
    "update": "change",
    "delete": "delete",
    "move": "move",
    "adopt": "adopt",
    "release": "give up",
}

Json = Mapping[str, Any]
place = text.place


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


def verb(change: Json) -> str:
    return "replace" if change["actions"] == ["delete", "create"] else VERBS[change["actions"][0]]


def beginning(one: str, other: str) -> str:
    """What both texts begin with."""
    differing = (n for n, (a, b) in enumerate(zip(one, other, strict=False)) if a != b)
    return one[: next(differing, min(len(one), len(other)))]


def compares(change: Json) -> bool:
    """Whether the step is told by its differences, not by what it makes or deletes."""
    return change["actions"][0] in ("update", "move") or change["reason"] == "protect_changed"


def briefly(change: Json) -> str:
    """The step in one line, for whoever reads none of its details."""
    if not compares(change):
        return made(change)
    more = len(change["diff"]) - 2
    return ", ".join(_in_short(diff) for diff in change["diff"][:2]) + (f" and {more} more" if more > 0 else "")


def made(change: Json) -> str:
    """What is created or deleted, in one line."""
    if change["actions"] == ["delete"]:
        return next((r["summary"] for r in change["risks"] if r["level"] == "danger"), "")
    if change["actions"][0] in ("adopt", "release"):
        return "in the ledger alone"
    resource = change["after"] or change["before"] or {}
    config = resource.get("config") or {}
    if change["kind"] == "connector":
        return f"{str(resource.get('class')).rpartition('.')[2]}, {count(len(config), 'setting')}"
    policy = [p for p in [config.get("cleanup.policy")] if p not in (None, "delete")]
    return ", ".join([count(resource["partitions"], "partition"), *policy])


def _in_short(diff: Json) -> str:
    key, before, after = text.attribute(diff), diff["before"], diff["after"]
    if isinstance(before, dict) or isinstance(after, dict):
        return f"{key} (sensitive)"
    if _is_list(key, before, after):
        old, new = set(text.items(before)), set(text.items(after))
        counts = [f"{sign}{n}" for sign, n in (("+", len(new - old)), ("−", len(old - new))) if n]
        return " ".join([key, *counts])
    said = f"{key} {short(key, before)} → {short(key, after)}"
    return said if len(said) <= SHORT else key


def rest(change: Json) -> str:
    """What the step leaves as it is."""
    noun = "setting" if change["kind"] == "connector" else "attribute"
    same, unmanaged = change["unchanged"], change.get("unmanaged", [])
    said = [f"{count(same, noun)} unchanged"] if same and compares(change) else []
    said += [f"{count(len(unmanaged), 'config')} not managed: {', '.join(unmanaged)}"] if unmanaged else []
    return ", ".join(said)


def rows(change: Json) -> list[Row]:
    """The attributes that differ, or those of what is created or deleted."""
    if compares(change):
        return [_compared(diff) for diff in change["diff"]]
    if change["actions"][0] in ("adopt", "release"):
        return []
    resource = change["after"] or change["before"] or {}
    if change["kind"] == "topic":
        found = [
            Row("partitions", after=str(resource.get("partitions"))),
            Row("replication", after=text.replication(resource.get("replication_factor"))),
        ]
    else:
        found = [Row("class", after=str(resource.get("class"))), Row("state", after=str(resource.get("state")))]
    config = resource.get("config") or {}
    return found + [Row(key, after=shown(key, config[key])) for key in sorted(config)]


def shown(key: str, raw: Any) -> str:
    return "(sensitive)" if isinstance(raw, dict) else value(key, raw)


def _compared(diff: Json) -> Row:
    """The difference of one attribute: a list by its items, JSON by its paths, a long text by its words."""
    key, before, after = text.attribute(diff), diff["before"], diff["after"]
    mark = "+" if before is None else "-" if after is None else "~"
    cause = text.CAUSES.get(diff["cause"], "")
    if isinstance(before, dict) or isinstance(after, dict):
        return Row(key, mark, "lines", pieces=[("same", text.secret_words(diff))], cause=cause)
    if nested := text.nested_differences(before, after):
        return Row(key, mark, "lines", pieces=[("same", line) for line in nested], cause=cause)
    if _is_list(key, before, after):
        pieces, more = _by_item(text.items(before), text.items(after))
        return Row(key, mark, "list", pieces=pieces, more=more, cause=cause)
    if pieces := _by_word(before, after):
        return Row(key, mark, "words", pieces=pieces, cause=cause)
    return Row(key, mark, "change", shown(key, before), shown(key, after), cause=cause)


def _is_list(key: str, before: Any, after: Any) -> bool:
    texts = isinstance(before, str) and isinstance(after, str)
    return texts and bool(text.LISTS.search(key)) and ("," in before or "," in after)


def _by_item(before: Sequence[str], after: Sequence[str]) -> tuple[list[tuple[str, str]], str]:
    """What comes and what goes, after the first of what stays; and how much more stays."""
    old, new = set(before), set(after)
    same = [item for item in after if item in old]
    changed = [("add", item) for item in after if item not in old]
    changed += [("gone", item) for item in before if item not in new]
    more = f"and {len(same) - KEPT} more that stay" if len(same) > KEPT else ""
    return [*(("same", item) for item in same[:KEPT]), *changed], more or ("" if changed else "in another order")


def _by_word(before: Any, after: Any) -> list[tuple[str, str]]:
    """Two long texts as one, with what goes and what comes; empty where they are short or have little in common."""
    if not (isinstance(before, str) and isinstance(after, str)) or len(before) + len(after) < 80:
        return []
    old, new = (re.findall(r"\w+|\s+|[^\w\s]", each) for each in (before, after))
    if len(old) > WORDS or len(new) > WORDS:
        return []
    match = difflib.SequenceMatcher(None, old, new, autojunk=False)
    if match.ratio() < 0.4:
        return []
    pieces = []
    for tag, a, b, c, d in match.get_opcodes():
        if tag == "equal":
            pieces.append(("same", "".join(old[a:b])))
        else:
            pieces += [(op, said) for op, said in (("gone", "".join(old[a:b])), ("add", "".join(new[c:d]))) if said]
    return pieces
