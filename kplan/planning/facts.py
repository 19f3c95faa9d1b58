"""What decides how dangerous changes are: what is stored in topics, who reads them, and which offsets were left."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from kplan.diagnostics import KplanError
from kplan.kinds.connector.kind import CONNECTOR
from kplan.kinds.connector.sinks import SinkReaders, find_created_connectors, find_groups
from kplan.kinds.registry import KINDS, consequences_of
from kplan.kinds.risks import World
from kplan.kinds.topic.losses import may_lose
from kplan.model import Address, Change, Facts, Live, Resource
from kplan.model.journal import replay
from kplan.planning.risk import find_growth, new_dangers, reliable
from kplan.servers.base import Cluster
from kplan.state.base import RecordUnreadable, Store

# Connect says nothing of offsets once their connector is gone (404), so they are known by what is known otherwise.
DELETED_BY_HAND = "kplan made one, someone else deleted it, and Connect keeps the offsets of what is deleted"
COMMITTED = "consumer group {} has positions"
KEPT = "run {} deleted one with `keep_offsets`"


def read(cluster: Cluster, live: Live, changes: Sequence[Change], names: Collection[str]) -> Mapping[Address, Facts]:
    """Return the facts of the topics of these names, once all `changes` are made.

    What could not be read says why, and counts as dangerous.
    """
    if not names:
        return {}
    why = "it is not listed"
    try:
        found = cluster.topics.facts(names)
    except KplanError as e:
        found, why = {}, e.message
    nothing = Facts(unknown=dict.fromkeys(("records", "readers"), why))
    readers = SinkReaders.of(live, changes)
    topics = [Address(cluster.topics.kind, name) for name in names]
    known = {topic: readers.add_to(found.get(topic, nothing), topic.name) for topic in topics}
    unread = live.unread.get(CONNECTOR.name)
    if unread is None:
        return known
    unseen = {"readers": f"{unread}, so sink connectors are not known"}
    return {a: replace(each, unknown={**unseen, **each.unknown}) for a, each in known.items()}


def find_new_dangers(cluster: Cluster, live: Live, changes: Sequence[Change], now: int) -> list[str]:
    """Return the dangers that were not accepted when the plan was made: records in a topic that was empty, or
    many more.
    """
    acting = [change for change in changes if not change.is_ledger_only]
    names = [change.address.name for change in acting if may_lose(change)]
    names += find_topics_in_question(
        [change for change in acting if not KINDS[change.address.kind].views.holds_records], live
    )
    facts = read(cluster, live, changes, list(dict.fromkeys(names)))
    time, found = reliable(now, facts.values()), []
    world = World(replace(live, principal=cluster.principal), find_resources_after(live, changes), facts=facts)
    for change in acting:
        known = facts.get(change.address, Facts())
        found += [f"{change.address}: {r.code} {r.summary}" for r in new_dangers(change, known, time, world)]
        found += [f"{change.address}: {grown}" for grown in find_growth(change, known)]
    return found


def find_topics_in_question(changes: Sequence[Change], live: Live) -> list[str]:
    """Return the topics whose facts decide how dangerous the changes are."""
    names = (consequences_of(change).find_topics_in_question(change, live.names) for change in changes)
    return list(dict.fromkeys(name for each in names for name in each))


def find_resources_after(live: Live, changes: Sequence[Change]) -> Mapping[Address, Resource]:
    """Return the live resources as they are once all changes are made."""
    after = dict(live.resources)
    for change in changes:
        if change.is_ledger_only:
            continue
        if change.before is not None:
            after.pop(change.source or change.address, None)
        if change.after is not None:
            after[change.address] = change.after
    return after


def read_ids(cluster: Cluster, changes: Sequence[Change]) -> Mapping[Address, str]:
    """Return the ids of the live resources that change; one that is made later under the same name has another one."""
    there = [change.address for change in changes if change.before and not change.is_ledger_only]
    try:
        return cluster.read_ids(there)
    except KplanError:
        return {}  # what is live decides then, as with a plan that has no ids


# -- offsets of an earlier connector ----------------------------------------------------------------------------------
def leftovers(cluster: Cluster, store: Store, changes: Sequence[Change]) -> Mapping[Address, str]:
    """Return those of the new connectors that will find offsets of their name, and how that is known."""
    new = find_created_connectors(changes)
    if not new:
        return {}
    vanished = {a: DELETED_BY_HAND for a, c in new.items() if c.owner is not None and c.owner.applied is not None}
    return {**_find_group_offsets(cluster, new), **_find_kept_offsets(store, new), **vanished}


def _find_group_offsets(cluster: Cluster, new: Mapping[Address, Change]) -> dict[Address, str]:
    """Find the offsets of sinks, which are those of their consumer groups."""
    groups = find_groups(new.values())
    try:
        found = cluster.topics.positions(groups) if groups else ()
    except KplanError:
        return {}
    return {groups[group]: COMMITTED.format(group) for group in found}


def _find_kept_offsets(store: Store, new: Collection[Address]) -> dict[Address, str]:
    """Return those whose last deletion, as far as the journal goes back, kept the offsets."""
    left = {str(address): address for address in new}
    found: dict[Address, str] = {}
    for run in reversed(store.runs() if left else ()):
        progress = None
        with suppress(RecordUnreadable):  # it stops its own stack alone
            progress = replay(store.entries(run)) if left else None
        if progress is None:
            continue
        for number, item in progress.done.items():
            if item.address in left and number not in progress.undone and item.change is not None:
                address = left.pop(item.address)
                if item.change.get("keep_offsets") and item.change.get("actions") == ["delete"]:
                    found[address] = KEPT.format(run)
    return found
