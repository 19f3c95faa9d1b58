"""How long a topic keeps its records, in a few words."""

from __future__ import annotations

from collections.abc import Mapping

from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.losses import POLICY, policies_of
from kplan.kinds.views import Retention

UNLIMITED_MS = 1 << 63  # longer than any `retention.ms`
UNLIMITED = "unlimited"
DEFAULT = "broker's default"


def describe_retention(config: Mapping[str, str]) -> Retention:
    """Return for how long the config of a topic keeps a record, and up to which size of a partition."""
    policies = policies_of(config.get(POLICY))
    if "delete" not in policies:
        return Retention("compacted", UNLIMITED_MS)
    age, size = config.get("retention.ms"), config.get("retention.bytes", "-1")
    parts = [_format_age(age)]
    if size != "-1":
        parts.append(f"{catalog.human('retention.bytes', size) or f'{size} bytes'} per partition")
    if "compact" in policies:
        parts.append("compacted")
    return Retention(", ".join(parts), _rank_age(age))


def _format_age(age: str | None) -> str:
    if age in (None, "-1"):
        return DEFAULT if age is None else UNLIMITED
    return catalog.human("retention.ms", str(age)) or f"{age} ms"


def _rank_age(age: str | None) -> int | None:
    if age == "-1":
        return UNLIMITED_MS
    return int(age) if age is not None and age.isascii() and age.isdigit() else None
