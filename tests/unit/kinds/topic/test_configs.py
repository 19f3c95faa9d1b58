"""Kafka's topic configs offline: what a person may write, and what is made of it."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.configs import CONFIGS, canonical, cross_check, human, parse, same

KEYS = st.sampled_from(sorted(CONFIGS))
ANYTHING = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.lists(st.text(max_size=5), max_size=4),
)


def test_the_table_is_whole() -> None:
    assert len(CONFIGS) == 33
    assert {key.type for key in CONFIGS.values()} == {"list", "string", "int", "long", "double", "boolean"}
    assert {key.unit for key in CONFIGS.values()} == {"ms", "bytes", None}
    for name, key in CONFIGS.items():
        assert (key.name, key.unit == "ms") == (name, name.endswith(".ms"))
        assert name.endswith(".bytes") == (key.unit == "bytes")
        assert key.doc.endswith(".")
        assert key.constraint


@pytest.mark.parametrize("name", CONFIGS)
def test_a_default_is_canonical(name: str) -> None:
    assert canonical(name, CONFIGS[name].default) == CONFIGS[name].default


@pytest.mark.parametrize(
    ("key", "raw", "stored"),
    [
        ("retention.ms", "7d", "604800000"),
        ("retention.ms", "1w", "604800000"),
        ("retention.ms", "1.5h", "5400000"),
        ("retention.ms", "1d12h", "129600000"),
        ("retention.ms", "1d 12h", "129600000"),
        ("retention.ms", "90s", "90000"),
        ("retention.ms", "5m", "300000"),
        ("retention.ms", "250 ms", "250"),
        ("retention.ms", -1, "-1"),
        ("retention.ms", "-1", "-1"),
        ("retention.ms", 604800000, "604800000"),
        ("retention.ms", 1000.0, "1000"),
        ("local.retention.ms", -2, "-2"),
        ("segment.bytes", "1GiB", "1073741824"),
        ("segment.bytes", "1.5 GiB", "1610612736"),
        ("segment.bytes", "100MB", "100000000"),
        ("segment.bytes", "1048576B", "1048576"),
        ("retention.bytes", "2tib", "2199023255552"),
        ("max.message.bytes", "10kb", "10000"),
        ("cleanup.policy", ["compact", "delete"], "compact,delete"),
        ("cleanup.policy", "compact, delete", "compact,delete"),
        ("cleanup.policy", [], ""),
        ("preallocate", True, "true"),
        ("preallocate", "FALSE", "false"),
        ("min.cleanable.dirty.ratio", 0.5, "0.5"),
        ("min.cleanable.dirty.ratio", 1, "1.0"),
        ("min.cleanable.dirty.ratio", "1e-5", "1.0E-5"),
        ("min.insync.replicas", "+2", "2"),
        ("compression.type", " zstd ", "zstd"),
        ("compression.gzip.level", -1, "-1"),
        ("follower.replication.throttled.replicas", "*", "*"),
        ("follower.replication.throttled.replicas", ["0:1", "1:2"], "0:1,1:2"),
    ],
)
def test_what_a_person_writes(key: str, raw: catalog.Raw, stored: str) -> None:
    assert parse(key, raw) == stored


@pytest.mark.parametrize(
    ("key", "raw", "words"),
    [
        ("segment.bytes", "7d", "is a duration, but this is a size"),
        ("retention.ms", "1GiB", "is a size, but this is a duration"),
        ("retention.ms", "7 days", "is not a duration: did you mean 7d?"),
        ("segment.bytes", "1G", "is not a size: write 1GiB"),
        ("retention.ms", "-7d", "is negative"),
        ("retention.ms", "0.5ms", "is not a whole number of its smallest unit"),
        ("min.insync.replicas", "2x", "has a unit, but this is an integer, 1 or more"),
        ("min.insync.replicas", 0, "0 is not an integer, 1 or more"),
        ("min.insync.replicas", 1.5, "'1.5' is not an integer"),
        ("min.insync.replicas", True, "true is not an integer"),
        ("segment.bytes", 1000, "1000 is not an integer, 1048576 or more"),
        ("segment.bytes", "2147483648", "outside of what Kafka's int holds"),
        ("compression.gzip.level", 0, "0 is not an integer from 1 to 9, or -1"),
        ("compression.type", "GZIP", "did you mean gzip?"),
        ("compression.type", "none", "is not one of uncompressed, zstd"),
        ("cleanup.policy", "delete,", "empty item"),
        ("cleanup.policy", "delet", "did you mean delete?"),
        ("cleanup.policy", None, 'write "" for an empty list'),
        ("retention.ms", None, "it has no value"),
        ("retention.ms", [1], "a list is given"),
        ("preallocate", "yes", "is not true or false"),
        ("preallocate", 1, "is not true or false"),
        ("min.cleanable.dirty.ratio", "2", "2.0 is not a number from 0 to 1"),
        ("min.cleanable.dirty.ratio", "NaN", "is not a number"),
        ("leader.replication.throttled.replicas", "a", "PARTITION:BROKER"),
        ("nope", "1", "no topic config of that name"),
    ],
)
def test_what_is_refused_says_why(key: str, raw: catalog.Raw, words: str) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        parse(key, raw)
    assert words in str(refused.value)


@pytest.mark.parametrize(
    ("key", "a", "b", "expected"),
    [
        ("cleanup.policy", "compact,delete", "delete, compact", True),
        ("cleanup.policy", "compact", "delete", False),
        ("min.cleanable.dirty.ratio", ".50", "0.5", True),
        ("min.cleanable.dirty.ratio", "1.0E-5", "0.00001", True),
        ("retention.ms", "+5", " 5", True),
        ("retention.ms", "5", "6", False),
        ("preallocate", "TRUE", "true", True),
        ("retention.ms", "odd", " odd ", True),
        ("retention.ms", "odd", "5", False),
        ("unknown.key", "a", "a ", True),
        ("unknown.key", "a", "b", False),
    ],
)
def test_values_are_compared_as_kafka_means_them(key: str, a: str, b: str, expected: bool) -> None:
    assert same(key, a, b) is expected
    assert same(key, b, a) is expected


@pytest.mark.parametrize(
    ("key", "value", "words"),
    [
        ("retention.ms", "604800000", "7d"),
        ("retention.ms", "5400000", "90m"),
        ("retention.ms", "1500", ""),
        ("retention.ms", "-1", ""),
        ("retention.ms", "0", ""),
        ("flush.ms", "9223372036854775807", ""),
        ("segment.bytes", "1073741824", "1GiB"),
        ("segment.bytes", "100000000", "100MB"),
        ("max.message.bytes", "1048588", ""),
        ("min.insync.replicas", "1000", ""),
        ("nope.ms", "1000", ""),
    ],
)
def test_values_as_people_say_them(key: str, value: str, words: str) -> None:
    assert human(key, value) == words


@given(KEYS, ANYTHING)
def test_parse_answers_or_raises_value_error(key: str, raw: catalog.Raw) -> None:
    try:
        value = parse(key, raw)
    except ValueError as refused:
        assert str(refused)
    else:
        assert canonical(key, value) == value
        assert same(key, value, value)
        assert parse(key, value) == value


@given(st.sampled_from(["retention.ms", "segment.bytes", "retention.bytes"]), st.integers(1_048_576, 2**31 - 1))
def test_what_people_say_means_the_same_value(key: str, number: int) -> None:
    words = human(key, str(number))
    assert not words or parse(key, words) == str(number)


@given(KEYS, st.text(max_size=12), st.text(max_size=12))
def test_same_never_raises_and_is_symmetric(key: str, a: str, b: str) -> None:
    assert same(key, a, b) == same(key, b, a)


def test_names_that_are_meant() -> None:
    assert catalog.suggest("retention_ms")[0] == "retention.ms"
    assert catalog.suggest("cleanup.polcy") == ("cleanup.policy",)
    assert catalog.suggest("min.isr.replicas")[0] == "min.insync.replicas"
    assert catalog.suggest("zzz") == ()


def test_what_kafka_4_removed_has_a_way_out() -> None:
    assert "message.timestamp.before.max.ms" in catalog.explain_removed_config("message.timestamp.difference.max.ms")
    assert catalog.explain_removed_config("message.format.version")
    assert catalog.explain_removed_config("message.downconversion.enable")
    assert catalog.explain_removed_config("retention.ms") == ""


@pytest.mark.parametrize("name", ["a", "client_2.kbe.orders", "A-b_c.9", "x" * 249, "..."])
def test_names_that_topics_may_have(name: str) -> None:
    assert catalog.check_name(name) is None


@pytest.mark.parametrize("name", ["", ".", "..", "a b", "ü", "a/b", "x" * 250, "a\n"])
def test_names_that_topics_may_not_have(name: str) -> None:
    assert catalog.check_name(name)


def test_a_dot_and_an_underscore_make_one_metric() -> None:
    assert catalog.metric_name("client_2.kbe.x") == catalog.metric_name("client.2_kbe.x")
    assert catalog.metric_name("a-b") != catalog.metric_name("a_b")


@pytest.mark.parametrize(
    ("config", "keys"),
    [
        ({}, []),
        ({"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"}, ["min.compaction.lag.ms"]),
        ({"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "10"}, []),
        ({"local.retention.ms": "10", "retention.ms": "5"}, []),
        ({"remote.storage.enable": "true"}, []),
        ({"remote.storage.enable": "true", "local.retention.ms": "10", "retention.ms": "5"}, ["local.retention.ms"]),
        ({"remote.storage.enable": "true", "local.retention.ms": "10", "retention.ms": "-1"}, []),
        ({"remote.storage.enable": "true", "local.retention.ms": "-1"}, ["local.retention.ms"]),
        ({"remote.storage.enable": "true", "cleanup.policy": "compact,delete"}, ["remote.storage.enable"]),
        (
            {"remote.storage.enable": "true", "remote.log.copy.disable": "true", "local.retention.bytes": "5"},
            ["local.retention.bytes"],
        ),
        ({"min.compaction.lag.ms": "odd"}, []),
    ],
)
def test_configs_that_contradict_each_other(config: dict[str, str], keys: list[str]) -> None:
    assert [key for key, _ in cross_check(config)] == keys
