"""Where replicas go: never fewer than asked, the leader stays, racks and brokers share what is added."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.kinds.topic.encoding import decode_reassignment, encode_reassignment
from kplan.kinds.topic.options import Reassignment, Replicas
from kplan.kinds.topic.placement import (
    FOLLOWERS,
    LEADERS,
    Placement,
    assign,
    describe_reassignment,
    document,
    list_brokers,
    make_throttle_configs,
    plan_reassignment,
)

Brokers = dict[int, str]


@st.composite
def placed(draw: st.DrawFn) -> tuple[Replicas, Brokers]:
    """Replicas on brokers, of which some may be down."""
    brokers = draw(st.dictionaries(st.integers(0, 20), st.sampled_from(["", "a", "b", "c"]), min_size=1, max_size=7))
    dead = draw(st.sets(st.integers(21, 23), max_size=2))
    every = st.sampled_from(sorted([*brokers, *dead]))
    partitions = draw(st.lists(st.lists(every, min_size=1, unique=True), min_size=1, max_size=9))
    return {n: tuple(replicas) for n, replicas in enumerate(partitions)}, brokers


@given(placed(), st.data())
def test_each_partition_has_as_many_living_replicas_as_asked_for(
    where: tuple[Replicas, Brokers], data: st.DataObject
) -> None:
    now, brokers = where
    factor = data.draw(st.integers(1, len(brokers)))
    after = assign(now, brokers, factor)
    assert after.keys() == now.keys()
    for partition, replicas in after.items():
        kept = set(now[partition]) & set(replicas)
        assert len(replicas) == len(set(replicas)) == factor
        assert set(replicas) - kept <= brokers.keys()
        assert len(kept) == min(factor, len(now[partition]))
    assert after == assign(dict(reversed(now.items())), dict(reversed(brokers.items())), factor)
    assert assign(after, brokers, factor) == after


@given(placed(), st.data())
def test_the_first_living_replica_stays_before_the_others(where: tuple[Replicas, Brokers], data: st.DataObject) -> None:
    now, brokers = where
    after = assign(now, brokers, data.draw(st.integers(1, len(brokers))))
    for partition, replicas in now.items():
        living = [broker for broker in replicas if broker in brokers]
        if living:
            assert next(broker for broker in after[partition] if broker in brokers) == living[0]


@given(placed(), st.data())
def test_what_is_added_and_what_stays_spreads_over_as_many_racks_as_it_can(
    where: tuple[Replicas, Brokers], data: st.DataObject
) -> None:
    now, brokers = where
    factor = data.draw(st.integers(1, len(brokers)))
    after = assign(now, brokers, factor)
    for partition, replicas in now.items():
        living = [broker for broker in replicas if broker in brokers]
        before, then = (len({brokers[b] for b in some if b in brokers}) for some in (replicas, after[partition]))
        if factor >= len(replicas):
            added = factor - len(replicas)
            assert then == min(len(set(brokers.values())), before + added)
        elif len(living) == len(replicas):
            assert then == min(factor, before)


@given(st.integers(2, 7), st.integers(1, 30), st.data())
def test_brokers_share_evenly_what_was_shared_evenly(count: int, partitions: int, data: st.DataObject) -> None:
    factor = data.draw(st.integers(1, count))
    now = {p: (p % count + 1,) for p in range(partitions)}
    after = assign(now, dict.fromkeys(range(1, count + 1), ""), factor)
    held = Counter(dict.fromkeys(range(1, count + 1), 0))
    held.update(broker for replicas in after.values() for broker in replicas)
    assert max(held.values()) - min(held.values()) <= 1


def test_many_topics_of_one_partition_do_not_all_go_to_the_same_brokers() -> None:
    brokers = dict.fromkeys(range(1, 7), "")
    added = Counter(assign({0: (leader,)}, brokers, 2)[0][1] for leader in brokers)
    assert set(added.values()) == {1}


def test_a_replica_without_a_living_broker_goes_first() -> None:
    assert assign({0: (9, 1, 2)}, {1: "", 2: "", 3: ""}, 2) == {0: (1, 2)}
    assert assign({0: (1, 2, 3)}, {1: "a", 2: "a", 3: "b"}, 2) == {0: (1, 3)}


@pytest.mark.parametrize("factor", [0, 4])
def test_more_replicas_than_brokers_are_refused(factor: int) -> None:
    with pytest.raises(ValueError, match="need as many brokers, there are 3"):
        assign({0: (1,)}, dict.fromkeys((1, 2, 3), ""), factor)


WHERE = Placement(dict.fromkeys((1, 2, 3), ""), {"t": {0: (2,), 1: (3,), 2: (1, 2, 3)}}, {}, True, 1024)


def test_a_reassignment_names_the_partitions_that_change() -> None:
    moved = plan_reassignment("t", 3, WHERE)
    assert moved == Reassignment({0: (2,), 1: (3,)}, {0: (2, 1, 3), 1: (3, 1, 2)}, None, 1024)
    assert moved.grows and not moved.back.grows and moved.back.back == moved
    assert describe_reassignment(moved) == "adds 4 replicas on brokers 1, 2, 3, in 2 partitions"
    assert describe_reassignment(moved.back) == "removes 4 replicas on brokers 1, 2, 3, in 2 partitions"
    assert decode_reassignment(json.loads(json.dumps(encode_reassignment(moved)))) == moved
    assert list(list_brokers([moved])) == [1, 2, 3]


@pytest.mark.parametrize(
    ("sizes", "bytes"), [({}, None), ({("t", 0): 5}, None), ({("t", 0): 5, ("t", 1): 7}, 24), ({("u", 0): 5}, None)]
)
def test_how_much_is_copied_is_known_where_each_size_is(
    sizes: Mapping[tuple[str, int], int], bytes: int | None
) -> None:
    moved = plan_reassignment("t", 3, Placement(WHERE.brokers, WHERE.replicas, sizes, True))
    assert moved is not None and moved.bytes == bytes


def test_nothing_is_reassigned_where_it_cannot_be() -> None:
    assert plan_reassignment("t", 4, WHERE) is None
    assert plan_reassignment("u", 2, WHERE) is None
    assert plan_reassignment("t", 2, Placement(WHERE.brokers, WHERE.replicas)) is None


def test_the_throttle_is_on_the_replicas_that_are_read_and_on_those_that_are_new() -> None:
    moved = plan_reassignment("t", 2, WHERE)
    assert moved is not None
    assert make_throttle_configs(moved) == {LEADERS: "0:2,1:3", FOLLOWERS: "0:3,1:1"}
    assert make_throttle_configs(moved.back)[LEADERS] == "2:1,2:2"  # one of its three was taken away


def test_the_document_for_kafkas_own_tool() -> None:
    assert json.loads(document("t", {1: (3,), 0: (2, 1)})) == {
        "version": 1,
        "partitions": [
            {"topic": "t", "partition": 0, "replicas": [2, 1]},
            {"topic": "t", "partition": 1, "replicas": [3]},
        ],
    }


@pytest.mark.parametrize("broken", [{"after": []}, {"after": ["1"]}, {"before": [True]}, {"partition": "0"}])
def test_a_broken_reassignment_is_no_plan(broken: dict[str, object]) -> None:
    one = {"partition": 0, "before": [1], "after": [1, 2], **broken}
    with pytest.raises(ValueError, match=re.compile("brokers|integer")):
        decode_reassignment({"partitions": [one], "bytes": None, "throttle": None})
