"""Topics in the views that only read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from functools import lru_cache
from typing import Any

from kplan.kinds.topic.internal import is_internal, is_left_out
from kplan.kinds.topic.retention import describe_retention
from kplan.kinds.views import LiveResource, Retention, Shape, Views
from kplan.model import Health, Live, Resource, Topic
from kplan.model.codec import facts_from_json, facts_to_json
from kplan.model.fields import Json
from kplan.text import count


class TopicViews(Views[Topic]):
    """A topic holds records, and is well where it is as declared."""

    plural = "topics"
    shape: Shape = "rounded"
    is_in_every_document = True
    holds_records = True
    undo_omits = frozenset({"/partitions", "/replication_factor"})

    def is_internal(self, name: str, is_owned: bool, internal_topics: Collection[str]) -> bool:
        """Whether it is Kafka's or kplan's, or nobody's and Connect's or a registry's."""
        return name.startswith("__") or (not is_owned and (is_internal(name) or name in internal_topics))

    def describe_row(self, topic: Topic, health: Health | None) -> Json:
        return {"partitions": topic.partitions, "replication_factor": topic.replication_factor}

    def is_left_out(self, name: str) -> bool:
        return is_left_out(name)

    def encode_live(self, topic: Topic, live: Live, encoded: Json) -> Json:
        """Add the topic's id and its facts where they were read; which sinks read it, the connectors say."""
        known = facts_to_json(live.facts.get(topic.address)) or {}
        topic_id = live.ids.get(topic.address)
        return {
            **encoded,
            **({"topic_id": topic_id} if topic_id else {}),
            **{key: value for key, value in known.items() if key != "sinks"},
        }

    def decode_live(self, name: str, fields: Mapping[str, Any], decode: Callable[[], Resource]) -> LiveResource:
        """Read the topic, and its facts and its id where there are some: an older snapshot has no id."""
        topic = decode()
        facts = facts_from_json(fields) if "records" in fields else None
        topic_id = fields.get("topic_id", "")
        if not isinstance(topic_id, str):
            raise ValueError("`topic_id` is not text")
        return LiveResource(topic, facts=facts, id=topic_id)

    def list_main_attributes(self, fields: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
        return [("partitions", fields.get("partitions")), ("replication", fields.get("replication_factor"))]

    def count_units(self, fields: Mapping[str, Any]) -> Mapping[str, int | None]:
        """Return partitions and replicas; None where the brokers and not the stack decide how many."""
        partitions, factor = int(fields["partitions"]), int(fields["replication_factor"])
        own_partitions = partitions if partitions > 0 else None
        return {
            "partition": own_partitions,
            "replica": own_partitions and (own_partitions * factor if factor > 0 else None),
        }

    def summarize(self, fields: Mapping[str, Any]) -> str:
        """Return the partitions, and the cleanup policy where it is not the usual one."""
        return _summarize(fields["partitions"], (fields.get("config") or {}).get("cleanup.policy"))

    def describe_retention(self, fields: Mapping[str, Any]) -> Retention:
        return describe_retention(fields.get("config") or {})


@lru_cache
def _summarize(partitions: int, policy: str | None) -> str:
    number = count(partitions, "partition") if partitions > 0 else "the broker's number of partitions"
    return number if policy in (None, "delete") else f"{number}, {policy}"
