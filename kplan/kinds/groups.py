"""The consumer groups of Connect."""


def name_sink_group(connector: str) -> str:
    """Return the usual consumer group of a sink connector (Connect's `SinkUtils.consumerGroupId`)."""
    return f"connect-{connector}"
