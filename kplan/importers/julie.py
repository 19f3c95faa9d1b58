"""A topology of JulieOps (the Kafka Topology Builder before).

A topic's name is put together as JulieOps does by default: `context`, the other texts at the top in their order, the
project, the topic and its `dataType`, with dots between; that of one in `special_topics` is whole. Source: its
documentation of descriptors, of `topology.topic.prefix.format` and of out of the box topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kplan.importers.found import Found
from kplan.importers.reading import Path, add_topic, leftovers, listing, mapping, name_of, number, settings
from kplan.language.source import Document

SPECIAL = "special_topics"
PARTITIONS, REPLICAS = "num.partitions", "replication.factor"


def parse(documents: Sequence[Document], found: Found) -> None:
    """Adds the topics of the files to what was found. Raises Invalid."""
    for document in documents:
        _topology(document, found)


def _topology(document: Document, found: Found) -> None:
    data = document.data
    texts = {key: str(value) for key, value in data.items() if isinstance(value, str | int) and key != "context"}
    prefix = [str(data["context"])] if data.get("context") else []
    prefix += texts.values()
    for i, project in enumerate(listing(document, ("projects",), data.get("projects"))):
        _project(document, ("projects", i), mapping(document, ("projects", i), project, needed=True), prefix, found)
    for i, topic in enumerate(listing(document, (SPECIAL,), data.get(SPECIAL))):
        _topic(document, (SPECIAL, i), topic, None, found)
    leftovers(found, document, (), ("context", "projects", SPECIAL, *texts), "kplan has no access control")
    if prefix:
        found.note(f"topics' names begin with {'.'.join(prefix)}, as JulieOps makes them by default", document.at())


def _project(document: Document, path: Path, project: dict[str, Any], prefix: Sequence[str], found: Found) -> None:
    name = name_of(document, (*path, "name"), project.get("name"))
    for i, topic in enumerate(listing(document, (*path, "topics"), project.get("topics"))):
        _topic(document, (*path, "topics", i), topic, [*prefix, name], found)
    _connectors(document, path, project.get("connectors"), found)
    leftovers(found, document, path, ("name", "topics", "connectors"), "kplan has no access control")


def _topic(document: Document, at: Path, topic: Any, prefix: Sequence[str] | None, found: Found) -> None:
    """A project's topic behind its prefix, or with None a special one, whose name is whole as it stands."""
    own = mapping(document, at, topic, needed=True)
    config = settings(document, (*at, "config"), own.get("config"), found)
    name = name_of(document, (*at, "name"), own.get("name"))
    kind = [str(own["dataType"])] if own.get("dataType") else []
    if prefix is not None:
        name = ".".join([*prefix, name, *kind])
    elif kind:
        found.note(f"topic/{name}: its dataType is not carried over", document.key_at(*at, "dataType"))
    add_topic(
        found,
        document,
        (*at, "name"),
        name,
        number(document, (*at, "config", PARTITIONS), config.pop(PARTITIONS, None), -1, found),
        number(document, (*at, "config", REPLICAS), config.pop(REPLICAS, None), -1, found),
        config,
    )
    leftovers(found, document, at, ("name", "config", "dataType"))


def _connectors(document: Document, path: Path, connectors: Any, found: Found) -> None:
    """JulieOps keeps connectors in JSON files of their own; the rest under that key is access control."""
    at: Path = (*path, "connectors")
    artifacts = connectors.get("artifacts") if isinstance(connectors, dict) else None
    for i, each in enumerate(listing(document, (*at, "artifacts"), artifacts)):
        where = each.get("path", "") if isinstance(each, dict) else ""
        found.note(
            f"connector file {where} is one of its own: give it with --file too", document.at(*at, "artifacts", i)
        )
    if connectors and not artifacts:
        found.note("connectors is not carried over: kplan has no access control", document.key_at(*at))
    if artifacts:
        leftovers(found, document, at, ("artifacts",), "kplan has no access control")
