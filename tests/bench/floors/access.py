"""The least that an apply of bindings can do safely: COUNT bindings, a tenth of that of principals, and a journal.

It asks what it may do itself, reads the bindings, writes what it will do and what it did in transactions, reads again
what it is about to create, creates all in one request, waits until two readings in a row, half a second apart, show
them, and reads them back. It compares nothing and writes no file.
"""

import sys
import time

from confluent_kafka import Producer
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


producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": prefix})
producer.init_transactions(60)


def write(word: str) -> None:
    """Write a record for each binding in a transaction."""
    producer.begin_transaction()
    for name in sorted(names):
        producer.produce(state, key=name, value=word)
    producer.commit_transaction(60)


admin.describe_cluster(include_authorized_operations=True).result(60)
read()
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
