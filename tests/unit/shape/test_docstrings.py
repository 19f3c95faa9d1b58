"""Which docstrings count as beginning with a verb."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from tests.shape.code import PACKAGE, Module, Package
from tests.shape.docstrings import find_docstrings_without_verb, first_word, is_verb

SOURCE = '''
def a():
    """The plan."""

def b():
    """Return the plan."""

def c():
    pass

class C:
    def __init__(self):
        """`x` is a parameter."""

    def d(self):
        """What it is."""

@cli.command("e")
def e():
    """Terraform for Kafka."""
'''


@pytest.mark.parametrize("word", ["Return", "Returns", "Tries", "Does", "Whether", "Yield"])
def test_verbs_and_whether_may_begin(word: str) -> None:
    assert is_verb(word)


@pytest.mark.parametrize("word", ["The", "What", "As", "`value`", "How", "return", "None", "s"])
def test_other_words_may_not(word: str) -> None:
    assert not is_verb(word)


def test_the_first_word_has_no_stop_behind() -> None:
    assert first_word("Undo: go back.") == "Undo"
    assert first_word(" ") == ""


def test_each_function_without_a_verb_is_found() -> None:
    package = Package()
    path = Path(PACKAGE / "invented.py")
    package.__dict__["modules"] = {"kplan.invented": Module(path, "kplan.invented", ast.parse(SOURCE))}
    assert [finding.what for finding in find_docstrings_without_verb(package)] == ["a: The", "d: What"]
