"""Several stacks together: in which order they are applied, and where one is in another's way."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from kplan.diagnostics import Diagnostic, codes, error
from kplan.kinds.registry import KINDS, comparison_of
from kplan.model import Action, Address, Change, Connector, Stack
from kplan.planning.needed import Ledger

Waits = dict[tuple[int, int], tuple[Change, Address]]  # the one stack waits for the other: this change, for that


class Circle(ValueError):
    """Stacks that wait for each other: `way` is what waits for what, each stack for the next one."""

    def __init__(self, way: Sequence[tuple[int, int]], waits: Waits) -> None:
        super().__init__(" -> ".join(str(waiting) for waiting, _ in way))
        self.way = way
        self.waits = waits

    @property
    def change(self) -> Change:
        return self.waits[self.way[0]][0]

    def problem(self, names: Sequence[str]) -> Diagnostic:
        """Return the path, and what to apply first: that needs none of the others."""
        path = " -> ".join([names[waiting] for waiting, _ in self.way] + [names[self.way[0][0]]])
        said = [f"{self.waits[a, b][0].address} of {names[a]} after {self.waits[a, b][1]} of {names[b]}"
                for a, b in self.way]  # fmt: skip
        first = min(
            (need for _, need in map(self.waits.__getitem__, self.way)), key=lambda a: tuple(KINDS).index(a.kind)
        )
        help = f"make them one stack, or apply first what waits for nothing: --target {first}"
        change = self.change
        return error(codes.K250, "stacks wait for each other", f"{path}: {'; '.join(said)}", help=help,
                     span=change.span, address=change.address)  # fmt: skip


# -- the order --------------------------------------------------------------------------------------------------------
def in_order(stacks: Sequence[Stack], changes: Sequence[Sequence[Change]], *, destroy: bool = False) -> list[int]:
    """Return the places of the stacks in the order in which their changes can be made, otherwise in that of their
    files.

    A change waits for what it needs in another stack. Where nothing has to wait, who declares a topic comes before who
    feeds it, and that one before who reads it; with `destroy` it is the other way round. Raises Circle.
    """
    waits = _waits(changes)
    needs = {place: {b for a, b in waits if a == place} for place in range(len(stacks))} if waits else {}
    makers, feeders = _find_preferred_order(stacks)
    for wishes in ([*makers, *feeders], makers):
        both = {place: set(needs.get(place, ())) for place in range(len(stacks))}
        for later, sooner in wishes:
            both[sooner if destroy else later].add(later if destroy else sooner)
        try:
            return _sort_stably(both)
        except CycleError:
            continue
    try:
        return _sort_stably({place: needs.get(place, set()) for place in range(len(stacks))})
    except CycleError as e:
        circle = e.args[1][::-1]  # graphlib gives each as the one that the next one waits for
        raise Circle(list(pairwise(circle)), waits) from e


def find_dependents(stacks: Sequence[Stack], changed: Collection[int]) -> set[int]:
    """Return the places of the changed stacks, and of all that use their topics or read what they feed."""
    users, readers = _find_preferred_order(stacks)
    uses = [(place, other) for place, stack in enumerate(stacks) for other in _find_used_stacks(stack, place, stacks)]
    chosen = set(changed)
    while more := {place for place, other in (*users, *readers, *uses) if other in chosen} - chosen:
        chosen |= more
    return chosen


def _find_used_stacks(stack: Stack, own: int, stacks: Sequence[Stack]) -> Iterator[int]:
    """Yield the places of the other stacks that declare what this one's resources need."""
    needed = {need for resource in stack.resources.values() for need in comparison_of(resource.address).uses(resource)}
    for place, other in enumerate(stacks):
        if place != own and not needed.isdisjoint(other.resources):
            yield place


def _waits(changes: Sequence[Sequence[Change]]) -> Waits:
    """Return which stack waits for which, by the first change that does: for what it needs, or for what is given up to
    it.
    """
    made = {c.address: place for place, own in enumerate(changes) for c in own if c.action is not Action.RELEASE}
    released = {c.address: place for place, own in enumerate(changes) for c in own if c.action is Action.RELEASE}
    found: Waits = {}
    for place, own in enumerate(changes):
        for change in own:
            for need in sorted(change.needs):
                if made.get(need, place) != place:
                    found.setdefault((place, made[need]), (change, need))
            if change.action is not Action.RELEASE and released.get(change.address, place) != place:
                found.setdefault((place, released[change.address]), (change, change.address))
    return found


def _find_preferred_order(stacks: Sequence[Stack]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Return pairs of a stack and one that is better before it: who declares the topics it uses, who feeds those it
    reads.
    """
    declares = {a.name: place for place, stack in enumerate(stacks) for a in stack.resources if a.kind == "topic"}
    fed: dict[str, set[int]] = {}
    read: dict[str, set[int]] = {}
    for place, stack in enumerate(stacks):
        for resource in stack.resources.values():
            if isinstance(resource, Connector):
                for name in resource.reads:
                    read.setdefault(name, set()).add(place)
                for name in _find_fed_topics(resource, declares):
                    fed.setdefault(name, set()).add(place)
    users = [(place, declares[name]) for each in (fed, read) for name in each.keys() & declares for place in each[name]]
    readers = [(place, other) for name in read.keys() & fed for place in read[name] for other in fed[name]]
    return [(a, b) for a, b in users if a != b], [(a, b) for a, b in readers if a != b]


def _find_fed_topics(connector: Connector, topics: Collection[str]) -> Iterator[str]:
    """Yield what it feeds as far as that is known; otherwise those of `topics` that its settings name."""
    yield from connector.feeds
    if not connector.feeds and not connector.reads:
        yield from (value for value in connector.config.values() if isinstance(value, str) and value in topics)
        prefix = connector.config.get("topic.prefix")
        if isinstance(prefix, str):  # Debezium's, written without a template
            yield from (name for name in topics if name.startswith(f"{prefix}."))


def _sort_stably(needs: Mapping[int, set[int]]) -> list[int]:
    """Sort the stacks, each after what it needs, otherwise in order. Raises graphlib.CycleError."""
    TopologicalSorter(needs).prepare()
    left = {place: set(others) for place, others in needs.items()}
    needed_by: dict[int, list[int]] = {}
    for place, others in needs.items():
        for other in others:
            needed_by.setdefault(other, []).append(place)
    ready = [place for place, others in left.items() if not others]
    heapq.heapify(ready)
    order = []
    while ready:
        place = heapq.heappop(ready)
        order.append(place)
        for user in needed_by.get(place, ()):
            left[user].discard(place)
            if not left[user]:
                heapq.heappush(ready, user)
    return order


# -- who owns what ----------------------------------------------------------------------------------------------------
def ledger_for(stack: Stack, ledger: Ledger, stacks: Sequence[Stack]) -> Ledger:
    """Return the ledger as it is once the other stacks have given up what they keep under `removed`."""
    given_up = {
        entry.address
        for other in stacks
        for entry in other.removed
        if entry.keep and other is not stack and entry.address in ledger and ledger[entry.address].stack == other.name
    }
    return {address: owned for address, owned in ledger.items() if address not in given_up} if given_up else ledger
