"""Render `kplan status`: its document (schemas/status.v1.json) as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kplan.inspect.status import ERROR
from kplan.kinds.base import Kind
from kplan.kinds.nouns import count_kind
from kplan.kinds.registry import KINDS
from kplan.kinds.statistics import read_creations
from kplan.text import count, join_names


def render_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the document as lines of text."""
    text = [f"{', '.join(document['stacks'])}: {document['status'].upper()}   {document['last_verification']}"]
    if document["status"] == ERROR:
        return [*text, f"  {document['cause']}"]
    for kind in KINDS.values():
        if part := document.get(kind.views.plural):
            render_part = _render_health if kind.views.has_health else _render_presence
            text += render_part(kind, part)
    return [*text, *_render_last_runs(document)]


def _render_presence(kind: Kind[Any], part: Mapping[str, Any]) -> Iterator[str]:
    """Yield how many resources are there, and those that are missing or not as declared."""
    yield (
        f"  {kind.views.plural:<10}  {len(part['existing'])} of {len(part['required'])} there, "
        f"{len(part['missing'])} missing, {len(part['misconfigured'])} misconfigured"
    )
    for name, numbers in part.get("principals", {}).items():
        more = f", {count(others, 'other')}" if (others := numbers["live"] - numbers["existing"]) else ""
        yield f"    {name}  {numbers['existing']} of {numbers['declared']} there{more}"
    for name, login in part.get("logins", {}).items():
        reason = f" ({login['reason']})" if "reason" in login else ""
        yield f"    {name}  login {login['result']}{reason}"
    yield from (f"    missing        {name}" for name in part["missing"])
    yield from (f"    misconfigured  {name}: {', '.join(part['differences'][name])}" for name in part["misconfigured"])


def _render_health(kind: Kind[Any], part: Mapping[str, Any]) -> Iterator[str]:
    """Yield how many resources are healthy, and how each of them runs."""
    yield f"  {kind.views.plural:<10}  {sum(1 for h in part.values() if h['healthy'])} of {len(part)} healthy"
    for name, health in sorted(part.items()):
        running = sum(1 for t in health["tasks"] if t["state"] == "RUNNING")
        declared = "" if health["state"].lower() == health["declared"] else f" (declared {health['declared']})"
        yield (
            f"    {name}  {health['state']}{declared}, {running} of "
            f"{len(health['tasks'])} tasks running{_describe_lag(health)}"
        )
        if health.get("cause"):
            yield f"      the {kind.name}: {health['cause']}"
        yield from (f"      task {t['id']} {t['state']}: {t['cause']}" for t in health["tasks"] if t["cause"])


def _render_last_runs(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each stack; of a single one with what it did."""
    runs = document["last_runs"]
    for name, run in runs.items():
        numbers = _describe_run(document["statistics"])
        summary = (f": {numbers}" if numbers else "") if len(runs) == 1 else f"  {name}"
        yield f"  last run    {run['run']}  {run['outcome']}{summary}"
        if run["error"]:
            yield f"    {run['error']}"


def _describe_run(numbers: Mapping[str, Any]) -> str:
    """Return in words what the last run created and sent again; empty for neither."""
    created, errors = read_creations(numbers)
    retries = int(numbers["retries"])
    parts = [
        f"{_count_by_kind(created)} created" if any(created.values()) else "",
        f"{_count_by_kind(errors)} not created" if any(errors.values()) else "",
        f"{count(retries, 'request')} sent again" if retries else "",
    ]
    return ", ".join(filter(None, parts))


def _count_by_kind(numbers: Mapping[str, int]) -> str:
    """Return the numbers in words: `2 topics and 1 connector`."""
    return join_names([count_kind(number, kind) for kind, number in numbers.items() if number])


def _describe_lag(connector: Mapping[str, Any]) -> str:
    lag = connector.get("lag") or {}
    if "records" in lag:
        return f", lag {lag['records']:,} records"
    return f", heartbeat {lag['heartbeat_age']} s ago" if "heartbeat_age" in lag else ""
