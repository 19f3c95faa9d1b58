"""What a plan adds to a cluster."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.planning.document import to_json
from kplan.render.growth import describe_growth
from kplan.testing import SimulatedCluster

HEAD = "version: 1\nstack: shop\ntopics:\n"


@pytest.mark.parametrize(("before", "after", "expected"), [
    ("", "  a.b: {partitions: 3, replication_factor: 3}\n  a.c: {partitions: 2}\n", "+5 partitions"),
    ("", "  a.b: {partitions: 3, replication_factor: 3}\n  a.c: {replication_factor: 1}\n",
     "+4 partitions, +10 replicas"),
    ("  a.b: {partitions: 3}\n", "  a.b: {partitions: 6}\n", "+3 partitions"),
    ("  a.b: {partitions: 3}\n", "  a.b: {partitions: 6, replication_factor: 3}\n", "+3 partitions, +9 replicas"),
    ("  a.b: {partitions: 3}\n", "  a.b: {partitions: 3, config: {retention.ms: 1d}}\n", ""),
    ("  a.b:\n  a.c: {replication_factor: 2}\n", "  a.b:\nremoved: [{topic: a.c}]\n", "-1 partition, -2 replicas"),
])  # fmt: skip
def test_partitions_and_replicas_are_counted_where_they_are_known(
    before: str, after: str, expected: str, tmp_path: Path
) -> None:
    cluster = SimulatedCluster(tmp_path)
    if before:
        cluster.apply(HEAD + before)
    assert describe_growth(to_json(cluster.plan(HEAD + after))) == expected


def test_what_is_adopted_and_changed_is_counted(tmp_path: Path) -> None:
    from kplan.render.text import format_counts

    cluster = SimulatedCluster(tmp_path)
    cluster.add_topic("a.b", partitions=3)
    plan = cluster.plan(HEAD + "  a.b: {partitions: 3, config: {retention.ms: 1d}}\n")
    assert "1 to change (1 adopted)" in format_counts(to_json(plan))
