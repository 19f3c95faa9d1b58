"""Topics that are read while their files are still loading."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from typing import Any, cast

import pytest

from kplan.kinds.registry import KINDS
from kplan.model import Address, Stack, Target, Topic
from kplan.planning.reading import MIN_READ_AHEAD, begin_reading, begin_reading_declared, read_live_state
from kplan.servers.base import BackendState, Cluster
from kplan.state.base import Overview, Store, ignore_keys


class Topics:
    """A backend that remembers what was read of it."""

    kind = "topic"
    server = KINDS["topic"].server

    def __init__(self, there: Iterable[str]) -> None:
        self.there = frozenset(there)
        self.readings: list[list[str]] = []

    def identify(self) -> Target:
        return Target("a-cluster")

    def read(self, names: Collection[str] | None) -> BackendState:
        wanted = sorted(self.there if names is None else names)
        self.readings.append(wanted)
        topics = [Topic(name, 1, 1, {}) for name in wanted if name in self.there]
        return BackendState({topic.address: topic for topic in topics}, self.there)


class State:
    """A store whose keys are known before its records."""

    where = topic = "__kplan"

    def __init__(self, keys: Iterable[str], before_end: Callable[[], object] = lambda: None) -> None:
        self.keys = list(keys)
        self.before_end = before_end

    def overview(self, report_keys: Callable[[Iterable[str]], object] = ignore_keys) -> Overview:
        report_keys(iter(self.keys))
        self.before_end()
        return Overview({})


MANY = [f"shop.{number:03}" for number in range(MIN_READ_AHEAD)]
KEYS = ["stack/shop/lock", *(f"stack/shop/topic/{name}" for name in MANY), "stack/shop2/topic/other",
        "stack/shop/connector/topic/x"]  # fmt: skip


def declare(*names: str, stack: str = "shop") -> list[Stack]:
    topics = [Topic(name, 1, 1, {}) for name in names]
    return [Stack(stack, "prod", {topic.address: topic for topic in topics})]


def begin(topics: Topics, names: Collection[str], keys: Iterable[str] = KEYS) -> tuple[Cluster, Store, Any]:
    cluster, store = Cluster.of(cast(Any, topics)), cast(Store, State(keys))
    prefetch = begin_reading(cluster, store, names)
    prefetch.recorded.result()
    return cluster, store, prefetch


def test_what_the_stack_owns_is_read_once_and_only_the_rest_later() -> None:
    topics = Topics([*MANY, "shop.new", "other"])
    cluster, store, prefetch = begin(topics, {"shop"})
    stacks = declare(*MANY, "shop.new")
    live, _ = read_live_state(stacks, cluster, store, begin_reading_declared(prefetch, cluster, stacks))
    assert topics.readings == [MANY, ["shop.new"]]
    assert {address.name for address in live.resources} == {*MANY, "shop.new"}
    assert live.names == topics.there


def test_nothing_is_read_twice_where_all_is_owned() -> None:
    topics = Topics(MANY)
    cluster, store, prefetch = begin(topics, {"shop"})
    stacks = declare(*MANY)
    live, _ = read_live_state(stacks, cluster, store, begin_reading_declared(prefetch, cluster, stacks))
    assert topics.readings == [MANY] and len(live.resources) == MIN_READ_AHEAD


@pytest.mark.parametrize(
    ("names", "keys"),
    [(set(), KEYS), ({"another"}, KEYS), ({"shop"}, KEYS[: MIN_READ_AHEAD // 2])],
    ids=["no name is known", "another stack", "few topics"],
)
def test_otherwise_all_waits_for_the_files(names: set[str], keys: list[str]) -> None:
    topics = Topics(MANY)
    cluster, store, prefetch = begin(topics, names, keys)
    stacks = declare(*MANY)
    live, _ = read_live_state(stacks, cluster, store, begin_reading_declared(prefetch, cluster, stacks))
    assert topics.readings == [MANY] and len(live.resources) == MIN_READ_AHEAD


def test_what_was_read_for_a_name_that_is_not_the_stacks_does_not_count() -> None:
    topics = Topics([*MANY, "mine"])
    cluster, store, prefetch = begin(topics, {"shop"})
    stacks = declare("mine", stack="another")
    live, _ = read_live_state(stacks, cluster, store, begin_reading_declared(prefetch, cluster, stacks))
    assert topics.readings == [MANY, ["mine"]]
    assert set(live.resources) == {Address("topic", "mine")}


def test_keys_that_come_after_the_files_change_nothing() -> None:
    topics = Topics(MANY)
    cluster, store = Cluster.of(cast(Any, topics)), cast(Store, State([]))
    prefetch = begin_reading(cluster, store, {"shop"})
    prefetch.recorded.result()
    prefetch = begin_reading_declared(prefetch, cluster, stacks := declare(*MANY))
    [owned] = prefetch.owned.values()
    owned.begin(KEYS)
    read_live_state(stacks, cluster, store, prefetch)
    assert topics.readings == [MANY]
