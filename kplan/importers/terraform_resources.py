"""Resources of Terraform's providers for Kafka, with values that are known: of a state, or literals of a configuration.

Sources: the documentation of the providers Mongey/kafka, Mongey/kafka-connect, confluentinc/confluent and aiven/aiven
in Terraform's registry.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from dataclasses import field, replace
from typing import Any, Final

from kplan.importers.grants import add_binding, add_quota, add_subject, add_user
from kplan.importers.reading import (
    NO_RULES,
    Path,
    add_connector,
    add_topic,
    read_count,
    read_map,
    read_name,
    read_settings,
)
from kplan.importers.resources import ImportedResources
from kplan.kinds.topic.configs import CONFIGS
from kplan.language.source import Document
from kplan.model import Rules, Secret
from kplan.values import dataclass

Values = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ResourceValues:
    """The values of one resource at a path of a document, its address, and which keys of its maps are secret.

    `secrets` are the settings of a connector of which only Terraform knows the value.
    """

    document: Document
    path: Path
    address: str
    values: Values
    sensitive: frozenset[str] = frozenset()
    secrets: Mapping[str, Secret] = field(default_factory=dict)
    rules: Rules = NO_RULES

    @property
    def place(self) -> Any:
        return self.document.key_at(*self.path)

    def read_name(self, key: str) -> str:
        """Return the text at a key. Raises Invalid where there is none."""
        return read_name(self.document, (*self.path, key), self.values.get(key))

    def read_texts(self, key: str, imported: ImportedResources) -> dict[str, str]:
        """Return the map of settings at a key, without those that are not set."""
        given = read_map(self.document, (*self.path, key), self.values.get(key))
        present = {name: value for name, value in given.items() if value is not None}
        return read_settings(self.document, (*self.path, key), present, imported)


def add_resource(imported: ImportedResources, kind: str, resource: ResourceValues) -> bool:
    """Add a resource of Terraform's type `kind`; False where kplan has nothing like it. Raises Invalid."""
    reader = READERS.get(kind)
    if reader is not None:
        reader(imported, resource)
    return reader is not None


def note_others(imported: ImportedResources, kinds: Collection[str]) -> None:
    """Note the types of resources that kplan has nothing like, each once, with their number."""
    for kind, number in sorted(Counter(kinds).items()):
        imported.note(f"{kind} is not carried over ({number} of it)")


# -- Mongey/kafka and Mongey/kafka-connect ----------------------------------------------------------------------------
def _add_topic(imported: ImportedResources, resource: ResourceValues) -> None:
    _add_topic_of(imported, resource, "name", "partitions", "replication_factor")


def _add_topic_of(
    imported: ImportedResources,
    resource: ResourceValues,
    name: str,
    partitions: str,
    replicas: str,
    config: Mapping[str, str] | None = None,
) -> None:
    counts = [
        read_count(resource.document, (*resource.path, key), resource.values.get(key), -1, imported)
        for key in (partitions, replicas)
    ]
    settings = resource.read_texts("config", imported) if config is None else dict(config)
    is_protected = resource.values.get("termination_protection") is True  # of Aiven's
    rules = replace(resource.rules, protect=True) if is_protected else resource.rules
    topic_name = resource.read_name(name)
    add_topic(imported, resource.document, resource.path, topic_name, counts[0], counts[1], settings, rules=rules)


def _add_connector(imported: ImportedResources, resource: ResourceValues) -> None:
    config, secrets = (resource.read_texts(key, imported) for key in ("config", "config_sensitive"))
    _add_connector_of(imported, resource, resource.read_name("name"), config, secrets)


def _add_connector_of(
    imported: ImportedResources,
    resource: ResourceValues,
    name: str,
    config: Mapping[str, str],
    secrets: Mapping[str, str],
) -> None:
    whole = {key: value for key, value in {**config, **secrets}.items() if key != "name"}
    sensitive = {*secrets, *resource.sensitive}
    add_connector(
        imported, resource.document, resource.path, name, whole, sensitive=sensitive, secrets=resource.secrets
    )


def _add_acl(imported: ImportedResources, resource: ResourceValues) -> None:
    values = resource.values
    add_binding(
        imported,
        resource.place,
        resource.read_name("acl_principal"),
        values.get("acl_operation"),
        values.get("resource_type") or values.get("acl_resource_type"),
        values.get("resource_name") or values.get("acl_resource_name"),
        permission=values.get("acl_permission_type"),
        pattern=values.get("resource_pattern_type_filter") or "literal",
        host=values.get("acl_host"),
    )


def _add_quota(imported: ImportedResources, resource: ResourceValues) -> None:
    entity = {resource.read_name("entity_type"): resource.values.get("entity_name")}
    add_quota(imported, resource.place, entity, resource.read_texts("config", imported))


def _add_user(imported: ImportedResources, resource: ResourceValues) -> None:
    name, values = resource.read_name("username"), resource.values
    add_user(imported, resource.place, name, values.get("scram_mechanism"), values.get("scram_iterations"))


# -- confluentinc/confluent -------------------------------------------------------------------------------------------
def _add_confluent_topic(imported: ImportedResources, resource: ResourceValues) -> None:
    _add_topic_of(imported, resource, "topic_name", "partitions_count", "")


def _add_confluent_connector(imported: ImportedResources, resource: ResourceValues) -> None:
    config = resource.read_texts("config_nonsensitive", imported)
    secrets = resource.read_texts("config_sensitive", imported)
    name = config.get("name") or resource.address
    if not config.get("connector.class", "").count("."):
        java_class = config.get("connector.class", "none")
        imported.note(
            f"connector {name} is left out: {java_class} exists as a service of Confluent's only", resource.place
        )
        return
    _add_connector_of(imported, resource, name, config, secrets)


def _add_confluent_acl(imported: ImportedResources, resource: ResourceValues) -> None:
    values = resource.values
    add_binding(
        imported,
        resource.place,
        resource.read_name("principal"),
        values.get("operation"),
        values.get("resource_type"),
        values.get("resource_name"),
        permission=values.get("permission"),
        pattern=values.get("pattern_type"),
        host=values.get("host"),
    )


def _add_confluent_schema(imported: ImportedResources, resource: ResourceValues) -> None:
    name, values = resource.read_name("subject_name"), resource.values
    add_subject(imported, resource.place, name, values.get("schema"), values.get("format"))


# -- aiven/aiven ------------------------------------------------------------------------------------------------------
def _add_aiven_topic(imported: ImportedResources, resource: ResourceValues) -> None:
    given = resource.values.get("config")
    block = given[0] if isinstance(given, list) and given else given
    by_name = {key.replace(".", "_"): key for key in CONFIGS}
    config: dict[str, str] = {}
    for key, value in read_map(resource.document, (*resource.path, "config"), block).items():
        if value in (None, ""):
            continue
        if key not in by_name:
            imported.note(f"{resource.address}: config {key} is not carried over", resource.place)
        else:
            config[by_name[key]] = str(value).lower() if isinstance(value, bool) else str(value)
    _add_topic_of(imported, resource, "topic_name", "partitions", "replication", config)


def _add_aiven_connector(imported: ImportedResources, resource: ResourceValues) -> None:
    config = resource.read_texts("config", imported)
    _add_connector_of(imported, resource, resource.read_name("connector_name"), config, {})


def _add_aiven_schema(imported: ImportedResources, resource: ResourceValues) -> None:
    name, values = resource.read_name("subject_name"), resource.values
    level = values.get("compatibility_level")
    add_subject(imported, resource.place, name, values.get("schema"), values.get("schema_type"), level)


# What is read of each type, in a configuration; all else is noted.
ATTRIBUTES: Final[Mapping[str, tuple[str, ...]]] = {
    "kafka_acl": ("acl_principal", "acl_operation", "resource_type", "acl_resource_type", "resource_name",
                  "acl_resource_name", "acl_permission_type", "acl_host", "resource_pattern_type_filter"),
    "kafka_quota": ("entity_type", "entity_name", "config"),
    "kafka_user_scram_credential": ("username", "scram_mechanism", "scram_iterations", "password_wo",
                                    "password_wo_version"),
    "confluent_kafka_topic": ("topic_name", "partitions_count", "config"),
    "confluent_connector": ("config_nonsensitive", "config_sensitive"),
    "confluent_kafka_acl": ("principal", "operation", "resource_type", "resource_name", "permission", "pattern_type",
                            "host"),
    "confluent_schema": ("subject_name", "schema", "format"),
    "aiven_kafka_topic": ("topic_name", "partitions", "replication", "config", "termination_protection"),
    "aiven_kafka_connector": ("connector_name", "config"),
    "aiven_kafka_schema": ("subject_name", "schema", "schema_type", "compatibility_level"),
}  # fmt: skip
READERS: Final[Mapping[str, Callable[[ImportedResources, ResourceValues], None]]] = {
    "kafka_topic": _add_topic,
    "kafka_acl": _add_acl,
    "kafka_quota": _add_quota,
    "kafka_user_scram_credential": _add_user,
    "kafka-connect_connector": _add_connector,
    "confluent_kafka_topic": _add_confluent_topic,
    "confluent_connector": _add_confluent_connector,
    "confluent_kafka_acl": _add_confluent_acl,
    "confluent_schema": _add_confluent_schema,
    "aiven_kafka_topic": _add_aiven_topic,
    "aiven_kafka_connector": _add_aiven_connector,
    "aiven_kafka_schema": _add_aiven_schema,
}
