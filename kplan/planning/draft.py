"""The plans of some stacks while they are made: one value that each stage of the pipeline turns into the next."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import field, replace

from kplan.diagnostics import Diagnostic
from kplan.model import Address, Change, Drift, SourceCheck, Stack
from kplan.values import dataclass

Key = tuple[int, Address]  # the place of a stack among those that are planned together, and an address


@dataclass(frozen=True, slots=True)
class Draft:
    """Each change is known by the place of its stack and its address: one stack may give up what another takes over.

    `problems` and `hidden` (how many changes were narrowed away) are by the place of a stack, too. `unchanged` counts
    the resources of each stack that are as declared, and `drift` is what was changed live in each.
    """

    stacks: Sequence[Stack]
    changes: Mapping[Key, Change] = field(default_factory=dict)
    problems: Sequence[tuple[int, Diagnostic]] = ()
    unchanged: Sequence[int] = ()
    drift: Sequence[Sequence[Drift]] = ()
    hidden: Mapping[int, int] = field(default_factory=dict)
    sources: Sequence[SourceCheck] = ()

    @property
    def all(self) -> list[Change]:
        """Return the changes of all stacks."""
        return list(self.changes.values())

    def of_stack(self, place: int) -> list[Change]:
        """Return the changes of one stack."""
        return [change for (other, _), change in self.changes.items() if other == place]

    def by_stack(self) -> list[list[Change]]:
        """Return the changes of each stack."""
        grouped: list[list[Change]] = [[] for _ in self.stacks]
        for (place, _), change in self.changes.items():
            grouped[place].append(change)
        return grouped

    def problems_of(self, place: int) -> list[Diagnostic]:
        """Return what is wrong in one stack."""
        return [problem for other, problem in self.problems if other == place]

    def edit(self, edit: Callable[[Change], Change]) -> Draft:
        """Return the draft with every change edited."""
        return replace(self, changes={key: edit(change) for key, change in self.changes.items()})

    def edit_in_stack(self, edit: Callable[[Change, Stack], Change]) -> Draft:
        """Return the draft with every change edited by what its stack says."""
        stacks = self.stacks
        return replace(self, changes={key: edit(change, stacks[key[0]]) for key, change in self.changes.items()})

    def keep(self, kept: Iterable[Change]) -> Draft:
        """Return the draft with these of its changes alone."""
        chosen = {id(change) for change in kept}
        changes = {key: change for key, change in self.changes.items() if id(change) in chosen}
        hidden = Counter(place for place, _ in self.changes.keys() - changes.keys())
        return replace(self, changes=changes, hidden=hidden)

    def report(self, problems: Sequence[Diagnostic]) -> Draft:
        """Return the draft with more problems, each of the stack that its address is of; else of the first one."""
        if not problems:
            return self
        place = {str(address): place for place, address in self.changes}
        place |= {str(address): number for number, stack in enumerate(self.stacks) for address in stack.resources}
        located = [(place.get(problem.address, 0), problem) for problem in problems]
        return replace(self, problems=[*self.problems, *located])
