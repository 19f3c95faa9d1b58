"""The output of `kafka-topics.sh --describe`, of today and of the time without spaces behind the colons.

Source: Kafka's TopicCommand, `TopicDescription.printDescription`.
"""

from __future__ import annotations

import re
from typing import Final

from kplan.diagnostics import Span
from kplan.importers.found import Found
from kplan.importers.reading import add_topic, count_of, refused
from kplan.language.source import Document

NAMES: Final = "TopicId|PartitionCount|ReplicationFactor|Configs|MarkedForDelete"
FIELD: Final = re.compile(rf"(Topic|{NAMES}):([^\t\n]*?)[ \t]*(?=\t|\Z|[ \t](?:{NAMES}):)")
OF_PARTITION: Final = re.compile(r"\s*Topic:\s*\S+\s+Partition:")
BETWEEN: Final = re.compile(r",(?=[a-z][a-z0-9.]*=)")  # a list's own commas are followed by no key


def parse(path: str, text: str) -> Found:
    """The topics that were described. Raises Invalid."""
    found = Found()
    for number, line in enumerate(text.splitlines(), start=1):
        span = Span(path, number, 1, number, len(line) + 1)
        if OF_PARTITION.match(line) or not line.strip():
            continue
        if "Topic:" not in line:
            found.note("this line describes no topic", span)
            continue
        _topic(found, {key: value.strip() for key, value in FIELD.findall(line.strip())}, path, span)
    if not found.topics and not found.notes:
        raise refused("no line describes a topic", Span(path))
    return found


def _topic(found: Found, fields: dict[str, str], path: str, span: Span) -> None:
    name = fields.get("Topic", "")
    counts = [count_of(fields.get(key, "")) for key in ("PartitionCount", "ReplicationFactor")]
    if not name or not all(counts):
        detail = "it has no Topic, PartitionCount and ReplicationFactor"
        raise refused(f"line {span.line}: {detail}", span, "give the whole output of `kafka-topics.sh --describe`")
    if fields.get("MarkedForDelete") == "true":
        found.note(f"topic/{name} is left out: it was being deleted", span)
        return
    config = {}
    for pair in BETWEEN.split(fields.get("Configs", "")) if fields.get("Configs") else ():
        key, equals, value = pair.partition("=")
        if not equals:
            raise refused(f"line {span.line}: {pair!r} is no NAME=VALUE", span)
        config[key] = value
    document = Document(path, "", None, {(): span}, {})
    add_topic(found, document, (), name, counts[0], counts[1], config)
