"""What is predicted of tables, and how it takes its place in what is registered."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kplan.kinds.connector.debezium.engines.mariadb import MARIADB
from kplan.kinds.connector.debezium.engines.postgres import POSTGRES
from kplan.kinds.connector.debezium.prediction.grafts import graft_key, graft_value
from kplan.kinds.connector.debezium.prediction.parts import PredictedSchema, predict_parts
from kplan.kinds.connector.debezium.prediction.predict import predict, writes_avro
from kplan.kinds.connector.debezium.prediction.structure import Column, Prediction, TableStructure
from kplan.kinds.subject.avro import parse_avro
from kplan.model import Connector

ORDERS = TableStructure(
    "public.orders", (Column("id", "integer", False), Column("note", "text"), Column("2nd-name", "text")), ("id",)
)
AVRO = "io.confluent.connect.avro.AvroConverter"
ENVELOPE = {
    "type": "record",
    "name": "Envelope",
    "namespace": "shop.public.orders",
    "fields": [
        {"name": "before", "type": ["null", {"type": "record", "name": "Value",
                                             "connect.name": "shop.public.orders.Value",
                                             "fields": [{"name": "id", "type": "int"}]}], "default": None},
        {"name": "after", "type": ["null", "Value"], "default": None},
        {"name": "source", "type": {"type": "record", "name": "Source", "fields": []}},
        {"name": "op", "type": "string"},
    ],
}  # fmt: skip


def make_connector(**config: str) -> Connector:
    usual = {"connector.class": POSTGRES.java_class, "topic.prefix": "shop", "value.converter": AVRO}
    return Connector("shop", usual | {key.replace("_", "."): value for key, value in config.items()})


def predict_column(column: Column, **config: str) -> Prediction:
    return predict(TableStructure("public.t", (column,), ()), make_connector(**config))


def list_gaps(*tables: TableStructure, **config: str) -> list[str]:
    return [each for each in predict_parts(make_connector(**config), tables, {}) if isinstance(each, str)]


def test_fields_have_adjusted_names_where_the_connector_adjusts_them() -> None:
    names = [name for name, _ in predict(ORDERS, make_connector(field_name_adjustment_mode="avro")).value]
    assert names == ["id", "note", "_2nd_name"]
    assert [name for name, _ in predict(ORDERS, make_connector()).value] == ["id", "note", "2nd-name"]


def test_columns_that_the_connector_leaves_out_are_in_no_schema() -> None:
    found = predict(ORDERS, make_connector(column_exclude_list=r"public\.orders\.(id|2nd-.*)"))
    assert [name for name, _ in found.value] == ["note"]
    assert found.key is None and found.missing_key == "column id of the primary key is not predicted"


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (Column("c", "geography(Point,4326)"), "type geography(Point,4326)"),
        (Column("c", "public.vector(3)"), "type vector"),
        (Column("c", "public.geometry[]"), "type public.geometry[]"),
        (Column("c", "date", default="'tomorrow'::date"), "default 'tomorrow'::date"),
        (Column("c", "timestamp without time zone", default="'infinity'::timestamp"), "default 'infinity'::timestamp"),
        (Column("c", "numeric(5,2)", default="'NaN'::numeric"), "default 'NaN'::numeric"),
        (Column("c", "integer", default="length('abc')+1"), None),
        (Column("c", "bit(3)", default="f()"), "default f()"),
        (Column("c", "interval", default="f()"), "default f()"),
        (Column("c", "public.d", user_type="domain", base="mood"), "domain public.d is of type mood"),
    ],
)
def test_columns_that_are_not_known_for_certain_are_named(column: Column, reason: str | None) -> None:
    assert predict_column(column).missing == ({"c": reason} if reason else {})


@pytest.mark.parametrize(
    ("kind", "reason"),
    [("inet6", "type inet6"), ("vector(3)", "type vector(3)"), ("serial", "type serial")],
)
def test_columns_of_mariadb_that_are_not_known_are_named(kind: str, reason: str) -> None:
    assert predict_column(Column("c", kind), connector_class=MARIADB.java_class).missing == {"c": reason}


def test_a_connector_that_changes_its_records_is_not_predicted() -> None:
    unwrap = {"transforms": "a", "transforms_a_type": "io.debezium.transforms.ExtractNewRecordState"}
    assert list_gaps(ORDERS, **unwrap) == ["transform a changes the records"]
    assert list_gaps(ORDERS, converters="isbn") == ["converters isbn change columns"]
    assert list_gaps(ORDERS, time_precision_mode="fortnights") == ["time.precision.mode: fortnights"]
    assert list_gaps(ORDERS, field_name_adjustment_mode="avro_unicode") == ["field.name.adjustment.mode: avro_unicode"]
    strategy = Connector("s", {**make_connector().config, "value.converter.value.subject.name.strategy": "X"})
    assert list(predict_parts(strategy, [ORDERS], {})) == [
        "value.converter.value.subject.name.strategy names the subjects"
    ]


def test_routed_topics_give_the_subjects_and_what_is_not_captured_gives_none() -> None:
    route = {"transforms": "r", "transforms_r_type": "org.apache.kafka.connect.transforms.RegexRouter",
             "transforms_r_regex": "shop.public.(.*)", "transforms_r_replacement": "t.$1"}  # fmt: skip
    other = TableStructure("public.other", ORDERS.columns, ("id",))
    connector = make_connector(**route, table_include_list="public.orders")
    parts = [each for each in predict_parts(connector, [ORDERS, other], {}) if isinstance(each, PredictedSchema)]
    assert [each.subject for each in parts] == ["t.orders-value", "t.orders-key"]


def test_what_is_listed_and_not_there_and_what_may_be_about_any_table_is_named() -> None:
    gone = list_gaps(ORDERS, table_include_list=r"public.orders,public\.gone,public.some.*")
    assert gone == ["public.gone: it is not there"]
    assert list(predict_parts(make_connector(), [], {"": "f.sql:1:2"})) == ["f.sql:1:2"]


def test_tables_without_key_and_with_keys_of_the_connector_have_no_predicted_key() -> None:
    assert list_gaps(TableStructure("public.t", ORDERS.columns)) == ["public.t: key, it has no primary key"]
    given = list_gaps(ORDERS, message_key_columns="public.orders:note")
    assert given == ["public.orders: key, message.key.columns gives keys to tables"]
    assert list(predict_parts(make_connector(), [ORDERS], {"public.orders": "f.sql:1:2"})) == [
        "public.orders: f.sql:1:2"
    ]


def test_fields_take_their_place_in_the_registered_envelope() -> None:
    grafted = json.loads(graft_value(json.dumps(ENVELOPE), predict(ORDERS, make_connector()).value) or "")
    row = grafted["fields"][0]["type"][1]
    assert row["fields"][0] == {"name": "id", "type": "int"}
    assert row["fields"][1] == {"name": "note", "type": ["null", "string"], "default": None}
    assert row["connect.name"] == "shop.public.orders.Value"
    assert grafted["fields"][1:] == ENVELOPE["fields"][1:]


@pytest.mark.parametrize("registered", ["{}", "no json", '"string"', '{"type": "record", "name": "R", "fields": []}'])
def test_a_schema_that_is_no_envelope_takes_no_fields(registered: str) -> None:
    assert graft_value(registered, predict(ORDERS, make_connector()).value) is None


def test_a_key_takes_its_fields() -> None:
    key = predict(ORDERS, make_connector()).key
    assert key is not None
    registered = {"type": "record", "name": "Key", "namespace": "shop", "fields": []}
    assert json.loads(graft_key(json.dumps(registered), key) or "") == registered | {
        "fields": [{"name": "id", "type": "int"}]
    }
    assert graft_key('"int"', key) is None


def test_records_of_debezium_are_those_of_the_version_that_registered() -> None:
    """A circle was registered with the point inside it; its column goes, and the point comes where it is first."""
    point = {"type": "record", "name": "Point", "namespace": "io.debezium.data.geometry", "fields": [
        {"name": "x", "type": "double"}]}  # fmt: skip
    circle = {"type": "record", "name": "Circle", "namespace": "io.debezium.data.geometry", "fields": [
        {"name": "center", "type": "Point"}]}  # fmt: skip
    envelope: dict[str, Any] = json.loads(json.dumps(ENVELOPE))
    envelope["fields"][0]["type"][1]["fields"] = [{"name": "p", "type": point}, {"name": "c", "type": circle}]
    columns = (Column("c", "circle", False), Column("p", "point", False))
    text = graft_value(json.dumps(envelope), predict(TableStructure("t", columns), make_connector()).value)
    assert text is not None
    parse_avro(text)
    fields = json.loads(text)["fields"][0]["type"][1]["fields"]
    assert fields[0]["type"]["fields"] == [{"name": "center", "type": point}]
    assert fields[1]["type"] == "io.debezium.data.geometry.Point"


def test_only_converters_of_avro_are_predicted() -> None:
    assert writes_avro(make_connector())
    assert not writes_avro(make_connector(value_converter="org.apache.kafka.connect.json.JsonConverter"))
    assert not writes_avro(make_connector(connector_class="io.debezium.connector.oracle.OracleConnector"))
