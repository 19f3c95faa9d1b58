"""Properties files of Kafka Connect's standalone mode: one connector to a file.

Source: `java.util.Properties.load`, which Connect reads them with.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from kplan.diagnostics import Span
from kplan.importers.reading import add_connector, file_error
from kplan.importers.resources import ImportedResources
from kplan.language.source import Document

PAIR: Final = re.compile(r"((?:\\.|[^\\\s=:])*)[ \t\f]*(?:[=:][ \t\f]*)?(.*)", re.DOTALL)
ESCAPE: Final = re.compile(r"\\(?:u([0-9a-fA-F]{4})|(.))", re.DOTALL)
ESCAPED: Final = {"n": "\n", "r": "\r", "t": "\t", "f": "\f"}
WORKER_KEYS: Final = frozenset({"bootstrap.servers", "offset.storage.file.filename", "plugin.path"})


def parse(path: str, text: str) -> ImportedResources:
    """Parse one file. The settings of a worker are noted. Raises Invalid."""
    imported = ImportedResources()
    config: dict[str, str] = {}
    places: dict[str, int] = {}
    for number, key, value in read_pairs(text):
        if key in config and config[key] != value:
            imported.note(
                f"{key} is in line {places[key]} already: the last one counts, as in Connect", _at(path, number)
            )
        config[key], places[key] = value, number
    if "connector.class" not in config:
        if not config.keys() & WORKER_KEYS:
            raise file_error("it has no connector.class", Span(path), "a file of properties is one connector")
        imported.note("these are the settings of a worker: they are not carried over", Span(path))
        return imported
    name = config.pop("name", "")
    if not name:
        raise file_error("it has no name", Span(path), "add `name=NAME`")
    document = Document(path, "", None, {(): _at(path, places["connector.class"])}, {})
    add_connector(imported, document, (), name, config)
    return imported


def read_pairs(text: str) -> Iterator[tuple[int, str, str]]:
    """Yield each key with its value, and the number of its first line."""
    lines = iter(enumerate(text.splitlines(), 1))
    for number, line in lines:
        content = line.lstrip(" \t\f")
        if not content or content[0] in "#!":
            continue
        while _is_continued(content):
            content = content[:-1] + next(lines, (0, ""))[1].lstrip(" \t\f")
        match = PAIR.match(content)
        assert match is not None  # it matches every text
        yield number, _unescape(match[1]), _unescape(match[2])


def _is_continued(line: str) -> bool:
    """Whether a line ends with an odd number of backslashes."""
    return (len(line) - len(line.rstrip("\\"))) % 2 == 1


def _unescape(text: str) -> str:
    return ESCAPE.sub(lambda match: chr(int(match[1], 16)) if match[1] else ESCAPED.get(match[2], match[2]), text)


def _at(path: str, line: int) -> Span:
    return Span(path, line, 1, line, 1)
