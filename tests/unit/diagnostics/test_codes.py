"""The code table is complete, has no leftovers, and each entry helps."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import pytest

from kplan.diagnostics.codes import CODES, FAMILIES, similar
from kplan.planning.risk import KINDS
from tests.shell import Shell

PACKAGE = Path(__file__).parents[3] / "kplan"
QUOTED = re.compile(r"""["'](K\d{3})["']""")
RESERVED: dict[str, str] = {}  # code: why it stays in the table although nothing raises it


def used() -> dict[str, set[str]]:
    """Every code that the source raises, and the files where it stands."""
    found: dict[str, set[str]] = {}
    for path in PACKAGE.rglob("*.py"):
        if path.name != "codes.py":
            for code in QUOTED.findall(path.read_text("utf-8")):
                found.setdefault(code, set()).add(str(path.relative_to(PACKAGE)))
    return found


def test_every_code_that_the_source_raises_has_an_entry() -> None:
    missing = {code: sorted(files) for code, files in used().items() if code not in CODES}
    assert not missing, f"write an entry in kplan/diagnostics/codes.py for {missing}"


def test_every_entry_is_raised_somewhere() -> None:
    idle = CODES.keys() - used().keys() - RESERVED.keys()
    assert not idle, f"nothing raises {sorted(idle)}: a code that is not taken away stands in RESERVED, with the reason"


def test_what_is_reserved_is_not_raised() -> None:
    assert not RESERVED.keys() & used().keys()


def test_titles_are_unique() -> None:
    twice = [title for title, n in Counter(code.title for code in CODES.values()).items() if n > 1]
    assert not twice


@pytest.mark.parametrize("code", CODES)
def test_an_entry_tells_in_two_to_eight_lines_what_to_do(code: str) -> None:
    entry = CODES[code]
    lines = entry.text.splitlines()
    assert entry.code == code and entry.family in FAMILIES.values()
    assert 1 <= len(entry.title) <= 72 and "\n" not in entry.title and not entry.title.endswith(".")
    assert 2 <= sum(1 for line in lines if line.strip()) <= 8
    assert max(map(len, lines)) <= 112, "it is read in a terminal"
    assert not any(line != line.rstrip() for line in lines)
    if len(lines) > 3:
        assert "" in lines, "the cause and the way out are apart"


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_danger_is_explained_by_an_entry(kind: str) -> None:
    """A person who reads `accept: [KIND]` in a stack can look up what it means."""
    assert any(f"accept: [{kind}]" in code.text for code in CODES.values())


def test_commands_in_an_entry_exist() -> None:
    from kplan.cli import COMMANDS

    verbs = {
        word for code in CODES.values() for word in re.findall(r"(?:`|^    )kplan ([a-z]+)", code.text, re.MULTILINE)
    }
    assert verbs <= COMMANDS.keys(), f"no such command: {sorted(verbs - COMMANDS.keys())}"


def test_a_mistyped_code_finds_the_nearest() -> None:
    assert similar("k1044") == "K104"
    assert similar("nothing") == ""


def test_the_likeliest_mistakes_of_a_first_day_are_explained() -> None:
    """A folder without stacks, and a file that is not there or cannot be read."""
    text = " ".join(CODES["K107"].text.split())
    assert "There is no such file" in text and "A folder without stacks" in text


@pytest.mark.parametrize("code", sorted(CODES))
def test_no_paragraph_stands_among_the_lines_of_an_example(code: str) -> None:
    for paragraph in CODES[code].text.split("\n\n"):
        assert len({line.startswith("    ") for line in paragraph.splitlines()}) == 1, paragraph


def test_an_explanation_fits_a_terminal(tmp_path: Path) -> None:
    shown = Shell(tmp_path).kplan("explain", "K106").out
    assert max(map(len, shown.splitlines())) <= 100, shown
