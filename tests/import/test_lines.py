"""An imported Debezium stack has no more lines than its JSON, in the median: of the files here, as of public ones."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.importers.writing import WIDTH, write_notes
from tests.corpus.lines import LineCounts, compare_lines, count_filled_lines, describe_lines
from tests.shell import Shell

HERE = Path(__file__).parent
FILES = sorted(HERE.glob("debezium*/*.json"))


@pytest.mark.slow
def test_half_of_the_stacks_have_no_more_lines_than_their_json(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    counts: list[LineCounts] = []
    for number, file in enumerate(FILES):
        shell.write(file.name, file.read_text())
        shell.kplan("import", "--file", file.name, "--out", f"{number}.yaml")
        lines = compare_lines(file.read_text(), (tmp_path / f"{number}.yaml").read_text())
        counts += [lines] if lines else []
    assert len(counts) == len(FILES) >= 9
    assert sum(each.stack <= each.original for each in counts) * 2 >= len(counts), describe_lines(counts)


def test_a_long_line_counts_as_the_lines_that_it_fills() -> None:
    assert count_filled_lines(f"a\n\n{'b' * WIDTH}\n{'c' * (WIDTH + 1)}\n") == 5
    assert compare_lines('{"connector.class": "org.example.Sink"}', "version: 1\n") is None
    assert describe_lines([LineCounts(18, 17), LineCounts(20, 15)]) == (
        "2 Debezium files: median of lines 16, of their JSON 19, difference -3"
    )


def test_notes_about_one_resource_are_one_comment_of_lines_that_fit() -> None:
    reasons = [f"setting.{number} is another.setting.{number} today" for number in range(9)]
    lines = write_notes([*(f"connector/a: {reason}" for reason in reasons), "schema: not read", "connector/b: c"])
    assert " ".join(lines) == (f"Note: connector/a: {'; '.join(reasons)} Note: schema: not read Note: connector/b: c")
    assert max(map(len, lines)) <= WIDTH - len("# ")
