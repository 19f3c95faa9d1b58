"""Bindings in the views that only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kplan.kinds.acl.binding import AclBinding, describe_binding, make_binding
from kplan.kinds.acl.operations import PatternType, ResourceType
from kplan.kinds.views import Shape, Views
from kplan.model import Health
from kplan.model.fields import Json


class AclViews(Views[AclBinding]):
    plural = "bindings"
    shape: Shape = "rounded"

    def describe_row(self, binding: AclBinding, health: Health | None) -> Json:
        return {"grant": describe_binding(binding)}

    def list_main_attributes(self, fields: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
        return [("grant", self.summarize(fields))]

    def summarize(self, fields: Mapping[str, Any]) -> str:
        """Return the binding as a sentence."""
        return describe_binding(
            make_binding(
                str(fields["principal"]),
                str(fields["permission"]),
                str(fields["operation"]),
                ResourceType(fields["resource_type"]),
                str(fields["resource_name"]),
                PatternType(fields["pattern"]),
                str(fields["host"]),
            )
        )
