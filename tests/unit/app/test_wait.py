"""How often readiness is tried, and what is noted between."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
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


def test_a_cloud_that_gives_no_token_yet_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from tests.services.issuer import Issuer, create_service_account

    key = {**create_service_account(Issuer({}), "kplan@example.com"), "token_uri": "http://127.0.0.1:9/token"}
    (tmp_path / "key.json").write_text(json.dumps(key))
    monkeypatch.setenv("GOOGLE_APPLICATION_CREDENTIALS", str(tmp_path / "key.json"))
    environment = Environment("e", str(tmp_path), {"bootstrap.servers": "127.0.0.1:9"}, login={"gcp": {}})
    missing = wait.find_missing(environment, ["kafka"], (), Runtime(Mask(), now=lambda: datetime.now(UTC)))
    assert missing.startswith("Google's library gives no token for the brokers") and "127.0.0.1" in missing
