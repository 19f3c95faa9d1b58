"""Quotas in the views that only read."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from kplan.kinds.quota.comparison import tell
from kplan.kinds.quota.quota import Quota
from kplan.kinds.views import Shape, Views
from kplan.model import Address, Health
from kplan.model.fields import Json


class QuotaViews(Views[Quota]):
    plural = "quotas"
    shape: Shape = "rounded"
    attribute_noun = "limit"

    def describe_row(self, quota: Quota, health: Health | None) -> Json:
        return {"limits": ", ".join(f"{key} {tell(value)}" for key, value in sorted(quota.values.items()))}

    def list_related_names(self, address: Address) -> Collection[str] | None:
        return None if address.kind in ("topic", "user") else ()

    def is_related(self, quota: Quota, address: Address, principals: Collection[str]) -> bool:
        """Whether one of the principals has the quota by its own name."""
        return f"User:{quota.entity.get('user')}" in principals

    def list_main_attributes(self, fields: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
        return [(key, tell(value)) for key, value in fields["limits"].items()]

    def summarize(self, fields: Mapping[str, Any]) -> str:
        return ", ".join(f"{key} {tell(value)}" for key, value in fields["limits"].items())
