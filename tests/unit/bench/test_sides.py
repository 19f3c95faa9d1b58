"""The table of tools, and turns of tools of which one fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, cast

import pytest

from tests.bench.peers import OURS, PEERS, Peer, Work
from tests.bench.sides import Arena, Cell, Sides, ToolFailed, render_absent, render_sides, start_sides

TOPICS_TOOL = next(peer for peer in PEERS if peer.name == "kafka-topics.sh")


def test_table_has_the_fastest_in_bold_and_reasons_below() -> None:
    cells = {"create 10 topics": {"kplan": Cell((1.0, 3.0, 2.0)), "kafka-topics.sh": Cell(reason="exit code 1")}}
    lines = render_sides(Sides((OURS, TOPICS_TOOL), (), cells, {"kplan": "kplan 1"}))
    assert "| create 10 topics | **2.00** | – |" in lines
    assert "- kafka-topics.sh, create 10 topics: exit code 1." in lines
    assert any(line.startswith("| kplan | kplan 1 |") for line in lines)


def test_absent_tools_are_named_with_how_to_build_them() -> None:
    lines = render_absent(start_sides(None))
    assert any(line.startswith("topicctl:") and "`segmentio/topicctl`" in line for line in lines)


def test_fastest_is_another_tool() -> None:
    cells = {"plan 10 topics": {"kplan": Cell((0.1,)), "a": Cell((0.3,)), "b": Cell((0.2,)), "c": Cell(reason="no")}}
    assert Sides((), (), cells).find_fastest("plan 10 topics") == "b"


def test_first_turn_does_not_count_and_a_tool_that_fails_has_no_figure() -> None:
    turns: list[str] = []

    def turn(peer: Peer, number: int) -> dict[str, float]:
        turns.append(peer.name)
        if peer is TOPICS_TOOL and number == 1:
            raise ToolFailed("broken")
        return {"job": float(number)}

    arena = Arena(Path(), "", cast(Any, None), None, rounds=2)
    cells = arena.take_turns([OURS, TOPICS_TOOL], turn, ["job"])
    assert cells["job"]["kplan"].seconds == (1.0, 2.0)
    assert cells["job"]["kafka-topics.sh"] == Cell(reason="broken")
    assert turns == ["kplan", "kafka-topics.sh", "kplan", "kafka-topics.sh", "kplan"]


def test_a_command_is_started_again_as_often_as_the_tool_allows(tmp_path: Path) -> None:
    arena = Arena(tmp_path, "", cast(Any, None), None)
    command = ("sh", "-c", "echo x >> starts; test $(wc -l < starts) = 3")
    patient = replace(TOPICS_TOOL, attempts=3)
    assert arena.run_commands(patient, Work("", "", 0), tmp_path, [command]) > 0
    (tmp_path / "starts").unlink()
    with pytest.raises(ToolFailed, match="exit code 1"):
        arena.run_commands(replace(patient, attempts=2), Work("", "", 0), tmp_path, [command])
