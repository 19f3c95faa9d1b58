"""Puts predicted fields into the schemas that a connector has registered already.

All else of an envelope stays as it is, so that a `source` block of another version of Debezium is no change.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from kplan.kinds.connector.debezium.prediction.records import RECORDS, write_fields
from kplan.kinds.connector.debezium.prediction.structure import Fields


def graft_value(registered: str, fields: Fields) -> str | None:
    """Return the registered envelope with these fields in its rows; None where it is no envelope of Debezium's."""
    envelope = _load(registered)
    row = _find_row(envelope)
    if row is None:
        return None
    row["fields"] = write_fields(fields, _collect_records(row))
    return json.dumps(envelope)


def graft_key(registered: str, fields: Fields) -> str | None:
    """Return the registered key with these fields; None where it is no record."""
    key = _load(registered)
    if not isinstance(key, dict) or key.get("type") != "record":
        return None
    key["fields"] = write_fields(fields, _collect_records(key))
    return json.dumps(key)


def _load(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _find_row(envelope: Any) -> dict[str, Any] | None:
    """Return the record of a row, which an envelope defines at `before`."""
    if not isinstance(envelope, dict) or envelope.get("type") != "record":
        return None
    types = {each.get("name"): each.get("type") for each in envelope.get("fields", ()) if isinstance(each, dict)}
    branches = types.get("before")
    if "after" not in types or not isinstance(branches, list):
        return None
    return next((each for each in branches if isinstance(each, dict) and each.get("type") == "record"), None)


def _collect_records(row: Mapping[str, Any]) -> Mapping[str, Mapping[str, Any]]:
    """Return the definitions of Debezium's own records: those of the version that registered, where it has them."""
    found: dict[str, Any] = {}
    for each in row["fields"]:
        _take_records(each, "", found)
    return {**RECORDS, **{name: each for name, each in found.items() if name in RECORDS}}


def _take_records(node: Any, space: str, found: dict[str, Any]) -> Any:
    """Return a type with full names in place of the records that it defines, which are added to `found`."""
    if isinstance(node, list):
        return [_take_records(each, space, found) for each in node]
    if isinstance(node, str):
        return f"{space}.{node}" if f"{space}.{node}" in found else node
    if node.get("type") != "record":
        return {**node, **{k: _take_records(node[k], space, found) for k in ("type", "items", "values") if k in node}}
    space = node.get("namespace", space)
    name = f"{space}.{node['name']}"
    found[name] = {**node, "fields": [_take_records(each, space, found) for each in node["fields"]]}
    return name
