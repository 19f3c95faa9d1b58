"""The least that a plan can read: all topics' metadata, and the configs of the topics that begin with PREFIX."""

import sys

from confluent_kafka.admin import AdminClient, ConfigResource, ResourceType

bootstrap, prefix = sys.argv[1:]
admin = AdminClient({"bootstrap.servers": bootstrap, "allow.auto.create.topics": False})
names = sorted(name for name in admin.list_topics(timeout=60).topics if name.startswith(prefix))
for start in range(0, len(names), 500):
    asked = [ConfigResource(ResourceType.TOPIC, name) for name in names[start : start + 500]]
    for answer in admin.describe_configs(asked).values():
        answer.result(60)
