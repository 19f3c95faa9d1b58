"""Subjects as JSON, and back. The text of a schema is in the plan alone; all else knows its fingerprint."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from kplan.kinds.base import Encoding
from kplan.kinds.subject.options import SubjectOptions
from kplan.kinds.subject.subject import Reference, Subject
from kplan.model import ChangeOptions, Origin, Rules
from kplan.model.fields import Json, drop_empty, read_each, read_flag, read_integer, read_required_text, read_text


class SubjectEncoding(Encoding[Subject]):
    """`{type: avro, sha256: …, references: [{name, subject, version}], level: BACKWARD, version: 3}`."""

    def encode(self, subject: Subject) -> Json:
        return drop_empty({
            "type": subject.schema_type,
            "sha256": subject.fingerprint,
            "references": [encode_reference(each) for each in subject.references],
            "level": subject.level,
            "version": subject.version,
            "unwanted": list(subject.unwanted),
        })  # fmt: skip

    def decode(self, name: str, fields: Mapping[str, Any], origin: Origin, rules: Rules) -> Subject:
        return Subject(
            name,
            read_text(fields, "type"),
            read_text(fields, "sha256"),
            tuple(read_each(fields, "references", _decode_reference)),
            read_text(fields, "level") or None,
            version=read_integer(fields, "version", 0) or None,
            unwanted=tuple(fields.get("unwanted", ())),
            origin=origin,
            rules=rules,
        )

    def describe(self, subject: Subject) -> Mapping[str, Any]:
        return drop_empty({
            "name": subject.subject_name,
            "type": subject.schema_type,
            "level": subject.level,
            "references": [each.subject for each in subject.references],
        })  # fmt: skip

    def encode_options(self, options: ChangeOptions) -> Json:
        return {"hard": True} if isinstance(options, SubjectOptions) and options.hard else {}

    def decode_options(self, fields: Mapping[str, Any], common: ChangeOptions) -> ChangeOptions:
        return SubjectOptions(common.effects, common.verified, read_flag(fields, "hard"))

    def find_contents(self, subject: Subject) -> Mapping[str, str]:
        return {subject.fingerprint: subject.text} if subject.text else {}

    def with_contents(self, subject: Subject, contents: Mapping[str, str]) -> Subject:
        return replace(subject, text=contents.get(subject.fingerprint, ""))


def encode_reference(reference: Reference) -> Json:
    """Return a reference as documents hold it."""
    return drop_empty({"name": reference.name, "subject": reference.subject, "version": reference.version})


def _decode_reference(fields: Mapping[str, Any]) -> Reference:
    version = read_integer(fields, "version", 0)
    return Reference(read_required_text(fields, "name"), read_required_text(fields, "subject"), version or None)
