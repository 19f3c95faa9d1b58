"""docs/plan.md says what kplan does: its examples are the output of cases, its tables those of the code."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics.codes.table import CODES
from kplan.kinds.risks import RULES
from kplan.render.text import SIGNS
from tests.cases.test_cases import CASES, run

ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "plan.md").read_text("utf-8")
EXAMPLE = re.compile(r"^<!-- (tests/cases/([\w-]+)/([\w.]+)) -->\n```(\w*)\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
EXAMPLES = [
    (path, text)
    for guide in (GUIDE, (ROOT / "docs" / "reassign.md").read_text("utf-8"))
    for path, _, name, _, text in EXAMPLE.findall(guide)
    if not name.endswith(".json")
]
TO_READ = next(case for case in CASES if case.name == "plan-to-read")


@pytest.mark.parametrize(("path", "text"), EXAMPLES, ids=[text.splitlines()[0][:40] for _, text in EXAMPLES])
def test_an_example_is_what_kplan_prints(path: str, text: str) -> None:
    """Its lines follow each other as they do there; `…` stands for any that are left out."""
    printed = (ROOT / path).read_text("utf-8").splitlines()
    said = text.splitlines()
    if said[0].startswith("$ "):
        assert said.pop(0)[2:] == f"kplan {(ROOT / path).with_name('args').read_text('utf-8').strip()}"
    at = 0
    for part in "\n".join(said).split("\n…\n"):
        lines = part.strip("\n").splitlines()
        found = [n for n in range(at, len(printed)) if printed[n : n + len(lines)] == lines]
        assert found, f"{path} has no such lines:\n{part}"
        at = found[0] + len(lines)


def test_the_json_of_the_guide_is_in_the_document(tmp_path: Path) -> None:
    ((text,),) = [[text] for _, _, name, _, text in EXAMPLE.findall(GUIDE) if name.endswith(".json")]
    ended = run(TO_READ, tmp_path, "--format", "json")
    risks: list[Any] = [risk for change in json.loads(ended.out)["changes"] for risk in change["risks"]]
    (danger,) = [risk for risk in risks if risk["level"] == "danger"]
    said = json.loads(text)
    danger["facts"]["last_write"] = said["facts"]["last_write"]  # a case's times are not told apart
    assert said == danger


def test_the_risks_of_the_guide_are_all_that_there_are() -> None:
    rows = re.findall(r"^\| (K\d+) \| (\w+) \| (.+?) \| ?(.*?) \|$", GUIDE, re.MULTILINE)
    expected = [(code, rule.level, CODES[code].title, f"`{rule.kind}`" if rule.kind not in ("", "protect") else "")
                for code, rule in RULES.items()]  # fmt: skip
    assert rows == expected


def test_every_sign_is_explained() -> None:
    assert set(re.findall(r"^\| `(.)` \|", GUIDE, re.MULTILINE)) == {*SIGNS.values(), "±"}


def test_every_code_and_flag_of_the_guide_exists(tmp_path: Path) -> None:
    from tests.shell import Shell

    assert set(re.findall(r"\bK\d{3}\b", GUIDE)) <= CODES.keys()
    help = Shell(tmp_path).kplan("plan", "--help").out
    assert [flag for flag in sorted(set(re.findall(r"--[a-z][a-z-]+", GUIDE))) if flag not in help] == []
