"""Strimzi's KafkaTopic, KafkaConnector, KafkaUser and KafkaMirrorMaker2 (`kafka.strimzi.io`), in files and `List`s.

Source: Strimzi's API reference, KafkaTopicSpec, KafkaConnectorSpec and KafkaUserSpec.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import field
from typing import Any

from kplan.diagnostics import Span
from kplan.importers.grants import add_binding, add_quota, add_user
from kplan.importers.reading import (
    Path,
    add_connector,
    add_topic,
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
from kplan.importers.strimzi_mirrors import parse_mirrors
from kplan.language.source import Document
from kplan.values import dataclass

QUOTAS = {
    "producerByteRate": "producer_byte_rate",
    "consumerByteRate": "consumer_byte_rate",
    "requestPercentage": "request_percentage",
    "controllerMutationRate": "controller_mutation_rate",
}


def parse(documents: Sequence[Document], imported: ImportedResources) -> None:
    """Add the resources of the files to `imported`. Raises Invalid."""
    others = OtherObjects()
    for document in documents:
        for path, data in list_resources(document):
            _parse_resource(document, path, read_map(document, path, data, required=True), imported, others)
    others.note("KafkaTopic, KafkaConnector, KafkaUser and the connectors of KafkaMirrorMaker2", imported)


@dataclass(slots=True)
class OtherObjects:
    """Objects of Kubernetes that no stack can have: their names by kind, and where the first of each is."""

    names: dict[str, list[str]] = field(default_factory=dict)
    places: dict[str, Span] = field(default_factory=dict)

    def add(self, document: Document, path: Path, data: dict[str, Any]) -> None:
        """Add an object. Raises Invalid where its metadata are not a map."""
        kind = str(data.get("kind"))
        name = read_map(document, (*path, "metadata"), data.get("metadata")).get("name", "")
        self.names.setdefault(kind, []).append(str(name))
        self.places.setdefault(kind, document.key_at(*path, "kind"))

    def note(self, known: str, imported: ImportedResources) -> None:
        """Note the objects of each kind together, at the first of them."""
        for kind, names in self.names.items():
            text = f"{kind} {shorten_names(names)} is not carried over: only {known} are"
            imported.note(text, self.places[kind])


def list_resources(document: Document) -> Iterator[tuple[Path, Any]]:
    """Yield the document's resource, or those of a `List`."""
    if "items" not in document.data:
        yield (), document.data
        return
    for i, item in enumerate(read_list(document, ("items",), document.data["items"])):
        yield ("items", i), item


def _parse_resource(
    document: Document,
    path: Path,
    data: dict[str, Any],
    imported: ImportedResources,
    others: OtherObjects,
) -> None:
    kind = data.get("kind")
    if kind == "KafkaTopic":
        _parse_topic(document, path, data, imported)
    elif kind == "KafkaConnector":
        _parse_connector(document, path, data, imported)
    elif kind == "KafkaUser":
        _parse_user(document, path, data, imported)
    elif kind == "KafkaMirrorMaker2":
        parse_mirrors(document, path, data, imported)
    else:
        others.add(document, path, data)


def _parse_topic(document: Document, path: Path, data: dict[str, Any], imported: ImportedResources) -> None:
    spec_path = (*path, "spec")
    metadata = read_map(document, (*path, "metadata"), data.get("metadata"), required=True)
    spec = read_map(document, spec_path, data.get("spec"))
    name = read_name(document, (*path, "metadata", "name"), spec.get("topicName") or metadata.get("name"))
    _add_to_cluster(document, path, metadata, name, "Kafka cluster", imported)
    add_topic(
        imported,
        document,
        (*path, "metadata", "name"),
        name,
        read_count(document, (*spec_path, "partitions"), spec.get("partitions"), -1, imported),
        read_count(document, (*spec_path, "replicas"), spec.get("replicas"), -1, imported),
        read_settings(document, (*spec_path, "config"), spec.get("config"), imported),
        rules=read_labels(document, (*path, "metadata"), imported),
    )
    if spec:
        note_unread_keys(imported, document, spec_path, ("topicName", "partitions", "replicas", "config"))
    _note_annotations(document, path, metadata, imported)


def _parse_connector(document: Document, path: Path, data: dict[str, Any], imported: ImportedResources) -> None:
    spec_path = (*path, "spec")
    metadata = read_map(document, (*path, "metadata"), data.get("metadata"), required=True)
    spec = read_map(document, spec_path, data.get("spec"), required=True)
    config = read_settings(document, (*spec_path, "config"), spec.get("config"), imported)
    if spec.get("class"):
        config["connector.class"] = to_text(spec["class"])
    if spec.get("tasksMax") is not None:
        config["tasks.max"] = str(read_count(document, (*spec_path, "tasksMax"), spec["tasksMax"], 1, imported))
    declared_state = spec.get("state") or (
        "paused" if spec.get("pause") is True else "running"
    )  # `pause` is the older one
    name = read_name(document, (*path, "metadata", "name"), metadata.get("name"))
    initial_state = read_state(document, (*spec_path, "state"), declared_state)
    rules = read_labels(document, (*path, "metadata"), imported)
    add_connector(imported, document, (*path, "metadata", "name"), name, config, initial_state, rules=rules)
    _add_to_cluster(document, path, metadata, name, "Connect cluster", imported)
    note_unread_keys(imported, document, spec_path, ("class", "tasksMax", "config", "state", "pause"))
    _note_annotations(document, path, metadata, imported)


def _parse_user(document: Document, path: Path, data: dict[str, Any], imported: ImportedResources) -> None:
    """Add a user's mechanism, bindings and quotas. With a certificate, its name is that of the certificate."""
    spec_path: Path = (*path, "spec")
    metadata = read_map(document, (*path, "metadata"), data.get("metadata"), required=True)
    spec = read_map(document, spec_path, data.get("spec"))
    name = read_name(document, (*path, "metadata", "name"), metadata.get("name"))
    login = read_map(document, (*spec_path, "authentication"), spec.get("authentication")).get("type")
    if login == "scram-sha-512":
        add_user(imported, document.key_at(*path, "metadata", "name"), name, login)
    user = f"CN={name}" if login in ("tls", "tls-external") else name
    authorization = read_map(document, (*spec_path, "authorization"), spec.get("authorization"))
    for i, entry in enumerate(read_list(document, (*spec_path, "authorization", "acls"), authorization.get("acls"))):
        _add_rule(document, (*spec_path, "authorization", "acls", i), user, entry, imported)
    quotas = read_map(document, (*spec_path, "quotas"), spec.get("quotas"))
    if quotas:
        values = {QUOTAS.get(key, key): value for key, value in quotas.items()}
        add_quota(imported, document.key_at(*spec_path, "quotas"), {"user": user}, values)
    if spec:
        note_unread_keys(imported, document, spec_path, ("authentication", "authorization", "quotas"))
    if not (login == "scram-sha-512" or authorization.get("acls") or quotas):
        words = f"KafkaUser {name} has neither a SCRAM login nor rights nor quotas"
        imported.note(words, document.key_at(*path, "metadata", "name"))


def _add_rule(document: Document, path: Path, user: str, entry: Any, imported: ImportedResources) -> None:
    rule = read_map(document, path, entry, required=True)
    resource = read_map(document, (*path, "resource"), rule.get("resource"), required=True)
    operations = read_list(document, (*path, "operations"), rule.get("operations")) or [rule.get("operation")]
    for operation in operations:
        add_binding(
            imported,
            document.at(*path),
            f"User:{user}",
            operation,
            resource.get("type"),
            resource.get("name"),
            permission=rule.get("type") or "allow",
            pattern=resource.get("patternType"),
            host=rule.get("host"),
        )


def _add_to_cluster(
    document: Document, path: Path, metadata: dict[str, Any], name: str, kind: str, imported: ImportedResources
) -> None:
    labels = read_map(document, (*path, "metadata", "labels"), metadata.get("labels"))
    imported.add_to_cluster(kind, labels.get("strimzi.io/cluster"), name)


def _note_annotations(document: Document, path: Path, metadata: dict[str, Any], imported: ImportedResources) -> None:
    """Note the annotations for Strimzi's operator; those of other programs are not about Kafka."""
    for key in read_map(document, (*path, "metadata", "annotations"), metadata.get("annotations")):
        if "strimzi.io/" in str(key):
            imported.note(
                f"annotation {key} is not carried over", document.key_at(*path, "metadata", "annotations", key)
            )
