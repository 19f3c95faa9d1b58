"""Jikkou's KafkaTopic and KafkaConnector, one by one or in lists, with the ConfigMaps that topics refer to.

Source: Jikkou's reference, `kafka.jikkou.io/v1beta2` (topics), `kafka.jikkou.io/v1beta1` (connectors) and
`core.jikkou.io/v1beta2` (ConfigMap); a topic's own configs win over those of its ConfigMaps.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from kplan.importers.found import Found
from kplan.importers.reading import (
    Path,
    add_connector,
    add_topic,
    leftovers,
    listing,
    mapping,
    name_of,
    number,
    refused,
    settings,
    state,
    written,
)
from kplan.language.source import Document

Maps = dict[str, dict[str, str]]
CONFIG_MAP = "ConfigMap"
CLUSTER = "kafka.jikkou.io/connect-cluster"
DELETE = ("jikkou.io/delete", "core.jikkou.io/delete")


def parse(documents: Sequence[Document], found: Found) -> None:
    """Adds what the files hold to what was found. Raises Invalid."""
    parts = [(document, path, data) for document in documents for path, data in _each(document)]
    maps = dict(_config_map(document, path, found) for document, path, data in parts if data.get("kind") == CONFIG_MAP)
    for document, path, data in parts:
        kind = data.get("kind")
        if kind == "KafkaTopic":
            _topic(document, path, maps, found)
        elif kind == "KafkaConnector":
            _connector(document, path, found)
        elif kind != CONFIG_MAP:
            name = mapping(document, (*path, "metadata"), data.get("metadata")).get("name", "")
            what = f"{kind} {name}".strip()
            found.note(f"{what} is not carried over: only topics and connectors are", document.at(*path, "kind"))


def _each(document: Document) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The document's resource with its place and kind, or those of a list, whose own may be said by the list alone."""
    kind = str(document.data.get("kind") or "")
    if not kind.endswith("List"):
        yield (), document.data
        return
    for i, each in enumerate(listing(document, ("items",), document.data.get("items"))):
        item = mapping(document, ("items", i), each, needed=True)
        yield ("items", i), {"kind": kind.removesuffix("List"), **item}


def _config_map(document: Document, path: Path, found: Found) -> tuple[str, dict[str, str]]:
    data = _at(document, path)
    metadata = mapping(document, (*path, "metadata"), data.get("metadata"), needed=True)
    name = name_of(document, (*path, "metadata", "name"), metadata.get("name"))
    return name, settings(document, (*path, "data"), data.get("data"), found)


def _at(document: Document, path: Path) -> dict[str, Any]:
    data: Any = document.data
    for step in path:
        data = data[step]
    return mapping(document, path, data, needed=True)


def _topic(document: Document, path: Path, maps: Maps, found: Found) -> None:
    data = _at(document, path)
    metadata = mapping(document, (*path, "metadata"), data.get("metadata"), needed=True)
    name = name_of(document, (*path, "metadata", "name"), metadata.get("name"))
    annotations = mapping(document, (*path, "metadata", "annotations"), metadata.get("annotations"))
    if any(str(annotations.get(key, "")).lower() == "true" for key in DELETE):
        why = "it is marked to be deleted; `removed:` says that in a stack"
        found.note(f"topic/{name} is left out: {why}", document.key_at(*path, "metadata", "annotations"))
        return
    at: Path = (*path, "spec")
    spec = mapping(document, at, data.get("spec"), needed=True)
    config: dict[str, str] = {}
    for i, ref in enumerate(listing(document, (*at, "configMapRefs"), spec.get("configMapRefs"))):
        if not isinstance(ref, str) or ref not in maps:
            raise refused(
                f"topic {name}: there is no ConfigMap {ref!r} in the file", document.at(*at, "configMapRefs", i)
            )
        config |= maps[ref]
    config |= settings(document, (*at, "configs"), spec.get("configs"), found)
    add_topic(
        found,
        document,
        (*path, "metadata", "name"),
        name,
        number(document, (*at, "partitions"), spec.get("partitions"), -1, found),
        number(document, (*at, "replicas"), spec.get("replicas"), -1, found),
        config,
    )
    leftovers(found, document, at, ("partitions", "replicas", "configs", "configMapRefs"))


def _connector(document: Document, path: Path, found: Found) -> None:
    data = _at(document, path)
    metadata = mapping(document, (*path, "metadata"), data.get("metadata"), needed=True)
    name = name_of(document, (*path, "metadata", "name"), metadata.get("name"))
    at: Path = (*path, "spec")
    spec = mapping(document, at, data.get("spec"), needed=True)
    config = settings(document, (*at, "config"), spec.get("config"), found)
    if spec.get("connectorClass"):
        config["connector.class"] = written(spec["connectorClass"])
    if spec.get("tasksMax") is not None:
        config["tasks.max"] = str(number(document, (*at, "tasksMax"), spec["tasksMax"], 1, found))
    began = state(document, (*at, "state"), spec.get("state"))
    add_connector(found, document, (*path, "metadata", "name"), name, config, began)
    labels = mapping(document, (*path, "metadata", "labels"), metadata.get("labels"))
    found.belongs("Connect cluster", labels.get(CLUSTER), name)
    leftovers(found, document, at, ("connectorClass", "tasksMax", "config", "state", "status"))
