"""What connectors share is declared once, where that declares the same in fewer lines."""

from __future__ import annotations

from typing import Any

from kplan.importers.connector_block import BlockExpander
from kplan.importers.sharing import share_connector_settings
from kplan.project.environment import Environment

EXPANDER = BlockExpander.create(Environment("local", "."), lambda name: (None, ()), ())


def share(*blocks: dict[str, Any]) -> dict[str, Any]:
    connectors = {f"c{n}": {"class": "org.example.Sink", **block} for n, block in enumerate(blocks)}
    return share_connector_settings({"version": 1, "stack": "a", "connectors": connectors}, EXPANDER)


def test_a_setting_of_all_connectors_becomes_a_default() -> None:
    common: dict[str, Any] = {f"setting.{n}": n for n in range(7)}
    data = share(*({"config": {"topics": f"t{n}", **common}} for n in range(3)))
    assert data["defaults"] == {"connector": {"config": common}}
    assert [block["config"] for block in data["connectors"].values()] == [{"topics": f"t{n}"} for n in range(3)]
    assert list(data) == ["version", "stack", "defaults", "connectors"]


def test_a_setting_that_one_connector_lacks_stays() -> None:
    data = share({"config": {"topics": "a", "x": 1}}, {"config": {"topics": "b", "x": 1}}, {"config": {"topics": "c"}})
    assert "defaults" not in data


def test_equal_numbers_and_texts_are_not_the_same() -> None:
    assert "defaults" not in share({"config": {"topics": "a", "x": 1}}, {"config": {"topics": "b", "x": True}})


def test_one_connector_shares_nothing() -> None:
    assert "defaults" not in share({"config": {"topics": "a", "b": 1}})


def test_what_connectors_of_one_java_class_share_is_a_class() -> None:
    common: dict[str, Any] = {f"setting.{n}": "x" * 20 for n in range(7)}
    blocks = [{"config": {"topics": f"t{n}", **common}} for n in range(3)]
    data = share(*blocks, {"class": "org.example.Other", "config": {"topics": "t"}})
    assert data["connector_classes"] == {"sink": {"config": {"connector.class": "org.example.Sink", **common}}}
    assert data["connectors"]["c1"] == {"class": "sink", "config": {"topics": "t1"}}
    assert data["connectors"]["c3"] == {"class": "org.example.Other", "config": {"topics": "t"}}
    assert list(data) == ["version", "stack", "connector_classes", "connectors"]
