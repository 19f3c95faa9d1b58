"""What a change of a binding takes from somebody."""

from __future__ import annotations

from collections.abc import Iterator

from kplan.diagnostics import codes
from kplan.kinds.acl.authorizer import EVERYBODY, Authorizer
from kplan.kinds.acl.binding import AclBinding, describe_binding
from kplan.kinds.risks import RiskContext, make_risk
from kplan.model import Action, Change, Risk


def binding_of(change: Change) -> AclBinding:
    """Return the binding that a change creates or deletes."""
    binding = change.after or change.before
    assert isinstance(binding, AclBinding)
    return binding


def takes_away(change: Change) -> bool:
    """Whether somebody may do less after the change: an ALLOW is deleted, or a DENY created."""
    if change.is_ledger_only:
        return False
    return binding_of(change).is_allow == (change.action is Action.DELETE)


def find_risks(change: Change, context: RiskContext) -> Iterator[Risk]:
    if change.is_ledger_only:
        return
    binding = binding_of(change)
    if takes_away(change):
        yield make_risk(codes.K443, f"after it, {describe_binding(binding)} no longer holds")


__all__ = ["EVERYBODY", "Authorizer", "binding_of", "find_risks", "takes_away"]
