"""Judge schemas by a compatibility level without a registry, as Avro resolves them. Other types are not judged.

Sources: https://avro.apache.org/docs/1.12.0/specification/#schema-resolution and
https://docs.confluent.io/platform/current/schema-registry/fundamentals/schema-evolution.html
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from kplan.kinds.subject.avro import AvroProblem, parse_avro
from kplan.kinds.subject.subject import LEVELS, is_transitive
from kplan.values import dataclass

if TYPE_CHECKING:
    from avro.schema import Schema

NOT_JUDGED: Final = None
MISSING_DEFAULT: Final = re.compile(r"/fields/\d+\Z")


ENDS: Final = {"/symbols": "MISSING_ENUM_SYMBOLS", "/size": "FIXED_SIZE_MISMATCH", "/name": "NAME_MISMATCH"}


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """Why a schema does not fit. `path` is a JSON pointer into the new schema, empty where the old one has the place.

    `rule` is Avro's word for it; `version` counts the old versions from the newest, which is 1.
    """

    rule: str
    message: str
    path: str = ""
    version: int = 1


def check_compatibility(
    level: str, schema_type: str, new: str, olds: Sequence[str], references: Sequence[str] = ()
) -> tuple[Incompatibility, ...] | None:
    """Return what the level refuses of `new`, whose earlier versions are `olds`, the newest last.

    Return NOT_JUDGED for a type that has no rules here, and for schemas that cannot be parsed.
    """
    promises = LEVELS.get(level, frozenset())
    if schema_type != "avro":
        return NOT_JUDGED
    compared = list(reversed(olds)) if is_transitive(level) else list(olds)[-1:]
    found: list[Incompatibility] = []
    try:
        reader = parse_avro(new, references)
        for number, old in enumerate(compared, 1):
            writer = parse_avro(old, references)
            if "backward" in promises:
                found += _find_failures(reader, writer, "the new schema cannot read old data", number, True)
            if "forward" in promises:
                found += _find_failures(writer, reader, "the old schema cannot read new data", number, False)
    except AvroProblem:
        return NOT_JUDGED
    return tuple(dict.fromkeys(found))


def _find_failures(
    reader: Schema, writer: Schema, promise: str, version: int, is_reader_new: bool
) -> Iterator[Incompatibility]:
    """Yield why `reader` cannot read what `writer` writes."""
    from avro.compatibility import ReaderWriterCompatibilityChecker, SchemaCompatibilityType

    checker: Any = ReaderWriterCompatibilityChecker
    result = checker().get_compatibility(reader, writer)
    if result.compatibility is not SchemaCompatibilityType.incompatible:
        return
    data = reader.to_json()
    for location in sorted(result.locations - {"/"}) or ["/"]:
        rule, reason = _name_failure(location, data, sorted(result.messages), sorted(result.incompatibilities, key=str))
        yield Incompatibility(rule, f"{promise}: {reason}", location if is_reader_new else "", version)


def _name_failure(location: str, reader: Any, messages: Sequence[str], rules: Sequence[Any]) -> tuple[str, str]:
    """Return Avro's rule, and a sentence, for one place in the reader's schema."""
    node = find_node(reader, location)
    if MISSING_DEFAULT.search(location) and isinstance(node, dict):
        name = node.get("name")
        return "READER_FIELD_MISSING_DEFAULT_VALUE", f"field `{name}` has no default, and the other schema lacks it"
    if rule := next((rule for end, rule in ENDS.items() if location.endswith(end)), ""):
        return rule, f"{location}: {'; '.join(messages)}"
    own = [rule for rule in rules if rule.value in ("type_mismatch", "missing_union_branch")] or rules
    words = [message for message in messages if "reader" in message] or messages
    return own[0].value.upper(), f"{_name_place(reader, location)}{'; '.join(words)}"


def _name_place(schema: Any, location: str) -> str:
    """Return the name of the field that holds a place, with a colon behind it; empty where no field does."""
    parts = location.split("/")
    for end in range(len(parts), 0, -1):
        node = find_node(schema, "/".join(parts[:end]))
        if isinstance(node, dict) and "name" in node and len(parts[:end]) >= 2 and parts[end - 2] == "fields":
            return f"field `{node['name']}`: "
    return ""


def find_node(data: Any, pointer: str) -> Any:
    """Return what a JSON pointer leads to; None where it leads nowhere."""
    for part in pointer.split("/")[1:]:
        try:
            data = data[int(part)] if isinstance(data, list) else data[part] if part else data
        except (KeyError, IndexError, ValueError, TypeError):
            return None
    return data
