"""Fields of schemas, and what differs between two."""

from __future__ import annotations

import json
from typing import Any

import pytest

from kplan.kinds.subject.fields import FieldChange, compare_fields, list_fields


def record(*fields: Any, name: str = "Order") -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": [{"name": n, "type": t, **more} for n, t, more in fields]}


AVRO = record(
    ("id", "long", {}),
    ("note", ["null", "string"], {"default": None}),
    ("channel", "string", {"default": "wéb"}),
    ("address", record(("street", {"type": "string"}, {}), name="Address"), {}),
    ("billing", ["null", "Address"], {}),
    ("items", {"type": "array", "items": record(("price", "double", {}), name="Item")}, {}),
    ("labels", {"type": "map", "values": record(("text", "string", {}), name="Label")}, {}),
    ("at", {"type": "long", "logicalType": "timestamp-millis"}, {}),
    ("total", {"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}, {}),
    ("created", {"type": "long", "connect.name": "io.debezium.time.MicroTimestamp"}, {}),
    ("status", {"type": "enum", "name": "Status", "symbols": ["NEW", "PAID"]}, {}),
    ("hash", {"type": "fixed", "name": "Hash", "size": 16}, {}),
    ("parent", ["null", "Order"], {}),
)
AVRO_FIELDS = {
    "id": "long",
    "note": "null | string, default null",
    "channel": 'string, default "wéb"',
    "address": "record Address",
    "address.street": "string",
    "billing": "null | Address",
    "items": "array of record Item",
    "items[].price": "double",
    "labels": "map of record Label",
    "labels{}.text": "string",
    "at": "timestamp-millis (long)",
    "total": "decimal (bytes precision 10 scale 2)",
    "created": "io.debezium.time.MicroTimestamp (long)",
    "status": "enum Status (NEW, PAID)",
    "hash": "fixed Hash of 16 bytes",
    "parent": "null | Order",
}
JSON_SCHEMA = {
    "type": "object",
    "required": ["id"],
    "properties": {
        "id": {"type": "integer"},
        "note": {"type": ["string", "null"], "default": None},
        "at": {"type": "string", "format": "date-time"},
        "address": {"type": "object", "required": ["street"], "properties": {"street": {"type": "string"}}},
        "items": {"type": "array", "items": {"type": "object", "properties": {"price": {"type": "number"}}}},
        "status": {"enum": ["NEW", "PAID"]},
        "other": {"$ref": "other.json"},
        "any": True,
    },
}
JSON_FIELDS = {
    "id": "integer, required",
    "note": "string | null, default null",
    "at": 'string, format "date-time"',
    "address": "object",
    "address.street": "string, required",
    "items": "array",
    "items[].price": "number",
    "status": 'any, enum ["NEW", "PAID"]',
    "other": "other.json",
    "any": "true",
}
PROTO = """
syntax = "proto3"; package shop;
import "google/protobuf/timestamp.proto";
option java_package = "shop";
/* message Old { string gone = 1; } */
message Order {
  option deprecated = true;
  reserved 2, 15; reserved "old";
  string id = 1; // the key
  repeated Item items = 3;
  optional int64 total = 4 [deprecated = true, (shop.limits) = {max: 5}];
  map<string, int32> labels = 5;
  google.protobuf.Timestamp at = 6;
  oneof payment { string card = 7; bool cash = 8; }
  message Item { double price = 1; string note = 2 [default = "a; b = 3 } // "]; }
  enum Status { UNKNOWN = 0; GONE = -1; }
}
extend Order { string more = 100; }
service Orders { rpc Get(Order) returns (Order) { option x = 1; } }
"""
PROTO_FIELDS = {
    "Order.id": "string = 1",
    "Order.items": "repeated Item = 3",
    "Order.total": "optional int64 = 4",
    "Order.labels": "map<string, int32> = 5",
    "Order.at": "google.protobuf.Timestamp = 6",
    "Order.card": "string = 7",
    "Order.cash": "bool = 8",
    "Order.Item.price": "double = 1",
    "Order.Item.note": "string = 2",
    "Order.Status.UNKNOWN": "= 0",
    "Order.Status.GONE": "= -1",
    "Order.more": "string = 100",
}


@pytest.mark.parametrize(
    ("schema_type", "text", "fields"),
    [
        ("avro", json.dumps(AVRO), AVRO_FIELDS),
        ("json", json.dumps(JSON_SCHEMA), JSON_FIELDS),
        ("protobuf", PROTO, PROTO_FIELDS),
    ],
)
def test_fields_are_flattened_in_their_order(schema_type: str, text: str, fields: dict[str, str]) -> None:
    assert list(list_fields(schema_type, text).items()) == list(fields.items())


@pytest.mark.parametrize(
    ("schema_type", "text"),
    [
        ("avro", '"string"'),
        ("avro", '{"type": "record", "fields": [{"type": "int"}]}'),
        ("avro", '{"type": "record", "fields": [1]}'),
        ("avro", '{"type": "record", "fields": 1}'),
        ("avro", "{"),
        ("json", "true"),
        ("json", '{"properties": [], "required": 1, "items": [{}]}'),
        ("protobuf", "= 1; { = 2; } option a = 1;"),
    ],
)
def test_a_text_without_fields_has_none(schema_type: str, text: str) -> None:
    assert list_fields(schema_type, text) == {}


def test_fields_that_differ_are_shown_and_those_that_are_gone_are_last() -> None:
    old = record(("id", "int", {}), ("gone", "string", {}), ("same", "string", {}), ("level", "int", {"default": 0}))
    new = record(("new", "string", {}), ("id", "long", {}), ("same", "string", {}), ("level", "int", {"default": 1}))
    assert compare_fields("avro", json.dumps(old), json.dumps(new)) == (
        FieldChange("new", None, "string"),
        FieldChange("id", "int", "long"),
        FieldChange("level", "int, default 0", "int, default 1"),
        FieldChange("gone", "string", None),
    )


def test_equal_schemas_differ_in_no_field() -> None:
    assert compare_fields("avro", json.dumps(AVRO), json.dumps(AVRO, indent=2)) == ()
    assert compare_fields("protobuf", PROTO, PROTO.replace("// the key", "")) == ()


def test_another_number_is_another_field() -> None:
    changes = compare_fields("protobuf", PROTO, PROTO.replace("id = 1", "id = 20"))
    assert changes == (FieldChange("Order.id", "string = 1", "string = 20"),)
