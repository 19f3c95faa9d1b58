"""A password that a run may have set: no server shows it, so it counts as set until something says otherwise."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import Timeout
from kplan.execution.apply import Apply
from kplan.execution.recovery import Recovery, rebuild_plan
from kplan.kinds.user.user import Credentials, ScramUser
from kplan.model import Address, Secret, frozen
from kplan.model.journal import replay
from kplan.planning.document import undo_secret_names, with_undo_secrets
from kplan.servers.base import Cluster, Outcome
from tests.unit.execution.test_recovery import Place, Spoilt, died

ADDRESS = Address("user", "u")


def user(word: str, previous: str | None = None) -> ScramUser:
    """A declared user; its variables are named for what they hold."""
    old = None if previous is None else Secret("{{ var.old }}", previous)
    return ScramUser("u", frozen({"SCRAM-SHA-512": 4096}), Secret("{{ var.word }}", word), old)


@pytest.fixture
def place(tmp_path: Path) -> Place:
    made = Place(tmp_path)
    made.apply(user("first"))
    return made


def works(place: Place, word: str) -> bool:
    backend: Any = place.cluster.find(ADDRESS)
    return bool(backend.check_logins({ADDRESS: Credentials("u", "SCRAM-SHA-512", word)})[ADDRESS])


def recovery(place: Place, **values: str) -> Recovery:
    """The recovery of the open run, with the values that its variables have now."""
    (name,) = place.store.open_runs()
    progress = replay(place.store.entries(name))
    assert progress is not None
    plan = rebuild_plan(progress)
    assert set(values) <= set(undo_secret_names(plan.changes))
    steps = tuple(replace(step, change=with_undo_secrets(step.change, values)) for step in plan.steps)
    return Recovery(place.run(replace(plan, steps=steps), name=name))


@pytest.mark.parametrize("event", ["did", "end"])
def test_a_killed_run_puts_the_old_password_back_where_its_variable_has_a_value(place: Place, event: str) -> None:
    died(place, place.plan(user("second", "first")), event)
    assert works(place, "second")
    result = recovery(place, old="first").roll_back(0)
    assert result.exit_code == 0 and works(place, "first"), result


@pytest.mark.parametrize("event", ["did", "end"])
def test_without_that_value_the_user_is_named(place: Place, event: str) -> None:
    died(place, place.plan(user("second", "first")), event)
    result = recovery(place).roll_back(0)
    assert result.exit_code == 8 and works(place, "second")
    assert "user/u" in result.left[0] and "password" in result.left[0]
    assert recovery(place, old="first").roll_back(0).exit_code == 0 and works(place, "first")


@pytest.mark.parametrize("event", ["did", "end"])
def test_a_password_without_an_old_one_is_named(place: Place, event: str) -> None:
    died(place, place.plan(user("second")), event)
    result = recovery(place).roll_back(0)
    assert result.exit_code == 8 and result.left[0].startswith("user/u: "), result.left


def test_what_was_never_sent_is_not_named(place: Place) -> None:
    died(place, place.plan(user("second")), "will")
    assert recovery(place).roll_back(0).exit_code == 0 and works(place, "first")


@pytest.mark.parametrize(("previous", "code", "word"), [("first", 7, "first"), (None, 8, "second")])
def test_an_update_without_an_answer_counts_as_made(place: Place, previous: str | None, code: int, word: str) -> None:
    backend = place.cluster.find(ADDRESS)
    assert backend is not None
    plan = place.plan(user("second", previous))

    def make_and_lose(changes, captured):  # type: ignore[no-untyped-def]
        answers = backend.act(changes, captured)
        lost = Outcome(Timeout("no answer"), accepted=True)
        return dict.fromkeys(answers, lost) if changes[0].reason != "undo" else answers

    cluster = Cluster.of(place.cluster.topics, Spoilt(backend, act_=make_and_lose))  # type: ignore[arg-type]
    result = Apply(place.run(plan, cluster)).execute()
    assert result.exit_code == code and works(place, word), result
    assert [line.partition(":")[0] for line in result.left] == (["user/u"] if code == 8 else [])
