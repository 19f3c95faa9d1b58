"""Which settings a connector's transforms, predicates and converters have, and which do nothing.

Source: the `ConfigDef`s of Kafka 4.3.1 and of Debezium's connectors 3.5 to 3.7, as their workers list them under
`/connector-plugins/CLASS/config` (tests/services/test_transforms.py compares them).
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Mapping
from typing import Final

from kplan.diagnostics import codes
from kplan.diagnostics.codes.code import Code
from kplan.values import dataclass

KAFKA: Final = "org.apache.kafka.connect."
COMMON: Final = {
    "transforms": ("type", "predicate", "negate", "plugin.version"),
    "predicates": ("type", "plugin.version"),
}
OF_ALL: Final = frozenset(name for settings in COMMON.values() for name in settings)
CONVERTERS: Final = ("key.converter", "value.converter", "header.converter")
UNLISTED: Final = frozenset({"schema.name.adjustment.mode", "field.name.adjustment.mode"})  # Debezium heeds them
PASSES_ON: Final = ("database.", "delegate.converter.type.")  # TimescaleDb's client and Debezium's converters take any
KNOWN: Final[Mapping[str, frozenset[str]]] = {
    name: frozenset(settings.split())
    for name, settings in {
        "ActivateTracingSpan": "tracing.operation.name tracing.span.context.field tracing.with.context.field.only",
        "BooleanConverter": "converter.type",
        "ByLogicalTableRouter":
            "key.enforce.uniqueness key.field.regex key.field.replacement logical.destination.cache.size "
            "topic.regex topic.replacement",
        "ByteArrayConverter": "converter.type",
        "Cast": "replace.null.with.default spec",
        "DecodeLogicalDecodingMessageContent": "fields.null.include",
        "DoubleConverter": "converter.type",
        "DropHeaders": "headers",
        "EnforceRecordSize": "compression.ratio max.bytes min.field.size",
        "EventRouter":
            "route.by.field route.tombstone.on.empty.payload route.topic.regex route.topic.replacement "
            "table.expand.json.payload table.field.additional.missing table.field.event.id "
            "table.field.event.key table.field.event.payload table.field.event.schema.version "
            "table.field.event.timestamp table.field.event.type table.fields.additional.placement "
            "table.json.payload.empty.array.behavior table.json.payload.null.behavior "
            "table.op.invalid.behavior tracing.operation.name tracing.span.context.field "
            "tracing.with.context.field.only",
        "ExtractChangedRecordState": "header.changed.name header.unchanged.name",
        "ExtractField": "field field.syntax.version replace.null.with.default",
        "ExtractNewDocumentState":
            "add.fields add.fields.prefix add.headers add.headers.prefix array.encoding "
            "delete.tombstone.handling.mode flatten.struct flatten.struct.delimiter route.by.field",
        "ExtractNewRecordState":
            "add.fields add.fields.prefix add.headers add.headers.prefix delete.tombstone.handling.mode "
            "drop.fields.from.key drop.fields.header.name drop.fields.keep.schema.compatible route.by.field",
        "Filter": "",
        "Flatten": "delimiter",
        "FloatConverter": "converter.type",
        "GeometryFormatTransformer": "format",
        "HasHeaderKey": "name",
        "HeaderFrom": "fields headers operation replace.null.with.default",
        "HeaderToValue": "fields headers operation",
        "HoistField": "field",
        "InsertField":
            "offset.field partition.field replace.null.with.default static.field static.value timestamp.field "
            "topic.field",
        "InsertHeader": "header value.literal",
        "IntegerConverter": "converter.type",
        "JsonConverter":
            "converter.type decimal.format replace.null.with.default schema.content schemas.cache.size "
            "schemas.enable",
        "LongConverter": "converter.type",
        "MaskField": "fields replace.null.with.default replacement",
        "MongoEventRouter":
            "collection.expand.json.payload collection.field.additional.missing collection.field.event.id "
            "collection.field.event.key collection.field.event.payload collection.field.event.schema.version "
            "collection.field.event.timestamp collection.field.event.type "
            "collection.fields.additional.placement route.by.field route.tombstone.on.empty.payload "
            "route.topic.regex route.topic.replacement table.op.invalid.behavior tracing.operation.name "
            "tracing.span.context.field tracing.with.context.field.only",
        "Neo4jCudConverter": "field.missing.behavior output.mode tombstones.enabled",
        "PartitionRouting": "partition.hash.function partition.payload.fields partition.topic.num",
        "RecordIsTombstone": "",
        "RegexRouter": "regex replacement",
        "ReplaceField": "exclude include renames replace.null.with.default",
        "SchemaChangeEventFilter": "schema.change.event.exclude.list",
        "SetSchemaMetadata": "replace.null.with.default schema.name schema.version",
        "ShortConverter": "converter.type",
        "SimpleHeaderConverter": "",
        "StringConverter": "converter.encoding converter.type",
        "SwapGeometryCoordinates": "srids",
        "TimestampConverter": "field format replace.null.with.default target.type unix.precision",
        "TimestampRouter": "timestamp.format topic.format",
        "TimezoneConverter": "converted.timezone exclude.list include.list",
        "ToLogicalTopicRouter":
            "key.enforce.uniqueness key.field.regex key.field.replacement logical.destination.cache.size "
            "topic.regex topic.replacement",
        "TopicNameMatches": "pattern",
        "ValueToKey": "fields replace.null.with.default",
    }.items()
}  # fmt: skip
UNWRAP_MODES: Final = (
    "delete.tombstone.handling.mode: drop, tombstone, rewrite, rewrite-with-tombstone or delete-to-tombstone"
)
REMOVED: Final[Mapping[str, Mapping[str, str]]] = {  # by simple name: the new name, or a sentence with a blank
    "ExtractNewRecordState": {
        "drop.tombstones": f"Debezium 3 has {UNWRAP_MODES}",
        "delete.handling.mode": f"Debezium 3 has {UNWRAP_MODES}",
        "add.source.fields": "add.fields",
        "operation.header": "add.headers",
    },
    "ExtractNewDocumentState": {
        "drop.tombstones": f"Debezium 3 has {UNWRAP_MODES}",
        "delete.handling.mode": f"Debezium 3 has {UNWRAP_MODES}",
        "operation.header": "add.headers",
    },
    "ReplaceField": {"blacklist": "exclude", "whitelist": "include"},
}


@dataclass(frozen=True, slots=True)
class TransformFinding:
    """A property that does nothing, because its owner is not listed (K253) or does not have it (K254)."""

    code: Code
    key: str
    detail: str
    help: str


def simple_name(java_class: str) -> str:
    """Return `ReplaceField` for `org.apache.kafka.connect.transforms.ReplaceField$Value`."""
    return java_class.rpartition(".")[2].partition("$")[0]


def names(config: Mapping[str, str], part: str) -> list[str]:
    """Return the aliases that `transforms` or `predicates` lists."""
    return [name for name in map(str.strip, config.get(part, "").split(",")) if name]


def find_owned_settings(config: Mapping[str, str]) -> Iterator[tuple[str, str, str]]:
    """Yield each setting of a listed transform or predicate, or of a converter: property, prefix and class."""
    prefixes = {f"{part}.{name}.": f"{part}.{name}.type" for part in COMMON for name in names(config, part)}
    prefixes |= {f"{key}.": key for key in CONVERTERS if key in config}
    for key in config:
        prefix = max((each for each in prefixes if key.startswith(each)), key=len, default="")
        if prefix and (java_class := config.get(prefixes[prefix])):
            yield key, prefix, java_class


def findings(config: Mapping[str, str]) -> Iterator[TransformFinding]:
    """Yield the properties of transforms, predicates and converters that do nothing, as far as that is certain."""
    for part in COMMON:
        yield from _find_unlisted(config, part)
    for key, prefix, java_class in find_owned_settings(config):
        setting = key.removeprefix(prefix)
        known = known_settings(java_class)
        if known is not None and setting not in {*known, *COMMON.get(prefix.partition(".")[0], ("plugin.version",))}:
            help = advice(java_class, setting, known)
            yield TransformFinding(codes.K254, key, f"{key}: {simple_name(java_class)} does not list {setting}", help)


def known_settings(java_class: str) -> frozenset[str] | None:
    """Return the settings of a class of Kafka's or Debezium's; None for any other."""
    known = KNOWN.get(simple_name(java_class))
    if java_class.startswith("io.debezium."):  # its Filter takes a script, and its converters pass settings on
        return known | UNLISTED if known and ".converters." not in java_class else None
    return known if java_class.startswith(KAFKA) or "." not in java_class else None


def advice(java_class: str, setting: str, known: frozenset[str]) -> str:
    """Return what to write for a setting that the class does not have."""
    new = REMOVED.get(simple_name(java_class), {}).get(setting, "")
    if new:
        return new if " " in new else f"it is {new} today"
    close = difflib.get_close_matches(setting, known, 1, 0.7)
    return f"did you mean `{close[0]}`?" if close else f"it has {', '.join(sorted(known)) or 'no settings'}"


def _find_unlisted(config: Mapping[str, str], part: str) -> Iterator[TransformFinding]:
    """Yield the first setting of each transform or predicate that the connector does not list."""
    listed = tuple(f"{part}.{name}." for name in names(config, part))
    seen: set[str] = set()
    for key in config:
        match = re.match(rf"{part}\.([^.]+)\.", key)
        if match is None or key.startswith(listed) or match[1] in seen:
            continue
        seen.add(match[1])
        wanted = ", ".join([*names(config, part), match[1]])
        help = f'add it to the list: `{part}: "{wanted}"`, or remove its settings'
        yield TransformFinding(
            codes.K253, key, f"{match[1]} is not in `{part}`, so {part}.{match[1]}.* does nothing", help
        )
