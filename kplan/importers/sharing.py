"""Write what several connectors of a stack have in common once: under `defaults.connector`, or as a class of theirs."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from kplan.importers.connector_block import BlockExpander, choose_free_name
from kplan.importers.parts import Data, flatten_block, set_at
from kplan.importers.writing import count_lines
from kplan.kinds.classes import KEY_OF_CLASS
from kplan.kinds.connector.defaults import CLASS_NAME, CLASSES, INHERITED
from kplan.kinds.connector.expansion import COMMON

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
OF_ONE: Final = COMMON.union(("topic_prefix", "server_id", "slot", "publication", "reads", "reads_pattern", "group"))
FEWEST: Final = 2  # connectors that share
WORD: Final = re.compile(r"[A-Z]+(?![a-z])\d*|[A-Z]?[a-z\d]+")  # of a Java class: `S3`, `Sink`


def share_connector_settings(data: Data, expander: BlockExpander) -> dict[str, Any]:
    """Return the data with common settings as defaults and classes, where it declares the same in fewer lines."""
    shared = _choose_shorter(_share_with_all(data), data, expander)
    for name, members in _find_groups(shared):
        shared = _choose_shorter(_share_as_class(shared, name, members), shared, expander)
    return shared


def _choose_shorter(candidate: dict[str, Any] | None, data: Data, expander: BlockExpander) -> dict[str, Any]:
    """Return the candidate if it declares the same in fewer lines, else the data."""
    if candidate is None or count_lines(candidate) >= count_lines(data) or not expander.declares_same(candidate, data):
        return dict(data)
    return candidate


def _find_common(blocks: Iterable[Data], may_share: Callable[[str], bool]) -> dict[str, Any]:
    """Return what all blocks say of the keys that may be shared."""
    rows = [flatten_block({key: value for key, value in block.items() if may_share(key)}) for block in blocks]
    common: dict[str, Any] = {}
    for path, value in rows[0].items():
        if all(repr(row.get(path, ...)) == repr(value) for row in rows):
            set_at(common, path, value)
    return common


def _share_with_all(data: Data) -> dict[str, Any] | None:
    """Return the data with what all connectors say as `defaults.connector`; None where that is nothing."""
    blocks = data.get("connectors") or {}
    common = _find_common(blocks.values(), SHARED.__contains__) if len(blocks) >= FEWEST else {}
    if not common:
        return None
    rest = {name: _remove(block, common) for name, block in blocks.items()}
    return _put_section(data, "defaults", {**(data.get("defaults") or {}), "connector": common}, rest)


def _find_groups(data: Data) -> list[tuple[str, list[str]]]:
    """Return the connectors of each template and of each Java class, with a name for their class in the stack."""
    groups: dict[str, list[str]] = {}
    for name, block in (data.get("connectors") or {}).items():
        groups.setdefault(str(block.get("template") or block.get(KEY_OF_CLASS) or ""), []).append(name)
    taken: set[str] = set()
    found = []
    for kind, members in groups.items():
        simple = "-".join(word.lower() for word in WORD.findall(kind.rpartition(".")[2].removesuffix("Connector")))
        if simple == kind:  # a template, of which the class is what some connectors have in common
            simple = kind.removeprefix("debezium-") if kind.startswith("debezium-") else f"{kind}-common"
        if len(members) >= FEWEST and CLASS_NAME.fullmatch(simple):
            found.append((choose_free_name(simple, taken), members))
    return found


def _is_of_class(key: str) -> bool:
    """Whether connectors of one template may share a key: all parameters but those that tell them apart."""
    return key in SHARED or key not in OF_ONE


def _share_as_class(data: Data, name: str, members: list[str]) -> dict[str, Any] | None:
    """Return the data with what the members say as their class; None where that is nothing."""
    blocks = data["connectors"]
    common = _find_common((blocks[member] for member in members), _is_of_class)
    if not common:
        return None
    rest = dict(blocks)
    for member in members:
        own = _remove(blocks[member], common)
        java_class = own.pop(KEY_OF_CLASS, None)
        if java_class is not None:
            common["config"] = {"connector.class": java_class, **common.get("config", {})}
        rest[member] = {**{key: own.pop(key) for key in ("template",) if key in own}, KEY_OF_CLASS: name, **own}
    return _put_section(data, CLASSES, {**(data.get(CLASSES) or {}), name: common}, rest)


def _put_section(data: Data, section: str, content: Data, connectors: Data) -> dict[str, Any]:
    """Return the data with a section before its topics and connectors, and with these connectors."""
    result: dict[str, Any] = {}
    for key, value in data.items():
        if key in ("topics", "connectors"):
            result.setdefault(section, content)
        result[key] = content if key == section else connectors if key == "connectors" else value
    return result


def _remove(block: Mapping[str, Any], shared: Mapping[str, Any]) -> dict[str, Any]:
    """Return the block without what is shared; a map of which nothing is left is left out."""
    rest: dict[str, Any] = {}
    for key, value in block.items():
        if key not in shared:
            rest[key] = value
        elif isinstance(value, Mapping) and (inner := _remove(value, shared[key])):
            rest[key] = inner
    return rest
