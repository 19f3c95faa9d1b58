"""Records of Debezium's own that columns become, and how a schema writes fields.

Source: the schemas that Debezium PostgreSQL 3.7.0 and MariaDB 3.5.0 register (tests/services/test_prediction.py
compares them), and io.debezium.data, io.debezium.data.geometry and io.debezium.time.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from kplan.kinds.connector.debezium.prediction.structure import Avro, PredictedField


def _define(name: str, **fields: Avro) -> tuple[str, dict[str, Any]]:
    """Return a record by its full name; a field whose type is a union may be absent."""
    space, _, simple = name.rpartition(".")
    written = [
        {"name": key, "type": kind, **({"default": None} if isinstance(kind, list) else {})}
        for key, kind in fields.items()
    ]
    return name, {"type": "record", "name": simple, "namespace": space, "fields": written}


def _maybe(kind: Avro) -> list[Any]:
    return ["null", kind]


VARIABLE_DECIMAL: Final = "io.debezium.data.VariableScaleDecimal"
GEOMETRY: Final = "io.debezium.data.geometry.Geometry"
POINT: Final = "io.debezium.data.geometry.Point"
LINE: Final = "io.debezium.data.geometry.Line"
CIRCLE: Final = "io.debezium.data.geometry.Circle"
TIME: Final = "io.debezium.time.Structured"
_INT: Final = _maybe("int")
_DATE: Final[Mapping[str, Avro]] = {"year": _INT, "month": _INT, "day": _INT}
_CLOCK: Final[Mapping[str, Avro]] = {"hour": _INT, "minute": _INT, "second": _INT, "nanos": _INT}
_SPECIAL: Final = _maybe("string")
RECORDS: Final[Mapping[str, Mapping[str, Any]]] = dict(
    (
        _define(VARIABLE_DECIMAL, scale="int", value="bytes"),
        _define(GEOMETRY, wkb="bytes", srid=_INT, extensions=_maybe({"type": "map", "values": "string"})),
        _define(POINT, x="double", y="double", wkb=_maybe("bytes"), srid=_INT),
        _define(LINE, a="double", b="double", c="double"),
        _define(CIRCLE, center=POINT, radius="double"),
        _define(f"{TIME}Date", **_DATE, specialValue=_SPECIAL),
        _define(f"{TIME}Time", **_CLOCK, precision=_INT),
        _define(f"{TIME}ZonedTime", **_CLOCK, offsetSeconds=_INT, precision=_INT),
        _define(f"{TIME}Timestamp", **_DATE, **_CLOCK, specialValue=_SPECIAL, precision=_INT),
        _define(
            f"{TIME}ZonedTimestamp", **_DATE, **_CLOCK, offsetSeconds=_INT, zoneId=_SPECIAL, specialValue=_SPECIAL,
            precision=_INT,
        ),
        _define(
            f"{TIME}Duration", years=_INT, months=_INT, days=_INT, hours=_INT, minutes=_INT, seconds=_maybe("long"),
            nanos=_INT, precision=_INT,
        ),
    )
)  # fmt: skip
NEUTRAL: Final[Mapping[str, Any]] = {"boolean": False, "string": "", "bytes": "", "float": 0.0, "double": 0.0}


def write_fields(
    fields: Iterable[tuple[str, PredictedField]], records: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the fields of a record, each named type in full where it is first.

    A default has a neutral value: compatibility is decided by whether there is one.
    """
    known: set[str] = set()
    return [_write_field(name, each, records, known) for name, each in fields]


def _write_field(
    name: str, field: PredictedField, records: Mapping[str, Mapping[str, Any]], known: set[str]
) -> dict[str, Any]:
    kind = _write(field.type, records, known)
    if not field.has_default:
        return (
            {"name": name, "type": ["null", kind], "default": None} if field.nullable else {"name": name, "type": kind}
        )
    bare = kind["type"] if isinstance(kind, dict) else kind
    return {"name": name, "type": [kind, "null"] if field.nullable else kind, "default": NEUTRAL.get(str(bare), 0)}


def _write(kind: Any, records: Mapping[str, Mapping[str, Any]], known: set[str]) -> Any:
    """Return a type with the records that it uses, in full where they are not known yet."""
    if isinstance(kind, list):
        return [_write(each, records, known) for each in kind]
    if isinstance(kind, dict):
        inner = {key: _write(kind[key], records, known) for key in ("items", "values") if key in kind}
        if "fields" in kind:
            inner["fields"] = [{**each, "type": _write(each["type"], records, known)} for each in kind["fields"]]
        return {**kind, **inner}
    if kind in records and kind not in known:
        known.add(kind)
        return _write(records[kind], records, known)
    return kind
