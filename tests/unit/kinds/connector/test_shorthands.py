"""Converters, transforms and predicates as maps: the settings that they stand for, there and back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kplan.kinds.connector.shorthands import list_settings, shorten
from tests.unit.kinds.connector.test_expansion import ROUTER, block, connector, expanded, told, topics

PREDICATE = "org.apache.kafka.connect.transforms.predicates.TopicNameMatches"


def test_maps_become_settings(tmp_path: Path) -> None:
    stack = expanded(
        tmp_path,
        block(
            tables=["orders"],
            converters={"key": "string", "value": {"class": "json", "schemas.enable": False}},
            transforms={
                "route": {"type": ROUTER, "regex": r"p\.(.*)", "replacement": "q.$1", "predicate": "orders"},
                "last": {"type": "org.apache.kafka.connect.transforms.Flatten$Value", "delimiter": "_"},
            },
            predicates={"orders": {"type": PREDICATE, "pattern": r".*\.orders"}},
            topics={"q.public.orders": None},
        ),
    )
    config = connector(stack).config
    assert config["key.converter"] == "org.apache.kafka.connect.storage.StringConverter"
    assert config["value.converter.schemas.enable"] == "false"
    assert config["transforms"] == "route,last" and config["predicates"] == "orders"
    assert config["transforms.route.predicate"] == "orders"
    assert "q.public.orders" in topics(stack)
    assert connector(stack).origin.sources["/config/transforms"] == "connector"
    (place, whole) = (connector(stack).origin.at(f"/config/transforms{key}") for key in (".route.regex", ""))
    assert place and whole and place.line > whole.line


def test_a_setting_is_said_once(tmp_path: Path) -> None:
    (problem,) = told(
        tmp_path, block(tables=["orders"], converters={"key": "json"}, config={"key.converter": "org.example.Other"})
    )
    assert problem.code == "K211" and "`converters:`" in problem.detail


def test_a_secret_in_a_map_stays_secret(tmp_path: Path) -> None:
    value = {"class": "org.example.Avro", "basic.auth.password": "of-the-registry"}
    (problem,) = told(tmp_path, block(tables=["orders"], converters={"value": value}))
    assert problem.code == "K210" and problem.span and "of-the-registry" not in problem.detail


CONFIGS: list[dict[str, Any]] = [
    {},
    {"a": "1"},
    {"key.converter": "org.apache.kafka.connect.json.JsonConverter", "key.converter.schemas.enable": False},
    {"key.converter.schemas.enable": False},
    {"key.converter": "x.Y", "key.converter.class": "odd"},
    {"transforms": "a,b", "transforms.a.type": "X", "transforms.b.type": "Y", "transforms.b.field": 3},
    {"transforms": "a, b", "transforms.a.type": "X", "transforms.b.type": "Y"},
    {"transforms": "a,a", "transforms.a.type": "X"},
    {"transforms": "", "transforms.a.type": "X"},
    {"transforms": "a", "transforms.a.type": "X", "transforms.old.type": "Y"},
    {"transforms": "a,a.b", "transforms.a.type": "X", "transforms.a.b.type": "Y"},
    {"transforms": "a", "transforms.a.type": "X", "predicates": "p", "predicates.p.type": "P"},
    {"transforms": None, "value.converter": None},
]


@pytest.mark.parametrize("config", CONFIGS, ids=str)
def test_what_is_written_as_maps_are_the_same_settings(config: dict[str, Any]) -> None:
    block = shorten(config)
    again = {**block.get("config", {}), **{setting.key: setting.value for setting in list_settings(block)}}
    assert again == config


def test_settings_of_a_transform_that_does_not_run_stay_as_they_are() -> None:
    config = {"transforms": "a", "transforms.a.type": "X", "transforms.old.type": "Y"}
    assert shorten(config) == {"config": config}
