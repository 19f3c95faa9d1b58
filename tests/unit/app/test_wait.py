"""How often readiness is tried, and what is noted between."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from kplan.app import wait
from kplan.app.runtime import Runtime
from kplan.app.wait import WaitRequest, try_until_ready
from kplan.model.masks import Mask
from kplan.project.environment import Environment


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What each try finds missing, in turn."""
    found: list[str] = []
    monkeypatch.setattr(wait, "find_missing", lambda *_: found.pop(0))
    return found


def try_with(attempts: int, noted: list[Any]) -> bool:
    request = WaitRequest(["kafka"], (), attempts, 0.0)
    runtime = Runtime(Mask(), now=lambda: datetime.now(UTC))
    return try_until_ready(request, Environment("e", "."), runtime, lambda *each: noted.append(each))


def test_it_ends_with_the_first_try_that_lacks_nothing(answers: list[str]) -> None:
    answers += ["kafka: no answer", "", "not reached"]
    noted: list[Any] = []
    assert try_with(5, noted)
    assert noted == [("kafka: no answer", 4)] and answers == ["not reached"]


def test_after_the_last_try_it_is_not_ready(answers: list[str]) -> None:
    answers += ["a", "b"]
    noted: list[Any] = []
    assert not try_with(2, noted)
    assert noted == [("a", 1), ("b", 0)]
