"""What a sink connector reads, and as which consumer group."""

from __future__ import annotations

from kplan.language import limits as bounded
from kplan.model import Connector


def is_sink(connector: Connector) -> bool:
    """Tell whether the connector reads topics."""
    return bool(connector.reads) or "topics.regex" in connector.config


def reads(connector: Connector, topic: str) -> bool:
    """Tell whether a sink reads the topic (Connect's `SinkTask.TOPICS_REGEX_CONFIG`: the whole name must match)."""
    pattern = connector.config.get("topics.regex")
    if not isinstance(pattern, str):
        return topic in connector.reads
    try:
        return bounded.pattern(pattern).match(topic) is not None
    except ValueError:  # Java's expressions can do more than Python's, and one reader too many does no harm
        return True


def group(connector: Connector) -> str:
    """Return the sink's consumer group: KIP-458 lets `consumer.override.group.id` name another than connect-NAME."""
    own = connector.config.get("consumer.override.group.id")
    return own if isinstance(own, str) and own else group_of(connector.name)


def group_of(sink: str) -> str:
    """Return the usual consumer group of a sink connector (Connect's `SinkUtils.consumerGroupId`)."""
    return f"connect-{sink}"
