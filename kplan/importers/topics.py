"""A plain list of topics: `kafka: {topics: {KEY: {name, partitions, replication_factor, config}}}`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kplan.importers.found import Found
from kplan.importers.reading import Path, add_topic, leftovers, mapping, name_of, number, settings
from kplan.language.source import Document

KNOWN = ("name", "partitions", "replication_factor", "config", "description")


def parse(documents: Sequence[Document], found: Found) -> None:
    """Adds the topics of the files to what was found. Raises Invalid."""
    for document in documents:
        kafka = document.data.get("kafka")
        above: Path = ("kafka", "topics") if isinstance(kafka, dict) else ("topics",)
        topics = kafka.get("topics") if isinstance(kafka, dict) else document.data.get("topics")
        for step, topic in _each(document, above, topics):
            _topic(document, (*above, step), topic, found)
        if isinstance(kafka, dict):
            leftovers(found, document, ("kafka",), ("topics",))
        leftovers(found, document, (), ("kafka", "topics"))


def _each(document: Document, path: Path, topics: Any) -> list[tuple[str | int, Any]]:
    if isinstance(topics, list):
        return list(enumerate(topics))
    return list(mapping(document, path, topics).items())


def _topic(document: Document, path: Path, topic: Any, found: Found) -> None:
    own = mapping(document, path, topic)
    name = name_of(document, (*path, "name"), own.get("name", path[-1] if isinstance(path[-1], str) else None))
    add_topic(
        found,
        document,
        path,
        name,
        number(document, (*path, "partitions"), own.get("partitions"), -1, found),
        number(document, (*path, "replication_factor"), own.get("replication_factor"), -1, found),
        settings(document, (*path, "config"), own.get("config"), found),
    )
    if own:
        leftovers(found, document, path, KNOWN)
