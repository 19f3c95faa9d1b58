"""What a change of a binding has in addition to its differences."""

from __future__ import annotations

from kplan.model import Change, ChangeOptions
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class AclOptions(ChangeOptions):
    """`own_access`: the binding is about kplan's own principal, so that its revocation comes last of all."""

    own_access: bool = False


def is_about_own_access(change: Change) -> bool:
    """Whether the change is about what kplan's own principal may do."""
    return isinstance(change.options, AclOptions) and change.options.own_access
