"""Subjects as the `schemas:` of a stack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from kplan.importers.parts import StackPart
from kplan.importers.writing import escape_template
from kplan.kinds.connector.schemas import uses_registry
from kplan.kinds.subject.encoding import encode_reference
from kplan.kinds.subject.subject import Subject
from kplan.model import Connector


def write_subjects(
    subjects: Iterable[Subject], connectors: Iterable[Connector], notes: list[str]
) -> Iterator[StackPart]:
    """Yield a block for each subject; of what a connector registers only the level, since the schema is its own."""
    configs = [connector.config for connector in connectors if uses_registry(connector.config)]
    prefixes = [f"{prefix}." for config in configs if (prefix := config.get("topic.prefix"))]
    for subject in subjects:
        is_registered = any(subject.subject_name.startswith(prefix) for prefix in prefixes)
        if is_registered and subject.level is None:
            notes.append(f"{subject.address} is left out: a connector registers it, and it has no level of its own")
            continue
        declared = Subject(subject.name, level=subject.level) if is_registered else subject
        yield StackPart("schemas", escape_template(subject.subject_name), _write_block(declared), (declared,))


def _write_block(subject: Subject) -> dict[str, Any]:
    block: dict[str, Any] = {}
    if not subject.is_level_only:
        block = {"type": subject.schema_type, "text": escape_template(subject.text)}
    if subject.references:
        block["references"] = [encode_reference(each) for each in subject.references]
    return block | ({"compatibility": subject.level} if subject.level is not None else {})
