"""The plan for a terminal. It consumes the JSON document, so that the public format is always complete."""

from __future__ import annotations

import json
import re
import shlex
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
    again: str = ""  # the command as it was typed, to be typed again with an addition
    notes: Sequence[str] = field(default_factory=tuple)


def render(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    """The plan, line by line: what is meant, the steps in their order, the verdict and the dangers last."""
    yield from header(document, style, context)
    yield from body(document, style, context)


def body(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    """All but the header."""
    if not document["changes"]:
        yield ""
        yield _nothing(document, context)
        yield from _diagnostic_count(document)
        return
    yield ""
    yield "kplan will do this, in this order:"
    yield ""
    for change in document["changes"]:
        if change["step"] == document["point_of_no_return"]:
            yield _rule(style)
            if style.verbosity >= 0:
                yield ""
        yield from _change(change, style)
    if style.verbosity < 0:
        yield ""
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
    same = document["summary"]["unchanged"]
    verb = "matches" if same == 1 else "match"
    if not document["complete"]:
        hidden = count(document["summary"]["hidden"], "change")
        return f"Nothing to do for what was targeted; --target or --exclude hides {hidden}{timing}."
    return f"No changes. {count(same, 'resource')} {verb} {clean(where)}{timing}."


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
    for note in _notes(change):
        yield from _wrapped(note, style)
    if change["actions"][0] in ("update", "move") or change["reason"] == "protect_changed":
        column = _column(_key(diff) for diff in change["diff"])
        for diff in change["diff"]:
            yield from _diff(diff, style, column)
        unchanged, unmanaged = change["unchanged"], change.get("unmanaged", [])
        noun = "setting" if change["kind"] == "connector" else "attribute"
        words = [f"{count(unchanged, noun)} unchanged"] if unchanged else []
        words += [f"{count(len(unmanaged), 'config')} not managed: {', '.join(unmanaged)}"] if unmanaged else []
        if words:
            yield from _wrapped("# " + ", ".join(words), style, indent=9)
    elif change["actions"] not in (["adopt"], ["release"]):
        yield from _attributes(
            change["after"] or change["before"] or {}, change["kind"], style, change["actions"] == ["delete"]
        )
    for effect in change.get("effects", ()):
        yield from _wrapped(f"effect: {effect}", style)


def _notes(change: Mapping[str, Any]) -> Iterator[str]:
    """What made the resource, and why it changes."""
    note = (change["after"] or {}).get("note")
    if note:
        yield note
    if change["actions"] == ["move"]:
        yield f"was {change['moved_from']}; its offsets come along"
    if change.get("adopts") and change["actions"] == ["update"]:
        yield "it exists and nobody owns it: this stack adopts it, and changes it"
    reason = REASONS.get(change["reason"])
    if reason:
        yield reason


REASONS = {
    "adopted": "it exists, is as declared, and nobody owns it: this stack adopts it, in the ledger alone",
    "removed": "listed under `removed`",
    "orphan": "the ledger says that this stack owns it",
    "vanished": "kplan made it, and it is gone",
    "gone": "it is gone already; the ledger forgets it",
    "kept": "listed under `removed` with `keep`: it stays, and the stack gives it up",
    "protect_changed": "its protection changes, in the ledger alone",
    "replace_requested": "asked for with --replace",
}


def _attributes(resource: Mapping[str, Any], kind: str, style: Style, gone: bool) -> Iterator[str]:
    """The resource's settings; of one that goes, no more than what it is."""
    rows: list[tuple[str, str]] = []
    if kind == "topic":
        rows = [
            ("partitions", str(resource.get("partitions"))),
            ("replication", _replication(resource.get("replication_factor"))),
        ]
    else:
        rows = [("class", str(resource.get("class"))), ("state", str(resource.get("state")))]
    config = resource.get("config") or {}
    keys = sorted(config) if style.verbosity > 0 or not gone else []
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
    if any(len(word) > room for word in text.split()):  # a long name stands below its key
        yield style.paint(f"       {mark}{clean(key)}", COLORS.get(mark.strip(), ""))
        yield f"           {clean(text)}"
        return
    lines = textwrap.wrap(clean(text), room, break_on_hyphens=False, break_long_words=False) or [""]
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
    elif nested := nested_differences(before, after):
        yield from _row("~ ", key, "(JSON)", style, column)
        for line in nested:
            yield from _row("  ", "", line, style, column)
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


def nested_differences(before: Any, after: Any) -> list[str]:
    """What differs inside two texts that are JSON objects or arrays, a line each; empty where they are not."""
    if not all(isinstance(each, str) and each.lstrip().startswith(("{", "[")) for each in (before, after)):
        return []
    try:
        old, new = json.loads(before), json.loads(after)
    except (ValueError, RecursionError):
        return []
    from deepdiff import DeepDiff

    found = DeepDiff(old, new, ignore_order=False, verbose_level=2).pretty()
    return [line for line in str(found).splitlines() if line]


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
    if kind == "recreate" and change["actions"] == ["move"]:
        return f"move it back to {change['moved_from']}" + tail
    if kind == "recreate":
        return "make it again with its offsets and state" + tail
    if kind == "none":
        return "none" + (f", {why}" if why else "")
    if change["kind"] == "connector":
        return "put back the previous config and state, wait for RUNNING" + tail
    config = [d for d in change["diff"] if d["path"].startswith("/config/")]
    back = [f"{_key(d)} = {d['before']}" if d["before"] is not None else f"unset {_key(d)}" for d in config]
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
        errors = count(sum(d["severity"] == "error" for d in document["diagnostics"]), "error")
        yield ""
        yield style.paint(f"NOT POSSIBLE: {errors}, above. Nothing can be applied until that is corrected.", "1;31")
    elif document["blocked"]:
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
    """The refusal, with the exact words that would allow it, once for each address."""
    again = context.again or f"kplan {context.command} {' '.join(context.paths)}"
    changes = [change for change in document["changes"] if _open_dangers(change)]
    total = sum(len(_open_dangers(change)) for change in changes)
    if changes:
        verb = "is" if total == 1 else "are"
        yield style.paint(f"BLOCKED: {count(total, 'danger')} {verb} not accepted.", "1;31")
    for change in changes:
        mark = sign(change) + ("!" if not change["undo"]["complete"] else " ")
        yield style.paint(clean(f"  {mark} {change['address']}"), "31")
        for risk in _open_dangers(change):
            lines = _wrapped(f"{risk['code']} {risk['summary']}", style, indent=5)
            yield from (style.paint(line, "31") for line in lines)
        yield from _way_out(change, again)
    if "K419" in document["blocked"]:
        yield style.paint("BLOCKED: more changes than the guard `max_changes` allows in one run (K419).", "1;31")
        yield "  To allow it once:"
        yield f"      {again} --accept max_changes"


def _open_dangers(change: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [r for r in change["risks"] if r["level"] == "danger" and not r.get("accepted")]


def _way_out(change: Mapping[str, Any], again: str) -> Iterator[str]:
    dangers = _open_dangers(change)
    kinds = [r["kind"] for r in dangers]
    if "protect" in kinds:
        yield "  It is protected: apply `protect: false` on it first."
    else:
        source = change.get("source") or {}
        if change["reason"] == "orphan":
            others = ", ".join(kind for kind in kinds if kind != "orphan")
            accept = f", accept: [{others}]" if others else ""
            yield "  Accept it in review, in the stack:"
            yield f"      removed: [{{{change['kind']}: {clean(change['name'])}{accept}}}]"
        elif source.get("path") and change["reason"] != "destroy":
            yield f"  Accept it in review, at {clean(source['path'])}:{source['line']}:"
            yield f"      accept: [{', '.join(kinds)}]"
        yield "  or for one run:"
        yield f"      {again} --accept {shlex.quote(clean(dangers[0]['accept']))}"
    yield "  or leave it out:"
    yield f"      {again} --exclude {shlex.quote(clean(change['address']))}"


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
