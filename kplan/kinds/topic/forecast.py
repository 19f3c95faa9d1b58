"""How much a topic will store: what is written to it, kept for as long as its settings say, in every replica.

Kafka deletes closed segments, so that up to one segment of each partition is kept longer than the limit says
(https://kafka.apache.org/documentation/#topicconfigs_segment.bytes); that is not counted.
"""

from __future__ import annotations

from typing import Final

from kplan.kinds.topic.losses import POLICY, policies_of
from kplan.model import Action, Change, Topic
from kplan.model.forecast import Storage, StorageForecast
from kplan.values import dataclass

MIN_WINDOW_S: Final = 60  # of records that say how much is written
SIGNIFICANT_DIGITS: Final = 3
DAY_S: Final = 86_400
SIZING: Final = frozenset(
    {"/replication_factor", "/config/retention.ms", "/config/retention.bytes", f"/config/{POLICY}"}
)


def changes_storage(change: Change) -> bool:
    """Whether a change of a topic that is there decides how much is stored."""
    if change.is_ledger_only or not isinstance(change.before, Topic):
        return False
    return change.action in (Action.DELETE, Action.REPLACE) or any(diff.path in SIZING for diff in change.diffs)


def forecast_change(change: Change, storage: Storage, now: int | None) -> StorageForecast | None:
    """Return what the topic will store after the change; `now` is in milliseconds since 1970. None if it stays."""
    if not changes_storage(change) or not isinstance(change.before, Topic):
        return None
    if storage.unknown:
        return StorageForecast(unknown=storage.unknown)
    if change.action in (Action.DELETE, Action.REPLACE):
        return StorageForecast(storage.bytes, after=0, seconds=0)
    after = _apply_differences(change, change.before)
    return forecast_topic(change.before, after, storage, now)


def _apply_differences(change: Change, before: Topic) -> Topic:
    """Return the topic as it will be: what the stack does not say stays as it is live."""
    values = {diff.path: diff.after for diff in change.diffs}
    config = {**before.config}
    for path, value in values.items():
        key = path.removeprefix("/config/")
        if key != path and value is None:
            config.pop(key, None)
        elif key != path:
            config[key] = str(value)
    partitions = int(str(values.get("/partitions") or before.partitions))
    factor = int(str(values.get("/replication_factor") or before.replication_factor))
    return Topic(before.name, partitions, factor, config)


def forecast_topic(before: Topic, after: Topic, storage: Storage, now: int | None) -> StorageForecast:
    """Return what a topic that becomes `after` will store."""
    if storage.unknown:
        return StorageForecast(unknown=storage.unknown)
    window = (now - storage.first_write) // 1000 if now is not None and storage.first_write is not None else 0
    present = StorageForecast(storage.bytes)
    if not storage.bytes_of_one:
        return StorageForecast(0, unknown="it is empty")
    if window < MIN_WINDOW_S:
        return StorageForecast(storage.bytes, unknown="its records are too young to say how much is written")
    rate = _round(storage.bytes_of_one / window)
    present = StorageForecast(storage.bytes, rate, window)
    end = _find_end(before, after, storage, rate)
    if end.unknown:
        return StorageForecast(present.bytes, rate, window, unknown=end.unknown)
    factor = after.replication_factor if after.replication_factor > 0 else before.replication_factor
    if end.bytes is None:
        growth = int(_round(rate * DAY_S * factor))
        return StorageForecast(present.bytes, rate, window, is_unlimited=True, growth=growth)
    seconds = max(0.0, (end.bytes - storage.bytes_of_one) / rate)
    return StorageForecast(present.bytes, rate, window, int(_round(end.bytes * factor)), int(_round(seconds)))


@dataclass(frozen=True, slots=True)
class _End:
    """The bytes of one replica of each partition at which a topic no longer grows; None: there is no limit."""

    bytes: float | None = None
    unknown: str = ""


def _find_end(before: Topic, after: Topic, storage: Storage, rate: float) -> _End:
    policies = policies_of(after.config.get(POLICY))
    if "compact" in policies:
        is_same = policies == policies_of(before.config.get(POLICY))
        return _End(storage.bytes_of_one) if is_same else _End(unknown="compaction decides how much stays")
    age, size = after.config.get("retention.ms"), int(after.config.get("retention.bytes", "-1"))
    limits: list[float] = [size * after.partitions] if size >= 0 else []
    if age is None and not limits:
        is_same = "retention.ms" not in before.config
        return _End(storage.bytes_of_one) if is_same else _End(unknown="the brokers' own retention decides")
    if age is not None and int(age) >= 0:
        limits.append(rate * int(age) / 1000)
    return _End(min(limits, default=None))


def _round(number: float) -> float:
    """Return the number with few digits: it is an estimate, and a plan of the same world is the same plan."""
    return float(f"{number:.{SIGNIFICANT_DIGITS}g}")
