"""kplan's own topic: a stack cannot declare it, and gives it up where an earlier kplan let the stack own it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from kplan.model import Action, Address, Live, Owned, Removal, Stack, Topic
from kplan.planning.diff import diff
from kplan.project.loading import Request, load_project

STATE = Address("topic", "__kplan")
LIVE = Live(resources={STATE: Topic("__kplan", 1, 3, {"cleanup.policy": "compact"})}, state="__kplan")


def loaded_codes(folder: Path, state: str, topic: str) -> list[str]:
    environment = f"version: 1\nenvironments:\n  dev: {{kafka: {{bootstrap.servers: 'h:9092'}}{state}}}\n"
    (folder / "kplan.yaml").write_text(environment)
    (folder / "stack.yaml").write_text(f"version: 1\nstack: s\ntopics:\n  {topic}: {{}}\n  a: {{}}\n")
    loaded = load_project(Request(("stack.yaml",), folder=str(folder), env="dev"))
    return [problem.code for problem in loaded.diagnostics if problem.is_error]


@pytest.mark.parametrize(
    ("state", "topic", "codes"),
    [
        ("", "__kplan", ["K243"]),
        (", state: {kafka_topic: __team}", "__team", ["K243"]),
        (", state: {kafka_topic: __team}", "__kplan", ["K243"]),
        (", state: {kafka_topic: __team}", "__other", []),
        ("", "kplan", []),
    ],
)
def test_a_stack_cannot_declare_it(tmp_path: Path, state: str, topic: str, codes: list[str]) -> None:
    assert loaded_codes(tmp_path, state, topic) == codes


@pytest.mark.parametrize("created", [False, True])
@pytest.mark.parametrize("mode", ["apply", "destroy"])
def test_a_stack_that_owns_it_gives_it_up(created: bool, mode: str) -> None:
    ledger = {STATE: Owned(STATE, "s", "dev", created=created)}
    found = diff(Stack("s", "dev"), LIVE, ledger, mode=mode)
    assert [(change.address, change.action) for change in found.changes] == [(STATE, Action.RELEASE)]
    assert not [problem for problem in found.diagnostics if problem.is_error]


@pytest.mark.parametrize("created", [False, True])
def test_it_is_never_deleted(created: bool) -> None:
    ledger = {STATE: Owned(STATE, "s", "dev", created=created)}
    asked = Stack("s", "dev", removed=(Removal(STATE),))
    found = diff(asked, LIVE, ledger)
    assert not found.changes and [problem.code for problem in found.diagnostics] == ["K234"]
    kept = diff(replace(asked, removed=(Removal(STATE, keep=True),)), LIVE, ledger)
    assert [change.action for change in kept.changes] == [Action.RELEASE]
