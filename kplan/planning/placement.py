"""The stage that chooses which replicas move for a new replication factor."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from kplan.diagnostics import Diagnostic, codes, error
from kplan.kinds.topic import placement
from kplan.kinds.topic.options import reassignment_of, topic_options
from kplan.kinds.topic.placement import Placement
from kplan.model import Action, AttrDiff, Change
from kplan.planning.draft import Draft
from kplan.servers.base import Cluster


def place_replicas(draft: Draft, cluster: Cluster) -> Draft:
    """Choose which replicas move for a new replication factor, where the cluster lets them be moved."""
    wanted = [change.address.name for change in draft.all if _factor(change)]
    if not wanted:
        return draft
    where = cluster.topics.placement(wanted)
    return draft.edit(lambda change: _moving(change, factor, where) if (factor := _factor(change)) else change)


def refuse_immovable(draft: Draft) -> Draft:
    """Report what the server's check would say of a replication factor whose replicas cannot be moved from here."""
    return draft.report(_immovable(draft.all))


def _moving(change: Change, factor: AttrDiff, where: Placement) -> Change:
    """Return the change with the reassignment that gives the topic so many replicas; partitions are added first."""
    grows = any(diff.path == "/partitions" for diff in change.diffs)
    moved = None if grows else placement.reassigned(change.address.name, int(str(factor.after)), where)
    if moved is None:
        return change
    effects = (*change.options.effects, placement.said(moved))
    return replace(change, options=replace(topic_options(change), reassignment=moved, effects=effects))


def _factor(change: Change) -> AttrDiff | None:
    """The change of a replication factor in place."""
    found = (d for d in change.diffs if d.path == "/replication_factor")
    return next(found, None) if change.action is Action.UPDATE else None


def _immovable(changes: Sequence[Change]) -> list[Diagnostic]:
    """What the server's check would say of a replication factor whose replicas cannot be moved from here."""
    return [
        error(
            codes.K315,
            "this server or client cannot do it",
            f"the replication factor of {c.address.name} is {d.before}, the stack says {d.after}",
            help="plan without --offline: what moves, or the JSON for kafka-reassign-partitions.sh, is shown then",
            span=c.after.origin.at(d.path) if c.after else c.span,
            address=c.address,
            path=d.path,
        )
        for c in changes
        if (d := _factor(c)) is not None and reassignment_of(c) is None
    ]
