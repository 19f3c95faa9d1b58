"""Texts of schemas: mistakes with their places, normalized texts, and hostile texts."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.kinds.subject.compatibility import check_compatibility
from kplan.kinds.subject.fields import list_fields
from kplan.kinds.subject.schemas import (
    SCHEMA_TYPES,
    SchemaProblem,
    check_schema,
    find_type,
    fingerprint,
    normalize,
)
from tests.examples import examples

PROTO = """syntax = "proto3";
/* the
   shop */
message Order {
  string id = 1; // the key
}
"""


def record(fields: str) -> str:
    return '{"type": "record", "name": "Order",\n "fields": [\n' + fields + "]}"


def read_problem(schema_type: str, text: str, *names: str) -> tuple[int, int, str]:
    """Return the place and the message of what is wrong with a text."""
    with pytest.raises(SchemaProblem) as caught:
        check_schema(schema_type, text, names)
    return caught.value.line, caught.value.column, str(caught.value)


@pytest.mark.parametrize(
    ("file", "schema_type"),
    [
        ("schemas/order.avsc", "avro"),
        ("order.avro", "avro"),
        ("order.v1.json", "json"),
        ("order.proto", "protobuf"),
        ("order.txt", ""),
        ("json", ""),
    ],
)
def test_a_suffix_says_the_type(file: str, schema_type: str) -> None:
    assert find_type(file) == schema_type


# -- Avro ------------------------------------------------------------------------------------------------------------
WRONG_AVRO: Mapping[str, tuple[str, int, int, str]] = {
    "no JSON": ('{"type":\n', 2, 1, "it is not JSON"),
    "a comma too many": ('{"type": "string",}', 1, 19, "it is not JSON"),
    "empty": ("", 1, 1, "it is not JSON"),
    "a byte order mark": ("\ufeff{}", 1, 1, "it is not JSON"),
    "a key twice": ('{"type": "string",\n "type": "int"}', 2, 2, "one object has 'type' twice"),
    "a key twice within": (record('{"name": "x", "type": "int",\n "name": "y"}'), 4, 2, "one object has 'name' twice"),
    "not a number": (record('{"name": "x", "type": "double", "default": NaN}'), 1, 1, "NaN is not JSON"),
    "a number": ("1", 1, 1, "a type is a name, an object or a list"),
    "null": ("null", 1, 1, "a type is a name, an object or a list"),
    "an unknown type": (record('{"name": "x", "type": "lnog"}'), 3, 23, "there is no type 'lnog'"),
    "an unknown branch": (record('{"name": "x", "type": ["null", "lnog"]}'), 3, 32, "there is no type 'lnog'"),
    "no type": ('{"name": "x"}', 1, 1, "it has no `type`"),
    "no type of a field": (record('{"name": "x"}'), 3, 1, "field x needs a `type`"),
    "no name": ('{"type": "record", "fields": []}', 1, 1, "a record needs a `name`"),
    "a bad name": ('{"type": "record", "name": "a-b", "fields": []}', 1, 28, "a record needs a `name`"),
    "a bad name of a field": (record('{"name": "a-b", "type": "int"}'), 3, 10, "'a-b' is not a name"),
    "a dotted name of a field": (record('{"name": "a.b", "type": "int"}'), 3, 10, "'a.b' is not a name"),
    "no name of a field": (record('{"type": "int"}'), 3, 1, "a field needs a `name`"),
    "no fields": ('{"type": "record", "name": "Order"}', 1, 1, "a record needs `fields`"),
    "a field twice": (record('{"name": "x", "type": "int"},\n{"name": "x", "type": "int"}'), 4, 10,
                      "field x is there twice"),
    "a name twice": (record('{"name": "x", "type": {"type": "fixed",\n "name": "Order", "size": 1}}'), 4, 10,
                     "Order is defined twice"),
    "no items": ('{"type": "array"}', 1, 1, "an Avro array needs `items`"),
    "no values": ('{"type": "map", "items": "int"}', 1, 1, "an Avro map needs `values`"),
    "no symbols": ('{"type": "enum", "name": "E"}', 1, 1, "an enum needs `symbols`"),
    "a bad symbol": ('{"type": "enum", "name": "E", "symbols": ["A", "b-c"]}', 1, 48, "'b-c' is not a symbol"),
    "a symbol twice": ('{"type": "enum", "name": "E", "symbols": ["A", "A"]}', 1, 48, "A is there twice"),
    "a default that is no symbol": ('{"type": "enum", "name": "E", "symbols": ["A"],\n"default": "B"}', 2, 12,
                                    "the default 'B' is not a symbol"),
    "no size": ('{"type": "fixed", "name": "F"}', 1, 1, "a fixed needs `size`"),
    "a size that is none": ('{"type": "fixed", "name": "F", "size": true}', 1, 40, "a fixed needs `size`"),
    "a union in a union": ('["null", ["int"]]', 1, 10, "a union cannot hold another union"),
    "a type twice in a union": ('["null", "int", {"type": "int"}]', 1, 17, "the union has int twice"),
    "a name twice in a union": (record('{"name": "x", "type": ["Order", "null", "Order"]}'), 3, 41,
                                "the union has Order twice"),
    "a text as number": (record('{"name": "x", "type": "int", "default": "0"}'), 3, 41, "the default of x"),
    "a default too large": (record('{"name": "x", "type": "int", "default": 2147483648}'), 3, 41, "the default of x"),
    "null without null": (record('{"name": "x", "type": ["int", "string"], "default": null}'), 3, 53,
                          "the default of x"),
    "a wrong item": (record('{"name": "x", "type": {"type": "array", "items": "int"}, "default": ["a"]}'), 3, 69,
                     "the default of x"),
    "a wrong symbol": (
        record('{"name": "x", "type": {"type": "enum", "name": "E", "symbols": ["A"]}, "default": "B"}'), 3, 83,
        "the default of x"),
    "bytes beyond a byte": (record('{"name": "x", "type": "bytes", "default": "\u0100"}'), 3, 43, "the default of x"),
    "a type of another namespace": (
        record('{"name": "x", "type": {"type": "fixed", "name": "a.F", "size": 1}},\n{"name": "y", "type": "F"}'),
        4, 23, "there is no type 'F'"),
    "too deep": ("[" * 99 + '"int"' + "]" * 99, 1, 2, "a union cannot hold another union"),
    "too deep for all": ('{"type": "array", "items": ' * 101 + '"int"' + "}" * 101, 1, 2728, "it is nested more than"),
}  # fmt: skip


@pytest.mark.parametrize(("text", "line", "column", "message"), WRONG_AVRO.values(), ids=WRONG_AVRO)
def test_a_mistake_has_its_place(text: str, line: int, column: int, message: str) -> None:
    found = read_problem("avro", text)
    assert found[:2] == (line, column), found
    assert message in found[2]


RIGHT_AVRO: Mapping[str, str] = {
    "a primitive": '"string"',
    "an object with a primitive": '{"type": "string"}',
    "a union": '["null", "int"]',
    "arrays and maps in one union": '[{"type": "array", "items": "int"}, {"type": "map", "values": "int"}]',
    "two records in one union": '[{"type": "record", "name": "A", "fields": []}, '
                                '{"type": "record", "name": "B", "fields": []}]',
    "a type that holds itself": record('{"name": "x", "type": ["null", "Order"], "default": null}'),
    "a default of any branch": record('{"name": "x", "type": ["null", "int"], "default": 1}'),
    "an unknown logical type": '{"type": "long", "logicalType": "shop-time"}',
    "a decimal": '{"type": "bytes", "logicalType": "decimal", "precision": 10, "scale": 2}',
    "a decimal without precision": '{"type": "bytes", "logicalType": "decimal"}',
    "a name with its namespace": '{"type": "record", "name": "a.b.C", "fields": '
                                 '[{"name": "x", "type": ["null", "C"]}]}',
    "a name in the namespace": '{"type": "record", "name": "C", "namespace": "a", "fields": '
                               '[{"name": "x", "type": ["null", "a.C"]}]}',
    "a default of a record": record(
        '{"name": "x", "type": {"type": "record", "name": "I", "fields": [{"name": "y", "type": "int"}]}, '
        '"default": {"y": 1}}'),
    "what Connect adds": record('{"name": "x", "type": {"type": "string", "connect.default": "a", '
                                '"connect.parameters": {"type": {"a": "b"}}}, "default": "a"}'),
}  # fmt: skip


@pytest.mark.parametrize("text", RIGHT_AVRO.values(), ids=RIGHT_AVRO)
def test_a_schema_has_no_problem(text: str, recwarn: pytest.WarningsRecorder) -> None:
    check_schema("avro", text)
    assert not recwarn.list


MONEY = '{"type": "record", "name": "common.Money", "fields": [{"name": "c", "type": "common.Code"}]}'
CODE = '{"type": "fixed", "name": "common.Code", "size": 3}'
NESTED = '{"type": "record", "name": "common.Money", "fields": [{"name": "c", "type": ' + CODE + "}]}"


def test_names_of_references_are_known() -> None:
    text = record('{"name": "x", "type": "common.Money"}')
    assert read_problem("avro", text)[:2] == (3, 23)
    check_schema("avro", text, ["common.Money"])
    for texts in ([MONEY, CODE], [CODE, MONEY]):
        check_schema("avro", text, ["common.Money", "common.Code"], texts)


def test_types_inside_of_a_reference_are_known() -> None:
    text = record('{"name": "x", "type": "common.Money"}, {"name": "y", "type": "common.Code"}')
    check_schema("avro", text, ["common.Money"], [NESTED])
    check_schema("avro", text, ["common.Money"])  # of a reference whose text is not here, the registry knows the types
    with pytest.raises(SchemaProblem, match=r"there is no type 'common\.Other'"):
        check_schema("avro", text.replace("common.Code", "common.Other"), ["common.Money"], [NESTED])


def test_a_name_of_a_reference_cannot_be_defined_again() -> None:
    with pytest.raises(SchemaProblem, match=r"common\.Code is defined twice"):
        check_schema("avro", CODE, ["common.Code"], [CODE])


# -- JSON Schema, protobuf -------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    "text", ['{"$schema": ""}', '{"$id": "::"}', '{"$schema": "http://json-schema.org/draft-07/schema#"}']
)
def test_what_depends_on_optional_packages_of_jsonschema_refuses_nothing(text: str) -> None:
    refusals = []
    try:
        check_schema("json", text)
    except SchemaProblem as problem:
        refusals.append(str(problem))
    assert refusals == []


@pytest.mark.parametrize(
    ("schema_type", "text", "line", "column", "message"),
    [
        ("json", '{"type":\n "objekt"}', 2, 2, "/type: 'objekt' is not valid"),
        ("json", '{"properties":\n {"a/b": {"type": 1}}}', 2, 19, "/properties/a~1b/type: 1 is not valid"),
        ("json", '{"required": "x"}', 1, 14, "/required: 'x' is not of type 'array'"),
        ("json", "[]", 1, 1, "a JSON Schema is an object"),
        ("json", '{"$schema": ["a"]}', 1, 13, "/$schema: it is the address"),
        ("json", '{"a": 1,\n  "a": 1}', 2, 3, "one object has 'a' twice"),
        ("json", '{"a": }', 1, 7, "it is not JSON"),
        ("protobuf", "", 1, 1, "it has neither a message nor an enum"),
        ("protobuf", "// message A {}", 1, 1, "it has neither a message nor an enum"),
        ("protobuf", PROTO + "}", 7, 1, "a } without its {"),
        ("protobuf", PROTO + "\n message B {\n", 8, 12, "a { is not closed"),
        ("protobuf", 'message A { string a = 1 [json_name = "a];\n }', 1, 39, "a text without its end"),
        ("protobuf", "message A { repeated string a = 1 [packed = true; }", 1, 51, "a } without its {"),
        ("xml", "<a/>", 1, 1, "'xml' is not a type of schemas"),
    ],
)
def test_a_mistake_of_other_types_has_its_place(
    schema_type: str, text: str, line: int, column: int, message: str
) -> None:
    found = read_problem(schema_type, text)
    assert found[:2] == (line, column), found
    assert message in found[2]


@pytest.mark.parametrize(
    ("schema_type", "text"),
    [
        ("json", "{}"),
        ("json", "true"),
        ("json", '{"type": "object", "properties": {"a": {"$ref": "other.json"}}}'),
        ("json", '{"$schema": "http://json-schema.org/draft-04/schema#", "minimum": 1, "exclusiveMinimum": true}'),
        ("json", '{"$schema": "https://schemas.test/own", "type": "object"}'),
        ("protobuf", PROTO),
        ("protobuf", 'enum A { B = 0; } message C { string d = 1 [default = "}\\"{"]; }'),
    ],
)
def test_a_schema_of_another_type_has_no_problem(schema_type: str, text: str, recwarn: pytest.WarningsRecorder) -> None:
    check_schema(schema_type, text)
    assert not recwarn.list


# -- normalized texts ------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("schema_type", "one", "other", "are_same"),
    [
        ("avro", '{"type":"string"}', '"string"', True),
        ("avro", '{"type": "array", "items": {"type": "int"}}', '{"items":"int","type":"array"}', True),
        ("avro", record('{"name": "x", "type": {"type": "int"}}'), record('{"type": "int", "name": "x"}'), True),
        ("avro", '["null", "int"]', '["int", "null"]', False),
        ("avro", record('{"name": "x", "type": "int"}'), record('{"name": "x", "type": "int", "doc": "d"}'), False),
        ("avro", record('{"name": "x", "type": "int"}'), record('{"name": "x", "type": "int", "default": 0}'), False),
        ("avro", record('{"name": "x", "type": "int"}'), record('{"name": "x", "type": "int", "aliases": ["y"]}'),
         False),
        ("avro", '{"type": "long", "logicalType": "timestamp-millis"}', '"long"', False),
        ("avro", '{"type": "enum", "name": "E", "symbols": ["A", "B"]}',
         '{"type": "enum", "name": "E", "symbols": ["B", "A"]}', False),
        ("avro", '{"type": "string", "connect.parameters": {"type": "a"}}',
         '{"type": "string", "connect.parameters": "a"}', False),
        ("avro", record('{"name": "x", "type": {"type": "map", "values": "string"}, "default": {"type": "a"}}'),
         record('{"name": "x", "type": {"type": "map", "values": "string"}, "default": "a"}'), False),
        ("json", '{"a": 1, "b": 2}', '{"b":2,\n"a":1}', True),
        ("json", '{"const": {"type": "a"}}', '{"const": "a"}', False),
        ("json", '{"enum": [1, 2]}', '{"enum": [2, 1]}', False),
        ("protobuf", PROTO, 'syntax="proto3";message Order{string id=1;}', True),
        ("protobuf", PROTO, PROTO.replace("// the key", "/* key */"), True),
        ("protobuf", PROTO, PROTO.replace("id = 1", "id = 2"), False),
        ("protobuf", 'message A { string b = 1 [default = "a  b"]; }', 'message A { string b = 1 [default = "a b"]; }',
         False),
        ("protobuf", 'message A { string b = 1 [default = "//"]; }', 'message A { string b = 1 [default = ""]; }',
         False),
    ],
)  # fmt: skip
def test_texts_that_differ_in_nothing_of_meaning_are_the_same(
    schema_type: str, one: str, other: str, are_same: bool
) -> None:
    assert (normalize(schema_type, one) == normalize(schema_type, other)) == are_same
    assert (fingerprint(schema_type, one) == fingerprint(schema_type, other)) == are_same


def test_the_type_is_a_part_of_a_fingerprint() -> None:
    assert len({fingerprint(schema_type, "{}") for schema_type in SCHEMA_TYPES}) == 3


ANY = st.recursive(
    st.sampled_from(["int", "null", "Order", "type", "", "\ud800"]) | st.integers() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(["type", "name", "fields", "items", "values", "symbols", "default", "size", "$ref", "$schema",
                         "properties", "required", "namespace", "aliases"]),
        inner | st.sampled_from(["record", "enum", "fixed", "array", "map", "Order"]),
        max_size=4,
    ),
    max_leaves=25,
)  # fmt: skip


def reverse_keys(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: reverse_keys(node[key]) for key in reversed(node)}
    return [reverse_keys(each) for each in node] if isinstance(node, list) else node


@given(data=ANY, schema_type=st.sampled_from(["avro", "json"]))
@examples(200)
def test_white_space_and_order_of_keys_do_not_matter(data: Any, schema_type: str) -> None:
    text, other = json.dumps(data), json.dumps(reverse_keys(data), indent=2)
    assert normalize(schema_type, text) == normalize(schema_type, other)
    assert normalize(schema_type, normalize(schema_type, text)) == normalize(schema_type, text)


# -- hostile texts ---------------------------------------------------------------------------------------------------
def use(schema_type: str, text: str) -> None:
    """Do all that is done with a text that a registry or a person gives."""
    with suppress(SchemaProblem):
        check_schema(schema_type, text)
    assert len(fingerprint(schema_type, text)) == 64
    assert isinstance(list_fields(schema_type, text), Mapping)
    assert check_compatibility("FULL", schema_type, text, [text]) in ((), None)


@given(data=ANY, schema_type=st.sampled_from(SCHEMA_TYPES))
@examples(500)
def test_any_json_is_a_schema_or_has_a_problem(data: Any, schema_type: str) -> None:
    use(schema_type, json.dumps(data))


@given(text=st.text() | st.text(alphabet="{}[]\",:;=/*<>'\\\n message1"), schema_type=st.sampled_from(SCHEMA_TYPES))
@examples(500)
def test_any_text_is_a_schema_or_has_a_problem(text: str, schema_type: str) -> None:
    use(schema_type, text)


@given(data=st.data(), schema_type=st.sampled_from(SCHEMA_TYPES))
@examples(300)
def test_a_damaged_schema_is_a_schema_or_has_a_problem(data: st.DataObject, schema_type: str) -> None:
    text = PROTO if schema_type == "protobuf" else data.draw(st.sampled_from([*RIGHT_AVRO.values(), NESTED]))
    start = data.draw(st.integers(0, len(text)))
    end = data.draw(st.integers(start, min(len(text), start + 5)))
    use(schema_type, text[:start] + data.draw(st.text(max_size=3)) + text[end:])


MANY = 50_000
HOSTILE: Mapping[str, str] = {
    "deep lists": "[" * 500_000,
    "closed deep lists": "[" * 400_000 + "]" * 400_000,
    "deep objects": '{"type":' * 100_000,
    "lists as deep as Python goes": "[" * 900 + '"int"' + "]" * 900,
    "objects as deep as Python goes": '{"type":' * 900 + '"int"' + "}" * 900,
    "arrays as deep as Python goes": '{"type": "array", "items": ' * 300 + '"int"' + "}" * 300,
    "a deep default": record('{"name": "x", "type": "int", "default": ' + "[" * 900 + "]" * 900 + "}"),
    "deep properties": '{"properties": {"a": ' * 300 + "{}" + "}}" * 300,
    "a huge number": record('{"name": "x", "type": "long", "default": ' + "9" * 1_000_000 + "}"),
    "a number beyond a double": record('{"name": "x", "type": "double", "default": 1e999999}'),
    "a huge size": '{"type": "fixed", "name": "F", "size": ' + "9" * 4_000 + "}",
    "a key twice at the end": "{" + "".join(f'"k{n}": 1,' for n in range(MANY)) + '"k0": 1}',
    "many symbols": json.dumps({"type": "enum", "name": "E", "symbols": [f"S{n}" for n in range(MANY)]}),
    "many equal symbols": json.dumps({"type": "enum", "name": "E", "symbols": ["A"] * MANY}),
    "many branches": json.dumps([{"type": "fixed", "name": f"F{n}", "size": 1} for n in range(1_000)]),
    "many fields": json.dumps(
        {"type": "record", "name": "R", "fields": [{"name": f"f{n}", "type": "int"} for n in range(5_000)]}),
    "many equal fields": json.dumps(
        {"type": "record", "name": "R", "fields": [{"name": "f", "type": "int"}] * 20_000}),
    "a long name": json.dumps({"type": "record", "name": "a" * 1_000_000, "fields": []}),
    "a long type": json.dumps("a" * 1_000_000),
    "half a character": '{"type": "string", "doc": "\\ud800"}',
    "half a character itself": '{"type": "string", "doc": "\ud800"}',
    "zeros": "\0" * 1_000_000,
    "spaces": " " * 1_000_000,
    "comments without an end": "/* " * 300_000,
    "texts without an end": '"\\' * 500_000,
    "quotes": "'\"" * 500_000,
    "slashes": "/" * 1_000_000,
    "braces": "message A {" * 90_000,
    "closing braces": "message A " + "}" * 1_000_000,
    "many messages": "".join(f"message M{n} {{ string a = 1; }}\n" for n in range(20_000)),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("schema_type", SCHEMA_TYPES)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_text_is_done_with_in_time(schema_type: str, text: str) -> None:
    start = time.process_time()
    use(schema_type, text)
    assert time.process_time() - start < 5


@pytest.mark.parametrize("schema_type", SCHEMA_TYPES)
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_a_problem_is_short(schema_type: str, text: str) -> None:
    try:
        check_schema(schema_type, text)
    except SchemaProblem as problem:
        assert len(str(problem)) < 700
        assert 1 <= problem.line <= text.count("\n") + 1
