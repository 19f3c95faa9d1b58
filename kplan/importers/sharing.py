"""Write what all connectors of a stack have in common once, under `defaults.connector`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kplan.importers.connector_block import BlockExpander
from kplan.importers.parts import Data, flatten_block, set_at
from kplan.importers.writing import count_lines
from kplan.kinds.connector.defaults import INHERITED

# Parameters of templates that read as defaults; others, such as a slot or what a sink reads, are of one connector.
OF_TEMPLATES: Final = (
    "database",
    "connection",
    "schema_history",
    "source",
    "target",
    "heartbeat",
    "tasks",
    "tombstones",
    "snapshot",
)
SHARED: Final = INHERITED.union(OF_TEMPLATES)
FEWEST: Final = 2  # connectors that share


def share_connector_settings(data: Data, expander: BlockExpander) -> dict[str, Any]:
    """Return the data with the common settings as defaults, where it declares the same in fewer lines."""
    blocks = data.get("connectors") or {}
    if len(blocks) < FEWEST:
        return dict(data)
    rows = [flatten_block({key: value for key, value in block.items() if key in SHARED}) for block in blocks.values()]
    common = {
        path: value for path, value in rows[0].items() if all(repr(row.get(path, ...)) == repr(value) for row in rows)
    }
    if not common:
        return dict(data)
    defaults: dict[str, Any] = {}
    for path, value in common.items():
        set_at(defaults, path, value)
    sections = {**(data.get("defaults") or {}), "connector": defaults}
    shared = {name: _remove(block, defaults) for name, block in blocks.items()}
    candidate: dict[str, Any] = {}
    for key, value in data.items():
        if key in ("topics", "connectors"):
            candidate.setdefault("defaults", sections)
        candidate[key] = sections if key == "defaults" else shared if key == "connectors" else value
    is_better = count_lines(candidate) < count_lines(data) and expander.declares_same(candidate, data)
    return candidate if is_better else dict(data)


def _remove(block: Mapping[str, Any], defaults: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block without what the defaults say; a map of which nothing is left is left out."""
    rest: dict[str, Any] = {}
    for key, value in block.items():
        if key not in defaults:
            rest[key] = value
        elif isinstance(value, Mapping) and (inner := _remove(value, defaults[key])):
            rest[key] = inner
    return rest
