"""Why a schema is not compatible: in the registry's words, else by the rules of Avro, at its line of the file."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.kinds.subject.comparison import SCHEMA
from kplan.kinds.subject.compatibility import NOT_JUDGED, Incompatibility, check_compatibility
from kplan.kinds.subject.places import locate
from kplan.kinds.subject.subject import NONE, Subject

PATH: Final = re.compile(r"path '(/[^']*)'")  # Confluent's: `… at path '/fields/1' in the new schema …`
SURROUNDINGS: Final = ("{oldSchema", "{validateFields", "{compatibility", "{schemaRegistry")  # messages about the rest
DESCRIPTION: Final = re.compile(r"description:'(.*?)', additionalInfo", re.DOTALL)
HELP: Final = "change the schema, usually by a default; or the level, once all clients are ready for it"


def list_reasons(
    level: str, subject: Subject, versions: Sequence[str], references: Sequence[str] = ()
) -> list[Incompatibility] | None:
    """Return what the level refuses of a schema, given its earlier texts; None where its type has no rules here."""
    if level == NONE or not versions:
        return []
    reasons = check_compatibility(level, subject.schema_type, subject.text, versions, references)
    return None if reasons is NOT_JUDGED else list(reasons)


def explain(subject: Subject, level: str, reason: Incompatibility | str) -> Diagnostic:
    """Return the error for one reason; the line is that of the field which it names, else the first one."""
    if isinstance(reason, str):
        words = DESCRIPTION.search(reason)
        found, text = PATH.search(reason), words[1] if words else reason
        path = found[1] if found else ""
    else:
        path, text = reason.path, reason.message
    line, column = locate(subject.text, path) if path else (1, 1)
    span = Span(subject.file, line, column) if subject.file else subject.origin.at(SCHEMA)
    return error(
        codes.K341,
        "the schema is not compatible",
        f"{subject.subject_name}, {level}: {text}",
        help=HELP,
        span=span,
        address=subject.address,
    )


def select_reasons(messages: Sequence[str]) -> list[str]:
    """Return the registry's messages that are reasons, without those that repeat the schemas and the level."""
    return [each for each in messages if not each.startswith(SURROUNDINGS)]
