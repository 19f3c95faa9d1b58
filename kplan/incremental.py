"""Incremental snapshots: the rows that a table had before its connector captured it, read because a signal asks for it.

Signals and notifications: https://debezium.io/documentation/reference/stable/configuration/signalling.html and
…/notification.html. The key of a signal in a topic is the connector's `topic.prefix`; what a signal leads to is told
under the signal's id.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from kplan.diagnostics import Diagnostic, error
from kplan.model import Change, Connector, Resource

LISTS = ("table.include.list", "collection.include.list")
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
    """The entries (regular expressions, as the list has them) that an update adds to what is captured."""
    for diff in change.diffs:
        if diff.key in LISTS and isinstance(diff.before, str) and isinstance(diff.after, str):
            before = set(_entries(diff.before))
            return tuple(entry for entry in _entries(diff.after) if entry not in before)
    return ()


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",") if entry.strip()]


def name_of(entry: str) -> str:
    """The table that an entry of an include list names, as people write it."""
    return entry.replace("\\", "")


def channel(connector: Connector) -> Channel | None:
    """None where the connector cannot be asked, or would not tell what became of it."""
    if lacking(connector):
        return None
    config = connector.config
    key = str(config["topic.prefix"])
    return Channel(
        str(config.get("signal.kafka.topic") or f"{key}-signal"), key, str(config["notification.sink.topic.name"])
    )


def lacking(connector: Connector) -> list[str]:
    """What must be set so that an incremental snapshot can be asked for and followed."""
    config = connector.config

    def listed(key: str, word: str) -> bool:
        return word in [each.strip() for each in str(config.get(key) or "").split(",")]

    wanted = {
        "topic.prefix": bool(config.get("topic.prefix")),
        "signal.enabled.channels: kafka": listed("signal.enabled.channels", "kafka"),
        "signal.data.collection (or read.only: true)": bool(config.get("signal.data.collection"))
        or str(config.get("read.only")).lower() == "true",
        "notification.enabled.channels: sink": listed("notification.enabled.channels", "sink"),
        "notification.sink.topic.name": bool(config.get("notification.sink.topic.name")),
    }
    return [name for name, there in wanted.items() if not there]


def problems(resources: Iterable[Resource]) -> list[Diagnostic]:
    """An error for each connector that is to read the rows of new tables and cannot be asked to."""
    return [
        error(
            "K239",
            "a connector cannot be asked for an incremental snapshot",
            f"{each.name} lacks {', '.join(missing)}",
            help="give it `signal: {topic: NAME, table: SCHEMA.TABLE}`, or leave `new_tables` out",
            span=each.origin.span,
            address=each.address,
        )
        for each in resources
        if isinstance(each, Connector) and each.rules.new_tables == "incremental" and (missing := lacking(each))
    ]


def execute(id: str, entries: Sequence[str]) -> str:
    """The signal that begins a snapshot of the tables that match `entries`."""
    return json.dumps(
        {"id": id, "type": "execute-snapshot", "data": {"data-collections": list(entries), "type": "incremental"}}
    )


def stop(id: str, entries: Sequence[str]) -> str:
    """The signal that ends a snapshot of these tables; nothing happens where there is none."""
    return json.dumps(
        {"id": id, "type": "stop-snapshot", "data": {"data-collections": list(entries), "type": "incremental"}}
    )


def notification(value: bytes | None, ids: Sequence[str]) -> Notification | None:
    """What a record of the topic of notifications tells of one of the snapshots `ids`; None for all else.

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
