"""The least that an apply of bindings with kplan's duties can do: COUNT bindings, a tenth of that of principals.

It takes a lock (the membership of a consumer group), reads the state, asks what it may do itself, reads the bindings,
writes in transactions what it claims, what it will do, what it did and what it owns then, reads again what it is about
to create, creates all in one request, waits until two readings in a row, half a second apart, show them, and reads them
back. It parses no stack, compares nothing, shows nothing, and could undo nothing.
"""

import sys
import time

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import (
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    AdminClient,
    ResourcePatternType,
    ResourceType,
)

bootstrap, state, prefix, count = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4])
RECORD = "x" * 200
admin = AdminClient({"bootstrap.servers": bootstrap})
everything = AclBindingFilter(
    ResourceType.ANY, None, ResourcePatternType.ANY, None, None, AclOperation.ANY, AclPermissionType.ANY
)
new = [
    AclBinding(
        ResourceType.TOPIC,
        f"{prefix}t{number}",
        ResourcePatternType.LITERAL,
        f"User:{prefix}u{number % (count // 10)}",
        "*",
        AclOperation.WRITE,
        AclPermissionType.ALLOW,
    )
    for number in range(count)
]
names = {binding.name for binding in new}


def read() -> set[str]:
    """Return the names of the topics that bindings of this run are about."""
    return {binding.name for binding in admin.describe_acls(everything).result(60) if binding.name in names}


def read_state(consumer: Consumer) -> None:
    """Read the state topic to its end."""
    consumer.assign([TopicPartition(state, 0, 0)])
    while not any(message.error() for message in consumer.consume(1_000, 0.02)):  # the end comes as an error
        pass


group = {
    "bootstrap.servers": bootstrap,
    "enable.auto.commit": False,
    "isolation.level": "read_committed",
    "enable.partition.eof": True,
}
lock = Consumer({**group, "group.id": f"{prefix}lock"})
lock.subscribe([state])
reader = Consumer({**group, "group.id": f"{prefix}reader"})
read_state(reader)
admin.describe_cluster(include_authorized_operations=True).result(60)
read()
while not lock.assignment():
    lock.poll(0.01)
producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": prefix})
producer.init_transactions(60)


def write(word: str) -> None:
    """Write a record for each binding in a transaction."""
    producer.begin_transaction()
    for name in sorted(names):
        producer.produce(state, key=f"{word} {name}", value=RECORD)
    producer.commit_transaction(60)


write("claim")
write("will")
read()
for answer in admin.create_acls(new).values():
    answer.result(60)
agreed = 0
while agreed < 2:
    time.sleep(0.5 if agreed else 0)
    agreed = agreed + 1 if read() == names else 0
write("did")
read()
write("owns")
lock.close()
