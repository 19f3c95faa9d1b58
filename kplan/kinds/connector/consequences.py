"""What a change of a connector brings with it."""

from __future__ import annotations

from kplan.kinds.connector import undo
from kplan.model import Change, Target, Undo


class ConnectorConsequences:
    def decide_undo(self, change: Change, target: Target) -> Undo:
        return undo.decide_undo(change, target)

    def complete_undo(self, change: Change, back: Change) -> Change:
        return undo.complete_undo(change, back)
