"""Jikkou's resources, one by one or in lists, with the ConfigMaps that topics refer to.

Source: Jikkou's reference, `kafka.jikkou.io/v1beta2` (topics), `kafka.jikkou.io/v1beta1` (connectors) and
`core.jikkou.io/v1beta2` (ConfigMap); a topic's own configs win over those of its ConfigMaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kplan.importers.jikkou_access import AUTHORIZATION, PARSERS, ROLE, JikkouResource
from kplan.importers.reading import (
    Path,
    add_connector,
    add_topic,
    file_error,
    note_unread_keys,
    read_count,
    read_labels,
    read_list,
    read_map,
    read_name,
    read_settings,
    read_state,
    to_text,
)
from kplan.importers.resources import ImportedResources, shorten_names
from kplan.language.source import Document

Maps = dict[str, dict[str, str]]
CONFIG_MAP = "ConfigMap"
CLUSTER_LABEL = "kafka.jikkou.io/connect-cluster"
DELETE_ANNOTATIONS = ("jikkou.io/delete", "core.jikkou.io/delete")


def parse(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add the resources of the files to `imported`. Raises Invalid."""
    resources = [(document, path, data) for document in documents for path, data in _list_resources(document)]
    maps = dict(
        _read_config_map(document, path, imported)
        for document, path, data in resources
        if data.get("kind") == CONFIG_MAP
    )
    if maps and not any(data.get("kind") == "KafkaTopic" for _, _, data in resources):
        imported.note(f"ConfigMap {shorten_names(list(maps))} is left out: no topic in the file refers to it")
    roles = {
        role.read_name(): role for role in (JikkouResource(*each) for each in resources if each[2].get("kind") == ROLE)
    }
    if roles and not any(data.get("kind") == AUTHORIZATION for _, _, data in resources):
        imported.note(f"{ROLE} {shorten_names(list(roles))} is left out: no principal in the file has the role")
    for document, path, data in resources:
        kind = data.get("kind")
        if kind == "KafkaTopic":
            _parse_topic(document, path, maps, imported)
        elif kind == "KafkaConnector":
            _parse_connector(document, path, imported)
        elif parse_resource := PARSERS.get(str(kind)):
            parse_resource(JikkouResource(document, path, data), roles, imported)
        elif kind not in (CONFIG_MAP, ROLE):
            name = read_map(document, (*path, "metadata"), data.get("metadata")).get("name", "")
            note = f"{kind} {name}".strip()
            imported.note(f"{note} is not carried over: a stack has no such thing", document.at(*path, "kind"))


def _list_resources(document: Document) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Yield the document's resource with its path and kind, or those of a list, whose items may have no kind."""
    kind = str(document.data.get("kind") or "")
    if not kind.endswith("List"):
        yield (), document.data
        return
    for i, entry in enumerate(read_list(document, ("items",), document.data.get("items"))):
        item = read_map(document, ("items", i), entry, required=True)
        yield ("items", i), {"kind": kind.removesuffix("List"), **item}


def _read_config_map(document: Document, path: Path, imported: ImportedResources) -> tuple[str, dict[str, str]]:
    data = _resource_at(document, path)
    metadata = read_map(document, (*path, "metadata"), data.get("metadata"), required=True)
    name = read_name(document, (*path, "metadata", "name"), metadata.get("name"))
    return name, read_settings(document, (*path, "data"), data.get("data"), imported)


def _resource_at(document: Document, path: Path) -> dict[str, Any]:
    data: Any = document.data
    for step in path:
        data = data[step]
    return read_map(document, path, data, required=True)


def _parse_topic(document: Document, path: Path, maps: Maps, imported: ImportedResources) -> None:
    data = _resource_at(document, path)
    metadata = read_map(document, (*path, "metadata"), data.get("metadata"), required=True)
    name = read_name(document, (*path, "metadata", "name"), metadata.get("name"))
    annotations = read_map(document, (*path, "metadata", "annotations"), metadata.get("annotations"))
    if any(str(annotations.get(key, "")).lower() == "true" for key in DELETE_ANNOTATIONS):
        reason = "it is marked to be deleted; `removed:` says that in a stack"
        imported.note(f"topic/{name} is left out: {reason}", document.key_at(*path, "metadata", "annotations"))
        return
    spec_path: Path = (*path, "spec")
    spec = read_map(document, spec_path, data.get("spec"), required=True)
    config: dict[str, str] = {}
    for i, reference in enumerate(read_list(document, (*spec_path, "configMapRefs"), spec.get("configMapRefs"))):
        if not isinstance(reference, str) or reference not in maps:
            raise file_error(
                f"topic {name}: there is no ConfigMap {reference!r} in the file",
                document.at(*spec_path, "configMapRefs", i),
            )
        config |= maps[reference]
    config |= read_settings(document, (*spec_path, "configs"), spec.get("configs"), imported)
    add_topic(
        imported,
        document,
        (*path, "metadata", "name"),
        name,
        read_count(document, (*spec_path, "partitions"), spec.get("partitions"), -1, imported),
        read_count(document, (*spec_path, "replicas"), spec.get("replicas"), -1, imported),
        config,
        rules=read_labels(document, (*path, "metadata"), imported),
    )
    note_unread_keys(imported, document, spec_path, ("partitions", "replicas", "configs", "configMapRefs"))


def _parse_connector(document: Document, path: Path, imported: ImportedResources) -> None:
    data = _resource_at(document, path)
    metadata = read_map(document, (*path, "metadata"), data.get("metadata"), required=True)
    name = read_name(document, (*path, "metadata", "name"), metadata.get("name"))
    spec_path: Path = (*path, "spec")
    spec = read_map(document, spec_path, data.get("spec"), required=True)
    config = read_settings(document, (*spec_path, "config"), spec.get("config"), imported)
    if spec.get("connectorClass"):
        config["connector.class"] = to_text(spec["connectorClass"])
    if spec.get("tasksMax") is not None:
        config["tasks.max"] = str(read_count(document, (*spec_path, "tasksMax"), spec["tasksMax"], 1, imported))
    initial_state = read_state(document, (*spec_path, "state"), spec.get("state"))
    rules = read_labels(document, (*path, "metadata"), imported)
    add_connector(imported, document, (*path, "metadata", "name"), name, config, initial_state, rules=rules)
    labels = read_map(document, (*path, "metadata", "labels"), metadata.get("labels"))
    imported.add_to_cluster("Connect cluster", labels.get(CLUSTER_LABEL), name)
    note_unread_keys(imported, document, spec_path, ("connectorClass", "tasksMax", "config", "state", "status"))
