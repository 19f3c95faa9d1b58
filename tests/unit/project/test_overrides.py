"""An environment overrides single topics and connectors, and every problem has its place in kplan.yaml."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.diagnostics import Invalid
from kplan.model import Address, Connector, Resource, Topic
from kplan.project.loading import Loaded, Request, load_project

STACK = """\
version: 1
stack: shop
topics:
  audit: {partitions: 1, config: {retention.ms: 1d, cleanup.policy: delete}}
connectors:
  shop-tables:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: db, name: shop, user: cdc, password: "${file:/run/db:password}"}
    tables:
      public.orders: {partitions: 3, config: {cleanup.policy: compact}}
"""


def load(folder: Path, overrides: str, *paths: str) -> Loaded:
    """Load the project in the environment `prod`, which has these overrides from line 4 on."""
    (folder / "kplan.yaml").write_text(f"version: 1\nenvironments:\n  prod:\n{overrides}\n    simulated: {{}}\n")
    (folder / "stacks").mkdir(exist_ok=True)
    (folder / "stacks" / "shop.yaml").write_text(STACK)
    request = Request(tuple(str(folder / path) for path in paths), env="prod", folder=str(folder), takes_project=True)
    return load_project(request)


def find(loaded: Loaded, kind: str, name: str) -> Resource:
    return loaded.stacks[0].resources[Address(kind, name)]


def list_problems(loaded: Loaded) -> list[str]:
    return [f"{problem.span} {problem.code} {problem.detail}" for problem in loaded.diagnostics]


def test_an_override_wins_over_the_topics_own_settings(tmp_path: Path) -> None:
    loaded = load(tmp_path, "    topics: {audit: {partitions: 6, config: {retention.ms: 30d, cleanup.policy: null}}}")
    topic = find(loaded, "topic", "audit")
    assert isinstance(topic, Topic)
    assert (topic.partitions, topic.config) == (6, {"retention.ms": "2592000000"})
    assert topic.origin.sources["/partitions"] == "override of environment prod"
    assert str(topic.origin.at("/config/retention.ms")).startswith("kplan.yaml:4:")


def test_the_topic_of_a_table_is_overridden_by_its_name_on_the_cluster(tmp_path: Path) -> None:
    topic = find(load(tmp_path, "    topics: {shop.public.orders: {partitions: 12}}"), "topic", "shop.public.orders")
    assert isinstance(topic, Topic)
    assert (topic.partitions, topic.config["cleanup.policy"]) == (12, "compact")


def test_a_connectors_settings_and_state_are_overridden(tmp_path: Path) -> None:
    overrides = "    connectors: {shop-tables: {state: paused, config: {max.batch.size: 4096, plugin.name: null}}}"
    connector = find(load(tmp_path, overrides), "connector", "shop-tables")
    assert isinstance(connector, Connector)
    assert (connector.state, connector.config["max.batch.size"]) == ("paused", "4096")
    assert "plugin.name" not in connector.config
    assert str(connector.origin.at("/config/max.batch.size")).startswith("kplan.yaml:4:")


def test_a_wrong_value_of_an_override_has_its_place_there(tmp_path: Path) -> None:
    problems = list_problems(load(tmp_path, "    topics: {audit: {config: {retention.ms: never}}}"))
    assert [problem.split()[1] for problem in problems] == ["K108"]
    assert problems[0].startswith("kplan.yaml:4:")


def test_a_secret_in_an_override_is_refused_at_its_place(tmp_path: Path) -> None:
    overrides = "    connectors: {shop-tables: {config: {database.password: hunter22}}}"
    problems = list_problems(load(tmp_path, overrides))
    assert [problem.split()[1] for problem in problems] == ["K210"]
    assert problems[0].startswith("kplan.yaml:4:") and "hunter22" not in problems[0]


def test_an_old_value_in_an_override_is_reported_there(tmp_path: Path) -> None:
    problems = list_problems(load(tmp_path, "    connectors: {shop-tables: {config: {snapshot.mode: never}}}"))
    assert [problem.split()[1] for problem in problems] == ["K217"]
    assert problems[0].startswith("kplan.yaml:4:")


def test_an_override_of_nothing_is_a_warning_where_the_whole_project_is_read(tmp_path: Path) -> None:
    overrides = "    topics: {audits: {partitions: 6}}\n    connectors: {other: {state: paused}}"
    problems = list_problems(load(tmp_path, overrides))
    assert sorted(problem.split(maxsplit=1)[1] for problem in problems) == [
        "K257 connector/other; environment prod",
        "K257 topic/audits; environment prod",
    ]
    assert list_problems(load(tmp_path, overrides, "stacks/shop.yaml")) == []


def test_another_key_in_an_override_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(Invalid) as caught:
        load(tmp_path, "    topics: {audit: {partitons: 6}}")
    assert "partitions" in caught.value.diagnostics[0].help
    assert str(caught.value.diagnostics[0].span).startswith("kplan.yaml:4:")
