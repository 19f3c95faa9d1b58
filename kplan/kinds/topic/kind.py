"""Topics, as a kind of resource."""

from __future__ import annotations

from dataclasses import dataclass

from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.comparison import TopicComparison
from kplan.kinds.topic.consequences import TopicConsequences
from kplan.kinds.topic.encoding import TopicEncoding


@dataclass(frozen=True, slots=True)
class TopicKind:
    """The kind `topic`."""

    name: str = "topic"
    encoding: TopicEncoding = TopicEncoding()
    comparison: TopicComparison = TopicComparison()
    consequences: TopicConsequences = TopicConsequences()
    holds_secrets: bool = False
    reads_databases: bool = False
    move_refusal: tuple[str, str] | None = (
        "Kafka cannot rename a topic",
        "declare the new topic, copy the records, and list the old one under `removed`",
    )

    def check_name(self, name: str) -> str:
        return catalog.check_name(name) or ""


TOPIC = TopicKind()
