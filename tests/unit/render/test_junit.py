"""JUnit's XML says what was checked, in what the readers of CI services have in common."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.diagnostics import Diagnostic, Span, codes, error, sort_diagnostics, warning
from kplan.render.junit import render
from kplan.render.text import Context
from kplan.render.views import make_problem_document
from tests.plans import small

Json = dict[str, Any]
OUTCOMES = ("failure", "error", "skipped")
# Attributes and children that the schemas of Ant, Jenkins and pytest's xunit1 know.
KNOWN = {
    "testsuites": ({"name", "tests", "failures", "errors", "skipped"}, {"testsuite"}),
    "testsuite": ({"name", "timestamp", "tests", "failures", "errors", "skipped"}, {"testcase"}),
    "testcase": ({"classname", "name", "file", "line"}, {*OUTCOMES, "system-out"}),
    **{outcome: ({"message", "type"}, set[str]()) for outcome in OUTCOMES},
    "system-out": (set[str](), set[str]()),
}


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Json:
    return small(tmp_path_factory.mktemp("plan"))


def read(*documents: Json) -> Element:
    """The root of well-formed XML of the common form, whose counts are right and whose cases are told apart."""
    text = render(documents, Context(("stack.yaml",)))
    root = ElementTree.fromstring(text.encode())
    for element in root.iter():
        attributes, children = KNOWN[element.tag]
        assert element.attrib.keys() <= attributes and {child.tag for child in element} <= children
    for suite in [root, *root]:
        cases = list(suite.iter("testcase"))
        found = Counter(child.tag for case in cases for child in case)
        counted = (len(cases), found["failure"], found["error"], found["skipped"])
        assert tuple(int(suite.get(key, "")) for key in ("tests", "failures", "errors", "skipped")) == counted
        names = [(case.get("classname"), case.get("name")) for case in cases]
        assert len(set(names)) == len(names), "GitLab takes the first of two cases alike"
        assert all(all(name) for name in names)
        assert all(len(case) <= 1 for case in cases)
    return root


def cases(root: Element, family: str) -> dict[str, Element | None]:
    """What a family's cases came to, by name: None where they passed."""
    found = [case for case in root.iter("testcase") if case.get("classname", "").endswith(f".{family}")]
    return {case.get("name", ""): next((c for c in case if c.tag in OUTCOMES), None) for case in found}


def of(*problems: Diagnostic, mode: str = "validate") -> Json:
    return {**make_problem_document("shop", "prod", problems, "2026-01-01T10:00:00Z"), "mode": mode}


def test_a_danger_that_nobody_accepted_is_a_failure_and_an_accepted_one_passes(plan: Json) -> None:
    found = cases(read(plan), "dangers")
    for change in plan["changes"]:
        dangers = [risk for risk in change["risks"] if risk["level"] == "danger"]
        name = f"{change['address']}: each danger is accepted"
        assert (name in found) == bool(dangers)
        if any(not risk["accepted"] for risk in dangers):
            failure = found[name]
            assert failure is not None and failure.tag == "failure" and failure.get("type") == dangers[0]["code"]
            assert all(risk["code"] in (failure.text or "") for risk in dangers)
            assert "--accept" in (failure.text or "") or "protect" in (failure.text or "")
        elif dangers:
            assert found[name] is None


def test_a_step_that_the_servers_accepted_is_a_case(plan: Json) -> None:
    found = cases(read(plan), "servers")
    verified = {change["address"] for change in plan["changes"] if change["verified"]}
    assert verified and set(found) == {f"{address} is accepted by the servers" for address in verified}
    assert set(found.values()) == {None}


def test_what_was_not_checked_is_skipped(plan: Json) -> None:
    offline = {**plan, "checked": False, "changes": [{**change, "verified": None} for change in plan["changes"]]}
    found = cases(read(offline), "servers").values()
    assert len(found) == len(plan["changes"]) and all(case is not None and case.tag == "skipped" for case in found)


def test_what_a_server_refused_is_one_failure_with_its_place() -> None:
    refused = error(codes.K302, "Connect rejected a connector's settings", "unknown host", address="connector/shop",
                    path="/config/database.hostname", span=Span("a.yaml", 8, 3, 8, 9), help="correct it")  # fmt: skip
    (case,) = cases(read(of(refused, mode="apply")), "servers").values()
    assert case is not None and case.tag == "failure"
    assert (case.text or "").splitlines() == [
        "a.yaml:8:3", "K302 Connect rejected a connector's settings: unknown host", "help: correct it",
    ]  # fmt: skip


def test_guards_are_cases_of_their_own() -> None:
    broken = error(codes.K213, "a guard is not met", "a.b does not match ^c", address="topic/a.b")
    found = cases(read(of(broken)), "guards")
    assert list(found) == ["K213 a guard is not met: topic/a.b"] and found.popitem()[1] is not None
    assert cases(read(of(warning(codes.K217, "an old name"))), "guards") == {"no guard is broken": None}
    assert not cases(read(of(error(codes.K101, "bad YAML"))), "guards"), "nobody knows, where the files are wrong"


def test_too_many_changes_break_a_guard() -> None:
    found = cases(read(of(error(codes.K419, "more changes than the guard allows", "9 of 10"), mode="apply")), "guards")
    assert found.popitem()[1] is not None


def test_errors_fail_and_warnings_are_told() -> None:
    root = read(
        of(error(codes.K104, "unknown topic config", path="/config/x"), warning(codes.K217, "an old name", "never"))
    )
    found = cases(root, "stack")
    assert [case is None for case in found.values()] == [False, True]
    assert [e.text for e in root.iter("system-out")] == ["K217 an old name: never"]


def test_a_world_that_fails_is_an_error_and_no_failure() -> None:
    (case,) = cases(read(of(error(codes.K310, "a server does not answer", "localhost:9092"))), "servers").values()
    assert case is not None and case.tag == "error" and "localhost:9092" in (case.text or "")


def test_names_stay_when_lines_and_numbers_move(plan: Json) -> None:
    assert not [
        n for family in ("stack", "dangers", "servers") for n in cases(read(plan), family) if re.search(r":\d+\b", n)
    ]
    twice = read(of(*(error(codes.K101, "bad YAML syntax", span=Span("a.yaml", line, 1)) for line in (3, 9))))
    assert list(cases(twice, "stack")) == ["K101 bad YAML syntax", "K101 bad YAML syntax (2)"]


def test_each_stack_is_a_suite(plan: Json) -> None:
    other = {**plan, "stack": {**plan["stack"], "name": "other"}}
    assert [suite.get("name") for suite in read(plan, other)] == ["shop local", "other local"]


def test_a_valid_stack_and_a_harmless_plan_pass(plan: Json) -> None:
    root = read({**plan, "changes": [], "diagnostics": [], "errored": False})
    assert root.get("failures") == "0"
    assert [case.get("name") for case in root.iter("testcase")] == [
        "the stack is valid", "no guard is broken", "no step is a danger",
    ]  # fmt: skip


@given(text=st.text(st.characters(codec=None), max_size=40))
def test_any_text_stays_xml(text: str) -> None:
    problem = error(codes.K302, f"a {text}", text, help=text, address=f"topic/{text}", span=Span(f"a{text}", 1, 1))
    root = read(of(problem), make_problem_document(f"s{text}", text, [problem]))
    assert root.get("tests") == "2"


def test_markup_in_a_name_is_text(tmp_path: Path) -> None:
    (case,) = read(of(error(codes.K302, "refused", "</failure><x a='1'>&amp;", address="connector/<b>"))).iter(
        "testcase"
    )
    assert case.get("name") == "K302 refused: connector/<b>" and "</failure><x a='1'>&amp;" in (case[0].text or "")


def test_a_problem_of_many_resources_is_a_case_for_each() -> None:
    span = Span("s.yaml", 2, 3, 2, 9)
    found = [error(codes.K301, "refused", "no", span=span, address=f"topic/t{n}") for n in range(25)]
    document = of(*sort_diagnostics(found))
    assert len([name for name in cases(read(document), "servers") if name.startswith("K301")]) == 25
