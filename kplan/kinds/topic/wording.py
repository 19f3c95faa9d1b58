"""How changes of topics are put into words."""

from __future__ import annotations

from kplan.kinds.topic.options import reassignment_of
from kplan.kinds.wording import Wording
from kplan.model import Change


class TopicWording(Wording):
    changing = "changing its config"

    def say_creation_undone(self, change: Change) -> str:
        return "empty, deleted"

    def say_update_undone(self, change: Change) -> str:
        return "replicas are back in their places, in sync" if reassignment_of(change) is not None else ""
