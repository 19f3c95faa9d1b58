"""Quotas as JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kplan.kinds.base import Encoding
from kplan.kinds.quota.quota import Quota, parse_entity
from kplan.model import Origin, Rules, frozen
from kplan.model.fields import Json, read_mapping


class QuotaEncoding(Encoding[Quota]):
    """`{limits: {consumer_byte_rate: 1048576.0}}`."""

    def encode(self, quota: Quota) -> Json:
        return {"limits": {key: quota.values[key] for key in sorted(quota.values)}}

    def decode(self, name: str, fields: Mapping[str, Any], origin: Origin, rules: Rules) -> Quota:
        parse_entity(name)
        values = {}
        for key, value in read_mapping(fields.get("limits", {})).items():
            if isinstance(value, bool) or not isinstance(value, int | float):
                raise ValueError(f"`{key}` is not a number")
            values[str(key)] = float(value)
        return Quota(name, frozen(values), origin=origin, rules=rules)

    def describe(self, quota: Quota) -> Mapping[str, Any]:
        return {"name": quota.name, "entity": dict(quota.entity), **quota.values}
