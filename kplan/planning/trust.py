"""What a plan or a journal may make kplan do, judged when it acts: whoever wrote the document may have forged it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Final

from kplan.kinds.registry import comparison_of, consequences_of
from kplan.kinds.topic.internal import find_refusal
from kplan.kinds.topic.losses import may_lose
from kplan.kinds.topic.options import topic_options
from kplan.model import Action, Address, AttrDiff, Change, Facts, Live, Owned
from kplan.patterns import late_pattern
from kplan.planning.needed import Ledger
from kplan.planning.risk import accept_name, new_dangers
from kplan.text import CONTROL_CHARACTERS
from kplan.values import dataclass

RUN_ID: Final = late_pattern(r"[A-Za-z0-9._-]{1,200}\Z")

NEVER = "kplan never does this; make the plan again from the stack"


def find_forbidden(changes: Iterable[Change], live: Live, ledger: Ledger) -> list[str]:
    """Name each change that no plan may make, whatever it says of itself: an internal topic, or a protected one."""
    found = []
    for change in changes:
        owner = ledger.get(change.address)
        if refusal := find_refusal(change, owner, live.state, live.internal):
            found.append(f"{change.address}: {refusal}")
        elif change.action in (Action.DELETE, Action.REPLACE) and owner is not None and owner.protect:
            found.append(f"{change.address}: it is protected now")
    return found


@dataclass(frozen=True, slots=True)
class Listed:
    """What the stack's own file, as it is where the plan is applied, declares and lists under `removed`."""

    declared: frozenset[Address] = frozenset()
    removed: frozenset[Address] = frozenset()


def find_unlisted(changes: Iterable[Change], ledger: Ledger, listed: Listed) -> list[str]:
    """Name each change that deletes records of what no stack owns and the stack's own file does not name."""
    found = []
    for change in changes:
        deletes = change.action in (Action.DELETE, Action.REPLACE) or may_lose(change)
        named = listed.removed if change.after is None else listed.declared
        if deletes and change.address not in ledger and change.address not in named:
            how = "does not list it under `removed`" if change.after is None else "does not declare it"
            found.append(f"{change.address}: no stack owns it, and the stack's file {how}")
    return found


def is_another_topic(change: Change, live: Live) -> bool:
    """Whether the live topic was created after the change was planned, under the same name."""
    known = live.ids.get(change.address, "")
    return bool(known and topic_options(change).topic_id) and known != topic_options(change).topic_id


# -- what a journal asks for ------------------------------------------------------------------------------------------
def is_run_id(run: str) -> bool:
    """Whether the id may be one that kplan made."""
    return bool(RUN_ID.match(run))


def escape(text: str) -> str:
    """Return the text on one line with its control characters visible, as it can be typed on a command line."""
    return text.encode("unicode_escape", "backslashreplace").decode() if CONTROL_CHARACTERS.search(text) else text


def is_claimed(change: Change, ledger: Ledger, stack: str) -> bool:
    """Whether the ledger says that `stack` owns what is changed; a run claims it before its first request."""
    return any(a is not None and a in ledger and ledger[a].stack == stack for a in (change.address, change.source))


def find_undo_refusals(
    change: Change,
    back: Change,
    live: Live,
    ledger: Ledger,
    stack: str,
    facts: Facts,
    accepts: Callable[[str], bool],
    now: int,
) -> Iterator[str]:
    """Say why `back`, the undo of a journaled `change`, is not sent; nothing where it may be.

    The journal may be forged, so it is held against the ledger and the live state.
    """
    owner = _owner(change, ledger)
    if refusal := find_refusal(back, owner, live.state, live.internal):
        yield refusal
        return
    if owner is not None and owner.stack != stack:
        yield f"stack {owner.stack} owns it"
        return
    if back.action is Action.UPDATE and is_another_topic(change, live):
        yield "another topic has this name now"
        return
    name = accept_name(back)
    if accepts(name):
        return
    reasons = [] if owner is not None else [f"the ledger has no record that stack {stack} owns it"]
    if change.action is Action.UPDATE:
        reasons += [_changed_since(diff, live, change) for diff in change.diffs if not _is_expected(diff, live, change)]
    if consequences_of(back).judges_undo and back.action is Action.UPDATE and not _restores_applied(back, owner):
        reasons += [f"{risk.code} {risk.summary}" for risk in new_dangers(back, facts, now)]
    for reason in reasons:
        yield f"{reason} (to do it anyway: --accept {name})"


def _owner(change: Change, ledger: Ledger) -> Owned | None:
    return ledger.get(change.address) or (ledger.get(change.source) if change.source is not None else None)


def _restores_applied(back: Change, owner: Owned | None) -> bool:
    """Whether the undo sets only what the ledger knows as applied last: then it asks for nothing new."""
    applied = owner.applied if owner is not None else None
    if applied is None:
        return False
    read = comparison_of(back.address).read_attribute
    return all(diff.after == read(applied, diff.path) for diff in back.diffs)


def _is_expected(diff: AttrDiff, live: Live, change: Change) -> bool:
    """Whether a setting is as it was before the run or as the run was to set it, so that nobody else changed it."""
    now = live.resources.get(change.address)
    if now is None or not diff.path.startswith("/config/"):
        return True
    comparison = comparison_of(change.address)
    present = comparison.read_attribute(now, diff.path)
    return any(comparison.is_same(diff.path, side, present) for side in (diff.before, diff.after))


def _changed_since(diff: AttrDiff, live: Live, change: Change) -> str:
    now = comparison_of(change.address).read_attribute(live.resources[change.address], diff.path)
    shown = "(unset)" if now is None else "(sensitive)" if diff.sensitive else str(now)
    return f"{diff.key} is {shown} now, neither what it was before the run nor what the run set"
