"""What a change of a quota brings with it."""

from __future__ import annotations

from collections.abc import Iterator

from kplan.diagnostics import codes
from kplan.kinds.base import Consequences
from kplan.kinds.phases import Phase
from kplan.kinds.quota.quota import Quota
from kplan.kinds.risks import RiskContext, make_risk
from kplan.model import Action, Change, Risk, Target, Undo


class QuotaConsequences(Consequences[Quota]):
    def decide_undo(self, change: Change, target: Target) -> Undo:
        return Undo({Action.CREATE: "delete", Action.DELETE: "recreate"}.get(change.action, "restore"), True)

    def phase(self, change: Change) -> Phase:
        return Phase.ACCESS_GRANTED

    def find_risks(self, change: Change, context: RiskContext) -> Iterator[Risk]:
        """Yield a caution for each limit that is lower than before, or new."""
        before, after = change.before, change.after
        if change.is_ledger_only or not isinstance(after, Quota):
            return
        had = before.values if isinstance(before, Quota) else {}
        lowered = [key for key, value in after.values.items() if key in had and value < had[key]]
        if lowered:
            yield make_risk(codes.K455, f"{', '.join(lowered)} of {after.name}: lower than now")
