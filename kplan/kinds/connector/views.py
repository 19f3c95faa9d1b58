"""Connectors in the views that only read."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from kplan.kinds.connector.sinks import group
from kplan.kinds.views import Flow, LiveResource, Views
from kplan.model import Address, Connector, Facts, Health, Live, Resource, Task, frozen
from kplan.model.codec import config_from_json, config_to_json
from kplan.model.fields import Json
from kplan.text import count


class ConnectorViews(Views[Connector]):
    """A connector moves records, and is well while it and its tasks run as declared."""

    plural = "connectors"
    is_in_every_document = True
    moves_records = True
    has_health = True
    attribute_noun = "setting"
    is_ready_when_there = False

    def describe_row(self, connector: Connector, health: Health | None) -> Json:
        tasks = health.tasks if health else ()
        return {
            "class": connector.config.get("connector.class"),
            "state": health.state if health else "UNKNOWN",
            "tasks": len(tasks),
            "tasks_running": sum(1 for task in tasks if task.state == "RUNNING"),
        }

    # -- status ---------------------------------------------------------------------------------------------------
    def find_watched_topics(self, connector: Connector) -> Iterable[str]:
        """Return what a sink reads, and the topic of heartbeats."""
        return (*connector.reads, *([connector.heartbeat] if connector.heartbeat else []))

    def is_to_run(self, connector: Connector) -> bool:
        return connector.state == "running"

    def describe_health(self, connector: Connector, live: Live, facts: Mapping[Address, Facts], now: int) -> Json:
        health = live.health.get(connector.address) or Health("MISSING")
        there = live.resources.get(connector.address)
        state = there.state if isinstance(there, Connector) else "missing"
        well = (
            state == connector.state and not health.failed and health.state not in ("FAILED", "UNASSIGNED", "MISSING")
        )
        if self.is_to_run(connector):
            well = well and bool(health.tasks) and all(task.state == "RUNNING" for task in health.tasks)
        described: Json = {
            "healthy": well,
            "state": health.state,
            "declared": connector.state,
            "tasks": [_encode_task(task) for task in health.tasks],
        }
        if health.cause:
            described["cause"] = health.cause
        return described | _describe_lag(connector, facts, now)

    # -- snapshot -------------------------------------------------------------------------------------------------
    def encode_live(self, connector: Connector, live: Live, encoded: Json) -> Json:
        health = live.health.get(connector.address)
        tasks = health.tasks if health else ()
        return {
            "config": config_to_json(connector.config),
            "state": health.state if health else connector.state.upper(),
            "cause": health.cause if health else "",
            "tasks": [_encode_task(task) for task in tasks],
            "reads": list(connector.reads),
        }

    def decode_live(self, name: str, fields: Mapping[str, Any], decode: Callable[[], Resource]) -> LiveResource:
        state = str(fields["state"])
        meant = state.lower() if state in ("PAUSED", "STOPPED") else "running"
        reads = tuple(map(str, fields.get("reads", ())))
        connector = Connector(name, frozen(config_from_json(fields["config"])), meant, reads=reads)
        health = Health(state, tuple(map(_decode_task, fields["tasks"])), str(fields.get("cause", "")))
        return LiveResource(connector, health)

    # -- a step of a plan -----------------------------------------------------------------------------------------
    def list_main_attributes(self, fields: Mapping[str, Any]) -> Sequence[tuple[str, Any]]:
        return [("class", fields.get("class")), ("state", fields.get("state"))]

    def summarize(self, fields: Mapping[str, Any]) -> str:
        settings = count(len(fields.get("config") or {}), "setting")
        return f"{str(fields.get('class')).rpartition('.')[2]}, {settings}"

    # -- lineage --------------------------------------------------------------------------------------------------
    def find_flows(self, address: str, fields: Mapping[str, Any]) -> Iterable[Flow]:
        from kplan.kinds.connector.flows import find_flows

        return find_flows(address, fields)

    def match_flows(self, address: str, fields: Mapping[str, Any], known: Collection[str]) -> Iterable[Flow]:
        from kplan.kinds.connector.flows import match_flows

        return match_flows(address, fields, known)


def _encode_task(task: Task) -> Json:
    return {"id": task.id, "state": task.state, "cause": task.cause, "worker": task.worker}


def _decode_task(fields: Mapping[str, Any]) -> Task:
    return Task(int(fields["id"]), str(fields["state"]), str(fields.get("cause", "")), str(fields.get("worker", "")))


def _describe_lag(connector: Connector, facts: Mapping[Address, Facts], now: int) -> Json:
    """Return how far behind it is: a sink by its group's records, a source by its last heartbeat's age in seconds."""
    lags = [r.lag for topic in connector.reads for r in _facts_of(topic, facts).readers if r.group == group(connector)]
    if lags:
        return {"lag": {"records": sum(lags)}}
    beat = _facts_of(connector.heartbeat, facts).last_write if connector.heartbeat else None
    return {"lag": {"heartbeat_age": max(0, round((now - beat) / 1000))}} if beat is not None else {}


def _facts_of(topic: str, facts: Mapping[Address, Facts]) -> Facts:
    return facts.get(Address("topic", topic), Facts())
