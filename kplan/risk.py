"""What a change loses or cuts off: rules with stable codes, what is accepted, and what blocks a plan."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from kplan import catalog
from kplan.diagnostics import Diagnostic, error
from kplan.model import (
    Action,
    Address,
    AttrDiff,
    Change,
    Connector,
    Facts,
    Guards,
    Removal,
    Risk,
    Stack,
    Target,
    Topic,
    Undo,
)
from kplan.undo import undo_of

KINDS = ("data-loss", "replace", "orphan", "offsets", "snapshot", "durability", "readers")
TYPE_HANDLING = (
    "decimal.handling.mode",
    "binary.handling.mode",
    "time.precision.mode",
    "bigint.unsigned.handling.mode",
)
MOVES_THE_SOURCE = ("slot.name", "database.dbname", "database.server.id")
MINIMUM_MANAGED = 10  # `max_changes` judges shares of at least so many resources
VERBS = {Action.DELETE: "delete", Action.REPLACE: "replace"}


@dataclass(frozen=True, slots=True)
class Accepted:
    """What this run's `--accept` names: `delete:topic/x`, globs, and `max_changes`."""

    patterns: tuple[str, ...] = ()

    def covers(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.patterns)


def accept_name(change: Change) -> str:
    """The words that accept all dangers of `change`: `delete:topic/x`."""
    return f"{VERBS.get(change.action, 'change')}:{change.address}"


def accepted_releases(changes: Sequence[Change], accepted: Accepted, target: Target) -> list[Change]:
    """With `destroy`: what was adopted is released, unless its deletion is accepted by name."""
    result = []
    for change in changes:
        adopted = change.reason == "destroy" and change.action is Action.RELEASE and change.before is not None
        if adopted and accepted.covers(f"delete:{change.address}"):
            change = replace(change, action=Action.DELETE)
            change = replace(change, undo=undo_of(change, target))
        result.append(change)
    return result


def wants_facts(change: Change) -> bool:
    """Whether what is stored in the topic decides how dangerous `change` is."""
    if change.address.kind != "topic" or change.is_ledger_only:
        return False
    if change.action in (Action.DELETE, Action.REPLACE):
        return True
    return any(_shrinks(d) or d.path == "/partitions" or d.key == "cleanup.policy" for d in change.diffs)


def assess(changes: Sequence[Change], stack: Stack, facts: Mapping[Address, Facts], accepted: Accepted) -> list[Change]:
    """Each change with its risks, each of them accepted or not."""
    listed = {entry.address: entry for entry in stack.removed}
    return [_assessed(change, facts.get(change.address), listed.get(change.address), accepted) for change in changes]


def _assessed(change: Change, facts: Facts | None, entry: Removal | None, accepted: Accepted) -> Change:
    risks = _of_topic(change, facts) if change.address.kind == "topic" else _of_connector(change)
    if change.reason == "orphan":
        risks.append(
            Risk("K404", "danger", "it left the stack, and no entry under `removed` says that this was meant", "orphan")
        )
    if _protected(change):
        risks.append(Risk("K410", "danger", "it is protected: only an applied `protect: false` ends that", "protect"))
    if any(risk.code in ("K405", "K406") for risk in risks):
        change = replace(change, undo=Undo("restore", False, "records that are deleted meanwhile stay deleted"))
    declared = change.after.rules.accept if change.after else entry.accept if entry else frozenset()
    name = accept_name(change)
    return replace(change, risks=tuple(_judged(risk, name, declared, accepted, facts) for risk in risks))


def _protected(change: Change) -> bool:
    if change.action not in (Action.DELETE, Action.REPLACE):
        return False
    said = change.after.rules.protect if change.after else None
    return bool(said or (change.owner and change.owner.protect))


def _judged(risk: Risk, name: str, declared: Iterable[str], accepted: Accepted, facts: Facts | None) -> Risk:
    if risk.level != "danger" or risk.kind == "protect":
        return risk
    by = "stack" if risk.kind in declared else "flag" if accepted.covers(name) else None
    shown = facts if risk.kind in ("data-loss", "replace", "readers") else None
    return replace(risk, accept=name, accepted=by, facts=shown)


# -- topics -----------------------------------------------------------------------------------------------------------
def _of_topic(change: Change, facts: Facts | None) -> list[Risk]:
    if change.action is Action.DELETE:
        return _loss(facts)
    if change.action is Action.REPLACE:
        return [Risk("K403", "danger", f"deleted and made anew. {_stored(facts)}{_reading(facts)}", "replace")]
    risks = []
    if change.action is Action.UPDATE:
        for each in change.diffs:
            risks += _of_setting(each, facts)
    if isinstance(change.after, Topic) and change.action in (Action.CREATE, Action.UPDATE):
        risks += _of_result(change.after)
    return risks


def _loss(facts: Facts | None) -> list[Risk]:
    if facts is None or facts.records is None or facts.records > 0:
        return [Risk("K401", "danger", f"data loss. {_stored(facts)}{_reading(facts)}", "data-loss")]
    active = [r for r in facts.readers if r.active]
    return [Risk("K402", "danger", f"readers are cut off.{_reading(facts)}", "readers")] if active else []


def _of_setting(diff: AttrDiff, facts: Facts | None) -> list[Risk]:
    if diff.path == "/partitions":
        readers = ", ".join(r.group for r in facts.readers) if facts and facts.readers else ""
        return [
            Risk(
                "K411",
                "caution",
                "keys move. Records of one primary key, written before and after, can land in "
                f"different partitions.{f' Readers: {readers}.' if readers else ''}",
            )
        ]
    if diff.path == "/replication_factor" and isinstance(diff.before, int) and isinstance(diff.after, int):
        return [Risk("K409", "danger", "fewer copies of each record", "durability")] if diff.after < diff.before else []
    if diff.key == "min.insync.replicas" and _number(diff.before, 1) > _number(diff.after, 1):
        return [Risk("K409", "danger", "writes are confirmed with fewer copies", "durability")]
    if diff.key == "unclean.leader.election.enable" and diff.after == "true":
        return [Risk("K409", "danger", "a replica that is behind may lead, and what it lacks is lost", "durability")]
    stored = facts is None or facts.records is None or facts.records > 0
    if diff.key == "cleanup.policy" and stored:
        return [
            Risk(
                "K406", "danger", f"another cleanup policy removes what the old one kept. {_stored(facts)}", "data-loss"
            )
        ]
    if _shrinks(diff) and stored:
        return [Risk("K405", "danger", f"older records are deleted. {_stored(facts)}", "data-loss")]
    return []


def _shrinks(diff: AttrDiff) -> bool:
    """Whether less is kept than before: `retention.*`; -1 keeps all, and unset is Kafka's default."""
    if diff.key not in ("retention.ms", "retention.bytes"):
        return False
    default = catalog.CONFIGS[diff.key].default
    before, after = _number(diff.before, default), _number(diff.after, default)
    return after >= 0 and (before < 0 or after < before)


def _number(value: object, default: object) -> float:
    try:
        return float(str(default if value is None else value))
    except ValueError:
        return 0.0


def _of_result(topic: Topic) -> list[Risk]:
    insync = topic.config.get("min.insync.replicas")
    if insync and topic.replication_factor > 1 and int(insync) == topic.replication_factor:
        return [
            Risk(
                "K412",
                "caution",
                f"min.insync.replicas {insync} = replication factor: one broker away, and every "
                "write with acks=all fails",
            )
        ]
    return []


def _stored(facts: Facts | None) -> str:
    if facts is None or facts.records is None:
        return "How many records it holds is not known."
    return f"Up to {facts.records:,} record{'' if facts.records == 1 else 's'}."


def _reading(facts: Facts | None) -> str:
    if facts is None or not facts.readers:
        return ""
    groups = ", ".join(f"{r.group} (lag {r.lag:,})" for r in facts.readers)
    return f" {len(facts.readers)} group{'' if len(facts.readers) == 1 else 's'} reading: {groups}."


# -- connectors -------------------------------------------------------------------------------------------------------
def _of_connector(change: Change) -> list[Risk]:
    if change.action is Action.REPLACE:
        return [
            Risk("K407", "danger", "deleted with its offsets and made anew: it starts from the beginning", "offsets")
        ]
    if change.action is Action.DELETE:
        return [_outlives(change)]
    risks = []
    for each in change.diffs if change.action is Action.UPDATE else ():
        risks += _of_connector_setting(each)
    risks += _new_tables(change)
    return risks


def _outlives(change: Change) -> Risk:
    config = change.before.config if isinstance(change.before, Connector) else {}
    kept = "its offsets stay" if change.keep_offsets else "its offsets go with it"
    slot, publication = config.get("slot.name"), config.get("publication.name")
    if isinstance(slot, str):
        kept += (
            f"; in the database slot {slot} keeps WAL until it is dropped: SELECT pg_drop_replication_slot('{slot}');"
            f" DROP PUBLICATION {publication};"
        )
    return Risk("K413", "caution", kept)


def _of_connector_setting(diff: AttrDiff) -> list[Risk]:
    if diff.key in MOVES_THE_SOURCE and diff.before is not None:
        if diff.key == "database.server.id":
            return [Risk("K418", "caution", "another replica of the same number is disconnected by the server")]
        return [
            Risk(
                "K408", "danger", f"another {diff.key}: changes in between are missed, or all is read again", "snapshot"
            )
        ]
    if diff.key == "snapshot.mode":
        return [Risk("K416", "caution", "it takes effect when the connector has no offsets")]
    if diff.key in TYPE_HANDLING and diff.before is not None:
        return [Risk("K414", "caution", f"records written from now on have another schema ({diff.key})")]
    if diff.key == "publication.name":
        return [Risk("K415", "caution", "the slot goes on; the old publication stays in the database")]
    return []


def _new_tables(change: Change) -> list[Risk]:
    for diff in change.diffs:
        if diff.key == "table.include.list" and isinstance(diff.after, str) and isinstance(diff.before, str):
            before = set(diff.before.split(","))
            new = [t.replace("\\", "") for t in diff.after.split(",") if t not in before]
            if new:
                return [
                    Risk(
                        "K421",
                        "note",
                        f"rows already in {', '.join(new)} are not captured; send an execute-snapshot signal",
                    )
                ]
    return []


# -- the run as a whole -----------------------------------------------------------------------------------------------
def too_many(changes: Sequence[Change], managed: int, guards: Guards, accepted: Accepted) -> Diagnostic | None:
    """The problem with a run that updates or deletes a larger share of what is managed than the guard allows."""
    if guards.max_changes is None or managed < MINIMUM_MANAGED or accepted.covers("max_changes"):
        return None
    touched = sum(1 for c in changes if c.action in (Action.UPDATE, Action.DELETE, Action.REPLACE, Action.MOVE))
    if touched <= guards.max_changes * managed:
        return None
    return error(
        "K419",
        "more changes than the guard allows in one run",
        f"{touched} of {managed} managed resources would change, `max_changes` is {guards.max_changes:.0%}",
        help="look at the plan; to allow it once: --accept max_changes",
        span=guards.span,
    )
