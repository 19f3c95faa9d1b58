"""Strimzi's KafkaTopic and KafkaConnector (`kafka.strimzi.io`), one or many to a file, a Kubernetes `List` too.

Source: Strimzi's API reference, KafkaTopicSpec and KafkaConnectorSpec.
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
    settings,
    state,
    written,
)
from kplan.language.source import Document


def parse(documents: Sequence[Document], found: Found) -> None:
    """Adds what the files hold to what was found. Raises Invalid."""
    for document in documents:
        for path, data in _each(document):
            _resource(document, path, mapping(document, path, data, needed=True), found)


def _each(document: Document) -> Iterator[tuple[Path, Any]]:
    """The document's resource, or those of a `List`."""
    if "items" not in document.data:
        yield (), document.data
        return
    for i, each in enumerate(listing(document, ("items",), document.data["items"])):
        yield ("items", i), each


def _resource(document: Document, path: Path, data: dict[str, Any], found: Found) -> None:
    kind = data.get("kind")
    if kind == "KafkaTopic":
        _topic(document, path, data, found)
    elif kind == "KafkaConnector":
        _connector(document, path, data, found)
    else:
        name = mapping(document, (*path, "metadata"), data.get("metadata")).get("name", "")
        found.note(f"{kind} {name} is not carried over: only KafkaTopic and KafkaConnector are", document.key_at(*path))


def _topic(document: Document, path: Path, data: dict[str, Any], found: Found) -> None:
    at = (*path, "spec")
    metadata = mapping(document, (*path, "metadata"), data.get("metadata"), needed=True)
    spec = mapping(document, at, data.get("spec"))
    name = name_of(document, (*path, "metadata", "name"), spec.get("topicName") or metadata.get("name"))
    _belongs(document, path, metadata, name, "Kafka cluster", found)
    add_topic(
        found,
        document,
        (*path, "metadata", "name"),
        name,
        number(document, (*at, "partitions"), spec.get("partitions"), -1, found),
        number(document, (*at, "replicas"), spec.get("replicas"), -1, found),
        settings(document, (*at, "config"), spec.get("config"), found),
    )
    if spec:
        leftovers(found, document, at, ("topicName", "partitions", "replicas", "config"))
    _annotations(document, path, metadata, found)


def _connector(document: Document, path: Path, data: dict[str, Any], found: Found) -> None:
    at = (*path, "spec")
    metadata = mapping(document, (*path, "metadata"), data.get("metadata"), needed=True)
    spec = mapping(document, at, data.get("spec"), needed=True)
    config = settings(document, (*at, "config"), spec.get("config"), found)
    if spec.get("class"):
        config["connector.class"] = written(spec["class"])
    if spec.get("tasksMax") is not None:
        config["tasks.max"] = str(number(document, (*at, "tasksMax"), spec["tasksMax"], 1, found))
    wanted = spec.get("state") or ("paused" if spec.get("pause") is True else "running")  # `pause` is the older one
    name = name_of(document, (*path, "metadata", "name"), metadata.get("name"))
    began = state(document, (*at, "state"), wanted)
    add_connector(found, document, (*path, "metadata", "name"), name, config, began)
    _belongs(document, path, metadata, name, "Connect cluster", found)
    leftovers(found, document, at, ("class", "tasksMax", "config", "state", "pause"))
    _annotations(document, path, metadata, found)


def _belongs(document: Document, path: Path, metadata: dict[str, Any], name: str, kind: str, found: Found) -> None:
    labels = mapping(document, (*path, "metadata", "labels"), metadata.get("labels"))
    found.belongs(kind, labels.get("strimzi.io/cluster"), name)


def _annotations(document: Document, path: Path, metadata: dict[str, Any], found: Found) -> None:
    """What an annotation says to Strimzi's operator; those of other programs are not about Kafka."""
    for key in mapping(document, (*path, "metadata", "annotations"), metadata.get("annotations")):
        if "strimzi.io/" in str(key):
            found.note(f"annotation {key} is not carried over", document.key_at(*path, "metadata", "annotations", key))
