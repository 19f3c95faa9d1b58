"""topicctl's topic files, one or many topics to a file. Source: topicctl's `pkg/config/topic.go` and `cluster.go`."""

from __future__ import annotations

from collections.abc import Sequence

from kplan.importers.found import Found
from kplan.importers.reading import Path, add_topic, leftovers, mapping, name_of, number, refused, settings
from kplan.language.source import Document

MINUTE = 60_000
CLUSTERS = frozenset(("bootstrapAddrs", "zkAddrs"))  # the one or the other is in every cluster's file
ELSEWHERE = ("name", "cluster", "region", "environment", "description", "labels", "consumers")


def parse(documents: Sequence[Document], found: Found) -> None:
    """Adds the topics of the files to what was found. Raises Invalid."""
    for document in documents:
        spec = document.data.get("spec")
        if isinstance(spec, dict) and CLUSTERS & spec.keys():
            found.note("a cluster is not carried over: kplan.yaml says which clusters there are", document.at("spec"))
        else:
            _topic(document, found)


def _topic(document: Document, found: Found) -> None:
    meta = mapping(document, ("meta",), document.data.get("meta"), needed=True)
    spec = mapping(document, ("spec",), document.data.get("spec"), needed=True)
    name = name_of(document, ("meta", "name"), meta.get("name"))
    config = settings(document, ("spec", "settings"), spec.get("settings"), found)
    minutes = spec.get("retentionMinutes")
    if minutes:
        if isinstance(minutes, bool) or not isinstance(minutes, int) or minutes < 0:
            raise refused(f"spec.retentionMinutes is no number of minutes: {minutes!r}",
                          document.at("spec", "retentionMinutes"))  # fmt: skip
        config["retention.ms"] = str(minutes * MINUTE)
    at: Path = ("meta", "name")
    partitions = number(document, ("spec", "partitions"), spec.get("partitions"), -1, found)
    replicas = number(document, ("spec", "replicationFactor"), spec.get("replicationFactor"), -1, found)
    add_topic(found, document, at, name, partitions, replicas, config)
    placement = mapping(document, ("spec", "placement"), spec.get("placement"))
    if placement.get("strategy", "any") != "any":
        what = f"placement {placement['strategy']} is not carried over: kplan leaves it to the brokers"
        found.note(f"topic/{name}: {what}", document.key_at("spec", "placement"))
    leftovers(found, document, ("meta",), ELSEWHERE)
    leftovers(
        found, document, ("spec",), ("partitions", "replicationFactor", "retentionMinutes", "settings", "placement")
    )
