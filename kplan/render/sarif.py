"""Write SARIF 2.1.0: problems and risks for code scanning (docs.oasis-open.org/sarif/sarif/v2.1.0).

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
from kplan.render.diagnostics import join_details
from kplan.render.findings import Finding, collect_findings, move_to_root
from kplan.render.text import ACCEPTED, Context, clean
from kplan.text import count
from kplan.version import __version__

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"
ROOT = "%SRCROOT%"  # the repository's root
MAX_RESULTS = 25_000  # of a run; GitHub refuses a file with more as a whole
LEVELS = {Severity.ERROR: "error", Severity.WARNING: "warning", Severity.NOTE: "note"}
SUPPRESSED = {"stack": "inSource", "flag": "external"}  # who accepted a danger: the file, or this run
LINK = re.compile(r"\](?=\()")  # what would make a link of a message

Json = dict[str, Any]


def render(documents: Sequence[Mapping[str, Any]], context: Context) -> str:
    """Return one run with a result for each problem and each risk, the worst first, at its place in the repository."""
    all_findings = collect_findings(documents, context)
    without_place = [finding for finding in all_findings if not (finding.diagnostic.span or finding.diagnostic.address)]
    shown, omitted = _limit_results(
        [finding for finding in all_findings if finding.diagnostic.span or finding.diagnostic.address]
    )
    codes = sorted({finding.diagnostic.code for finding in all_findings})
    files = {document["stack"]["name"]: _find_stack_file(document, context) for document in documents}
    run = {
        "tool": {"driver": _describe_tool(codes)},
        "automationDetails": {"id": _make_category(documents)},
        "columnKind": "unicodeCodePoints",
        "originalUriBaseIds": {ROOT: {"description": {"text": "The root of the repository."}}},
        "invocations": [_describe_invocation(documents, without_place, omitted, codes)],
        "results": [],
    }
    results = [
        _make_result(f, fingerprint, codes, files[f.stack])
        for f, fingerprint in zip(shown, _make_fingerprints(shown), strict=True)
    ]
    return _write_log({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, results)


def _write_log(log: Json, results: Sequence[Json]) -> str:
    """Return the log, whose last key are the results, one a line."""
    head, empty, tail = json.dumps(log, indent=1, ensure_ascii=False).rpartition("[]")
    lines = ",\n".join("    " + json.dumps(result, ensure_ascii=False) for result in results)
    return f"{head}[\n{lines}\n   ]{tail}\n" if results else f"{head}{empty}{tail}\n"


def _limit_results(findings: Sequence[Finding]) -> tuple[Sequence[Finding], int]:
    """Return as many as a run may have, and how many are left out: never a danger or an error."""
    needed = sum(f.level == "danger" or f.diagnostic.is_error for f in findings)
    most = max(MAX_RESULTS, needed)
    return findings[:most], max(0, len(findings) - most)


def _make_category(documents: Sequence[Mapping[str, Any]]) -> str:
    """Return what separates the results of other stacks in the repository; a run of the same stacks replaces them."""
    stacks = sorted({(d["stack"]["env"], d["stack"]["name"]) for d in documents})
    return "kplan/" + "+".join(quote("/".join(filter(None, stack)), safe="/") for stack in stacks) + "/"


# -- the tool ---------------------------------------------------------------------------------------------------------
def _describe_tool(codes: Iterable[str]) -> Json:
    return {
        "name": "kplan",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [
            _describe_rule(CODES.get(code) or Code(code, code, cause=f"See `kplan explain {code}`.")) for code in codes
        ],
    }


def _describe_rule(code: Code) -> Json:
    first = " ".join(code.text.partition("\n\n")[0].split())
    family = {"tags": ["kafka", family_of(code.number)]} if code.number in CODES else {}
    return {
        "id": code.number,
        "name": "".join(word.capitalize() for word in re.findall(r"\w+", code.title)),
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": first[:1024]},
        "help": {"text": code.text, "markdown": _format_markdown(code.text)},
        "properties": {**family, "precision": "very-high"},
    }


def _format_markdown(text: str) -> str:
    """Return the paragraphs; indented examples are fenced so that nothing in them is read as markup."""
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


def _describe_invocation(
    documents: Sequence[Mapping[str, Any]], without_place: Sequence[Finding], omitted: int, codes: list[str]
) -> Json:
    """Return the run of kplan, with problems that have no place in a file, such as a server that does not answer."""
    notes = [_make_notification(finding.diagnostic, codes) for finding in without_place]
    if omitted:
        text = (
            f"{count(omitted, 'note')} and warnings are left out: "
            f"a file with more than {MAX_RESULTS} results is refused."
        )
        notes.append({"level": "warning", "message": {"text": text}})
    failed = any(finding.diagnostic.is_error for finding in without_place)
    times = [d["created_at"] for d in documents if d["created_at"]]
    return {
        "executionSuccessful": not failed,
        **({"endTimeUtc": max(times)} if times else {}),
        "toolExecutionNotifications": notes,
    }


def _make_notification(problem: Diagnostic, codes: list[str]) -> Json:
    return {
        "level": LEVELS[problem.severity],
        "descriptor": {"id": problem.code},
        "message": {"text": _format_message(problem)},
        "associatedRule": {"id": problem.code, "index": codes.index(problem.code)},
    }


# -- results ----------------------------------------------------------------------------------------------------------
def _make_result(finding: Finding, fingerprint: str, codes: list[str], file: Span | None) -> Json:
    problem = finding.diagnostic
    properties = {"stack": finding.stack, "environment": finding.env, "risk": finding.level, "accept": finding.kind}
    result: Json = {
        "ruleId": problem.code,
        "ruleIndex": codes.index(problem.code),
        "level": LEVELS[problem.severity],
        "message": {"text": _format_message(problem)},
        "locations": [_make_location(problem, file)],
        "partialFingerprints": {"kplanFinding/v1": fingerprint, "primaryLocationLineHash": fingerprint},
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


def _format_message(problem: Diagnostic) -> str:
    """Return the problem, its subject and its remedy; the first sentence is enough where there is little space."""
    summary = ": ".join(filter(None, (problem.summary, "" if problem.addresses else problem.address)))
    lines = [f"{summary}.", join_details(problem), f"Help: {problem.help}" if problem.help else ""]
    return LINK.sub("] ", clean("\n".join(filter(None, lines))))


def _make_location(problem: Diagnostic, file: Span | None) -> Json:
    """Return the place; what has none, such as a topic that left the stack, is reported at the stack's file."""
    span = problem.span or file
    location: Json = {}
    if span:
        location["physicalLocation"] = {"artifactLocation": _make_artifact(span.path), "region": _make_region(span)}
    if problem.address:
        names = [clean(address) for address in problem.addresses or (problem.address,)]
        location["logicalLocations"] = [{"fullyQualifiedName": name, "kind": "resource"} for name in names]
    return location


def _find_stack_file(document: Mapping[str, Any], context: Context) -> Span | None:
    """Return the stack's own file: where its other steps are declared, or as it was named."""
    sources = (change["source"]["path"] for change in document["changes"] if change["source"])
    arguments = (path for path in context.paths if path.endswith((".yaml", ".yml")))
    path = next(sources, "") or next(arguments, "")
    return move_to_root(Span(path), context.base) if path else None


def _make_artifact(path: str) -> Json:
    if path.startswith("/"):
        return {"uri": f"file://{quote(path)}"}
    return {"uri": quote(path), "uriBaseId": ROOT}


def _make_region(span: Span) -> Json:
    """Return lines and columns from 1, the end's column exclusive, in characters as Python and Unicode count them."""
    if not span.line:
        return {"startLine": 1}
    region = {"startLine": span.line, "startColumn": max(1, span.column)}
    if span.end_line and span.end_column:
        region |= {"endLine": span.end_line, "endColumn": span.end_column}
    return region


def _make_fingerprints(findings: Sequence[Finding]) -> list[str]:
    """Return what identifies each finding and stays when lines move or numbers change: `HEX:1`, as GitHub has it.

    A line of its own for each would not do: one line may declare a thousand topics.
    """
    counts: Counter[str] = Counter()
    fingerprints = []
    for finding in findings:
        key = hashlib.sha256("\0".join(_identify(finding)).encode("utf-8", "replace")).hexdigest()[:16]
        counts[key] += 1
        fingerprints.append(f"{key}:{counts[key]}")
    return fingerprints


def _identify(finding: Finding) -> tuple[str, ...]:
    problem = finding.diagnostic
    if finding.level:
        return problem.code, finding.env, finding.stack, problem.address, finding.kind
    path = problem.span.path if problem.span else ""
    return problem.code, finding.env, path, problem.address, problem.path, re.sub(r"\d+", "0", problem.detail)
