"""Say what topics will store once a plan is applied: for each change, and for all of them together."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from kplan.text import count, format_size, join_names

Json = Mapping[str, Any]
UNITS: Final = ((86_400, "d"), (3_600, "h"), (60, "min"), (1, "s"))


def describe_storage(row: Json) -> str:
    """Return what a topic stores and will store: `120.0 GiB -> 1.5 TiB in 12 d (1.3 MiB/s to each replica …)`."""
    if "bytes" not in row:
        return f"not known: {row['unknown']}"
    present = format_size(row["bytes"])
    rate = f" ({_describe_rate(row)})" if "rate" in row else ""
    if row.get("unknown"):
        return f"{present}; later not known: {row['unknown']}{rate}"
    if row.get("is_unlimited"):
        return f"{present}, and {format_size(row['growth'])} more every day, without limit{rate}"
    if not row["after"]:
        return f"{present} -> 0"
    when = f" in {format_duration(row['seconds'])}" if row["seconds"] else ""
    return f"{present} -> {format_size(row['after'])}{when}{rate}"


def _describe_rate(row: Json) -> str:
    return f"{format_size(row['rate'])}/s to each replica in the last {format_duration(row['window'])}"


def describe_forecast(document: Json) -> str:
    """Return what a plan adds to the bytes of the cluster, or frees: `+1.4 TiB in 12 d`; empty where nothing is known
    to change."""
    rows = [change["storage"] for change in document["changes"] if "storage" in change]
    known = [row for row in rows if "after" in row]
    parts = []
    if growing := [row for row in known if row["after"] > row["bytes"]]:
        seconds = max(row["seconds"] for row in growing)
        when = f" in {format_duration(seconds)}" if seconds else ""
        parts.append(f"+{format_size(sum(row['after'] - row['bytes'] for row in growing))}{when}")
    if freed := sum(max(0, row["bytes"] - row["after"]) for row in known):
        parts.append(f"-{format_size(freed)}")
    if unlimited := [row for row in rows if row.get("is_unlimited")]:
        growth = format_size(sum(row["growth"] for row in unlimited))
        parts.append(f"{count(len(unlimited), 'topic')} without limit, {growth} more every day")
    if unknown := [row for row in rows if row.get("unknown")]:
        reasons = join_names(list(dict.fromkeys(row["unknown"] for row in unknown)), 2)
        parts.append(f"not known for {count(len(unknown), 'topic')} ({reasons})")
    return "; ".join(parts)


def describe_broker_load(document: Json, added: int) -> str:
    """Return the replicas of each broker, now and with those that the plan adds: `412 -> 424 replicas a broker`."""
    replicas = (document.get("forecast") or {}).get("replicas", {})
    if not replicas or not added:
        return ""
    present = sum(replicas.values())
    before, after = (round(number / len(replicas)) for number in (present, present + added))
    return f"{before:,} -> {after:,} replicas a broker" if before != after else f"{before:,} replicas a broker"


def format_duration(seconds: float) -> str:
    """Return so many seconds in one unit: `12 d`."""
    least, unit = next(((size, name) for size, name in UNITS if seconds >= size), UNITS[-1])
    number = seconds / least
    return f"{number:.0f} {unit}" if number >= 10 or number == int(number) else f"{number:.1f} {unit}"
