"""Resources of Confluent for Kubernetes: KafkaTopic and Connector (`platform.confluent.io`), a `List` too.

Source: the API reference of Confluent for Kubernetes, KafkaTopicSpec and ConnectorSpec.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from kplan.importers.reading import (
    Path,
    add_connector,
    add_topic,
    note_unread_keys,
    read_count,
    read_labels,
    read_map,
    read_name,
    read_settings,
    to_text,
)
from kplan.importers.resources import ImportedResources
from kplan.importers.strimzi import OtherObjects, list_resources
from kplan.language.source import Document

GROUP: Final = "platform.confluent.io/"
REFERENCES: Final = ("kafkaClusterRef", "kafkaRestClassRef", "kafkaRest", "connectClusterRef", "connectRest")


def parse(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add the resources of the files to `imported`. Raises Invalid."""
    others = OtherObjects()
    for document in documents:
        for path, entry in list_resources(document):
            data = read_map(document, path, entry, required=True)
            kind = str(data.get("kind"))
            is_own = str(data.get("apiVersion")).startswith(GROUP)
            if is_own and kind == "KafkaTopic":
                _parse_topic(document, path, data, imported)
            elif is_own and kind == "Connector":
                _parse_connector(document, path, data, imported)
            else:
                others.add(document, path, data)
    others.note("KafkaTopic and Connector", imported)


def _parse_topic(document: Document, path: Path, data: dict[str, Any], imported: ImportedResources) -> None:
    spec_path: Path = (*path, "spec")
    spec, name = _read_spec(document, path, data), _read_name(document, path, data)
    add_topic(
        imported,
        document,
        (*path, "metadata", "name"),
        name,
        read_count(document, (*spec_path, "partitionCount"), spec.get("partitionCount"), -1, imported),
        read_count(document, (*spec_path, "replicas"), spec.get("replicas"), -1, imported),
        read_settings(document, (*spec_path, "configs"), spec.get("configs"), imported),
        rules=read_labels(document, (*path, "metadata"), imported),
    )
    if spec:
        note_unread_keys(imported, document, spec_path, ("name", "partitionCount", "replicas", "configs", *REFERENCES))


def _parse_connector(document: Document, path: Path, data: dict[str, Any], imported: ImportedResources) -> None:
    spec_path: Path = (*path, "spec")
    spec, name = _read_spec(document, path, data), _read_name(document, path, data)
    config = read_settings(document, (*spec_path, "configs"), spec.get("configs"), imported)
    if spec.get("class"):
        config["connector.class"] = to_text(spec["class"])
    if spec.get("taskMax") is not None:
        config["tasks.max"] = str(read_count(document, (*spec_path, "taskMax"), spec["taskMax"], 1, imported))
    rules = read_labels(document, (*path, "metadata"), imported)
    add_connector(imported, document, (*path, "metadata", "name"), name, config, rules=rules)
    note_unread_keys(imported, document, spec_path, ("name", "class", "taskMax", "configs", *REFERENCES))


def _read_spec(document: Document, path: Path, data: dict[str, Any]) -> dict[str, Any]:
    return read_map(document, (*path, "spec"), data.get("spec"))


def _read_name(document: Document, path: Path, data: dict[str, Any]) -> str:
    """Return the name of the topic or connector, which is the object's where the spec has none."""
    metadata = read_map(document, (*path, "metadata"), data.get("metadata"), required=True)
    given = _read_spec(document, path, data).get("name")
    return read_name(document, (*path, "metadata", "name"), given or metadata.get("name"))
