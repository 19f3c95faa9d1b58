"""GitHub's annotations, read as its runner reads them (ActionCommand.cs): within its limits, and nothing breaks out."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.diagnostics import Diagnostic, Severity, Span, codes, error, warning
from kplan.render.github import MAX_MESSAGE_LENGTH, MAX_SHOWN, format_commands, render
from kplan.render.text import Context
from kplan.render.views import make_problem_document
from tests.plans import small

Json = dict[str, Any]
DATA = (("\r", "%0D"), ("\n", "%0A"), ("%", "%25"))
PROPERTY = (("\r", "%0D"), ("\n", "%0A"), (":", "%3A"), (",", "%2C"), ("%", "%25"))


def unescaped(text: str, table: tuple[tuple[str, str], ...]) -> str:
    for token, replacement in table:
        text = text.replace(replacement, token)
    return text


def read(text: str) -> list[tuple[str, dict[str, str], str]]:
    """The commands that the runner finds: name, properties, message."""
    found = []
    for line in text.splitlines():
        assert line.startswith("::"), line
        info, separator, message = line[2:].partition("::")
        assert separator
        name, _, listed = info.partition(" ")
        pairs = [pair.split("=", 1) for pair in listed.split(",") if pair]
        properties = {key: unescaped(value, PROPERTY) for key, value in pairs}
        found.append((name, properties, unescaped(message, DATA)))
    return found


@pytest.fixture(scope="module")
def plan(tmp_path_factory: pytest.TempPathFactory) -> Json:
    return small(tmp_path_factory.mktemp("plan"))


def test_dangers_come_first_and_are_at_their_line(plan: Json) -> None:
    found = read(render([plan], Context(("stack.yaml",), base="deploy")))
    open_ = [(risk["code"], change) for change in plan["changes"] for risk in change["risks"]
             if risk["level"] == "danger" and not risk["accepted"]]  # fmt: skip
    assert open_
    for (code, change), (name, properties, message) in zip(open_, found, strict=False):
        assert name == "error" and properties["title"] == f"kplan ({code})"
        assert properties["file"] == "deploy/stack.yaml" and int(properties["line"]) == change["source"]["line"]
        assert change["address"] in message and "DANGER: " in message and "--accept" in message
    assert {name for name, _, _ in found} == {"error", "warning"} | ({"notice"} if _notes(plan) else set())


def _notes(plan: Json) -> list[Json]:
    return [risk for change in plan["changes"] for risk in change["risks"] if risk["level"] == "note"]


def test_github_shows_ten_of_a_level_so_the_tenth_tells_all_others() -> None:
    problems: list[Diagnostic] = []
    for n in range(25):
        problems += [
            error(codes.K104, "unknown", f"name{n:02}", span=Span("a.yaml", n + 1, 1)),
            warning(codes.K217, f"old{n:02}"),
        ]
    found = read(format_commands(problems))
    assert [name for name, _, _ in found] == ["error"] * MAX_SHOWN + ["warning"] * MAX_SHOWN
    _, properties, message = found[MAX_SHOWN - 1]
    assert properties == {"title": "kplan (16 more errors)"}
    assert [line.partition(": ")[0] for line in message.splitlines()] == [f"a.yaml:{n}:1" for n in range(10, 26)]
    assert all(f"name{n:02}" in "".join(message for _, _, message in found) for n in range(25))
    assert len(read(format_commands(problems[:20]))) == 20, "ten are shown, so ten are written"


def test_the_rest_of_thousands_fits_and_names_each_place() -> None:
    problems = [error(codes.K401, "a topic with records would be deleted", "x" * 300, span=Span("a.yaml", n, 1))
                for n in range(1, 1001)]  # fmt: skip
    _, properties, message = read(format_commands(problems))[-1]
    assert properties["title"] == "kplan (991 more errors)" and len(message.encode()) < MAX_MESSAGE_LENGTH + 4096
    assert [int(line.split(":")[1]) for line in message.splitlines()] == list(range(10, 1001))


def test_a_problem_before_there_is_a_plan_is_shown_too() -> None:
    document = make_problem_document(
        "shop", "", [error(codes.K310, "a server does not answer", "localhost:9092", help="start it")]
    )
    assert read(render([document], Context())) == [
        ("error", {"title": "kplan (K310)"}, "a server does not answer\nlocalhost:9092\nhelp: start it")
    ]


@given(name=st.text(max_size=30), detail=st.text(max_size=60), severity=st.sampled_from(Severity))
def test_no_text_breaks_out_of_its_command(name: str, detail: str, severity: Severity) -> None:
    hostile = Diagnostic(
        "K302", severity, "refused", f"{detail}\n::add-mask::x\r\n{detail}", "", Span(name or "a", 1, 2)
    )
    text = format_commands([hostile])
    assert text.count("\n") == 1 and "\r" not in text
    ((_, properties, message),) = read(text)
    assert properties["line"] == "1" and properties["col"] == "2" and properties["title"] == "kplan (K302)"
    assert "::add-mask::x" in message.splitlines()
