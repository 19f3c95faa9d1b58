"""The least that a first apply can do: create COUNT topics in batches, and wait until the metadata shows them."""

import sys
import time

from confluent_kafka.admin import AdminClient, NewTopic

bootstrap, prefix, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
admin = AdminClient({"bootstrap.servers": bootstrap, "allow.auto.create.topics": False})
names = [f"{prefix}{number:05}" for number in range(count)]
for start in range(0, count, 2_000):
    new = [NewTopic(name, 1, -1, config={"retention.ms": "604800000"}) for name in names[start : start + 2_000]]
    for answer in admin.create_topics(new).values():
        answer.result(60)
while not set(names) <= admin.list_topics(timeout=60).topics.keys():
    time.sleep(0.05)
