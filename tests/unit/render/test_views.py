"""The JSON view is what json itself writes, and every view shows what policies say of a plan."""

from __future__ import annotations

import json
from html import unescape
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.language.schema import check, read_schema
from kplan.language.source import load
from kplan.render.text import Context
from kplan.render.views import render
from tests.shell import Shell

VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner) | st.lists(inner).map(tuple),
)


@pytest.mark.slow
@given(st.dictionaries(st.text(), VALUES))
def test_the_json_view_is_what_json_itself_writes(document: dict[str, Any]) -> None:
    expected = json.dumps(document, indent=2, sort_keys=True, ensure_ascii=False) + "\n"
    assert render("json", [document], Context()) == expected


def test_the_first_unknown_keys_get_a_suggestion_and_very_many_get_the_known_keys() -> None:
    text = "version: 1\nstack: x\n" + "".join(f"topic{number:04}: 1\n" for number in range(1_000))
    document, _ = load(text, "stack.yaml")
    assert document is not None
    helps = [problem.help for problem in check(document, read_schema("stack.v1"))]
    assert len(helps) == 1_000
    assert helps[0] == "did you mean `topics`?"
    assert helps[-1].startswith("known keys: version, stack, ")


PLACES = {  # what each view says of a denied change: the policy's place in kplan.yaml
    "text": "--> kplan.yaml:4:3",
    "concise": "kplan.yaml:4:3: K470",
    "md": "`kplan.yaml:4` `topic/shop.orders`",
    "html": "K470",
    "github": "::error title=kplan (K470),file=kplan.yaml,line=4,col=3::",
}
POLICIES = """\
version: 1
environments: {local: {}}
policies:
  few-partitions: {match: {kind: topic}, require: {after: {partitions: {maximum: 50}}}, message: Ask the platform team.}
  named: {level: warn, match: {address: topic/shop.*}, message: This name is old.}
"""


@pytest.fixture(scope="module")
def denied(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    """A folder with every view of a plan that one policy denies and another one warns of."""
    shell = Shell(tmp_path_factory.mktemp("denied"))
    shell.write("kplan.yaml", POLICIES)
    shell.write("stack.yaml", "version: 1\nstack: shop\ntopics: {shop.orders: {partitions: 60}}\n")
    kinds = ("md", "html", "json", "text", "concise", "github", "junit", "sarif")
    reports = [part for kind in kinds for part in ("--report", f"{kind}=out.{kind}")]
    ended = shell.kplan("plan", "stack.yaml", *reports, "--accept", "change:topic/*", expect=3)
    shell.write("out.text", ended.err + ended.out)
    return shell


@pytest.mark.parametrize("kind", PLACES)
def test_a_view_shows_which_policy_denies_what(denied: Shell, kind: str) -> None:
    text = unescape((denied.folder / f"out.{kind}").read_text("utf-8"))
    for words in (PLACES[kind], "few-partitions", "Ask the platform team.", "topic/shop.orders", "maximum of 50"):
        assert words in text, words
    for words in ("K471", "policy named", "This name is old."):
        assert words in text, words
    assert "max_changes" not in text


def test_the_brief_view_shows_that_policies_deny_a_change(denied: Shell) -> None:
    ended = denied.kplan("plan", "stack.yaml", "--brief", expect=3)
    assert "BLOCKED: 1 change is denied by policies (K470)" in ended.out
    assert "few-partitions" in ended.err


def test_the_document_has_the_denial_and_the_policys_place(denied: Shell) -> None:
    document = json.loads((denied.folder / "out.json").read_text("utf-8"))
    denial, caution = document["diagnostics"]
    assert (denial["code"], denial["severity"], denial["address"]) == ("K470", "error", "topic/shop.orders")
    assert (denial["path"], denial["line"], denial["column"]) == ("kplan.yaml", 4, 3)
    assert (caution["code"], caution["severity"], caution["line"]) == ("K471", "warning", 5)
    assert document["blocked"] == ["K470 topic/shop.orders"]
    assert (document["applyable"], document["errored"]) == (False, False)


def test_sarif_has_the_line_of_the_policy(denied: Shell) -> None:
    results = json.loads((denied.folder / "out.sarif").read_text("utf-8"))["runs"][0]["results"]
    found = {result["ruleId"]: result for result in results}
    assert {code: result["level"] for code, result in found.items()} == {"K470": "error", "K471": "warning"}
    for code, line in (("K470", 4), ("K471", 5)):
        place = found[code]["locations"][0]
        assert place["physicalLocation"]["artifactLocation"]["uri"] == "kplan.yaml"
        assert place["physicalLocation"]["region"]["startLine"] == line
        assert place["logicalLocations"] == [{"fullyQualifiedName": "topic/shop.orders", "kind": "resource"}]
    assert "policy few-partitions" in found["K470"]["message"]["text"]


def test_junit_has_a_case_for_each_policy_and_change(denied: Shell) -> None:
    cases = [case for case in ElementTree.parse(denied.folder / "out.junit").iter("testcase")
             if case.get("classname") == "kplan.shop.policies"]  # fmt: skip
    denial, caution = cases
    failure = denial.find("failure")
    assert failure is not None and failure.get("type") == "K470"
    assert (denial.get("file"), denial.get("line")) == ("kplan.yaml", "4")
    assert "few-partitions" in (failure.text or "") and "topic/shop.orders" in (denial.get("name") or "")
    assert caution.find("failure") is None and "This name is old." in (caution.findtext("system-out") or "")
