"""Render the comparison of two environments: what differs, its values in both, and why."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from kplan.render.wording import format_value
from kplan.text import count, join_names, truncate

Json = Mapping[str, Any]
MAX_KEY_WIDTH: Final = 32
MAX_LINE_VALUES: Final = 28  # characters of each value beside the other; longer ones have lines of their own
CAUSES: Final[Mapping[str, str]] = {
    "defaults": "defaults of the environments",
    "overrides": "an override",
    "connect": "the environments' Connect clusters",
    "schema_registry": "the environments' schema registries",
    "var-file": "--var-file",
    "process": "the process's environment variables",
    "environment": "the environment itself, such as its name or servers",
}


def render_diff(document: Json, width: int) -> Iterator[str]:
    """Yield the lines of the comparison, at most `width` columns; resources that differ alike are one block."""
    for line in _list_lines(document):
        indent = " " * (len(line) - len(line.lstrip()) + 2)
        yield from textwrap.wrap(line, width, subsequent_indent=indent, drop_whitespace=True) or [""]


def _list_lines(document: Json) -> Iterator[str]:
    one, other = document["environments"]
    yield _summarize(document)
    if "live" not in document:
        yield "No server was asked: --read-live compares what is live as well."
    for resources in _group_alike(document["resources"], one, other):
        yield ""
        yield from _describe_resources(resources, one, other)
    if document["uncompared_secrets"]:
        yield ""
        yield _note_uncompared(document["uncompared_secrets"])
    for name, rows in document.get("live", {}).items():
        yield ""
        yield from _describe_live(name, rows)


def _summarize(document: Json) -> str:
    one, other = document["environments"]
    differing, same = len(document["resources"]), document["same"]
    if not differing:
        return f"{one} and {other} declare the same: {count(same, 'resource')}."
    verb = "differs" if differing == 1 else "differ"
    return f"{one} and {other}: {count(differing, 'resource')} {verb}, {same} are the same."


def _group_alike(resources: Sequence[Json], one: str, other: str) -> list[list[Json]]:
    """Return the resources that differ alike together, in the order of the first of each group."""
    groups: dict[str, list[Json]] = {}
    for resource in resources:
        addresses = resource["addresses"]
        is_renamed = None not in addresses.values() and addresses[one] != addresses[other]
        present = [name for name, address in addresses.items() if address]
        own = resource["addresses"] if is_renamed else [_find_kind(resource), present]
        key = json.dumps([own, resource["causes"], resource["settings"]], sort_keys=True)
        groups.setdefault(key, []).append(resource)
    return list(groups.values())


def _find_kind(resource: Json) -> str:
    return _name(resource).partition("/")[0]


def _name(resource: Json) -> str:
    return next(str(address) for address in resource["addresses"].values() if address)


def _describe_resources(resources: Sequence[Json], one: str, other: str) -> Iterator[str]:
    first = resources[0]
    present = [name for name, address in first["addresses"].items() if address]
    title = join_names([_name(resource) for resource in resources], 3)
    place = first["declared_at"] if len(resources) == 1 else ""
    if len(present) == 1:
        title += f" only in {present[0]}"
    elif first["addresses"][one] != first["addresses"][other]:
        title += f" is {first['addresses'][other]} in {other}"
    yield f"{title}  {place}".rstrip()
    if first["causes"]:
        yield f"    because of {_describe_causes(first['causes'])}"
    width = min(MAX_KEY_WIDTH, max((len(_key(row["path"])) for row in first["settings"]), default=0))
    for row in first["settings"]:
        key = _key(row["path"])
        values = [_format(key, row["values"][name]) for name in (one, other)]
        if all(len(value) <= MAX_LINE_VALUES for value in values):
            yield f"  {key:<{width}}  {one}: {values[0]}, {other}: {values[1]}"
        else:
            yield f"  {key}"
            yield from (f"    {name}: {value}" for name, value in zip((one, other), values, strict=True))
        yield f"    because of {_describe_causes(row['causes'])}"


def _key(path: str) -> str:
    return path.removeprefix("/").removeprefix("config/")


def _format(key: str, value: Any) -> str:
    if key in ("partitions", "replication_factor") and value == -1:
        return "the broker's default"
    return "not set" if value is None else format_value(key, value)


def _describe_causes(causes: Sequence[Json]) -> str:
    return " and ".join(_describe_cause(cause) for cause in causes)


def _describe_cause(cause: Json) -> str:
    words = f"variable {cause['name']}" if cause["kind"] == "variable" else CAUSES.get(cause["kind"], cause["kind"])
    places = [f"{place} ({name})" for name, place in cause["at"].items() if place]
    return f"{words}, {', '.join(places)}" if places else words


def _note_uncompared(secrets: Sequence[Json]) -> str:
    names = [f"{row['address']} {_key(row['path'])}" for row in secrets]
    return f"{count(len(names), 'secret')} not compared, because the values are not known here: {join_names(names, 3)}"


def _describe_live(name: str, rows: Sequence[Json]) -> Iterator[str]:
    """Yield what is live in an environment otherwise than it is declared there."""
    if not rows:
        yield f"live in {name}: all as declared"
        return
    yield f"live in {name}: {count(len(rows), 'resource')} not as declared"
    for row in rows:
        if not row["is_there"]:
            yield f"  {row['address']}  it is not there"
        elif not row["is_declared"]:
            yield f"  {row['address']}  it is there, and no longer declared"
        else:
            settings = [_describe_live_setting(setting) for setting in row["settings"]]
            yield f"  {row['address']}  {join_names(settings, 4)}"


def _describe_live_setting(setting: Json) -> str:
    key = _key(setting["path"])
    live, declared = (truncate(_format(key, setting[side]), MAX_LINE_VALUES) for side in ("live", "declared"))
    return f"{key} {live}, declared {declared}"
