"""How many examples a property is tried with: as many as its test says, and in `make unit` a fraction of them."""

from __future__ import annotations

import os
from typing import Any

from hypothesis import HealthCheck, settings

USUAL = 100  # hypothesis's own number, for a property that says none
IN_UNIT = 10  # of these
SAME = not os.environ.get("KPLAN_TEST_RANDOM")


def register_profiles() -> None:
    """Register `same` for all tests, and `unit` for `make unit` (`--hypothesis-profile=unit`).

    They have the same examples in every run, so that a red test is of the change at hand; others with
    KPLAN_TEST_RANDOM. A slow machine is not a bad test: neither a deadline for an example nor a limit for making one.
    """
    patient: dict[str, Any] = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
    settings.register_profile("same", derandomize=True, **patient)
    settings.register_profile("unit", derandomize=SAME, max_examples=IN_UNIT, **patient)
    if SAME:
        settings.load_profile("same")


def examples(count: int, *suppress: HealthCheck) -> settings:
    """Return settings for `count` examples, or for the share of them that the profile has."""
    share = settings.default.max_examples / USUAL if settings.default else 1
    return settings(
        max_examples=max(round(count * share), min(count, IN_UNIT)),
        deadline=None,
        suppress_health_check=[HealthCheck.too_slow, *suppress],
    )
