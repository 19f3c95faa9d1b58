"""In which order changes are made, and which of them are sent together."""

from __future__ import annotations

import fnmatch
import heapq
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from kplan.kinds.connector.options import connector_options
from kplan.kinds.topic.options import reassignment_of
from kplan.model import Action, Address, Change, Connector, Topic

MAKES = (Action.CREATE, Action.REPLACE)
WAVE_OF_CONNECTORS = 16  # so that a failure is noticed before all of a large stack has been touched


@dataclass(frozen=True, slots=True)
class Step:
    """A change with its place in the order; `number` counts from 1, steps of one `wave` are sent together."""

    number: int
    wave: int
    change: Change


class Cycle(ValueError):
    """Changes that wait for each other; `addresses` name them."""

    def __init__(self, addresses: Sequence[Address]) -> None:
        super().__init__(", ".join(map(str, addresses)))
        self.addresses = addresses


def with_needs(changes: Sequence[Change]) -> list[Change]:
    """The changes with what each waits for: topics before the connector that uses them, and a topic's deletion after
    the connectors that used it have changed."""
    topics = [c for c in changes if c.address.kind == "topic" and not c.is_ledger_only]
    made = {c.address for c in topics if c.action in MAKES}
    kept = {c.address for c in topics if c.action is not Action.DELETE}
    users: dict[str, set[Address]] = {}
    for change in changes:
        if isinstance(change.before, Connector) and not change.is_ledger_only:
            for name in _used(change):
                users.setdefault(name, set()).add(change.address)
    found = []
    for change in changes:
        needs = _needs(change, kept if _only_restarts(change) else made, users)
        found.append(change if needs == change.needs else replace(change, needs=needs))
    return found


def _needs(change: Change, made: Collection[Address], users: dict[str, set[Address]]) -> frozenset[Address]:
    if isinstance(change.after, Connector) and not change.is_ledger_only:
        names = (*change.after.feeds, *change.after.reads)
        return frozenset(a for a in (Address("topic", n) for n in names) if a in made)
    if isinstance(change.before, Topic) and change.action is Action.DELETE:
        return frozenset(users.get(change.address.name, ()))
    return frozenset()


def _only_restarts(change: Change) -> bool:
    """Whether it is there for its topics: it comes after all that changes of them."""
    return connector_options(change).restart and not change.diffs


def _used(change: Change) -> set[str]:
    """The topics that a connector used until now: as the ledger knows them, and as a sink's config says."""
    names: set[str] = set()
    for connector in (change.before, change.owner.applied if change.owner else None):
        if isinstance(connector, Connector):
            names |= {*connector.feeds, *connector.reads}
    return names


def narrowed(
    changes: Sequence[Change], targets: Sequence[str], excluded: Sequence[str]
) -> tuple[list[Change], list[str]]:
    """The changes that match, with what they need; and the words for each thing excluded that a remaining one needs."""
    by_address = {c.address: c for c in changes}
    chosen = [c for c in changes if not targets or _matches(c.address, targets)]
    wanted = {c.address for c in chosen}
    queue = list(chosen)
    while queue:
        for need in queue.pop().needs:
            if need not in wanted and need in by_address:
                wanted.add(need)
                queue.append(by_address[need])
    kept = [c for c in changes if c.address in wanted and not _matches(c.address, excluded)]
    left = {c.address for c in changes if _matches(c.address, excluded)}
    return kept, [f"{c.address} needs {need}" for c in kept for need in sorted(c.needs) if need in left]


def _matches(address: Address, patterns: Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(str(address), pattern) for pattern in patterns)


def order(changes: Sequence[Change]) -> tuple[Step, ...]:
    """The steps: what cannot be undone as late as what needs it allows, otherwise topics, connectors, deletions.

    Raises Cycle.
    """
    by_address = {c.address: c for c in changes}
    position = {c.address: i for i, c in enumerate(changes)}
    waiting = {c.address: {n for n in c.needs if n in by_address} for c in changes}
    needed_by: dict[Address, list[Address]] = {}
    for address, needs in waiting.items():
        for need in needs:
            needed_by.setdefault(need, []).append(address)

    def key(address: Address) -> tuple[int, int, int]:
        return (*_rank(by_address[address]), position[address])

    ready = [(key(a), a) for a, needs in waiting.items() if not needs]
    heapq.heapify(ready)
    queue: list[Change] = []
    while ready:
        _, address = heapq.heappop(ready)
        queue.append(by_address[address])
        for user in needed_by.get(address, ()):
            waiting[user].discard(address)
            if not waiting[user]:
                heapq.heappush(ready, (key(user), user))
    if len(queue) < len(changes):
        raise Cycle(sorted(a for a, needs in waiting.items() if needs))
    return _numbered(queue, _grouping)


def _rank(change: Change) -> tuple[int, int]:
    """Whether it can be undone, and then: topics made, topics changed, connectors, replicas moved, topics deleted, the
    ledger alone."""
    if change.is_ledger_only:
        return (2, 0)  # last, with the end of the run
    if reassignment_of(change) is not None:
        return (int(change.irreversible), 4)  # it may take hours, and what fails sooner would put it back
    if change.address.kind == "topic":
        return (
            int(change.irreversible),
            {Action.CREATE: 0, Action.UPDATE: 1, Action.REPLACE: 4, Action.DELETE: 5}[change.action],
        )
    return (int(change.irreversible), {Action.DELETE: 3}.get(change.action, 2))


def _grouping(change: Change) -> tuple[object, ...]:
    moves = reassignment_of(change) is not None
    return (change.address.kind, change.action, change.irreversible, change.is_ledger_only, moves)


def _numbered(queue: Sequence[Change], group: Callable[[Change], object]) -> tuple[Step, ...]:
    steps: list[Step] = []
    wave = 0
    inside: set[Address] = set()
    last: object = None
    for number, change in enumerate(queue, 1):
        full = change.address.kind == "connector" and len(inside) >= WAVE_OF_CONNECTORS
        if group(change) != last or inside & change.needs or full:
            wave += 1
            inside = set()
        inside.add(change.address)
        last = group(change)
        steps.append(Step(number, wave, change))
    return tuple(steps)
