"""`provisioning.topics` in the values of Bitnami's Kafka chart, of its own or of a chart around it.

Source: the chart's README, and its `templates/provisioning/job.yaml`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

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

TOPIC_KEYS = ("name", "partitions", "replicationFactor", "config")


def find_provisioning(data: Any) -> Path | None:
    """Return the path of the provisioned topics' parent: `provisioning`, or below one other key, such as `kafka`."""
    if not isinstance(data, Mapping):
        return None
    if _is_provisioning(data.get("provisioning")):
        return ("provisioning",)
    below = ((key, value.get("provisioning")) for key, value in data.items() if isinstance(value, Mapping))
    return next(((key, "provisioning") for key, value in below if _is_provisioning(value)), None)


def _is_provisioning(value: Any) -> bool:
    return isinstance(value, Mapping) and isinstance(value.get("topics"), list)


def parse(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add the topics of the files to `imported`. Raises Invalid."""
    for document in documents:
        path = find_provisioning(document.data) or ("provisioning",)
        data: Any = document.data
        for step in path:
            data = (data or {}).get(step)
        _parse_provisioning(document, path, read_map(document, path, data), imported)
        imported.note("the other values of the chart are not carried over: only its topics are", document.at())


def _parse_provisioning(document: Document, path: Path, data: dict[str, Any], imported: ImportedResources) -> None:
    defaults = {
        key: read_count(document, (*path, key), data.get(key), 1, imported)
        for key in ("numPartitions", "replicationFactor")
    }
    for i, entry in enumerate(read_list(document, (*path, "topics"), data.get("topics"))):
        at: Path = (*path, "topics", i)
        topic = read_map(document, at, entry, required=True)
        partitions, factor = (topic.get(key) for key in ("partitions", "replicationFactor"))
        add_topic(
            imported,
            document,
            (*at, "name"),
            read_name(document, (*at, "name"), topic.get("name")),
            read_count(document, (*at, "partitions"), partitions, defaults["numPartitions"], imported),
            read_count(document, (*at, "replicationFactor"), factor, defaults["replicationFactor"], imported),
            read_settings(document, (*at, "config"), topic.get("config"), imported),
        )
        note_unread_keys(imported, document, at, TOPIC_KEYS)
    if data.get("extraProvisioningCommands"):
        imported.note("extraProvisioningCommands is not carried over: save the commands as a script, and import that",
                      document.key_at(*path, "extraProvisioningCommands"))  # fmt: skip
