"""Render whole documents as plain text: the plan as a terminal shows it, for a file; and one line a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kplan.diagnostics import Diagnostic
from kplan.planning.document import diagnostic_from_json
from kplan.render import diagnostics
from kplan.render import text as terminal
from kplan.render.facts import describe_snapshot, format_sentence
from kplan.render.folding import Fold, find_failing, fold_steps
from kplan.render.many import has_own_page, narrow_context, render_closing, render_unchanged
from kplan.render.steps import place, summarize_deleted, summarize_step
from kplan.render.text import ACCEPTED, Context, Style, clean
from kplan.text import count


def render_text(documents: Sequence[Mapping[str, Any]], context: Context) -> str:
    """Return what a terminal of 100 columns without colours shows, problems included; their lines are not quoted."""
    pages = [
        "\n".join(_render_page(document, page_context)) for document, page_context in _iterate_pages(documents, context)
    ]
    if len(documents) > 1 and documents[0]["mode"] != "validate":
        pages.append("\n".join(render_closing(documents, Style(), context)))
    return "\n\n".join(pages) + "\n"


def _render_page(document: Mapping[str, Any], context: Context) -> Iterator[str]:
    style, problems = Style(), _read_problems(document)
    if document["mode"] == "validate":
        files = len({problem.span.path for problem in problems if problem.span})
        yield diagnostics.render_full(problems, lambda path: None, False, style.width, files=files).rstrip("\n")
        return
    yield from terminal.render_header(document, style, context)
    if problems:
        yield ""
        yield diagnostics.render_full(problems, lambda path: None, False, style.width, counted=False).rstrip("\n")
    yield from terminal.render_body(document, style, context, summarize)


def summarize(change: Mapping[str, Any]) -> str:
    """Return what the step does, in a few words."""
    return summarize_step(change).replace("→", "->").replace("−", "-")


def render_concise(documents: Sequence[Mapping[str, Any]], context: Context) -> str:
    """Return the header, a line for each problem and each step, the verdict, and a line for each danger."""
    pages = [
        "\n".join(_render_lines(document, page_context))
        for document, page_context in _iterate_pages(documents, context)
    ]
    if unchanged := "\n".join(render_unchanged(documents, Style(), context)):
        pages.append(unchanged)
    return "\n\n".join(pages) + "\n"


def _render_lines(document: Mapping[str, Any], context: Context) -> Iterator[str]:
    if document["mode"] != "validate":
        yield clean(_format_header(document))
    yield from (diagnostics.format_line(problem) for problem in _read_problems(document))
    for item in fold_steps(document["changes"], find_failing(document)):
        yield clean("  ".join(filter(None, _list_parts(item)))).replace("\n", " ")
    if document["mode"] != "validate":
        yield (
            terminal.format_counts(document) if document["changes"] else terminal.describe_no_changes(document, context)
        )
    yield from _render_dangers(document)
    if document["errored"] and document["changes"]:
        errors = sum(problem["severity"] == "error" for problem in document["diagnostics"])
        yield f"NOT POSSIBLE: {count(errors, 'error')}."
    elif document["blocked"]:
        words = "not accepted or denied" if terminal.list_denied(document) else "not accepted"
        yield f"BLOCKED: {len(document['blocked'])} {words}: {clean(', '.join(document['blocked']))}"


def _list_parts(item: Fold | Mapping[str, Any]) -> Sequence[str]:
    """Return the parts of a step's line, or of that of folded steps."""
    if isinstance(item, Fold):
        return (f"{terminal.format_mark(item.first)} {item.title}", item.summary, item.place)
    head = f"{terminal.format_mark(item)} {item['address']}"
    summary = summarize(item) if item["actions"] != ["delete"] else summarize_deleted(item)
    return (head, _list_risk_codes(item), summary, place(item["source"]))


def _format_header(document: Mapping[str, Any]) -> str:
    stack, target = document["stack"], document["target"]
    where = f"SIMULATED cluster {target['simulated']}" if target["simulated"] else target["bootstrap"]
    if age := describe_snapshot(document):
        where = f"SNAPSHOT of {where or target['cluster_id']}, {age}"
    partial = "" if document["complete"] else " · partial"
    return f"{stack['name']} · env {stack['env']} · {where}{partial}"


def _list_risk_codes(change: Mapping[str, Any]) -> str:
    """Return the codes of the step's dangers and cautions."""
    words = {"danger": "DANGER", "caution": "caution"}
    return ", ".join(f"{words[risk['level']]} {risk['code']}" for risk in change["risks"] if risk["level"] in words)


def _render_dangers(document: Mapping[str, Any]) -> Iterator[str]:
    for change in document["changes"]:
        for risk in change["risks"]:
            if risk["level"] == "danger":
                state = ACCEPTED.get(risk.get("accepted") or "") or _describe_remedy(risk)
                text = (
                    f"DANGER {risk['code']} {change['address']}: "
                    f"{format_sentence(risk, document['created_at'])} ({state})"
                )
                yield clean(text).replace("\n", " ")


def _describe_remedy(risk: Mapping[str, Any]) -> str:
    return f"to accept it: --accept {risk['accept']}" if risk["accept"] else "apply `protect: false` on it first"


def _read_problems(document: Mapping[str, Any]) -> list[Diagnostic]:
    return [diagnostic_from_json(each) for each in document["diagnostics"]]


def _iterate_pages(
    documents: Sequence[Mapping[str, Any]], context: Context
) -> Iterator[tuple[Mapping[str, Any], Context]]:
    """Yield each document that has content with its context, which names its file where there are several."""
    return (
        (document, narrow_context(document, documents, context))
        for document in documents
        if has_own_page(document, documents, context)
    )
