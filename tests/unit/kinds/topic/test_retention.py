"""How long a topic keeps its records, in words and in an order."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from kplan.kinds.topic.retention import UNLIMITED_MS, describe_retention

DAY = 86_400_000


@pytest.mark.parametrize(
    ("config", "text", "ms"),
    [
        ({}, "broker's default", None),
        ({"retention.ms": str(7 * DAY)}, "7d", 7 * DAY),
        ({"retention.ms": "1001"}, "1001 ms", 1001),
        ({"retention.ms": "0"}, "0 ms", 0),
        ({"retention.ms": "-1"}, "unlimited", UNLIMITED_MS),
        ({"retention.ms": str(DAY), "retention.bytes": str(2**30)}, "1d, 1GiB per partition", DAY),
        ({"retention.ms": "-1", "retention.bytes": "1000"}, "unlimited, 1000 bytes per partition", UNLIMITED_MS),
        ({"retention.bytes": "-1"}, "broker's default", None),
        ({"cleanup.policy": "compact", "retention.ms": str(DAY)}, "compacted", UNLIMITED_MS),
        ({"cleanup.policy": "compact,delete", "retention.ms": str(DAY)}, "1d, compacted", DAY),
    ],
)
def test_retention_is_described(config: Mapping[str, str], text: str, ms: int | None) -> None:
    found = describe_retention(config)
    assert (found.text, found.ms) == (text, ms)
