"""What Debezium makes of the columns of MariaDB and MySQL.

Source: the schemas that Debezium MariaDB 3.5.0 registers for a table with each type, at each value of its modes
(tests/services/test_prediction.py compares them), io.debezium.connector.binlog.BinlogValueConverters, and for defaults
io.debezium.connector.binlog.jdbc.BinlogDefaultValueConverter. MySQL's connector shares these; it was not compared.
"""

from __future__ import annotations

import re
from typing import Final

from kplan.kinds.connector.debezium.prediction.modes import Modes
from kplan.kinds.connector.debezium.prediction.records import GEOMETRY, POINT
from kplan.kinds.connector.debezium.prediction.structure import Avro, Column, NotPredicted

USUAL_TIME: Final = "adaptive_time_microseconds"
TYPE: Final = re.compile(
    r"(?P<name>[a-z][a-z0-9_ ]*?)\s*(\((?P<args>[^()]*)\))?(?P<rest>( (unsigned|signed|zerofill))*)\Z"
)
SHORT: Final = {
    "integer": "int", "int1": "tinyint", "int2": "smallint", "int3": "mediumint", "int4": "int", "int8": "bigint",
    "dec": "decimal", "numeric": "decimal", "fixed": "decimal", "double precision": "double", "real": "double",
    "bool": "tinyint", "boolean": "tinyint", "character varying": "varchar", "national varchar": "varchar",
    "nvarchar": "varchar", "character": "char", "nchar": "char", "national char": "char",
}  # fmt: skip
INTEGERS: Final = {
    "tinyint": ("int", "int"), "smallint": ("int", "int"), "mediumint": ("int", "int"), "int": ("int", "long"),
}  # fmt: skip
TEXTS: Final = ("char", "varchar", "tinytext", "text", "mediumtext", "longtext", "enum", "set", "json")
BINARIES: Final = ("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob")
GEOMETRIES: Final = (
    "geometry", "linestring", "polygon", "multipoint", "multilinestring", "multipolygon", "geometrycollection",
)  # fmt: skip
NUMBERS: Final = ("bigint", "decimal", "float", "double", "year", *INTEGERS)
NUMBER: Final = re.compile(r"[-+]?(\d+(\.\d*)?|\.\d+)([eE][-+]?\d+)?\Z")
QUOTED: Final = re.compile(r"'(.*)'\Z", re.DOTALL)
BITS: Final = re.compile(r"b'[01]+'\Z")
CURRENT: Final = re.compile(r"(current_timestamp|now|localtime|localtimestamp)(\(\d?\))?\Z", re.IGNORECASE)
EXPRESSION: Final = re.compile(r"\(.*\)\Z|[a-z_][a-z0-9_]*\(.*\)\Z", re.IGNORECASE | re.DOTALL)
FORMS: Final = {  # of literals whose parsing is certain
    "date": re.compile(r"\d{4}-\d\d-\d\d\Z"),
    "time": re.compile(r"\d\d:\d\d:\d\d(\.\d+)?\Z"),
    "datetime": re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\Z"),
    "timestamp": re.compile(r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d(\.\d+)?\Z"),
}
ZERO: Final = re.compile(r"(0000-\d\d-\d\d|\d{4}-00-\d\d|\d{4}-\d\d-00)")
EPOCH: Final = "1970-01-01 00:00:00"


def decide_type(column: Column, modes: Modes) -> Avro | None:
    """Return the type of a column's values. Raises NotPredicted."""
    name, args, is_unsigned = parse_type(column.type)
    if name in INTEGERS:
        return INTEGERS[name][is_unsigned]
    if name == "bigint":
        precise = is_unsigned and modes.unsigned_bigint == "precise"
        return {"type": "bytes", "scale": 0, "precision": 20, "logicalType": "decimal"} if precise else "long"
    if name == "decimal":
        numbers = [int(each) for each in args]
        return modes.decide_decimal(numbers[0] if numbers else 10, numbers[1] if len(numbers) > 1 else 0)
    if name in ("float", "double"):
        is_single = name == "float" and len(args) < 2 and (not args or int(args[0]) <= 24)
        return "float" if is_single else "double"
    if name == "bit":
        return "boolean" if not args or int(args[0]) == 1 else "bytes"
    if name in BINARIES:
        return modes.decide_binary()
    if name in TEXTS or name == "uuid":
        return "string"
    if name == "timestamp":
        return "string"
    if name in ("date", "time", "datetime"):
        return modes.decide_time({"datetime": "Timestamp"}.get(name, name.capitalize()), int(args[0]) if args else 0)
    if name == "year":
        return "int"
    if name == "point" or name in GEOMETRIES:
        return POINT if name == "point" else GEOMETRY
    raise NotPredicted(f"type {column.type}")


def parse_type(text: str) -> tuple[str, tuple[str, ...], bool]:
    """Return the name of a type, what its brackets hold, and whether it is unsigned. Raises NotPredicted."""
    lowered = " ".join(text.strip().lower().split())
    if lowered.startswith(("enum(", "set(")):
        return lowered.partition("(")[0], (), False
    found = TYPE.match(lowered)
    if found is None:
        raise NotPredicted(f"type {text}")
    name = SHORT.get(found["name"], found["name"])
    args = tuple(each.strip() for each in (found["args"] or "").split(",") if each.strip())
    return name, args, "unsigned" in found["rest"] or "zerofill" in found["rest"]


def has_default(column: Column, kind: Avro, modes: Modes) -> bool:
    """Whether Debezium takes the column's default into the schema. Raises NotPredicted where that is not certain."""
    default = column.default
    if default is None or default.upper() == "NULL":
        return False
    name, _, _ = parse_type(column.type)
    if isinstance(kind, str) and kind.startswith("io.debezium."):
        raise NotPredicted(f"default {default}")
    if CURRENT.match(default) and name in ("datetime", "timestamp"):
        return True
    if EXPRESSION.match(default) and not CURRENT.match(default):
        return False
    if name == "bit" and BITS.match(default):
        return True
    quoted = QUOTED.match(default)
    text = quoted[1] if quoted else default
    if name in NUMBERS and (NUMBER.match(text) or text.lower() in ("true", "false")):
        return True
    if name in (*TEXTS, *BINARIES) and (quoted or NUMBER.match(text)):
        return True
    if quoted and name in FORMS and FORMS[name].match(text):
        return not (column.nullable and (ZERO.match(text) or (name == "timestamp" and text == EPOCH)))
    raise NotPredicted(f"default {default}")
