"""Subjects in the views that only read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from kplan.kinds.subject.comparison import SCHEMA
from kplan.kinds.subject.subject import Subject
from kplan.kinds.views import LiveResource, Shape, Views
from kplan.model import Address, Health, Live, Resource
from kplan.model.fields import Json, drop_empty, read_text


class SubjectViews(Views[Subject]):
    plural = "subjects"
    shape: Shape = "rounded"
    undo_omits = frozenset({SCHEMA})

    def describe_row(self, subject: Subject, health: Health | None) -> Json:
        return drop_empty({"schema": subject.schema_type, "version": subject.version, "level": subject.level})

    def list_related_names(self, address: Address) -> Collection[str]:
        """Return the subjects of a topic's keys and values, as serializers name them (TopicNameStrategy)."""
        return (f"{address.name}-key", f"{address.name}-value") if address.kind == "topic" else ()

    def encode_live(self, subject: Subject, live: Live, encoded: Json) -> Json:
        """Return the encoding with the text, so that a plan from the snapshot can judge what changes."""
        return encoded | drop_empty({"text": subject.text})

    def decode_live(self, name: str, fields: Mapping[str, Any], decode: Callable[[], Resource]) -> LiveResource:
        subject = decode()
        assert isinstance(subject, Subject)
        return LiveResource(replace(subject, text=read_text(fields, "text")))

    def list_main_attributes(self, fields: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
        """Return the type, what it refers to, and the level."""
        references = ", ".join(str(each["subject"]) for each in fields.get("references", ()))
        rows = {"type": fields.get("type"), "references": references, "compatibility": fields.get("level")}
        return [(key, value) for key, value in rows.items() if value]

    def summarize(self, fields: Mapping[str, Any]) -> str:
        return ", ".join(str(fields[key]) for key in ("type", "level") if fields.get(key))
