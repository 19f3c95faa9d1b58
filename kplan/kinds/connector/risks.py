"""What a change of a connector loses or cuts off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kplan.diagnostics import codes
from kplan.kinds.connector.debezium.engines import EXCLUDE_LISTS, INCLUDE_LISTS, SETTING_RISKS
from kplan.kinds.connector.debezium.incremental import name_of
from kplan.kinds.connector.debezium.leftovers import left_behind
from kplan.kinds.connector.options import connector_options, drops_of, keeps_offsets, snapshots_of
from kplan.kinds.connector.tables import find_gained_entries, split
from kplan.kinds.connector.undo import decide_undo
from kplan.kinds.risks import make_risk
from kplan.model import Action, AttrDiff, Change, Connector, Risk, Target
from kplan.text import join_names

TYPE_HANDLING = (
    "decimal.handling.mode",
    "binary.handling.mode",
    "time.precision.mode",
    "bigint.unsigned.handling.mode",
)
# What Debezium does with these modes at each start, offsets or not (its documentation of `snapshot.mode`).
SNAPSHOT_MODES = {
    "always": "all tables are read again now, and at each start",
    "initial_only": "changes are no longer captured: this mode ends after the snapshot that was taken already",
    "configuration_based": "other settings decide whether all tables are read again now",
    "custom": "own code decides whether all tables are read again now",
}


def find_risks(change: Change, leftover: str) -> Iterator[Risk]:
    if drops := drops_of(change):
        yield make_risk(
            codes.K423,
            f"in its database go with it: {', '.join(drops)}. Nothing brings them back",
        )
    if change.action is Action.REPLACE:
        yield make_risk(codes.K407, "deleted with its offsets and recreated: it starts from the beginning")
    elif change.action is Action.DELETE:
        yield _describe_leftovers(change)
    elif change.action is Action.CREATE and leftover:
        yield make_risk(codes.K420, f"it goes on from the offsets of an earlier connector of this name: {leftover}")
    elif change.action in (Action.UPDATE, Action.MOVE):
        for diff in change.diffs:
            yield from _of_setting(diff)
        yield from _other_tables(change)


def _describe_leftovers(change: Change) -> Risk:
    said = "its offsets stay" if keeps_offsets(change) else "its offsets are deleted too"
    left = left_behind(change.before, drops_of(change)) if isinstance(change.before, Connector) else []
    return make_risk(codes.K413, f"{said}. These stay in the database: {' '.join(left)}" if left else said)


def _of_setting(diff: AttrDiff) -> Iterator[Risk]:
    risk = SETTING_RISKS.get(diff.key)
    if risk is not None and (diff.before is not None or risk.when_added):
        yield make_risk(risk.code, risk.message)
    elif diff.key == "snapshot.mode" and diff.after in SNAPSHOT_MODES:
        yield make_risk(codes.K408, f"{diff.key} {diff.after}: {SNAPSHOT_MODES[str(diff.after)]}")
    elif diff.key == "snapshot.mode":
        yield make_risk(codes.K416, "nothing is read again now: the mode counts when there are no offsets")
    elif diff.key in TYPE_HANDLING and diff.before is not None:
        yield make_risk(codes.K414, f"records written from now on have another schema ({diff.key})")


def _other_tables(change: Change) -> Iterator[Risk]:
    new, gone = [], []
    for diff in change.diffs:
        if diff.key in INCLUDE_LISTS + EXCLUDE_LISTS and not diff.sensitive:
            before, after = split(str(diff.before or "")), split(str(diff.after or ""))
            more, fewer = (
                list(map(name_of, find_gained_entries(before, after))),
                list(map(name_of, find_gained_entries(after, before))),
            )
            if diff.key in EXCLUDE_LISTS:
                more, fewer = fewer, more
            elif diff.before is None or diff.after is None:  # without such a list everything is captured
                more, fewer = ([], ["all others"]) if diff.before is None else (["all others"], [])
            new += more
            gone += fewer
    read = {name_of(entry) for entry in snapshots_of(change)}
    if new := [table for table in new if table not in read]:
        tables = join_names(new)
        yield make_risk(codes.K421, f"rows already in {tables} are not captured; send an execute-snapshot signal")
    if gone:
        yield make_risk(codes.K422, f"changes of {join_names(gone)} are no longer captured")


def finish(change: Change, target: Target) -> Change:
    """Return the change; a connector that goes on from earlier offsets (K420) leaves them when it is undone."""
    if all(risk.code != codes.K420.number for risk in change.risks) or not decide_undo(change, target).complete:
        return change
    return replace(change, options=replace(connector_options(change), keep_offsets=True))
