"""What an undo of a user sets, and what a plan says of the password."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kplan.kinds.user.comparison import PASSWORD, UserComparison, name_path
from kplan.kinds.user.consequences import UserConsequences
from kplan.kinds.user.user import ScramUser
from kplan.model import NO_OPTIONS, Action, Change, Live, Owned, Secret, Target, frozen
from kplan.planning.undo import inverse

SHA = "SCRAM-SHA-512"
NEW, OLD = Secret("{{ var.word }}", "canary-new"), Secret("{{ var.old }}", "canary-old")
WRONG = Secret(matches=lambda value: False)


def user(iterations: int = 4096, previous: Secret | None = None, **more: int) -> ScramUser:
    return ScramUser("u", frozen({SHA: iterations, **more}), NEW, previous)


def live(iterations: int = 4096, password: Secret | None = None, uncompared: str = "", **more: int) -> ScramUser:
    return ScramUser("u", frozen({SHA: iterations, **more}), password, uncompared=uncompared)


def changed(declared: ScramUser, now: ScramUser, applied: ScramUser | None = None) -> Change:
    owner = Owned(declared.address, "s", "local", True, applied=applied) if applied is not None else None
    diffs = UserComparison().compare(declared, now, applied).diffs
    change = Change(declared.address, Action.UPDATE, now, declared, diffs, owner=owner)
    change = UserConsequences().add_effects(change, Live(resources={now.address: now}))
    return replace(change, undo=UserConsequences().decide_undo(change, Target()))


@pytest.mark.parametrize(
    ("declared", "now", "password"),
    [
        (user(previous=OLD), live(password=WRONG), OLD),
        (user(8192, previous=OLD), live(password=WRONG), OLD),
        (user(8192), live(password=Secret(value="canary-new")), NEW),
        (user(8192, previous=OLD), live(password=Secret(value="canary-new")), NEW),  # the rotation was before
    ],
    ids=["rotated", "rotated with other iterations", "other iterations", "other iterations after a rotation"],
)
def test_an_undo_sets_the_password_that_was_there(declared: ScramUser, now: ScramUser, password: Secret) -> None:
    change = changed(declared, now)
    back = inverse(change)
    assert change.undo.complete and back is not None and isinstance(back.after, ScramUser)
    assert back.after.password == password and back.after.mechanisms == now.mechanisms


def test_a_mechanism_that_goes_comes_back_with_its_password() -> None:
    both = replace(user(), mechanisms=frozen({SHA: 4096, "SCRAM-SHA-256": 4096}))
    now = replace(both, password=Secret(value="canary-new"))
    change = changed(user(), now, both)
    assert [diff.path for diff in change.diffs] == [name_path("SCRAM-SHA-256")]
    back = inverse(change)
    assert change.undo.complete and back is not None and isinstance(back.after, ScramUser)
    assert back.after.password == NEW and back.after.mechanisms == both.mechanisms


def test_a_password_without_an_old_one_has_no_undo() -> None:
    change = changed(user(), live(password=WRONG))
    assert not change.undo.complete and inverse(change) is None
    assert UserConsequences().may_look_undone(change)


@pytest.mark.parametrize(
    ("now", "effect"),
    [
        (live(password=Secret(value="canary-new")), "password: as declared"),
        (live(uncompared="without a login check"), "password: not compared (without a login check)"),
    ],
)
def test_a_change_says_what_is_known_of_the_password(now: ScramUser, effect: str) -> None:
    change = changed(user(8192), now)
    assert change.options.effects == (effect,) and not UserConsequences().may_look_undone(change)


def test_the_digest_of_the_last_apply_tells_too() -> None:
    key = "0123456789abcdef"
    signed = replace(user(8192), password=NEW.signed(key))
    known = changed(signed, live(), replace(user(), password=replace(NEW.signed(key), value=None)))
    assert known.options.effects == ("password: as declared",)


def test_a_password_that_differs_is_its_own_line() -> None:
    change = changed(user(), live(password=WRONG))
    assert change.options == NO_OPTIONS and [diff.path for diff in change.diffs] == [PASSWORD]
