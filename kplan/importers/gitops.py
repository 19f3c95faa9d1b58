"""kafka-gitops' desired state file. Source: its specification, version 1.0.3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kplan.importers.found import Found
from kplan.importers.reading import Path, add_topic, leftovers, mapping, name_of, number, settings
from kplan.language.source import Document


def parse(documents: Sequence[Document], found: Found) -> None:
    """Adds the topics of the files to what was found. Raises Invalid."""
    for document in documents:
        _state(document, found)


def _state(document: Document, found: Found) -> None:
    at: Path = ("settings", "topics", "defaults", "replication")
    defaults: Any = document.data
    for step in at[:-1]:
        defaults = mapping(document, (), (defaults or {}).get(step))
    replication = number(document, at, defaults.get("replication"), -1, found)
    for name, topic in mapping(document, ("topics",), document.data.get("topics")).items():
        path: Path = ("topics", name)
        own = mapping(document, path, topic)
        add_topic(
            found,
            document,
            path,
            name_of(document, path, name),
            number(document, (*path, "partitions"), own.get("partitions"), -1, found),
            number(document, (*path, "replication"), own.get("replication"), replication, found),
            settings(document, (*path, "configs"), own.get("configs"), found),
        )
        leftovers(found, document, path, ("partitions", "replication", "configs"))
    leftovers(found, document, (), ("topics", "settings"), "kplan has no access control and no schemas")
    if "settings" in document.data:
        leftovers(found, document, ("settings",), ("topics",))
    if mapping(document, ("settings",), document.data.get("settings")).get("topics"):
        why = "what no stack declares or owns is left alone"
        leftovers(found, document, ("settings", "topics"), ("defaults",), why)
    if defaults:
        leftovers(found, document, at[:-1], ("replication",))
