"""What a change of a topic loses or cuts off."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from kplan.diagnostics import codes
from kplan.kinds.groups import name_sink_group
from kplan.kinds.risks import make_risk
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
from kplan.model import Action, Change, Facts, Reader, Risk, Topic
from kplan.text import count, format_size, join_names


def wants_facts(change: Change) -> bool:
    """Whether what is stored in the topic, and who reads it, decides how dangerous `change` is."""
    return may_lose(change) or (is_changed_topic(change) and any(d.path == "/partitions" for d in change.diffs))


def find_risks(change: Change, facts: Facts, now: int | None) -> Iterator[Risk]:
    if change.action is Action.DELETE:
        yield from _assess_deletion(facts)
    elif change.action is Action.REPLACE:
        yield make_risk(codes.K403, f"deleted and recreated. {_describe_records(facts)}{_reading(facts)}", facts)
    elif change.action is Action.UPDATE:
        yield from _keys_move(change, facts)
        yield from _shrinks(change, facts, now)
        yield from _another_policy(change, facts, now)
        yield from _less_safe(change)
        yield from _copies(change)
    if change.action in (Action.CREATE, Action.UPDATE, Action.REPLACE):
        yield from _no_spare_replica(change)


def _assess_deletion(facts: Facts) -> Iterator[Risk]:
    if facts.records != 0:
        yield make_risk(codes.K401, f"data loss. {_describe_records(facts)}{_reading(facts)}", facts)
    elif facts.sinks or "readers" in facts.unknown or any(reader.active for reader in facts.readers):
        yield make_risk(codes.K402, f"consumers would lose this topic.{_reading(facts)}", facts)


def _keys_move(change: Change, facts: Facts) -> Iterator[Risk]:
    if facts.records == 0 or all(d.path != "/partitions" for d in change.diffs):
        return
    compacted = (
        " Compaction then keeps the old one as well." if "compact" in policies_of(value_after(change, POLICY)) else ""
    )
    readers = [reader.group for reader in _groups(facts)] + [f"sink connector {name}" for name in facts.sinks]
    said = f" Readers: {join_names(readers)}." if readers else ""
    yield make_risk(
        codes.K411,
        "keys move. Records of one primary key, written before and after, can land in different partitions."
        f"{compacted}{said}",
        facts,
    )


def _shrinks(change: Change, facts: Facts, now: int | None) -> Iterator[Risk]:
    for key in lowered_limits(change):
        if lost := _beyond(key, value_after(change, key), facts, now):
            yield make_risk(codes.K405, f"{lost}. {_describe_records(facts)}{_reading(facts)}", facts)


def _another_policy(change: Change, facts: Facts, now: int | None) -> Iterator[Risk]:
    gained = gained_policies(change)
    lost = ["compaction keeps only the last record of each key"] if "compact" in gained and facts.records != 0 else []
    if "delete" in gained and "compact" in policies_of(value_before(change, POLICY)):
        lost += list(_expiring(change, facts))
    elif "delete" in gained:
        lost += [said for key in LIMITS if (said := _beyond(key, value_after(change, key), facts, now))]
    if lost:
        yield make_risk(codes.K406, f"{', and '.join(lost)}. {_describe_records(facts)}{_reading(facts)}", facts)


def _expiring(change: Change, facts: Facts) -> Iterator[str]:
    """Yield what deletion does to a compacted topic: it holds state for ever, so the age of its records is
    no measure.
    """
    if facts.records == 0:
        return
    for key in LIMITS:
        limit = limit_of(key, value_after(change, key))
        if limit >= 0:
            said = catalog.human(key, f"{limit:.0f}") or f"{limit:.0f}"
            reach = f"older than {said}" if key == "retention.ms" else f"beyond {said} in a partition"
            yield f"a compacted topic keeps the last record of each key; records {reach} are deleted from now on"


def _beyond(key: str, value: str | None, facts: Facts, now: int | None) -> str:
    """Return what this limit deletes of what is stored; nothing where all is known to be within it."""
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
    return f"beyond {said or format_size(limit)} in a partition, the oldest records are deleted{unsure}"


def _less_safe(change: Change) -> Iterator[Risk]:
    for diff in change.diffs:
        if diff.path == "/replication_factor" and number_of(diff.after, 0) < number_of(diff.before, 0):
            yield make_risk(codes.K409, "fewer copies of each record")
        elif diff.key == "min.insync.replicas" and number_of(diff.before, 1) > number_of(diff.after, 1):
            yield make_risk(codes.K409, "writes are confirmed with fewer copies")
        elif diff.key == "unclean.leader.election.enable" and diff.after == "true":
            yield make_risk(codes.K409, "a replica that is behind may lead, and what it lacks is lost")


def _copies(change: Change) -> Iterator[Risk]:
    moved = reassignment_of(change)
    if moved is None or not any(map(moved.find_added, moved.after)):
        return
    content = "what they hold (how much is not known) is" if moved.bytes is None else f"{format_size(moved.bytes)} are"
    rate = "without a throttle, so reads and writes may slow down"
    if moved.throttle is not None:
        rate = f"throttled to {format_size(moved.throttle)}/s a broker"
    yield make_risk(codes.K430, f"{content} copied between brokers, {rate}")


def _no_spare_replica(change: Change) -> Iterator[Risk]:
    changed = {d.path for d in change.diffs} & {"/replication_factor", "/config/min.insync.replicas"}
    if not isinstance(change.after, Topic) or (change.action is Action.UPDATE and not changed):
        return
    insync, replicas = change.after.config.get("min.insync.replicas"), change.after.replication_factor
    if replicas < 1 and isinstance(change.before, Topic):
        replicas = change.before.replication_factor
    if insync and replicas > 1 and number_of(insync, 0) == replicas:
        yield make_risk(
            codes.K412,
            f"min.insync.replicas {insync} = replication factor: one broker away, and every write with acks=all fails",
        )


def _describe_records(facts: Facts) -> str:
    if facts.records is None:
        return f"How many records it holds is not known{_why(facts, 'records')}."
    if facts.records == 0:
        return "It holds no records."
    volume = "" if facts.bytes is None else f", {format_size(facts.bytes)}"
    return f"Up to {facts.records:,} record{'' if facts.records == 1 else 's'}{volume}."


def _reading(facts: Facts) -> str:
    """Return who reads the topic, in a sentence for groups and one for sink connectors."""
    if "readers" in facts.unknown:
        said = f" Who reads it is not known{_why(facts, 'readers')}."
    else:
        groups = [f"{r.group} ({'' if r.active else 'idle, '}lag {r.lag:,})" for r in _groups(facts)]
        said = f" {count(len(groups), 'group')} reading: {join_names(groups)}." if groups else ""
    lags = {reader.group: reader.lag for reader in facts.readers}
    sinks = [f"{s} (lag {lags[name_sink_group(s)]:,})" if name_sink_group(s) in lags else s for s in facts.sinks]
    return said + (f" {count(len(sinks), 'sink connector')} reading: {join_names(sinks)}." if sinks else "")


def _groups(facts: Facts) -> list[Reader]:
    """Return the groups that are not those of sink connectors."""
    own = {name_sink_group(sink) for sink in facts.sinks}
    return [reader for reader in facts.readers if reader.group not in own]


def _why(facts: Facts, name: str) -> str:
    return f" ({facts.unknown[name].rstrip('.')})" if facts.unknown.get(name) else ""


def finish(change: Change) -> Change:
    """Return the change; a topic that is deleted without K401 is deleted only while it is empty."""
    if change.action is not Action.DELETE or any(risk.code == codes.K401.number for risk in change.risks):
        return change
    return replace(change, options=replace(topic_options(change), if_empty=True))
