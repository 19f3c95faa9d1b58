"""Count what a plan adds to a cluster, and takes from it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Any, TypeAlias

from kplan.kinds.registry import KINDS
from kplan.render.forecast import describe_broker_load
from kplan.text import count

REPLICA = "replica"  # the unit of brokers' load

Units: TypeAlias = tuple[tuple[str, int | None], ...]  # of one resource: None where it is not known


def describe_growth(document: Mapping[str, Any]) -> str:
    """Return `+12 partitions, -36 replicas`; what stays, or is not known before the apply, is left out."""
    growth: Counter[str] = Counter()
    unknown: set[str] = set()
    changes = Counter(
        (_count_units(change["kind"], change["before"]), _count_units(change["kind"], change["after"]))
        for change in document["changes"]
    )
    for units, times in changes.items():  # many changes have the same
        before, after = map(dict, units)
        for unit in dict.fromkeys((*after, *before)):
            old, new = before.get(unit, 0), after.get(unit, 0)
            if old is not None and new is not None:
                growth[unit] += times * (new - old)
            elif {**before, unit: 0} != {**after, unit: 0}:
                unknown.add(unit)
    shown = {unit: number for unit, number in growth.items() if number and unit not in unknown}
    parts = [f"{'+' if number > 0 else '-'}{count(abs(number), unit)}" for unit, number in shown.items()]
    load = describe_broker_load(document, shown.get(REPLICA, 0))
    return ", ".join(parts) + (f" ({load})" if load else "")


def _count_units(kind: str, fields: Mapping[str, Any] | None) -> Units:
    return tuple(KINDS[kind].views.count_units(fields).items()) if fields else ()
