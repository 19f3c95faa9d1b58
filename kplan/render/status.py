"""Render `kplan status`: its document (schemas/status.v1.json) as text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kplan.inspect.status import ERROR
from kplan.text import count


def render_lines(document: Mapping[str, Any]) -> list[str]:
    """Return the document as lines of text."""
    topics, connectors = document["topics"], document["connectors"]
    text = [f"{', '.join(document['stacks'])}: {document['status'].upper()}   {document['last_verification']}"]
    if document["status"] == ERROR:
        return [*text, f"  {document['cause']}"]
    text.append(f"  topics      {len(topics['existing'])} of {len(topics['required'])} there, "
                f"{len(topics['missing'])} missing, {len(topics['misconfigured'])} misconfigured")  # fmt: skip
    text += [f"    missing        {name}" for name in topics["missing"]]
    text += [f"    misconfigured  {name}: {', '.join(topics['differences'][name])}" for name in topics["misconfigured"]]
    healthy = sum(1 for c in connectors.values() if c["healthy"])
    if connectors:
        text.append(f"  connectors  {healthy} of {len(connectors)} healthy")
    for name, connector in sorted(connectors.items()):
        running = sum(1 for t in connector["tasks"] if t["state"] == "RUNNING")
        declared = "" if connector["state"].lower() == connector["declared"] else f" (declared {connector['declared']})"
        text.append(
            f"    {name}  {connector['state']}{declared}, {running} of "
            f"{len(connector['tasks'])} tasks running{_describe_lag(connector)}"
        )
        text += [f"      the connector: {connector['cause']}"] if connector.get("cause") else []
        text += [f"      task {t['id']} {t['state']}: {t['cause']}" for t in connector["tasks"] if t["cause"]]
    return [*text, *_render_last_runs(document)]


def _render_last_runs(document: Mapping[str, Any]) -> Iterator[str]:
    """Yield one line for each stack; of a single one with what it did."""
    runs = document["last_runs"]
    for name, run in runs.items():
        summary = f": {_describe_run(document['statistics'])}" if len(runs) == 1 else f"  {name}"
        yield f"  last run    {run['run']}  {run['outcome']}{summary}"
        if run["error"]:
            yield f"    {run['error']}"


def _describe_run(numbers: Mapping[str, int]) -> str:
    """Return in words what the last run did."""
    created, errors, retries = (numbers[key] for key in ("topics_created", "topic_creation_errors", "retries"))
    parts = [f"{count(created, 'topic')} created", f"{errors} not created" if errors else "",
            f"{count(retries, 'request')} sent again" if retries else ""]  # fmt: skip
    return ", ".join(filter(None, parts))


def _describe_lag(connector: Mapping[str, Any]) -> str:
    lag = connector.get("lag") or {}
    if "records" in lag:
        return f", lag {lag['records']:,} records"
    return f", heartbeat {lag['heartbeat_age']} s ago" if "heartbeat_age" in lag else ""
