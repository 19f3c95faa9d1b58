"""Render the plan for a terminal. It reads the JSON document only, so the public format is always complete."""

from __future__ import annotations

import json
import re
import shlex
import textwrap
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field, replace
from typing import Any

from kplan.diagnostics import codes
from kplan.kinds.nouns import views_of, wording_of
from kplan.patterns import late_pattern
from kplan.render.alike import group_similar_steps
from kplan.render.facts import describe_snapshot, format_sentence
from kplan.render.folding import Fold, find_failing, fold_steps
from kplan.render.forecast import describe_forecast, describe_storage
from kplan.render.rehearsal import describe_rehearsal
from kplan.render.wording import format_value
from kplan.text import count, join_names
from kplan.values import dataclass

SIGNS = {"create": "+", "update": "~", "delete": "-", "move": ">", "adopt": "=", "release": "o"}
ACCEPTED = {"stack": "accepted in the stack", "flag": "accepted for this run"}
COLORS = {"+": "32", "~": "33", "-": "31", "±": "31", ">": "36", "=": "36", "o": "36", "!": "1;31"}
LISTS = late_pattern(r"(\.include\.list|\.exclude\.list|^topics|\.list)$")
KEY_WIDTH = 21
COUNTS = ("partitions", "replication")  # attributes that -1 leaves to the brokers
MAX_SIMILAR_NAMES, MAX_SIMILAR_LINES = 200, 12  # names shown of similar steps, and the lines that they take
MAX_DETAILED_STEPS = 400  # a plan of more steps has one line for each step
MAX_FULL_REMEDIES = 5  # of more blocked steps, only the first shows its remedies as whole commands


@dataclass(frozen=True, slots=True)
class Style:
    """How wide the output is, and whether it may have colours. `verbosity`: -1 brief, 0, 1 verbose."""

    width: int = 100
    color: bool = False
    verbosity: int = 0

    def paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.color and code else text


def fold_line(line: str, width: int) -> list[str]:
    """Break `line` between words into lines of at most `width` columns; further lines are indented two more."""
    indent = line[: len(line) - len(line.lstrip())]
    if len(line) <= width:
        return [line]
    return textwrap.wrap(line, width, subsequent_indent=f"{indent}  ", break_long_words=False, break_on_hyphens=False)


@dataclass(frozen=True, slots=True)
class Context:
    """Hold what the document lacks: the command and its arguments, how long it took, where the plan was saved."""

    paths: Sequence[str] = ()
    seconds: float | None = None
    saved: str = ""
    command: str = "plan"
    command_line: str = ""  # the command as it was typed; remedies add options to it
    notes: Sequence[str] = field(default_factory=tuple)
    base: str = ""  # the working folder, where the document's paths start, as seen from the repository's root
    log_url: str = ""  # the web address of the run that created the plan, with its whole output
    source_url: str = ""  # of a file at a commit on the web, with {commit}, {path} and {line} in it
    author: str = ""  # for whom a CI service runs kplan, and the pull or merge request
    include_unchanged: bool = False  # of several stacks, show those without changes, too


def render(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    """Yield the plan line by line: header, the steps in their order, then the verdict and the dangers."""
    yield from render_header(document, style, context)
    yield from render_body(document, style, context)


def render_body(
    document: Mapping[str, Any],
    style: Style,
    context: Context,
    summarize: Callable[[Mapping[str, Any]], str] = lambda change: "",
) -> Iterator[str]:
    """Yield everything but the header. A plan of very many steps has one line for each step, with its summary."""
    if not document["changes"]:
        yield ""
        yield from _wrap(describe_no_changes(document, context), style, 0)
        yield from _render_warning_count(document)
        return
    yield ""
    yield "kplan will make these changes, in this order:"
    groups = list(_group_steps(document)) if style.verbosity == 0 else [[c] for c in document["changes"]]
    if style.verbosity == 0 and len(groups) > MAX_DETAILED_STEPS:
        style = replace(style, verbosity=-1)
        yield f"({len(document['changes']):,} steps, one line each; --verbose shows all of them)"
    elif any(isinstance(steps, Fold) for steps in groups):
        yield "(--verbose shows each step of a row that stands for several)"
    yield ""
    for steps in groups:
        first = steps.first if isinstance(steps, Fold) else steps[0]
        if first["step"] == document["point_of_no_return"]:
            yield _render_undo_limit(style)
            if style.verbosity >= 0:
                yield ""
        if isinstance(steps, Fold):
            yield from _render_fold(steps, style, document["created_at"])
            continue
        summary = summarize(steps[0]) if style.verbosity < 0 and steps[0]["actions"] != ["delete"] else ""
        yield from _render_step(steps[0], style, document["created_at"], summary)
        if len(steps) > 1:
            yield from _render_similar_steps(steps[0], steps[1:], style)
    if style.verbosity < 0:
        yield ""
    yield from render_verdict(document, style, context)


def _group_steps(document: Mapping[str, Any]) -> Iterator[Fold | list[Mapping[str, Any]]]:
    """Yield the steps in their order: folded, or similar ones together, or alone."""
    single: list[Mapping[str, Any]] = []
    for item in fold_steps(document["changes"], find_failing(document)):
        if not isinstance(item, Fold):
            single.append(item)
            continue
        yield from group_similar_steps(single)
        single = []
        yield item
    yield from group_similar_steps(single)


def render_header(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    stack, target = document["stack"], document["target"]
    title = f"{stack['name']} · env {stack['env']}" + (f" · {', '.join(context.paths)}" if context.paths else "")
    yield style.paint(clean(title), "1")
    timing = f"   {context.seconds:.2f} s" if context.seconds is not None else ""
    if target.get("snapshot"):
        yield from _render_snapshot_header(document, style)
    elif target["simulated"]:
        yield style.paint(f"  SIMULATED cluster {clean(target['simulated'])}, no server is touched", "1;35")
        timing = ""
    else:
        topics = f"{count(document['read']['topics'], 'topic')} read{timing}"
        yield from _wrap(f"Kafka    {target['bootstrap']}   cluster {target['cluster_id']}   {topics}", style, 2, 11)
        if target["connect_url"]:
            connectors = count(document["read"]["connectors"], "connector")
            connect_line = f"Connect  {target['connect_url']}   {connectors}   version {target['connect_version']}"
            yield from _wrap(connect_line, style, 2, 11)
        for other in target.get("connects", ()):
            line = f"Connect  {other['alias']}: {other['url']}   version {other['version']}"
            yield from _wrap(line, style, 2, 11)
        yield from _wrap(describe_checks(document).strip(), style, 2)
    if document["used_env"]:
        yield from _wrap(f"Defaults from {', '.join(document['used_env'])}", style, 2)
    for note in context.notes:
        yield from _wrap(note, style, 2)


def _render_snapshot_header(document: Mapping[str, Any], style: Style) -> Iterator[str]:
    """Yield which cluster the snapshot is of and how old it is: the plan is only as true as that."""
    target, read = document["target"], document["read"]
    cluster = f"SIMULATED cluster {target['simulated']}" if target["simulated"] else f"cluster {target['cluster_id']}"
    lines = _wrap(f"SNAPSHOT of {cluster}, {describe_snapshot(document)}", style, 2)
    yield from (style.paint(line, "1;35") for line in lines)
    counts = f"{count(read['topics'], 'topic')}, {count(read['connectors'], 'connector')}"
    note = f"{counts} as they were then; no server is contacted, `kplan apply` reads again"
    yield from _wrap(note, style, 2)


def describe_checks(document: Mapping[str, Any]) -> str:
    if not document["checked"]:
        return "  Not checked by the servers (--offline)"
    counts: dict[str, int] = {}
    for change in document["changes"]:
        if change["verified"]:
            counts[change["verified"]["by"]] = counts.get(change["verified"]["by"], 0) + 1
    parts = [f"{n} by {name}" for name, n in sorted(counts.items(), reverse=True)]
    databases = sum(source["checked"] for source in document.get("sources", ()))
    parts += [f"{databases} by {'its database' if databases == 1 else 'their databases'}"] if databases else []
    return f"  Checked by the servers: {', '.join(parts) or 'nothing to check'}{_describe_unchecked_sources(document)}"


def _describe_unchecked_sources(document: Mapping[str, Any]) -> str:
    """Return which connectors' databases were not checked, and why."""
    connectors_by_reason: dict[str, list[str]] = {}
    for source in document.get("sources", ()):
        if not source["checked"]:
            connectors_by_reason.setdefault(source["why"], []).append(source["connector"])
    parts = [f"{join_names(names)} ({reason})" for reason, names in connectors_by_reason.items()]
    return f"; not by the database of {'; '.join(parts)}" if parts else ""


def describe_no_changes(document: Mapping[str, Any], context: Context) -> str:
    where = ", ".join(context.paths) or document["stack"]["name"]
    timing = f" ({context.seconds:.1f} s)" if context.seconds is not None else ""
    if document["errored"]:
        return f"No plan: {count(sum(d['severity'] == 'error' for d in document['diagnostics']), 'error')}."
    if document["mode"] == "destroy":
        return f"Nothing to destroy: {document['stack']['name']} owns nothing here{timing}."
    unchanged = document["summary"]["unchanged"]
    verb = "matches" if unchanged == 1 else "match"
    if not document["complete"]:
        hidden = count(document["summary"]["hidden"], "change")
        return f"Nothing to do for what was targeted; --target or --exclude hides {hidden}{timing}."
    return f"No changes. {count(unchanged, 'resource')} {verb} {clean(where)}{timing}."


def _render_undo_limit(style: Style) -> str:
    text = " ══ nothing below this line can be undone "
    return style.paint(text + "═" * max(3, style.width - len(text) - 1), "1;31")


# -- one step ---------------------------------------------------------------------------------------------------------
def format_sign(change: Mapping[str, Any]) -> str:
    return "±" if change["actions"] == ["delete", "create"] else SIGNS[change["actions"][0]]


def format_place(source: Mapping[str, Any] | None) -> str:
    """Return `stacks/shop.yaml:12` for a change's source or a diagnostic; empty if it has none."""
    if not source or not source["path"]:
        return ""
    return clean(f"{source['path']}:{source['line']}" if source["line"] else source["path"])


def format_mark(change: Mapping[str, Any]) -> str:
    """Return the sign in two columns; the second marks a step that cannot be undone."""
    return format_sign(change) + ("!" if not change["undo"]["complete"] else " ")


def _render_step(change: Mapping[str, Any], style: Style, created_at: str, summary: str = "") -> Iterator[str]:
    head = f"{change['step']:>2}  {format_mark(change)} {clean(change['address'])}"
    where = format_place(change.get("source"))
    gap = style.width - len(head) - len(where)
    fits_beside = bool(summary) and gap >= len(summary) + 4
    if fits_beside:
        head, gap = f"{head}  {clean(summary)}", gap - len(summary) - 2
    painted = head.replace(format_mark(change), style.paint(format_mark(change), COLORS[format_sign(change)]), 1)
    if gap < 2 and where:  # it does not fit on the line
        yield painted
        yield " " * 7 + style.paint(f"at {where}", "2")
    else:
        yield painted + (" " * gap + style.paint(where, "2") if where else "")
    if summary and not fits_beside:
        yield from _wrap(summary, style)
    if style.verbosity >= 0:
        yield from _render_details(change, style)
    for risk in change["risks"]:
        yield from _render_risk(risk, style, created_at)
    if style.verbosity >= 0:
        yield from _wrap(f"undo: {describe_undo(change)}", style)
        yield ""


def _render_fold(fold: Fold, style: Style, created_at: str) -> Iterator[str]:
    """Yield one row for several steps: what they are about, how many there are, and what they do."""
    mark = format_mark(fold.first)
    head = f"{fold.numbers}  {mark} {clean(fold.title)}  {fold.size}"
    painted = head.replace(mark, style.paint(mark, COLORS[format_sign(fold.first)]), 1)
    where = clean(fold.place)
    gap = style.width - len(head) - len(where)
    if gap < 2 and where:
        yield painted
        yield " " * 7 + style.paint(f"at {where}", "2")
    else:
        yield painted + (" " * gap + style.paint(where, "2") if where else "")
    if reason := REASONS.get(fold.first["reason"]):
        yield from _wrap(reason, style)
    for part in fold.parts:
        yield from _wrap(part, style, indent=9)
    for note in fold.notes:
        yield from _render_risk(note, style, created_at)
    if style.verbosity >= 0:
        yield from _wrap(f"undo of each: {describe_undo(fold.first)}", style)
        yield ""


def _render_similar_steps(first: Mapping[str, Any], others: Sequence[Mapping[str, Any]], style: Style) -> Iterator[str]:
    """Yield the names of the steps that differ from the first in their names alone, up to a limit."""
    text = f"and {len(others):,} more like it, in steps {others[0]['step']} to {others[-1]['step']}"
    head = f"{others[0]['step']:>2}  {format_mark(first)} {text}"
    painted = head.replace(format_mark(first), style.paint(format_mark(first), COLORS[format_sign(first)]), 1)
    yield painted + ":"
    names = clean(", ".join(change["name"] for change in others[:MAX_SIMILAR_NAMES]))
    lines = textwrap.wrap(names, style.width - 7, break_on_hyphens=False, break_long_words=False)
    yield from (f"       {line}" for line in lines[:MAX_SIMILAR_LINES])
    shown = sum(line.count(", ") + 1 for line in lines[:MAX_SIMILAR_LINES])
    if len(others) > shown:
        yield f"       … and {len(others) - shown:,} more (--verbose shows each)"
    if style.verbosity >= 0:
        yield ""


def _render_details(change: Mapping[str, Any], style: Style) -> Iterator[str]:
    for note in list_notes(change):
        yield from _wrap(note, style)
    if change["actions"][0] in ("update", "move") or change["reason"] == "protect_changed":
        column = _choose_column_width(name_attribute(diff) for diff in change["diff"])
        for diff in change["diff"]:
            yield from _render_diff(diff, style, column)
        unchanged, unmanaged = change["unchanged"], change.get("unmanaged", [])
        noun = views_of(change["kind"]).attribute_noun
        remarks = [f"{count(unchanged, noun)} unchanged"] if unchanged else []
        remarks += [f"{count(len(unmanaged), 'config')} not managed: {', '.join(unmanaged)}"] if unmanaged else []
        if remarks:
            yield from _wrap("# " + ", ".join(remarks), style, indent=9)
    elif change["actions"] not in (["adopt"], ["release"]):
        yield from _render_attributes(
            change["after"] or change["before"] or {}, change["kind"], style, change["actions"] == ["delete"]
        )
    for effect in change.get("effects", ()):
        yield from _wrap(f"effect: {effect}", style)
    if "storage" in change:
        yield from _wrap(f"storage: {describe_storage(change['storage'])}", style)


def list_notes(change: Mapping[str, Any]) -> Iterator[str]:
    """Yield what created the resource, and why it changes."""
    note = (change["after"] or {}).get("note")
    if note:
        yield note
    if change["actions"] == ["move"]:
        yield f"was {change['moved_from']}; its offsets come along"
    if _is_adopted(change):
        yield "it exists without an owner: this stack adopts and changes it"
    reason = REASONS.get(change["reason"])
    if reason:
        yield reason


REASONS = {
    "adopted": "it exists as declared, without an owner: this stack adopts it, in the ledger only",
    "removed": "listed under `removed`",
    "orphan": "owned by this stack, according to the ledger",
    "undeclared": "this stack owns it but no longer declares it",
    "exclusive": "no stack declares it, and the block of this principal is exclusive",
    "vanished": "kplan created it, but it no longer exists",
    "gone": "it no longer exists; its ledger record is removed",
    "kept": "listed under `removed` with `keep`: it stays, and the stack releases it",
    "protect_changed": "its protection changes, in the ledger only",
    "replace_requested": "requested with --replace",
    "on_delete_changed": "what is dropped with it changes, in the ledger only",
}


def _render_attributes(resource: Mapping[str, Any], kind: str, style: Style, deleted: bool) -> Iterator[str]:
    """Yield the resource's settings; of a deleted one only its main attributes."""
    rows = list_main_attributes(kind, resource)
    config = resource.get("config") or {}
    keys = sorted(config) if style.verbosity > 0 or not deleted else []
    shown = keys if style.verbosity > 0 or len(keys) <= 12 else keys[:10]
    rows += [(key, format_value(key, _hide_secret(config[key]))) for key in shown]
    column = _choose_column_width(key for key, _ in rows)
    for key, text in rows:
        yield from _render_row("  ", key, text, style, column)
    if len(shown) < len(keys):
        yield f"         # {len(keys) - len(shown)} more settings (--verbose)"


def _choose_column_width(keys: Iterable[str]) -> int:
    """Return the width of the column of names, so that the values of one step are aligned."""
    return min(40, max([KEY_WIDTH, *(len(key) + 2 for key in keys)]))


def list_main_attributes(kind: str, resource: Mapping[str, Any]) -> list[tuple[str, str]]:
    """Return what the resource is in addition to its config, in words."""
    rows = views_of(kind).list_main_attributes(resource)
    return [(key, format_count(raw) if key in COUNTS else _format_attribute(raw)) for key, raw in rows]


def format_count(number: Any) -> str:
    """Return a number of partitions or replicas; -1 is the broker's own."""
    return "the broker's default" if number == -1 else str(number)


def _format_attribute(raw: Any) -> str:
    if isinstance(raw, Mapping):
        return "(sensitive)"
    return ", ".join(map(str, raw)) if isinstance(raw, list | tuple) else str(raw)


def _render_row(mark: str, key: str, text: str, style: Style, column: int = KEY_WIDTH) -> Iterator[str]:
    column = max(column, len(key) + 2)
    indent = 9 + column
    value_width = max(20, style.width - indent)
    if any(len(word) > value_width for word in text.split()):  # a long name goes below its key
        yield style.paint(f"       {mark}{clean(key)}", COLORS.get(mark.strip(), ""))
        yield f"           {clean(text)}"
        return
    lines = textwrap.wrap(clean(text), value_width, break_on_hyphens=False, break_long_words=False) or [""]
    yield style.paint(f"       {mark}{clean(key):<{column}}", COLORS.get(mark.strip(), "")) + lines[0]
    for line in lines[1:]:
        yield " " * indent + line


def name_attribute(diff: Mapping[str, Any]) -> str:
    key: str = diff["path"].removeprefix("/config/").removeprefix("/")
    return "replication" if key == "replication_factor" else key


def _render_diff(diff: Mapping[str, Any], style: Style, column: int) -> Iterator[str]:
    key = name_attribute(diff)
    before, after = diff["before"], diff["after"]
    if isinstance(before, dict) or isinstance(after, dict):
        yield from _render_row("~ ", key, describe_secret_change(diff), style, column)
    elif before is None:
        yield from _render_row("+ ", key, format_value(key, after), style, column)
    elif after is None:
        yield from _render_row("- ", key, f"{format_value(key, before)} -> (unset)", style, column)
    elif nested := compare_nested_json(before, after):
        yield from _render_row("~ ", key, "(JSON)", style, column)
        for line in nested:
            yield from _render_row("  ", "", line, style, column)
    elif LISTS.search(key) and ("," in str(before) or "," in str(after)):
        yield from _render_list_diff(key, str(before), str(after), style, column)
    elif len(str(before)) + len(str(after)) > style.width - column - 15:
        yield from _render_row("~ ", key, format_value(key, before), style, column)
        yield from _render_row("  ", "", f"-> {format_value(key, after)}", style, column)
    else:
        yield from _render_row("~ ", key, f"{format_value(key, before)} -> {format_value(key, after)}", style, column)
    if diff["cause"] in CAUSES:
        yield f"         # {CAUSES[diff['cause']]}"


CAUSES = {"drift": "changed live since the last apply", "both": "changed both live and in the stack"}


def describe_secret_change(diff: Mapping[str, Any]) -> str:
    """Return what happens to a secret; nothing else of it is shown."""
    before, after = diff["before"] is not None, diff["after"] is not None
    return f"(sensitive, {'changed' if before and after else 'set' if after else 'removed'})"


def compare_nested_json(before: Any, after: Any) -> list[str]:
    """Return the differences inside two JSON objects or arrays, a line each; empty if the texts are not JSON."""
    if not all(isinstance(text, str) and text.lstrip().startswith(("{", "[")) for text in (before, after)):
        return []
    try:
        old, new = json.loads(before), json.loads(after)
    except (ValueError, RecursionError):
        return []
    from deepdiff import DeepDiff

    differences = DeepDiff(old, new, ignore_order=False, verbose_level=2).pretty()
    return [line for line in str(differences).splitlines() if line]


def _render_list_diff(key: str, before: str, after: str, style: Style, column: int) -> Iterator[str]:
    old, new = split_items(before), split_items(after)
    unchanged = [item for item in new if item in old]
    yield from _render_row("~ ", key, ", ".join(unchanged), style, column)
    pad = " " * (7 + column)
    for item in new:
        if item not in old:
            yield style.paint(f"{pad}+ {clean(item)}", "32")
    for item in old:
        if item not in new:
            yield style.paint(f"{pad}- {clean(item)}", "31")


def split_items(text: str) -> list[str]:
    """Split a comma-separated list of names; escaped dots of regular expressions become plain dots."""
    from kplan.kinds.connector.tables import split

    return [item.replace("\\.", ".") for item in split(text)]


def _render_risk(risk: Mapping[str, Any], style: Style, created_at: str) -> Iterator[str]:
    acceptance = ACCEPTED.get(risk.get("accepted") or "", "")
    suffix = f" ({acceptance})" if acceptance else ""
    word = "DANGER" if risk["level"] == "danger" else risk["level"]
    color = {"DANGER": "1;31", "caution": "33"}.get(word, "")
    lines = list(_wrap(f"{word} {risk['code']}: {format_sentence(risk, created_at)}{suffix}", style))
    yield from (style.paint(line, color) for line in lines)


def describe_undo(change: Mapping[str, Any]) -> str:
    """Return in words how the step is undone."""
    kind, reason = change["undo"]["kind"], change["undo"].get("why") or ""
    tail = f" ({reason})" if reason else ""
    wording = wording_of(change["kind"])
    if kind == "delete_if_empty":
        return "delete it, if still empty"
    if kind == "delete":
        return f"delete it; {reason}" if reason else wording.say_creation_undo(change["after"] or {})
    if kind == "record":
        return "the ledger's previous record"
    if kind == "recreate" and change["actions"] == ["move"]:
        return f"move it back to {change['moved_from']}" + tail
    if kind == "recreate":
        return wording.say_deletion_undo(change["before"] or {}) + tail
    if kind == "none":
        return "none" + (f"; {reason}" if reason else "")
    if words := wording.say_update_undo([diff["path"] for diff in change["diff"]]):
        return words + tail
    config = [d for d in change["diff"] if d["path"] not in views_of(change["kind"]).undo_omits]
    restored = [
        f"{name_attribute(d)} = {_format_attribute(d['before'])}"
        if d["before"] is not None
        else f"unset {name_attribute(d)}"
        for d in config
    ]
    if change.get("reassignment"):
        restored.insert(0, f"move the replicas back, replication = {change['before']['replication_factor']}")
    shown = ", ".join(restored[:3]) + (f" and {len(restored) - 3} more" if len(restored) > 3 else "")
    return shown + tail


def _hide_secret(text: Any) -> Any:
    return "(sensitive)" if isinstance(text, dict) else text


# -- the end ----------------------------------------------------------------------------------------------------------
def render_verdict(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    if not document["complete"]:
        hidden = count(document["summary"]["hidden"], "change")
        yield from _wrap(f"Partial: --target or --exclude hides {hidden}.", style, 0)
    yield from (style.paint(line, "1") for line in _wrap(format_counts(document), style, 0))
    drift = len(document["drift"])
    drift_text = f"{count(drift, 'attribute')} changed live since the last apply" if drift else "none"
    yield from _wrap(f"Digest {document['digest'].removeprefix('sha256:')[:8]}.  Drift: {drift_text}.", style, 0)
    if stored := describe_forecast(document):
        yield from _wrap(f"Storage: {stored}.", style, 0)
    yield from _wrap(describe_rehearsal(document), style, 0)
    yield from _render_warning_count(document)
    if document["errored"]:
        errors = count(sum(d["severity"] == "error" for d in document["diagnostics"]), "error")
        yield ""
        words = f"NOT POSSIBLE: {errors}, above. Nothing can be applied until that is corrected."
        yield from (style.paint(line, "1;31") for line in _wrap(words, style, 0))
    elif document["blocked"]:
        yield ""
        yield from render_blocked(document, style, context)
    elif context.saved:
        yield ""
        yield f"To apply exactly this plan:  kplan apply {context.saved}"
    elif context.command == "plan":
        yield ""
        words = "Not saved. To apply exactly this plan later, use --out plan.json, then `kplan apply plan.json`."
        yield from _wrap(words, style, 0)


def _is_adopted(change: Mapping[str, Any]) -> bool:
    """Whether the step changes what no stack owned."""
    return bool(change.get("adopts")) and change["actions"] == ["update"]


def format_counts(document: Mapping[str, Any]) -> str:
    s = document["summary"]
    adopted = sum(1 for change in document.get("changes", ()) if _is_adopted(change))
    also = f" ({adopted} adopted)" if adopted else ""
    parts = [f"{s['add']} to add", f"{s['change']} to change{also}", f"{s['delete']} to delete"]
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


def _render_warning_count(document: Mapping[str, Any]) -> Iterator[str]:
    warnings = sum(d["severity"] == "warning" for d in document["diagnostics"])
    if warnings and not document["errored"]:
        yield f"{count(warnings, 'warning')}, above."


def render_blocked(document: Mapping[str, Any], style: Style, context: Context) -> Iterator[str]:
    """Yield the refusal, with the exact words that would allow it, once for each address."""
    command_line = context.command_line or f"kplan {context.command} {' '.join(context.paths)}"
    changes = [change for change in document["changes"] if list_open_dangers(change)]
    total = sum(len(list_open_dangers(change)) for change in changes)
    if changes:
        verb = "is" if total == 1 else "are"
        yield style.paint(f"BLOCKED: {count(total, 'danger')} {verb} not accepted.", "1;31")
    for n, change in enumerate(changes):
        yield style.paint(clean(f"  {format_mark(change)} {change['address']}"), "31")
        for risk in list_open_dangers(change):
            lines = _wrap(f"{risk['code']} {format_sentence(risk, document['created_at'])}", style, indent=5)
            yield from (style.paint(line, "31") for line in lines)
        if n and len(changes) > MAX_FULL_REMEDIES:
            yield from (f"     {remedy} {words.strip()}" for remedy, words in list_remedies(change, ""))
            continue
        for remedy, words in list_remedies(change, command_line):
            yield from _wrap(remedy, style, 2)
            if words:
                yield f"      {words}"
    if len(changes) > MAX_FULL_REMEDIES:
        yield ""
        yield style.paint(f"BLOCKED: {count(total, 'danger')} are not accepted, listed above.", "1;31")
    if codes.K419.number in document["blocked"]:
        words = "BLOCKED: more changes than the guard `max_changes` allows in one run (K419)."
        yield from (style.paint(line, "1;31") for line in _wrap(words, style, 0))
        yield "  To allow it once:"
        yield f"      {command_line} --accept max_changes"
    if denied := len(list_denied(document)):
        words = f"BLOCKED: {count_denied(denied)} (K470), above. No --accept allows that."
        yield from (style.paint(line, "1;31") for line in _wrap(words, style, 0))


def count_denied(number: int) -> str:
    return f"{count(number, 'change')} {'is' if number == 1 else 'are'} denied by policies"


def list_denied(document: Mapping[str, Any]) -> list[str]:
    """Return the addresses of the changes that policies deny."""
    entries = (entry.partition(" ") for entry in document["blocked"])
    return [address for code, _, address in entries if code == codes.K470.number]


def can_be_accepted(document: Mapping[str, Any]) -> bool:
    """Return whether flags allow something that blocks the plan."""
    return len(document["blocked"]) > len(list_denied(document))


def list_open_dangers(change: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    return [r for r in change["risks"] if r["level"] == "danger" and not r.get("accepted")]


def list_remedies(change: Mapping[str, Any], command_line: str) -> Iterator[tuple[str, str]]:
    """Yield each remedy of the step's dangers with the words to write, which may be empty."""
    dangers = list_open_dangers(change)
    kinds = list(dict.fromkeys(r["kind"] for r in change["risks"] if r in dangers or r.get("accepted") == "stack"))
    where = format_place(change.get("source"))
    if "protect" in kinds:
        yield _describe_unprotect(change, where)
    else:
        label = "or"
        if change["reason"] == "orphan":
            position = f"{'at' if (change['source'] or {}).get('line') else 'in'} {where}" if where else "in the stack"
            yield f"Accept it in review, under `removed:` {position}:", f"- {_format_removed_entry(change, kinds)}"
        elif where and change["reason"] != "destroy":
            yield f"Accept it in review, at {where}:", f"accept: [{', '.join(kinds)}]"
        else:
            label = "Accept it"
        yield f"{label} for one run:", f"{command_line} --accept {shlex.quote(clean(dangers[0]['accept']))}".strip()
    yield "or leave it out:", f"{command_line} --exclude {shlex.quote(clean(change['address']))}".strip()


def _describe_unprotect(change: Mapping[str, Any], where: str) -> tuple[str, str]:
    """Return how to end a protection: apply `protect: false`, which needs the resource's block."""
    step = f"Apply this first{f', at {where}' if where else ''}:"
    if change["reason"] == "removed":
        step = f"Instead of {where}, first apply its block again, with:"
    elif change["reason"] == "orphan":
        step = "Restore its block and apply that first, with:"
    return f"It is protected. {step}", "protect: false"


def _format_removed_entry(change: Mapping[str, Any], kinds: Sequence[str]) -> str:
    """Return the entry of `removed:` that confirms the deletion and accepts its other dangers."""
    others = ", ".join(kind for kind in kinds if kind != "orphan")
    return f"{{{change['kind']}: {_quote_for_yaml(clean(change['name']))}{f', accept: [{others}]' if others else ''}}}"


def _quote_for_yaml(name: str) -> str:
    """Return the name, in quotes where YAML would not read it as text."""
    plain = re.fullmatch(r"[A-Za-z_][\w.-]*", name) and name.lower() not in YAML_KEYWORDS
    return name if plain else json.dumps(name, ensure_ascii=False)


YAML_KEYWORDS = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def _wrap(text: str, style: Style, indent: int = 7, hanging: int | None = None) -> Iterator[str]:
    yield from textwrap.wrap(
        clean(text),
        max(40, style.width),
        initial_indent=" " * indent,
        subsequent_indent=" " * (indent + 2 if hanging is None else hanging),
        break_on_hyphens=False,
        break_long_words=False,
    )


CONTROL = late_pattern(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def clean(text: str) -> str:
    """Replace the characters that would move a terminal's cursor or change its colours."""
    return CONTROL.sub("�", text)
