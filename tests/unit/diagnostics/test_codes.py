"""The code table is complete, has no leftovers, and each entry helps."""

from __future__ import annotations

import importlib
import pkgutil
import re
from collections import Counter
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import pytest

from kplan.diagnostics import Severity, codes
from kplan.diagnostics.codes.code import Code
from kplan.diagnostics.codes.ranges import FAMILIES, RESERVED_RANGES, family_of
from kplan.diagnostics.codes.table import CODES, find_similar
from kplan.kinds.risks import ACCEPT_WORDS, RULES
from tests.shell import Shell

PACKAGE = Path(__file__).parents[3] / "kplan"
TABLE = PACKAGE / "diagnostics" / "codes"
QUOTED = re.compile(r"""["'](K\d{3})["']""")
NAMED = re.compile(r"\bcodes\.(K\d{3})\b")
RESERVED: dict[str, str] = {}  # code: why it stays in the table although nothing raises it


DEPENDS = {"K223", "K237"}  # the severity is chosen where the problem is made


def sources() -> Iterator[Path]:
    return (path for path in PACKAGE.rglob("*.py") if TABLE not in path.parents)


def used() -> set[str]:
    """The numbers of all codes that the source names."""
    return {number for path in sources() for number in NAMED.findall(path.read_text("utf-8"))}


def modules() -> dict[str, dict[str, object]]:
    """The public names of each module of the table, by the module's name."""
    names = [module.name for module in pkgutil.iter_modules([str(TABLE)])]
    return {name: vars(importlib.import_module(f"{codes.__name__}.{name}")) for name in names}


def numbers_by_module() -> dict[str, set[str]]:
    return {
        module: {value.number for value in names.values() if isinstance(value, Code)}
        for module, names in modules().items()
        if module != "table"
    }


def test_the_source_names_the_objects_and_no_numbers() -> None:
    """A type checker finds a code that is not there; of a number in quotes it knows nothing."""
    quoted = {str(path): found for path in sources() if (found := QUOTED.findall(path.read_text("utf-8")))}
    assert not quoted


def test_every_entry_is_raised_somewhere() -> None:
    idle = CODES.keys() - used() - RESERVED.keys()
    assert not idle, f"nothing raises {sorted(idle)}: a code that is not taken away stands in RESERVED, with the reason"


def test_what_is_reserved_is_not_raised() -> None:
    assert not RESERVED.keys() & used()


def test_a_code_is_named_by_its_number_and_stands_in_one_module() -> None:
    for module, names in modules().items():
        assert all(name == value.number for name, value in names.items() if isinstance(value, Code)), module
    assert sum(map(len, numbers_by_module().values())) == len(CODES)


def test_a_reserved_range_has_only_codes_of_its_modules() -> None:
    for module, numbers in numbers_by_module().items():
        for number in numbers:
            owners = [r.modules for r in RESERVED_RANGES if r.has(number)]
            assert all(module in modules for modules in owners), f"{number} of {module} is in a range of {owners}"


def test_a_module_of_a_reserved_range_has_no_code_outside_of_its_ranges() -> None:
    for module, numbers in numbers_by_module().items():
        own = [r for r in RESERVED_RANGES if module in r.modules]
        assert not own or all(any(r.has(number) for r in own) for number in numbers), module


def test_reserved_ranges_are_apart_and_each_is_in_one_family() -> None:
    spans = sorted((r.first, r.last) for r in RESERVED_RANGES)
    assert all(first <= last and first // 100 == last // 100 for first, last in spans)
    assert all(before[1] < after[0] for before, after in pairwise(spans))
    assert all(family_of(f"K{r.first}") for r in RESERVED_RANGES)


def test_a_fixed_level_is_the_one_that_the_code_is_used_with() -> None:
    """A code whose diagnostics are sometimes an error and sometimes a warning has no level."""
    severities: dict[str, set[str]] = {}
    for path in sources():
        for severity, number in re.findall(
            r"\b_?(error|warning)\(\s*(?:ask, )?codes\.(K\d{3})\b", path.read_text("utf-8")
        ):
            severities.setdefault(number, set()).add(severity)
    for number, levels in severities.items():
        assert CODES[number].level in (levels if len(levels) == 1 and number not in DEPENDS else {""}), number
    assert {code.level for code in CODES.values()} <= {"", *Severity, "danger", "caution"}
    assert {number: rule.level for number, rule in RULES.items()} == {n: CODES[n].level for n in RULES}


def test_titles_are_unique() -> None:
    twice = [title for title, n in Counter(code.title for code in CODES.values()).items() if n > 1]
    assert not twice


@pytest.mark.parametrize("code", CODES)
def test_an_entry_tells_in_two_to_eight_lines_what_to_do(code: str) -> None:
    entry = CODES[code]
    lines = entry.text.splitlines()
    assert entry.number == code and family_of(code) in FAMILIES.values()
    assert 1 <= len(entry.title) <= 72 and "\n" not in entry.title and not entry.title.endswith(".")
    assert 2 <= sum(1 for line in lines if line.strip()) <= 8
    assert max(map(len, lines)) <= 112, "it is read in a terminal"
    assert not any(line != line.rstrip() for line in lines)
    if len(lines) > 3:
        assert "" in lines, "the cause and the way out are apart"


@pytest.mark.parametrize("kind", ACCEPT_WORDS)
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
    assert find_similar("k1044") == "K104"
    assert find_similar("nothing") == ""


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
