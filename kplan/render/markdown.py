"""The plan as one comment of a pull or merge request, for GitHub and GitLab alike, in at most 60,000 characters.

What stands there whatever the plan is: the verdict, and how many errors, dangers and irreversible steps there are.
What is never dropped to save room: each error, each danger with what allows it, and the row of each step that cannot
be undone. Where these alone are too long, the second line says so, and each of them is told in one line; where that is
too long as well, they are named, grouped by what they are, as many as fit, and each group says how many it leaves out.
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
from kplan.render.facts import snapshot
from kplan.render.findings import rooted
from kplan.render.gfm import code, comment, link, name, plain, prose, row, size
from kplan.render.graph import mermaid
from kplan.render.many import says_something
from kplan.render.patch import patch
from kplan.render.review import FORMS, Form, Rank, Review, Told, diagnostic, is_error, review, told
from kplan.render.room import Item, Part, fitted
from kplan.render.steps import briefly, shown, verb
from kplan.render.text import Context
from kplan.text import count, truncate

LIMIT = 60_000
LEFT = 1_500  # room for the line that says what was left out
ADDRESS = 260
COUNTED = ("add", "change", "delete", "replace", "move", "adopt", "release")

Json = Mapping[str, Any]


def render(documents: Sequence[Json], context: Context, limit: int = LIMIT) -> str:
    """The comment; one line where nothing is to be done and nothing is wrong."""
    documents = [_rooted(document, context.base) for document in documents]
    if not any(says_something(document) for document in documents):
        return f"{marker(documents, context)}\n{_quiet(documents, context)}\n"
    seen = review(documents, context.again or " ".join(["kplan", context.command, *context.paths]))
    for form in FORMS:
        page = fitted([*_parts(documents, context, seen, form)], limit - LEFT, size)
        if page:
            return page.text + _left_out(page.left, context)
    raise ValueError(f"no plan can be told in {limit} characters")


def marker(documents: Sequence[Json], context: Context) -> str:
    """The first line, by which the comment of an earlier plan is found and replaced; it is not shown."""
    names = [name(document["stack"]["name"]) for document in documents]
    envs = dict.fromkeys(name(document["stack"]["env"]) for document in documents)
    several = ",".join(name(path) for path in context.paths) or ",".join(names)
    which = f"stack={names[0]}" if len(names) == 1 else f"stacks={several[:200]}"
    return comment(f"kplan:v1 {which} env={','.join(envs)[:200]}")


def _rooted(document: Json, base: str) -> Json:
    """The document with its places as seen from the repository's root, where a reviewer looks for them."""
    if not base:
        return document
    changes = [{**change, "source": _place(change["source"], base)} for change in document["changes"]]
    return {**document, "changes": changes, "diagnostics": [_place(each, base) for each in document["diagnostics"]]}


def _place(source: Json | None, base: str) -> Json | None:
    return {**source, "path": rooted(Span(source["path"]), base).path} if source and source["path"] else source


def _quiet(documents: Sequence[Json], context: Context) -> str:
    said = "No changes." if len(documents) > 1 else _nothing(documents[0], context)
    valid = documents[0]["mode"] == "validate"
    return f"✅ **{_title(documents)}** · {'No problems.' if valid else said}"


def _nothing(document: Json, context: Context) -> str:
    """Why there are no steps; without how long that took, so that the same is said the same way again."""
    return prose(truncate(text.nothing(document, replace(context, seconds=None)), 300))


def _parts(documents: Sequence[Json], context: Context, seen: Review, form: Form) -> Iterator[Part]:
    """The page from its first line to its last."""
    head = f"{marker(documents, context)}\n{_heading(documents)}\n{_too_long(form, context)}"
    yield Part([_always(head), *_status(documents, context)])
    yield from told(seen, form)
    for document in documents:
        if says_something(document):
            yield from _stack(document, context, form, several=len(documents) > 1)
    yield _unchanged(documents)
    yield Part([_always(_footer(documents, context))])


def _always(said: str) -> Item:
    return Item(Rank.ALWAYS, lambda: said)


# -- the verdict ------------------------------------------------------------------------------------------------------
def _title(documents: Sequence[Json]) -> str:
    envs = ", ".join(dict.fromkeys(document["stack"]["env"] for document in documents))
    what = documents[0]["stack"]["name"] if len(documents) == 1 else count(len(documents), "stack")
    action = "kplan destroy" if any(document["mode"] == "destroy" for document in documents) else "kplan"
    simulated = " (SIMULATED cluster)" if any(document["target"]["simulated"] for document in documents) else ""
    taken = " (from a SNAPSHOT)" if any(document["target"].get("snapshot") for document in documents) else ""
    where = f" → {plain(truncate(envs, 60))}" if envs else ""
    return f"{action}: {plain(truncate(what, 63))}{where}{simulated}{taken}"


def _heading(documents: Sequence[Json]) -> str:
    """`### ⛔ kplan: inventory → prod · 2 add, 1 delete · 2 cannot be undone · **1 danger not accepted**`"""
    return f"### {_icon(documents)} {' · '.join([_title(documents), *_verdict(documents)])}"


def _icon(documents: Sequence[Json]) -> str:
    if any(document["errored"] for document in documents):
        return "❌"
    if any(document["blocked"] for document in documents):
        return "⛔"
    risky = any(document["summary"]["irreversible"] for document in documents) or _dangers(documents, accepted=True)
    return "⚠️" if risky else "✅"


def _verdict(documents: Sequence[Json]) -> Iterator[str]:
    if counts := _counts(documents):
        yield counts
    if final := sum(document["summary"]["irreversible"] for document in documents):
        yield f"{final:,} cannot be undone"
    if accepted := _dangers(documents, accepted=True):
        yield f"{count(accepted, 'danger')} accepted"
    if refused := _dangers(documents, accepted=False):
        yield f"**{count(refused, 'danger')} not accepted**"
    if any(codes.K419.number in document["blocked"] for document in documents):
        yield "**too many changes at once**"
    if errors := sum(is_error(each) for document in documents for each in document["diagnostics"]):
        yield f"**{count(errors, 'error')}, nothing can be applied**"


def _counts(documents: Sequence[Json]) -> str:
    totals = ((key, sum(document["summary"][key] for document in documents)) for key in COUNTED)
    said = [f"{number:,} {'give up' if key == 'release' else key}" for key, number in totals if number]
    planned = not any(document["errored"] or document["mode"] == "validate" for document in documents)
    return ", ".join(said) or ("no changes" if planned else "")


def _dangers(documents: Sequence[Json], accepted: bool) -> int:
    risks = (risk for document in documents for change in document["changes"] for risk in change["risks"])
    return sum(risk["level"] == "danger" and bool(risk["accepted"]) == accepted for risk in risks)


def _too_long(form: Form, context: Context) -> str:
    said = f"**This plan is too long for a comment:** {form.said}."
    return f"{said} {_elsewhere(context)}\n" if form.said else ""


def _elsewhere(context: Context) -> str:
    """Where all of it can be read."""
    ways = [link("run log", context.log), code(f"kplan show {context.saved}", 300) if context.saved else ""]
    said = " or ".join(filter(None, ways))
    return f"All of it: {said}." if said else "All of it is in the text and HTML views."


def _status(documents: Sequence[Json], context: Context) -> Iterator[Item]:
    """What makes this another thing than a plan of a whole stack for the cluster as it is now."""
    if files := dict.fromkeys(code(d["target"]["simulated"]) for d in documents if d["target"]["simulated"]):
        yield _always(f"\n**SIMULATED cluster, no server is touched:** {', '.join(list(files)[:3])}\n")
    taken = dict.fromkeys(prose(snapshot(document)) for document in documents if document["target"].get("snapshot"))
    for when in list(taken)[:3]:
        yield _always(f"\n**SNAPSHOT** of the cluster, {when}: nothing was read from it or checked by it now.\n")
    if not all(document["complete"] for document in documents):
        hidden = sum(document["summary"]["hidden"] for document in documents)
        yield _always(f"\n**Partial plan:** `--target` or `--exclude` hides {count(hidden, 'change')}.\n")
    yield from (Item(Rank.STATUS, partial(_note, note), "remark") for note in context.notes)


def _note(words: str) -> str:
    return f"\nNote: {prose(truncate(words, 300))}\n"


# -- one stack --------------------------------------------------------------------------------------------------------
def _stack(document: Json, context: Context, form: Form, several: bool) -> Iterator[Part]:
    """Its steps in their order, and what is opened with a click: warnings, drift, diffs, the graph."""
    rows = [_row(change, form) for change in document["changes"]]
    if several:
        needed = any(item.rank is Rank.ALWAYS for item in rows)
        stack = f"{_icon([document])} {plain(truncate(document['stack']['name'], 63))}"
        title = f"\n#### {' · '.join([stack, *_verdict([document]), _digest(document)])}\n"
        yield Part([Item(Rank.ALWAYS if needed else Rank.STACK, lambda: title, "stack")])
    table = "\n| # | | resource | change | undo |\n|--:|:-:|---|---|---|\n"
    yield Part(rows, table, "", _more_rows)
    if document["mode"] != "validate":
        yield Part([Item(Rank.STACK if several else Rank.STATUS, partial(_rest, document, context), "remark")])
    yield _warnings(document)
    yield _drift(document)
    yield _diffs(document)
    yield _order(document)


def _row(change: Json, form: Form) -> Item:
    rank, noun = _rank(change)
    final = not change["undo"]["complete"]
    danger = any(risk["level"] == "danger" for risk in change["risks"])
    needed = form.final is Told.WHOLE and (final if not danger else form.dangers is Told.WHOLE)
    return Item(Rank.ALWAYS if needed else rank, partial(_cells, change), noun)


def _rank(change: Json) -> tuple[Rank, str]:
    if change["actions"][0] in ("adopt", "release"):
        return Rank.LEDGER, "ledger step"
    return (Rank.CREATE, "create") if change["actions"] == ["create"] else (Rank.CHANGE, "change")


def _cells(change: Json) -> str:
    mark = text.sign(change) + ("" if change["undo"]["complete"] else "!")
    address = code(change["address"], ADDRESS)
    return row([str(change["step"]), f"`{mark}`", address, _what(change), _undo(change)])


def _what(change: Json) -> str:
    action = verb(change)
    if action in ("adopt", "release", "give up"):
        return prose(text.REASONS.get(change["reason"], "given up: it stays, and the stack no longer owns it"))
    if action in ("delete", "replace"):
        return "deleted" if action == "delete" else "deleted and made anew"
    said = [prose(truncate(briefly(change), 200))]
    if action == "move":
        said.insert(0, f"was {code(change['moved_from'], ADDRESS)}, with its offsets")
    elif change.get("adopts"):
        said.insert(0, "adopted")
    said += [prose(truncate(effect.partition(";")[0], 80)) for effect in change.get("effects", ())[:2]]
    return ", ".join(filter(None, said))


def _undo(change: Json) -> str:
    if not change["undo"]["complete"]:
        return "**no**" if change["undo"]["kind"] == "none" else "**in part**"
    return {"delete_if_empty": "delete if empty", "delete": "delete"}.get(change["undo"]["kind"], "yes")


def _more_rows(left: Counter[str]) -> str:
    return f"\n… + {', '.join(f'{number:,} more {noun}{_plural(number)}' for noun, number in left.items())}\n"


def _plural(number: int) -> str:
    return "" if number == 1 else "s"


def _rest(document: Json, context: Context) -> str:
    """What is not among the steps."""
    drift = len(document["drift"])
    said = [f"{document['summary']['unchanged']} unchanged."]
    if not document["changes"] and not document["errored"]:
        said = [_nothing(document, context)]
    said += [f"Drift: {count(drift, 'attribute')} changed live since the last apply." if drift else "Drift: none."]
    return f"\n{' '.join(said)}\n"


def _block(summary: str, head: str = "", tail: str = "") -> tuple[str, str]:
    """The beginning and the end of a block that is opened with a click; inside, after an empty line, is Markdown."""
    return f"\n<details><summary>{summary}</summary>\n\n{head}", f"{tail}\n</details>\n"


def _warnings(document: Json) -> Part:
    found = [each for each in document["diagnostics"] if each["severity"] != "error"]
    items = [Item(Rank.WARNING, partial(_warning, each), each["severity"]) for each in found]
    return Part(items, *_block(count(len(found), "warning")))


def _warning(each: Json) -> str:
    return f"- {diagnostic(each, each['severity'])}\n"


def _drift(document: Json) -> Part:
    items = [Item(Rank.DRIFT, partial(_drifted, each), "drifted attribute") for each in document["drift"]]
    head = "| resource | attribute | last applied | live |\n|---|---|---|---|\n"
    return Part(items, *_block("Drift: what others changed live", head), _more_rows)


def _drifted(each: Json) -> str:
    key = text.attribute(each)
    return row([code(each["address"], ADDRESS), code(key), *(code(shown(key, each[of])) for of in ("applied", "live"))])


def _diffs(document: Json) -> Part:
    ranks = {Rank.CREATE: Rank.CREATE_DIFF, Rank.LEDGER: Rank.CREATE_DIFF}
    items = []
    for change in document["changes"]:
        other = Rank.UPDATE_DIFF if verb(change) == "change" and change["undo"]["complete"] else Rank.OTHER_DIFF
        rank = ranks.get(_rank(change)[0], other)
        items.append(Item(rank, partial(_diff, change, document["created_at"]), "diff"))
    return Part(items, *_block("Diff", "```diff\n", "```\n"), lambda left: f"#      + {left.total():,} more steps\n")


def _diff(change: Json, created_at: str) -> str:
    return f"{patch(change, created_at)}\n"


def _order(document: Json) -> Part:
    waves = {change["wave"] for change in document["changes"]}
    graph = Item(Rank.ORDER, partial(_graph, document), "graph")
    return Part([graph] if len(waves) > 1 else [], *_block("Order"))


def _graph(document: Json) -> str:
    legend = "An arrow: the step needs the other one. Dotted: it comes after it. Red: it cannot be undone."
    return f"```mermaid\n{mermaid(document)}```\n\n{legend}\n"


def _unchanged(documents: Sequence[Json]) -> Part:
    quiet = [document for document in documents if not says_something(document)]
    items = [Item(Rank.STACK, partial(_named, document), "stack") for document in quiet]
    head = f"\n{count(len(quiet), 'stack')} without changes: "
    return Part(items, head, "\n", lambda left: f"and {left.total():,} more")


def _named(document: Json) -> str:
    return f"{code(document['stack']['name'], 63)} "


# -- the end ----------------------------------------------------------------------------------------------------------
def _footer(documents: Sequence[Json], context: Context) -> str:
    """Which plan this is, of which commit, when and how it is applied; and which cluster was asked."""
    first = documents[0]
    commit = f"commit {code(first['stack']['commit'][:7])}" if first["stack"]["commit"] else ""
    digest = _digest(first) if len(documents) == 1 and first["mode"] != "validate" else ""
    apply = _apply(documents, context) if first["mode"] != "validate" else ""
    made = [digest, commit, _time(first["created_at"]), apply, link("run log", context.log)]
    said = [" · ".join(filter(None, each)) for each in (made, [*_cluster(first)])]
    return "".join(f"\n{each}\n" for each in said if each)


def _digest(document: Json) -> str:
    return f"plan {code(document['digest'].removeprefix('sha256:')[:8])}"


def _time(written: str) -> str:
    return f"{written[:16].replace('T', ' ')} UTC" if re.match(r"\d{4}-\d\d-\d\dT\d\d:\d\d", written) else ""


def _apply(documents: Sequence[Json], context: Context) -> str:
    if not all(document["applyable"] for document in documents):
        return "apply: refused as it stands"
    if context.saved:
        return f"apply: {code(f'kplan apply {context.saved}', 300)}"
    return "this plan was not saved" if context.command == "plan" else ""


def _cluster(document: Json) -> Iterator[str]:
    target, read = document["target"], document["read"]
    if target["bootstrap"] and not target["simulated"]:
        kafka = f"Kafka {code(target['bootstrap'])}, cluster {code(target['cluster_id'], 40)}"
        yield f"{kafka}, {count(read['topics'], 'topic')} read"
        if target["connect_url"]:
            yield f"Connect {code(target['connect_url'])}, version {plain(truncate(target['connect_version'], 40))}"
        if not target.get("snapshot"):
            yield prose(truncate(text.checked(document), 200))
    if document["used_env"]:
        yield f"defaults from {code(', '.join(document['used_env']))}"


def _left_out(left: Counter[str], context: Context) -> str:
    if not left:
        return ""
    said = ", ".join(f"{number:,} {noun}{_plural(number)}" for noun, number in left.most_common())
    return f"\nLeft out for room: {said}. {_elsewhere(context)}\n"
