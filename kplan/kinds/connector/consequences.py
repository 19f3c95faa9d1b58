"""What a change of a connector brings with it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator

from kplan.kinds.connector import risks, undo
from kplan.kinds.connector.options import connector_options
from kplan.kinds.phases import Phase
from kplan.kinds.risks import RiskContext
from kplan.model import Action, Change, Risk, Target, Undo


class ConnectorConsequences:
    max_wave = 16

    def phase(self, change: Change) -> Phase:
        return Phase.CONNECTORS_DELETED if change.action is Action.DELETE else Phase.CONNECTORS_CHANGED

    def wave_key(self, change: Change) -> Hashable:
        return None

    def waits_for_updates(self, change: Change) -> bool:
        return connector_options(change).restart and not change.diffs

    def decide_undo(self, change: Change, target: Target) -> Undo:
        return undo.decide_undo(change, target)

    def wants_facts(self, change: Change) -> bool:
        return False

    def find_risks(self, change: Change, context: RiskContext) -> Iterator[Risk]:
        return risks.find_risks(change, context.leftover)

    def finish(self, change: Change, target: Target) -> Change:
        return risks.finish(change, target)

    def complete_undo(self, change: Change, back: Change) -> Change:
        return undo.complete_undo(change, back)
