"""Objects of ns4kafka (`apiVersion: v1`): topics and connectors here, all else in `ns4kafka_access`.

Source: ns4kafka's documentation of its resources.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Final

from kplan.importers.ns4kafka_access import parse_access, read_resource_name
from kplan.importers.reading import (
    Path,
    add_connector,
    add_topic,
    note_unread_keys,
    read_count,
    read_labels,
    read_map,
    read_settings,
)
from kplan.importers.resources import ImportedResources
from kplan.language.source import Document

CLUSTER: Final = "connectCluster"
# How a key of the specification begins that tells an object from another tool's of the same kind.
KEYS: Final[Mapping[str, tuple[str, ...]]] = {
    "Topic": ("partitions", "replicationFactor", "configs"),
    "Connector": ("connector.class", "config"),
    "AccessControlEntry": ("grantedTo",),
    "Namespace": ("kafkaUser",),
    "ResourceQuota": ("user/", "count/", "disk/"),
    "Schema": ("schema",),
    "KafkaStream": (),
    "ConnectCluster": (),
    "RoleBinding": (),
}


def is_own(data: Any) -> bool:
    """Return whether it is an object of ns4kafka's; Kubernetes has a `Namespace` of the same version."""
    if not isinstance(data, Mapping) or data.get("apiVersion") != "v1":
        return False
    spec, beginnings = data.get("spec"), KEYS.get(str(data.get("kind")))
    has_key = isinstance(spec, Mapping) and any(key.startswith(beginnings or ()) for key in map(str, spec))
    return has_key if beginnings else beginnings is not None


def parse(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add the resources of the files to `imported`. Raises Invalid."""
    others = []
    for document in documents:
        kind = str(document.data.get("kind"))
        if kind == "Topic":
            _parse_topic(document, imported)
        elif kind == "Connector":
            _parse_connector(document, imported)
        else:
            others.append(document)
    parse_access(others, imported)


def _parse_topic(document: Document, imported: ImportedResources) -> None:
    path: Path = ("spec",)
    spec = read_map(document, path, document.data.get("spec"))
    add_topic(
        imported,
        document,
        ("metadata", "name"),
        read_resource_name(document),
        read_count(document, (*path, "partitions"), spec.get("partitions"), -1, imported),
        read_count(document, (*path, "replicationFactor"), spec.get("replicationFactor"), -1, imported),
        read_settings(document, (*path, "configs"), spec.get("configs"), imported),
        rules=replace(
            read_labels(document, ("metadata",), imported),
            description=" ".join(str(spec.get("description") or "").split()),
        ),
    )
    note_unread_keys(imported, document, path, ("partitions", "replicationFactor", "configs", "description"))


def _parse_connector(document: Document, imported: ImportedResources) -> None:
    """Add a connector, whose settings are the whole specification, or its `config`."""
    spec, name = read_map(document, ("spec",), document.data.get("spec")), read_resource_name(document)
    if isinstance(spec.get("config"), Mapping):
        config = read_settings(document, ("spec", "config"), spec["config"], imported)
        note_unread_keys(imported, document, ("spec",), (CLUSTER, "config"))
    else:
        own = {key: value for key, value in spec.items() if key != CLUSTER}
        config = read_settings(document, ("spec",), own, imported)
    add_connector(
        imported, document, ("metadata", "name"), name, config, rules=read_labels(document, ("metadata",), imported)
    )
    imported.add_to_cluster("Connect cluster", spec.get(CLUSTER), name)
