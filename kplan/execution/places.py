"""Whether kplan is where a run was: its cluster, its Connect, and a login that sees what it changed."""

from __future__ import annotations

from typing import Literal

from kplan.model import Live
from kplan.planning.document import Plan
from kplan.servers.base import needs_connect
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class OtherPlace:
    """How this differs from where a run was: another cluster or Connect (empty: none), or a resource that is unseen."""

    what: Literal["cluster", "connect", "unseen"]
    was: str
    here: str = ""


def find_other_place(plan: Plan, live: Live, environment: str) -> OtherPlace | None:
    """Return how this is not where the run was; None where it is, as far as can be known."""
    target, live_target = plan.target, live.target
    if target.cluster_id and live_target.cluster_id and target.cluster_id != live_target.cluster_id:
        return OtherPlace("cluster", target.cluster_id, live_target.cluster_id)
    changes_connectors = needs_connect(c.address for c in plan.changes if not c.is_ledger_only)
    connect = live_target.connect_url or live_target.simulated
    if changes_connectors and not connect:
        return OtherPlace("connect", target.connect_url)
    if changes_connectors and environment != plan.env and target.connect_url not in ("", connect):
        return OtherPlace("connect", target.connect_url, connect)
    unseen = [str(c.address) for c in plan.changes if c.address in live.hidden]
    return OtherPlace("unseen", unseen[0]) if unseen else None
