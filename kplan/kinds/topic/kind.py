"""Topics, as a kind of resource. Each part is imported when it is used first."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kplan.kinds.topic.comparison import TopicComparison
    from kplan.kinds.topic.consequences import TopicConsequences
    from kplan.kinds.topic.encoding import TopicEncoding
    from kplan.kinds.topic.language import TopicLanguage
    from kplan.kinds.topic.views import TopicViews
    from kplan.kinds.topic.wording import TopicWording


class TopicKind:
    """The kind `topic`."""

    name = "topic"
    server = "kafka"
    section = "topics"
    extends: tuple[tuple[str, str], ...] = ()
    compares_on_server = False
    is_in_every_plan = True
    reads_all = False
    unread_effect = ""
    holds_secrets = False
    reads_databases = False
    move_refusal = (
        "Kafka cannot rename a topic",
        "declare the new topic, copy the records, and list the old one under `removed`",
    )

    @cached_property
    def encoding(self) -> TopicEncoding:
        from kplan.kinds.topic.encoding import TopicEncoding

        return TopicEncoding()

    @cached_property
    def language(self) -> TopicLanguage:
        from kplan.kinds.topic.language import TopicLanguage

        return TopicLanguage()

    @cached_property
    def comparison(self) -> TopicComparison:
        from kplan.kinds.topic.comparison import TopicComparison

        return TopicComparison()

    @cached_property
    def consequences(self) -> TopicConsequences:
        from kplan.kinds.topic.consequences import TopicConsequences

        return TopicConsequences()

    @cached_property
    def views(self) -> TopicViews:
        from kplan.kinds.topic.views import TopicViews

        return TopicViews()

    @cached_property
    def wording(self) -> TopicWording:
        from kplan.kinds.topic.wording import TopicWording

        return TopicWording()

    def check_name(self, name: str) -> str:
        from kplan.kinds.topic import configs as catalog

        return catalog.check_name(name) or ""


TOPIC = TopicKind()
