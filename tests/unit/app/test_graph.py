"""What the graph of stacks is made of, and which problems are left to report."""

from __future__ import annotations

from pathlib import Path

import kplan
from kplan.app.graph import find_lineage

SINK = """\
version: 1
stack: s
topics: {a: {partitions: 1, config: {retention.ms: 1d}}}
connectors:
  c: {class: org.apache.kafka.connect.file.FileStreamSinkConnector, config: {file: /x, topics: elsewhere}}
"""


def test_a_topic_that_nothing_feeds_is_in_the_graph_and_not_a_problem(tmp_path: Path) -> None:
    (tmp_path / "s.yaml").write_text(SINK, "utf-8")
    loaded = kplan.load(tmp_path / "s.yaml", process={}, without_servers=True)
    assert "K215" in {d.code for d in loaded.diagnostics}
    lineage = find_lineage(loaded)
    assert "K215" not in {d.code for d in lineage.diagnostics}
    assert [stack.name for stack in lineage.stacks] == ["s"]
    assert "elsewhere" in str(lineage.graph)
