"""What a change of a topic brings with it."""

from __future__ import annotations

from collections.abc import Hashable, Iterator
from dataclasses import replace

from kplan.diagnostics import Diagnostic
from kplan.kinds.base import Consequences
from kplan.kinds.phases import Phase
from kplan.kinds.risks import RiskContext
from kplan.kinds.topic import forecast, placement, risks, undo
from kplan.kinds.topic.options import reassignment_of
from kplan.model import (
    Action,
    Change,
    Facts,
    Risk,
    Stack,
    Target,
    Topic,
    Undo,
)
from kplan.model.forecast import Storage, StorageForecast


class TopicConsequences(Consequences[Topic]):
    def warn_of_stack(self, stack: Stack, target: Target) -> Iterator[Diagnostic]:
        return placement.warn_of_single_replicas(stack, target)

    def may_look_done(self, change: Change) -> bool:
        return reassignment_of(change) is not None  # replicas are listed before they are in sync

    judges_undo = True

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

    def decide_undo(self, change: Change, target: Target) -> Undo:
        return undo.decide_undo(change)

    def keep_additions(self, back: Change) -> Change:
        if not isinstance(back.after, Topic):
            return back
        return replace(back, after=replace(back.after, partitions=-1, replication_factor=-1))

    def wants_facts(self, change: Change) -> bool:
        return risks.wants_facts(change)

    def changes_storage(self, change: Change) -> bool:
        return forecast.changes_storage(change)

    def forecast(self, change: Change, storage: Storage, now: int | None) -> StorageForecast | None:
        return forecast.forecast_change(change, storage, now)

    def forecast_unchanged(self, resource: Topic, storage: Storage, now: int) -> StorageForecast:
        return forecast.forecast_topic(resource, resource, storage, now)

    def find_risks(self, change: Change, context: RiskContext) -> Iterator[Risk]:
        return risks.find_risks(change, context.facts or Facts(), context.now)

    def finish(self, change: Change, target: Target) -> Change:
        return risks.finish(change)

    def complete_undo(self, change: Change, back: Change) -> Change:
        return undo.complete_undo(change, back)
