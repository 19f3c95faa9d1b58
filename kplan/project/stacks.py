"""Check several stacks together: one owner for each resource, and no stack in another's way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kplan.diagnostics import Diagnostic, codes, error
from kplan.kinds.connector.sinks import warn_of_shared_groups
from kplan.model import Address, Origin, Resource, Stack


def find_shared_addresses(stacks: Sequence[Stack]) -> list[Diagnostic]:
    """Return an error for each address that two stacks declare."""
    owners: dict[Address, tuple[str, Origin]] = {}
    problems = []
    for stack in stacks:
        for address, resource in stack.resources.items():
            other = owners.setdefault(address, (stack.name, resource.origin))
            if other[0] != stack.name:
                problems.append(
                    error(
                        codes.K211,
                        "declared twice",
                        f"{address}: in stack {other[0]} at {other[1].span} too",
                        span=resource.origin.span,
                        address=address,
                        help="let one stack own it",
                    )
                )
    return problems


def find_conflicts(stacks: Sequence[Stack]) -> list[Diagnostic]:
    """Return what one stack does to another, with both places."""
    declared = {a: (stack, r) for stack in stacks for a, r in stack.resources.items()}
    return [
        *_find_removed_elsewhere(stacks, declared),
        *warn_of_shared_groups(resource for _, resource in declared.values()),
    ]


def _find_removed_elsewhere(
    stacks: Sequence[Stack], declared: Mapping[Address, tuple[Stack, Resource]]
) -> Iterator[Diagnostic]:
    for stack in stacks:
        for entry in stack.removed:
            other, resource = declared.get(entry.address, (stack, None))
            if other is stack or resource is None or entry.keep:
                continue
            help = f"to move it to {other.name}: `{{{entry.address.kind}: {entry.address.name}, keep: true}}`"
            detail = f"{entry.address}: stack {other.name} declares it at {resource.origin.span}"
            yield error(codes.K251, "one stack removes what another one declares", detail, help=help,
                        span=entry.span, address=entry.address)  # fmt: skip
