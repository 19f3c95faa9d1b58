"""Topics that a broker made by itself, with its own settings, before the stack was there: found and mended."""

from __future__ import annotations

from pathlib import Path

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, NewTopic

from tests.services import ConnectWorker, KafkaCluster, Postgres
from tests.services.cdc import captured, rows
from tests.services.test_walk import set_on, topics
from tests.shell import Shell


def auto_created(kafka: KafkaCluster, topic: str, partitions: int, records: int) -> None:
    """The topic is there as the first write to it would have made it: with the broker's defaults, and records."""
    admin = AdminClient({"bootstrap.servers": kafka.bootstrap})  # a client that is thrown away fails its own futures
    admin.create_topics([NewTopic(topic, partitions)])[topic].result(20)
    producer = Producer({"bootstrap.servers": kafka.bootstrap})
    for number in range(records):
        producer.produce(topic, f'{{"op": "c", "after": {{"note": "early {number}"}}}}', f'{{"id": {number}}}')
    assert producer.flush(20) == 0


def test_topics_with_the_brokers_settings_are_adopted_and_mended(
    kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, tmp_path: Path
) -> None:
    wrong = captured(Shell(tmp_path), kafka, connect, postgres, "wrong")
    wrong.create("orders", "customers")
    orders, customers = wrong.topic("orders"), wrong.topic("customers")
    auto_created(kafka, orders, 1, 4)
    auto_created(kafka, customers, 1, 0)
    assert set_on(kafka, orders) == {}

    wrong.declare("orders: {partitions: 3, config: {retention.ms: 3d, compression.type: zstd}}, customers")
    planned = wrong.kplan("plan").out
    assert planned.count("it exists without an owner: this stack adopts and changes it") == 2
    above, _, below = planned.partition("nothing below this line can be undone")
    assert f"~  topic/{customers}" in above and f"topic/{orders}" not in above and f"~! topic/{orders}" in below
    assert "+ compression.type     snappy" in above and "+ retention.ms         604800000 (7d)" in above
    for difference in (
        "~ partitions           1 -> 3",
        "+ compression.type     zstd",
        "+ retention.ms         259200000",
    ):
        assert difference in below
    assert "caution K411: keys move" in below

    wrong.apply()
    assert topics(kafka, "wrong.") == {orders: 3, customers: 1}
    live = set_on(kafka, orders)
    assert (live["compression.type"], live["retention.ms"], live["cleanup.policy"]) == ("zstd", "259200000", "delete")
    assert set_on(kafka, customers)["compression.type"] == "snappy"
    wrong.insert("orders", "new")
    early = [("c", f"early {number}") for number in range(4)]
    assert rows(kafka, orders, ("c", "new"), partitions=3) == [*early, ("c", "new")], "its records are kept"
    assert "No changes." in wrong.kplan("plan", "--detailed-exitcode").out
    wrong.destroy()


def test_a_topic_with_too_many_partitions_is_made_anew_only_by_name(
    kafka: KafkaCluster, connect: ConnectWorker, postgres: Postgres, tmp_path: Path
) -> None:
    wrong = captured(Shell(tmp_path), kafka, connect, postgres, "wide")
    wrong.create("orders", "customers")
    orders, replace = wrong.topic("orders"), f"topic/{wrong.topic('orders')}"
    auto_created(kafka, orders, 4, 6)

    wrong.declare("orders, customers")
    refused = " ".join(wrong.kplan("plan", expect=4).all.split())
    assert "error[K232]" in refused and "has 4, the stack says 1" in refused and f"--replace {replace}" in refused
    blocked = wrong.apply("--replace", replace, expect=3).out
    assert "DANGER K403: deleted and recreated. Up to 6 records" in blocked
    assert f"--accept replace:{replace}" in blocked and topics(kafka, orders) == {orders: 4}

    # as the table is captured already: declared as it is live, and narrowed afterwards
    wrong.declare("orders: {partitions: 4}, customers")
    wrong.apply()
    wrong.insert("orders", "too wide")
    assert ("c", "too wide") in rows(kafka, orders, ("c", "too wide"), partitions=4)
    wrong.declare("orders, customers")
    wrong.apply("--replace", replace, "--accept", f"replace:{replace}")
    assert topics(kafka, orders) == {orders: 1} and set_on(kafka, orders)["compression.type"] == "snappy"
    wrong.insert("orders", "new")
    assert wrong.rows("orders", ("c", "new")) == [("c", "new")], "made anew, and written to again"
    wrong.insert("customers", "theirs")
    assert wrong.rows("customers", ("c", "theirs")) == [("c", "theirs")]
    assert "No changes." in wrong.kplan("plan", "--detailed-exitcode").out
    wrong.destroy()
