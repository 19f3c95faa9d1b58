"""The lint of prose finds what is planted, where it is, and nothing in plain English."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.shape import prose
from tests.shape.prose import BANNED, Messages, Passage, list_pages, list_short_pages, split_lines, split_page

PLANTED = {
    "told": "kplan tells you what has changed.",
    "said": "The error is said once.",
    "mend": "Mend the cause.",
    "anew": "The topic is made anew.",
    "besides": "It restarts the tasks besides.",
    "whence": "It shows whence each value came.",
    "shall": "Say what shall become of it.",
    "nobody": "Nobody reads it.",
    "for (= because)": "The connector fails, for it has no topic.",
    "is no X": "`partition` is no key of a topic.",
    "way out": "It names the cause and the way out.",
    "stands": "The setting stands under `config:`.",
    "makes it so": "`kplan apply` makes it so.",
    "blueprint": "A blueprint describes connectors.",
    "applier": "The applier needs this right.",
}
PLAIN = (
    "There is no way to restore a record, and the topic is no longer in the stack.",
    "`told` and ``is no `key` `` are code, and so is `stands`.",
    "NAME stands for a name that you choose, for example `shop`.",
    "kplan waits for the servers, for the lock, for each topic and for all of its connectors.",
    "It is needed for plans, for applies and for recovery.",
    "The page [recovery](said.md) lists all of them.",
)


def find_words(text: str) -> list[str]:
    return [found.split(": ")[1] for part in split_page("page.md", text) for found in part.find_banned()]


def test_every_word_is_planted() -> None:
    assert PLANTED.keys() == BANNED.keys()


@pytest.mark.parametrize("word", PLANTED)
@pytest.mark.parametrize("form", ["{}", "# {}", "- {}", "| {} | x |", "> {}", "1. {}", "a\nb. {}"])
def test_a_planted_word_is_found(word: str, form: str) -> None:
    assert find_words(form.format(PLANTED[word])) == [word]


@pytest.mark.parametrize(
    "text",
    [
        ", for a topic that is gone hangs",
        "; for the topic is gone",
        ", for connectors need topics",
        ": for no one is there",
    ],
)
def test_for_is_found_before_a_clause(text: str) -> None:
    assert find_words(f"It waits{text}.") == ["for (= because)"]


@pytest.mark.parametrize("text", PLAIN)
def test_plain_english_passes(text: str) -> None:
    assert find_words(text) == []


def test_blocks_and_comments_are_not_read() -> None:
    assert find_words("```text\ntold\n```\n<!-- said -->\n~~~\nmend\n~~~\n    told\n") == ["told"]


def test_texts_of_the_program_are_not_read() -> None:
    assert find_words("<!-- made of kplan/x.py -->\n\nTo mend it:\n\n<!-- end -->\nIt is told.") == ["told"]
    assert find_words("| K403 | danger | it is made anew |\n| K4 | it is made anew |\n") == ["anew"]


def test_a_place_is_the_line_of_the_word() -> None:
    text = "# Title\n\n```\ntold\n```\n\nOne line,\nthen a `piece\nof code` and\nit is said.\n"
    (found,) = [found for part in split_page("page.md", text) for found in part.find_banned()]
    assert found == "page.md:10: said: 'said'"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("one two three four.", [4]),
        ("one two. Three four five six seven.", [5]),
        ("one `two three four five` six.", []),
        ("| one two three | four five six |", []),
        ("- one two three\n- four five six", []),
        ("one two three\nfour five", [5]),
        ("one, two; three: four", [4]),
        ("see [one two](https://example.org/three/four) there.", [4]),
    ],
)
def test_long_sentences_are_found(text: str, words: list[int]) -> None:
    found = [place for part in split_page("page.md", text) for place in part.find_long_sentences(most=3)]
    assert [int(place.split(": ")[1].removesuffix(" words")) for place in found] == words


def test_messages_are_literals_of_several_words(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(
        '"""This docstring is told."""\n'
        "def f(name):\n"
        '    """It is said here."""\n'
        "    raise ValueError(f\"{name} is no duration: {g('it is said')}\")\n"
        'WORDS = ("told", "said")\n'
        'TEXT = "it is" " told"\n'
        "@click.group()\n"
        "def g():\n"
        '    """Make it so."""\n'
    )
    assert Messages(tmp_path).find_banned() == [
        f"{tmp_path.name}/module.py:4: is no X: 'is no'",
        f"{tmp_path.name}/module.py:4: said: 'said'",
        f"{tmp_path.name}/module.py:6: told: 'told'",
        f"{tmp_path.name}/module.py:8: makes it so: 'Make it so'",
    ]


def test_data_is_read_by_lines() -> None:
    text = 'a:\n  description: "It is told."\n  # `said`\n'
    found = [found for line in split_lines("x.yaml", text) for found in line.find_banned()]
    assert found == ["x.yaml:2: told: 'told'"]
    assert all(list(prose.ROOT.glob(pattern)) for pattern in prose.DATA)


def test_the_pages_are_found() -> None:
    names = {page.relative_to(prose.ROOT).as_posix() for page in list_pages()}
    assert {"README.md", "ARCHITECTURE.md", "docs/guarantees.md", "tests/faults/README.md"} <= names
    assert "docs/reference/cli.md" not in names
    short = {page.name for page in list_short_pages()}
    assert short == {"README.md", "tutorial.md", "cdc.md", "plan.md", "guarantees.md"}


def test_code_is_one_word() -> None:
    assert list(Passage("p", 1, "x `a b c` y").find_long_sentences(most=2)) == ["p:1: 3 words: x X y…"]
