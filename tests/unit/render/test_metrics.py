"""Metrics have the names and labels of their page, and a name that is a text cannot break a line."""

from __future__ import annotations

import re

from kplan.inspect.drift import DriftReport
from kplan.inspect.watch import ACTIVE, Watched
from kplan.model import Address
from kplan.render.metrics import render_watched
from tests.guides import DOCS

HEALTH = {"healthy": True, "tasks": [{"state": "RUNNING"}], "lag": {"records": 3, "heartbeat_age": 4.5}}
STATUS = {
    "status": "healthy",
    "topics": {"required": ["a", "b"], "missing": ["b"], "misconfigured": []},
    "connectors": {"cdc": HEALTH},
    "last_runs": {"shop": {"at": "2026-01-02T03:04:05Z", "outcome": "applied"}},
}
SEEN = Watched(
    phase=ACTIVE, env="prod", stacks=("shop",), status=STATUS, read_at=1.0, seconds=0.5, readings={ACTIVE: 2},
    drift=[DriftReport("shop", "prod", 2, unseen=(Address("topic", "a"),))], restarts={"connector/cdc": 1},
    healed={"shop": 1}, refused={"shop": 1},
)  # fmt: skip


def list_documented() -> dict[str, set[str]]:
    """The labels of each metric in the table of docs/agent.md, without `env`."""
    section = (DOCS / "agent.md").read_text("utf-8").partition("## Metrics")[2].partition("`/healthz`")[0]
    rows = [line.split("|")[1:3] for line in section.splitlines() if line.startswith("| `kplan_")]
    words = re.compile(r"`(\w+)`")
    return {name: set(words.findall(labels)) for names, labels in rows for name in words.findall(names)}


def test_all_metrics_are_documented_with_their_labels_and_the_other_way_round() -> None:
    lines = re.findall(r"^(\w+)\{(.*?)\} \S+$", render_watched(SEEN), re.MULTILINE)
    served = {name: set(re.findall(r'(\w+)="', labels)) - {"env"} for name, labels in lines}
    assert served == list_documented()
    assert all('env="prod"' in labels for _, labels in lines)


def test_what_may_not_be_read_is_not_taken_for_no_drift() -> None:
    assert 'kplan_drift_unseen_resources{env="prod",stack="shop"} 1.0' in render_watched(SEEN)
