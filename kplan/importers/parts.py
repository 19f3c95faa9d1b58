"""Parts of a stack that an import writes, each with the resources that it is to declare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field
from typing import Any

from kplan.importers.writing import escape_template
from kplan.model import Resource, Rules
from kplan.values import dataclass

Data = Mapping[str, Any]
KeyPath = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class StackPart:
    """One block or entry under one section, and the resources that it is to declare."""

    section: str
    key: str  # of a block; empty for an entry of a list
    content: Data
    resources: tuple[Resource, ...]
    variables: Data = field(default_factory=dict)

    @property
    def name(self) -> str:
        return f"{self.section}: {self.key or self.resources[0].name}"


def write_rules(rules: Rules) -> dict[str, Any]:
    """Return what a block says about its resource, beside what it is."""
    ignored = sorted(map(escape_template, rules.ignore))
    labels = {key: escape_template(value) for key, value in rules.labels.items()}
    said = {
        "protect": rules.protect,
        "team": rules.team,
        "labels": labels,
        "description": escape_template(rules.description),
        "ignore": ignored,
    }
    return {key: value for key, value in said.items() if value}


def flatten_block(block: Data, above: KeyPath = ()) -> dict[KeyPath, Any]:
    """Return the settings of a block by their paths; a list is one setting."""
    flat: dict[KeyPath, Any] = {}
    for key, value in block.items():
        flat |= flatten_block(value, (*above, key)) if isinstance(value, Mapping) else {(*above, key): value}
    return flat


def set_at(block: dict[str, Any], path: Sequence[str], value: Any) -> None:
    """Set the setting at a path, with the maps that are above it."""
    inner = block
    for part in path[:-1]:
        inner = inner.setdefault(part, {})
    inner[path[-1]] = value
