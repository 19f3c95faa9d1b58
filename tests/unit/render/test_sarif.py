"""SARIF is what its schema and GitHub's code scanning take, and a finding keeps its identity while its lines move.

`sarif-2.1.0.json` is OASIS's schema (errata 01) in JSON Schema 2020-12, as Microsoft's SARIF SDK 5.7.0 ships it (MIT).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator, FormatChecker

from kplan.diagnostics import Diagnostic, Severity, Span, codes, error, sort_diagnostics, warning
from kplan.render import sarif
from kplan.render.text import Context
from kplan.render.views import make_problem_document
from tests.plans import small

Json = dict[str, Any]
CONTEXT = Context(("stack.yaml",))
VALIDATOR = Draft202012Validator(
    json.loads(Path(__file__).with_name("sarif-2.1.0.json").read_text("utf-8")), format_checker=FormatChecker()
)
UNKNOWN = error(codes.K104, "unknown topic config", "retenton.ms", help="did you mean `retention.ms`?",
                span=Span("stacks/a.yaml", 20, 7, 20, 18), path="/config/retenton.ms")  # fmt: skip


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Json:
    return small(tmp_path_factory.mktemp("plan"))


def run(*documents: Json, context: Context = CONTEXT) -> Json:
    """The run of a valid log, with what GitHub demands beyond the schema."""
    log = json.loads(sarif.render(documents, context))
    problems = [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:200]}" for e in VALIDATOR.iter_errors(log)]
    assert not problems, "\n".join(problems)
    (found,) = log["runs"]
    rules = found["tool"]["driver"]["rules"]
    for rule in rules:
        assert 0 < len(rule["shortDescription"]["text"]) <= 1024 and 0 < len(rule["fullDescription"]["text"]) <= 1024
        assert rule["help"]["text"] and len(rule["properties"].get("tags", [])) <= 10
    for result in found["results"]:
        assert rules[result["ruleIndex"]]["id"] == result["ruleId"]
        (location,) = result["locations"]
        assert location["physicalLocation"]["artifactLocation"]["uri"]
        assert location["physicalLocation"]["region"]["startLine"] >= 1
        assert result["message"]["text"] and result["partialFingerprints"]["primaryLocationLineHash"]
    return found


def of(*problems: Diagnostic) -> Json:
    return make_problem_document("shop", "prod", problems, "2026-01-01T10:00:00Z", ["stacks/a.yaml"])


def test_a_problem_is_at_its_place(plan: Json) -> None:
    (result,) = run(of(UNKNOWN))["results"]
    assert result["level"] == "error" and result["message"]["text"].startswith("unknown topic config.\nretenton.ms\n")
    assert result["locations"][0]["physicalLocation"] == {
        "artifactLocation": {"uri": "stacks/a.yaml", "uriBaseId": "%SRCROOT%"},
        "region": {"startLine": 20, "startColumn": 7, "endLine": 20, "endColumn": 18},
    }


def test_every_risk_and_problem_of_a_plan_is_a_result_and_dangers_come_first(plan: Json) -> None:
    found = run(plan)
    risks = [risk for change in plan["changes"] for risk in change["risks"]]
    placed = [d for d in plan["diagnostics"] if d["path"] or d["address"]]
    assert len(found["results"]) == len(risks) + len(placed)
    levels = [result["level"] for result in found["results"]]
    assert levels == sorted(levels, key=["error", "warning", "note"].index)
    blocking = [r for r in risks if r["level"] == "danger" and not r["accepted"]]
    first = found["results"][: len(blocking)]
    assert blocking and [r["properties"]["risk"] for r in first] == ["danger"] * len(blocking)
    assert all("--accept" in result["message"]["text"] for result in first if result["ruleId"] == "K401")


def test_an_accepted_danger_is_a_suppressed_warning(plan: Json) -> None:
    accepted = [r for r in run(plan)["results"] if "suppressions" in r]
    assert accepted
    for result in accepted:
        assert result["level"] == "warning" and "accepted in the stack" in result["message"]["text"]
        assert result["suppressions"] == [
            {"kind": "inSource", "status": "accepted", "justification": "accepted in the stack"}
        ]


def test_a_rule_has_the_words_of_explain(plan: Json) -> None:
    (rule,) = run(of(UNKNOWN))["tool"]["driver"]["rules"]
    assert rule["id"] == "K104" and "```\n" in rule["help"]["markdown"] and rule["properties"]["tags"][0] == "kafka"


def test_paths_start_at_the_root_of_the_repository() -> None:
    names = ("a b/ü.yaml", "../other/a.yaml", "/etc/a.yaml")
    problems = [error(codes.K104, "x", name, span=Span(name, 1, 1, 1, 2)) for name in names]
    found = run(of(*problems), context=Context(base="deploy/kafka"))
    places = {r["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for r in found["results"]}
    assert places == {"deploy/kafka/a%20b/%C3%BC.yaml", "deploy/other/a.yaml", "file:///etc/a.yaml"}


def test_columns_are_counted_in_characters() -> None:
    found = run(of(error(codes.K104, "x", span=Span("a.yaml", 3, 9, 3, 12))))
    assert found["columnKind"] == "unicodeCodePoints"


@pytest.mark.parametrize(
    ("span", "region"),
    [
        (Span("a.yaml"), {"startLine": 1}),
        (Span("a.yaml", 3, 1), {"startLine": 3, "startColumn": 1}),
        (Span("a.yaml", 3, 2, 4, 1), {"startLine": 3, "startColumn": 2, "endLine": 4, "endColumn": 1}),
    ],
)
def test_a_region_is_as_exact_as_what_is_known(span: Span, region: Json) -> None:
    (result,) = run(of(error(codes.K101, "x", span=span)))["results"]
    assert result["locations"][0]["physicalLocation"]["region"] == region


def test_what_has_no_place_is_a_notification_and_fails_the_invocation() -> None:
    found = run(
        of(error(codes.K310, "a server does not answer", "localhost:9092"), warning(codes.K237, "nothing matches"))
    )
    (invocation,) = found["invocations"]
    assert not found["results"] and not invocation["executionSuccessful"]
    assert [n["level"] for n in invocation["toolExecutionNotifications"]] == ["error", "warning"]
    assert "localhost:9092" in invocation["toolExecutionNotifications"][0]["message"]["text"]


def test_a_topic_that_left_the_stack_is_told_at_the_stacks_file() -> None:
    (result,) = run(of(error(codes.K404, "x", address="topic/a.b")))["results"]
    assert result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] == "stack.yaml"
    assert result["locations"][0]["logicalLocations"] == [{"fullyQualifiedName": "topic/a.b", "kind": "resource"}]


# -- identity ---------------------------------------------------------------------------------------------------------
def marks(*documents: Json) -> list[str]:
    return [result["partialFingerprints"]["primaryLocationLineHash"] for result in run(*documents)["results"]]


def test_a_finding_stays_the_same_when_lines_and_numbers_move(plan: Json) -> None:
    moved = json.loads(json.dumps(plan).replace("48,200", "48,201"))
    for change in moved["changes"]:
        if change["source"]:
            change["source"]["line"] += 3
    assert moved != plan and marks(moved) == marks(plan)


def test_no_two_findings_are_the_same(plan: Json) -> None:
    many = [error(codes.K213, "a guard is not met", "x", span=Span("a.yaml", 4, 1, 4, 9), address=f"topic/t{n}")
            for n in range(50)]  # fmt: skip
    assert len(set(marks(plan))) == len(marks(plan))
    assert len(set(marks(of(*many, UNKNOWN)))) == 51
    twice = [error(codes.K101, "x", "same", span=Span("a.yaml", line, 1, line, 2)) for line in (1, 2)]
    assert [mark[-2:] for mark in marks(of(*twice))] == [":1", ":2"]


def test_another_environment_is_another_finding_and_another_category(plan: Json) -> None:
    other = {**plan, "stack": {**plan["stack"], "env": "prod"}}
    assert not set(marks(plan)) & set(marks(other))
    assert run(plan)["automationDetails"]["id"] == "kplan/local/shop/"
    assert run(plan, other)["automationDetails"]["id"] == "kplan/local/shop+prod/shop/"


# -- limits and hostile text ------------------------------------------------------------------------------------------
def test_github_would_refuse_more_results_so_the_least_important_are_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sarif, "MAX_RESULTS", 20)
    notes = [Diagnostic("K421", Severity.NOTE, "n", str(n), span=Span("a.yaml", 1)) for n in range(30)]
    found = run(of(*notes, UNKNOWN))
    assert len(found["results"]) == 20 and found["results"][0]["ruleId"] == "K104"
    assert (
        "11 notes and warnings are left out"
        in found["invocations"][0]["toolExecutionNotifications"][0]["message"]["text"]
    )
    errors = [error(codes.K213, "a guard is not met", span=Span("a.yaml", 1), address=f"topic/t{n}") for n in range(30)]
    assert len(run(of(*errors, *notes))["results"]) == 30, "an error or a danger is never left out"


def test_text_of_others_makes_no_link_and_moves_no_cursor() -> None:
    (result,) = run(of(error(codes.K302, "refused", "[click](http://evil) \x1b[31m\u202e", span=Span("a.yaml", 1))))[
        "results"
    ]
    assert "](" not in result["message"]["text"]
    assert not {"\x1b", "\u202e"} & set(result["message"]["text"])


def test_nothing_found_is_a_valid_log(plan: Json) -> None:
    found = run({**plan, "changes": [], "diagnostics": []})
    assert found["results"] == [] and found["tool"]["driver"]["rules"] == []


def test_a_problem_of_many_resources_names_them_all() -> None:
    span = Span("s.yaml", 2, 3, 2, 9)
    found = [error(codes.K301, "refused", "no", span=span, address=f"topic/t{n}") for n in range(25)]
    (result,) = run(of(*sort_diagnostics(found)))["results"]
    names = [each["fullyQualifiedName"] for each in result["locations"][0]["logicalLocations"]]
    assert names == [f"topic/t{n}" for n in range(25)]
