"""What several stacks declare together: one owner for each resource, and where one is in another's way."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from kplan.diagnostics import Diagnostic, codes, error, warning
from kplan.model import Address, Connector, Origin, Resource, Stack


def same_addresses(stacks: Sequence[Stack]) -> list[Diagnostic]:
    """An error for each address that two stacks declare."""
    owner: dict[Address, tuple[str, Origin]] = {}
    found = []
    for stack in stacks:
        for address, resource in stack.resources.items():
            other = owner.setdefault(address, (stack.name, resource.origin))
            if other[0] != stack.name:
                found.append(
                    error(
                        codes.K211,
                        "declared twice",
                        f"{address}: in stack {other[0]} at {other[1].span} too",
                        span=resource.origin.span,
                        address=address,
                        help="let one stack own it",
                    )
                )
    return found


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
            yield error(codes.K251, "one stack removes what another one declares", detail, help=help,
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
                yield warning(codes.K252, "two sinks share a consumer group", detail, help=help,
                              span=span, address=resource.address)  # fmt: skip
                break


DEAD_LETTERS = "errors.deadletterqueue.topic.name"


def answered(stacks: Sequence[Stack], problems: Sequence[Diagnostic]) -> list[Diagnostic]:
    """The problems without the doubt about a sink's topic (K215, K255) that another one of the stacks has."""
    if len(stacks) < 2 or not any(problem.code in (codes.K215.number, codes.K255.number) for problem in problems):
        return list(problems)
    connectors = [r for stack in stacks for r in stack.resources.values() if isinstance(r, Connector)]
    known = {a.name for stack in stacks for a in stack.resources if a.kind == "topic"}
    known |= {name for connector in connectors for name in connector.feeds}
    settled = {f"{c.name}: {name}" for c in connectors for name in c.reads if name in known}
    dead = tuple(f"{c.name}: {c.config.get(DEAD_LETTERS)};" for c in connectors if c.config.get(DEAD_LETTERS) in known)
    return [
        problem
        for problem in problems
        if not (problem.code == codes.K215.number and problem.detail in settled)
        and not (problem.code == codes.K255.number and problem.detail.startswith(dead))
    ]
