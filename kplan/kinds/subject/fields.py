"""The fields of a schema, flattened, and what differs between two: what views show instead of a difference of texts."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kplan.kinds.subject.avro import NAMED
from kplan.kinds.subject.protobuf import list_protobuf_fields
from kplan.values import dataclass

MAX_DEPTH: Final = 20


@dataclass(frozen=True, slots=True)
class FieldChange:
    """A field that differs: `before` and `after` are its type and its default in words, None where it is not there."""

    path: str
    before: str | None
    after: str | None


def compare_fields(schema_type: str, old: str, new: str) -> tuple[FieldChange, ...]:
    """Return the fields that differ, in the order of the new schema, those that are gone at the end."""
    before, after = list_fields(schema_type, old), list_fields(schema_type, new)
    paths = [*after, *(path for path in before if path not in after)]
    return tuple(
        FieldChange(path, before.get(path), after.get(path)) for path in paths if before.get(path) != after.get(path)
    )


def list_fields(schema_type: str, text: str) -> Mapping[str, str]:
    """Return the type and the default of each field in words, by its path: `address.street`, `items[].price`.

    A text that cannot be read has no fields.
    """
    try:
        if schema_type == "protobuf":
            return dict(list_protobuf_fields(text))
        data = json.loads(text)
        found = _list_avro(data, "", {}, "", 0) if schema_type == "avro" else _list_json(data, "", 0)
        return dict(found)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
        return {}


# -- Avro -------------------------------------------------------------------------------------------------------------
def _list_avro(node: Any, path: str, types: dict[str, Any], space: str, depth: int) -> Iterator[tuple[str, str]]:
    if depth > MAX_DEPTH:
        return
    if isinstance(node, list):
        for branch in node:
            yield from _list_avro(branch, path, types, space, depth + 1)
    elif isinstance(node, dict):
        kind = node.get("type")
        if kind in ("record", "error"):
            if path and types.get(str(node.get("name"))) is node:
                return
            types[str(node.get("name"))] = node
            for field in node.get("fields", ()):
                own = f"{path}.{field['name']}" if path else str(field["name"])
                yield own, _name_avro(field["type"]) + _name_default(field)
                yield from _list_avro(field["type"], own, types, space, depth + 1)
        elif kind == "array":
            yield from _list_avro(node.get("items"), f"{path}[]", types, space, depth + 1)
        elif kind == "map":
            yield from _list_avro(node.get("values"), f"{path}{{}}", types, space, depth + 1)
        elif isinstance(kind, dict | list):
            yield from _list_avro(kind, path, types, space, depth + 1)


def _name_avro(node: Any) -> str:
    if isinstance(node, str):
        return node
    if isinstance(node, list):
        return " | ".join(_name_avro(branch) for branch in node)
    if not isinstance(node, dict):
        return str(node)
    kind = node.get("type")
    if kind == "array":
        return f"array of {_name_avro(node.get('items'))}"
    if kind == "map":
        return f"map of {_name_avro(node.get('values'))}"
    if kind == "enum":
        return f"enum {node.get('name')} ({', '.join(map(str, node.get('symbols', ())))})"
    if kind in NAMED:
        size = f" of {node.get('size')} bytes" if kind == "fixed" else ""
        return f"{kind} {node.get('name')}{size}"
    logical = node.get("logicalType") or node.get("connect.name")
    detail = "".join(f" {key} {node[key]}" for key in ("precision", "scale") if key in node)
    return f"{logical} ({_name_avro(kind)}{detail})" if logical else _name_avro(kind)


def _name_default(field: Mapping[str, Any]) -> str:
    return f", default {json.dumps(field['default'], ensure_ascii=False)}" if "default" in field else ""


# -- JSON Schema ------------------------------------------------------------------------------------------------------
def _list_json(node: Any, path: str, depth: int) -> Iterator[tuple[str, str]]:
    if not isinstance(node, dict) or depth > MAX_DEPTH:
        return
    required = node.get("required") if isinstance(node.get("required"), list) else ()
    properties = node.get("properties")
    for name, schema in properties.items() if isinstance(properties, dict) else ():
        own = f"{path}.{name}" if path else str(name)
        yield own, _name_json(schema) + (", required" if name in (required or ()) else "")
        yield from _list_json(schema, own, depth + 1)
    if isinstance(node.get("items"), dict):
        yield from _list_json(node["items"], f"{path}[]", depth + 1)


def _name_json(schema: Any) -> str:
    if not isinstance(schema, dict):
        return json.dumps(schema)
    kind = schema.get("type")
    words = " | ".join(map(str, kind)) if isinstance(kind, list) else str(kind or schema.get("$ref") or "any")
    limits = {key: value for key, value in schema.items() if key in ("format", "enum", "const", "default", "pattern")}
    return words + "".join(f", {key} {json.dumps(value, ensure_ascii=False)}" for key, value in limits.items())
