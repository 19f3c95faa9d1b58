"""Compatibility of Avro schemas, judged without a registry."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import pytest
from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from hypothesis import given
from hypothesis import strategies as st

from kplan.kinds.subject.avro import parse_avro
from kplan.kinds.subject.compatibility import NOT_JUDGED, Incompatibility, check_compatibility
from kplan.kinds.subject.places import locate
from tests.examples import examples

MISSING = "READER_FIELD_MISSING_DEFAULT_VALUE"


def record(*fields: Any, name: str = "Order", **more: Any) -> dict[str, Any]:
    return {"type": "record", "name": name, "fields": list(fields), **more}


def field(kind: Any, name: str = "x", **more: Any) -> dict[str, Any]:
    return {"name": name, "type": kind, **more}


def enum(*symbols: str, **more: Any) -> dict[str, Any]:
    return {"type": "enum", "name": "Color", "symbols": list(symbols), **more}


def fixed(size: int, name: str = "Hash") -> dict[str, Any]:
    return {"type": "fixed", "name": name, "size": size}


def find_reasons(level: str, new: Any, *olds: Any, references: tuple[Any, ...] = ()) -> list[Incompatibility]:
    texts = [json.dumps(old) for old in olds]
    reasons = check_compatibility(level, "avro", json.dumps(new), texts, [json.dumps(each) for each in references])
    assert reasons is not NOT_JUDGED
    return list(reasons)


def list_rules(level: str, new: Any, *olds: Any) -> list[tuple[str, str]]:
    return [(each.rule, each.path) for each in find_reasons(level, new, *olds)]


# -- what a reader can read ------------------------------------------------------------------------------------------
NODE = record(field(["null", "Node"], "next", default=None), field("int", "id"), name="Node")
READABLE: Mapping[str, tuple[Any, Any]] = {
    "the same primitive": ("string", "string"),
    "an object that only names a primitive": ({"type": "string"}, "string"),
    "int by long": ("long", "int"),
    "int by float": ("float", "int"),
    "long by float": ("float", "long"),
    "int by double": ("double", "int"),
    "long by double": ("double", "long"),
    "float by double": ("double", "float"),
    "string by bytes": ("bytes", "string"),
    "bytes by string": ("string", "bytes"),
    "a type by its union": (["null", "string"], "string"),
    "a promoted type by a union": (["null", "double"], "int"),
    "a union by a larger one": (["null", "string", "int"], ["string", "null"]),
    "a union by a type that reads all of it": ("double", ["int", "long"]),
    "items": ({"type": "array", "items": "long"}, {"type": "array", "items": "int"}),
    "values": ({"type": "map", "values": "long"}, {"type": "map", "values": "int"}),
    "fewer fields": (record(field("int")), record(field("int"), field("string", "y"))),
    "fields in another order": (record(field("int"), field("int", "y")), record(field("int", "y"), field("int"))),
    "a new field with a default": (record(field("int", default=0)), record()),
    "a new field with the default null": (record(field(["null", "int"], default=None)), record()),
    "a renamed field with an alias": (record(field("int", "y", aliases=["x"])), record(field("int"))),
    "another namespace": (record(namespace="one"), record(namespace="two")),
    "a renamed record with an alias": (record(name="New", aliases=["Order"]), record()),
    "an alias in the namespace": (record(name="a.New", aliases=["Order"]), record(name="a.Order")),
    "a full alias": (record(name="a.New", aliases=["b.Order"]), record(name="b.Order")),
    "more symbols": (enum("A", "B"), enum("A")),
    "fewer symbols with a default": (enum("A", default="A"), enum("A", "B")),
    "a fixed type": (fixed(4), fixed(4)),
    "a type that holds itself": (NODE, NODE),
    "a renamed branch that is there under an alias": (
        ["null", record(name="New", aliases=["Order"])], ["null", record()]),
    "logical types": ({"type": "long", "logicalType": "timestamp-millis"}, {"type": "long", "logicalType": "x"}),
    "a type used twice": (
        record(field(fixed(4)), field("Hash", "y")), record(field(fixed(4)), field("Hash", "y"))),
    "a type of the namespace": (
        record(field(fixed(4)), field("Hash", "y"), namespace="a"),
        record(field(fixed(4)), field("a.Hash", "y"), namespace="a")),
}  # fmt: skip


@pytest.mark.parametrize(("reader", "writer"), READABLE.values(), ids=READABLE)
def test_what_can_be_read_is_compatible(reader: Any, writer: Any) -> None:
    assert find_reasons("BACKWARD", reader, writer) == []
    assert find_reasons("FORWARD", writer, reader) == []


UNREADABLE: Mapping[str, tuple[Any, Any, str, str]] = {
    "long by int": ("int", "long", "TYPE_MISMATCH", ""),
    "double by float": ("float", "double", "TYPE_MISMATCH", ""),
    "int by string": ("string", "int", "TYPE_MISMATCH", ""),
    "boolean by int": ("int", "boolean", "TYPE_MISMATCH", ""),
    "null": (record(field("string")), record(field(["null", "string"])), "TYPE_MISMATCH", "/fields/0/type"),
    "a fixed type by bytes": ("bytes", fixed(4), "TYPE_MISMATCH", ""),
    "an enum by a string": ("string", enum("A"), "TYPE_MISMATCH", ""),
    "items": ({"type": "array", "items": "int"}, {"type": "array", "items": "long"}, "TYPE_MISMATCH", "/items"),
    "values": ({"type": "map", "values": "int"}, {"type": "map", "values": "long"}, "TYPE_MISMATCH", "/values"),
    "a branch that the union lacks": (
        record(field(["null", "int"])), record(field(["null", "string"])), "MISSING_UNION_BRANCH", "/fields/0/type"),
    "a wider branch": (["null", "int"], ["null", "long"], "MISSING_UNION_BRANCH", ""),
    "a new field without a default": (record(field("int", "y"), field("int")), record(field("int", "y")), MISSING,
                                      "/fields/1"),
    "a new field that may be null": (record(field(["null", "int"])), record(), MISSING, "/fields/0"),
    "a new field whose enum has a default": (record(field(enum("A", default="A"))), record(), MISSING, "/fields/0"),
    "a renamed field": (record(field("int", "y")), record(field("int")), MISSING, "/fields/0"),
    "a renamed record": (record(name="New"), record(), "NAME_MISMATCH", "/name"),
    "an alias in another namespace": (
        record(name="a.New", aliases=["Order"]), record(name="b.Order"), "NAME_MISMATCH", "/name"),
    "fewer symbols": (record(field(enum("A"))), record(field(enum("A", "B"))), "MISSING_ENUM_SYMBOLS",
                      "/fields/0/type/symbols"),
    "another size": (record(field(fixed(8))), record(field(fixed(4))), "FIXED_SIZE_MISMATCH", "/fields/0/type/size"),
    "a renamed fixed type": (fixed(4, "New"), fixed(4), "NAME_MISMATCH", "/name"),
    "within a type that holds itself": (
        record(field(["null", "Node"], "next"), field("int", "id"), name="Node"),
        record(field(["null", "Node"], "next"), field("string", "id"), name="Node"),
        "TYPE_MISMATCH", "/fields/1/type"),
    "within a record of a union": (
        record(field("int", "y"), field(["null", record(field("int", "z"), name="Inner")])),
        record(field("int", "y"), field(["null", record(name="Inner")])),
        MISSING, "/fields/1/type/1/fields/0"),
    "within items of a map of a union": (
        ["null", {"type": "map", "values": {"type": "array", "items": "int"}}],
        ["null", {"type": "map", "values": {"type": "array", "items": "long"}}],
        "TYPE_MISMATCH", "/1/values/items"),
}  # fmt: skip


@pytest.mark.parametrize(("reader", "writer", "rule", "path"), UNREADABLE.values(), ids=UNREADABLE)
def test_what_cannot_be_read_is_refused_at_its_place(reader: Any, writer: Any, rule: str, path: str) -> None:
    assert list_rules("BACKWARD", reader, writer) == [(rule, path)]
    assert [rule for rule, _ in list_rules("FORWARD", writer, reader)] == [rule]


def test_every_reason_is_given() -> None:
    new = record(field("int"), field("int", "y"), field(["null", "int"], "z"))
    old = record(field("string"), field(["null", "string"], "z"))
    assert list_rules("BACKWARD", new, old) == [
        ("TYPE_MISMATCH", "/fields/0/type"),
        (MISSING, "/fields/1"),
        ("MISSING_UNION_BRANCH", "/fields/2/type"),
    ]


# -- levels ----------------------------------------------------------------------------------------------------------
OPTIONAL, REQUIRED, NOTHING = record(field("int", default=0)), record(field("int")), record()


@pytest.mark.parametrize(
    ("level", "refused"),
    [
        ("NONE", []),
        ("BACKWARD", [1]),
        ("BACKWARD_TRANSITIVE", [1, 2]),
        ("FORWARD", []),
        ("FORWARD_TRANSITIVE", []),
        ("FULL", [1]),
        ("FULL_TRANSITIVE", [1, 2]),
    ],
)
def test_a_new_field_is_refused_by_levels_that_read_what_is_old(level: str, refused: list[int]) -> None:
    assert [each.version for each in find_reasons(level, REQUIRED, NOTHING, NOTHING)] == refused


@pytest.mark.parametrize(
    ("level", "refused"), [("BACKWARD", 0), ("FORWARD", 1), ("FULL", 1), ("FULL_TRANSITIVE", 1), ("NONE", 0)]
)
def test_a_lost_field_is_refused_by_levels_of_old_readers(level: str, refused: int) -> None:
    reasons = find_reasons(level, NOTHING, REQUIRED)
    assert len(reasons) == refused
    assert all(each.path == "/fields" and each.message.startswith("the old schema cannot") for each in reasons)


def test_only_transitive_levels_look_at_earlier_versions() -> None:
    assert find_reasons("BACKWARD", REQUIRED, NOTHING, OPTIONAL) == []
    assert [each.version for each in find_reasons("BACKWARD_TRANSITIVE", REQUIRED, NOTHING, OPTIONAL)] == [2]


def test_the_first_version_is_compatible() -> None:
    assert find_reasons("FULL_TRANSITIVE", REQUIRED) == []


@pytest.mark.parametrize("schema_type", ["json", "protobuf"])
def test_other_types_are_not_judged(schema_type: str) -> None:
    assert check_compatibility("BACKWARD", schema_type, "{}", ["{}"]) is NOT_JUDGED


@pytest.mark.parametrize("text", ["", "{", '"lnog"', "[" * 100_000, '{"type": "record"}', "1" * 5_000])
def test_a_text_that_is_no_schema_is_not_judged(text: str) -> None:
    assert check_compatibility("BACKWARD", "avro", text, ['"int"']) is NOT_JUDGED
    assert check_compatibility("BACKWARD", "avro", '"int"', [text]) is NOT_JUDGED


# -- references ------------------------------------------------------------------------------------------------------
MONEY = record(field("string", "currency"), name="common.Money")
PRICE = record(field("common.Money", "money"), name="common.Price")


def test_a_type_of_a_reference_is_compared() -> None:
    old, new = record(field("common.Price")), record(field("common.Price"), field("common.Money", "y"))
    for references in ((MONEY, PRICE), (PRICE, MONEY)):
        reasons = find_reasons("BACKWARD", new, old, references=references)
        assert [(each.rule, each.path) for each in reasons] == [(MISSING, "/fields/1")]


def test_a_failure_inside_of_a_reference_has_the_place_of_its_name() -> None:
    old = record(field("int", "id"), field(record(name="old.Money")))
    new = record(field("int", "id"), field("common.Money"))
    [reason] = find_reasons("BACKWARD", new, old, references=(MONEY,))
    assert (reason.rule, reason.path) == (MISSING, "/fields/1/type")
    assert "field `x.currency` has no default" in reason.message


# -- Debezium --------------------------------------------------------------------------------------------------------
TIMESTAMP = {"type": "long", "connect.version": 1, "connect.name": "io.debezium.time.MicroTimestamp"}
DECIMAL = {"type": "bytes", "scale": 2, "precision": 10, "connect.name": "org.apache.kafka.connect.data.Decimal",
           "connect.parameters": {"scale": "2"}, "logicalType": "decimal"}  # fmt: skip
STATUS = {"type": "string", "connect.version": 1, "connect.parameters": {"allowed": "new,paid"},
          "connect.default": "new", "connect.name": "io.debezium.data.Enum"}  # fmt: skip
COLUMNS = [
    field("int", "id"),
    field(["null", "string"], "note", default=None),
    field(DECIMAL, "total"),
    field(STATUS, "status", default="new"),
    field(TIMESTAMP, "created_at"),
]
SOURCE = record(field("string", "version"), field("string", "connector"), name="Source",
                namespace="io.debezium.connector.postgresql", **{"connect.name": "io.debezium.Source"})  # fmt: skip


def envelope(*columns: Any, source: Any = SOURCE) -> dict[str, Any]:
    """Return the value's schema that Debezium registers for a table, by the Avro converter."""
    value = record(*columns, name="Value", **{"connect.name": "shop.public.orders.Value"})
    return record(
        field(["null", value], "before", default=None),
        field(["null", "Value"], "after", default=None),
        field(source, "source"),
        field("string", "op"),
        field(["null", "long"], "ts_ms", default=None),
        name="Envelope",
        namespace="shop.public.orders",
        **{"connect.name": "shop.public.orders.Envelope"},
    )


def replace_column(name: str, **change: Any) -> list[Any]:
    return [column | change if column["name"] == name else column for column in COLUMNS]


def test_an_envelope_is_compatible_with_itself() -> None:
    assert find_reasons("FULL_TRANSITIVE", envelope(*COLUMNS), envelope(*COLUMNS), envelope(*COLUMNS)) == []


def test_a_new_column_that_is_not_null_stops_the_connector() -> None:
    new = envelope(*COLUMNS, field("string", "channel"))
    [reason] = find_reasons("BACKWARD", new, envelope(*COLUMNS))
    assert (reason.rule, reason.path) == (MISSING, "/fields/0/type/1/fields/5")
    assert "field `before.channel` has no default" in reason.message
    assert json.dumps(new)[locate(json.dumps(new), reason.path)[1] - 1 :].startswith('{"name": "channel"')
    assert find_reasons("FORWARD", new, envelope(*COLUMNS)) == []


@pytest.mark.parametrize("kind", [(["null", "string"], None), ("string", "web")])
def test_a_new_column_with_a_default_is_compatible(kind: tuple[Any, Any]) -> None:
    new = envelope(*COLUMNS, field(kind[0], "channel", default=kind[1]))
    assert find_reasons("FULL", new, envelope(*COLUMNS)) == []


def test_a_dropped_column_is_refused_forward_alone() -> None:
    new = envelope(*(column for column in COLUMNS if column["name"] != "total"))
    assert find_reasons("BACKWARD", new, envelope(*COLUMNS)) == []
    assert list_rules("FULL", new, envelope(*COLUMNS)) == [(MISSING, "/fields/0/type/1/fields")]


@pytest.mark.parametrize(
    ("column", "kind", "backward", "forward"),
    [
        ("id", "long", 0, 1),
        ("total", {**DECIMAL, "scale": 4}, 0, 0),
        ("status", {**STATUS, "connect.parameters": {"allowed": "new"}}, 0, 0),
        ("created_at", {**TIMESTAMP, "connect.name": "io.debezium.time.ZonedTimestamp", "type": "string"}, 1, 1),
        ("note", "string", 1, 0),
    ],
)
def test_a_changed_column_is_judged_by_its_avro_type(column: str, kind: Any, backward: int, forward: int) -> None:
    changed = replace_column(column, type=kind)
    new = envelope(*({key: c[key] for key in c if c["name"] != "note" or key != "default"} for c in changed))
    assert len(find_reasons("BACKWARD", new, envelope(*COLUMNS))) == backward
    assert len(find_reasons("FORWARD", new, envelope(*COLUMNS))) == forward


def test_a_source_of_another_debezium_is_judged_apart() -> None:
    newer = {**SOURCE, "fields": [*SOURCE["fields"], field(["null", "long"], "ts_us", default=None)]}
    assert find_reasons("FULL", envelope(*COLUMNS, source=newer), envelope(*COLUMNS)) == []


# -- properties ------------------------------------------------------------------------------------------------------
PRIMITIVES = st.sampled_from(["null", "boolean", "int", "long", "float", "double", "bytes", "string"])


def list_named(depth: int) -> st.SearchStrategy[Any]:
    """Return records, enums and fixed types, each with its own name, so that no text defines a name twice."""
    symbols = st.lists(st.sampled_from("ABCD"), min_size=1, unique=True)
    enums = st.builds(lambda each: {"type": "enum", "name": f"E{depth}", "symbols": each}, symbols)
    return st.one_of(
        st.builds(lambda size: fixed(size, f"F{depth}"), st.integers(1, 2)),
        enums,
        enums.map(lambda each: each | {"default": each["symbols"][0]}),
        st.builds(lambda kind: record(field(kind), name=f"R{depth}"), list_schemas(depth - 1)),
        st.builds(lambda kind: record(field(kind, default=None), name=f"R{depth}"),
                  st.builds(lambda each: ["null", each], st.sampled_from(["int", "string", f"R{depth}"]))),
        st.just(record(name=f"R{depth}")),
    )  # fmt: skip


def list_schemas(depth: int = 3) -> st.SearchStrategy[Any]:
    if depth == 0:
        return PRIMITIVES
    inner = list_schemas(depth - 1)
    branches = st.lists(PRIMITIVES, min_size=1, max_size=3, unique=True)
    return st.one_of(
        PRIMITIVES,
        st.builds(lambda kind: {"type": "array", "items": kind}, inner),
        st.builds(lambda kind: {"type": "map", "values": kind}, inner),
        branches,
        st.builds(lambda kinds, kind: [*kinds, kind], branches, list_named(depth)),
        list_named(depth),
    )


@given(new=list_schemas(), old=list_schemas())
@examples(400)
def test_verdicts_are_those_of_the_library(new: Any, old: Any) -> None:
    checker: Any = ReaderWriterCompatibilityChecker()
    result = checker.get_compatibility(parse_avro(json.dumps(new)), parse_avro(json.dumps(old)))
    is_compatible = result.compatibility is SchemaCompatibilityType.compatible
    assert (find_reasons("BACKWARD", new, old) == []) == is_compatible
    assert (find_reasons("FORWARD", old, new) == []) == is_compatible


@given(new=list_schemas(), old=list_schemas())
@examples(200)
def test_a_level_of_both_directions_refuses_what_either_does(new: Any, old: Any) -> None:
    both = find_reasons("BACKWARD", new, old) + find_reasons("FORWARD", new, old)
    assert find_reasons("FULL", new, old) == list(dict.fromkeys(both))
    assert find_reasons("FULL", new, new) == []


@given(new=list_schemas(), old=list_schemas())
@examples(200)
def test_every_place_is_in_the_new_schema(new: Any, old: Any) -> None:
    text = json.dumps(new, indent=1)
    for reason in find_reasons("FULL", new, old):
        node = new
        for part in reason.path.split("/")[1:]:
            node = node[int(part)] if isinstance(node, list) else node[part]
        line, column = locate(text, reason.path)
        lines = text.split("\n")
        rest = "\n".join([lines[line - 1][column - 1 :], *lines[line:]])
        assert json.JSONDecoder().raw_decode(rest)[0] == node
