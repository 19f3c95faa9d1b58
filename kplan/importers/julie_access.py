"""The bindings that JulieOps makes of the principals in a topology, with its default settings.

Source: JulieOps 4, `AclsBindingsBuilder`, `AccessControlManager` and `reference.conf`. Not read: RBAC of Confluent and
`others` (roles of one's own). With ACLs JulieOps makes nothing of the names of connectors.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from kplan.importers.grants import add_binding
from kplan.importers.reading import Path, note_unread_keys, read_list, read_map
from kplan.importers.resources import ImportedResources
from kplan.kinds.acl.operations import ANY_NAME, CLUSTER_NAME
from kplan.language.source import Document

Grant = tuple[str, str, str, str]  # operation, type of resource, name, pattern
WORKER_TOPICS: Final = {
    "status_topic": "connect-status",
    "offset_topic": "connect-offsets",
    "configs_topic": "connect-configs",
}
NO_RIGHTS: Final = "they are roles of Confluent's RBAC"
WORKER_GROUP: Final = "connect-cluster"
OF_TOPICS: Final = ("consumers", "producers")  # at a project for each of its topics, and at a topic
OF_PROJECTS: Final = (*OF_TOPICS, "streams", "ksql", "connectors")


def parse_topic_access(
    document: Document, path: Path, owner: Mapping[str, Any], topics: list[str], imported: ImportedResources
) -> None:
    """Add the bindings of the consumers and producers that `owner` names, for each of the topics."""
    for at, consumer in list_principals(document, path, owner, "consumers", imported):
        group = _read_pattern(str(consumer.get("group") or ANY_NAME))
        for topic in topics:
            add_grants(document, at, consumer, [*grant_all(("DESCRIBE", "READ"), "TOPIC", topic)], imported)
        add_grants(document, at, consumer, [("READ", "GROUP", *group)] if topics else [], imported)
        note_unread_keys(imported, document, at, ("principal", "group"))
    for at, producer in list_principals(document, path, owner, "producers", imported):
        for topic in topics:
            add_grants(document, at, producer, [*grant_all(("DESCRIBE", "WRITE"), "TOPIC", topic)], imported)
        add_grants(document, at, producer, [*_list_producer_rights(producer)] if topics else [], imported)
        note_unread_keys(imported, document, at, ("principal", "transactionId", "idempotence"))


def parse_project_access(
    document: Document, path: Path, project: Mapping[str, Any], prefix: str, imported: ImportedResources
) -> None:
    """Add the bindings of a project's streams, ksql applications and connectors; `prefix` begins its topics' names."""
    for at, streams in list_principals(document, path, project, "streams", imported):
        add_grants(document, at, streams, [*_list_streams_rights(document, at, streams, prefix)], imported)
        note_unread_keys(imported, document, at, ("principal", "topics", "applicationId", "exactlyOnce"))
    for at, application in _list_entries(document, path, project, "ksql", imported):
        add_grants(document, at, application, [*_list_ksql_rights(document, at, application, prefix)], imported)
        note_unread_keys(imported, document, at, ("principal", "topics", "applicationId"))
    for at, worker in _list_entries(document, path, project, "connectors", imported):
        add_grants(document, at, worker, [*_list_worker_rights(document, at, worker)], imported)
        note_unread_keys(imported, document, at, ("principal", "topics", "group", "connectors", *WORKER_TOPICS))
        if worker.get("connectors"):
            names = ", ".join(map(str, read_list(document, (*at, "connectors"), worker["connectors"])))
            note = f"rights of {worker['principal']} to connectors {names} are not carried over: {NO_RIGHTS}"
            imported.note(note, document.key_at(*at, "connectors"))


def _list_producer_rights(producer: Mapping[str, Any]) -> Iterator[Grant]:
    transaction = producer.get("transactionId")
    if transaction:
        name, pattern = _read_pattern(str(transaction))
        yield from ((operation, "TRANSACTIONAL_ID", name, pattern) for operation in ("DESCRIBE", "WRITE"))
    if transaction or producer.get("idempotence") is not None:
        yield "IDEMPOTENT_WRITE", "CLUSTER", CLUSTER_NAME, "LITERAL"


def _list_streams_rights(document: Document, path: Path, streams: Mapping[str, Any], prefix: str) -> Iterator[Grant]:
    yield from _list_named_topics(document, path, streams)
    application = str(streams.get("applicationId") or prefix)
    yield "ALL", "TOPIC", application, "PREFIXED"
    yield "READ", "GROUP", application, "PREFIXED"
    if streams.get("exactlyOnce") is True:
        yield from ((op, "TRANSACTIONAL_ID", application, "PREFIXED") for op in ("WRITE", "DESCRIBE"))


def _list_ksql_rights(document: Document, path: Path, application: Mapping[str, Any], prefix: str) -> Iterator[Grant]:
    yield from _list_named_topics(document, path, application)
    name = str(application.get("applicationId") or prefix)
    yield from (("ALL", kind, name, "PREFIXED") for kind in ("TOPIC", "GROUP"))


def _list_worker_rights(document: Document, path: Path, worker: Mapping[str, Any]) -> Iterator[Grant]:
    for key, default in WORKER_TOPICS.items():
        yield from grant_all(("READ", "WRITE"), "TOPIC", str(worker.get(key) or default))
    yield "CREATE", "CLUSTER", CLUSTER_NAME, "LITERAL"  # topology.connector.allow.topic.create is true by default
    yield "READ", "GROUP", str(worker.get("group") or WORKER_GROUP), "LITERAL"
    yield from _list_named_topics(document, path, worker)


def _list_named_topics(document: Document, path: Path, owner: Mapping[str, Any]) -> Iterator[Grant]:
    """Yield the rights for the topics that an application names whole, under `topics.read` and `topics.write`."""
    topics = read_map(document, (*path, "topics"), owner.get("topics"))
    for key in ("read", "write"):
        for topic in read_list(document, (*path, "topics", key), topics.get(key)):
            yield key.upper(), "TOPIC", str(topic), "LITERAL"


def grant_all(operations: tuple[str, ...], kind: str, name: str) -> Iterator[Grant]:
    """Yield each of the operations on one resource."""
    return ((operation, kind, name, "LITERAL") for operation in operations)


def _read_pattern(name: str) -> tuple[str, str]:
    """Return a group's or transactional id's name and pattern: `shop-*` is a prefix, `*` is literal."""
    return (name[:-1], "PREFIXED") if len(name) > 1 and name.endswith("*") else (name, "LITERAL")


def _list_entries(
    document: Document, path: Path, project: Mapping[str, Any], key: str, imported: ImportedResources
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the principals of a key that may hold artifacts beside them: then they are under `access_control`."""
    content = project.get(key)
    if isinstance(content, Mapping):
        yield from list_principals(document, (*path, key), content, "access_control", imported)
    else:
        yield from list_principals(document, path, project, key, imported)


def list_principals(
    document: Document, path: Path, owner: Mapping[str, Any], key: str, imported: ImportedResources
) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the entries of a list that have a principal; the others are noted. Raises Invalid."""
    for i, entry in enumerate(read_list(document, (*path, key), owner.get(key))):
        at: Path = (*path, key, i)
        data = read_map(document, at, entry, required=True)
        if data.get("principal"):
            yield at, data
        else:
            imported.note(f"{'.'.join(map(str, at))} is left out: it has no principal", document.at(*at))


def add_grants(
    document: Document, path: Path, owner: Mapping[str, Any], grants: list[Grant], imported: ImportedResources
) -> None:
    """Add the bindings of the principal that `owner` names."""
    for operation, kind, name, pattern in grants:
        add_binding(imported, document.at(*path), owner["principal"], operation, kind, name, pattern=pattern)
