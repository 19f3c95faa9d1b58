"""One suite for every backend of topics: what the simulation accepts, refuses and returns is what Kafka does."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import Conflict, KplanError, Rejected, Unsupported
from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.options import TopicOptions
from kplan.model import Action, Address, Change, Topic
from kplan.planning.comparison import compare
from kplan.servers.base import Backend, Outcome
from kplan.servers.simulated import SimulatedTopics


@dataclass(frozen=True)
class World:
    """A backend of one broker, and what other people do to its topics."""

    backend: Backend
    produce: Callable[[str, int], None]
    subscribe: Callable[[str, str, int], None]  # group, topic, records it has not read

    def name(self, claim: str = "t") -> str:
        return f"contract.{claim}.{uuid.uuid4().hex[:8]}"

    def live(self, *names: str) -> Mapping[str, Topic]:
        found = self.backend.read(names).resources
        return {address.name: topic for address, topic in found.items() if isinstance(topic, Topic)}

    def make(self, name: str, **wanted: Any) -> Topic:
        """The topic is there, and is returned as it is read."""
        outcome = run(self, create(Topic(name, **wanted)))
        assert outcome.ok, outcome
        return self.live(name)[name]


@pytest.fixture(params=["simulated", "kafka"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Any:
    made = simulated(tmp_path) if request.param == "simulated" else real(request.getfixturevalue("kafka").bootstrap)
    yield made
    made.backend.close()


def simulated(folder: Path) -> World:
    backend = SimulatedTopics(folder / "sim.db", brokers=1)
    return World(backend, backend.produce, lambda group, topic, lag: backend.subscribe(group, topic, lag, active=False))


def real(bootstrap: str) -> World:
    from kplan.servers.kafka.topics import KafkaTopics

    def produce(topic: str, count: int) -> None:
        from confluent_kafka import Producer

        producer = Producer({"bootstrap.servers": bootstrap, "log_level": 0})
        for number in range(count):
            producer.produce(topic, key=str(number), value="x")
        assert producer.flush(20) == 0

    def subscribe(group: str, topic: str, lag: int) -> None:
        from confluent_kafka import Consumer, TopicPartition

        asked = {"bootstrap.servers": bootstrap, "group.id": group, "enable.auto.commit": False}
        consumer = Consumer(asked)
        end = consumer.get_watermark_offsets(TopicPartition(topic, 0), timeout=20)[1]
        consumer.commit(offsets=[TopicPartition(topic, 0, end - lag)], asynchronous=False)
        consumer.close()

    backend = KafkaTopics({"bootstrap.servers": bootstrap}, delay=0.2, settle_timeout=30)
    return World(backend, produce, subscribe)


# -- changes ----------------------------------------------------------------------------------------------------------
def create(topic: Topic) -> Change:
    return Change(topic.address, Action.CREATE, None, topic)


def update(before: Topic, after: Topic) -> Change:
    """The change that the planner makes of a declared and a live topic which kplan owns."""
    owned = replace(after, config={**before.config, **after.config})
    from kplan.model import Owned

    diffs = compare(after, before, Owned(before.address, "s", "e", True, applied=owned)).diffs
    return Change(before.address, Action.UPDATE, before, after, diffs)


def delete(name: str, **more: Any) -> Change:
    return Change(Address("topic", name), Action.DELETE, Topic(name), None, **more)


def run_all(world: World, changes: Sequence[Change]) -> Mapping[Address, Outcome]:
    """Each outcome after acting and settling."""
    outcomes = dict(world.backend.act(changes, world.backend.capture(changes)))
    accepted = [change for change in changes if outcomes[change.address].ok]
    return outcomes | dict(world.backend.settle(accepted, lambda address, words: None))


def run(world: World, change: Change) -> Outcome:
    return run_all(world, [change])[change.address]


def refusal(world: World, change: Change) -> KplanError:
    """What `act` answers; `check`, which must say the same, is asked first and changes nothing."""
    before = world.live(change.address.name)
    said = world.backend.check([change])[change.address]
    assert world.live(change.address.name) == before
    error = run(world, change).error
    assert error is not None, "it was accepted"
    assert [problem.code for problem in said] == [error.code]
    assert world.live(change.address.name) == before
    return error


# -- creating ---------------------------------------------------------------------------------------------------------
def test_a_created_topic_is_read_back_as_it_was_asked_for(world: World) -> None:
    config = {"retention.ms": "86400000", "cleanup.policy": "compact,delete", "min.cleanable.dirty.ratio": "0.1"}
    asked = Topic(world.name(), 3, 1, config)
    assert {address: list(said) for address, said in world.backend.check([create(asked)]).items()} == {
        asked.address: []
    }
    assert run(world, create(asked)).ok
    reading = world.backend.read([asked.name])
    assert reading.resources == {asked.address: asked}
    assert asked.name in reading.names
    assert reading.hidden == frozenset()


def test_minus_one_is_the_brokers_default(world: World) -> None:
    live = world.make(world.name(), partitions=-1, replication_factor=-1)
    assert (live.partitions, live.replication_factor, live.config) == (1, 1, {})


def test_a_default_value_that_is_set_is_set(world: World) -> None:
    assert world.make(world.name(), config={"retention.ms": "604800000"}).config == {"retention.ms": "604800000"}


def test_an_absent_topic_is_left_out_and_is_not_hidden(world: World) -> None:
    reading = world.backend.read([world.name("absent")])
    assert (reading.resources, reading.hidden) == ({}, frozenset())


def test_a_topic_made_again_has_another_id(world: World) -> None:
    topic = world.make(world.name())
    absent = world.name("absent")
    first = world.backend.read_ids([topic.name, absent])
    assert first.keys() == {topic.address} and first[topic.address]
    assert run(world, update(topic, replace(topic, config={"retention.ms": "1000000"}))).ok
    assert world.backend.read_ids([topic.name]) == first
    assert run(world, delete(topic.name)).ok
    assert world.backend.read_ids([topic.name]) == {}
    world.make(topic.name)
    assert world.backend.read_ids([topic.name])[topic.address] != first[topic.address]


def test_reading_creates_nothing(world: World) -> None:
    name = world.name("absent")
    world.backend.read([name])
    world.backend.facts([name])
    assert name not in world.backend.read(None).names


def test_a_name_that_no_topic_may_have_is_absent(world: World) -> None:
    reading = world.backend.read(["not a name", "..", "x" * 250])
    assert (reading.resources, reading.hidden) == ({}, frozenset())


def test_reading_all_has_all_with_their_configs(world: World) -> None:
    names = [world.name(str(number)) for number in range(3)]
    for name in names:
        world.make(name, config={"segment.bytes": "2000000"})
    reading = world.backend.read(None)
    assert {reading.resources[Address("topic", name)].config["segment.bytes"] for name in names} == {"2000000"}
    assert set(names) <= reading.names


def test_a_topic_that_another_client_created_exactly_as_asked_is_adopted(world: World) -> None:
    asked = Topic(world.name(), 2, 1, {"retention.ms": "7200000", "cleanup.policy": "compact"})
    first = run(world, create(asked))
    assert (first.ok, first.adopted) == (True, False)
    new = Topic(world.name("new"), 1, 1)
    loose = replace(asked, replication_factor=-1)
    outcomes = run_all(world, [create(loose), create(new)])
    assert all(outcome.ok for outcome in outcomes.values()), outcomes
    answers = world.backend.act([create(asked), create(new)], {})
    assert [outcome.adopted for outcome in answers.values()] == [True, True]
    assert world.live(asked.name)[asked.name].partitions == 2


@pytest.mark.parametrize(
    ("other", "words"),
    [
        ({"partitions": 2}, "partitions 1 instead of 2"),
        ({"config": {"retention.ms": "7200000"}}, "retention.ms not set instead of 7200000"),
        ({"config": {"segment.bytes": "2097152"}}, "segment.bytes 1048576 instead of 2097152"),
        ({"config": {}}, "segment.bytes 1048576 instead of not set"),
    ],
)
def test_a_topic_that_another_client_created_otherwise_is_a_conflict(
    world: World, other: dict[str, Any], words: str
) -> None:
    live = world.make(world.name(), partitions=1, replication_factor=1, config={"segment.bytes": "1048576"})
    outcome = world.backend.act([create(replace(live, **other))], {})[live.address]
    assert isinstance(outcome.error, Conflict)
    assert (outcome.error.code, outcome.error.applied, outcome.adopted) == ("K314", False, False)
    assert words in outcome.error.message
    assert world.live(live.name)[live.name] == live


def test_a_collision_of_dot_and_underscore_is_refused(world: World) -> None:
    name = world.name()
    world.make(name)
    assert type(refusal(world, create(Topic(name.replace(".", "_", 1))))) is Rejected


REFUSED_CREATES = {
    "illegal name": lambda name: Topic(f"{name} x"),
    "long name": lambda name: Topic(name + "x" * 250),
    "dots": lambda name: Topic(".."),
    "no partitions": lambda name: Topic(name, 0),
    "negative partitions": lambda name: Topic(name, -2),
    "too many partitions": lambda name: Topic(name, 10_001),
    "no replicas": lambda name: Topic(name, 1, 0),
    "negative replicas": lambda name: Topic(name, 1, -2),
    "more replicas than brokers": lambda name: Topic(name, 1, 2),
    "unknown config": lambda name: Topic(name, config={"retention.hours": "1"}),
    "removed config": lambda name: Topic(name, config={"message.format.version": "3.0"}),
    "wrong type": lambda name: Topic(name, config={"retention.ms": "abc"}),
    "contradiction": lambda name: Topic(name, config={"min.compaction.lag.ms": "10", "max.compaction.lag.ms": "5"}),
    "no tiered storage": lambda name: Topic(name, config={"remote.storage.enable": "true"}),
}


@pytest.mark.parametrize("claim", REFUSED_CREATES)
def test_a_create_that_kafka_refuses(world: World, claim: str) -> None:
    error = refusal(world, create(REFUSED_CREATES[claim](world.name("refused"))))
    assert (type(error), error.code, error.applied) == (Rejected, "K301", False)


def test_the_diagnostic_names_the_config_that_is_wrong(world: World) -> None:
    change = create(Topic(world.name(), config={"retention.ms": "abc", "segment.bytes": "2000000"}))
    [problem] = world.backend.check([change])[change.address]
    assert (problem.code, problem.path) == ("K301", "/config/retention.ms")
    assert "abc" in problem.detail
    assert problem.address == str(change.address)


@pytest.mark.parametrize(
    ("topic", "path"),
    [
        (Topic("", 1, 5), "/replication_factor"),
        (Topic("", 1, 1, {"nope.x": "1"}), "/config/nope.x"),
        (
            Topic("", 1, 1, {"min.compaction.lag.ms": "9", "max.compaction.lag.ms": "1"}),
            "/config/min.compaction.lag.ms",
        ),
    ],
    ids=["replicas", "unknown", "together"],
)
def test_the_diagnostic_has_the_path_of_what_is_wrong(world: World, topic: Topic, path: str) -> None:
    change = create(replace(topic, name=world.name()))
    assert [problem.path for problem in world.backend.check([change])[change.address]] == [path]


def test_one_bad_of_ten_leaves_nine(world: World) -> None:
    topics = [Topic(world.name(str(number))) for number in range(10)]
    topics[4] = replace(topics[4], config={"retention.ms": "-7"})
    outcomes = run_all(world, [create(topic) for topic in topics])
    assert [not outcomes[topic.address].ok for topic in topics] == [number == 4 for number in range(10)]
    assert world.live(*(topic.name for topic in topics)).keys() == {t.name for t in topics} - {topics[4].name}


def test_both_of_one_request_may_collide(world: World) -> None:
    """Kafka compares new names with what is there only; the stack is checked offline (K110)."""
    name = world.name()
    changes = [create(Topic(name)), create(Topic(name.replace(".", "_")))]
    assert all(outcome.ok for outcome in run_all(world, changes).values())


# -- updating ---------------------------------------------------------------------------------------------------------
def test_configs_are_set_and_reset_in_one_step(world: World) -> None:
    before = world.make(world.name(), config={"retention.ms": "1000", "segment.ms": "5000"})
    after = replace(before, config={"segment.ms": "6000", "max.message.bytes": "2000"})
    change = update(before, after)
    assert {diff.key: diff.after for diff in change.diffs} == {
        "retention.ms": None, "segment.ms": "6000", "max.message.bytes": "2000",
    }  # fmt: skip
    assert not world.backend.check([change])[change.address]
    assert run(world, change).ok
    assert world.live(before.name)[before.name] == after


def test_a_config_that_nobody_changes_stays(world: World) -> None:
    before = world.make(world.name(), config={"retention.ms": "1000"})
    change = replace(update(before, replace(before, config={"segment.ms": "6000"})), diffs=())
    change = replace(
        change, diffs=update(replace(before, config={}), replace(before, config={"segment.ms": "6000"})).diffs
    )
    assert run(world, change).ok
    assert world.live(before.name)[before.name].config == {"retention.ms": "1000", "segment.ms": "6000"}


def test_one_bad_config_refuses_all_of_the_topics_settings(world: World) -> None:
    before = world.make(world.name(), config={"retention.ms": "1000"})
    error = refusal(world, update(before, replace(before, config={"retention.ms": "2000", "segment.ms": "0"})))
    assert type(error) is Rejected


def test_a_setting_that_contradicts_one_that_is_set_already_is_refused(world: World) -> None:
    before = world.make(world.name(), config={"max.compaction.lag.ms": "5"})
    after = replace(before, config={"max.compaction.lag.ms": "5", "min.compaction.lag.ms": "10"})
    assert type(refusal(world, update(before, after))) is Rejected


def test_partitions_grow(world: World) -> None:
    before = world.make(world.name(), partitions=2)
    change = update(before, replace(before, partitions=5))
    assert not world.backend.check([change])[change.address]
    assert run(world, change).ok
    assert world.live(before.name)[before.name].partitions == 5


def test_partitions_and_configs_change_in_one_step(world: World) -> None:
    before = world.make(world.name())
    after = replace(before, partitions=2, config={"retention.ms": "5000"})
    assert run(world, update(before, after)).ok
    assert world.live(before.name)[before.name] == after


def test_fewer_partitions_are_refused(world: World) -> None:
    before = world.make(world.name(), partitions=3)
    assert type(refusal(world, update(before, replace(before, partitions=2)))) is Rejected


def test_growing_to_what_is_there_already_is_fine(world: World) -> None:
    before = world.make(world.name(), partitions=3)
    assert run(world, update(replace(before, partitions=2), before)).ok


def test_another_replication_factor_is_never_silent(world: World) -> None:
    before = world.make(world.name(), partitions=2)
    change = update(replace(before, replication_factor=3), replace(before, config={"retention.ms": "5"}))
    error = refusal(world, change)
    assert (type(error), error.code) == (Unsupported, "K315")
    assert '"partitions": [{"topic": ' in error.help


def test_more_replicas_than_brokers_are_refused(world: World) -> None:
    before = world.make(world.name())
    assert type(refusal(world, update(before, replace(before, replication_factor=2)))) is Rejected


def test_updating_what_is_gone_is_a_conflict(world: World) -> None:
    before = Topic(world.name("absent"), 1, 1)
    assert type(refusal(world, update(before, replace(before, config={"retention.ms": "5"})))) is Conflict


def test_more_in_sync_replicas_than_replicas_are_said_by_check(world: World) -> None:
    """Kafka 4.3 accepts it, when a topic is created and when it is altered (measured)."""
    before = world.make(world.name())
    change = update(before, replace(before, config={"min.insync.replicas": "2"}))
    assert [(p.code, p.path) for p in world.backend.check([change])[change.address]] == [
        ("K111", "/config/min.insync.replicas")
    ]
    assert run(world, change).ok


# -- deleting and replacing -------------------------------------------------------------------------------------------
def test_a_deleted_topic_is_gone(world: World) -> None:
    live = world.make(world.name())
    assert run(world, delete(live.name)).ok
    assert live.name not in world.backend.read([live.name]).names


def test_deleting_what_is_gone_is_fine(world: World) -> None:
    assert run(world, delete(world.name("absent"))).ok
    assert run(world, delete(world.name("absent"), options=TopicOptions(if_empty=True))).ok


def test_deletes_are_not_checked(world: World) -> None:
    assert world.backend.check([delete(world.name())]) == {}


def test_an_empty_topic_is_deleted_if_empty(world: World) -> None:
    live = world.make(world.name(), partitions=3)
    assert run(world, delete(live.name, options=TopicOptions(if_empty=True))).ok
    assert world.live(live.name) == {}


def test_a_topic_with_records_is_kept_if_empty_was_asked(world: World) -> None:
    empty, full = world.make(world.name("empty")), world.make(world.name("full"))
    world.produce(full.name, 3)
    outcomes = run_all(
        world,
        [
            delete(full.name, options=TopicOptions(if_empty=True)),
            delete(empty.name, options=TopicOptions(if_empty=True)),
        ],
    )
    assert outcomes[full.address].kept.startswith("3 records arrived")
    assert outcomes[full.address].error is None
    assert outcomes[empty.address].ok
    assert world.live(full.name, empty.name) == {full.name: full}


def test_a_topic_with_records_is_deleted_when_asked(world: World) -> None:
    live = world.make(world.name())
    world.produce(live.name, 2)
    assert run(world, delete(live.name)).ok


def test_a_replaced_topic_is_new_and_empty(world: World) -> None:
    before = world.make(world.name(), partitions=3, config={"retention.ms": "1000"})
    world.produce(before.name, 2)
    after = replace(before, partitions=1, config={"segment.ms": "5000"})
    change = Change(before.address, Action.REPLACE, before, after, update(before, after).diffs)
    assert not any(world.backend.check([change]).values())
    assert run(world, change).ok
    assert world.live(before.name) == {before.name: after}
    facts = world.backend.facts([before.name])[before.address]
    assert facts.records == 0


def test_a_replacement_that_would_be_refused_is_told_by_check(world: World) -> None:
    before = world.make(world.name())
    after = replace(before, config={"retention.ms": "abc"})
    change = Change(before.address, Action.REPLACE, before, after, ())
    assert [problem.code for problem in world.backend.check([change])[change.address]] == ["K301"]


def test_a_replacement_that_would_be_refused_deletes_nothing(world: World) -> None:
    before = world.make(world.name())
    for after in (replace(before, config={"retention.ms": "abc"}), replace(before, replication_factor=2)):
        outcome = run(world, Change(before.address, Action.REPLACE, before, after, ()))
        assert type(outcome.error) is Rejected
        assert world.live(before.name) == {before.name: before}


def test_what_the_old_topic_had_set_does_not_stand_in_the_way_of_its_replacement(world: World) -> None:
    before = world.make(world.name(), config={"max.compaction.lag.ms": "5"})
    after = replace(before, config={"min.compaction.lag.ms": "10"})
    change = Change(before.address, Action.REPLACE, before, after, update(before, after).diffs)
    assert not any(world.backend.check([change]).values())
    assert run(world, change).ok
    assert world.live(before.name) == {before.name: after}


# -- many -------------------------------------------------------------------------------------------------------------
def test_kinds_of_changes_may_mix_in_one_call(world: World) -> None:
    grown, gone, new = world.make(world.name("grown")), world.make(world.name("gone")), Topic(world.name("new"), 1, 1)
    changes = [update(grown, replace(grown, partitions=2)), delete(gone.name), create(new)]
    assert all(outcome.ok for outcome in run_all(world, changes).values())
    assert world.live(grown.name, gone.name, new.name) == {grown.name: replace(grown, partitions=2), new.name: new}


def test_more_than_one_request_can_carry_is_created(world: World) -> None:
    topics = [Topic(world.name("many"), 1, 1, {"retention.ms": "1000"}) for _ in range(600)]
    outcomes = run_all(world, [create(topic) for topic in topics])
    assert all(outcome.ok for outcome in outcomes.values())
    assert world.live(*(topic.name for topic in topics)) == {topic.name: topic for topic in topics}
    assert all(outcome.ok for outcome in run_all(world, [delete(topic.name) for topic in topics]).values())
    assert world.live(*(topic.name for topic in topics)) == {}


# -- facts ------------------------------------------------------------------------------------------------------------
def test_facts_count_records_and_readers(world: World) -> None:
    full, empty = world.make(world.name("full")), world.make(world.name("empty"))
    world.produce(full.name, 5)
    group = f"readers-{uuid.uuid4().hex[:6]}"
    world.subscribe(group, full.name, 2)
    facts = world.backend.facts([full.name, empty.name, world.name("absent")])
    assert facts.keys() == {full.address, empty.address}
    assert (facts[full.address].records, facts[empty.address].records) == (5, 0)
    assert (facts[full.address].last_write or 0) > 1_600_000_000_000
    assert 0 <= (facts[full.address].last_write or 0) - (facts[full.address].first_write or 0) < 60_000
    assert (facts[empty.address].first_write, facts[empty.address].last_write) == (None, None)
    assert facts[full.address].bytes is None, "brokers are not asked for bytes"
    assert facts[full.address].unknown == {}
    assert [(r.group, r.lag, r.active) for r in facts[full.address].readers] == [(group, 2, False)]
    assert facts[empty.address].readers == ()
    assert world.backend.positions([group, "no-such-group"]) == {group}


def test_a_replaced_topic_has_facts_of_its_own(world: World) -> None:
    before = world.make(world.name())
    world.produce(before.name, 3)
    assert run(world, Change(before.address, Action.REPLACE, before, before)).ok
    facts = world.backend.facts([before.name])[before.address]
    assert (facts.records, facts.first_write, facts.last_write) == (0, None, None)


def test_a_target_says_who_it_is(world: World) -> None:
    world.make(world.name())
    target = world.backend.identify()
    assert target.brokers == 1
    assert target.cluster_id
    assert target.bootstrap
    assert world.backend.identify() == target


# -- values -----------------------------------------------------------------------------------------------------------
SAMPLES: Mapping[str, Sequence[str]] = {
    "int": (
        "+5", " 7 ", "1", "0", "-1", "2147483647", "2147483648", "-2147483648", "5.0", "1_0", "abc", "", "0x10", "٣",
        "1048576", "1e3", "9", "10", "17", "18", "22", "23", "-131072", "-131073", "4", "3",
    ),
    "long": (
        "+5", " 7 ", "1", "0", "-1", "-2", "-3", "9223372036854775807", "9223372036854775808", "5.0", "1_0", "", "1e3",
    ),
    "double": (
        ".50", "0.5", "1", "0", "+0.25", "1e-1", "0.5d", "0.25F", "1.1", "-0.1", "0,5", "abc", "", "1e-4", "0.00012",
        "1.", "0.001", "-0.0",
    ),
    "boolean": ("TRUE", "true", " False ", "yes", "1", "", "t"),
    "string": (
        "gzip", " gzip ", "GZIP", "none", "", "CreateTime", "createtime", "LogAppendTime", "zstd", "producer",
    ),
    "list": (
        "compact, delete", "delete,compact", "compact", "", "delete,delete", "delete,", "Delete", "*", "1:2, 3:4",
        "1:2,1:2", "a", "*,1:2", "1:2,", "1:", " * ",
    ),
}  # fmt: skip
STRICTER = {("min.cleanable.dirty.ratio", "-0.0")}  # whether -0.0 is at least 0 is not worth agreeing about


@pytest.mark.parametrize("key", catalog.CONFIGS)
def test_values_are_stored_as_the_catalog_says(world: World, key: str) -> None:
    """Each sample is refused by both or read back as `canonical` gives it."""
    if key == "remote.storage.enable":
        pytest.skip("needs brokers with tiered storage")
    expected: dict[str, str | None] = {}
    for sample in SAMPLES[catalog.CONFIGS[key].type]:
        if (key, sample) not in STRICTER:
            try:
                expected[sample] = catalog.canonical(key, sample)
            except ValueError:
                expected[sample] = None
    topics = {sample: Topic(world.name("value"), 1, 1, {key: sample}) for sample in expected}
    outcomes = run_all(world, [create(topic) for topic in topics.values()])
    live = world.live(*(topic.name for topic in topics.values()))
    got = {s: live[t.name].config[key] if outcomes[t.address].ok else None for s, t in topics.items()}
    assert got == expected
    run_all(world, [delete(topic.name) for topic in topics.values()])


def test_the_catalog_has_kafkas_configs_and_defaults(request: pytest.FixtureRequest) -> None:
    from confluent_kafka.admin import AdminClient, ConfigResource

    world = real(request.getfixturevalue("kafka").bootstrap)
    topic = world.make(world.name())
    admin = AdminClient({"bootstrap.servers": request.getfixturevalue("kafka").bootstrap})
    [answer] = admin.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, topic.name)]).values()
    entries = answer.result()
    public = {name: entry.value for name, entry in entries.items() if not name.startswith("internal.")}
    assert public == {key.name: key.default for key in catalog.CONFIGS.values()}
