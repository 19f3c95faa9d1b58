"""Schemas as the imitated registry parses and compares them: Avro by the `avro` package, others by their text."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType
from avro.errors import AvroException
from avro.name import Names
from avro.schema import make_avsc_object

from tests.fakes.confluent_registry.answers import Refusal, write_message

READS = {"BACKWARD": (True, False), "FORWARD": (False, True), "FULL": (True, True)}  # new reads old, old reads new
LEVELS = ("NONE", *READS, *(f"{level}_TRANSITIVE" for level in READS))


@dataclass(frozen=True)
class Schema:
    """A schema as it is stored; `references` are (name, subject, version), `parts` their texts in order."""

    type: str
    text: str
    references: tuple[tuple[str, str, int], ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def identity(self) -> tuple[object, ...]:
        """What two schemas have in common that are the same one: the order of keys does not count."""
        text = self.text if self.type == "PROTOBUF" else json.dumps(json.loads(self.text), sort_keys=True)
        return self.type, text, self.references

    def parse(self) -> Any:
        """Return the schema as `avro` has it. Raises AvroException or ValueError."""
        names = Names()
        for part in self.parts:
            make_avsc_object(json.loads(part), names)
        return make_avsc_object(json.loads(self.text), names)


def store_schema(schema_type: str, text: str, references: Any, parts: Sequence[str]) -> Schema:
    """Return the schema without white space. Raises Refusal for one that is invalid."""
    try:
        stored = text if schema_type == "PROTOBUF" else json.dumps(json.loads(text), separators=(",", ":"))
        schema = Schema(schema_type, stored, tuple(references), tuple(parts))
        if schema_type == "AVRO":
            schema.parse()
    except (AvroException, ValueError) as e:
        raise Refusal("invalid_schema", type=schema_type, details=e) from e
    return schema


def list_differences(level: str, new: Schema, olds: Sequence[tuple[int, Schema]]) -> list[str]:
    """Return the messages of a check against versions, the newest last; the first one that refuses ends it."""
    base, _, transitive = level.partition("_")
    if level == "NONE":
        return []
    for version, old in reversed(olds if transitive else olds[-1:]):
        if old.type != new.type:
            messages = [write_message("other_type")]
        else:
            messages = _compare(READS[base], new, old)
            if messages:
                messages.append(write_message("old_version", version=version))
                messages.append(write_message("old_schema", schema=old.text))
        if messages:
            return [*messages, write_message("level", level=level)]
    return []


def _compare(reads: tuple[bool, bool], new: Schema, old: Schema) -> list[str]:
    if new.type != "AVRO":
        return []
    new_reads, old_reads = reads
    messages = list(_find_differences(old, new, "old", "new")) if old_reads else []
    return messages + (list(_find_differences(new, old, "new", "old")) if new_reads else [])


def _find_differences(reader: Schema, writer: Schema, reader_name: str, writer_name: str) -> Iterator[str]:
    checker: Any = ReaderWriterCompatibilityChecker
    result = checker().get_compatibility(reader.parse(), writer.parse())
    if result.compatibility is not SchemaCompatibilityType.incompatible:
        return
    for path in sorted(result.locations - {"/"}) or ["/"]:
        rule, info = _name_rule(reader, path, result)
        description = write_message(rule, path=path, info=info, reader=reader_name, writer=writer_name)
        yield write_message("difference", rule=rule, description=description, info=info)


def _name_rule(reader: Schema, path: str, result: Any) -> tuple[str, str]:
    """Return the rule that a place breaks, and what is said of it; the package gives them without their places."""
    messages = ", ".join(sorted(result.messages))
    ends = {"size": "FIXED_SIZE_MISMATCH", "name": "NAME_MISMATCH", "symbols": "MISSING_ENUM_SYMBOLS"}
    if re.search(r"/fields/\d+\Z", path):
        node = json.loads(reader.text)
        for part in path.strip("/").split("/"):
            node = node[int(part)] if isinstance(node, list) else node[part]
        return "READER_FIELD_MISSING_DEFAULT_VALUE", node["name"]
    if rule := ends.get(path.rpartition("/")[2]):
        return rule, messages
    names = sorted(each.value.upper() for each in result.incompatibilities)
    other = [name for name in names if name in ("TYPE_MISMATCH", "MISSING_UNION_BRANCH")]
    return other[0] if other else "TYPE_MISMATCH", messages
