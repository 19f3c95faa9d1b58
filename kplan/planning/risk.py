"""What a change loses or cuts off: rules with stable codes, what is accepted, and what blocks a plan."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from kplan.diagnostics import Diagnostic, codes, error
from kplan.diagnostics.codes.code import Code
from kplan.kinds.connector.debezium.incremental import name_of
from kplan.kinds.connector.debezium.leftovers import left_behind
from kplan.kinds.connector.options import connector_options, drops_of, keeps_offsets, snapshots_of
from kplan.kinds.connector.sinks import group_of
from kplan.kinds.connector.tables import gained, split
from kplan.kinds.topic import configs as catalog
from kplan.kinds.topic.losses import (
    LIMITS,
    POLICY,
    gained_policies,
    is_changed_topic,
    limit_of,
    lowered_limits,
    may_lose,
    number_of,
    policies_of,
    value_after,
    value_before,
)
from kplan.kinds.topic.options import reassignment_of, topic_options
from kplan.model import (
    Action,
    Address,
    AttrDiff,
    Change,
    Connector,
    Facts,
    Guards,
    Reader,
    Removal,
    Risk,
    Stack,
    Target,
    Topic,
    Undo,
)
from kplan.planning.undo import undo_of
from kplan.text import count, listed, size


@dataclass(frozen=True, slots=True)
class Rule:
    """How bad it is (danger, caution or note), and the word that `accept:` in the stack takes for a danger."""

    level: str
    kind: str = ""


# What each means, and its level, is in `codes`, as `kplan explain` prints it.
RULES: Mapping[str, Rule] = {
    code.number: Rule(code.level, kind)
    for code, kind in {
        codes.K401: "data-loss",
        codes.K402: "readers",
        codes.K403: "replace",
        codes.K404: "orphan",
        codes.K405: "data-loss",
        codes.K406: "data-loss",
        codes.K407: "offsets",
        codes.K408: "snapshot",
        codes.K409: "durability",
        codes.K410: "protect",
        codes.K411: "",
        codes.K412: "",
        codes.K413: "",
        codes.K414: "",
        codes.K415: "",
        codes.K416: "",
        codes.K418: "",
        codes.K420: "",
        codes.K421: "",
        codes.K422: "",
        codes.K423: "",
        codes.K430: "",
    }.items()
}
KINDS = tuple(dict.fromkeys(r.kind for r in RULES.values() if r.kind not in ("", "protect")))
TYPE_HANDLING = (
    "decimal.handling.mode",
    "binary.handling.mode",
    "time.precision.mode",
    "bigint.unsigned.handling.mode",
)
AGAIN = "changes in between are missed, or all is read again"
MOVES_THE_SOURCE = {
    "slot.name": AGAIN,
    "database.dbname": AGAIN,
    # without it a task fails at its start: "The db history topic … is missing" (debezium-core's SchemaHistory)
    "schema.history.internal.kafka.topic": "what it knows of the tables' structure stays in the old one",
}
# What Debezium does with these modes at each start, offsets or not (its documentation of `snapshot.mode`).
SNAPSHOT_MODES = {
    "always": "all tables are read again now, and at each start",
    "initial_only": "changes are no longer captured: this mode ends after the snapshot that was taken already",
    "configuration_based": "other settings decide whether all tables are read again now",
    "custom": "own code decides whether all tables are read again now",
}
CAPTURED = ("table.include.list", "collection.include.list", "schema.include.list", "database.include.list")
NOT_CAPTURED = ("table.exclude.list", "collection.exclude.list", "schema.exclude.list", "database.exclude.list")
GROWTH_FACTOR, GROWTH_RECORDS = 2, 1000  # so many times, and so many more, and an accepted deletion is another one
MINIMUM_MANAGED = 10  # `max_changes` judges shares of at least so many resources
VERBS = {Action.DELETE: "delete", Action.REPLACE: "replace"}
OTHERWISE = "change"
ACCEPTED_VERBS = (*VERBS.values(), OTHERWISE)
MAX_CHANGES = "max_changes"  # what --accept names for the guard


def _risk(code: Code, summary: str, facts: Facts | None = None) -> Risk:
    rule = RULES[code.number]
    return Risk(code.number, rule.level, summary, rule.kind, facts=facts)


# -- what is accepted -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Accepted:
    """What this run's `--accept` names: `delete:topic/x`, globs, and `max_changes`."""

    patterns: tuple[str, ...] = ()

    def covers(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.patterns)


def accept_name(change: Change) -> str:
    """The words that accept all dangers of `change`: `delete:topic/x`."""
    return f"{VERBS.get(change.action, OTHERWISE)}:{change.address}"


def accepted_releases(changes: Sequence[Change], accepted: Accepted, target: Target) -> list[Change]:
    """With `destroy`: what was adopted is released, unless its deletion is accepted by name."""
    result = []
    for change in changes:
        stays = change.reason == "destroy" and change.action is Action.RELEASE and change.before is not None
        if stays and not change.created and accepted.covers(f"delete:{change.address}"):
            change = replace(change, action=Action.DELETE)
            change = replace(change, undo=undo_of(change, target))
        result.append(change)
    return result


def _judged(risk: Risk, name: str, declared: Iterable[str], accepted: Accepted) -> Risk:
    if risk.level != "danger" or risk.kind == "protect":
        return risk
    by = "stack" if risk.kind in declared else "flag" if accepted.covers(name) else None
    return replace(risk, accept=name, accepted=by)


# -- the rules --------------------------------------------------------------------------------------------------------
def wants_facts(change: Change) -> bool:
    """Whether what is stored in the topic, and who reads it, decides how dangerous `change` is."""
    return may_lose(change) or (is_changed_topic(change) and any(d.path == "/partitions" for d in change.diffs))


def assess(
    changes: Sequence[Change],
    stack: Stack,
    facts: Mapping[Address, Facts],
    accepted: Accepted,
    *,
    now: int | None = None,
    leftovers: Mapping[Address, str] | None = None,
) -> list[Change]:
    """Each change with its risks, each of them accepted or not.

    `now` is in milliseconds since 1970. `leftovers` says of new connectors that there are offsets of their name.
    """
    listed = {entry.address: entry for entry in stack.removed}
    now = reliable(now, facts.values())
    return [
        _assessed(c, facts.get(c.address), (leftovers or {}).get(c.address, ""), listed.get(c.address), accepted, now)
        for c in changes
    ]


def _assessed(
    change: Change, facts: Facts | None, leftover: str, entry: Removal | None, accepted: Accepted, now: int | None
) -> Change:
    risks = [*_own_risks(change, facts, leftover, now), *_ownership_risks(change)]
    declared = change.after.rules.accept if change.after else entry.accept if entry else frozenset()
    name = accept_name(change)
    judged = tuple(_judged(risk, name, declared, accepted) for risk in risks)
    change = replace(change, risks=judged) if judged != change.risks else change
    numbers = {risk.code for risk in risks}
    if numbers & {codes.K405.number, codes.K406.number}:
        why = "; ".join(filter(None, (change.undo.why, "records that are deleted meanwhile stay deleted")))
        return replace(change, undo=Undo("restore", False, why))
    if codes.K420.number in numbers and change.undo.complete:
        keeping = replace(connector_options(change), keep_offsets=True)
        return replace(change, options=keeping, undo=replace(change.undo, why="its offsets stay, as they are then"))
    if change.action is Action.DELETE and change.address.kind == "topic" and codes.K401.number not in numbers:
        cautious = replace(topic_options(change), if_empty=True)
        return replace(change, options=cautious, undo=replace(change.undo, why="it is empty, and is not made again"))
    return change


def reliable(now: int | None, facts: Iterable[Facts]) -> int | None:
    """The time by which records are old or young, given this machine's own and what is known of records.

    It is not before the newest record. None where records are so far ahead of it that this machine's clock is behind:
    brokers take no record that is further ahead of theirs (`message.timestamp.after.max.ms`).
    """
    newest = max((each.last_write for each in facts if each.last_write is not None), default=None)
    if now is None or newest is None:
        return now
    return None if newest > now + MAX_AHEAD_MS else max(now, newest)


def new_dangers(change: Change, facts: Facts, now: int | None) -> list[Risk]:
    """The dangers that `change` has by these facts, and that were not accepted when the plan was made."""
    known = {risk.code for risk in change.risks if risk.accepted is not None}
    return [r for r in _own_risks(change, facts, "", now) if r.level == "danger" and r.code not in known]


def find_growth(change: Change, facts: Facts) -> Iterator[str]:
    """Say that a topic whose deletion was accepted holds many more records now."""
    accepted = next(
        (r.facts.records for r in change.risks if r.code in (codes.K401.number, codes.K403.number) and r.facts), None
    )
    if accepted is None or facts.records is None:
        return
    if facts.records > GROWTH_FACTOR * accepted and facts.records - accepted >= GROWTH_RECORDS:
        yield f"its deletion was accepted with {accepted:,} records, and now it holds up to {facts.records:,}"
    elif facts.records and not accepted:
        yield f"its deletion was accepted while it was empty, and now it holds up to {facts.records:,} records"


def _own_risks(change: Change, facts: Facts | None, leftover: str, now: int | None) -> Iterator[Risk]:
    if change.address.kind == "topic":
        return _of_topic(change, facts or Facts(), now)
    return _of_connector(change, leftover)


def _ownership_risks(change: Change) -> Iterator[Risk]:
    if change.reason == "orphan":
        yield _risk(codes.K404, "it left the stack, and no entry under `removed` says that this was meant")
    if change.action in (Action.DELETE, Action.REPLACE):
        said = change.after.rules.protect if change.after else None
        if said or (change.owner and change.owner.protect):
            yield _risk(codes.K410, "it is protected: only an applied `protect: false` ends that")


# -- topics -----------------------------------------------------------------------------------------------------------
def _of_topic(change: Change, facts: Facts, now: int | None) -> Iterator[Risk]:
    if change.action is Action.DELETE:
        yield from _deleted(facts)
    elif change.action is Action.REPLACE:
        yield _risk(codes.K403, f"deleted and made anew. {_stored(facts)}{_reading(facts)}", facts)
    elif change.action is Action.UPDATE:
        yield from _keys_move(change, facts)
        yield from _shrinks(change, facts, now)
        yield from _another_policy(change, facts, now)
        yield from _less_safe(change)
        yield from _copies(change)
    if change.action in (Action.CREATE, Action.UPDATE, Action.REPLACE):
        yield from _no_spare_replica(change)


def _deleted(facts: Facts) -> Iterator[Risk]:
    if facts.records != 0:
        yield _risk(codes.K401, f"data loss. {_stored(facts)}{_reading(facts)}", facts)
    elif facts.sinks or "readers" in facts.unknown or any(reader.active for reader in facts.readers):
        yield _risk(codes.K402, f"readers are cut off.{_reading(facts)}", facts)


def _keys_move(change: Change, facts: Facts) -> Iterator[Risk]:
    if facts.records == 0 or all(d.path != "/partitions" for d in change.diffs):
        return
    compacted = (
        " Compaction then keeps the old one as well." if "compact" in policies_of(value_after(change, POLICY)) else ""
    )
    readers = [reader.group for reader in _groups(facts)] + [f"sink connector {name}" for name in facts.sinks]
    said = f" Readers: {listed(readers)}." if readers else ""
    yield _risk(
        codes.K411,
        "keys move. Records of one primary key, written before and after, can land in different partitions."
        f"{compacted}{said}",
        facts,
    )


def _shrinks(change: Change, facts: Facts, now: int | None) -> Iterator[Risk]:
    for key in lowered_limits(change):
        if lost := _beyond(key, value_after(change, key), facts, now):
            yield _risk(codes.K405, f"{lost}. {_stored(facts)}{_reading(facts)}", facts)


def _another_policy(change: Change, facts: Facts, now: int | None) -> Iterator[Risk]:
    gained = gained_policies(change)
    lost = ["compaction keeps only the last record of each key"] if "compact" in gained and facts.records != 0 else []
    if "delete" in gained and "compact" in policies_of(value_before(change, POLICY)):
        lost += list(_expiring(change, facts))
    elif "delete" in gained:
        lost += [said for key in LIMITS if (said := _beyond(key, value_after(change, key), facts, now))]
    if lost:
        yield _risk(codes.K406, f"{', and '.join(lost)}. {_stored(facts)}{_reading(facts)}", facts)


def _expiring(change: Change, facts: Facts) -> Iterator[str]:
    """What deletion does to a compacted topic: it holds state for ever, so the age of its records is no measure."""
    if facts.records == 0:
        return
    for key in LIMITS:
        limit = limit_of(key, value_after(change, key))
        if limit >= 0:
            said = catalog.human(key, f"{limit:.0f}") or f"{limit:.0f}"
            reach = f"older than {said}" if key == "retention.ms" else f"beyond {said} in a partition"
            yield f"a compacted topic keeps the last record of each key; records {reach} are deleted from now on"


MAX_AHEAD_MS = 3_600_000  # Kafka's default


def _beyond(key: str, value: str | None, facts: Facts, now: int | None) -> str:
    """What this limit deletes of what is stored; nothing where all is known to be within it."""
    # Brokers delete from the oldest segment on and stop at the first that holds a young enough record, so the oldest
    # record decides (`UnifiedLog.deleteRetentionMsBreachedSegments`). `retention.bytes` is for each partition.
    limit = limit_of(key, value)
    if limit < 0 or facts.records == 0:
        return ""
    said = catalog.human(key, f"{limit:.0f}")
    if key == "retention.ms":
        young = now is not None and facts.first_write is not None and now - facts.first_write < limit
        behind = now is None and facts.first_write is not None
        unsure = " (this machine's clock is behind that of the records, so their age is not known)" if behind else ""
        return "" if young else f"records older than {said or f'{limit:.0f} ms'} are deleted{unsure}"
    if facts.bytes is not None and facts.bytes <= limit:
        return ""
    unsure = " (how many bytes are stored is not known)" if facts.bytes is None else ""
    return f"beyond {said or size(limit)} in a partition, the oldest records are deleted{unsure}"


def _less_safe(change: Change) -> Iterator[Risk]:
    for diff in change.diffs:
        if diff.path == "/replication_factor" and number_of(diff.after, 0) < number_of(diff.before, 0):
            yield _risk(codes.K409, "fewer copies of each record")
        elif diff.key == "min.insync.replicas" and number_of(diff.before, 1) > number_of(diff.after, 1):
            yield _risk(codes.K409, "writes are confirmed with fewer copies")
        elif diff.key == "unclean.leader.election.enable" and diff.after == "true":
            yield _risk(codes.K409, "a replica that is behind may lead, and what it lacks is lost")


def _copies(change: Change) -> Iterator[Risk]:
    moved = reassignment_of(change)
    if moved is None or not any(map(moved.added, moved.after)):
        return
    content = "what they hold (how much is not known) is" if moved.bytes is None else f"{size(moved.bytes)} are"
    rate = "without a throttle, so reads and writes may slow down"
    if moved.throttle is not None:
        rate = f"throttled to {size(moved.throttle)}/s a broker"
    yield _risk(codes.K430, f"{content} copied between brokers, {rate}")


def _no_spare_replica(change: Change) -> Iterator[Risk]:
    changed = {d.path for d in change.diffs} & {"/replication_factor", "/config/min.insync.replicas"}
    if not isinstance(change.after, Topic) or (change.action is Action.UPDATE and not changed):
        return
    insync, replicas = change.after.config.get("min.insync.replicas"), change.after.replication_factor
    if replicas < 1 and isinstance(change.before, Topic):
        replicas = change.before.replication_factor
    if insync and replicas > 1 and number_of(insync, 0) == replicas:
        yield _risk(
            codes.K412,
            f"min.insync.replicas {insync} = replication factor: one broker away, and every write with acks=all fails",
        )


def _stored(facts: Facts) -> str:
    if facts.records is None:
        return f"How many records it holds is not known{_why(facts, 'records')}."
    if facts.records == 0:
        return "It holds no records."
    volume = "" if facts.bytes is None else f", {size(facts.bytes)}"
    return f"Up to {facts.records:,} record{'' if facts.records == 1 else 's'}{volume}."


def _reading(facts: Facts) -> str:
    """Who reads the topic, in a sentence for groups and one for sink connectors."""
    if "readers" in facts.unknown:
        said = f" Who reads it is not known{_why(facts, 'readers')}."
    else:
        groups = [f"{r.group} ({'' if r.active else 'idle, '}lag {r.lag:,})" for r in _groups(facts)]
        said = f" {count(len(groups), 'group')} reading: {listed(groups)}." if groups else ""
    lags = {reader.group: reader.lag for reader in facts.readers}
    sinks = [f"{s} (lag {lags[group_of(s)]:,})" if group_of(s) in lags else s for s in facts.sinks]
    return said + (f" {count(len(sinks), 'sink connector')} reading: {listed(sinks)}." if sinks else "")


def _groups(facts: Facts) -> list[Reader]:
    """The groups that are not those of sink connectors."""
    own = {group_of(sink) for sink in facts.sinks}
    return [reader for reader in facts.readers if reader.group not in own]


def _why(facts: Facts, name: str) -> str:
    return f" ({facts.unknown[name].rstrip('.')})" if facts.unknown.get(name) else ""


# -- connectors -------------------------------------------------------------------------------------------------------
def _of_connector(change: Change, leftover: str) -> Iterator[Risk]:
    if drops := drops_of(change):
        yield _risk(
            codes.K423,
            f"in its database go with it: {', '.join(drops)}. Nothing brings them back",
        )
    if change.action is Action.REPLACE:
        yield _risk(codes.K407, "deleted with its offsets and made anew: it starts from the beginning")
    elif change.action is Action.DELETE:
        yield _outlives(change)
    elif change.action is Action.CREATE and leftover:
        yield _risk(codes.K420, f"it goes on from the offsets of an earlier connector of this name: {leftover}")
    elif change.action in (Action.UPDATE, Action.MOVE):
        for diff in change.diffs:
            yield from _of_setting(diff)
        yield from _other_tables(change)


def _outlives(change: Change) -> Risk:
    said = "its offsets stay" if keeps_offsets(change) else "its offsets go with it"
    left = left_behind(change.before, drops_of(change)) if isinstance(change.before, Connector) else []
    return _risk(codes.K413, f"{said}. In the database stay: {' '.join(left)}" if left else said)


def _of_setting(diff: AttrDiff) -> Iterator[Risk]:
    if diff.key in MOVES_THE_SOURCE and diff.before is not None:
        yield _risk(codes.K408, f"another {diff.key}: {MOVES_THE_SOURCE[diff.key]}")
    elif diff.key == "snapshot.mode" and diff.after in SNAPSHOT_MODES:
        yield _risk(codes.K408, f"{diff.key} {diff.after}: {SNAPSHOT_MODES[str(diff.after)]}")
    elif diff.key == "snapshot.mode":
        yield _risk(codes.K416, "nothing is read again now: the mode counts when there are no offsets")
    elif diff.key == "database.server.id" and diff.before is not None:
        yield _risk(codes.K418, "another replica of the same number is disconnected by the server")
    elif diff.key in TYPE_HANDLING and diff.before is not None:
        yield _risk(codes.K414, f"records written from now on have another schema ({diff.key})")
    elif diff.key == "publication.name":
        yield _risk(codes.K415, "the old publication stays in the database")


def _other_tables(change: Change) -> Iterator[Risk]:
    new, gone = [], []
    for diff in change.diffs:
        if diff.key in CAPTURED + NOT_CAPTURED and not diff.sensitive:
            before, after = split(str(diff.before or "")), split(str(diff.after or ""))
            more, fewer = list(map(name_of, gained(before, after))), list(map(name_of, gained(after, before)))
            if diff.key in NOT_CAPTURED:
                more, fewer = fewer, more
            elif diff.before is None or diff.after is None:  # without such a list everything is captured
                more, fewer = ([], ["all others"]) if diff.before is None else (["all others"], [])
            new += more
            gone += fewer
    read = {name_of(entry) for entry in snapshots_of(change)}
    if new := [table for table in new if table not in read]:
        tables = listed(new)
        yield _risk(codes.K421, f"rows already in {tables} are not captured; send an execute-snapshot signal")
    if gone:
        yield _risk(codes.K422, f"changes of {listed(gone)} are no longer captured")


# -- the run as a whole -----------------------------------------------------------------------------------------------
def too_many(changes: Sequence[Change], managed: int, guards: Guards, accepted: Accepted) -> Diagnostic | None:
    """The problem with a run that updates or deletes a larger share of what is managed than the guard allows."""
    if guards.max_changes is None or managed < MINIMUM_MANAGED or accepted.covers(MAX_CHANGES):
        return None
    touched = sum(1 for c in changes if c.action in (Action.UPDATE, Action.DELETE, Action.REPLACE, Action.MOVE))
    if touched <= guards.max_changes * managed:
        return None
    return error(
        codes.K419,
        "more changes than the guard allows in one run",
        f"{touched} of {managed} managed resources would change, `max_changes` is {guards.max_changes:.0%}",
        help="look at the plan; to allow it once: --accept max_changes",
        span=guards.span,
    )
