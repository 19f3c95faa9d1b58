"""The plan for a terminal. It consumes the JSON document, so that the public format is always complete."""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kplan.words import count, value

SIGNS = {"create": "+", "update": "~", "delete": "-", "move": ">", "adopt": "=", "release": "o"}
COLORS = {"+": "32", "~": "33", "-": "31", "±": "31", ">": "36", "=": "36", "o": "36", "!": "1;31"}
LISTS = re.compile(r"(\.include\.list|\.exclude\.list|^topics|\.list)$")
KEY_WIDTH = 21


@dataclass(frozen=True, slots=True)
class Style:
    """How wide, and whether colours may be added. `verbosity`: -1 brief, 0, 1 verbose."""

    width: int = 100
    color: bool = False
    verbosity: int = 0

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and code else text


@dataclass(frozen=True, slots=True)
class Context:
    """What the document does not say: how it was called, how long it took, where it was saved."""

    paths: Sequence[str] = ()
    seconds: float | None = None
    saved: str = ""
    command: str = "plan"
    notes: Sequence[str] = field(default_factory=tuple)


def render(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    """The plan, line by line: what is meant, the steps in their order, the verdict and the dangers last."""
    yield from header(document, style, context)
    yield from body(document, style, context)


def body(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    """All but the header."""
    if not document["changes"]:
        yield from _diagnostic_count(document)
        yield _nothing(document, context)
        return
    yield ""
    yield "kplan will do this, in this order:"
    yield ""
    for change in document["changes"]:
        if change["step"] == document["point_of_no_return"]:
            yield _rule(style)
            yield ""
        yield from _change(change, style)
    yield from verdict(document, style, context)


def header(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    stack, target = document["stack"], document["target"]
    what = f"{stack['name']} · env {stack['env']}" + (f" · {', '.join(context.paths)}" if context.paths else "")
    yield style.paint(clean(what), "1")
    timing = f"   {context.seconds:.2f} s" if context.seconds is not None else ""
    if target["simulated"]:
        yield style.paint(f"  SIMULATED cluster {clean(target['simulated'])}, no server is touched", "1;35")
        timing = ""
    else:
        topics = f"{count(document['read']['topics'], 'topic')} read{timing}"
        yield clean(f"  Kafka    {target['bootstrap']}   cluster {target['cluster_id']}   {topics}")
        if target["connect_url"]:
            connectors = count(document["read"]["connectors"], "connector")
            yield clean(f"  Connect  {target['connect_url']}   {connectors}   version {target['connect_version']}")
        yield _checked(document)
    if document["used_env"]:
        yield f"  Defaults from {', '.join(document['used_env'])}"
    for note in context.notes:
        yield f"  {clean(note)}"


def _checked(document: Mapping[str, Any]) -> str:
    if not document["checked"]:
        return "  Not checked by the servers (--offline)"
    by: dict[str, int] = {}
    for change in document["changes"]:
        if change["verified"]:
            by[change["verified"]["by"]] = by.get(change["verified"]["by"], 0) + 1
    said = [f"{n} by {name}" for name, n in sorted(by.items(), reverse=True)]
    return f"  Checked by the servers: {', '.join(said) or 'nothing to check'}"


def _nothing(document: Mapping[str, Any], context: Context) -> str:
    where = ", ".join(context.paths) or document["stack"]["name"]
    timing = f" ({context.seconds:.1f} s)" if context.seconds is not None else ""
    if document["errored"]:
        return f"No plan: {count(sum(d['severity'] == 'error' for d in document['diagnostics']), 'error')}."
    if document["mode"] == "destroy":
        return f"Nothing to destroy: {document['stack']['name']} owns nothing here{timing}."
    partial = "" if document["complete"] else " of what was targeted"
    return f"No changes{partial}. {count(document['summary']['unchanged'], 'resource')} match {clean(where)}{timing}."


def _rule(style: Style) -> str:
    text = " ══ nothing below this line can be undone "
    return style.paint(text + "═" * max(3, style.width - len(text) - 1), "1;31")


# -- one step ---------------------------------------------------------------------------------------------------------
def sign(change: Mapping[str, Any]) -> str:
    return "±" if change["actions"] == ["delete", "create"] else SIGNS[change["actions"][0]]


def _change(change: Mapping[str, Any], style: Style) -> Iterator[str]:
    mark = sign(change) + ("!" if not change["undo"]["complete"] else " ")
    head = f"{change['step']:>2}  {mark} {clean(change['address'])}"
    source = change.get("source") or {}
    place = clean(f"{source['path']}:{source['line']}") if source.get("path") else ""
    gap = max(2, style.width - len(head) - len(place))
    painted = head.replace(mark, style.paint(mark, COLORS[sign(change)]), 1)
    yield painted + (" " * gap + style.paint(place, "2") if place else "")
    if style.verbosity >= 0:
        yield from _body(change, style)
    for risk in change["risks"]:
        yield from _risk(risk, style)
    if style.verbosity >= 0:
        yield from _wrapped(f"undo: {undo(change)}", style)
        yield ""


def _body(change: Mapping[str, Any], style: Style) -> Iterator[str]:
    note = (change["after"] or {}).get("note") or REASONS.get(change["reason"], "")
    if note:
        yield from _wrapped(note, style)
    if change["actions"][0] in ("update", "move"):
        column = _column(_key(diff) for diff in change["diff"])
        for diff in change["diff"]:
            yield from _diff(diff, style, column)
        unchanged, unmanaged = change["unchanged"], change.get("unmanaged", [])
        noun = "setting" if change["kind"] == "connector" else "attribute"
        words = [f"{count(unchanged, noun)} unchanged"] if unchanged else []
        words += [f"{count(len(unmanaged), 'config')} not managed: {', '.join(unmanaged)}"] if unmanaged else []
        if words:
            yield from _wrapped("# " + ", ".join(words), style, indent=9)
    else:
        yield from _attributes(change.get("after") or change.get("before") or {}, change["kind"], style)
    for effect in change.get("effects", ()):
        yield from _wrapped(f"effect: {effect}", style)


REASONS = {
    "removed": "listed under `removed`",
    "orphan": "it left the stack, and the ledger says that this stack owns it",
    "vanished": "kplan made it, and it is gone",
    "gone": "it is gone already; the ledger forgets it",
    "kept": "listed under `removed` with `keep`: it stays, and the stack gives it up",
    "protect_changed": "its protection changes, in the ledger alone",
    "replace_requested": "asked for with --replace",
}


def _attributes(resource: Mapping[str, Any], kind: str, style: Style) -> Iterator[str]:
    rows: list[tuple[str, str]] = []
    if kind == "topic":
        rows = [
            ("partitions", str(resource.get("partitions"))),
            ("replication", _replication(resource.get("replication_factor"))),
        ]
    else:
        rows = [("class", str(resource.get("class"))), ("state", str(resource.get("state")))]
    config = resource.get("config") or {}
    keys = sorted(config)
    shown = keys if style.verbosity > 0 or len(keys) <= 12 else keys[:10]
    rows += [(key, value(key, _plain(config[key]))) for key in shown]
    column = _column(key for key, _ in rows)
    for key, text in rows:
        yield from _row("  ", key, text, style, column)
    if len(shown) < len(keys):
        yield f"         # {len(keys) - len(shown)} more settings (--verbose)"


def _column(keys: Iterable[str]) -> int:
    """How wide the column of names is, so that one step's values stand below each other."""
    return min(40, max([KEY_WIDTH, *(len(key) + 2 for key in keys)]))


def _replication(factor: Any) -> str:
    return "the broker's default" if factor == -1 else str(factor)


def _row(mark: str, key: str, text: str, style: Style, column: int = KEY_WIDTH) -> Iterator[str]:
    column = max(column, len(key) + 2)
    indent = 9 + column
    room = max(20, style.width - indent)
    lines = textwrap.wrap(clean(text), room, break_on_hyphens=False) or [""]
    yield style.paint(f"       {mark}{clean(key):<{column}}", COLORS.get(mark.strip(), "")) + lines[0]
    for line in lines[1:]:
        yield " " * indent + line


def _key(diff: Mapping[str, Any]) -> str:
    key: str = diff["path"].removeprefix("/config/").removeprefix("/")
    return "replication" if key == "replication_factor" else key


def _diff(diff: Mapping[str, Any], style: Style, column: int) -> Iterator[str]:
    key = _key(diff)
    before, after = diff["before"], diff["after"]
    if isinstance(before, dict) or isinstance(after, dict):
        word = (
            "sensitive, changed"
            if before is not None and after is not None
            else "sensitive, set"
            if after
            else "sensitive, removed"
        )
        yield from _row("~ ", key, f"({word})", style, column)
    elif before is None:
        yield from _row("+ ", key, value(key, after), style, column)
    elif after is None:
        yield from _row("- ", key, f"{value(key, before)} -> (unset)", style, column)
    elif LISTS.search(key) and ("," in str(before) or "," in str(after)):
        yield from _list_diff(key, str(before), str(after), style, column)
    elif len(str(before)) + len(str(after)) > style.width - column - 15:
        yield from _row("~ ", key, value(key, before), style, column)
        yield from _row("  ", "", f"-> {value(key, after)}", style, column)
    else:
        yield from _row("~ ", key, f"{value(key, before)} -> {value(key, after)}", style, column)
    if diff["cause"] != "stack":
        who = "changed live since the last apply" if diff["cause"] == "drift" else "changed both live and in the stack"
        yield f"         # {who}"


def _list_diff(key: str, before: str, after: str, style: Style, column: int) -> Iterator[str]:
    old, new = _items(before), _items(after)
    kept = [item for item in new if item in old]
    yield from _row("~ ", key, ", ".join(kept), style, column)
    pad = " " * (7 + column)
    for item in new:
        if item not in old:
            yield style.paint(f"{pad}+ {clean(item)}", "32")
    for item in old:
        if item not in new:
            yield style.paint(f"{pad}- {clean(item)}", "31")


def _items(text: str) -> list[str]:
    """The items of a comma-separated list of names, whose dots are escaped where they are regular expressions."""
    return [item.strip().replace("\\.", ".") for item in text.split(",") if item.strip()]


def _risk(risk: Mapping[str, Any], style: Style) -> Iterator[str]:
    accepted = {"stack": " (accepted in the stack)", "flag": " (accepted for this run)"}.get(
        risk.get("accepted") or "", ""
    )
    word = {"danger": "DANGER", "caution": "caution", "note": "note"}[risk["level"]]
    color = {"DANGER": "1;31", "caution": "33"}.get(word, "")
    lines = list(_wrapped(f"{word} {risk['code']}: {risk['summary']}{accepted}", style))
    yield from (style.paint(line, color) for line in lines)


def undo(change: Mapping[str, Any]) -> str:
    """How the step is put back, in words."""
    kind, why = change["undo"]["kind"], change["undo"].get("why") or ""
    tail = f" ({why})" if why else ""
    if kind == "delete_if_empty":
        return "delete it while it is still empty"
    if kind == "delete":
        return "delete it, and its offsets"
    if kind == "record":
        return "the ledger's previous record"
    if kind == "recreate":
        return "make it again with its offsets and state" + tail
    if kind == "none":
        return "none" + (f": {why}" if why else "")
    if change["kind"] == "connector":
        return "put back the previous config and state, wait for RUNNING" + tail
    back = [
        f"{d['path'].removeprefix('/config/')} = {_plain(d['before']) or '(unset)'}"
        for d in change["diff"]
        if d["path"].startswith("/config/")
    ]
    shown = ", ".join(back[:3]) + (f" and {len(back) - 3} more" if len(back) > 3 else "")
    return shown + tail


def _plain(text: Any) -> Any:
    return "(sensitive)" if isinstance(text, dict) else text


# -- the end ----------------------------------------------------------------------------------------------------------
def verdict(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    if not document["complete"]:
        yield f"Partial: --target or --exclude hides {count(document['summary']['hidden'], 'change')}."
    yield style.paint(counts(document), "1")
    drift = len(document["drift"])
    said = f"{count(drift, 'attribute')} changed live since the last apply" if drift else "none"
    yield f"Digest {document['digest'].removeprefix('sha256:')[:8]}.  Drift: {said}."
    yield from _diagnostic_count(document)
    if document["errored"]:
        return
    if document["blocked"]:
        yield ""
        yield from blocked(document, style, context)
    elif context.saved:
        yield ""
        yield f"To do exactly this:  kplan apply {context.saved}"
    elif context.command == "plan":
        yield ""
        yield "This plan was not saved: with --out plan.json, `kplan apply plan.json` does exactly this."


def counts(document: Mapping[str, Any]) -> str:
    s = document["summary"]
    parts = [f"{s['add']} to add", f"{s['change']} to change", f"{s['delete']} to delete"]
    parts += [
        f"{s[key]} {words}"
        for key, words in (
            ("replace", "to replace"),
            ("move", "to move"),
            ("adopt", "to adopt"),
            ("release", "to give up"),
        )
        if s[key]
    ]
    irreversible = s["irreversible"]
    note = f"  {count(irreversible, 'step')} cannot be undone." if irreversible else ""
    return f"Plan: {', '.join(parts)}.{note}  {s['unchanged']} unchanged."


def _diagnostic_count(document: Mapping[str, Any]) -> Iterator[str]:
    warnings = sum(d["severity"] == "warning" for d in document["diagnostics"])
    if warnings and not document["errored"]:
        yield f"{count(warnings, 'warning')}, above."


def blocked(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    """The refusal, with the exact words that would allow it."""
    path = " ".join(context.paths)
    dangers = [
        (c, r) for c in document["changes"] for r in c["risks"] if r["level"] == "danger" and not r.get("accepted")
    ]
    total = len(document["blocked"])
    yield style.paint(f"BLOCKED: {count(total, 'danger')} {'is' if total == 1 else 'are'} not accepted.", "1;31")
    for change, risk in dangers:
        mark = sign(change) + ("!" if not change["undo"]["complete"] else " ")
        what = f"{risk['code']} {risk['kind']}: {risk['summary']}"
        yield style.paint(clean(f"  {mark} {change['address']}  {what}"), "31")
        yield from _way_out(change, risk, path, context.command)
    if "K419" in document["blocked"]:
        yield "  more changes than the guard `max_changes` allows (K419); for one run:"
        yield f"      kplan {context.command} {path} --accept max_changes"


def _way_out(change: Mapping[str, Any], risk: Mapping[str, Any], path: str, command: str) -> Iterator[str]:
    address = change["address"]
    if risk.get("kind") == "protect":
        yield "  It is protected. Apply `protect: false` on it first, then run this again."
        return
    source = change.get("source") or {}
    if source.get("path") and change["reason"] != "destroy":
        yield f"  Accept it in review, at {clean(source['path'])}:{source['line']}:"
        yield f"      accept: [{risk['kind']}]"
    elif change["reason"] == "orphan":
        yield "  Accept it in review, in the stack:"
        kinds = ", ".join(
            r["kind"] for r in change["risks"] if r["level"] == "danger" and r["kind"] not in ("protect", "orphan")
        )
        yield f"      removed: [{{{change['kind']}: {change['name']}{', accept: [' + kinds + ']' if kinds else ''}}}]"
    yield "  or for one run:"
    yield f"      kplan {command} {path} --accept {clean(risk['accept'])}"
    yield "  or leave it out:"
    yield f"      kplan {command} {path} --exclude {clean(address)}"


def _wrapped(text: str, style: Style, indent: int = 7) -> Iterator[str]:
    yield from textwrap.wrap(
        clean(text),
        max(40, style.width),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2),
        break_on_hyphens=False,
        break_long_words=False,
    )


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text without what would move a terminal's cursor or change its colours."""
    return CONTROL.sub("�", text)
