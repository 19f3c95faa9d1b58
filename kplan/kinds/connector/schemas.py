"""The converters of a connector that writes with the schemas of a registry.

Sources: https://docs.confluent.io/platform/current/schema-registry/connect.html,
https://www.apicur.io/registry/docs/apicurio-registry/2.6.x/getting-started/assembly-using-kafka-client-serdes.html and
https://debezium.io/documentation/reference/stable/configuration/avro.html
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

PARTS: Final = ("key", "value")
APICURIO_PATH, NATIVE_PATH = "/apis/ccompat/", "/apis/registry/v2"
CLASSES: Final[Mapping[tuple[str, str], str]] = {
    ("confluent", "avro"): "io.confluent.connect.avro.AvroConverter",
    ("confluent", "json"): "io.confluent.connect.json.JsonSchemaConverter",
    ("confluent", "protobuf"): "io.confluent.connect.protobuf.ProtobufConverter",
    ("apicurio", "avro"): "io.apicurio.registry.utils.converter.AvroConverter",
    ("apicurio", "json"): "io.apicurio.registry.utils.converter.ExtJsonConverter",
}
# Apicurio's converters write as Confluent's do: the id of the content, in four bytes before the record.
AS_CONFLUENT: Final = {
    "apicurio.registry.auto-register": "true",
    "apicurio.registry.as-confluent": "true",
    "apicurio.registry.headers.enabled": "false",
    "apicurio.registry.use-id": "contentId",
}
ADJUSTED: Final = ("avro", "protobuf")  # formats whose names take letters, digits and _ alone
URLS: Final = ("schema.registry.url", "apicurio.registry.url")  # the ends of the settings that name a registry


def find_converter(registry_url: str) -> str:
    """Return whose converters are meant, by the registry's address."""
    return "apicurio" if APICURIO_PATH in registry_url else "confluent"


def choose_settings(schema_format: str, converter: str, registry_url: str) -> dict[str, str]:
    """Return the settings of the converters, and of the names that Debezium gives; none where there is no converter."""
    java_class = CLASSES.get((converter, schema_format))
    if java_class is None:
        return {}
    if converter == "apicurio":
        base = registry_url.partition(APICURIO_PATH)[0]
        own = {"apicurio.registry.url": base + NATIVE_PATH, **AS_CONFLUENT}
    else:
        own = {"schema.registry.url": registry_url}
    settings: dict[str, str] = {}
    for part in PARTS:
        settings[f"{part}.converter"] = java_class
        settings |= {f"{part}.converter.{key}": value for key, value in own.items()}
    if schema_format in ADJUSTED:
        settings |= {"schema.name.adjustment.mode": "avro", "field.name.adjustment.mode": "avro"}
    return settings


def uses_registry(config: Mapping[str, object]) -> bool:
    """Whether the converters of a connector register schemas."""
    return any(key.endswith(URLS) for key in config)
