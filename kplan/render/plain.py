"""Plain text of whole documents: the plan as a terminal shows it, for a file; and one line a step."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kplan.diagnostics import Diagnostic
from kplan.planning.document import diagnostic_from_json
from kplan.render import diagnostics
from kplan.render import text as terminal
from kplan.render.facts import sentence, snapshot
from kplan.render.many import closing, is_shown, own, quiet
from kplan.render.steps import briefly, place
from kplan.render.text import ACCEPTED, Context, Style, clean
from kplan.text import count


def text(documents: Sequence[Mapping[str, Any]], context: Context) -> str:
    """What a terminal of 100 columns without colours shows, problems included; their lines are not quoted."""
    pages = ["\n".join(_page(document, each)) for document, each in _each(documents, context)]
    if len(documents) > 1 and documents[0]["mode"] != "validate":
        pages.append("\n".join(closing(documents, Style(), context)))
    return "\n\n".join(pages) + "\n"


def _page(document: Mapping[str, Any], context: Context) -> Iterator[str]:
    style, problems = Style(), _problems(document)
    if document["mode"] == "validate":
        files = len({each.span.path for each in problems if each.span})
        yield diagnostics.full(problems, lambda path: None, False, style.width, files=files).rstrip("\n")
        return
    yield from terminal.header(document, style, context)
    if problems:
        yield ""
        yield diagnostics.full(problems, lambda path: None, False, style.width, counted=False).rstrip("\n")
    yield from terminal.body(document, style, context, gist)


def gist(change: Mapping[str, Any]) -> str:
    """What the step does, in a few words."""
    return briefly(change).replace("→", "->").replace("−", "-")


def concise(documents: Sequence[Mapping[str, Any]], context: Context) -> str:
    """What is meant, a line for each problem and each step, the verdict, and a line for each danger."""
    pages = ["\n".join(_lines(document, each)) for document, each in _each(documents, context)]
    if said := "\n".join(quiet(documents, Style(), context)):
        pages.append(said)
    return "\n\n".join(pages) + "\n"


def _lines(document: Mapping[str, Any], context: Context) -> Iterator[str]:
    if document["mode"] != "validate":
        yield clean(_meant(document))
    yield from (diagnostics.line(problem) for problem in _problems(document))
    for change in document["changes"]:
        head = f"{terminal.marked(change)} {change['address']}"
        said = gist(change) if change["actions"] != ["delete"] else ""
        parts = (head, _risky(change), said, place(change["source"]))
        yield clean("  ".join(filter(None, parts))).replace("\n", " ")
    if document["mode"] != "validate":
        yield terminal.counts(document) if document["changes"] else terminal.nothing(document, context)
    yield from _dangers(document)
    if document["errored"] and document["changes"]:
        errors = sum(problem["severity"] == "error" for problem in document["diagnostics"])
        yield f"NOT POSSIBLE: {count(errors, 'error')}."
    elif document["blocked"]:
        yield f"BLOCKED: {len(document['blocked'])} not accepted: {clean(', '.join(document['blocked']))}"


def _meant(document: Mapping[str, Any]) -> str:
    stack, target = document["stack"], document["target"]
    where = f"SIMULATED cluster {target['simulated']}" if target["simulated"] else target["bootstrap"]
    if taken := snapshot(document):
        where = f"SNAPSHOT of {where or target['cluster_id']}, {taken}"
    partial = "" if document["complete"] else " · partial"
    return f"{stack['name']} · env {stack['env']} · {where}{partial}"


def _risky(change: Mapping[str, Any]) -> str:
    """The codes of the step's dangers and cautions."""
    words = {"danger": "DANGER", "caution": "caution"}
    return ", ".join(f"{words[risk['level']]} {risk['code']}" for risk in change["risks"] if risk["level"] in words)


def _dangers(document: Mapping[str, Any]) -> Iterator[str]:
    for change in document["changes"]:
        for risk in change["risks"]:
            if risk["level"] == "danger":
                state = ACCEPTED.get(risk.get("accepted") or "") or _way_out(risk)
                said = f"DANGER {risk['code']} {change['address']}: {sentence(risk, document['created_at'])} ({state})"
                yield clean(said).replace("\n", " ")


def _way_out(risk: Mapping[str, Any]) -> str:
    return f"to accept it: --accept {risk['accept']}" if risk["accept"] else "apply `protect: false` on it first"


def _problems(document: Mapping[str, Any]) -> list[Diagnostic]:
    return [diagnostic_from_json(each) for each in document["diagnostics"]]


def _each(documents: Sequence[Mapping[str, Any]], context: Context) -> Iterator[tuple[Mapping[str, Any], Context]]:
    """Each document that something is to be said of, with the file that it is of where there are several."""
    return ((each, own(each, documents, context)) for each in documents if is_shown(each, documents, context))
