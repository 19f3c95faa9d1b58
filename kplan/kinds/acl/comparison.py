"""Bindings are there or not: two of one name are the same."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kplan.kinds.acl.binding import AclBinding
from kplan.kinds.comparison import Blocker, Compared, Comparison, Differing, Value
from kplan.model import Address, AttrDiff, Change, Secret

ATTRIBUTES = 7  # of a binding, all of which its name says


class AclComparison(Comparison[AclBinding]):
    def attributes(self, binding: AclBinding) -> Mapping[str, Value]:
        return {
            "/principal": binding.principal,
            "/permission": binding.permission,
            "/operation": binding.operation,
            "/resource_type": str(binding.resource_type),
            "/resource_name": binding.resource_name,
            "/pattern": str(binding.pattern),
            "/host": binding.host,
        }

    def read_attribute(self, binding: AclBinding, path: str) -> Value:
        return self.attributes(binding).get(path)

    def is_same(self, path: str, one: Value, other: Value) -> bool:
        return one == other

    def uses(self, binding: AclBinding) -> frozenset[Address]:
        """Return nothing: a binding does not need its topic, and may be there before it."""
        return frozenset()

    def compare(self, declared: AclBinding, live: AclBinding, applied: AclBinding | None) -> Compared:
        return Compared(unchanged=ATTRIBUTES)

    def find_differing(self, then: AclBinding, now: AclBinding) -> list[Differing]:
        return []

    def find_set_since(self, change: Change, now: AclBinding) -> list[str]:
        return []

    def is_anothers(self, change: Change, now: AclBinding) -> bool:
        return False

    def find_blocker(self, declared: AclBinding, live: AclBinding, diff: AttrDiff) -> Blocker | None:
        return None

    def secrets(self, binding: AclBinding) -> Mapping[str, Secret]:
        return {}

    def with_values(self, binding: AclBinding, values: Mapping[str, Any]) -> AclBinding:
        return binding
