"""The text of `kplan status`: its document (schemas/status.v1.json) for people."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from kplan.inspect.status import ERROR
from kplan.text import count


def lines(found: Mapping[str, Any]) -> list[str]:
    """The document for people."""
    topics, connectors = found["topics"], found["connectors"]
    text = [f"{', '.join(found['stacks'])}: {found['status'].upper()}   {found['last_verification']}"]
    if found["status"] == ERROR:
        return [*text, f"  {found['cause']}"]
    text.append(f"  topics      {len(topics['existing'])} of {len(topics['required'])} there, "
                f"{len(topics['missing'])} missing, {len(topics['misconfigured'])} misconfigured")  # fmt: skip
    text += [f"    missing        {name}" for name in topics["missing"]]
    text += [f"    misconfigured  {name}: {', '.join(topics['differences'][name])}" for name in topics["misconfigured"]]
    well = sum(1 for c in connectors.values() if c["healthy"])
    if connectors:
        text.append(f"  connectors  {well} of {len(connectors)} healthy")
    for name, each in sorted(connectors.items()):
        running = sum(1 for t in each["tasks"] if t["state"] == "RUNNING")
        wanted = "" if each["state"].lower() == each["declared"] else f" (declared {each['declared']})"
        text.append(
            f"    {name}  {each['state']}{wanted}, {running} of {len(each['tasks'])} tasks running{_late(each)}"
        )
        text += [f"      the connector: {each['cause']}"] if each.get("cause") else []
        text += [f"      task {t['id']} {t['state']}: {t['cause']}" for t in each["tasks"] if t["cause"]]
    return [*text, *_last_run_lines(found)]


def _last_run_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """One line for each stack; of a single one with what it did."""
    runs = found["last_runs"]
    for name, run in runs.items():
        did = f": {_did(found['statistics'])}" if len(runs) == 1 else f"  {name}"
        yield f"  last run    {run['run']}  {run['outcome']}{did}"
        if run["error"]:
            yield f"    {run['error']}"


def _did(numbers: Mapping[str, int]) -> str:
    """What the last run did, in words."""
    made, errors, retries = (numbers[key] for key in ("topics_created", "topic_creation_errors", "retries"))
    said = [f"{count(made, 'topic')} created", f"{errors} not created" if errors else "",
            f"{count(retries, 'request')} sent again" if retries else ""]  # fmt: skip
    return ", ".join(filter(None, said))


def _late(each: Mapping[str, Any]) -> str:
    lag = each.get("lag") or {}
    if "records" in lag:
        return f", lag {lag['records']:,} records"
    return f", heartbeat {lag['heartbeat_age']} s ago" if "heartbeat_age" in lag else ""
