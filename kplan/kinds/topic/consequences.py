"""What a change of a topic brings with it."""

from __future__ import annotations

from kplan.kinds.topic import undo
from kplan.model import Change, Target, Undo


class TopicConsequences:
    def decide_undo(self, change: Change, target: Target) -> Undo:
        return undo.decide_undo(change)

    def complete_undo(self, change: Change, back: Change) -> Change:
        return undo.complete_undo(change, back)
