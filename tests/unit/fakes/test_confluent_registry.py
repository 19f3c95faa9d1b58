"""The imitated registry answers as the tests of Confluent's registry say that the real one does."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.fakes import confluent_registry
from tests.fakes.confluent_registry import ConfluentRegistry
from tests.fakes.confluent_registry.answers import ANSWERS

SESSIONS: Any = yaml.safe_load(Path(confluent_registry.__file__).with_name("sessions.yaml").read_text())["sessions"]
SCHEMA = {"schema": '"string"'}


def ask(registry: ConfluentRegistry, request: str, body: Any = None) -> tuple[int, Any]:
    answer = registry.answer(*request.split(" ", 1), json.dumps(body).encode() if body else b"")
    return answer.status, answer.body


def is_part(expected: Any, body: Any) -> bool:
    if isinstance(expected, dict):
        return isinstance(body, dict) and all(key in body and is_part(expected[key], body[key]) for key in expected)
    return bool(expected == body)


@pytest.mark.parametrize("session", SESSIONS, ids=lambda session: session["source"])
def test_session_has_the_results_of_its_source(session: Any) -> None:
    registry = ConfluentRegistry()
    registry.levels[""] = session.get("level", "NONE")
    for request, body, expected, *words in session["steps"]:
        status, answer = ask(registry, request, body)
        is_refusal = isinstance(expected, int) and expected > 40000
        shown = answer["error_code"] if is_refusal and status >= 400 else answer
        assert is_part(expected, shown), (request, status, answer)
        assert (status >= 400) == is_refusal, (request, status, answer)
        assert all(word in answer["message"] for part in words for word in part), (request, answer)


def test_every_answer_names_a_source_that_is_listed() -> None:
    entries = {**ANSWERS["refusals"], **ANSWERS["messages"]}
    assert {name for name, entry in entries.items() if entry["source"].split()[0] not in ANSWERS["sources"]} == set()


def test_every_status_begins_its_error_code() -> None:
    assert [name for name, each in ANSWERS["refusals"].items() if each["code"] // 100 != each["status"]] == []


def test_level_of_an_unknown_subject_is_refused_if_asked_for() -> None:
    registry = ConfluentRegistry(needs_subject=True)
    status, answer = ask(registry, "PUT /config/new", {"compatibility": "FULL"})
    assert (status, answer["error_code"]) == (404, 40401)
    ask(registry, "POST /subjects/new/versions", SCHEMA)
    assert ask(registry, "PUT /config/new", {"compatibility": "FULL"}) == (200, {"compatibility": "FULL"})


@pytest.mark.parametrize(("forgets", "status"), [(True, 404), (False, 200)])
def test_soft_deletion_keeps_or_forgets_the_level(forgets: bool, status: int) -> None:
    registry = ConfluentRegistry(forgets_level=forgets)
    ask(registry, "POST /subjects/s/versions", SCHEMA)
    ask(registry, "PUT /config/s", {"compatibility": "FULL"})
    assert ask(registry, "DELETE /subjects/s") == (200, [1])
    assert ask(registry, "GET /config/s")[0] == status
    assert ask(registry, "DELETE /subjects/s?permanent=true") == (200, [1])
    assert ask(registry, "GET /config/s")[0] == 404


def test_unknown_level_is_refused() -> None:
    status, answer = ask(ConfluentRegistry(), "PUT /config", {"compatibility": "SOME"})
    assert (status, answer["error_code"]) == (422, 42203)


def test_encoded_slash_is_part_of_the_name() -> None:
    registry = ConfluentRegistry()
    ask(registry, "POST /subjects/a%2Fb/versions", SCHEMA)
    assert ask(registry, "GET /subjects") == (200, ["a/b"])


def test_verbose_check_gives_the_place_the_old_schema_and_the_level() -> None:
    registry = ConfluentRegistry()
    old = '{"type":"record","name":"r","fields":[{"name":"a","type":"string"}]}'
    new = '{"type":"record","name":"r","fields":[{"name":"a","type":"string"},{"name":"b","type":"int"}]}'
    ask(registry, "POST /subjects/s/versions", {"schema": old})
    _, answer = ask(registry, "POST /compatibility/subjects/s/versions?verbose=true", {"schema": new})
    assert answer == {
        "is_compatible": False,
        "messages": [
            "{errorType:'READER_FIELD_MISSING_DEFAULT_VALUE', description:'The field 'b' at path '/fields/1' in the new"
            " schema has no default value and is missing in the old schema', additionalInfo:'b'}",
            "{oldSchemaVersion: 1}",
            "{oldSchema: '" + old + "'}",
            "{validateFields: 'false', compatibility: 'BACKWARD'}",
        ],
    }
