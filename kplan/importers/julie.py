"""A topology of JulieOps (earlier: Kafka Topology Builder).

A topic's name is put together as JulieOps does by default: `context`, the other texts at the top in their order, the
project, the topic and its `dataType`, with dots between; that of one in `special_topics` is whole. Source: its
documentation of descriptors, of `topology.topic.prefix.format` and of out of the box topics.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from kplan.importers.julie_access import (
    NO_RIGHTS,
    OF_PROJECTS,
    OF_TOPICS,
    list_principals,
    parse_project_access,
    parse_topic_access,
)
from kplan.importers.julie_platform import PLATFORM, note_roles, parse_platform
from kplan.importers.reading import (
    Path,
    add_topic,
    note_unread_keys,
    read_count,
    read_list,
    read_map,
    read_name,
    read_settings,
)
from kplan.importers.resources import ImportedResources
from kplan.language.source import Document

SPECIAL = "special_topics"
PARTITIONS, REPLICAS = "num.partitions", "replication.factor"


def parse(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add the topics and bindings of the files to `imported`. Raises Invalid."""
    for document in documents:
        _parse_topology(document, imported)


def _parse_topology(document: Document, imported: ImportedResources) -> None:
    """Add what one topology declares."""
    data = document.data
    texts = {key: str(value) for key, value in data.items() if isinstance(value, str | int) and key != "context"}
    prefix = [str(data["context"])] if data.get("context") else []
    prefix += texts.values()
    for i, project in enumerate(read_list(document, ("projects",), data.get("projects"))):
        _parse_project(
            document, ("projects", i), read_map(document, ("projects", i), project, required=True), prefix, imported
        )
    for i, topic in enumerate(read_list(document, (SPECIAL,), data.get(SPECIAL))):
        _parse_topic(document, (SPECIAL, i), topic, None, imported)
    parse_platform(document, imported)
    note_unread_keys(imported, document, (), ("context", "projects", SPECIAL, PLATFORM, *texts))
    if prefix:
        imported.note(f"topics' names begin with {'.'.join(prefix)}, as JulieOps makes them by default", document.at())


def _parse_project(
    document: Document, path: Path, project: dict[str, Any], prefix: Sequence[str], imported: ImportedResources
) -> None:
    name = read_name(document, (*path, "name"), project.get("name"))
    topics = [
        _parse_topic(document, (*path, "topics", i), topic, [*prefix, name], imported)
        for i, topic in enumerate(read_list(document, (*path, "topics"), project.get("topics")))
    ]
    _note_artifacts(document, path, project, imported)
    note_roles(document, (*path, "rbac"), project.get("rbac"), f" on project {name}", imported)
    _note_schema_roles(document, path, project, imported)
    parse_topic_access(document, path, project, topics, imported)
    parse_project_access(document, path, project, "".join(f"{part}." for part in (*prefix, name)), imported)
    note_unread_keys(imported, document, path, ("name", "topics", "rbac", "schemas", *OF_PROJECTS))


def _parse_topic(
    document: Document, path: Path, topic: Any, prefix: Sequence[str] | None, imported: ImportedResources
) -> str:
    """Add a project's topic with its prefix, or with None a special one, whose name is complete; return the name."""
    entry = read_map(document, path, topic, required=True)
    config = read_settings(document, (*path, "config"), entry.get("config"), imported)
    name = read_name(document, (*path, "name"), entry.get("name"))
    kind = [str(entry["dataType"])] if entry.get("dataType") else []
    if prefix is not None:
        name = ".".join([*prefix, name, *kind])
    elif kind:
        imported.note(f"topic/{name}: its dataType is not carried over", document.key_at(*path, "dataType"))
    add_topic(
        imported,
        document,
        (*path, "name"),
        name,
        read_count(document, (*path, "config", PARTITIONS), config.pop(PARTITIONS, None), -1, imported),
        read_count(document, (*path, "config", REPLICAS), config.pop(REPLICAS, None), -1, imported),
        config,
    )
    parse_topic_access(document, path, entry, [name], imported)
    _note_schema_files(document, path, name, entry.get("schemas"), imported)
    note_unread_keys(imported, document, path, ("name", "config", "dataType", "schemas", *OF_TOPICS))
    return name


def _note_schema_roles(document: Document, path: Path, project: dict[str, Any], imported: ImportedResources) -> None:
    """Note who has a role for subjects of the registry, which no ACL can say."""
    for at, entry in list_principals(document, path, project, "schemas", imported):
        subjects = ", ".join(map(str, read_list(document, (*at, "subjects"), entry.get("subjects"))))
        note = f"rights of {entry['principal']} to subjects {subjects} are not carried over: {NO_RIGHTS}"
        imported.note(note, document.at(*at))


def _note_schema_files(document: Document, path: Path, topic: str, entry: Any, imported: ImportedResources) -> None:
    """Note the files of a topic's schemas, with the line that declares each."""
    for i, files in enumerate(entry if isinstance(entry, list) else [entry]):
        at: Path = (*path, "schemas", i) if isinstance(entry, list) else (*path, "schemas")
        for key, file in files.items() if isinstance(files, dict) else ():
            part = str(key).partition(".")[0]
            help = f": write `schema: {{{part}: {file}}}` at the topic" if part in ("key", "value") else ""
            imported.note(f"topic/{topic}: schemas.{key} {file} is not carried over{help}", document.at(*at, key))


def _note_artifacts(document: Document, path: Path, project: dict[str, Any], imported: ImportedResources) -> None:
    """Note the connectors, which JulieOps keeps in separate JSON files, and the queries of ksql."""
    for key in ("connectors", "ksql"):
        if isinstance(project.get(key), dict):
            note_unread_keys(imported, document, (*path, key), ("artifacts", "access_control"))
    connectors = project.get("connectors")
    connectors_path: Path = (*path, "connectors")
    artifacts = connectors.get("artifacts") if isinstance(connectors, dict) else None
    for i, artifact in enumerate(read_list(document, (*connectors_path, "artifacts"), artifacts)):
        file = artifact.get("path", "") if isinstance(artifact, dict) else ""
        imported.note(
            f"connector file {file} is one of its own: give it with --file too",
            document.at(*connectors_path, "artifacts", i),
        )
