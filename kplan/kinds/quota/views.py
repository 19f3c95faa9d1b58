"""Quotas in the views that only read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from kplan.kinds.quota.comparison import tell
from kplan.kinds.quota.quota import Quota
from kplan.kinds.views import Shape, Views
from kplan.model import Health
from kplan.model.fields import Json


class QuotaViews(Views[Quota]):
    plural = "quotas"
    shape: Shape = "rounded"
    attribute_noun = "limit"

    def describe_row(self, quota: Quota, health: Health | None) -> Json:
        return {"limits": ", ".join(f"{key} {tell(value)}" for key, value in sorted(quota.values.items()))}

    def list_main_attributes(self, fields: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
        return [(key, tell(value)) for key, value in fields["limits"].items()]

    def summarize(self, fields: Mapping[str, Any]) -> str:
        return ", ".join(f"{key} {tell(value)}" for key, value in fields["limits"].items())
