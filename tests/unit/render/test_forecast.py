"""Forecasts in words."""

from __future__ import annotations

from typing import Any

import pytest

from kplan.render.forecast import describe_broker_load, describe_forecast, describe_storage, format_duration

GIB = 1 << 30
GROWING = {"bytes": GIB, "rate": 1024.0, "window": 604_800, "after": 3 * GIB, "seconds": 1_036_800}


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (GROWING, "1.0 GiB -> 3.0 GiB in 12 d (1.0 KiB/s to each replica in the last 7 d)"),
        ({"bytes": GIB, "after": 0, "seconds": 0}, "1.0 GiB -> 0"),
        ({"bytes": GIB, "is_unlimited": True, "growth": GIB}, "1.0 GiB, and 1.0 GiB more every day, without limit"),
        ({"bytes": GIB, "unknown": "why"}, "1.0 GiB; later not known: why"),
        ({"unknown": "why"}, "not known: why"),
    ],
)
def test_a_topic(row: dict[str, Any], words: str) -> None:
    assert describe_storage(row) == words


def test_a_plan_adds_up_what_grows_and_what_is_freed_apart() -> None:
    freed = {"bytes": GIB, "after": 0, "seconds": 0}
    unlimited = {"bytes": GIB, "is_unlimited": True, "growth": GIB}
    rows = [GROWING, GROWING, freed, unlimited, {"unknown": "why"}, {"unknown": "why"}]
    words = describe_forecast({"changes": [{}, *({"storage": row} for row in rows)]})
    assert words == (
        "+4.0 GiB in 12 d; -1.0 GiB; 1 topic without limit, 1.0 GiB more every day; not known for 2 topics (why)"
    )
    assert describe_forecast({"changes": [{}]}) == ""


def test_the_load_of_brokers_is_their_mean() -> None:
    document = {"forecast": {"replicas": {"1": 400, "2": 402, "3": 398}}}
    assert describe_broker_load(document, 36) == "400 -> 412 replicas a broker"
    assert describe_broker_load(document, 0) == describe_broker_load({}, 36) == ""


@pytest.mark.parametrize(
    ("seconds", "words"), [(0, "0 s"), (59, "59 s"), (90, "1.5 min"), (7200, "2 h"), (1e6, "12 d"), (90_000, "1.0 d")]
)
def test_a_duration_has_one_unit(seconds: float, words: str) -> None:
    assert format_duration(seconds) == words
