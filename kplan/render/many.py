"""Render what concerns several stacks together, in addition to each one's own plan."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kplan.diagnostics import codes
from kplan.render.rehearsal import describe_rehearsal
from kplan.render.text import Context, Style, clean, format_counts
from kplan.text import count, join_names

Json = Mapping[str, Any]
CIRCLE = codes.K250.number  # stacks wait for each other, so there is no order
MAX_REASONS = 20  # lines with the reason why a stack comes after another one
SUMMARY_KEYS = ("add", "change", "delete", "replace", "move", "adopt", "release", "unchanged", "irreversible")


def has_content(document: Json) -> bool:
    return bool(document["changes"] or document["diagnostics"] or document["drift"])


def has_own_page(document: Json, documents: Sequence[Json], context: Context) -> bool:
    """Return whether the stack has a page of its own: the only stack, or one of several that has content."""
    return len(documents) == 1 or context.include_unchanged or has_content(document)


def narrow_context(document: Json, documents: Sequence[Json], context: Context) -> Context:
    """Return the context of one stack's page; what is true of all stacks appears once, at the end."""
    if len(documents) == 1:
        return context
    files = document["stack"]["files"]
    command_line = context.command_line or f"kplan {context.command} {' '.join(context.paths)}"
    paths = (files[0]["path"],) if files else context.paths
    return replace(context, paths=paths, command_line=command_line, saved="", command="", seconds=None)


def render_closing(documents: Sequence[Json], style: Style, context: Context) -> Iterator[str]:
    """Yield the changes in their order, what stays unchanged, and how to apply all of it."""
    changing = [document for document in documents if document["changes"]]
    ordered = not any(problem["code"] == CIRCLE for document in documents for problem in document["diagnostics"])
    if changing:
        yield from _wrap(_describe_order(changing, ordered), style)
        reasons = _list_reasons(changing)[:MAX_REASONS] if ordered else ()
        yield from (line for reason in reasons for line in _wrap(f"  {reason}", style, 4))
    yield from render_unchanged(documents, style, context)
    yield from _render_verdict(documents, changing, style, context)


def render_unchanged(documents: Sequence[Json], style: Style, context: Context) -> Iterator[str]:
    """Yield one line for all stacks without a page of their own."""
    others = [document for document in documents if not has_own_page(document, documents, context)]
    unchanged = [document for document in others if document["complete"]]
    hidden = [document for document in others if not document["complete"]]
    timing = f" ({context.seconds:.1f} s)" if context.seconds is not None else ""
    if unchanged and len(unchanged) == len(documents):
        yield list_names(f"{_describe_unchanged(unchanged)}{timing}", unchanged, style)
    elif unchanged:
        state = "own nothing here" if unchanged[0]["mode"] == "destroy" else "unchanged"
        yield list_names(f"{count(len(unchanged), 'stack')} {state}", unchanged, style)
    if hidden:
        yield list_names(f"{count(len(hidden), 'stack')} whose changes --target or --exclude hides", hidden, style)


def _describe_unchanged(documents: Sequence[Json]) -> str:
    stacks = count(len(documents), "stack")
    if documents[0]["mode"] == "destroy":
        return f"Nothing to destroy. {stacks} own nothing here"
    resources = count(sum(document["summary"]["unchanged"] for document in documents), "resource")
    return f"No changes. {resources} in {stacks} are as declared"


def list_names(head: str, documents: Sequence[Json], style: Style) -> str:
    """Return as many of their names as fit on the line."""
    names = [document["stack"]["name"] for document in documents]
    line = f"{head}: {', '.join(names)}"
    while len(names) > 1 and len(line) > style.width:
        names.pop()
        line = f"{head}: {', '.join(names)} …"
    return clean(line)


def _describe_order(changing: Sequence[Json], ordered: bool) -> str:
    totals = {key: sum(document["summary"][key] for document in changing) for key in SUMMARY_KEYS}
    names = (" -> " if ordered else ", ").join(document["stack"]["name"] for document in changing)
    summary = format_counts({"summary": totals}).removeprefix("Plan: ").partition("  ")[0]
    suffix = ", in this order" if ordered and len(changing) > 1 else ""
    return f"{count(len(changing), 'stack')} to change{suffix}: {names}. {summary}"


def _list_reasons(changing: Sequence[Json]) -> list[str]:
    """Return why one stack comes after another: its first step that waits for a step of the other."""
    owner = {c["address"]: d["stack"]["name"] for d in changing for c in d["changes"] if c["actions"] != ["release"]}
    reasons: dict[tuple[str, str], str] = {}
    for document in changing:
        name = document["stack"]["name"]
        for change in document["changes"]:
            for need in change["depends_on"]:
                other = owner.get(need, name)
                if other != name:
                    reasons.setdefault((name, other), f"{name} after {other}: {change['address']} waits for {need}")
    return list(reasons.values())


def _render_verdict(
    documents: Sequence[Json], changing: Sequence[Json], style: Style, context: Context
) -> Iterator[str]:
    """Yield what came of rehearsals, whether the plans can be applied, and how."""
    for document in documents:
        if words := describe_rehearsal(document):
            yield from _wrap(f"{clean(document['stack']['name'])}: {words}", style)
    refused = [document["stack"]["name"] for document in documents if not document["applyable"]]
    if refused:
        verb = "is" if len(refused) == 1 else "are"
        text = f"None of them can be applied: {clean(join_names(refused))} {verb} refused, above."
        yield from ("", *(style.paint(line, "1;31") for line in _wrap(text, style)))
    elif changing and context.saved:
        yield from ("", f"To apply exactly this plan:  kplan apply {context.saved}")
    elif changing and context.command == "plan":
        words = "Not saved. To apply exactly these plans later, use --out plan.json, then `kplan apply plan.json`."
        yield from ("", *_wrap(words, style))


# -- how an apply of several ended ------------------------------------------------------------------------------------
def render_outcomes(outcomes: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """Yield the outcome of each stack in words and its run, by the stack's name."""
    states = [outcome for outcome, _ in outcomes.values()]
    yield f"{count(len(outcomes), 'stack')}: {', '.join(f'{states.count(w)} {w}' for w in dict.fromkeys(states))}."
    name_width = max(map(len, outcomes))
    state_width = max(map(len, states))
    for name, (outcome, run) in outcomes.items():
        yield clean(f"  {name:<{name_width}}  {outcome:<{state_width}}  {f'run {run}' if run else ''}".rstrip())


def _wrap(text: str, style: Style, hanging: int = 2) -> list[str]:
    pad = len(text) - len(text.lstrip())
    return textwrap.wrap(clean(text.strip()), max(40, style.width), initial_indent=" " * pad,
                         subsequent_indent=" " * hanging, break_on_hyphens=False, break_long_words=False)  # fmt: skip
