"""Write JUnit's XML: the checks as test cases that any CI service shows; dangers that are not accepted are failures.

There is no one format. This is what Ant's, Jenkins's, GitLab's and pytest's readers have in common; GitLab knows a case
by `classname` and `name`, takes the first of two alike, and compares them between branches (docs.gitlab.com, "Unit test
reports"): names hold no numbers of lines or records, and no two are the same.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from kplan.diagnostics import codes
from kplan.render.diagnostics import join_details
from kplan.render.findings import Finding, collect_findings
from kplan.render.text import Context, clean
from kplan.values import dataclass

ILLEGAL = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")  # in XML 1.0, 2.2
GUARDS = (codes.K213.number, codes.K419.number)
POLICIES = (codes.K470.number, codes.K471.number)

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
    """Return a suite for each stack, with a case for each check of each resource."""
    root = Element("testsuites", name="kplan")
    suites = [_add_suite(root, document, context) for document in documents]
    for key in ("tests", "failures", "errors", "skipped"):
        root.set(key, str(sum(int(suite.get(key, "0")) for suite in suites)))
    indent(root, " ")
    return '<?xml version="1.0" encoding="UTF-8"?>\n' + tostring(root, "unicode") + "\n"


def _add_suite(root: Element, document: Json, context: Context) -> Element:
    stack = document["stack"]
    suite = SubElement(root, "testsuite", name=_remove_illegal(" ".join(filter(None, (stack["name"], stack["env"])))))
    if document["created_at"]:
        suite.set("timestamp", document["created_at"].rstrip("Z"))
    cases = _number_duplicates(list(_make_cases(document, context)))
    for case in cases:
        _add_case(suite, case, f"kplan.{stack['name']}.{case.family}")
    outcomes = Counter(case.outcome for case in cases)
    suite.set("tests", str(len(cases)))
    for key, outcome in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
        suite.set(key, str(outcomes[outcome]))
    return suite


def _number_duplicates(cases: Sequence[Case]) -> list[Case]:
    """Return the cases with a number behind a name that was used before."""
    seen: Counter[tuple[str, str]] = Counter()
    numbered = []
    for case in cases:
        seen[case.family, case.name] += 1
        number = seen[case.family, case.name]
        numbered.append(case if number == 1 else replace(case, name=f"{case.name} ({number})"))
    return numbered


def _add_case(suite: Element, case: Case, classname: str) -> None:
    element = SubElement(suite, "testcase", classname=_remove_illegal(classname), name=_remove_illegal(case.name))
    if case.file:
        element.set("file", _remove_illegal(case.file))
    if case.line:
        element.set("line", str(case.line))
    if case.outcome == "passed":
        if case.text:
            SubElement(element, "system-out").text = _remove_illegal(case.text)
        return
    outcome = SubElement(element, case.outcome, message=_remove_illegal(case.message))
    if case.kind:
        outcome.set("type", case.kind)
    if case.text:
        outcome.text = _remove_illegal(case.text)


def _remove_illegal(text: str) -> str:
    """Replace the characters that XML cannot contain."""
    return ILLEGAL.sub("�", clean(text))


# -- cases ------------------------------------------------------------------------------------------------------------
def _make_cases(document: Json, context: Context) -> Iterator[Case]:
    all_findings = collect_findings([document], context)
    problems: dict[str, list[Finding]] = {"stack": [], "guards": [], "policies": [], "servers": [], "run": []}
    for finding in all_findings:
        if not finding.level:
            problems[_name_family(finding.diagnostic.code)].append(finding)
    planned = document["mode"] != "validate"
    stopped = not planned and _has_error(
        problems["servers"] + problems["run"]
    )  # then it is not known what was checked before
    yield from _make_problem_cases("stack", problems["stack"], "" if stopped else "the stack is valid")
    unknown = stopped or _has_error(problems["stack"])  # guards check only what could be read from the files
    yield from _make_problem_cases("guards", problems["guards"], "" if unknown else "no guard is broken")
    yield from _make_problem_cases("policies", problems["policies"], "")
    for family in ("servers", "run"):
        yield from _make_problem_cases(family, problems[family], "", "failure" if planned else "error")
    if planned:
        yield from _make_server_cases(document, problems["servers"])
        yield from _make_danger_cases(document, [finding for finding in all_findings if finding.level == "danger"])


def _name_family(code: str) -> str:
    if code in POLICIES:
        return "policies"
    return "guards" if code in GUARDS else {"K1": "stack", "K2": "stack", "K3": "servers"}.get(code[:2], "run")


def _has_error(problems: Sequence[Finding]) -> bool:
    return any(finding.diagnostic.is_error for finding in problems)


def _make_problem_cases(
    family: str, problems: Sequence[Finding], success: str, outcome: str = "failure"
) -> Iterator[Case]:
    """Yield a case for each problem of each resource, passed if it is not an error; without errors one named
    `success`."""
    for finding in problems:
        problem = finding.diagnostic
        for address in problem.addresses or (problem.address,):
            subject = " ".join(filter(None, (address, problem.path)))
            name = ": ".join(filter(None, (f"{problem.code} {problem.summary}", subject)))
            yield _make_case(family, name, outcome if problem.is_error else "passed", [finding])
    if success and not _has_error(problems):
        yield Case(family, success)


def _make_case(family: str, name: str, outcome: str, group: Sequence[Finding]) -> Case:
    """Return a case with all of the findings; the first of them names it and its place."""
    problems = [finding.diagnostic for finding in group]
    first = problems[0]
    place = str(first.span) if first.span else ""
    messages = [": ".join(filter(None, (f"{p.code} {p.summary}", join_details(p)))) for p in problems]
    helps = dict.fromkeys(f"help: {p.help}" for p in problems if p.help)
    return Case(
        family,
        name,
        outcome,
        messages[0].partition("\n")[0],
        "\n".join(filter(None, [place, *messages, *helps])),
        first.code,
        first.span.path if first.span else "",
        first.span.line if first.span else 0,
    )


def _make_server_cases(document: Json, problems: Sequence[Finding]) -> Iterator[Case]:
    """Yield a case for each step that the servers accept; what they refuse is among the problems."""
    errors = [p.diagnostic for p in problems if p.diagnostic.is_error]
    refused = {address for d in errors for address in d.addresses or (d.address,)}
    for change in document["changes"]:
        name = f"{change['address']} is accepted by the servers"
        if change["verified"]:
            yield Case("servers", name, text=f"by {change['verified']['by']}")
        elif not document["checked"] and change["address"] not in refused:
            yield Case("servers", name, "skipped", "not checked by the servers (--offline)")


def _make_danger_cases(document: Json, dangers: Sequence[Finding]) -> Iterator[Case]:
    """Yield a case for each dangerous step, which passes once all of its dangers are accepted."""
    by_address: dict[str, list[Finding]] = {}
    for danger in dangers:
        by_address.setdefault(danger.diagnostic.address, []).append(danger)
    for address, group in by_address.items():
        outcome = "failure" if any(danger.blocks for danger in group) else "passed"
        yield _make_case("dangers", f"{address}: each danger is accepted", outcome, group)
    if not dangers and not document["errored"]:
        yield Case("dangers", "no step is a danger")
