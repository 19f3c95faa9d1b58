"""Compare what the stacks declare in two environments, and find which input of the environments causes a difference.

The causes are found by experiment: the inputs of the one environment are replaced by those of the other, one after the
other, and the stacks are expanded each time. An input is a cause of each difference that appears with it, so that every
difference has one.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any

from kplan.kinds.registry import comparison_of
from kplan.model import Address, Resource, Secret, Stack
from kplan.values import dataclass

State = Mapping[Address, Resource]


@dataclass(frozen=True, slots=True)
class EnvironmentInput:
    """What an expansion takes from an environment: `kind` is `variable`, `defaults`, `overrides`, `connect`,
    `schema_registry`, `var-file`, `process` or `environment`; a variable has a `name`."""

    kind: str
    name: str = ""


@dataclass(frozen=True, slots=True)
class SettingDifference:
    """An attribute with its values in the two environments; None where it is not set."""

    path: str
    values: tuple[Any, Any]
    causes: tuple[EnvironmentInput, ...]


@dataclass(frozen=True, slots=True)
class ResourceDifference:
    """A resource that is different: its address in each environment (None: it is not there), and what differs.

    `causes` are those of another address, or of the presence in one environment alone.
    """

    addresses: tuple[Address | None, Address | None]
    resources: tuple[Resource | None, Resource | None]
    settings: tuple[SettingDifference, ...] = ()
    causes: tuple[EnvironmentInput, ...] = ()


@dataclass(frozen=True, slots=True)
class EnvironmentComparison:
    """What differs between two environments, how many resources are the same, and which secrets were not compared."""

    differences: tuple[ResourceDifference, ...]
    same: int
    uncompared: tuple[tuple[Address, str], ...] = ()


def collect_resources(stacks: Iterable[Stack]) -> State:
    """Return the resources of all stacks."""
    return {address: resource for stack in stacks for address, resource in stack.resources.items()}


def compare_states(
    states: Sequence[State], inputs: Sequence[EnvironmentInput], replacements: Sequence[tuple[str, str]] = ()
) -> EnvironmentComparison:
    """Compare the first of the states with the last. The n-th input leads from the n-th state to the next one.

    `replacements` are texts of the first environment with those of the second, such as the environments' names: a
    resource whose name has one of them is the same resource under another name.
    """
    first, last = states[0], states[-1]
    pairs = _pair_addresses(first, last, replacements)
    differences: list[ResourceDifference] = []
    uncompared: list[tuple[Address, str]] = []
    same = 0
    for pair in pairs:
        one, other = (None if a is None else s.get(a) for a, s in zip(pair, (first, last), strict=True))
        settings: list[SettingDifference] = []
        if one is not None and other is not None:
            uncompared += ((other.address, path) for path in _list_unknown_secrets(one, other))
            for path, values in _list_differing(one, other):
                settings.append(SettingDifference(path, values, _find_causes(pair, path, states, inputs)))
        if settings or pair[0] != pair[1]:
            causes = _find_causes_of_presence(pair, states, inputs) if pair[0] != pair[1] else ()
            differences.append(ResourceDifference(pair, (one, other), tuple(settings), causes))
        else:
            same += 1
    return EnvironmentComparison(tuple(differences), same, tuple(uncompared))


Pair = tuple[Address | None, Address | None]


def _pair_addresses(first: State, last: State, replacements: Sequence[tuple[str, str]]) -> list[Pair]:
    """Return each resource's address in both states, in the order of the first, then of the last."""
    left = [address for address in first if address not in last]
    right = {address for address in last if address not in first}
    renamed: dict[Address, Address] = {}
    for address in left:
        candidates = {address.name.replace(one, other) for one, other in replacements if one and one in address.name}
        match = next((each for each in right if _is_renamed(first[address], last[each], candidates)), None)
        if match is not None:
            renamed[address] = match
            right.discard(match)
    pairs: list[Pair] = [(address, address if address in last else renamed.get(address)) for address in first]
    return [*pairs, *((None, address) for address in last if address in right)]


def _is_renamed(one: Resource, other: Resource, candidates: Iterable[str]) -> bool:
    """Whether two resources are made by one block of a stack, and differ in name by what the environments say."""
    if one.kind != other.kind or one.origin.span is None or one.origin.span != other.origin.span:
        return False
    return other.name in candidates or one.name.rpartition("/")[2] == other.name.rpartition("/")[2]


def _list_differing(one: Resource, other: Resource) -> Iterator[tuple[str, tuple[Any, Any]]]:
    compare = comparison_of(one.address)
    values, others = compare.attributes(one), compare.attributes(other)
    for path in dict.fromkeys((*values, *others)):
        if not compare.is_same(path, values.get(path), others.get(path)):
            yield path, (values.get(path), others.get(path))


def _list_unknown_secrets(one: Resource, other: Resource) -> Iterator[str]:
    """Yield the paths of secrets of which it is not known whether they are equal."""
    compare = comparison_of(one.address)
    others = compare.secrets(other)
    for path, secret in compare.secrets(one).items():
        if path in others and secret.same_as(others[path]) is None:
            yield path


def _find_causes(
    pair: Pair, path: str, states: Sequence[State], inputs: Sequence[EnvironmentInput]
) -> tuple[EnvironmentInput, ...]:
    """Return the inputs with which the attribute's value changed."""
    values = [_read_attribute(pair, path, state) for state in states]
    compare = comparison_of(next(filter(None, pair)))
    steps = zip(inputs, pairwise(values), strict=True)
    return tuple(given for given, (before, after) in steps if not compare.is_same(path, before, after))


def _find_causes_of_presence(
    pair: Pair, states: Sequence[State], inputs: Sequence[EnvironmentInput]
) -> tuple[EnvironmentInput, ...]:
    """Return the inputs with which one of the addresses came or went."""
    present = [tuple(address in state for address in pair) for state in states]
    return tuple(given for given, (before, after) in zip(inputs, pairwise(present), strict=True) if before != after)


def _read_attribute(pair: Pair, path: str, state: State) -> Any:
    resource = next((state[address] for address in reversed(pair) if address and address in state), None)
    return None if resource is None else comparison_of(resource.address).read_attribute(resource, path)


def show_value(value: Any) -> Any:
    """Return a value as it may be shown."""
    return "(sensitive)" if isinstance(value, Secret) else value
