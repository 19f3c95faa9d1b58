"""The least that a first apply with kplan's duties can do: COUNT topics.

It lists the topics, has the brokers judge the new ones, writes what it will do in a transaction, creates them in
batches, waits until the metadata shows them, reads their configs back, and writes what it did in another transaction.
It takes no lock, parses no stack, compares nothing, shows nothing, and could undo nothing.
"""

import sys
import time

from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient, ConfigResource, NewTopic, ResourceType

bootstrap, state, prefix, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
RECORD = "x" * 200
admin = AdminClient({"bootstrap.servers": bootstrap, "allow.auto.create.topics": False})
names = [f"{prefix}{number:05}" for number in range(count)]
new = [NewTopic(name, 1, -1, config={"retention.ms": "604800000"}) for name in names]
producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": prefix})
producer.init_transactions(60)


def create(judge: bool) -> None:
    """Create the topics, or have the brokers say whether they would."""
    for start in range(0, count, 2_000):
        for answer in admin.create_topics(new[start : start + 2_000], validate_only=judge).values():
            answer.result(60)


def write(word: str) -> None:
    """Write a record for each topic in a transaction."""
    producer.begin_transaction()
    for name in names:
        producer.produce(state, key=f"{word} {name}", value=RECORD)
    producer.commit_transaction(60)


assert not set(names) & admin.list_topics(timeout=60).topics.keys()
create(judge=True)
write("will")
create(judge=False)
while not set(names) <= admin.list_topics(timeout=60).topics.keys():
    time.sleep(0.05)
for start in range(0, count, 500):
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names[start : start + 500]]
    for answer in admin.describe_configs(asked).values():
        answer.result(60)
write("did")
