"""In which order changes are made, and which of them are sent together."""

from __future__ import annotations

import fnmatch
import heapq
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from kplan.kinds.phases import Phase
from kplan.kinds.registry import KINDS, comparison_of, consequences_of
from kplan.language.template import references
from kplan.model import Action, Address, Change, Resource
from kplan.values import dataclass

MAKES = (Action.CREATE, Action.REPLACE)


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


@dataclass(frozen=True, slots=True)
class Needs:
    """What changes wait for: a resource that another one uses is made before that one, and is deleted after its users
    have changed. `made` and `kept` are what some change creates, and what some change leaves there. `providers` are the
    changes that a resource needs without naming them."""

    made: frozenset[Address]
    kept: frozenset[Address]
    users: Mapping[Address, Collection[Address]]
    providers: Mapping[Address, Collection[Address]]

    @classmethod
    def of(cls, changes: Iterable[Change], stacks: Iterable[Sequence[Change]] = ()) -> Needs:
        """Return what the changes wait for; `stacks` are the same changes, stack by stack."""
        acting = [change for change in changes if not change.is_ledger_only]
        users: dict[Address, set[Address]] = {}
        for change in acting:
            for address in _used(change):
                users.setdefault(address, set()).add(change.address)
        made = frozenset(change.address for change in acting if change.action in MAKES)
        kept = frozenset(change.address for change in acting if change.action is not Action.DELETE)
        return cls(made, kept, users, {a: each for own in stacks for a, each in _find_providers(own).items()})

    def add(self, change: Change) -> Change:
        """Return the change with what it waits for."""
        needs = self._find(change)
        return change if needs == change.needs else replace(change, needs=needs)

    def _find(self, change: Change) -> frozenset[Address]:
        if change.after is not None and not change.is_ledger_only:
            waits_for = self.kept if consequences_of(change).waits_for_updates(change) else self.made
            return (_uses(change.after) & waits_for) | frozenset(self.providers.get(change.address, ()))
        if change.before is not None and change.action is Action.DELETE:
            return frozenset(self.users.get(change.address, ()))
        return frozenset()


def _find_providers(changes: Sequence[Change]) -> dict[Address, set[Address]]:
    """Return, by the resource that needs them, the changes of one stack that give it rights or make its login work."""
    providers: dict[Address, set[Address]] = {}
    by_variable: dict[str, set[Address]] = {}
    for change in changes:
        for address in consequences_of(change).find_served(change):
            providers.setdefault(address, set()).add(change.address)
        for name in consequences_of(change).find_provided_variables(change):
            by_variable.setdefault(name, set()).add(change.address)
    for change in changes if by_variable else ():
        names = {name for name in _list_variables(change) if name in by_variable}
        if names and not consequences_of(change).find_provided_variables(change):
            providers.setdefault(change.address, set()).update(*(by_variable[name] for name in names))
    return providers


def _list_variables(change: Change) -> Iterator[str]:
    """Yield the variables whose values a resource is to hold."""
    if change.after is not None:
        for secret in comparison_of(change.address).secrets(change.after).values():
            yield from references(secret.ref)


def _uses(resource: Resource) -> frozenset[Address]:
    return KINDS[resource.address.kind].comparison.uses(resource)


def _used(change: Change) -> set[Address]:
    """Return what a resource used until now, as it is live and as the ledger knows it."""
    if change.before is None:
        return set()
    applied = change.owner.applied if change.owner else None
    return {address for resource in (change.before, applied) if resource is not None for address in _uses(resource)}


def narrow_changes(
    changes: Sequence[Change], targets: Sequence[str], excluded: Sequence[str]
) -> tuple[list[Change], list[str]]:
    """Return the changes that match, with what they need; and the words for each thing excluded that a remaining one
    needs.
    """
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
    """Return the steps: what cannot be undone as late as what needs it allows, otherwise topics, connectors, deletions.

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
    return _number_steps(queue, _grouping)


def _rank(change: Change) -> tuple[int, int]:
    """Whether it can be undone, and then its phase; the ledger alone comes last."""
    if change.is_ledger_only:
        return (2, Phase.LEDGER_ONLY)
    return (int(change.irreversible), consequences_of(change).phase(change))


def _grouping(change: Change) -> tuple[object, ...]:
    consequences = consequences_of(change)
    return (
        change.address.kind,
        change.action,
        change.irreversible,
        change.is_ledger_only,
        consequences.wave_key(change),
    )


def _number_steps(queue: Sequence[Change], group: Callable[[Change], object]) -> tuple[Step, ...]:
    steps: list[Step] = []
    wave = 0
    inside: set[Address] = set()
    last: object = None
    limit: float = 0
    for number, change in enumerate(queue, 1):
        limits = consequences_of(change)
        is_another = group(change) != last
        is_full = not is_another and len(inside) >= limit
        if is_another or inside & change.needs or is_full:
            wave += 1
            inside = set()
            if change.action is Action.CREATE:  # what does not work yet is not harmed
                limit = min(2 * (limit if is_full else limits.max_wave), limits.max_new_wave)
            else:
                limit = limits.max_wave
        inside.add(change.address)
        last = group(change)
        steps.append(Step(number, wave, change))
    return tuple(steps)
