"""Which resources a plan must know."""

from __future__ import annotations

from collections.abc import Mapping

from kplan.model import Address, Owned, Stack

Ledger = Mapping[Address, Owned]


def find_needed_addresses(stack: Stack, ledger: Ledger) -> frozenset[Address]:
    """Return the addresses whose live state a plan of `stack` depends on."""
    mine = {a for a, o in ledger.items() if o.stack == stack.name}
    return (
        frozenset(stack.resources)
        | mine
        | {e.address for e in stack.removed if not e.is_prefix}
        | {m.source for m in stack.moved}
    )
