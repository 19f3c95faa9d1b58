"""Several stacks together: in which order they are applied, and where one is in another's way."""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterator, Mapping, Sequence
from graphlib import CycleError, TopologicalSorter
from itertools import pairwise

from kplan.diagnostics import Diagnostic, error, warning
from kplan.model import Action, Address, Change, Connector, Resource, Stack
from kplan.planning.diff import Ledger

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
        """The path, and what to apply first: that needs none of the others."""
        path = " -> ".join([names[waiting] for waiting, _ in self.way] + [names[self.way[0][0]]])
        said = [f"{self.waits[a, b][0].address} of {names[a]} after {self.waits[a, b][1]} of {names[b]}"
                for a, b in self.way]  # fmt: skip
        first = min((need for _, need in map(self.waits.__getitem__, self.way)), key=lambda a: a.kind != "topic")
        help = f"make them one stack, or apply first what waits for nothing: --target {first}"
        change = self.change
        return error("K250", "stacks wait for each other", f"{path}: {'; '.join(said)}", help=help,
                     span=change.span, address=change.address)  # fmt: skip


# -- the order --------------------------------------------------------------------------------------------------------
def in_order(stacks: Sequence[Stack], changes: Sequence[Sequence[Change]], *, destroy: bool = False) -> list[int]:
    """The places of the stacks in the order in which their changes can be made, otherwise in that of their files.

    A change waits for what it needs in another stack. Where nothing has to wait, who declares a topic comes before who
    feeds it, and that one before who reads it; with `destroy` it is the other way round. Raises Circle.
    """
    waits = _waits(changes)
    needs = {place: {b for a, b in waits if a == place} for place in range(len(stacks))} if waits else {}
    makers, feeders = _wished(stacks)
    for wishes in ([*makers, *feeders], makers):
        both = {place: set(needs.get(place, ())) for place in range(len(stacks))}
        for later, sooner in wishes:
            both[sooner if destroy else later].add(later if destroy else sooner)
        try:
            return _sorted(both)
        except CycleError:
            continue
    try:
        return _sorted({place: needs.get(place, set()) for place in range(len(stacks))})
    except CycleError as e:
        circle = e.args[1][::-1]  # graphlib gives each as the one that the next one waits for
        raise Circle(list(pairwise(circle)), waits) from e


def _waits(changes: Sequence[Sequence[Change]]) -> Waits:
    """Which stack waits for which, by the first change that does: for what it needs, or for what is given up to it."""
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


def _wished(stacks: Sequence[Stack]) -> tuple[list[tuple[int, int]], list[tuple[int, int]]]:
    """Pairs of a stack and one that is better before it: who declares the topics it uses, who feeds those it reads."""
    declares = {a.name: place for place, stack in enumerate(stacks) for a in stack.resources if a.kind == "topic"}
    fed: dict[str, set[int]] = {}
    read: dict[str, set[int]] = {}
    for place, stack in enumerate(stacks):
        for resource in stack.resources.values():
            if isinstance(resource, Connector):
                for name in resource.reads:
                    read.setdefault(name, set()).add(place)
                for name in _fed(resource, declares):
                    fed.setdefault(name, set()).add(place)
    users = [(place, declares[name]) for each in (fed, read) for name in each.keys() & declares for place in each[name]]
    readers = [(place, other) for name in read.keys() & fed for place in read[name] for other in fed[name]]
    return [(a, b) for a, b in users if a != b], [(a, b) for a, b in readers if a != b]


def _fed(connector: Connector, topics: Collection[str]) -> Iterator[str]:
    """What it feeds as far as that is known; otherwise those of `topics` that its settings name."""
    yield from connector.feeds
    if not connector.feeds and not connector.reads:
        yield from (value for value in connector.config.values() if isinstance(value, str) and value in topics)
        prefix = connector.config.get("topic.prefix")
        if isinstance(prefix, str):  # Debezium's, written without a template
            yield from (name for name in topics if name.startswith(f"{prefix}."))


def _sorted(needs: Mapping[int, set[int]]) -> list[int]:
    """Each after what it needs, otherwise in order. Raises graphlib.CycleError."""
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
    """The ledger as it is once the other stacks have given up what they keep under `removed`."""
    given_up = {
        entry.address
        for other in stacks
        for entry in other.removed
        if entry.keep and other is not stack and entry.address in ledger and ledger[entry.address].stack == other.name
    }
    return {address: owned for address, owned in ledger.items() if address not in given_up} if given_up else ledger


def conflicts(stacks: Sequence[Stack]) -> list[Diagnostic]:
    """What one stack does to another, with both places."""
    declared = {a: (stack, r) for stack in stacks for a, r in stack.resources.items()}
    return [*_removed_elsewhere(stacks, declared), *_shared_groups(declared)]


def _removed_elsewhere(
    stacks: Sequence[Stack], declared: Mapping[Address, tuple[Stack, Resource]]
) -> Iterator[Diagnostic]:
    for stack in stacks:
        for entry in stack.removed:
            other, resource = declared.get(entry.address, (stack, None))
            if other is stack or resource is None or entry.keep:
                continue
            help = f"to move it to {other.name}: `{{{entry.address.kind}: {entry.address.name}, keep: true}}`"
            detail = f"{entry.address}: stack {other.name} declares it at {resource.origin.span}"
            yield error("K251", "one stack removes what another one declares", detail, help=help,
                        span=entry.span, address=entry.address)  # fmt: skip


def _shared_groups(declared: Mapping[Address, tuple[Stack, Resource]]) -> Iterator[Diagnostic]:
    """A warning for each sink that shares a topic's records with another one (KIP-458 lets a sink name its group)."""
    first: dict[tuple[str, str], Connector] = {}
    for _, resource in declared.values():
        group = resource.config.get("consumer.override.group.id") if isinstance(resource, Connector) else None
        if not isinstance(resource, Connector) or not isinstance(group, str):
            continue
        for topic in resource.reads:
            other = first.setdefault((group, topic), resource)
            if other is not resource:
                detail = f"{resource.name} and {other.name} at {other.origin.span}: group {group} reads {topic}"
                help = "each gets a part of the records: leave `consumer.override.group.id` out, or make them one sink"
                span = resource.origin.at("/config/consumer.override.group.id")
                yield warning("K252", "two sinks share a consumer group", detail, help=help,
                              span=span, address=resource.address)  # fmt: skip
                break


DEAD_LETTERS = "errors.deadletterqueue.topic.name"


def answered(stacks: Sequence[Stack], problems: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The problems without the doubt about a sink's topic (K215, K255) that another one of the stacks has."""
    if len(stacks) < 2 or not any(problem.code in ("K215", "K255") for problem in problems):
        return list(problems)
    connectors = [r for stack in stacks for r in stack.resources.values() if isinstance(r, Connector)]
    known = {a.name for stack in stacks for a in stack.resources if a.kind == "topic"}
    known |= {name for connector in connectors for name in connector.feeds}
    settled = {f"{c.name}: {name}" for c in connectors for name in c.reads if name in known}
    dead = tuple(f"{c.name}: {c.config.get(DEAD_LETTERS)};" for c in connectors if c.config.get(DEAD_LETTERS) in known)
    return [
        problem
        for problem in problems
        if not (problem.code == "K215" and problem.detail in settled)
        and not (problem.code == "K255" and problem.detail.startswith(dead))
    ]
