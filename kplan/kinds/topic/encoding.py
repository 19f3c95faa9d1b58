"""Topics and the options of their changes as JSON, and back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from kplan.kinds.base import Encoding
from kplan.kinds.topic.options import Reassignment, TopicOptions
from kplan.model import ChangeOptions, Origin, Rules, Topic, frozen
from kplan.model.codec import config_from_json
from kplan.model.fields import (
    Json,
    drop_empty,
    expect_shape,
    read_flag,
    read_integer,
    read_list,
    read_mapping,
    read_optional_integer,
    read_text,
)


class TopicEncoding(Encoding[Topic]):
    """`{partitions, replication_factor, config}`."""

    def encode(self, topic: Topic) -> Json:
        return {
            "partitions": topic.partitions,
            "replication_factor": topic.replication_factor,
            "config": {key: topic.config[key] for key in sorted(topic.config)},
        }

    def decode(self, name: str, fields: Mapping[str, Any], origin: Origin, rules: Rules) -> Topic:
        config = config_from_json(fields.get("config", {}))
        plain = {key: value for key, value in config.items() if isinstance(value, str)}
        if len(plain) != len(config):
            raise ValueError("a topic's config has no secrets")
        counts = read_integer(fields, "partitions", 1), read_integer(fields, "replication_factor", -1)
        return Topic(name, *counts, frozen(plain), origin=origin, rules=rules)

    def rename(self, topic: Topic, name: str) -> Topic:
        return Topic(
            name, topic.partitions, topic.replication_factor, topic.config, origin=topic.origin, rules=topic.rules
        )

    def describe(self, topic: Topic) -> Mapping[str, Any]:
        return {
            "name": topic.name,
            "partitions": topic.partitions,
            "config": topic.config,
            "replication_factor": topic.replication_factor,
        }

    def encode_options(self, options: ChangeOptions) -> Json:
        if not isinstance(options, TopicOptions):
            return {}
        moved = options.reassignment
        return drop_empty({
            "if_empty": options.if_empty,
            "reassignment": None if moved is None else encode_reassignment(moved),
            "topic_id": options.topic_id,
        })  # fmt: skip

    def decode_options(self, fields: Mapping[str, Any], common: ChangeOptions) -> ChangeOptions:
        moved = fields.get("reassignment")
        return TopicOptions(
            common.effects,
            common.verified,
            if_empty=read_flag(fields, "if_empty"),
            reassignment=decode_reassignment(moved) if moved else None,
            topic_id=read_text(fields, "topic_id"),
        )


def encode_reassignment(moved: Reassignment) -> Json:
    """Return `{partitions: [{partition, before, after}], bytes, throttle}`, brokers by their ids."""
    return {
        "partitions": [
            {"partition": p, "before": list(moved.before[p]), "after": list(moved.after[p])}
            for p in sorted(moved.after)
        ],
        "bytes": moved.bytes,
        "throttle": moved.throttle,
    }


def decode_reassignment(data: Any) -> Reassignment:
    """Return the reassignment that `encode_reassignment` wrote. Raises ValueError."""
    with expect_shape("a reassignment"):
        fields = read_mapping(data)
        partitions = [read_mapping(partition) for partition in read_list(fields, "partitions")]
        before, after = (
            {read_integer(partition, "partition", 0): _read_brokers(partition, side) for partition in partitions}
            for side in ("before", "after")
        )
        limits = (read_optional_integer(fields, name) for name in ("bytes", "throttle"))
        return Reassignment(before, after, *limits)


def _read_brokers(fields: Mapping[str, Any], name: str) -> tuple[int, ...]:
    brokers = tuple(read_list(fields, name))
    if not brokers or not all(type(broker) is int for broker in brokers):
        raise ValueError(f"`{name}` names no brokers")
    return brokers
