"""Declared, live and last applied, compared: what would change, and who changed it."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import field, replace

from kplan.diagnostics import Diagnostic, Span, codes, error
from kplan.diagnostics.codes.code import Code
from kplan.kinds.registry import KINDS, comparison_of, consequences_of, kinds_of
from kplan.kinds.topic.internal import GIVE_UP, KEEP_SETTING, find_refusal, is_state_topic
from kplan.model import (
    NO_OPTIONS,
    Action,
    Address,
    AttrDiff,
    Change,
    Drift,
    Live,
    Owned,
    Removal,
    Resource,
    Stack,
    Text,
)
from kplan.planning.comparison import compare, find_blocker
from kplan.planning.needed import Ledger
from kplan.values import dataclass


@dataclass(slots=True)
class Difference:
    """What came of the comparison; `unchanged` counts resources that are as declared."""

    changes: list[Change] = field(default_factory=list)
    unchanged: int = 0
    drift: list[Drift] = field(default_factory=list)
    diagnostics: list[Diagnostic] = field(default_factory=list)

    def report(self, code: Code, summary: str, detail: str, help: str, resource: Resource, path: str = "") -> None:
        self.diagnostics.append(
            error(code, summary, detail, help=help, span=resource.origin.at(path), address=resource.address, path=path)
        )


def diff(stack: Stack, live: Live, ledger: Ledger, *, replaced: Iterable[str] = (), mode: str = "apply") -> Difference:
    """Return every change that makes `live` what `stack` declares. `replaced` are patterns of addresses to replace.

    With mode `destroy`: what deletes or releases all that the stack owns.
    """
    found = Difference()
    mine = {a: o for a, o in ledger.items() if o.stack == stack.name}
    _same_environment(stack, mine, found)
    if mode == "destroy":
        _destroy(stack, live, mine, found)
    else:
        moves = {move.target: move.source for move in stack.moved}
        for resource in stack.resources.values():
            _compare_declared(resource, stack, live, ledger, moves, tuple(replaced), found)
        _leaving(stack, live, ledger, mine, found)
        _follow_up(stack, live, ledger, found)
    refuse_internal(found, live, ledger)
    found.changes = [consequences_of(change).add_effects(change, live) for change in found.changes]
    return found


def refuse_internal(found: Difference, live: Live, ledger: Ledger) -> None:
    """Turn each change that no internal topic may have into a problem."""
    allowed = []
    for change in found.changes:
        if refusal := find_refusal(change, ledger.get(change.address), live.state, live.internal):
            found.diagnostics.append(_internal(change, refusal))
        else:
            allowed.append(change)
    found.changes = allowed


def _internal(change: Change, refusal: str) -> Diagnostic:
    origin = change.after.origin if change.after is not None else None
    changed = next((d.path for d in change.diffs if d.path.startswith("/config/")), "")
    return error(
        codes.K234,
        "an internal topic is never deleted or emptied",
        refusal,
        help=KEEP_SETTING if change.action is Action.UPDATE else GIVE_UP,
        span=origin.at(changed) if origin is not None else change.span,
        address=change.address,
        path=changed,
    )


def _follow_up(stack: Stack, live: Live, ledger: Ledger, found: Difference) -> None:
    """Add the changes that others ask for; one that was to change the ledger alone is not needed then."""
    acting = {change.address for change in found.changes if not change.is_ledger_only}
    errors = {problem.address for problem in found.diagnostics if problem.is_error}
    wrong = {address for address in stack.resources if str(address) in errors}
    for kind in kinds_of(stack.resources):
        for change in kind.consequences.find_follow_ups(stack, live, ledger, acting, wrong):
            record = next((other for other in found.changes if other.address == change.address), None)
            if record is None:
                found.unchanged -= change.address in stack.resources
            else:
                found.changes.remove(record)
                change = replace(change, unmanaged=record.unmanaged, unchanged=record.unchanged)
            found.changes.append(change)


def _same_environment(stack: Stack, mine: Ledger, found: Difference) -> None:
    other = sorted({o.env for o in mine.values() if o.env != stack.env})
    if other:
        found.diagnostics.append(
            error(
                codes.K231,
                "this stack's name belongs to another environment",
                f"{stack.name} is applied to this cluster from {other[0]}",
                help="two environments on one cluster need two names: put {{ kplan.env }} into `stack:`",
            )
        )


def _compare_declared(
    resource: Resource,
    stack: Stack,
    live: Live,
    ledger: Ledger,
    moves: Mapping[Address, Address],
    replaced: Sequence[str],
    found: Difference,
) -> None:
    address = resource.address
    owned = ledger.get(address)
    if owned is not None and owned.stack != stack.name:
        found.report(
            codes.K230,
            "another stack owns this",
            f"{address} belongs to stack {owned.stack}",
            "remove it here, or let that stack give it up with `removed: [{…, keep: true}]`",
            resource,
        )
        return
    if address in live.hidden:
        found.diagnostics.append(_unseen(address, live, resource.origin.span))
        return
    now = live.resources.get(address)
    change = None
    known = len(found.diagnostics)
    if now is None:
        change = _missing(resource, stack, live, ledger, moves, found)
    else:
        change = _existing(resource, now, owned, any(fnmatch.fnmatch(str(address), p) for p in replaced), live, found)
    if change is not None:
        found.changes.append(change)
    elif not any(d.is_error for d in found.diagnostics[known:]):
        found.unchanged += 1


def _unseen(address: Address, live: Live, span: Span | None) -> Diagnostic:
    """Return the problem with what this user has no right to see: it may be there or not."""
    refusal = live.refused.get(address)
    words = refusal.message if refusal else f"{address} exists, but this user may not describe it"
    help = refusal.help if refusal else "grant DESCRIBE and DESCRIBE_CONFIGS on it"
    return error(codes.K313, "not allowed to see this", words, help=help, span=span, address=address)


def _missing(
    resource: Resource, stack: Stack, live: Live, ledger: Ledger, moves: Mapping[Address, Address], found: Difference
) -> Change | None:
    address, source = resource.address, moves.get(resource.address)
    before = live.resources.get(source) if source else None
    if source and before is not None:
        old = ledger.get(source)
        if old is None or old.stack == stack.name:
            diffs = compare(resource, before, None).diffs
            # the move stays in the plan: what it takes over, such as a slot, is not another connector's
            _report_blocker(resource, before, diffs, found, "declare it without `moved`, as a new connector")
            return Change(
                address,
                Action.MOVE,
                before,
                resource,
                diffs,
                "moved",
                span=resource.origin.span,
                created=bool(old and old.created),
                owner=old,
            )
        found.report(
            codes.K230, "another stack owns this", f"{source} belongs to stack {old.stack}", "move it there", resource
        )
        return None
    if not stack.guards.create:
        variable = stack.guards.create_source
        found.report(
            codes.K213,
            "a guard is not met",
            f"{address} is missing, and {variable or '`guards: create`'} is false",
            f"create it by hand, or {f'unset {variable}' if variable else 'allow creation'}",
            resource,
        )
        return None
    reason = "vanished" if address in ledger else "missing"
    return Change(
        address,
        Action.CREATE,
        None,
        resource,
        (),
        reason,
        span=resource.origin.span,
        created=True,
        owner=ledger.get(address),
    )


def _existing(
    resource: Resource, now: Resource, owned: Owned | None, replacing: bool, live: Live, found: Difference
) -> Change | None:
    compared = compare(resource, now, owned)
    diffs = compared.diffs
    consequences = KINDS[resource.address.kind].consequences
    found.drift += [
        Drift(resource.address, d.path, _read_applied(owned, d.path), d.before) for d in diffs if d.cause != "stack"
    ]
    base = Change(
        resource.address,
        Action.UPDATE,
        now,
        resource,
        diffs,
        "config_differs",
        span=resource.origin.span,
        unmanaged=compared.unmanaged,
        unchanged=compared.unchanged,
        created=bool(owned and owned.created),
        owner=owned,
        options=consequences.choose_options(resource, diffs),
    )
    found.diagnostics += consequences.warn_of_live_state(resource, live)
    if replacing:
        return replace(base, action=Action.REPLACE, reason="replace_requested", created=True)
    if _report_blocker(resource, now, diffs, found):
        return None
    protect = resource.rules.protect
    changed = owned is not None and protect is not None and protect != owned.protect
    if diffs:
        return base
    if owned is None:
        return replace(base, action=Action.ADOPT, reason="adopted")
    if changed:
        return replace(
            base, action=Action.ADOPT, reason="protect_changed", diffs=(AttrDiff("/protect", owned.protect, protect),)
        )
    if owned.applied is not None and owned.applied.rules.drop != resource.rules.drop:
        return replace(base, action=Action.ADOPT, reason="on_delete_changed")
    return None


def _report_blocker(
    resource: Resource, now: Resource, diffs: Sequence[AttrDiff], found: Difference, help: str = ""
) -> bool:
    """Report the first difference that cannot be made in place; return whether there is one."""
    for diff in diffs:
        if blocker := find_blocker(resource, now, diff):
            found.report(blocker.code, blocker.summary, blocker.detail, help or blocker.help, resource, diff.path)
            return True
    return False


def _read_applied(owned: Owned | None, path: str) -> Text | int | bool | None:
    if owned is None or owned.applied is None:
        return None
    return comparison_of(owned.address).read_attribute(owned.applied, path)


# -- what goes --------------------------------------------------------------------------------------------------------
def _leaving(stack: Stack, live: Live, ledger: Ledger, mine: Ledger, found: Difference) -> None:
    listed = _list_removed(stack, mine)
    moved = {move.source for move in stack.moved if move.target in stack.resources}
    for address, entry in listed.items():
        owned = ledger.get(address)
        if owned is not None and owned.stack != stack.name:
            found.diagnostics.append(
                error(
                    codes.K230,
                    "another stack owns this",
                    f"{address} belongs to stack {owned.stack}",
                    help="list it under `removed` there",
                    span=entry.span,
                    address=address,
                )
            )
        else:
            _goes(address, entry, owned, live, found)
    for address, owned in mine.items():
        if (
            address not in stack.resources
            and address not in listed
            and not (address in moved and address in live.resources)
        ):
            keep = is_state_topic(address, stack)
            _goes(address, Removal(address, keep=True) if keep else None, owned, live, found)


def _list_removed(stack: Stack, mine: Ledger) -> dict[Address, Removal]:
    """Return the entries under `removed:` by what they are about; one may be about several resources of the stack."""
    listed: dict[Address, Removal] = {}
    for entry in stack.removed:
        if entry.is_prefix:
            listed |= {address: entry for address in mine if entry.covers(address)}
        else:
            listed[entry.address] = entry
    return listed


def _goes(address: Address, entry: Removal | None, owned: Owned | None, live: Live, found: Difference) -> None:
    """Add a delete, a release (given up, or gone already), or nothing."""
    now = live.resources.get(address)
    span = entry.span if entry else None
    keep = bool(entry and entry.keep)
    if address in live.hidden:
        found.diagnostics.append(_unseen(address, live, span))
    elif now is None or keep:
        if owned is not None:
            reason = "kept" if keep else "gone"
            found.changes.append(Change(address, Action.RELEASE, now, None, (), reason, span=span, owner=owned))
    else:
        found.changes.append(
            Change(
                address,
                Action.DELETE,
                now,
                None,
                (),
                "removed" if entry else _name_departure(address),
                span=span,
                owner=owned,
                created=bool(owned and owned.created),
                options=KINDS[address.kind].consequences.choose_removal_options(entry) if entry else NO_OPTIONS,
            )
        )


def _name_departure(address: Address) -> str:
    """Say why a resource goes that the stack owns and no longer names."""
    return "undeclared" if KINDS[address.kind].language.leaves_with_its_line else "orphan"


def _destroy(stack: Stack, live: Live, mine: Ledger, found: Difference) -> None:
    for address, owned in mine.items():
        declared = stack.resources.get(address)
        span = declared.origin.span if declared else None
        now = live.resources.get(address)
        if address in live.hidden:
            found.diagnostics.append(_unseen(address, live, span))
        elif now is None:
            found.changes.append(Change(address, Action.RELEASE, None, None, (), "gone", span=span, owner=owned))
        else:
            # what it adopted is released, unless its deletion is accepted by name (risk.accepted_releases)
            change = Change(
                address, Action.DELETE, now, None, (), "destroy", span=span, owner=owned, created=owned.created
            )
            stays = not owned.created or find_refusal(change, owned, live.state, live.internal)
            found.changes.append(replace(change, action=Action.RELEASE) if stays else change)
