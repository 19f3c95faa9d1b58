"""What is said of several stacks together, besides each one's own plan."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kplan.diagnostics import codes
from kplan.render.text import Context, Style, clean, counts
from kplan.text import count, join_names

Json = Mapping[str, Any]
CIRCLE = codes.K250.number  # stacks wait for each other, so that there is no order
REASONS = 20  # so many are told of why a stack comes after another one
COUNTED = ("add", "change", "delete", "replace", "move", "adopt", "release", "unchanged", "irreversible")


def says_something(document: Json) -> bool:
    return bool(document["changes"] or document["diagnostics"] or document["drift"])


def is_shown(document: Json, documents: Sequence[Json], context: Context) -> bool:
    """Whether the stack has a page of its own: the only one, and of several those that something is to be said of."""
    return len(documents) == 1 or context.whole or says_something(document)


def own(document: Json, documents: Sequence[Json], context: Context) -> Context:
    """The context of one stack's page; of several, what is true of all is said once, at the end."""
    if len(documents) == 1:
        return context
    files = document["stack"]["files"]
    again = context.again or f"kplan {context.command} {' '.join(context.paths)}"
    paths = (files[0]["path"],) if files else context.paths
    return replace(context, paths=paths, again=again, saved="", command="", seconds=None)


def closing(documents: Sequence[Json], style: Style, context: Context) -> Iterator[str]:
    """What is to be done in which order, what stays as it is, and how all of it is applied."""
    doing = [document for document in documents if document["changes"]]
    ordered = not any(problem["code"] == CIRCLE for document in documents for problem in document["diagnostics"])
    if doing:
        yield from _wrapped(_order(doing, ordered), style)
        reasons = _reasons(doing)[:REASONS] if ordered else ()
        yield from (line for reason in reasons for line in _wrapped(f"  {reason}", style, 4))
    yield from quiet(documents, style, context)
    yield from _verdict(documents, doing, style, context)


def quiet(documents: Sequence[Json], style: Style, context: Context) -> Iterator[str]:
    """One line for all stacks that nothing else is said of."""
    left = [document for document in documents if not is_shown(document, documents, context)]
    same = [document for document in left if document["complete"]]
    hidden = [document for document in left if not document["complete"]]
    timing = f" ({context.seconds:.1f} s)" if context.seconds is not None else ""
    if same and len(same) == len(documents):
        yield named(f"{_all_quiet(same)}{timing}", same, style)
    elif same:
        said = "own nothing here" if same[0]["mode"] == "destroy" else "unchanged"
        yield named(f"{count(len(same), 'stack')} {said}", same, style)
    if hidden:
        yield named(f"{count(len(hidden), 'stack')} whose changes --target or --exclude hides", hidden, style)


def _all_quiet(same: Sequence[Json]) -> str:
    stacks = count(len(same), "stack")
    if same[0]["mode"] == "destroy":
        return f"Nothing to destroy. {stacks} own nothing here"
    resources = count(sum(document["summary"]["unchanged"] for document in same), "resource")
    return f"No changes. {resources} in {stacks} are as declared"


def named(said: str, documents: Sequence[Json], style: Style) -> str:
    """As many of their names as fit on the line."""
    names = [document["stack"]["name"] for document in documents]
    line = f"{said}: {', '.join(names)}"
    while len(names) > 1 and len(line) > style.width:
        names.pop()
        line = f"{said}: {', '.join(names)} …"
    return clean(line)


def _order(doing: Sequence[Json], ordered: bool) -> str:
    totals = {key: sum(document["summary"][key] for document in doing) for key in COUNTED}
    names = (" -> " if ordered else ", ").join(document["stack"]["name"] for document in doing)
    said = counts({"summary": totals}).removeprefix("Plan: ").partition("  ")[0]
    how = ", in this order" if ordered and len(doing) > 1 else ""
    return f"{count(len(doing), 'stack')} to change{how}: {names}. {said}"


def _reasons(doing: Sequence[Json]) -> list[str]:
    """Why one stack comes after another: its first step that waits for one there."""
    owner = {c["address"]: d["stack"]["name"] for d in doing for c in d["changes"] if c["actions"] != ["release"]}
    found: dict[tuple[str, str], str] = {}
    for document in doing:
        name = document["stack"]["name"]
        for change in document["changes"]:
            for need in change["depends_on"]:
                other = owner.get(need, name)
                if other != name:
                    found.setdefault((name, other), f"{name} after {other}: {change['address']} waits for {need}")
    return list(found.values())


def _verdict(documents: Sequence[Json], doing: Sequence[Json], style: Style, context: Context) -> Iterator[str]:
    """Whether they can be applied, and how."""
    refused = [document["stack"]["name"] for document in documents if not document["applyable"]]
    if refused:
        verb = "is" if len(refused) == 1 else "are"
        said = f"None of them can be applied: {clean(join_names(refused))} {verb} refused, above."
        yield from ("", *(style.paint(line, "1;31") for line in _wrapped(said, style)))
    elif doing and context.saved:
        yield from ("", f"To do exactly this:  kplan apply {context.saved}")
    elif doing and context.command == "plan":
        words = "These plans were not saved: with --out plan.json, `kplan apply plan.json` does exactly this."
        yield from ("", *_wrapped(words, style))


# -- how an apply of several ended ------------------------------------------------------------------------------------
def ended(outcomes: Mapping[str, tuple[str, str]]) -> Iterator[str]:
    """What became of each stack: its outcome in words and its run, by its name."""
    words = [outcome for outcome, _ in outcomes.values()]
    yield f"{count(len(outcomes), 'stack')}: {', '.join(f'{words.count(w)} {w}' for w in dict.fromkeys(words))}."
    width = max(map(len, outcomes))
    widest = max(map(len, words))
    for name, (outcome, run) in outcomes.items():
        yield clean(f"  {name:<{width}}  {outcome:<{widest}}  {f'run {run}' if run else ''}".rstrip())


def _wrapped(text: str, style: Style, hanging: int = 2) -> list[str]:
    pad = len(text) - len(text.lstrip())
    return textwrap.wrap(clean(text.strip()), max(40, style.width), initial_indent=" " * pad,
                         subsequent_indent=" " * hanging, break_on_hyphens=False, break_long_words=False)  # fmt: skip
