"""What a change of a user brings with it."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import replace

from kplan.diagnostics import codes
from kplan.kinds.base import Consequences
from kplan.kinds.parts import encode_part
from kplan.kinds.phases import Phase
from kplan.kinds.risks import RiskContext, make_risk
from kplan.kinds.user.comparison import PASSWORD
from kplan.kinds.user.user import ScramUser
from kplan.language.template import references
from kplan.model import Action, AttrDiff, Change, Live, Risk, Secret, Target, Undo

NO_PASSWORD = "no broker returns the password, and `previous_password` does not name it"


class UserConsequences(Consequences[ScramUser]):
    undo_sets_secrets = True

    def add_effects(self, change: Change, live: Live) -> Change:
        """Return the change with what is known of the live password, where nothing else says it."""
        user, now = change.after, live.resources.get(change.address)
        is_told = any(diff.path == PASSWORD for diff in change.diffs)
        if not isinstance(user, ScramUser) or not isinstance(now, ScramUser) or is_told or user.password is None:
            return change
        applied = change.owner.applied if change.owner is not None else None
        last = applied.password if isinstance(applied, ScramUser) else None
        is_known = any(secret is not None and user.password.same_as(secret) for secret in (now.password, last))
        reason = now.uncompared or "nothing else of the user differs"
        effect = "password: as declared" if is_known else f"password: not compared ({reason})"
        return replace(change, options=replace(change.options, effects=(*change.options.effects, effect)))

    def may_look_undone(self, change: Change) -> bool:
        """Whether a change may look undone: no broker returns the password."""
        return change.action is Action.UPDATE and any(diff.path == PASSWORD for diff in change.diffs)

    def decide_undo(self, change: Change, target: Target) -> Undo:
        if change.action is Action.CREATE:
            return Undo("delete", True)
        if change.action is Action.DELETE:
            return Undo("none", False, "no broker returns the password")
        if not needs_old_password(change) or _find_previous(change) is not None:
            return Undo("restore", True)
        return Undo("none", False, NO_PASSWORD)

    def find_provided_variables(self, change: Change) -> Collection[str]:
        """Return those of the password that the change sets."""
        user = change.after
        is_set = change.action is Action.CREATE or any(diff.path == PASSWORD for diff in change.diffs)
        if not is_set or change.is_ledger_only or not isinstance(user, ScramUser) or user.password is None:
            return ()
        return references(user.password.ref)

    def phase(self, change: Change) -> Phase:
        return Phase.USERS_DELETED if change.action is Action.DELETE else Phase.USERS_CHANGED

    def find_risks(self, change: Change, context: RiskContext) -> Iterator[Risk]:
        if change.is_ledger_only:
            return
        user = change.before or change.after
        assert isinstance(user, ScramUser)
        if change.action is Action.DELETE:
            if why := _find_uses(user, context):
                yield make_risk(codes.K450, f"{user.principal} can no longer log in: {why}")
        elif change.adopts and needs_old_password(change):
            yield make_risk(codes.K450, f"{user.principal} is another's: clients that use it can no longer log in")
        elif change.action is Action.UPDATE and needs_old_password(change) and _find_previous(change) is None:
            yield make_risk(codes.K451, NO_PASSWORD)

    def complete_undo(self, change: Change, back: Change) -> Change:
        """Return `back` with the old password: the one that the stack names, or the present one if it stays."""
        if not isinstance(back.after, ScramUser) or not isinstance(back.before, ScramUser):
            return back
        previous = _find_previous(change)
        if previous is None or not needs_old_password(change):
            return back
        diffs = [diff for diff in back.diffs if diff.path != PASSWORD]
        diffs.append(AttrDiff(PASSWORD, back.before.password, previous))
        return replace(back, after=replace(back.after, password=previous), diffs=tuple(diffs))


def needs_old_password(change: Change) -> bool:
    """Whether an undo sets a password again: a mechanism's iterations are set with its password."""
    return any(diff.before is not None for diff in change.diffs)


def _find_previous(change: Change) -> Secret | None:
    """Return the password that an undo sets: the old one, or the present one where only iterations change."""
    if change.action is not Action.UPDATE or not isinstance(change.after, ScramUser):
        return None
    if any(diff.path == PASSWORD for diff in change.diffs):
        return change.after.previous
    return change.after.password


def _find_uses(user: ScramUser, context: RiskContext) -> str:
    """Say who seems to use the user; empty where nobody does."""
    after = context.world.after
    names = sorted(str(a) for a in after if a.kind == "acl" and a.name.startswith(f"{encode_part(user.principal)}/"))
    return f"{names[0]}{f' and {len(names) - 1} more bindings' if names[1:] else ''} are for it" if names else ""
