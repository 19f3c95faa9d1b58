"""Alike steps of one block are one row where each can be shown on request."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from kplan.planning.document import to_json
from kplan.render.blocks import fold_blocks
from kplan.render.folding import Fold
from kplan.render.text import Context
from kplan.render.views import render
from kplan.testing import SimulatedCluster

STACK = """\
version: 1
stack: big
topics:
  "big.{{ each.key }}":
    for_each: [NAMES]
    partitions: "{{ 9 if each.key == 'odd' else 6 }}"
  other: {partitions: 6}
"""


def plan(folder: Path, *names: str) -> dict[str, Any]:
    return to_json(SimulatedCluster(folder).plan(STACK.replace("NAMES", ", ".join(names))))


def rows(document: dict[str, Any]) -> list[str]:
    return [
        f"{item.numbers} {item.title}: {item.summary}" if isinstance(item, Fold) else str(item["address"])
        for item in fold_blocks(document["changes"])
    ]


def test_topics_of_one_block_are_one_row(tmp_path: Path) -> None:
    document = plan(tmp_path, *(f"t{n:03}" for n in range(460)))
    assert rows(document) == ["1\u2013460 topic/big.t*: 460 topics: 6 partitions each", "topic/other"]


def test_one_that_differs_is_alone_and_a_few_are_not_folded(tmp_path: Path) -> None:
    document = plan(tmp_path, *(f"t{n:03}" for n in range(10)), "odd", "u", "v")
    folded, *others = rows(document)
    assert folded == "1\u201310 topic/big.t00*: 10 topics: 6 partitions each"
    assert others == ["topic/big.odd", "topic/big.u", "topic/big.v", "topic/other"]


def test_what_has_an_error_is_alone(tmp_path: Path) -> None:
    document = plan(tmp_path, *(f"t{n:03}" for n in range(12)))
    alone = list(fold_blocks(document["changes"], {"topic/big.t000"}))
    assert not isinstance(alone[0], Fold) and isinstance(alone[1], Fold)
    assert len(alone[1].steps) == 11


def test_each_is_on_the_page_and_its_attributes_once(tmp_path: Path) -> None:
    document = plan(tmp_path, *(f"t{n:03}" for n in range(460)))
    page = render("html", [document], Context(("big.yaml",)))
    assert page.count('class="step"') == 2
    assert all(f"topic/big.t{n:03}<" in page for n in range(460))
    assert page.count("the broker&#39;s default") == 2
    comment = render("md", [document], Context(("big.yaml",)))
    assert "| 1\u2013460 | `+` | `topic/big.t*` | 460 topics: 6 partitions each |" in comment
