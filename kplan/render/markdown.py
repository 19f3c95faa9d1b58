"""Render the plan as one comment of a pull or merge request, for GitHub and GitLab alike, in at most 60,000
characters.

The verdict and the numbers of errors, dangers and irreversible steps are always there. What is never dropped to save
space: each error, each danger with what allows it, and the row of each step that cannot be undone. Where these alone
are too long, the second line says so, and each takes one line; where that is too long as well, they are named, grouped
by what they are, as many as fit, and each group says how many it leaves out.
Of the rest the graph goes first, then diffs (of creates, of updates, of others), then rows (of creates, of others).

GitHub takes 65,536 characters, GitLab 1,000,000.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

from kplan.diagnostics import Span, codes
from kplan.render import text
from kplan.render.blocks import fold_blocks
from kplan.render.facts import describe_snapshot
from kplan.render.findings import move_to_root
from kplan.render.folding import Fold, find_failing
from kplan.render.forecast import describe_forecast
from kplan.render.gfm import (
    count_characters,
    encode_name,
    escape_text,
    format_code,
    format_comment,
    format_link,
    format_prose,
    format_row,
)
from kplan.render.graph import draw_graph
from kplan.render.growth import describe_growth
from kplan.render.links import add_urls
from kplan.render.many import has_content
from kplan.render.patch import write_fold, write_patch
from kplan.render.rehearsal import describe_rehearsal
from kplan.render.review import (
    FORMS,
    Detail,
    Form,
    Rank,
    Review,
    format_diagnostic,
    is_error,
    make_review,
    render_review,
)
from kplan.render.room import PageItem, Part, fit_page
from kplan.render.steps import format_attribute, name_action, summarize_deleted, summarize_step
from kplan.render.text import Context
from kplan.text import count, truncate

MAX_CHARACTERS = 60_000
LEFT_OUT_CHARACTERS = 1_500  # reserved for the line that lists what was left out
MAX_ADDRESS_LENGTH = 260
MAX_DESCRIBED = 120  # folded steps that are described; of more, the diff has the addresses alone
MAX_SUMMARY_LENGTH = 400  # of folded steps, which the diff lists in full
SUMMARY_KEYS = ("add", "change", "delete", "replace", "move", "adopt", "release")

Json = Mapping[str, Any]


def render(documents: Sequence[Json], context: Context, limit: int = MAX_CHARACTERS) -> str:
    """Return the comment; one line where there are no changes and no problems."""
    documents = [_move_to_root(add_urls(document, context), context.base) for document in documents]
    if not any(has_content(document) for document in documents):
        return f"{format_marker(documents, context)}\n{_render_unchanged(documents, context)}\n"
    content = make_review(documents, context.command_line or " ".join(["kplan", context.command, *context.paths]))
    for form in FORMS:
        comment_page = fit_page(
            [*_make_parts(documents, context, content, form)], limit - LEFT_OUT_CHARACTERS, count_characters
        )
        if comment_page:
            return comment_page.text + _describe_left_out(comment_page.left, context)
    raise ValueError(f"no plan fits into {limit} characters")


def format_marker(documents: Sequence[Json], context: Context) -> str:
    """Return the first line, by which the comment of an earlier plan is found and replaced; it is not shown."""
    names = [encode_name(document["stack"]["name"]) for document in documents]
    envs = dict.fromkeys(encode_name(document["stack"]["env"]) for document in documents)
    stacks = ",".join(encode_name(path) for path in context.paths) or ",".join(names)
    subject = f"stack={names[0]}" if len(names) == 1 else f"stacks={stacks[:200]}"
    return format_comment(f"kplan:v1 {subject} env={','.join(envs)[:200]}")


def _move_to_root(document: Json, base: str) -> Json:
    """Return the document with its places relative to the repository's root, where a reviewer looks for them."""
    if not base:
        return document
    changes = [{**change, "source": _move_source(change["source"], base)} for change in document["changes"]]
    return {
        **document,
        "changes": changes,
        "diagnostics": [_move_source(diagnostic, base) for diagnostic in document["diagnostics"]],
    }


def _move_source(source: Json | None, base: str) -> Json | None:
    return {**source, "path": move_to_root(Span(source["path"]), base).path} if source and source["path"] else source


def _render_unchanged(documents: Sequence[Json], context: Context) -> str:
    summary = "No changes." if len(documents) > 1 else _describe_no_changes(documents[0], context)
    valid = documents[0]["mode"] == "validate"
    return f"✅ **{_make_title(documents)}** · {'No problems.' if valid else summary}"


def _describe_no_changes(document: Json, context: Context) -> str:
    """Return why there are no steps, without the time that took, so that the same plan has the same text."""
    return format_prose(truncate(text.describe_no_changes(document, replace(context, seconds=None)), 300))


def _make_parts(documents: Sequence[Json], context: Context, content: Review, form: Form) -> Iterator[Part]:
    """Yield the comment from its first line to its last."""
    head = f"{format_marker(documents, context)}\n{_make_heading(documents)}\n{_explain_length(form, context)}"
    yield Part([_make_fixed_item(head), *_list_status(documents, context)])
    yield from render_review(content, form)
    for document in documents:
        if has_content(document):
            yield from _render_stack(document, context, form, several=len(documents) > 1)
    yield _render_unchanged_stacks(documents)
    yield Part([_make_fixed_item(_format_footer(documents, context))])


def _make_fixed_item(words: str) -> PageItem:
    return PageItem(Rank.ALWAYS, lambda: words)


# -- the verdict ------------------------------------------------------------------------------------------------------
def _make_title(documents: Sequence[Json]) -> str:
    envs = ", ".join(dict.fromkeys(document["stack"]["env"] for document in documents))
    subject = documents[0]["stack"]["name"] if len(documents) == 1 else count(len(documents), "stack")
    action = "kplan destroy" if any(document["mode"] == "destroy" for document in documents) else "kplan"
    simulated = " (SIMULATED cluster)" if any(document["target"]["simulated"] for document in documents) else ""
    snapshot = " (from a SNAPSHOT)" if any(document["target"].get("snapshot") for document in documents) else ""
    where = f" → {escape_text(truncate(envs, 60))}" if envs else ""
    return f"{action}: {escape_text(truncate(subject, 63))}{where}{simulated}{snapshot}"


def _make_heading(documents: Sequence[Json]) -> str:
    """Return `### ⛔ kplan: inventory → prod · 2 add, 1 delete · 2 cannot be undone · **1 danger not accepted**`."""
    return f"### {_choose_icon(documents)} {' · '.join([_make_title(documents), *_list_verdict(documents)])}"


def _choose_icon(documents: Sequence[Json]) -> str:
    if any(document["errored"] for document in documents):
        return "❌"
    if any(document["blocked"] for document in documents):
        return "⛔"
    risky = any(document["summary"]["irreversible"] for document in documents) or _count_dangers(
        documents, accepted=True
    )
    return "⚠️" if risky else "✅"


def _list_verdict(documents: Sequence[Json]) -> Iterator[str]:
    if counts := _format_counts(documents):
        yield counts
    if final := sum(document["summary"]["irreversible"] for document in documents):
        yield f"{final:,} cannot be undone"
    if accepted := _count_dangers(documents, accepted=True):
        yield f"{count(accepted, 'danger')} accepted"
    if refused := _count_dangers(documents, accepted=False):
        yield f"**{count(refused, 'danger')} not accepted**"
    if any(codes.K419.number in document["blocked"] for document in documents):
        yield "**too many changes at once**"
    if denied := sum(len(text.list_denied(document)) for document in documents):
        yield f"**{text.count_denied(denied)}**"
    if errors := sum(is_error(diagnostic) for document in documents for diagnostic in document["diagnostics"]):
        yield f"**{count(errors, 'error')}, nothing can be applied**"


def _format_counts(documents: Sequence[Json]) -> str:
    totals = ((key, sum(document["summary"][key] for document in documents)) for key in SUMMARY_KEYS)
    parts = [f"{number:,} {'give up' if key == 'release' else key}" for key, number in totals if number]
    planned = not any(document["errored"] or document["mode"] == "validate" for document in documents)
    return ", ".join(parts) or ("no changes" if planned else "")


def _count_dangers(documents: Sequence[Json], accepted: bool) -> int:
    risks = (risk for document in documents for change in document["changes"] for risk in change["risks"])
    return sum(risk["level"] == "danger" and bool(risk["accepted"]) == accepted for risk in risks)


def _explain_length(form: Form, context: Context) -> str:
    text = f"**This plan is too long for a comment:** {form.notice}."
    return f"{text} {_name_full_output(context)}\n" if form.notice else ""


def _name_full_output(context: Context) -> str:
    """Return where all of it can be read."""
    sources = [
        format_link("run log", context.log_url),
        format_code(f"kplan show {context.saved}", 300) if context.saved else "",
    ]
    text = " or ".join(filter(None, sources))
    return f"Complete plan: {text}." if text else "The text and HTML views show the complete plan."


def _list_status(documents: Sequence[Json], context: Context) -> Iterator[PageItem]:
    """Yield what distinguishes this from a plan of a whole stack for the cluster as it is now."""
    if files := dict.fromkeys(format_code(d["target"]["simulated"]) for d in documents if d["target"]["simulated"]):
        yield _make_fixed_item(f"\n**SIMULATED cluster, no server is touched:** {', '.join(list(files)[:3])}\n")
    snapshots = dict.fromkeys(
        format_prose(describe_snapshot(document)) for document in documents if document["target"].get("snapshot")
    )
    for snapshot in list(snapshots)[:3]:
        yield _make_fixed_item(
            f"\n**SNAPSHOT** of the cluster, {snapshot}: nothing was read from it or checked by it now.\n"
        )
    if not all(document["complete"] for document in documents):
        hidden = sum(document["summary"]["hidden"] for document in documents)
        yield _make_fixed_item(f"\n**Partial plan:** `--target` or `--exclude` hides {count(hidden, 'change')}.\n")
    yield from (PageItem(Rank.STATUS, partial(_format_note, note), "remark") for note in context.notes)


def _format_note(note: str) -> str:
    return f"\nNote: {format_prose(truncate(note, 300))}\n"


# -- one stack --------------------------------------------------------------------------------------------------------
def _render_stack(document: Json, context: Context, form: Form, several: bool) -> Iterator[Part]:
    """Yield the stack's steps in their order, and what opens with a click: warnings, drift, diffs, the graph."""
    items = list(fold_blocks(document["changes"], find_failing(document)))
    rows = [_make_fold_row(item) if isinstance(item, Fold) else _make_row(item, form) for item in items]
    if several:
        needed = any(item.rank is Rank.ALWAYS for item in rows)
        stack = f"{_choose_icon([document])} {escape_text(truncate(document['stack']['name'], 63))}"
        title = f"\n#### {' · '.join([stack, *_list_verdict([document]), _format_digest(document)])}\n"
        yield Part([PageItem(Rank.ALWAYS if needed else Rank.STACK, lambda: title, "stack")])
    table = "\n| # | | resource | change | undo |\n|--:|:-:|---|---|---|\n"
    yield Part(rows, table, "", _count_more_rows)
    if document["mode"] != "validate":
        yield Part(
            [PageItem(Rank.STACK if several else Rank.STATUS, partial(_describe_rest, document, context), "remark")]
        )
    yield _render_warnings(document)
    yield _render_drift(document)
    yield _render_diffs(document, items)
    yield _render_order(document)


def _make_row(change: Json, form: Form) -> PageItem:
    rank, noun = _rank_step(change)
    final = not change["undo"]["complete"]
    danger = any(risk["level"] == "danger" for risk in change["risks"])
    needed = form.final is Detail.WHOLE and (final if not danger else form.dangers is Detail.WHOLE)
    return PageItem(Rank.ALWAYS if needed else rank, _format_row, noun, (change,))


def _make_fold_row(fold: Fold) -> PageItem:
    """Return one row for folded steps. Those that cannot be undone are in the list above it, too."""
    rank, _ = _rank_step(fold.first)
    final = not fold.first["undo"]["complete"]
    return PageItem(Rank.ALWAYS if final else rank, partial(_format_fold_row, fold), f"row of {fold.noun}")


def _format_fold_row(fold: Fold) -> str:
    mark = text.format_sign(fold.first) + ("" if fold.first["undo"]["complete"] else "!")
    title = format_code(fold.title, MAX_ADDRESS_LENGTH)
    summary = format_prose(truncate(fold.summary, MAX_SUMMARY_LENGTH))
    reason = text.REASONS.get(fold.first["reason"], "")
    words = f"{summary} ({format_prose(reason)})" if reason else summary
    return format_row([fold.numbers, f"`{mark}`", title, words, _describe_undo(fold.first)])


def _rank_step(change: Json) -> tuple[Rank, str]:
    if change["actions"][0] in ("adopt", "release"):
        return Rank.LEDGER, "ledger step"
    return (Rank.CREATE, "create") if change["actions"] == ["create"] else (Rank.CHANGE, "change")


def _format_row(change: Json) -> str:
    mark = text.format_sign(change) + ("" if change["undo"]["complete"] else "!")
    address = format_code(change["address"], MAX_ADDRESS_LENGTH)
    address = format_link(address, change.get("url", "")) or address
    return format_row([str(change["step"]), f"`{mark}`", address, _describe_step(change), _describe_undo(change)])


def _describe_step(change: Json) -> str:
    action = name_action(change)
    if action in ("adopt", "release", "give up"):
        return format_prose(text.REASONS.get(change["reason"], "released: it stays, and the stack no longer owns it"))
    if action in ("delete", "replace"):
        deleted = ": ".join(filter(None, ["deleted", format_prose(truncate(summarize_deleted(change), 200))]))
        return deleted if action == "delete" else "deleted and recreated"
    parts = [format_prose(truncate(summarize_step(change), 200))]
    if action == "move":
        parts.insert(0, f"was {format_code(change['moved_from'], MAX_ADDRESS_LENGTH)}, with its offsets")
    elif change.get("adopts"):
        parts.insert(0, "adopted")
    parts += [format_prose(truncate(effect.partition(";")[0], 80)) for effect in change.get("effects", ())[:2]]
    return ", ".join(filter(None, parts))


def _describe_undo(change: Json) -> str:
    if not change["undo"]["complete"]:
        return "**no**" if change["undo"]["kind"] == "none" else "**in part**"
    return {"delete_if_empty": "delete if empty", "delete": "delete"}.get(change["undo"]["kind"], "yes")


def _count_more_rows(left: Counter[str]) -> str:
    return f"\n… + {', '.join(f'{number:,} more {noun}{_choose_plural(number)}' for noun, number in left.items())}\n"


def _choose_plural(number: int) -> str:
    return "" if number == 1 else "s"


def _describe_rest(document: Json, context: Context) -> str:
    """Return what is not among the steps."""
    drift = len(document["drift"])
    sentences = [f"{document['summary']['unchanged']} unchanged."]
    if not document["changes"] and not document["errored"]:
        sentences = [_describe_no_changes(document, context)]
    sentences += [f"Drift: {count(drift, 'attribute')} changed live since the last apply." if drift else "Drift: none."]
    growth = describe_growth(document)
    stored = describe_forecast(document)
    sentences += [f"Size: {growth}." if growth else "", f"Storage: {escape_text(stored)}." if stored else ""]
    sentences += [escape_text(describe_rehearsal(document))]
    return f"\n{' '.join(filter(None, sentences))}\n"


def _fold_block(summary: str, head: str = "", tail: str = "") -> tuple[str, str]:
    """Return the beginning and the end of a block that opens with a click; inside, after an empty line, is Markdown."""
    return f"\n<details><summary>{summary}</summary>\n\n{head}", f"{tail}\n</details>\n"


def _render_warnings(document: Json) -> Part:
    warnings = [diagnostic for diagnostic in document["diagnostics"] if diagnostic["severity"] != "error"]
    items = [
        PageItem(Rank.WARNING, partial(_format_warning, diagnostic), diagnostic["severity"]) for diagnostic in warnings
    ]
    return Part(items, *_fold_block(count(len(warnings), "warning")))


def _format_warning(warning: Json) -> str:
    return f"- {format_diagnostic(warning, warning['severity'])}\n"


def _render_drift(document: Json) -> Part:
    items = [
        PageItem(Rank.DRIFT, partial(_format_drift, difference), "drifted attribute")
        for difference in document["drift"]
    ]
    head = "| resource | attribute | last applied | live |\n|---|---|---|---|\n"
    return Part(items, *_fold_block("Drift: changed live by others", head), _count_more_rows)


def _format_drift(difference: Json) -> str:
    key = text.name_attribute(difference)
    return format_row(
        [
            format_code(difference["address"], MAX_ADDRESS_LENGTH),
            format_code(key),
            *(format_code(format_attribute(key, difference[side])) for side in ("applied", "live")),
        ]
    )


def _render_diffs(document: Json, changes: Sequence[Fold | Json]) -> Part:
    """Return the diffs of the steps, as they are folded."""
    is_brief = sum(len(change.steps) for change in changes if isinstance(change, Fold)) > MAX_DESCRIBED
    ranks = {Rank.CREATE: Rank.CREATE_DIFF, Rank.LEDGER: Rank.CREATE_DIFF}
    items = []
    for change in changes:
        if isinstance(change, Fold):
            rank = ranks.get(_rank_step(change.first)[0], Rank.OTHER_DIFF)
            items.append(PageItem(rank, partial(write_fold, change, is_brief), f"diff of {change.noun}"))
            continue
        fallback = (
            Rank.UPDATE_DIFF if name_action(change) == "change" and change["undo"]["complete"] else Rank.OTHER_DIFF
        )
        rank = ranks.get(_rank_step(change)[0], fallback)
        items.append(PageItem(rank, _format_diff, "diff", (change, document["created_at"])))
    return Part(
        items, *_fold_block("Diff", "```diff\n", "```\n"), lambda left: f"#      + {left.total():,} more steps\n"
    )


def _format_diff(change: Json, created_at: str) -> str:
    return f"{write_patch(change, created_at)}\n"


def _render_order(document: Json) -> Part:
    waves = {change["wave"] for change in document["changes"]}
    graph = PageItem(Rank.ORDER, partial(_format_graph, document), "graph")
    return Part([graph] if len(waves) > 1 else [], *_fold_block("Order"))


def _format_graph(document: Json) -> str:
    legend = "Solid arrow: the step needs the other one. Dotted: it comes after it. Red: it cannot be undone."
    return f"```mermaid\n{draw_graph(document)}```\n\n{legend}\n"


def _render_unchanged_stacks(documents: Sequence[Json]) -> Part:
    unchanged = [document for document in documents if not has_content(document)]
    items = [PageItem(Rank.STACK, partial(_format_stack_name, document), "stack") for document in unchanged]
    head = f"\n{count(len(unchanged), 'stack')} without changes: "
    return Part(items, head, "\n", lambda left: f"and {left.total():,} more")


def _format_stack_name(document: Json) -> str:
    return f"{format_code(document['stack']['name'], 63)} "


# -- the end ----------------------------------------------------------------------------------------------------------
def _format_footer(documents: Sequence[Json], context: Context) -> str:
    """Return which plan this is, of which commit, when and how it is applied; and which cluster was read."""
    first = documents[0]
    commit = f"commit {format_code(first['stack']['commit'][:7])}" if first["stack"]["commit"] else ""
    digest = _format_digest(first) if len(documents) == 1 and first["mode"] != "validate" else ""
    apply = _describe_apply(documents, context) if first["mode"] != "validate" else ""
    author = f"for {escape_text(truncate(context.author, 80))}" if context.author else ""
    facts = [digest, commit, author, _format_time(first["created_at"]), apply, format_link("run log", context.log_url)]
    lines = [" · ".join(filter(None, part)) for part in (facts, [*_describe_cluster(first)])]
    return "".join(f"\n{part}\n" for part in lines if part)


def _format_digest(document: Json) -> str:
    return f"plan {format_code(document['digest'].removeprefix('sha256:')[:8])}"


def _format_time(timestamp: str) -> str:
    return f"{timestamp[:16].replace('T', ' ')} UTC" if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", timestamp) else ""


def _describe_apply(documents: Sequence[Json], context: Context) -> str:
    if not all(document["applyable"] for document in documents):
        return "apply: refused"
    if context.saved:
        return f"apply: {format_code(f'kplan apply {context.saved}', 300)}"
    return "not saved" if context.command == "plan" else ""


def _describe_cluster(document: Json) -> Iterator[str]:
    target, read = document["target"], document["read"]
    if target["bootstrap"] and not target["simulated"]:
        kafka = f"Kafka {format_code(target['bootstrap'])}, cluster {format_code(target['cluster_id'], 40)}"
        yield f"{kafka}, {count(read['topics'], 'topic')} read"
        if target["connect_url"]:
            yield (
                f"Connect {format_code(target['connect_url'])}, version "
                f"{escape_text(truncate(target['connect_version'], 40))}"
            )
        for other in target.get("connects", ()):
            version = escape_text(truncate(other["version"], 40))
            yield f"Connect {format_code(other['alias'])} at {format_code(other['url'])}, version {version}"
        if not target.get("snapshot"):
            yield format_prose(truncate(text.describe_checks(document), 200))
    if document["used_env"]:
        yield f"defaults from {format_code(', '.join(document['used_env']))}"


def _describe_left_out(left: Counter[str], context: Context) -> str:
    if not left:
        return ""
    parts = ", ".join(f"{number:,} {noun}{_choose_plural(number)}" for noun, number in left.most_common())
    return f"\nLeft out to save space: {parts}. {_name_full_output(context)}\n"
