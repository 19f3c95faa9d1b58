"""The plan for a terminal. It consumes the JSON document, so that the public format is always complete."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from kplan.diagnostics import codes
from kplan.kinds.connector.tables import split
from kplan.render.alike import runs
from kplan.render.facts import sentence, snapshot
from kplan.render.wording import value
from kplan.text import count, join_names

SIGNS = {"create": "+", "update": "~", "delete": "-", "move": ">", "adopt": "=", "release": "o"}
ACCEPTED = {"stack": "accepted in the stack", "flag": "accepted for this run"}
COLORS = {"+": "32", "~": "33", "-": "31", "±": "31", ">": "36", "=": "36", "o": "36", "!": "1;31"}
LISTS = re.compile(r"(\.include\.list|\.exclude\.list|^topics|\.list)$")
KEY_WIDTH = 21
GLANCE, NAMES = 200, 12  # of steps that are alike so many names are shown, on at most so many lines
READABLE = 400  # steps in full; a plan of more has one line a step
MANY = 5  # blocked steps, from which on only the first one's ways out are whole commands


@dataclass(frozen=True, slots=True)
class Style:
    """How wide, and whether colours may be added. `verbosity`: -1 brief, 0, 1 verbose."""

    width: int = 100
    color: bool = False
    verbosity: int = 0

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and code else text


def fold(line: str, width: int) -> list[str]:
    """Break `line` between words into lines of at most `width` columns; what follows is indented two more."""
    indent = line[: len(line) - len(line.lstrip())]
    if len(line) <= width:
        return [line]
    return textwrap.wrap(line, width, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False)


@dataclass(frozen=True, slots=True)
class Context:
    """What the document does not say: how it was called, how long it took, where it was saved."""

    paths: Sequence[str] = ()
    seconds: float | None = None
    saved: str = ""
    command: str = "plan"
    again: str = ""  # the command as it was typed, to be typed again with an addition
    notes: Sequence[str] = field(default_factory=tuple)
    base: str = ""  # the working folder, where the document's paths start, as seen from the repository's root
    log: str = ""  # the web address of the run that made the plan, where its whole output is
    whole: bool = False  # of several stacks, those that are as they should be are shown, too


def render(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    """The plan, line by line: what is meant, the steps in their order, the verdict and the dangers last."""
    yield from header(document, style, context)
    yield from body(document, style, context)


def body(
    document: Mapping[str, Any],
    style: Style,
    context: Context,
    gist: Callable[[Mapping[str, Any]], str] = lambda change: "",
) -> Iterator[str]:
    """All but the header. More steps than a person reads are told in one line each, with the `gist` of each."""
    if not document["changes"]:
        yield ""
        yield from _wrapped(nothing(document, context), style, 0)
        yield from _diagnostic_count(document)
        return
    yield ""
    yield "kplan will do this, in this order:"
    shown = list(runs(document["changes"])) if style.verbosity == 0 else [[c] for c in document["changes"]]
    if style.verbosity == 0 and len(shown) > READABLE:
        style = replace(style, verbosity=-1)
        yield f"({len(document['changes']):,} steps, one line each; --verbose shows all of them)"
    yield ""
    for steps in shown:
        if steps[0]["step"] == document["point_of_no_return"]:
            yield _rule(style)
            if style.verbosity >= 0:
                yield ""
        said = gist(steps[0]) if style.verbosity < 0 and steps[0]["actions"] != ["delete"] else ""
        yield from _change(steps[0], style, document["created_at"], said)
        if len(steps) > 1:
            yield from _more(steps[0], steps[1:], style)
    if style.verbosity < 0:
        yield ""
    yield from verdict(document, style, context)


def header(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    stack, target = document["stack"], document["target"]
    what = f"{stack['name']} · env {stack['env']}" + (f" · {', '.join(context.paths)}" if context.paths else "")
    yield style.paint(clean(what), "1")
    timing = f"   {context.seconds:.2f} s" if context.seconds is not None else ""
    if target.get("snapshot"):
        yield from _snapshot(document, style)
    elif target["simulated"]:
        yield style.paint(f"  SIMULATED cluster {clean(target['simulated'])}, no server is touched", "1;35")
        timing = ""
    else:
        topics = f"{count(document['read']['topics'], 'topic')} read{timing}"
        yield from _wrapped(f"Kafka    {target['bootstrap']}   cluster {target['cluster_id']}   {topics}", style, 2, 11)
        if target["connect_url"]:
            connectors = count(document["read"]["connectors"], "connector")
            said = f"Connect  {target['connect_url']}   {connectors}   version {target['connect_version']}"
            yield from _wrapped(said, style, 2, 11)
        yield from _wrapped(checked(document).strip(), style, 2)
    if document["used_env"]:
        yield from _wrapped(f"Defaults from {', '.join(document['used_env'])}", style, 2)
    for note in context.notes:
        yield from _wrapped(note, style, 2)


def _snapshot(document: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Which cluster it is of and how old it is: the plan is only as true as that."""
    target, read = document["target"], document["read"]
    which = f"SIMULATED cluster {target['simulated']}" if target["simulated"] else f"cluster {target['cluster_id']}"
    lines = _wrapped(f"SNAPSHOT of {which}, {snapshot(document)}", style, 2)
    yield from (style.paint(line, "1;35") for line in lines)
    what = f"{count(read['topics'], 'topic')}, {count(read['connectors'], 'connector')}"
    said = f"{what} as they were then; no server is asked, `kplan apply` looks again"
    yield from _wrapped(said, style, 2)


def checked(document: Mapping[str, Any]) -> str:
    if not document["checked"]:
        return "  Not checked by the servers (--offline)"
    by: dict[str, int] = {}
    for change in document["changes"]:
        if change["verified"]:
            by[change["verified"]["by"]] = by.get(change["verified"]["by"], 0) + 1
    said = [f"{n} by {name}" for name, n in sorted(by.items(), reverse=True)]
    looked = sum(source["checked"] for source in document.get("sources", ()))
    said += [f"{looked} by {'its database' if looked == 1 else 'their databases'}"] if looked else []
    return f"  Checked by the servers: {', '.join(said) or 'nothing to check'}{_unlooked(document)}"


def _unlooked(document: Mapping[str, Any]) -> str:
    """Which connectors' databases were not looked into, and why."""
    why: dict[str, list[str]] = {}
    for source in document.get("sources", ()):
        if not source["checked"]:
            why.setdefault(source["why"], []).append(source["connector"])
    said = [f"{join_names(names)} ({reason})" for reason, names in why.items()]
    return f"; not by the database of {'; '.join(said)}" if said else ""


def nothing(document: Mapping[str, Any], context: Context) -> str:
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


def place(source: Mapping[str, Any] | None) -> str:
    """`stacks/shop.yaml:12`, of a change's source or a diagnostic; empty where there is none."""
    if not source or not source["path"]:
        return ""
    return clean(f"{source['path']}:{source['line']}" if source["line"] else source["path"])


def marked(change: Mapping[str, Any]) -> str:
    """The sign in two columns; the second says that the step cannot be undone."""
    return sign(change) + ("!" if not change["undo"]["complete"] else " ")


def _change(change: Mapping[str, Any], style: Style, created_at: str, gist: str = "") -> Iterator[str]:
    head = f"{change['step']:>2}  {marked(change)} {clean(change['address'])}"
    where = place(change.get("source"))
    gap = style.width - len(head) - len(where)
    beside = bool(gist) and gap >= len(gist) + 4
    if beside:
        head, gap = f"{head}  {clean(gist)}", gap - len(gist) - 2
    painted = head.replace(marked(change), style.paint(marked(change), COLORS[sign(change)]), 1)
    if gap < 2 and where:  # no room beside it
        yield painted
        yield " " * 7 + style.paint(f"at {where}", "2")
    else:
        yield painted + (" " * gap + style.paint(where, "2") if where else "")
    if gist and not beside:
        yield from _wrapped(gist, style)
    if style.verbosity >= 0:
        yield from _body(change, style)
    for risk in change["risks"]:
        yield from _risk(risk, style, created_at)
    if style.verbosity >= 0:
        yield from _wrapped(f"undo: {undo(change)}", style)
        yield ""


def _more(first: Mapping[str, Any], others: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Many steps that differ from the first in their names alone: the names, as many as are read at a glance."""
    said = f"and {len(others):,} more like it, in steps {others[0]['step']} to {others[-1]['step']}"
    head = f"{others[0]['step']:>2}  {marked(first)} {said}"
    painted = head.replace(marked(first), style.paint(marked(first), COLORS[sign(first)]), 1)
    yield painted + ":"
    names = clean(", ".join(change["name"] for change in others[:GLANCE]))
    lines = textwrap.wrap(names, style.width - 7, break_on_hyphens=False, break_long_words=False)
    yield from (f"       {line}" for line in lines[:NAMES])
    shown = sum(line.count(", ") + 1 for line in lines[:NAMES])
    if len(others) > shown:
        yield f"       … and {len(others) - shown:,} more (--verbose shows each)"
    if style.verbosity >= 0:
        yield ""


def _body(change: Mapping[str, Any], style: Style) -> Iterator[str]:
    for note in notes(change):
        yield from _wrapped(note, style)
    if change["actions"][0] in ("update", "move") or change["reason"] == "protect_changed":
        column = _column(attribute(diff) for diff in change["diff"])
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


def notes(change: Mapping[str, Any]) -> Iterator[str]:
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
    "on_delete_changed": "what is dropped with it changes, in the ledger alone",
}


def _attributes(resource: Mapping[str, Any], kind: str, style: Style, gone: bool) -> Iterator[str]:
    """The resource's settings; of one that goes, no more than what it is."""
    rows: list[tuple[str, str]] = []
    if kind == "topic":
        rows = [
            ("partitions", str(resource.get("partitions"))),
            ("replication", replication(resource.get("replication_factor"))),
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


def replication(factor: Any) -> str:
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


def attribute(diff: Mapping[str, Any]) -> str:
    key: str = diff["path"].removeprefix("/config/").removeprefix("/")
    return "replication" if key == "replication_factor" else key


def _diff(diff: Mapping[str, Any], style: Style, column: int) -> Iterator[str]:
    key = attribute(diff)
    before, after = diff["before"], diff["after"]
    if isinstance(before, dict) or isinstance(after, dict):
        yield from _row("~ ", key, secret_words(diff), style, column)
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
    if diff["cause"] in CAUSES:
        yield f"         # {CAUSES[diff['cause']]}"


CAUSES = {"drift": "changed live since the last apply", "both": "changed both live and in the stack"}


def secret_words(diff: Mapping[str, Any]) -> str:
    """What happens to a secret, of which nothing else is shown."""
    before, after = diff["before"] is not None, diff["after"] is not None
    return f"(sensitive, {'changed' if before and after else 'set' if after else 'removed'})"


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
    old, new = items(before), items(after)
    kept = [item for item in new if item in old]
    yield from _row("~ ", key, ", ".join(kept), style, column)
    pad = " " * (7 + column)
    for item in new:
        if item not in old:
            yield style.paint(f"{pad}+ {clean(item)}", "32")
    for item in old:
        if item not in new:
            yield style.paint(f"{pad}- {clean(item)}", "31")


def items(text: str) -> list[str]:
    """The items of a comma-separated list of names, whose dots are escaped where they are regular expressions."""
    return [item.replace("\\.", ".") for item in split(text)]


def _risk(risk: Mapping[str, Any], style: Style, created_at: str) -> Iterator[str]:
    by = ACCEPTED.get(risk.get("accepted") or "", "")
    accepted = f" ({by})" if by else ""
    word = "DANGER" if risk["level"] == "danger" else risk["level"]
    color = {"DANGER": "1;31", "caution": "33"}.get(word, "")
    lines = list(_wrapped(f"{word} {risk['code']}: {sentence(risk, created_at)}{accepted}", style))
    yield from (style.paint(line, color) for line in lines)


def undo(change: Mapping[str, Any]) -> str:
    """How the step is put back, in words."""
    kind, why = change["undo"]["kind"], change["undo"].get("why") or ""
    tail = f" ({why})" if why else ""
    if kind == "delete_if_empty":
        return "delete it while it is still empty"
    if kind == "delete":
        return f"delete it; {why}" if why else "delete it, and its offsets"
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
    back = [f"{attribute(d)} = {d['before']}" if d["before"] is not None else f"unset {attribute(d)}" for d in config]
    if change.get("reassignment"):
        back.insert(0, f"the replicas back to where they are, replication = {change['before']['replication_factor']}")
    shown = ", ".join(back[:3]) + (f" and {len(back) - 3} more" if len(back) > 3 else "")
    return shown + tail


def _plain(text: Any) -> Any:
    return "(sensitive)" if isinstance(text, dict) else text


# -- the end ----------------------------------------------------------------------------------------------------------
def verdict(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    if not document["complete"]:
        hidden = count(document["summary"]["hidden"], "change")
        yield from _wrapped(f"Partial: --target or --exclude hides {hidden}.", style, 0)
    yield from (style.paint(line, "1") for line in _wrapped(counts(document), style, 0))
    drift = len(document["drift"])
    said = f"{count(drift, 'attribute')} changed live since the last apply" if drift else "none"
    yield from _wrapped(f"Digest {document['digest'].removeprefix('sha256:')[:8]}.  Drift: {said}.", style, 0)
    yield from _diagnostic_count(document)
    if document["errored"]:
        errors = count(sum(d["severity"] == "error" for d in document["diagnostics"]), "error")
        yield ""
        words = f"NOT POSSIBLE: {errors}, above. Nothing can be applied until that is corrected."
        yield from (style.paint(line, "1;31") for line in _wrapped(words, style, 0))
    elif document["blocked"]:
        yield ""
        yield from blocked(document, style, context)
    elif context.saved:
        yield ""
        yield f"To do exactly this:  kplan apply {context.saved}"
    elif context.command == "plan":
        yield ""
        words = "This plan was not saved: with --out plan.json, `kplan apply plan.json` does exactly this."
        yield from _wrapped(words, style, 0)


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
    changes = [change for change in document["changes"] if open_dangers(change)]
    total = sum(len(open_dangers(change)) for change in changes)
    if changes:
        verb = "is" if total == 1 else "are"
        yield style.paint(f"BLOCKED: {count(total, 'danger')} {verb} not accepted.", "1;31")
    for n, change in enumerate(changes):
        yield style.paint(clean(f"  {marked(change)} {change['address']}"), "31")
        for risk in open_dangers(change):
            lines = _wrapped(f"{risk['code']} {sentence(risk, document['created_at'])}", style, indent=5)
            yield from (style.paint(line, "31") for line in lines)
        if n and len(changes) > MANY:
            yield from (f"     {said} {words.strip()}" for said, words in ways_out(change, ""))
            continue
        for said, words in ways_out(change, again):
            yield from _wrapped(said, style, 2)
            if words:
                yield f"      {words}"
    if len(changes) > MANY:
        yield ""
        yield style.paint(f"BLOCKED: {count(total, 'danger')} are not accepted, listed above.", "1;31")
    if codes.K419.number in document["blocked"]:
        words = "BLOCKED: more changes than the guard `max_changes` allows in one run (K419)."
        yield from (style.paint(line, "1;31") for line in _wrapped(words, style, 0))
        yield "  To allow it once:"
        yield f"      {again} --accept max_changes"


def open_dangers(change: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [r for r in change["risks"] if r["level"] == "danger" and not r.get("accepted")]


def ways_out(change: Mapping[str, Any], again: str) -> Iterator[tuple[str, str]]:
    """What to do about the step's dangers, each with the words to write, which are empty where there are none."""
    dangers = open_dangers(change)
    kinds = list(dict.fromkeys(r["kind"] for r in change["risks"] if r in dangers or r.get("accepted") == "stack"))
    where = place(change.get("source"))
    if "protect" in kinds:
        yield _unprotect(change, where)
    else:
        first = "or"
        if change["reason"] == "orphan":
            at = f"{'at' if (change['source'] or {}).get('line') else 'in'} {where}" if where else "in the stack"
            yield f"Accept it in review, under `removed:` {at}:", f"- {_entry(change, kinds)}"
        elif where and change["reason"] != "destroy":
            yield f"Accept it in review, at {where}:", f"accept: [{', '.join(kinds)}]"
        else:
            first = "Accept it"
        yield f"{first} for one run:", f"{again} --accept {shlex.quote(clean(dangers[0]['accept']))}".strip()
    yield "or leave it out:", f"{again} --exclude {shlex.quote(clean(change['address']))}".strip()


def _unprotect(change: Mapping[str, Any], where: str) -> tuple[str, str]:
    """Only an applied `protect: false` ends a protection, and that needs the resource's block."""
    said = f"Apply this first{f', at {where}' if where else ''}:"
    if change["reason"] == "removed":
        said = f"Instead of {where} apply its block once more first, with:"
    elif change["reason"] == "orphan":
        said = "Put its block back and apply that first, with:"
    return f"It is protected. {said}", "protect: false"


def _entry(change: Mapping[str, Any], kinds: Sequence[str]) -> str:
    """The entry of `removed:` that makes a departure meant, and accepts what else is dangerous about it."""
    others = ", ".join(kind for kind in kinds if kind != "orphan")
    return f"{{{change['kind']}: {_plain_yaml(clean(change['name']))}{f', accept: [{others}]' if others else ''}}}"


def _plain_yaml(name: str) -> str:
    """The name, in quotes where YAML would not take it for text."""
    plain = re.fullmatch(r"[A-Za-z_][\w.-]*", name) and name.lower() not in NO_TEXT
    return name if plain else json.dumps(name, ensure_ascii=False)


NO_TEXT = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def _wrapped(text: str, style: Style, indent: int = 7, hanging: int | None = None) -> Iterator[str]:
    yield from textwrap.wrap(
        clean(text),
        max(40, style.width),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2 if hanging is None else hanging),
        break_on_hyphens=False,
        break_long_words=False,
    )


CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """The text without what would move a terminal's cursor or change its colours."""
    return CONTROL.sub("�", text)
