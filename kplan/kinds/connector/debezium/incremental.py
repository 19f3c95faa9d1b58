"""Incremental snapshots: the rows that a table had before its connector captured it, read because a signal asks for it.

Signals and notifications: https://debezium.io/documentation/reference/stable/configuration/signalling.html and
…/notification.html. The key of a signal in a topic is the connector's `topic.prefix`; what a signal leads to is told
under the signal's id.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence

from kplan.diagnostics import Diagnostic, codes, error
from kplan.kinds.connector.debezium.engine import SnapshotSignals
from kplan.kinds.connector.debezium.engines import TABLE_LISTS, engine_by_simple_name
from kplan.kinds.connector.tables import find_gained_entries, is_pattern, matches, split, unescape_name, wording
from kplan.model import Change, Connector, Resource
from kplan.values import dataclass

SCANNED = "TABLE_SCAN_COMPLETED"
GOOD = ("SUCCEEDED", "EMPTY", "")  # an older Debezium says no status


@dataclass(frozen=True, slots=True)
class Channel:
    """Where a connector hears signals, and where it tells what became of them."""

    signals: str
    key: str
    notifications: str


@dataclass(frozen=True, slots=True)
class Notification:
    """What a connector tells of a snapshot. `table` is set where one table was scanned."""

    id: str
    kind: str  # STARTED, IN_PROGRESS, TABLE_SCAN_COMPLETED, COMPLETED, ABORTED …
    table: str = ""
    status: str = ""
    rows: int | None = None


def new_tables(change: Change) -> tuple[str, ...]:
    """Return the entries (regular expressions) that an update adds to what is captured."""
    for diff in change.diffs:
        if diff.key in TABLE_LISTS and isinstance(diff.before, str) and isinstance(diff.after, str):
            return tuple(find_gained_entries(split(diff.before), split(diff.after)))
    return ()


def name_of(entry: str) -> str:
    """Return the tables that an entry of an include list stands for, as people write them."""
    return wording(entry)


def engine_snapshots(connector: Connector) -> SnapshotSignals | None:
    """Return how the connector's engine takes incremental snapshots; None where kplan does not know that."""
    engine = engine_by_simple_name(connector.java_class)
    return engine.incremental if engine is not None else None


def collections(connector: Connector, entries: Sequence[str], other: Resource | None) -> list[str]:
    """Return the `data-collections` of a signal to `connector`: of what `entries` stand for, what `other` does not
    capture.

    A relational connector matches each against the full names of the tables that it knows, upper and lower case being
    different, and takes it for such a name where none matches (AbstractIncrementalSnapshotChangeEventSource); one that
    knows few of them before it has read them takes only names.
    """
    snapshots = engine_snapshots(connector)
    names_only = snapshots is not None and not snapshots.takes_patterns
    listed, others = _find_table_entries(connector), _find_table_entries(other) if isinstance(other, Connector) else []
    catalog = _catalog(connector)
    found = []
    for entry in entries:
        name = unescape_name(entry)
        if not is_pattern(name):
            found.append(f"{catalog}.{name}" if catalog else name if names_only else entry)
            continue
        known = [each for each in others if is_pattern(unescape_name(each)) or matches(entry, unescape_name(each))]
        text = f"(?!(?:{'|'.join(known)})$)(?:{entry})" if known else entry
        text = text if entry in listed else f"(?=(?:{'|'.join(listed)})$){text}"
        found.append((re.escape(catalog) + r"\." if catalog else "") + f"(?i:{text})")
    return found


def _find_table_entries(connector: Connector) -> list[str]:
    values = [connector.config.get(key) for key in TABLE_LISTS]
    return [entry for value in values if isinstance(value, str) for entry in split(value)]


def _catalog(connector: Connector) -> str:
    """Return the first part of the tables' full names where include lists do not have it; "" where they do."""
    snapshots = engine_snapshots(connector)
    return snapshots.find_catalog(connector) if snapshots is not None and snapshots.find_catalog is not None else ""


def channel(connector: Connector) -> Channel | None:
    """Return where it listens and answers; None where the connector cannot be asked, or would not tell what became of
    it.
    """
    if obstacle(connector):
        return None
    config = connector.config
    key = str(config["topic.prefix"])
    return Channel(
        str(config.get("signal.kafka.topic") or f"{key}-signal"), key, str(config["notification.sink.topic.name"])
    )


def obstacle(connector: Connector) -> str:
    """Return why it cannot be asked for an incremental snapshot; empty where it can."""
    if missing := lacking(connector):
        return f"lacks {', '.join(missing)}"
    engine = engine_by_simple_name(connector.java_class)
    snapshots = engine.incremental if engine is not None else None
    if engine is None or snapshots is None:
        return f"is {connector.java_class or 'of no class'}, and kplan does not know how it names a table in a signal"
    if snapshots.find_catalog is not None and not _catalog(connector):
        return "does not say in plain words which database its tables are in, which a signal has to name"
    if "," in _catalog(connector):
        return f"has several databases ({_catalog(connector)}), and kplan does not know which of them a signal reaches"
    patterns = [entry for entry in _find_table_entries(connector) if is_pattern(unescape_name(entry))]
    if not snapshots.takes_patterns and patterns:
        return f"has patterns ({wording(patterns[0])}), and {engine.title}'s connector takes only names in a signal"
    return ""


def lacking(connector: Connector) -> list[str]:
    """Return what must be set so that an incremental snapshot can be asked for and followed."""
    config = connector.config

    def has_word(key: str, word: str) -> bool:
        return word in [each.strip() for each in str(config.get(key) or "").split(",")]

    wanted = {
        "topic.prefix": bool(config.get("topic.prefix")),
        "signal.enabled.channels: kafka": has_word("signal.enabled.channels", "kafka"),
        "signal.data.collection (or read.only: true)": bool(config.get("signal.data.collection"))
        or str(config.get("read.only")).lower() == "true",
        "notification.enabled.channels: sink": has_word("notification.enabled.channels", "sink"),
        "notification.sink.topic.name": bool(config.get("notification.sink.topic.name")),
    }
    return [name for name, there in wanted.items() if not there]


def problems(resources: Iterable[Resource]) -> list[Diagnostic]:
    """Return an error for each connector that is to read the rows of new tables and cannot be asked to."""
    return [
        error(
            codes.K239,
            "a connector cannot be asked for an incremental snapshot",
            f"{each.name} {why}",
            help="give it `signal: {topic: NAME, table: SCHEMA.TABLE}`, or leave `new_tables` out"
            if lacking(each)
            else "leave `new_tables` out",
            span=each.origin.span,
            address=each.address,
        )
        for each in resources
        if isinstance(each, Connector) and each.rules.new_tables == "incremental" and (why := obstacle(each))
    ]


def execute(id: str, collections: Sequence[str]) -> str:
    """Return the signal that begins a snapshot of these tables."""
    return json.dumps(
        {"id": id, "type": "execute-snapshot", "data": {"data-collections": list(collections), "type": "incremental"}}
    )


def stop(id: str, collections: Sequence[str]) -> str:
    """Return the signal that ends a snapshot of these tables; nothing happens where there is none."""
    return json.dumps(
        {"id": id, "type": "stop-snapshot", "data": {"data-collections": list(collections), "type": "incremental"}}
    )


def notification(value: bytes | None, ids: Sequence[str]) -> Notification | None:
    """Return what a record of the topic of notifications tells of one of the snapshots `ids`; None for all else.

    A converter that writes no JSON (Avro, Protobuf) keeps texts as they are, so they are looked for in the bytes.
    """
    if not value:
        return None
    try:
        data = json.loads(value)
    except ValueError:
        return _in_bytes(value, ids)
    data = data.get("payload", data) if isinstance(data, dict) else {}
    id_ = str(data.get("id") or "") if isinstance(data, dict) else ""
    if id_ not in ids:
        return None
    more = data.get("additional_data") or {}
    rows = str(more.get("total_rows_scanned") or "")
    table = str(more.get("scanned_collection") or more.get("current_collection_in_progress") or "")
    return Notification(id_, str(data.get("type") or ""), table, str(more.get("status") or ""),
                        int(rows) if rows.isdigit() else None)  # fmt: skip


def _in_bytes(value: bytes, ids: Sequence[str]) -> Notification | None:
    id_ = next((each for each in ids if each.encode() in value), None)
    if id_ is None:
        return None
    kinds = (SCANNED, "COMPLETED", "ABORTED", "STARTED")
    return Notification(id_, next((kind for kind in kinds if kind.encode() in value), "IN_PROGRESS"))
