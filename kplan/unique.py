"""Settings that no two connectors may share."""

from __future__ import annotations

from collections.abc import Sequence

from kplan.diagnostics import Diagnostic, error
from kplan.model import Action, Change, Connector, Live, Resource, Stack


def unique(stack: Stack, live: Live, changes: Sequence[Change]) -> list[Diagnostic]:
    """An error for each setting that no two connectors may share (slot, server id, prefix, history topic) and do."""
    going = {c.address for c in changes if c.action is Action.DELETE} | {c.source for c in changes if c.source}
    taken: dict[tuple[str, str], Resource] = {}
    for address, resource in live.resources.items():
        if isinstance(resource, Connector) and address not in stack.resources and address not in going:
            taken |= {(k, v): resource for k, v in resource.config.items() if isinstance(v, str)}
    found = []
    for address, resource in stack.resources.items():
        if not isinstance(resource, Connector):
            continue
        for key in resource.unique:
            value = resource.config.get(key)
            if not isinstance(value, str):
                continue
            other = taken.setdefault((key, value), resource)
            if other.address != address:
                place = other.origin.at(f"/config/{key}")
                found.append(
                    error(
                        "K223",
                        "two connectors share what only one may have",
                        f"{key} {value}: {other.address} has it too" + (f", at {place}" if place else ""),
                        help="give each its own",
                        span=resource.origin.at(f"/config/{key}"),
                        address=address,
                        path=f"/config/{key}",
                    )
                )
    return found


def unique_offline(stacks: Sequence[Stack]) -> list[Diagnostic]:
    """The same, among the stacks alone."""
    together = Stack("", "", {a: r for stack in stacks for a, r in stack.resources.items()})
    return unique(together, Live(), ())
