"""The output of `kafka-topics.sh --describe`, of current and of older releases (without spaces after the colons).

Source: Kafka's TopicCommand, `TopicDescription.printDescription`.
"""

from __future__ import annotations

import re
from typing import Final

from kplan.diagnostics import Span
from kplan.importers.reading import add_topic, file_error, parse_count
from kplan.importers.resources import ImportedResources
from kplan.language.source import Document

FIELD_NAMES: Final = "TopicId|PartitionCount|ReplicationFactor|Configs|MarkedForDelete"
FIELD: Final = re.compile(rf"(Topic|{FIELD_NAMES}):([^\t\n]*?)[ \t]*(?=\t|\Z|[ \t](?:{FIELD_NAMES}):)")
PARTITION_LINE: Final = re.compile(r"\s*Topic:\s*\S+\s+Partition:")
CONFIG_SEPARATOR: Final = re.compile(r",(?=[a-z][a-z0-9.]*=)")  # no key follows a comma inside a list


def parse(path: str, text: str) -> ImportedResources:
    """Parse the topics that the output describes. Raises Invalid."""
    imported = ImportedResources()
    for number, line in enumerate(text.splitlines(), start=1):
        span = Span(path, number, 1, number, len(line) + 1)
        if PARTITION_LINE.match(line) or not line.strip():
            continue
        if "Topic:" not in line:
            imported.note("this line describes no topic", span)
            continue
        _parse_topic(imported, {key: value.strip() for key, value in FIELD.findall(line.strip())}, path, span)
    if not imported.topics and not imported.notes:
        raise file_error("no line describes a topic", Span(path))
    return imported


def _parse_topic(imported: ImportedResources, fields: dict[str, str], path: str, span: Span) -> None:
    """Add the topic that a line describes."""
    name = fields.get("Topic", "")
    counts = [parse_count(fields.get(key, "")) for key in ("PartitionCount", "ReplicationFactor")]
    if not name or not all(counts):
        detail = "it has no Topic, PartitionCount and ReplicationFactor"
        raise file_error(f"line {span.line}: {detail}", span, "give the whole output of `kafka-topics.sh --describe`")
    if fields.get("MarkedForDelete") == "true":
        imported.note(f"topic/{name} is left out: it was being deleted", span)
        return
    config = {}
    for pair in CONFIG_SEPARATOR.split(fields.get("Configs", "")) if fields.get("Configs") else ():
        key, equals, value = pair.partition("=")
        if not equals:
            raise file_error(f"line {span.line}: {pair!r} is not NAME=VALUE", span)
        config[key] = value
    document = Document(path, "", None, {(): span}, {})
    add_topic(imported, document, (), name, counts[0], counts[1], config)
