"""Topics and connectors of ns4kafka (`apiVersion: v1`, kinds `Topic` and `Connector`).

Source: ns4kafka's RESOURCE.md. Access control entries are of namespaces, whose users other files name: they are
noted, each with what it grants.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
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
)
from kplan.importers.resources import ImportedResources
from kplan.language.source import Document

CLUSTER: Final = "connectCluster"


def is_own(data: Any) -> bool:
    """Return whether it is a topic or a connector of ns4kafka's."""
    spec = data.get("spec") if isinstance(data, Mapping) and data.get("apiVersion") == "v1" else None
    if not isinstance(spec, Mapping):
        return False
    is_topic = data.get("kind") == "Topic" and bool({"partitions", "replicationFactor", "configs"} & spec.keys())
    return is_topic or (data.get("kind") == "Connector" and bool({"connector.class", "config"} & spec.keys()))


def parse(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add the resources of the files to `imported`. Raises Invalid."""
    others: Counter[str] = Counter()
    for document in documents:
        kind = str(document.data.get("kind"))
        if kind == "Topic":
            _parse_topic(document, imported)
        elif kind == "Connector":
            _parse_connector(document, imported)
        elif kind == "AccessControlEntry":
            _note_access(document, imported)
        else:
            others[kind] += 1
    for kind, number in others.items():
        imported.note(f"{kind} is not carried over ({number} of it): only Topic and Connector are")


def _parse_topic(document: Document, imported: ImportedResources) -> None:
    path: Path = ("spec",)
    spec = read_map(document, path, document.data.get("spec"))
    add_topic(
        imported,
        document,
        ("metadata", "name"),
        _read_name(document),
        read_count(document, (*path, "partitions"), spec.get("partitions"), -1, imported),
        read_count(document, (*path, "replicationFactor"), spec.get("replicationFactor"), -1, imported),
        read_settings(document, (*path, "configs"), spec.get("configs"), imported),
        rules=read_labels(document, ("metadata",), imported),
    )
    note_unread_keys(imported, document, path, ("partitions", "replicationFactor", "configs"))


def _parse_connector(document: Document, imported: ImportedResources) -> None:
    """Add a connector, whose settings are the whole specification, or its `config`."""
    spec, name = read_map(document, ("spec",), document.data.get("spec")), _read_name(document)
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


def _note_access(document: Document, imported: ImportedResources) -> None:
    """Note what an access control entry grants, and to which namespace."""
    spec, name = read_map(document, ("spec",), document.data.get("spec")), _read_name(document)
    words = (spec.get("permission"), "of", spec.get("resourcePatternType"), spec.get("resourceType"))
    grant = " ".join(str(word) for word in words if word)
    imported.note(
        f"AccessControlEntry {name} is not carried over: {grant} {spec.get('resource')} for namespace "
        f"{spec.get('grantedTo')}: write it under `access:` with the namespace's user",
        document.key_at("spec"),
    )


def _read_name(document: Document) -> str:
    metadata = read_map(document, ("metadata",), document.data.get("metadata"), required=True)
    return read_name(document, ("metadata", "name"), metadata.get("name"))
