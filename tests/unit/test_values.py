"""The dataclasses of kplan behave as those of the standard library."""

from __future__ import annotations

import copy
import dataclasses
import inspect
import pickle
import subprocess
import sys
from collections.abc import Callable
from dataclasses import FrozenInstanceError, field
from pathlib import Path
from typing import Any, ClassVar

import pytest

from kplan import values

ROOT = Path(__file__).parents[2]


@values.dataclass(frozen=True, slots=True)
class Point:
    """Has what `pickle` can find."""

    x: int
    tags: list[str] = field(default_factory=list)


def make_classes(dataclass: Callable[..., Any]) -> tuple[type, type, type]:
    """Make a frozen class, one that inherits from it, and one that can change."""

    @dataclass(frozen=True, slots=True)
    class Base:
        kind: ClassVar[str] = "base"
        name: str
        secret: str = field(default="s", repr=False)
        place: int = field(default=0, compare=False, kw_only=True)

    @dataclass(frozen=True, slots=True)
    class Child(Base):
        kind: ClassVar[str] = "child"
        numbers: tuple[int, ...] = ()
        words: dict[str, int] = field(default_factory=dict, compare=False)

    @dataclass(slots=True)
    class Open:
        a: int
        b: list[int] = field(default_factory=list)
        c: str = field(init=False)

        def __post_init__(self) -> None:
            self.c = f"{self.a}{self.b}"

    return Base, Child, Open


OURS, THEIRS = make_classes(values.dataclass), make_classes(dataclasses.dataclass)
ARGUMENTS: tuple[tuple[int, tuple[Any, ...], dict[str, Any]], ...] = (
    (0, ("n",), {}), (0, ("n", "t"), {}), (0, ("n",), {"place": 3}), (0, ("m",), {}),
    (1, ("n",), {}), (1, ("n", "t", (1, 2), {"w": 1}), {"place": 4}), (1, ("n",), {"words": {"v": 2}}),
    (2, (1,), {}), (2, (1, [2]), {}), (2, (), {"a": 1, "b": [2]}),
)  # fmt: skip


def make_all(classes: tuple[type, ...]) -> list[Any]:
    return [classes[number](*positional, **named) for number, positional, named in ARGUMENTS]


@pytest.mark.parametrize("number", range(3))
def test_a_class_has_the_same_fields_and_parameters(number: int) -> None:
    ours, theirs = OURS[number], THEIRS[number]
    assert [each.name for each in dataclasses.fields(ours)] == [each.name for each in dataclasses.fields(theirs)]
    assert [(each.name, each.kind, each.annotation) for each in inspect.signature(ours).parameters.values()] == [
        (each.name, each.kind, each.annotation) for each in inspect.signature(theirs).parameters.values()
    ]
    assert ours.__slots__ == theirs.__slots__
    assert ours.__match_args__ == theirs.__match_args__
    assert (ours.__hash__ is None) == (theirs.__hash__ is None)


def test_values_are_shown_compared_and_taken_apart_as_those_of_the_standard_library() -> None:
    ours, theirs = make_all(OURS), make_all(THEIRS)
    assert list(map(repr, ours)) == list(map(repr, theirs))
    assert list(map(dataclasses.asdict, ours)) == list(map(dataclasses.asdict, theirs))
    assert [[a == b for b in ours] for a in ours] == [[a == b for b in theirs] for a in theirs]
    assert [hash(value) for value in ours[:7]] == [hash(value) for value in theirs[:7]]


def test_a_call_with_wrong_arguments_is_refused() -> None:
    for positional, named in (((), {}), (("n",), {"other": 1}), (("n", "s", 3), {})):
        for base in (OURS[0], THEIRS[0]):
            with pytest.raises(TypeError):
                base(*positional, **named)


def test_a_default_is_made_for_each_value() -> None:
    assert OURS[1]("n").words is not OURS[1]("n").words
    assert OURS[2](1).b is not OURS[2](1).b


@pytest.mark.parametrize("value", make_all(OURS)[:7])
@pytest.mark.parametrize("name", ["name", "place", "unknown"])
def test_a_frozen_value_cannot_be_changed(value: Any, name: str) -> None:
    before = repr(value)
    with pytest.raises(FrozenInstanceError):
        setattr(value, name, 1)
    with pytest.raises(FrozenInstanceError):
        delattr(value, name)
    assert repr(value) == before


def test_a_frozen_value_can_be_replaced_copied_and_pickled() -> None:
    value = Point(1, ["a"])
    assert dataclasses.replace(value, x=2) == Point(2, ["a"])
    assert pickle.loads(pickle.dumps(value)) == value == copy.copy(value)
    deep = copy.deepcopy(value)
    assert deep == value
    assert deep.tags is not value.tags


def test_frozen_and_changeable_classes_do_not_inherit_from_each_other() -> None:
    for base, frozen in ((OURS[0], False), (OURS[2], True)):
        for dataclass in (values.dataclass, dataclasses.dataclass):
            with pytest.raises(TypeError, match="frozen"):
                dataclass(frozen=frozen, slots=True)(type("Other", (base,), {}))


def test_other_options_are_those_of_the_standard_library() -> None:
    @values.dataclass(frozen=True, slots=True, order=True)
    class Ordered:
        a: int

    @values.dataclass
    class Plain:
        a: int

    assert Ordered(1) < Ordered(2)
    assert vars(Plain(1)) == {"a": 1}


def test_the_package_uses_no_other_dataclass() -> None:
    """Else each of them takes four times as long at every start."""
    found = subprocess.run(["grep", "-rnE", "^from dataclasses import.*\\bdataclass\\b|dataclasses\\.dataclass",
                            "--include=*.py", "kplan"], cwd=ROOT, text=True, capture_output=True)  # fmt: skip
    assert {line.partition(":")[0] for line in found.stdout.splitlines()} == {"kplan/values.py"}
    assert sys.modules["kplan.model"].dataclass is values.dataclass
