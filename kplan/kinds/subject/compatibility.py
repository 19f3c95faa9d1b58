"""Judge schemas by a compatibility level without a registry, as Avro resolves them. Other types are not judged.

Sources: https://avro.apache.org/docs/1.12.0/specification/#schema-resolution and
https://docs.confluent.io/platform/current/schema-registry/fundamentals/schema-evolution.html
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from kplan.kinds.subject.avro import AvroProblem, parse_avro
from kplan.kinds.subject.resolution import Definitions, Mismatch, find_mismatches
from kplan.kinds.subject.subject import LEVELS, is_transitive
from kplan.values import dataclass

NOT_JUDGED: Final = None
CANNOT_READ_OLD, CANNOT_READ_NEW = "the new schema cannot read old data", "the old schema cannot read new data"


@dataclass(frozen=True, slots=True)
class Incompatibility:
    """Why a schema does not fit. `path` is a JSON pointer into the new schema: the place, or what holds it no more.

    `rule` is Avro's word for it; `version` counts the old versions from the newest, which is 1. `field` is what it is
    about, as `before.channel`; empty for a whole schema.
    """

    rule: str
    message: str
    path: str = ""
    version: int = 1
    field: str = ""


def check_compatibility(
    level: str, schema_type: str, new: str, olds: Sequence[str], references: Sequence[str] = ()
) -> tuple[Incompatibility, ...] | None:
    """Return what the level refuses of `new`, whose earlier versions are `olds`, the newest last.

    Return NOT_JUDGED for a type that has no rules here, and for schemas that cannot be parsed.
    """
    if schema_type != "avro":
        return NOT_JUDGED
    compared = list(reversed(olds)) if is_transitive(level) else list(olds)[-1:]
    try:
        own = _define(new, references)
        others = [_define(old, references) for old in compared]
        reasons = [each for number, old in enumerate(others, 1) for each in _find_failures(level, own, old, number)]
    except (AvroProblem, RecursionError):
        return NOT_JUDGED
    return tuple(dict.fromkeys(reasons))


def _define(text: str, references: Sequence[str]) -> Definitions:
    """Return the types of a schema. Raises AvroProblem."""
    parse_avro(text, references)
    return Definitions(text, references)


def _find_failures(level: str, new: Definitions, old: Definitions, version: int) -> Iterator[Incompatibility]:
    """Yield what the level refuses between two versions."""
    promises = LEVELS.get(level, frozenset())
    if "backward" in promises:
        for each in find_mismatches(new, old):
            message = f"{CANNOT_READ_OLD}: {_describe(each)}"
            yield Incompatibility(each.rule, message, each.reader_at, version, each.field)
    if "forward" in promises:
        for each in find_mismatches(old, new):
            message = f"{CANNOT_READ_NEW}: {_describe(each)}"
            yield Incompatibility(each.rule, message, each.writer_at, version, each.field)


def _describe(mismatch: Mismatch) -> str:
    """Return the reason as a sentence about its field, if it is about one."""
    if mismatch.rule == "READER_FIELD_MISSING_DEFAULT_VALUE":
        return f"field `{mismatch.field}` {mismatch.reason}"
    return f"field `{mismatch.field}`: {mismatch.reason}" if mismatch.field else mismatch.reason
