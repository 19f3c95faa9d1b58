"""To whom resources belong: a stack's team and labels are those of its resources, too."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from kplan.kinds.registry import KINDS
from kplan.model import USUAL, Address, Resource, Rules, frozen


def spread_ownership(resources: Mapping[Address, Resource], of_stack: Rules) -> dict[Address, Resource]:
    """Return the resources that get a team or labels: from their stack, and from the connector that feeds them.

    What is nearer to the resource comes first: its own, the connector's, the stack's.
    """
    of_feeders = {
        name: connector.rules
        for connector in resources.values()
        for name in getattr(connector, "feeds", ())
        if connector.rules.team or connector.rules.labels
    }
    if not (of_stack.team or of_stack.labels or of_feeders):
        return {}
    spread: dict[Address, Resource] = {}
    for address, resource in resources.items():
        is_fed = KINDS[address.kind].views.holds_records and address.name in of_feeders
        outer, own = of_feeders[address.name] if is_fed else USUAL, resource.rules
        labels = frozen({**of_stack.labels, **outer.labels, **own.labels})
        rules = replace(own, team=own.team or outer.team or of_stack.team, labels=labels)
        spread[address] = replace(resource, rules=rules)
    return spread
