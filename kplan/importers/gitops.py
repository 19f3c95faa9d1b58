"""kafka-gitops' desired state file. Source: its specification, version 1.0.3."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kplan.importers.gitops_access import ACCESS_KEYS, parse_access
from kplan.importers.reading import Path, add_topic, note_unread_keys, read_count, read_map, read_name, read_settings
from kplan.importers.resources import ImportedResources
from kplan.language.source import Document


def parse(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add the topics and bindings of the files to `imported`. Raises Invalid."""
    for document in documents:
        _parse_state(document, imported)


def _parse_state(document: Document, imported: ImportedResources) -> None:
    """Add what one desired state file declares."""
    defaults_path: Path = ("settings", "topics", "defaults", "replication")
    defaults: Any = document.data
    for step in defaults_path[:-1]:
        defaults = read_map(document, (), (defaults or {}).get(step))
    replication = read_count(document, defaults_path, defaults.get("replication"), -1, imported)
    for name, topic in read_map(document, ("topics",), document.data.get("topics")).items():
        path: Path = ("topics", name)
        settings_of_topic = read_map(document, path, topic)
        add_topic(
            imported,
            document,
            path,
            read_name(document, path, name),
            read_count(document, (*path, "partitions"), settings_of_topic.get("partitions"), -1, imported),
            read_count(document, (*path, "replication"), settings_of_topic.get("replication"), replication, imported),
            read_settings(document, (*path, "configs"), settings_of_topic.get("configs"), imported),
        )
        note_unread_keys(imported, document, path, ("partitions", "replication", "configs"))
    parse_access(document, imported)
    note_unread_keys(imported, document, (), ("topics", "settings", *ACCESS_KEYS))
    if "settings" in document.data:
        note_unread_keys(imported, document, ("settings",), ("topics", "services"))
    if read_map(document, ("settings",), document.data.get("settings")).get("topics"):
        reason = "what no stack declares or owns is left alone"
        note_unread_keys(imported, document, ("settings", "topics"), ("defaults",), reason)
    if defaults:
        note_unread_keys(imported, document, defaults_path[:-1], ("replication",))
