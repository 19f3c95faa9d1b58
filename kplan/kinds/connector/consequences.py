"""What a change of a connector brings with it."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Any

from kplan.diagnostics import Diagnostic
from kplan.kinds.base import Consequences
from kplan.kinds.connector import effects, exclusive, risks, undo
from kplan.kinds.connector.options import ConnectorOptions, connector_options
from kplan.kinds.phases import Phase
from kplan.kinds.risks import RiskContext
from kplan.model import (
    NO_OPTIONS,
    Action,
    Address,
    AttrDiff,
    Change,
    ChangeOptions,
    Connector,
    Live,
    Owned,
    Removal,
    Risk,
    Stack,
    Target,
    Undo,
)


class ConnectorConsequences(Consequences[Connector]):
    def choose_options(self, connector: Connector, diffs: Sequence[AttrDiff]) -> ChangeOptions:
        return ConnectorOptions(restart=True) if effects.is_restarted_for(connector, diffs) else NO_OPTIONS

    def choose_removal_options(self, entry: Removal) -> ChangeOptions:
        return ConnectorOptions(keep_offsets=True) if entry.keep_offsets else NO_OPTIONS

    def add_effects(self, change: Change, live: Live) -> Change:
        return effects.add_effects(change, live)

    def find_follow_ups(
        self,
        stack: Stack,
        live: Live,
        ledger: Mapping[Address, Owned],
        acting: Collection[Address],
        wrong: Collection[Address],
    ) -> Iterator[Change]:
        return effects.find_restarts(stack, live, ledger, acting, wrong)

    def warn_of_live_state(self, connector: Connector, live: Live) -> Iterator[Diagnostic]:
        return effects.warn_of_health(connector, live)

    def warn_of_stack(self, stack: Stack, target: Target) -> Iterator[Diagnostic]:
        return iter(())

    def find_shared(self, stack: Stack, live: Live, changes: Sequence[Change]) -> Iterable[Diagnostic]:
        return exclusive.unique(stack, live, changes)

    def may_look_done(self, change: Change) -> bool:
        return change.after is not None  # its task may fail later

    max_wave: float = 16
    max_new_wave: float = 128

    def phase(self, change: Change) -> Phase:
        return Phase.CONNECTORS_DELETED if change.action is Action.DELETE else Phase.CONNECTORS_CHANGED

    def waits_for_updates(self, change: Change) -> bool:
        return connector_options(change).restart and not change.diffs

    def decide_undo(self, change: Change, target: Target) -> Undo:
        return undo.decide_undo(change, target)

    def is_position(self, captured: Mapping[str, Any]) -> bool:
        return captured.get("offsets") is not None

    def has_lost_position(self, now: Connector, had: Mapping[str, Any], has: Mapping[str, Any]) -> bool:
        """Whether a connector has lost its offsets, or has others although it rests. A running one's go on."""
        before, after = had["offsets"], has.get("offsets", had["offsets"])
        is_moved = now.state == "stopped" and _sort_offsets(after) != _sort_offsets(before)
        return bool(before and not after) or is_moved

    def find_risks(self, change: Change, context: RiskContext) -> Iterator[Risk]:
        return risks.find_risks(change, context.leftover)

    def finish(self, change: Change, target: Target) -> Change:
        return risks.finish(change, target)

    def complete_undo(self, change: Change, back: Change) -> Change:
        return undo.complete_undo(change, back)


def _sort_offsets(offsets: Iterable[Any]) -> list[str]:
    return sorted(json.dumps(offset, sort_keys=True) for offset in offsets)
