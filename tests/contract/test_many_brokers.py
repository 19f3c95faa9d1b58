"""Settling on three real brokers: afterwards each of them shows what was asked for, not only the one that answered."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from dataclasses import replace

import pytest

from kplan.diagnostics import Conflict, Unsupported
from kplan.model import Action, AttrDiff, Change, Topic
from kplan.servers.kafka.topics import KafkaTopics
from tests.services import KafkaCluster, ServiceMissing
from tests.services.fixtures import without

pytestmark = pytest.mark.xdist_group("many brokers")  # starts its own

COUNT = 250  # more than settling asks each broker for


@pytest.fixture(scope="module")
def backend() -> Iterator[KafkaTopics]:
    try:
        with KafkaCluster(brokers=3) as cluster:
            made = KafkaTopics({"bootstrap.servers": cluster.bootstrap}, delay=0.2, settle_timeout=60)
            yield made
            made.close()
    except ServiceMissing as missing:
        without(missing)


def settled(backend: KafkaTopics, changes: list[Change]) -> None:
    assert all(outcome.ok for outcome in backend.act(changes, {}).values())
    assert all(outcome.ok for outcome in backend.settle(changes, lambda *_: None).values())


def test_every_broker_shows_it_after_settling(backend: KafkaTopics) -> None:
    topics = [Topic(f"many.{uuid.uuid4().hex[:8]}", 1, 3, {"retention.ms": "1000"}) for _ in range(COUNT)]
    names = [topic.name for topic in topics]
    settled(backend, [Change(topic.address, Action.CREATE, None, topic) for topic in topics])
    for broker in (1, 2, 3):
        assert set(map(str, backend._reader.read_configs(names, broker).values())) == {"{'retention.ms': '1000'}"}
    diff = AttrDiff("/config/retention.ms", "1000", "2000")
    new = [replace(topic, config={"retention.ms": "2000"}) for topic in topics]
    settled(backend, [Change(n.address, Action.UPDATE, o, n, (diff,)) for o, n in zip(topics, new, strict=True)])
    for broker in (1, 2, 3):
        assert set(map(str, backend._reader.read_configs(names, broker).values())) == {"{'retention.ms': '2000'}"}
    settled(backend, [Change(topic.address, Action.DELETE, topic, None) for topic in new])
    for broker in (1, 2, 3):
        assert {type(answer) for answer in backend._reader.read_configs(names, broker).values()} == {Conflict}


def test_a_growth_has_settled_when_every_metadata_shows_it(backend: KafkaTopics) -> None:
    before = Topic(f"grown.{uuid.uuid4().hex[:8]}", 1, 2)
    settled(backend, [Change(before.address, Action.CREATE, None, before)])
    after = replace(before, partitions=6)
    settled(backend, [Change(before.address, Action.UPDATE, before, after, (AttrDiff("/partitions", 1, 6),))])
    for _ in range(12):
        assert backend.read([before.name]).resources[before.address] == after


def test_the_reassignment_is_given_where_there_are_brokers_for_it(backend: KafkaTopics) -> None:
    before = Topic(f"moved.{uuid.uuid4().hex[:8]}", 2, 1)
    settled(backend, [Change(before.address, Action.CREATE, None, before)])
    change = Change(
        before.address,
        Action.UPDATE,
        before,
        replace(before, replication_factor=3, config={"retention.ms": "5"}),
        (AttrDiff("/replication_factor", 1, 3), AttrDiff("/config/retention.ms", None, "5")),
    )
    assert [(p.code, '"replicas": [' in p.help) for p in backend.check([change])[change.address]] == [("K315", True)]
    error = backend.act([change], {})[change.address].error
    assert isinstance(error, Unsupported)
    assert backend.read([before.name]).resources[before.address] == before
