"""What a change of a topic brings with it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from math import inf

from kplan.kinds.phases import Phase
from kplan.kinds.risks import RiskContext
from kplan.kinds.topic import risks, undo
from kplan.kinds.topic.options import reassignment_of
from kplan.model import Action, Change, Facts, Risk, Target, Undo


class TopicConsequences:
    max_wave = inf

    def phase(self, change: Change) -> Phase:
        if reassignment_of(change) is not None:
            return Phase.REPLICAS_MOVED
        return {
            Action.CREATE: Phase.TOPICS_CREATED,
            Action.UPDATE: Phase.TOPICS_CHANGED,
            Action.REPLACE: Phase.TOPICS_REPLACED,
            Action.DELETE: Phase.TOPICS_DELETED,
        }[change.action]

    def wave_key(self, change: Change) -> Hashable:
        return reassignment_of(change) is not None

    def waits_for_updates(self, change: Change) -> bool:
        return False

    def decide_undo(self, change: Change, target: Target) -> Undo:
        return undo.decide_undo(change)

    def wants_facts(self, change: Change) -> bool:
        return risks.wants_facts(change)

    def find_risks(self, change: Change, context: RiskContext) -> Iterator[Risk]:
        return risks.find_risks(change, context.facts or Facts(), context.now)

    def finish(self, change: Change, target: Target) -> Change:
        return risks.finish(change)

    def complete_undo(self, change: Change, back: Change) -> Change:
        return undo.complete_undo(change, back)
