"""What Debezium makes of the columns of PostgreSQL.

Source: the schemas that Debezium PostgreSQL 3.7.0 registers for a table with each type, at each value of its modes
(tests/services/test_prediction.py compares them), io.debezium.connector.postgresql.PostgresValueConverter, and for
defaults its PostgresDefaultValueConverter.
"""

from __future__ import annotations

import re
from typing import Final

from kplan.kinds.connector.debezium.prediction.modes import Modes
from kplan.kinds.connector.debezium.prediction.records import CIRCLE, GEOMETRY, LINE, POINT, VARIABLE_DECIMAL
from kplan.kinds.connector.debezium.prediction.structure import Avro, Column, NotPredicted

USUAL_TIME: Final = "adaptive"
DEFAULT_PRECISION: Final = 6  # of times without one
SHORT: Final = {
    "integer": "int4", "int": "int4", "serial": "int4", "serial4": "int4", "smallint": "int2", "smallserial": "int2",
    "serial2": "int2", "bigint": "int8", "bigserial": "int8", "serial8": "int8", "real": "float4", "float": "float8",
    "double precision": "float8", "boolean": "bool", "character varying": "varchar", "character": "bpchar",
    "char": "bpchar", "bit varying": "varbit", "decimal": "numeric", "dec": "numeric",
    "time without time zone": "time", "time with time zone": "timetz",
    "timestamp without time zone": "timestamp", "timestamp with time zone": "timestamptz",
}  # fmt: skip
RANGES: Final = ("int4range", "int8range", "numrange", "tsrange", "tstzrange", "daterange")
PLAIN: Final[dict[str, str]] = {
    "int2": "int", "int4": "int", "int8": "long", "oid": "long", "float4": "float", "float8": "double",
    "bool": "boolean",
    **dict.fromkeys(
        ("varchar", "bpchar", "text", '"char"', "name", "json", "jsonb", "xml", "uuid", "inet", "cidr", "macaddr",
         "macaddr8", *RANGES, "tsvector", "citext", "ltree", "isbn"), "string"),
    "point": POINT, "line": LINE, "circle": CIRCLE,
    **dict.fromkeys(("lseg", "box", "path", "polygon"), GEOMETRY),
}  # fmt: skip
LEFT_OUT: Final = frozenset((
    "jsonpath", "int4multirange", "int8multirange", "nummultirange", "tsmultirange", "tstzmultirange",
    "datemultirange", "tsquery", "pg_lsn", "xid", "xid8", "txid_snapshot", "pg_snapshot", "regclass", "regtype",
    "regproc",
))  # fmt: skip
ITEMS: Final = frozenset((
    "int2", "int4", "int8", "text", "varchar", "bpchar", "numeric", "float4", "float8", "bool", "date", "uuid", "json",
    "jsonb", "time", "timetz", "timestamp", "timestamptz", "bytea", "inet", "cidr", "macaddr", "macaddr8", *RANGES,
    "oid", "citext", "hstore", "ltree",
))  # fmt: skip
ARRAYS_LEFT_OUT: Final = frozenset(("money", "name", "interval", "varbit", "xml", "point"))
TYPE: Final = re.compile(
    r"(?P<name>\"char\"|[^(\[]+?)\s*(\((?P<args>[-\d, ]+)\))?(?P<zone> with(out)? time zone)?(?P<array>(\[\d*\])*)\Z"
)
TYPES_WITH_DEFAULT: Final = frozenset((
    "bit", "varbit", "bool", "bpchar", "varchar", "text", "numeric", "float4", "float8", "int2", "int4", "int8", "json",
    "jsonb", "xml", "uuid", "date", "time", "timestamp", "timestamptz", "interval",
))  # fmt: skip
TEXTS: Final = ("bpchar", "varchar", "text", "json", "jsonb", "xml")
NUMBERS: Final = ("int2", "int4", "int8", "numeric", "float4", "float8")
FUNCTION: Final = re.compile(r"\(?[A-Za-z0-9_.]+\(.*\)", re.DOTALL)
CURRENT: Final = ("current_timestamp", "current_time", "current_date", "localtime", "localtimestamp")
LITERAL: Final = re.compile(r"[bB]?'((?:[^']|'')*)'(::.*)?\Z", re.DOTALL)
NUMBER: Final = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\Z")
INTEGER: Final = re.compile(r"[-+]?\d+\Z")
FORMS: Final = {  # of literals whose parsing is certain
    "date": re.compile(r"\d{4}-\d\d-\d\d\Z"),
    "time": re.compile(r"\d\d:\d\d(:\d\d(\.\d+)?)?\Z"),
    "timestamp": re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d(\.\d+)?)?)?\Z"),
    "timestamptz": re.compile(r"\d{4}-\d\d-\d\d( \d\d:\d\d(:\d\d(\.\d+)?)?)?([-+]\d\d(:?\d\d)?)?\Z"),
    "interval": re.compile(r"(-?\d+ (years?|mons?|days?) ?)*(-?\d\d:\d\d:\d\d(\.\d+)?)?\Z"),
    "uuid": re.compile(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}\Z"),
    "bit": re.compile(r"[01]+\Z"),
    "varbit": re.compile(r"[01]+\Z"),
}


def decide_type(column: Column, modes: Modes) -> Avro | None:
    """Return the type of a column's values; None where Debezium leaves the column out. Raises NotPredicted."""
    name, args, is_array = parse_type(column.type)
    if is_array:
        return _decide_array(column, name, args, modes)
    if column.user_type == "enum":
        return "string"
    if column.user_type == "domain":
        base, base_args, of_array = parse_type(column.base)
        if of_array or base not in {*PLAIN, *TYPES_WITH_DEFAULT, "bytea", "timetz"}:
            raise NotPredicted(f"domain {column.type} is of type {column.base}")
        return _decide_scalar(base, base_args, modes)
    if column.user_type == "composite" or name in LEFT_OUT:
        return "bytes" if modes.includes_unknown else None
    return _decide_scalar(name, args, modes)


def parse_type(text: str) -> tuple[str, tuple[int, ...], bool]:
    """Return the short name of a type, the numbers in its brackets, and whether it is an array. Raises NotPredicted."""
    found = TYPE.match(text.strip())
    if found is None:
        raise NotPredicted(f"type {text}")
    name = " ".join(found["name"].split()) if found["name"].startswith('"') else " ".join(found["name"].lower().split())
    name = name.removeprefix("pg_catalog.") + (found["zone"] or "")
    args = tuple(int(each) for each in (found["args"] or "").split(",") if each.strip())
    if name == "float" and args:
        return ("float4" if args[0] <= 24 else "float8"), (), bool(found["array"])
    short = SHORT.get(name, name)
    if name in ("character", "char", "bit") and not args:
        args = (1,)
    return (short.rpartition(".")[2] if short.count(".") == 1 else short), args, bool(found["array"])


def _decide_scalar(name: str, args: tuple[int, ...], modes: Modes) -> Avro:
    if name in PLAIN:
        return PLAIN[name]
    precision = args[0] if args else DEFAULT_PRECISION
    if name == "numeric":
        if not args and modes.decimal == "precise":
            return VARIABLE_DECIMAL
        scale = args[1] if len(args) > 1 else 0
        return modes.decide_decimal(args[0] if args else 0, scale if scale >= 0 else 2048 + scale)
    if name == "money":
        return modes.decide_decimal(64, 2)
    if name == "bytea":
        return modes.decide_binary()
    if name in ("bit", "varbit"):
        return "boolean" if (name, args) == ("bit", (1,)) else "bytes"
    if name in ("timetz", "timestamptz"):
        part = "ZonedTime" if name == "timetz" else "ZonedTimestamp"
        return modes.decide_time(part, precision) if modes.time == "structured" else "string"
    if name in ("date", "time", "timestamp"):
        return modes.decide_time(name.capitalize(), precision)
    if name == "interval":
        if modes.time == "structured":
            return modes.decide_time("Duration", precision)
        return "long" if modes.interval == "numeric" else "string"
    if name == "hstore":
        return {"type": "map", "values": ["null", "string"]} if modes.hstore == "map" else "string"
    raise NotPredicted(f"type {name}")


def _decide_array(column: Column, name: str, args: tuple[int, ...], modes: Modes) -> Avro | None:
    """Return the type of an array; that of bits is as if it were none, and items of enums cannot be null."""
    if column.user_type == "enum" or name == "tsvector":
        return {"type": "array", "items": "string"}
    if column.user_type:
        return {"type": "array", "items": "bytes"} if modes.includes_unknown else None
    if name == "bit":
        return _decide_scalar(name, args, modes)
    if name in ARRAYS_LEFT_OUT:
        return None
    if name not in ITEMS:
        raise NotPredicted(f"type {column.type}")
    return {"type": "array", "items": ["null", _decide_scalar(name, args, modes)]}


def has_default(column: Column, kind: Avro, modes: Modes) -> bool:
    """Whether Debezium takes the column's default into the schema. Raises NotPredicted where that is not certain."""
    default = column.default
    if default is None or default.upper() == "NULL" or default.startswith("NULL::"):
        return False
    name, _, is_array = parse_type(column.type)
    if is_array or column.user_type in ("domain", "composite"):
        return False
    literal = LITERAL.match(default)
    if column.user_type == "enum":
        return literal is not None and bool(literal[2])
    if name not in TYPES_WITH_DEFAULT or kind == VARIABLE_DECIMAL or str(kind).startswith("io.debezium."):
        return False
    if name == "bool" or name in TEXTS:
        return True
    is_function = bool(FUNCTION.match(default)) or default.lower() in CURRENT
    if is_function and name not in ("bit", "varbit", "interval"):
        return True
    return _is_literal_taken(column, name, literal[1] if literal else default, literal is not None)


def _is_literal_taken(column: Column, name: str, text: str, is_quoted: bool) -> bool:
    """Whether a literal can be read; an expression over numbers cannot. Raises NotPredicted."""
    if name in NUMBERS:
        if (INTEGER if name.startswith("int") else NUMBER).match(text):
            return True
        if not is_quoted and "'" not in text:
            return False  # an expression such as (1 + 2)
    elif is_quoted and FORMS[name].match(text) and text:
        return True
    raise NotPredicted(f"default {column.default}")
