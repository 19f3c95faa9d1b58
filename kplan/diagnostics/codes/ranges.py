"""The ranges of code numbers: a family for each part of kplan's work, and ranges that are kept for later subjects.

A number is never given a second meaning, and never taken away.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kplan.values import dataclass

FAMILIES: Mapping[str, str] = MappingProxyType({
    "K1": "YAML and schema",
    "K2": "expansion and references",
    "K3": "reported by the servers",
    "K4": "risk",
    "K5": "apply and rollback",
    "K6": "lock, ledger and files",
})  # fmt: skip


BLOCKING_ERRORS = frozenset({"K419", "K470"})  # the plan can be made, and may not be applied: exit code 3, not 4


@dataclass(frozen=True, slots=True)
class ReservedRange:
    """The numbers `first` to `last`, both included, which only the codes of these modules of `codes` have."""

    first: int
    last: int
    subject: str
    modules: frozenset[str]

    def has(self, number: str) -> bool:
        return self.first <= int(number.removeprefix("K")) <= self.last


RESERVED_RANGES = (
    ReservedRange(260, 279, "access, users and subjects: errors that need no server",
                  frozenset({"access", "users", "subjects"})),
    ReservedRange(280, 289, "providers of secrets", frozenset({"secrets"})),
    ReservedRange(290, 299, "policies: errors in their file", frozenset({"policies"})),
    ReservedRange(340, 359, "the schema registry and the authorizer", frozenset({"registry", "authorizer"})),
    ReservedRange(440, 449, "access", frozenset({"access"})),
    ReservedRange(450, 459, "users and quotas", frozenset({"users"})),
    ReservedRange(460, 469, "subjects", frozenset({"subjects"})),
    ReservedRange(470, 479, "policies", frozenset({"policies"})),
)  # fmt: skip


def family_of(number: str) -> str:
    """Return the subject of the family of `K206`; empty for a number of no family."""
    return FAMILIES.get(number[:2], "")
