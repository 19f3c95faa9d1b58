"""What a change of a subject brings with it: follow-ups of references, undo, and the order of levels and schemas."""

from __future__ import annotations

from dataclasses import replace

import pytest

from kplan.kinds.phases import Phase
from kplan.kinds.subject.comparison import SubjectComparison
from kplan.kinds.subject.consequences import SubjectConsequences
from kplan.kinds.subject.options import SubjectOptions
from kplan.kinds.subject.schemas import fingerprint
from kplan.kinds.subject.subject import LEVELS, Reference, Subject, is_looser
from kplan.model import Action, Change, Live, Stack, Target

ONE, OTHER = '{"type": "record", "name": "A", "fields": []}', '{"type": "record", "name": "B", "fields": []}'


def make(name: str, text: str = ONE, *references: Reference, level: str | None = None) -> Subject:
    return Subject(name, "avro", fingerprint("avro", text), references, level, text=text, version=1)


def follow(declared: list[Subject], live: list[Subject], acting: list[Subject]) -> list[str]:
    """The subjects that are registered again because of others."""
    stack = Stack("s", "e", {each.address: each for each in declared})
    there = Live(resources={each.address: each for each in live})
    found = SubjectConsequences().find_follow_ups(stack, there, {}, [each.address for each in acting], [])
    return [change.address.name for change in found]


MONEY, NEW_MONEY = make("money"), make("money", OTHER)
ITEM = make("item", ONE, Reference("A", "money"))
ORDER = make("order", ONE, Reference("I", "item"))
LIVE_ITEM = replace(ITEM, references=(Reference("A", "money", 1),))
LIVE_ORDER = replace(ORDER, references=(Reference("I", "item", 1),))


def test_a_new_version_goes_through_all_that_refer_to_it() -> None:
    declared, live = [NEW_MONEY, ITEM, ORDER], [MONEY, LIVE_ITEM, LIVE_ORDER]
    assert follow(declared, live, [NEW_MONEY]) == ["item", "order"]


def test_a_new_level_alone_registers_nothing_again() -> None:
    stricter = replace(MONEY, level="FULL")
    assert follow([stricter, ITEM], [MONEY, LIVE_ITEM], [stricter]) == []


def test_a_reference_with_a_version_stays() -> None:
    pinned = replace(ITEM, references=(Reference("A", "money", 1),))
    assert follow([NEW_MONEY, pinned], [MONEY, LIVE_ITEM], [NEW_MONEY]) == []


@pytest.mark.parametrize(
    ("action", "hard", "kind", "complete"),
    [
        (Action.CREATE, False, "delete", True),
        (Action.UPDATE, False, "restore", True),
        (Action.DELETE, False, "recreate", True),
        (Action.DELETE, True, "none", False),
    ],
)
def test_only_a_hard_deletion_has_no_undo(action: Action, hard: bool, kind: str, complete: bool) -> None:
    before, after = (None if action is Action.CREATE else MONEY), (None if action is Action.DELETE else NEW_MONEY)
    change = Change(MONEY.address, action, before, after, options=SubjectOptions(hard=hard))
    undo = SubjectConsequences().decide_undo(change, Target())
    assert (undo.kind, undo.complete) == (kind, complete)


def test_levels_alone_come_before_schemas_and_deletions_last() -> None:
    phase = SubjectConsequences().phase
    level = Subject("a-value", level="FULL")
    phases = [
        phase(Change(level.address, Action.CREATE, None, level)),
        phase(Change(MONEY.address, Action.CREATE, None, MONEY)),
        phase(Change(MONEY.address, Action.DELETE, MONEY, None)),
    ]
    assert phases == [Phase.LEVELS_SET, Phase.SCHEMAS_REGISTERED, Phase.SUBJECTS_DELETED]


def test_a_level_is_looser_if_it_lets_something_pass_that_the_other_one_refuses() -> None:
    looser = {(one, other) for one in LEVELS for other in LEVELS if is_looser(one, other)}
    assert ("NONE", "BACKWARD") in looser and ("BACKWARD", "FULL") in looser and ("BACKWARD", "FORWARD") in looser
    assert ("FULL", "BACKWARD") not in looser and ("FULL_TRANSITIVE", "FULL") not in looser
    assert not any(is_looser(level, level) for level in LEVELS)


# -- comparison -------------------------------------------------------------------------------------------------------
def compare(declared: Subject, live: Subject, applied: Subject | None = None) -> list[str]:
    return [diff.path for diff in SubjectComparison().compare(declared, live, applied).diffs]


def test_what_the_registry_takes_for_the_same_is_no_change() -> None:
    assert compare(NEW_MONEY, replace(MONEY, equals=frozenset({NEW_MONEY.fingerprint}))) == []
    assert compare(NEW_MONEY, replace(MONEY, earlier={NEW_MONEY.fingerprint: 1})) == []
    assert "/schema" in compare(NEW_MONEY, MONEY)


def test_a_level_that_nobody_declares_is_left_alone_unless_an_apply_set_it() -> None:
    live = replace(MONEY, level="FULL")
    assert compare(MONEY, live) == []
    assert compare(MONEY, live, replace(MONEY, level="FULL")) == ["/level"]


def test_states_about_a_level_alone_see_the_level_alone() -> None:
    comparison, level = SubjectComparison(), Subject("money", level="FULL")
    assert comparison.view_as(replace(MONEY, level="FULL"), [level]) == level
    assert comparison.view_as(MONEY, [level]) is None
    assert comparison.view_as(MONEY, [MONEY, level]) is MONEY
    assert comparison.view_as(level, [MONEY]) is None
