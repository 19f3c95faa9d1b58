"""What a change of a binding brings with it."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace

from kplan.diagnostics import Diagnostic
from kplan.kinds.acl import risks
from kplan.kinds.acl.authorizer import EVERYBODY
from kplan.kinds.acl.binding import CONNECTORS_LINE, AclBinding
from kplan.kinds.acl.options import AclOptions, is_about_own_access
from kplan.kinds.base import Consequences
from kplan.kinds.phases import Phase
from kplan.kinds.risks import RiskContext
from kplan.model import Action, Address, Change, Live, Owned, Risk, Stack, Target, Undo


class AclConsequences(Consequences[AclBinding]):
    def decide_undo(self, change: Change, target: Target) -> Undo:
        return Undo("delete" if change.action is Action.CREATE else "recreate", True)

    def find_served(self, change: Change) -> Collection[Address]:
        """Return the connectors whose lines ask for the new binding."""
        if change.action is not Action.CREATE or not isinstance(change.after, AclBinding):
            return ()
        names = [line.removeprefix(CONNECTORS_LINE) for line in change.after.lines if line.startswith(CONNECTORS_LINE)]
        return [Address("connector", name) for name in names]

    def phase(self, change: Change) -> Phase:
        if not risks.takes_away(change):
            return Phase.ACCESS_GRANTED
        return Phase.OWN_ACCESS_REVOKED if is_about_own_access(change) else Phase.ACCESS_REVOKED

    def add_effects(self, change: Change, live: Live) -> Change:
        """Note a change that is about kplan's own principal."""
        if change.is_ledger_only or risks.binding_of(change).principal not in (live.principal, EVERYBODY):
            return change
        return replace(change, options=AclOptions(change.options.effects, change.options.verified, own_access=True))

    def complete_undo(self, change: Change, back: Change) -> Change:
        if not is_about_own_access(change):
            return back
        return replace(back, options=AclOptions(back.options.effects, back.options.verified, own_access=True))

    def find_follow_ups(
        self,
        stack: Stack,
        live: Live,
        ledger: Mapping[Address, Owned],
        acting: Collection[Address],
        wrong: Collection[Address],
    ) -> Iterator[Change]:
        """Yield the deletion of each binding that no stack owns, of principals whose blocks are exclusive."""
        declared = [each for each in stack.resources.values() if isinstance(each, AclBinding)]
        exclusive = {each.principal: each for each in declared if each.exclusive}
        for address, binding in live.resources.items() if exclusive else ():
            if isinstance(binding, AclBinding) and binding.principal in exclusive:
                if address in stack.resources or address in acting or address in ledger:
                    continue
                block = exclusive[binding.principal]
                yield Change(
                    address, Action.DELETE, replace(binding, rules=block.rules), None, (), risks.EXCLUSIVE,
                    span=block.origin.span,
                )  # fmt: skip

    def find_topics_in_question(self, change: Change, names: Collection[str]) -> Collection[str]:
        return () if change.is_ledger_only else risks.find_topics_in_question(change, names)

    def find_errors(self, change: Change, context: RiskContext) -> Iterable[Diagnostic]:
        return risks.find_errors(change, context)

    def find_risks(self, change: Change, context: RiskContext) -> Iterator[Risk]:
        return risks.find_risks(change, context)
