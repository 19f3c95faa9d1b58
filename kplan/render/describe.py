"""Render all that is known of one resource."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kplan.render.forecast import describe_storage
from kplan.render.history import SIGNS
from kplan.render.wording import format_bytes, format_value
from kplan.text import count

Json = Mapping[str, Any]
Section = tuple[str, list[str]]


def render_description(document: Json) -> Iterator[Section]:
    """Yield each part that is known with its title, and its lines."""
    yield "", list(_describe_state(document))
    yield "settings", list(_list_settings(document))
    yield "inherited", list(_list_inherited(document["inherited"]))
    if health := document["health"]:
        yield "health", list(_list_health(health))
    if facts := document["facts"]:
        yield "records", [*_list_facts(facts), *_list_storage(document["storage"])]
        yield "readers", list(_list_readers(facts))
    yield "fed by", list(document["fed_by"])
    yield "feeds", list(document["feeds"])
    yield "about it", [_describe_row(row) for row in document["related"]]
    yield "last changes", [_describe_change(change) for change in document["changes"]]
    yield "not known", list(document["unread"])


def _describe_state(document: Json) -> Iterator[str]:
    stack, place = document["stack"], document["declared_at"]
    if place:
        yield f"declared in {place}, stack {stack}"
    elif stack:
        yield f"owned by stack {stack}, which does not declare it here"
    else:
        yield "no stack declares or owns it"
    labels = [f"{key}={value}" for key, value in document["labels"].items()]
    team = [f"team {document['team']}"] if document["team"] else []
    yield from filter(None, (document["description"], ", ".join([*team, *labels])))
    if not document["is_live"]:
        yield "it is not there"
    elif place and not document["is_owned"]:
        yield "it is there, and no stack has applied it"


def _list_settings(document: Json) -> Iterator[str]:
    for row in document["settings"]:
        key = row["path"].removeprefix("/").removeprefix("config/")
        live, declared = row["live"], row["declared"]
        value = _format(key, live if document["is_live"] else declared)
        origin = ", ".join(part for part in (row["source"], row["at"]) if part)
        if declared is None:
            note = "not declared"
        elif not row["differs"]:
            note = origin
        else:
            note = f"declared {_format(key, declared)} ({origin})" if origin else f"declared {_format(key, declared)}"
        yield f"{key:<32} {value:<28} {note}".rstrip()


def _list_inherited(inherited: Sequence[Json]) -> Iterator[str]:
    """Yield what brokers set, and how much has Kafka's own defaults."""
    own = [row for row in inherited if row["from"] == "broker"]
    yield from (f"{row['key']:<32} {format_value(row['key'], row['value']):<28} set on the broker" for row in own)
    if others := len(inherited) - len(own):
        yield f"{count(others, 'setting')} with Kafka's own default (--format json lists them)"


def _format(key: str, value: Any) -> str:
    return "-" if value is None else format_value(key, value)


def _list_health(health: Json) -> Iterator[str]:
    yield f"{health['state']}{'  ' + health['cause'] if health['cause'] else ''}"
    yield from _indent(health["trace"])
    for task in health["tasks"]:
        yield f"task {task['id']}  {task['state']} on {task['worker']}{'  ' + task['cause'] if task['cause'] else ''}"
        yield from _indent(task["trace"])


def _indent(trace: str) -> list[str]:
    return [f"    {line}" for line in trace.splitlines()]


def _list_facts(facts: Json) -> Iterator[str]:
    unknown = facts["unknown"]
    for key in ("records", "bytes", "first_write", "last_write"):
        value = facts[key]
        if value is None and key not in unknown:
            continue
        if value is None:
            text = f"not known: {unknown[key]}"
        elif key == "bytes":
            text = f"{format_bytes(value)} in one replica of each partition"
        else:
            text = f"{value:,}" if key == "records" else _format_time(value)
        yield f"{key.replace('_', ' '):<32} {text}"


def _list_storage(storage: Json | None) -> Iterator[str]:
    if storage is not None:
        yield f"{'on all brokers':<32} {describe_storage(storage)}"


def _list_readers(facts: Json) -> Iterator[str]:
    for reader in facts["readers"]:
        activity = "" if reader["active"] else ", has no members now"
        yield f"{reader['group']:<32} {reader['lag']:,} behind{activity}"
    if why := facts["unknown"].get("readers"):
        yield f"not known: {why}"


def _format_time(milliseconds: int) -> str:
    from datetime import UTC, datetime

    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}"


def _describe_row(row: Json) -> str:
    details = ", ".join(f"{key} {value}" for key, value in row.items() if key not in ("address", "stack"))
    return f"{row['address']}  {details}{'  stack ' + row['stack'] if row['stack'] else ''}"


def _describe_change(change: Json) -> str:
    paths = [path.removeprefix("/config/").removeprefix("/") for path in change["paths"]]
    shown = f"{', '.join(paths[:3])} and {len(paths) - 3} more" if len(paths) > 3 else ", ".join(paths)
    author = " ".join(filter(None, (change.get("actor") or change.get("who"), change.get("request"))))
    sign = SIGNS.get(change["action"], " ")
    return f"{change['at'].removesuffix('Z').replace('T', ' ')}  {sign:<3} {shown:<28} {author}".rstrip()
