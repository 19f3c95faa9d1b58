"""SARIF 2.1.0: problems and risks for code scanning (docs.oasis-open.org/sarif/sarif/v2.1.0).

What GitHub takes of it and how much: docs.github.com, "SARIF support for code scanning".
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from urllib.parse import quote

from kplan.diagnostics import Diagnostic, Severity, Span
from kplan.diagnostics.codes.code import Code
from kplan.diagnostics.codes.ranges import family_of
from kplan.diagnostics.codes.table import CODES
from kplan.render.diagnostics import words
from kplan.render.findings import Finding, findings, rooted
from kplan.render.text import ACCEPTED, Context, clean
from kplan.text import count
from kplan.version import __version__

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "%SRCROOT%"  # the repository's root
MOST = 25_000  # results of a run; a file with more is refused as a whole
LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}
SUPPRESSED = {"stack": "inSource", "flag": "external"}  # who accepted a danger: the file, or this run
LINK = re.compile(r"\](?=\()")  # what would make a link of a message

Json = dict[str, Any]


def render(documents: Sequence[Mapping[str, Any]], context: Context) -> str:
    """One run with a result for each problem and each risk, the worst first, at its place in the repository."""
    found = findings(documents, context)
    lost = [finding for finding in found if not (finding.diagnostic.span or finding.diagnostic.address)]
    shown, left = _most([finding for finding in found if finding.diagnostic.span or finding.diagnostic.address])
    codes = sorted({finding.diagnostic.code for finding in found})
    files = {document["stack"]["name"]: _file_of(document, context) for document in documents}
    run = {
        "tool": {"driver": _driver(codes)},
        "automationDetails": {"id": _category(documents)},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the repository."}}},
        "invocations": [_invocation(documents, lost, left, codes)],
        "results": [],
    }
    results = [_result(f, mark, codes, files[f.stack]) for f, mark in zip(shown, _marks(shown), strict=True)]
    return _written({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, results)


def _written(log: Json, results: Sequence[Json]) -> str:
    """The log, whose last key are the results: one a line."""
    head, empty, tail = json.dumps(log, indent=1, ensure_ascii=False).rpartition("[]")
    lines = ",\n".join("    " + json.dumps(result, ensure_ascii=False) for result in results)
    return f"{head}[\n{lines}\n   ]{tail}\n" if results else f"{head}{empty}{tail}\n"


def _most(found: Sequence[Finding]) -> tuple[Sequence[Finding], int]:
    """As many as a run may have, and how many are left out: never a danger or an error."""
    needed = sum(f.level == "danger" or f.diagnostic.is_error for f in found)
    most = max(MOST, needed)
    return found[:most], max(0, len(found) - most)


def _category(documents: Sequence[Mapping[str, Any]]) -> str:
    """What keeps the results of other stacks in the same repository apart; a run of the same one replaces them."""
    stacks = sorted({(d["stack"]["env"], d["stack"]["name"]) for d in documents})
    return "kplan/" + "+".join(quote("/".join(filter(None, each)), safe="/") for each in stacks) + "/"


# -- the tool ---------------------------------------------------------------------------------------------------------
def _driver(codes: Iterable[str]) -> Json:
    return {
        "name": "kplan",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [_rule(CODES.get(code) or Code(code, code, cause=f"See `kplan explain {code}`.")) for code in codes],
    }


def _rule(code: Code) -> Json:
    first = " ".join(code.text.partition("\n\n")[0].split())
    family = {"tags": ["kafka", family_of(code.number)]} if code.number in CODES else {}
    return {
        "id": code.number,
        "name": "".join(word.capitalize() for word in re.findall(r"\w+", code.title)),
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": first[:1024]},
        "help": {"text": code.text, "markdown": _markdown(code.text)},
        "properties": {**family, "precision": "very-high"},
    }


def _markdown(text: str) -> str:
    """The paragraphs; examples, which are indented, are fenced so that nothing in them is taken for markup."""
    parts = []
    for paragraph in text.split("\n\n"):
        lines = paragraph.splitlines()
        example = all(line.startswith("    ") for line in lines)
        parts.append(
            "```\n" + "\n".join(line[4:] for line in lines) + "\n```"
            if example
            else " ".join(line.strip() for line in lines)
        )
    return "\n\n".join(parts)


def _invocation(documents: Sequence[Mapping[str, Any]], lost: Sequence[Finding], left: int, codes: list[str]) -> Json:
    """The run of kplan, with what has no place in a file: that a server does not answer, say."""
    notes = [_notification(finding.diagnostic, codes) for finding in lost]
    if left:
        said = f"{count(left, 'note')} and warnings are left out: a file with more than {MOST} results is refused."
        notes.append({"level": "warning", "message": {"text": said}})
    failed = any(finding.diagnostic.is_error for finding in lost)
    times = [d["created_at"] for d in documents if d["created_at"]]
    return {
        "executionSuccessful": not failed,
        **({"endTimeUtc": max(times)} if times else {}),
        "toolExecutionNotifications": notes,
    }


def _notification(problem: Diagnostic, codes: list[str]) -> Json:
    return {
        "level": LEVELS[problem.severity],
        "descriptor": {"id": problem.code},
        "message": {"text": _message(problem)},
        "associatedRule": {"id": problem.code, "index": codes.index(problem.code)},
    }


# -- results ----------------------------------------------------------------------------------------------------------
def _result(finding: Finding, mark: str, codes: list[str], file: Span | None) -> Json:
    problem = finding.diagnostic
    properties = {"stack": finding.stack, "environment": finding.env, "risk": finding.level, "accept": finding.kind}
    result: Json = {
        "ruleId": problem.code,
        "ruleIndex": codes.index(problem.code),
        "level": LEVELS[problem.severity],
        "message": {"text": _message(problem)},
        "locations": [_location(problem, file)],
        "partialFingerprints": {"kplanFinding/v1": mark, "primaryLocationLineHash": mark},
        "properties": {key: value for key, value in properties.items() if value},
    }
    if finding.accepted:
        result["suppressions"] = [
            {
                "kind": SUPPRESSED.get(finding.accepted, "external"),
                "status": "accepted",
                "justification": ACCEPTED.get(finding.accepted, "accepted"),
            }
        ]
    return result


def _message(problem: Diagnostic) -> str:
    """What it is, of what, and the way out; the first sentence stands alone where there is little room."""
    said = ": ".join(filter(None, (problem.summary, "" if problem.addresses else problem.address)))
    lines = [f"{said}.", words(problem), f"Help: {problem.help}" if problem.help else ""]
    return LINK.sub("] ", clean("\n".join(filter(None, lines))))


def _location(problem: Diagnostic, file: Span | None) -> Json:
    """Where it stands; what stands nowhere, such as a topic that left the stack, is told at the stack's file."""
    span = problem.span or file
    location: Json = {}
    if span:
        location["physicalLocation"] = {"artifactLocation": _artifact(span.path), "region": _region(span)}
    if problem.address:
        names = [clean(address) for address in problem.addresses or (problem.address,)]
        location["logicalLocations"] = [{"fullyQualifiedName": name, "kind": "resource"} for name in names]
    return location


def _file_of(document: Mapping[str, Any], context: Context) -> Span | None:
    """The stack's own file: where other steps of it stand, or as it was named."""
    sources = (change["source"]["path"] for change in document["changes"] if change["source"])
    named = (path for path in context.paths if path.endswith((".yaml", ".yml")))
    path = next(sources, "") or next(named, "")
    return rooted(Span(path), context.base) if path else None


def _artifact(path: str) -> Json:
    if path.startswith("/"):
        return {"uri": f"file://{quote(path)}"}
    return {"uri": quote(path), "uriBaseId": ROOT}


def _region(span: Span) -> Json:
    """Lines and columns from 1, the end's column exclusive, in characters as Python and Unicode count them."""
    if not span.line:
        return {"startLine": 1}
    region = {"startLine": span.line, "startColumn": max(1, span.column)}
    if span.end_line and span.end_column:
        region |= {"endLine": span.end_line, "endColumn": span.end_column}
    return region


def _marks(found: Sequence[Finding]) -> list[str]:
    """What tells each finding from the others and stays when lines move or numbers change: `HEX:1`, as GitHub has it.

    A line of its own for each would not do: one line may declare a thousand topics.
    """
    seen: Counter[str] = Counter()
    marks = []
    for finding in found:
        key = hashlib.sha256("\0".join(_identity(finding)).encode("utf-8", "replace")).hexdigest()[:16]
        seen[key] += 1
        marks.append(f"{key}:{seen[key]}")
    return marks


def _identity(finding: Finding) -> tuple[str, ...]:
    problem = finding.diagnostic
    if finding.level:
        return problem.code, finding.env, finding.stack, problem.address, finding.kind
    path = problem.span.path if problem.span else ""
    return problem.code, finding.env, path, problem.address, problem.path, re.sub(r"\d+", "0", problem.detail)
