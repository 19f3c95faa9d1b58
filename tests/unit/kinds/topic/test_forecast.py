"""What a topic will store: what is written to it, for as long as it is kept, in each replica."""

from __future__ import annotations

import pytest

from kplan.kinds.topic.forecast import changes_storage, forecast_change, forecast_topic
from kplan.model import Action, AttrDiff, Change, Topic
from kplan.model.forecast import Storage, StorageForecast

DAY_MS, DAY_S = 86_400_000, 86_400
NOW = 1_767_261_600_000
WRITTEN_A_DAY = 8_640_000  # 100 bytes a second
TOO_YOUNG = "its records are too young to say how much is written"


def topic(factor: int = 3, partitions: int = 2, **config: str) -> Topic:
    return Topic("orders", partitions, factor, {key.replace("_", "."): value for key, value in config.items()})


def stored(days: float, factor: int = 3) -> Storage:
    """Return what is stored of a topic to which 100 bytes a second have been written for so many days."""
    one = int(WRITTEN_A_DAY * days)
    return Storage(one * factor, one, NOW - int(days * DAY_MS))


def test_a_longer_retention_needs_what_is_written_until_then() -> None:
    found = forecast_topic(topic(retention_ms=str(7 * DAY_MS)), topic(retention_ms=str(14 * DAY_MS)), stored(7), NOW)
    assert found == StorageForecast(
        7 * WRITTEN_A_DAY * 3, 100.0, 7 * DAY_S, round(14 * WRITTEN_A_DAY * 3, -6), round(7 * DAY_S, -3)
    )


def test_a_shorter_retention_frees_at_once() -> None:
    found = forecast_topic(topic(retention_ms=str(7 * DAY_MS)), topic(retention_ms=str(DAY_MS)), stored(7), NOW)
    assert (found.after, found.seconds) == (25_900_000, 0)


def test_a_limit_of_bytes_is_for_each_partition() -> None:
    limited = topic(retention_ms="-1", retention_bytes="1000", partitions=4)
    assert forecast_topic(topic(), limited, stored(7), NOW).after == 4 * 1000 * 3
    both = topic(retention_ms="1000", retention_bytes="1000000")
    assert forecast_topic(topic(), both, stored(7), NOW).after == 100 * 3


def test_without_a_limit_a_topic_grows_every_day() -> None:
    found = forecast_topic(topic(), topic(retention_ms="-1"), stored(2), NOW)
    assert found.is_unlimited and found.after is None
    assert found.growth == round(WRITTEN_A_DAY * 3, -5)


def test_another_replica_holds_as_much_as_the_others() -> None:
    assert forecast_topic(topic(2), topic(3), stored(7, 2), NOW).after == round(7 * WRITTEN_A_DAY * 3, -6)
    compacted = topic(2, cleanup_policy="compact"), topic(3, cleanup_policy="compact")
    assert forecast_topic(*compacted, stored(7, 2), NOW).after == round(7 * WRITTEN_A_DAY * 3, -6)


@pytest.mark.parametrize(
    ("before", "after", "storage", "reason"),
    [
        (topic(), topic(cleanup_policy="compact"), stored(7), "compaction decides how much stays"),
        (topic(retention_ms="1000"), topic(), stored(7), "the brokers' own retention decides"),
        (topic(), topic(retention_ms="1000"), Storage(), "it is empty"),
        (topic(), topic(retention_ms="1000"), stored(0.0001), TOO_YOUNG),
        (topic(), topic(retention_ms="1000"), Storage(6, 2, NOW + 9), TOO_YOUNG),
        (topic(), topic(retention_ms="1000"), Storage(unknown="no right"), "no right"),
    ],
)  # fmt: skip
def test_what_is_not_known_has_a_reason(before: Topic, after: Topic, storage: Storage, reason: str) -> None:
    found = forecast_topic(before, after, storage, NOW)
    assert (found.unknown, found.after) == (reason, None)


def test_only_what_decides_the_size_is_forecast() -> None:
    def update(path: str, before: object, after: object) -> Change:
        diff = AttrDiff(path, before, after)  # type: ignore[arg-type]
        return Change(topic().address, Action.UPDATE, topic(retention_ms="1000"), topic(), (diff,))

    assert changes_storage(update("/config/retention.ms", "1000", "2000"))
    assert not changes_storage(update("/config/max.message.bytes", "1000", "2000"))
    assert forecast_change(update("/config/max.message.bytes", "1000", "2000"), stored(7), NOW) is None
    assert not changes_storage(Change(topic().address, Action.CREATE, None, topic()))
    longer = forecast_change(update("/config/retention.ms", "1000", "2000"), stored(7), NOW)
    assert longer is not None and longer.after == 2 * 100 * 3


def test_a_deletion_frees_everything() -> None:
    change = Change(topic().address, Action.DELETE, topic(), None)
    assert forecast_change(change, stored(7), NOW) == StorageForecast(7 * WRITTEN_A_DAY * 3, after=0, seconds=0)
