"""JUnit's XML: what was checked, as test cases that any CI service shows; dangers that nobody accepted are failures.

There is no one format. This is what Ant's, Jenkins's, GitLab's and pytest's readers have in common; GitLab knows a case
by `classname` and `name`, takes the first of two alike, and compares them between branches (docs.gitlab.com, "Unit test
reports"): names hold no numbers of lines or records, and no two are the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from kplan.diagnostics import codes
from kplan.render.diagnostics import words
from kplan.render.findings import Finding, findings
from kplan.render.text import Context, clean

ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0, 2.2
GUARDS = (codes.K213.number, codes.K419.number)

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Case:
    """One check. `outcome`: passed | failure | error | skipped; `kind` is the code of what failed."""

    family: str
    name: str
    outcome: str = "passed"
    message: str = ""
    text: str = ""
    kind: str = ""
    file: str = ""
    line: int = 0


def render(documents: Sequence[Mapping[str, Any]], context: Context) -> str:
    """A suite for each stack, with a case for each check of each resource."""
    root = Element("testsuites", name="kplan")
    suites = [_suite(root, document, context) for document in documents]
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in suites)))
    indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, "unicode") + "\n"


def _suite(root: Element, document: Json, context: Context) -> Element:
    stack = document["stack"]
    suite = SubElement(root, "testsuite", name=_legal(" ".join(filter(None, (stack["name"], stack["env"])))))
    if document["created_at"]:
        suite.set("timestamp", document["created_at"].rstrip("Z"))
    cases = _distinct(list(_cases(document, context)))
    for case in cases:
        _add(suite, case, f"kplan.{stack['name']}.{case.family}")
    outcomes = Counter(case.outcome for case in cases)
    suite.set("tests", str(len(cases)))
    for key, outcome in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(outcomes[outcome]))
    return suite


def _distinct(cases: Sequence[Case]) -> list[Case]:
    """The cases with a number behind a name that was there before."""
    seen: Counter[tuple[str, str]] = Counter()
    found = []
    for case in cases:
        seen[case.family, case.name] += 1
        number = seen[case.family, case.name]
        found.append(case if number == 1 else replace(case, name=f"{case.name} ({number})"))
    return found


def _add(suite: Element, case: Case, classname: str) -> None:
    element = SubElement(suite, "testcase", classname=_legal(classname), name=_legal(case.name))
    if case.file:
        element.set("file", _legal(case.file))
    if case.line:
        element.set("line", str(case.line))
    if case.outcome == "passed":
        if case.text:
            SubElement(element, "system-out").text = _legal(case.text)
        return
    outcome = SubElement(element, case.outcome, message=_legal(case.message))
    if case.kind:
        outcome.set("type", case.kind)
    if case.text:
        outcome.text = _legal(case.text)


def _legal(text: str) -> str:
    """The text without characters that XML has no way to write."""
    return ILLEGAL.sub("�", clean(text))


# -- what was checked -------------------------------------------------------------------------------------------------
def _cases(document: Json, context: Context) -> Iterator[Case]:
    found = findings([document], context)
    problems: dict[str, list[Finding]] = {"stack": [], "guards": [], "servers": [], "run": []}
    for finding in found:
        if not finding.level:
            problems[_family(finding.diagnostic.code)].append(finding)
    planned = document["mode"] != "validate"
    stopped = not planned and _any_error(problems["servers"] + problems["run"])  # who knows what was checked before
    yield from _of_problems("stack", problems["stack"], "" if stopped else "the stack is valid")
    unknown = stopped or _any_error(problems["stack"])  # guards judge what could be made of the files
    yield from _of_problems("guards", problems["guards"], "" if unknown else "no guard is broken")
    for family in ("servers", "run"):
        yield from _of_problems(family, problems[family], "", "failure" if planned else "error")
    if planned:
        yield from _servers(document, problems["servers"])
        yield from _dangers(document, [finding for finding in found if finding.level == "danger"])


def _family(code: str) -> str:
    return "guards" if code in GUARDS else {"K1": "stack", "K2": "stack", "K3": "servers"}.get(code[:2], "run")


def _any_error(problems: Sequence[Finding]) -> bool:
    return any(finding.diagnostic.is_error for finding in problems)


def _of_problems(family: str, problems: Sequence[Finding], good: str, outcome: str = "failure") -> Iterator[Case]:
    """A case for each problem of each resource, passed where it is not an error; without any, one that says `good`."""
    for finding in problems:
        problem = finding.diagnostic
        for address in problem.addresses or (problem.address,):
            what = " ".join(filter(None, (address, problem.path)))
            name = ": ".join(filter(None, (f"{problem.code} {problem.summary}", what)))
            yield _case(family, name, outcome if problem.is_error else "passed", [finding])
    if good and not _any_error(problems):
        yield Case(family, good)


def _case(family: str, name: str, outcome: str, found: Sequence[Finding]) -> Case:
    """A case that tells all that was found; the first of it says what and where."""
    problems = [finding.diagnostic for finding in found]
    first = problems[0]
    place = str(first.span) if first.span else ""
    said = [": ".join(filter(None, (f"{p.code} {p.summary}", words(p)))) for p in problems]
    helps = dict.fromkeys(f"help: {p.help}" for p in problems if p.help)
    return Case(
        family,
        name,
        outcome,
        said[0].partition("\n")[0],
        "\n".join(filter(None, [place, *said, *helps])),
        first.code,
        first.span.path if first.span else "",
        first.span.line if first.span else 0,
    )


def _servers(document: Json, problems: Sequence[Finding]) -> Iterator[Case]:
    """A case for each step that the servers accept; what they refuse is among the problems."""
    errors = [p.diagnostic for p in problems if p.diagnostic.is_error]
    refused = {address for d in errors for address in d.addresses or (d.address,)}
    for change in document["changes"]:
        name = f"{change['address']} is accepted by the servers"
        if change["verified"]:
            yield Case("servers", name, text=f"by {change['verified']['by']}")
        elif not document["checked"] and change["address"] not in refused:
            yield Case("servers", name, "skipped", "not checked by the servers (--offline)")


def _dangers(document: Json, dangers: Sequence[Finding]) -> Iterator[Case]:
    """A case for each step that is a danger, which passes once all of that is accepted."""
    by_address: dict[str, list[Finding]] = {}
    for danger in dangers:
        by_address.setdefault(danger.diagnostic.address, []).append(danger)
    for address, found in by_address.items():
        outcome = "failure" if any(danger.blocks for danger in found) else "passed"
        yield _case("dangers", f"{address}: each danger is accepted", outcome, found)
    if not dangers and not document["errored"]:
        yield Case("dangers", "no step is a danger")
