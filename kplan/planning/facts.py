"""What decides how dangerous changes are: what is stored in topics, who reads them, and which offsets were left."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from kplan.diagnostics import KplanError
from kplan.kinds.connector.sinks import group, is_sink, reads
from kplan.kinds.topic.losses import may_lose
from kplan.model import Action, Address, Change, Connector, Facts, Live
from kplan.model.journal import replay
from kplan.planning.risk import find_growth, new_dangers, reliable
from kplan.servers.base import Cluster
from kplan.state.base import RecordUnreadable, Store

# Connect says nothing of offsets once their connector is gone (404), so they are known by what is known otherwise.
DELETED_BY_HAND = "kplan made one, someone else deleted it, and Connect keeps the offsets of what is deleted"
COMMITTED = "consumer group {} has positions"
KEPT = "run {} deleted one with `keep_offsets`"


def read(cluster: Cluster, live: Live, changes: Sequence[Change], about: Sequence[Change]) -> Mapping[Address, Facts]:
    """The facts of the topics that the changes `about` are about, once all `changes` are made.

    What could not be read says why, and counts as dangerous.
    """
    if not about:
        return {}
    why = "it is not listed"
    try:
        found = cluster.topics.facts([change.address.name for change in about])
    except KplanError as e:
        found, why = {}, e.message
    nothing = Facts(unknown=dict.fromkeys(("records", "readers"), why))
    before, after = _live_sinks(live), list(_staying(live, changes))
    known = {a: _after(found.get(a, nothing), a.name, before, after) for a in (change.address for change in about)}
    if not live.unread:
        return known
    unseen = {"readers": f"{live.unread}, so sink connectors are not known"}
    return {a: replace(each, unknown={**unseen, **each.unknown}) for a, each in known.items()}


def _after(found: Facts, topic: str, before: Sequence[Connector], after: Sequence[Connector]) -> Facts:
    """Return the facts of the topic with its sinks after the changes, without the groups of sinks that leave it."""
    staying = [sink for sink in after if reads(sink, topic)]
    left = {group(sink) for sink in before if reads(sink, topic)} - {group(sink) for sink in staying}
    readers = tuple(reader for reader in found.readers if reader.group not in left)
    return replace(found, readers=readers, sinks=tuple(sink.name for sink in staying))


def _live_sinks(live: Live) -> list[Connector]:
    return [each for each in live.resources.values() if isinstance(each, Connector) and is_sink(each)]


def _staying(live: Live, changes: Sequence[Change]) -> Iterator[Connector]:
    """The live connectors as they will be after the changes, without those that the changes stop."""
    stopped = {c.address for c in changes if _stops(c)}
    touched = {c.address: c.after for c in changes if not c.is_ledger_only}
    touched |= {c.source: None for c in changes if c.source}
    moved = {c.address: c.after for c in changes if c.source}
    for address, resource in {**live.resources, **moved}.items():
        after = touched.get(address, resource)
        if isinstance(after, Connector) and address not in stopped:
            yield after


def _stops(change: Change) -> bool:
    before, after = change.before, change.after
    if not isinstance(before, Connector) or not isinstance(after, Connector) or change.is_ledger_only:
        return False
    return after.state == "stopped" != before.state


def appeared(cluster: Cluster, live: Live, changes: Sequence[Change], now: int) -> list[str]:
    """The dangers that nobody accepted when the plan was made: records in a topic that was empty, or many more."""
    acting = [change for change in changes if not change.is_ledger_only]
    facts = read(cluster, live, changes, [change for change in acting if may_lose(change)])
    time, found = reliable(now, facts.values()), []
    for change in acting:
        known = facts.get(change.address, Facts())
        found += [f"{change.address}: {r.code} {r.summary}" for r in new_dangers(change, known, time)]
        found += [f"{change.address}: {grown}" for grown in find_growth(change, known)]
    return found


def read_ids(cluster: Cluster, changes: Sequence[Change]) -> Mapping[Address, str]:
    """The ids of the live resources that change; one that is made later under the same name has another one."""
    there = [change.address for change in changes if change.before and not change.is_ledger_only]
    try:
        return cluster.read_ids(there)
    except KplanError:
        return {}  # what is live decides then, as with a plan that has no ids


# -- offsets of an earlier connector ----------------------------------------------------------------------------------
def leftovers(cluster: Cluster, store: Store, changes: Sequence[Change]) -> Mapping[Address, str]:
    """Of connectors that are to be created, those that will find offsets of their name, and how that is known."""
    new = {c.address: c for c in changes if c.action is Action.CREATE and isinstance(c.after, Connector)}
    if not new:
        return {}
    vanished = {a: DELETED_BY_HAND for a, c in new.items() if c.owner is not None and c.owner.applied is not None}
    return {**_committed(cluster, new), **_kept(store, new), **vanished}


def _committed(cluster: Cluster, new: Mapping[Address, Change]) -> dict[Address, str]:
    """A sink's offsets are those of its consumer group."""
    groups = {group(c.after): a for a, c in new.items() if isinstance(c.after, Connector) and is_sink(c.after)}
    try:
        found = cluster.topics.positions(groups) if groups else ()
    except KplanError:
        return {}
    return {groups[group]: COMMITTED.format(group) for group in found}


def _kept(store: Store, new: Collection[Address]) -> dict[Address, str]:
    """Those whose last deletion, as far as the journal goes back, kept the offsets."""
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
