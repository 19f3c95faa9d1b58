"""What connectors and their tables' topics get from `defaults.connector`, `defaults` and `template_defaults`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from kplan.model import Address
from tests.unit.kinds.connector.test_expansion import LOGIN, block, connector, expanded, told, topics

JSON = "org.apache.kafka.connect.json.JsonConverter"
STRING = "org.apache.kafka.connect.storage.StringConverter"


def written(*, database: Any = None, **more: Any) -> dict[str, Any]:
    return {"template": "debezium-postgres", "topic_prefix": "p", "database": database or {"name": "shop"}, **more}


def test_connectors_share_login_history_and_config(tmp_path: Path) -> None:
    mysql = {
        **written(database={"name": "crm", "hostname": "other"}),
        "template": "debezium-mysql",
        "topic_prefix": "m",
    }
    shared = {"database": LOGIN, "history_bootstrap": "kafka:9092", "config": {"key.converter": JSON, "a.b": 1}}
    first = written(config={"a.b": 2, "key.converter": None}, tables=["orders"])
    stack = expanded(tmp_path, first, {**mysql, "tables": ["t"]}, defaults={"connector": shared})
    one, other = connector(stack), connector(stack, "c1")
    assert one.config["database.hostname"] == "h" and other.config["database.hostname"] == "other"
    assert one.config["a.b"] == "2" and other.config["a.b"] == "1"
    assert "key.converter" not in one.config and other.config["key.converter"] == JSON
    assert "schema.history.internal.kafka.bootstrap.servers" not in one.config
    assert other.config["schema.history.internal.kafka.bootstrap.servers"] == "kafka:9092"
    sources = (one.origin.sources["/config/a.b"], other.origin.sources["/config/a.b"])
    assert sources == ("connector", "stack defaults")


def test_a_problem_of_a_default_is_at_its_line(tmp_path: Path) -> None:
    shared = {"config": {"a": {"b": 1}}}
    (problem,) = told(tmp_path, block(tables=["orders"]), defaults={"connector": shared})
    assert problem.code == "K106" and problem.span and problem.span.line == 7
    secret = {"config": {"producer.sasl.password": "of-the-broker"}}
    (problem,) = told(tmp_path, block(tables=["orders"]), defaults={"connector": secret})
    assert problem.code == "K210" and problem.span and problem.span.line == 6


SHARED = {
    "cdc": {"database": LOGIN, "config": {"a.b": 1, "value.converter": JSON}, "converters": {"key": "string"}},
    "raw": {"config": {"connector.class": "org.example.Sink", "x": "t"}},
}


def test_a_connector_has_the_settings_of_its_class_over_the_defaults_and_under_its_own(tmp_path: Path) -> None:
    defaults = {"connector": {"config": {"a.b": 0, "c": 3}, "restart": "always"}}
    first = written(**{"class": "cdc"}, database={"name": "s", "user": "own"}, tables=["orders"], config={"d": 4})
    stack = expanded(tmp_path, first, {"class": "raw"}, connector_classes=SHARED, defaults=defaults)
    one, other = connector(stack), connector(stack, "c1")
    shown = [one.config[key] for key in ("database.hostname", "database.user", "a.b", "c", "d", "value.converter")]
    assert shown == ["h", "own", "1", "3", "4", JSON] and one.config["key.converter"] == STRING
    assert one.config["connector.class"] == "io.debezium.connector.postgresql.PostgresConnector"
    assert (other.java_class, other.config["x"], other.config["a.b"]) == ("org.example.Sink", "t", "0")
    sources = [one.origin.sources[f"/config/{key}"] for key in ("a.b", "c", "d", "key.converter")]
    assert sources == ["class cdc", "stack defaults", "connector", "class cdc"]


def test_a_setting_of_the_class_in_another_form_is_overridden_and_taken_away(tmp_path: Path) -> None:
    own = {"tables": ["orders"], "class": "cdc"}
    stack = expanded(
        tmp_path,
        written(**own, converters={"value": "string"}, config={"key.converter": JSON}),
        written(**own, database={"name": "b"}, config={"key.converter": None, "value.converter": None}, slot="b")
        | {"topic_prefix": "q"},
        connector_classes=SHARED,
    )
    one, other = connector(stack), connector(stack, "c1")
    assert (one.config["key.converter"], one.config["value.converter"]) == (JSON, STRING)
    assert not {"key.converter", "value.converter"} & other.config.keys()


def test_each_item_of_a_loop_may_name_its_class(tmp_path: Path) -> None:
    blocks = {"for_each": {"a": "small", "b": "large"}, "class": "{{ each.value }}", "name": "{{ each.key }}"}
    classes = {name: {"config": {"connector.class": "org.example.Sink", "x": name}} for name in ("small", "large")}
    stack = expanded(tmp_path, blocks, connector_classes=classes)
    assert [connector(stack, name).config["x"] for name in ("a", "b")] == ["small", "large"]


@pytest.mark.parametrize(
    ("name", "help"),
    [
        ("cdd", "did you mean `cdc`?"),
        ("other", "`connector_classes:` has cdc, raw; a Java class has a dot or begins with a capital letter"),
    ],
)
def test_an_unknown_class_is_an_error_at_its_place(name: str, help: str, tmp_path: Path) -> None:
    (problem,) = told(tmp_path, block(**{"class": name}, tables=["orders"]), connector_classes=SHARED)
    assert (problem.code, problem.detail, problem.help) == ("K117", name, help)
    assert problem.span and problem.span.line == 27 and problem.span.column == 12


@pytest.mark.parametrize("java_class", ["org.example.sink", "FileStreamSink", "org.example.Sink"])
def test_a_name_with_a_dot_or_a_capital_is_a_java_class(java_class: str, tmp_path: Path) -> None:
    stack = expanded(tmp_path, {"class": java_class}, connector_classes=SHARED)
    assert connector(stack).java_class == java_class


def test_a_problem_of_a_class_is_at_its_line(tmp_path: Path) -> None:
    secret = {"cdc": {"config": {"producer.sasl.password": "of-the-broker"}}}
    (problem,) = told(tmp_path, block(**{"class": "cdc"}, tables=["orders"]), connector_classes=secret)
    assert problem.code == "K210" and problem.span and problem.span.line == 6
    unused = {"cdc": {"server_id": 7}}
    (problem,) = told(tmp_path, block(**{"class": "cdc"}, tables=["orders"]), connector_classes=unused)
    assert (problem.code, problem.summary) == ("K206", "unknown key of `connector_classes.cdc`")
    (problem,) = told(tmp_path, block(tables=["orders"]), connector_classes={"a.B": {}})
    assert problem.code == "K106" and "a Java class looks different" in problem.help


def test_a_default_that_no_connector_can_take_is_an_error(tmp_path: Path) -> None:
    shared = {"server_id": 7, "restart": "always"}
    (problem,) = told(tmp_path, block(tables=["orders"]), defaults={"connector": shared})
    assert problem.code == "K206" and problem.detail.startswith("server_id: ")


def test_what_neither_the_block_nor_the_defaults_say_is_missing(tmp_path: Path) -> None:
    problems = told(tmp_path, written(tables=["orders"]), defaults={"connector": {"database": {"user": "u"}}})
    assert [problem.detail.rpartition(" ")[2] for problem in problems] == ["`database.hostname`", "`database.password`"]
    problems = told(tmp_path, written(tables=["orders"]))
    assert {(p.code, p.summary) for p in problems} == {("K106", "a key is missing")}


def test_tables_have_the_defaults_of_their_connector(tmp_path: Path) -> None:
    defaults = {
        "topic": {"partitions": 3, "config": {"retention.ms": "3d"}},
        "tables": {"audit_.*": {"partitions": 9}, r"public\.audit_log": {"config": {"retention.ms": "90d"}}},
    }
    tables = {"orders": {"partitions": 6}, "customers": None, "audit_log": None}
    found = topics(
        expanded(tmp_path, block(tables=tables, defaults=defaults), defaults={"topic": {"replication_factor": 3}})
    )
    shown = {
        name: (found[f"p.public.{name}"].partitions, found[f"p.public.{name}"].config["retention.ms"])
        for name in tables
    }
    assert shown == {"orders": (6, "259200000"), "customers": (3, "259200000"), "audit_log": (9, "7776000000")}
    assert {topic.replication_factor for topic in found.values()} == {3}
    assert found["__debezium-heartbeat.p"].partitions == 1


def test_a_pattern_that_no_table_takes_is_a_warning(tmp_path: Path) -> None:
    defaults = {"tables": {"audit": {"partitions": 9}, "(": {"partitions": 9}}}
    problems = told(tmp_path, block(tables=["orders", "audit_log"], defaults=defaults))
    assert [(problem.code, problem.is_error) for problem in problems] == [("K258", False), ("K203", True)]


def test_without_its_defaults_a_template_sets_what_the_block_says(tmp_path: Path) -> None:
    stack = expanded(tmp_path, block(tables=["orders"], template_defaults=False, decimals="string"))
    assert connector(stack).config.keys() == {
        "connector.class", "topic.prefix", "tasks.max", "decimal.handling.mode", "table.include.list",
        "database.hostname", "database.port", "database.dbname", "database.user", "database.password",
    }  # fmt: skip
    assert Address("topic", "__debezium-heartbeat.p") not in stack.resources
    mysql = connector(expanded(tmp_path, block("debezium-mysql", tables=["orders"], template_defaults=False)))
    assert {key for key in mysql.config if key.startswith("schema.history")} == {
        "schema.history.internal.kafka.topic",
        "schema.history.internal.kafka.bootstrap.servers",
    }


@pytest.mark.parametrize("value", ["maybe", 1])
def test_whether_the_defaults_count_is_yes_or_no(value: Any, tmp_path: Path) -> None:
    (problem,) = told(tmp_path, block(tables=["orders"], template_defaults=value))
    assert problem.code == "K106"
