"""The published schemas, and how a document relates to one: what it does not describe, where its enumerations are."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).parents[1] / "schemas"
Steps = tuple[str | int, ...]


def published(name: str) -> dict[str, Any]:
    """Read the schema `schemas/NAME.json`."""
    schema: dict[str, Any] = json.loads((FOLDER / f"{name}.json").read_text("utf-8"))
    return schema


def strict(schema: Any) -> Any:
    """Return the schema that takes no key which it does not describe. The published one does, for later versions."""
    schema = copy.deepcopy(schema)
    for part in objects(schema):
        if "properties" in part and "additionalProperties" not in part:
            part["additionalProperties"] = False
    return schema


def objects(schema: Any) -> Iterator[dict[str, Any]]:
    """Yield each object of a schema."""
    if isinstance(schema, dict):
        yield schema
        for child in schema.values():
            yield from objects(child)
    elif isinstance(schema, list):
        for child in schema:
            yield from objects(child)


def find_enumerations(data: Any, schema: Mapping[str, Any], part: Any = None, at: Steps = ()) -> Iterator[Steps]:
    """Yield the place of each value of `data` that `schema` takes from an enumeration."""
    part = schema if part is None and not at else part
    if not isinstance(part, Mapping):
        return
    if reference := part.get("$ref"):
        yield from find_enumerations(data, schema, schema["$defs"][reference.removeprefix("#/$defs/")], at)
    if "enum" in part and data in part["enum"] and isinstance(data, str | list) and data:
        yield at
    branches = [branch for key in ("anyOf", "oneOf", "allOf") for branch in part.get(key, ())]
    branches += [part[key] for key in ("then", "else") if key in part]
    for branch in branches:
        yield from find_enumerations(data, schema, branch, at)
    if isinstance(data, dict):
        properties, rest = part.get("properties", {}), part.get("additionalProperties")
        for key, value in data.items():
            yield from find_enumerations(value, schema, properties.get(key, rest or {}), (*at, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from find_enumerations(value, schema, part.get("items", {}), (*at, index))


def find_objects(data: Any, maps: frozenset[str], at: Steps = ()) -> Iterator[Steps]:
    """Yield the place of each object of `data`; not those whose keys are data themselves, under a key of `maps`."""
    if isinstance(data, dict):
        if not (at and at[-1] in maps):
            yield at
        for key, value in data.items():
            yield from find_objects(value, maps, (*at, key))
    elif isinstance(data, list):
        for index, value in enumerate(data):
            yield from find_objects(value, maps, (*at, index))


def value_at(data: Any, steps: Steps) -> Any:
    for step in steps:
        data = data[step]
    return data
