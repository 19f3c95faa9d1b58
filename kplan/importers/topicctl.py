"""topicctl's topic files, one or many topics to a file. Source: topicctl's `pkg/config/topic.go` and `cluster.go`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kplan.importers.reading import (
    Path,
    add_topic,
    file_error,
    note_unread_keys,
    read_count,
    read_labels,
    read_map,
    read_name,
    read_settings,
)
from kplan.importers.resources import ImportedResources
from kplan.language.source import Document

MINUTE_MS = 60_000
CLUSTER_KEYS = frozenset(("bootstrapAddrs", "zkAddrs"))  # every cluster's file has one of these
IGNORED_META_KEYS = ("name", "cluster", "region", "environment", "description", "labels", "consumers")


def parse(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add the topics of the files to `imported`. Raises Invalid."""
    for document in documents:
        spec = document.data.get("spec")
        if isinstance(spec, dict) and CLUSTER_KEYS & spec.keys():
            imported.note(
                "a cluster is not carried over: kplan.yaml says which clusters there are", document.at("spec")
            )
        else:
            _parse_topic(document, imported)


def _parse_topic(document: Document, imported: ImportedResources) -> None:
    meta = read_map(document, ("meta",), document.data.get("meta"), required=True)
    spec = read_map(document, ("spec",), document.data.get("spec"), required=True)
    name = read_name(document, ("meta", "name"), meta.get("name"))
    config = read_settings(document, ("spec", "settings"), spec.get("settings"), imported)
    minutes = spec.get("retentionMinutes")
    if minutes:
        if isinstance(minutes, bool) or not isinstance(minutes, int) or minutes < 0:
            raise file_error(f"spec.retentionMinutes is not a number of minutes: {minutes!r}",
                          document.at("spec", "retentionMinutes"))  # fmt: skip
        config["retention.ms"] = str(minutes * MINUTE_MS)
    name_path: Path = ("meta", "name")
    partitions = read_count(document, ("spec", "partitions"), spec.get("partitions"), -1, imported)
    replicas = read_count(document, ("spec", "replicationFactor"), spec.get("replicationFactor"), -1, imported)
    labels = read_labels(document, ("meta",), imported)
    rules = replace(labels, description=str(meta.get("description") or "").strip())
    add_topic(imported, document, name_path, name, partitions, replicas, config, rules=rules)
    placement = read_map(document, ("spec", "placement"), spec.get("placement"))
    if placement.get("strategy", "any") != "any":
        note = f"placement {placement['strategy']} is not carried over: kplan leaves it to the brokers"
        imported.note(f"topic/{name}: {note}", document.key_at("spec", "placement"))
    note_unread_keys(imported, document, ("meta",), IGNORED_META_KEYS)
    note_unread_keys(
        imported, document, ("spec",), ("partitions", "replicationFactor", "retentionMinutes", "settings", "placement")
    )
