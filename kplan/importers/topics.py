"""A plain list of topics: `kafka: {topics: {KEY: {name, partitions, replication_factor, config}}}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kplan.importers.reading import Path, add_topic, note_unread_keys, read_count, read_map, read_name, read_settings
from kplan.importers.resources import ImportedResources
from kplan.language.source import Document

KNOWN_KEYS = ("name", "partitions", "replication_factor", "config", "description")


def parse(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add the topics of the files to `imported`. Raises Invalid."""
    for document in documents:
        kafka = document.data.get("kafka")
        topics_path: Path = ("kafka", "topics") if isinstance(kafka, dict) else ("topics",)
        topics = kafka.get("topics") if isinstance(kafka, dict) else document.data.get("topics")
        for key, topic in _list_topics(document, topics_path, topics):
            _parse_topic(document, (*topics_path, key), topic, imported)
        if isinstance(kafka, dict):
            note_unread_keys(imported, document, ("kafka",), ("topics",))
        note_unread_keys(imported, document, (), ("kafka", "topics"))


def _list_topics(document: Document, path: Path, topics: Any) -> list[tuple[str | int, Any]]:
    """Return the topics of a list or a map, each with its key."""
    if isinstance(topics, list):
        return list(enumerate(topics))
    return list(read_map(document, path, topics).items())


def _parse_topic(document: Document, path: Path, topic: Any, imported: ImportedResources) -> None:
    entry = read_map(document, path, topic)
    name = read_name(document, (*path, "name"), entry.get("name", path[-1] if isinstance(path[-1], str) else None))
    add_topic(
        imported,
        document,
        path,
        name,
        read_count(document, (*path, "partitions"), entry.get("partitions"), -1, imported),
        read_count(document, (*path, "replication_factor"), entry.get("replication_factor"), -1, imported),
        read_settings(document, (*path, "config"), entry.get("config"), imported),
    )
    if entry:
        note_unread_keys(imported, document, path, KNOWN_KEYS)
