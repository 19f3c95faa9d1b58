"""What a change of a topic brings with it."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any

from kplan.diagnostics import Diagnostic
from kplan.kinds.phases import Phase
from kplan.kinds.risks import RiskContext
from kplan.kinds.topic import placement, risks, undo
from kplan.kinds.topic.options import reassignment_of
from kplan.model import (
    NO_OPTIONS,
    Action,
    Address,
    AttrDiff,
    Change,
    ChangeOptions,
    Facts,
    Live,
    Owned,
    Removal,
    Risk,
    Stack,
    Target,
    Topic,
    Undo,
)


class TopicConsequences:
    def choose_options(self, topic: Topic, diffs: Sequence[AttrDiff]) -> ChangeOptions:
        return NO_OPTIONS

    def choose_removal_options(self, entry: Removal) -> ChangeOptions:
        return NO_OPTIONS

    def add_effects(self, change: Change, live: Live) -> Change:
        return change

    def find_follow_ups(
        self,
        stack: Stack,
        live: Live,
        ledger: Mapping[Address, Owned],
        acting: Collection[Address],
        wrong: Collection[Address],
    ) -> Iterator[Change]:
        return iter(())

    def warn_of_live_state(self, topic: Topic, live: Live) -> Iterator[Diagnostic]:
        return iter(())

    def warn_of_stack(self, stack: Stack, target: Target) -> Iterator[Diagnostic]:
        return placement.warn_of_single_replicas(stack, target)

    def find_shared(self, stack: Stack, live: Live, changes: Sequence[Change]) -> Iterable[Diagnostic]:
        return ()

    def may_look_done(self, change: Change) -> bool:
        return reassignment_of(change) is not None  # replicas are listed before they are in sync

    judges_undo = True
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

    def keep_additions(self, back: Change) -> Change:
        if not isinstance(back.after, Topic):
            return back
        return replace(back, after=replace(back.after, partitions=-1, replication_factor=-1))

    def is_position(self, captured: Mapping[str, Any]) -> bool:
        return False

    def has_lost_position(self, now: Topic, had: Mapping[str, Any], has: Mapping[str, Any]) -> bool:
        return False

    def wants_facts(self, change: Change) -> bool:
        return risks.wants_facts(change)

    def find_risks(self, change: Change, context: RiskContext) -> Iterator[Risk]:
        return risks.find_risks(change, context.facts or Facts(), context.now)

    def finish(self, change: Change, target: Target) -> Change:
        return risks.finish(change)

    def complete_undo(self, change: Change, back: Change) -> Change:
        return undo.complete_undo(change, back)
