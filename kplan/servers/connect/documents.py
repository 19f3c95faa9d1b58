"""Conversion between connectors as Connect's JSON and as kplan's values."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from kplan.diagnostics import Rejected, codes
from kplan.model import Change, Config, Connector, Health, Secret, Task, conceal, frozen
from kplan.model.masks import Mask
from kplan.servers.connect.errors import condense


def list_connectors(send: Callable[[str, str], Any]) -> dict[str, Mapping[str, Any]]:
    """Return info and status of every connector that has a status, by one request."""
    return dict(send("GET", "/connectors?expand=info&expand=status") or {})


def connector_of(name: str, data: Mapping[str, Any], mask: Mask) -> Connector:
    """Return the live connector of one entry of `GET /connectors?expand=info&expand=status`."""
    info = data.get("info") or {}
    raw = {str(key): str(value) for key, value in (info.get("config") or {}).items() if key != "name"}
    config = {key: conceal(key, value) for key, value in raw.items()}
    mask.add_config(config)
    topics = raw.get("topics", "") if info.get("type") == "sink" else ""
    reads = tuple(topic.strip() for topic in topics.split(",") if topic.strip())
    return Connector(name, frozen(config), state_of(data), reads=reads)


def state_of(data: Mapping[str, Any]) -> str:
    """Return the declared state: FAILED, UNASSIGNED and RESTARTING connectors are meant to be `running`."""
    state = str(((data.get("status") or {}).get("connector") or {}).get("state", "")).lower()
    return state if state in ("paused", "stopped") else "running"


def health_of(data: Mapping[str, Any], mask: Mask) -> Health:
    """Return connector and tasks as the workers report them; UNASSIGNED where there is no report yet."""
    status = data.get("status") or {}
    own = status.get("connector") or {}
    tasks = tuple(_task_of(task, mask) for task in status.get("tasks") or ())
    trace = mask.mask(str(own.get("trace") or ""))
    return Health(str(own.get("state", "UNASSIGNED")), tasks, mask.mask(condense(own.get("trace"))), trace)


def _task_of(data: Mapping[str, Any], mask: Mask) -> Task:
    cause = mask.mask(condense(data.get("trace")))
    state, worker = str(data.get("state", "UNASSIGNED")), str(data.get("worker_id", ""))
    return Task(int(data.get("id", 0)), state, cause, worker, mask.mask(str(data.get("trace") or "")))


def to_literal(config: Config) -> dict[str, str]:
    """Return the config as Connect should store it. Raises Rejected where the value of a secret is unknown."""
    unknown = unknown_keys(config)
    if unknown:
        raise Rejected(f"the value of {', '.join(unknown)} is not known here", code=codes.K316,
                       help="set the variable that holds it, and run this again")  # fmt: skip
    return {key: value.value or "" if isinstance(value, Secret) else value for key, value in config.items()}


def unknown_keys(config: Config) -> list[str]:
    return sorted(key for key, value in config.items() if isinstance(value, Secret) and value.value is None)


def changed_keys(change: Change) -> frozenset[str]:
    """Return the keys of the config that this change sets, alters or removes."""
    # A secret without a value has changed where the plan says so: it had a digest or a value then.
    before, after = config_of(change.before), config_of(change.after)
    named = {diff.path.removeprefix("/config/") for diff in change.diffs if diff.path.startswith("/config/")}
    return frozenset(key for key in before.keys() | after.keys() if _differs(key, before, after, named))


def config_of(resource: object) -> Config:
    """Return the config of a connector; empty for any other resource."""
    return resource.config if isinstance(resource, Connector) else {}


def _differs(key: str, before: Config, after: Config, named_keys: Collection[str]) -> bool:
    old, new = before.get(key), after.get(key)
    if isinstance(old, Secret) and isinstance(new, Secret):
        is_same = old.same_as(new)
        return key in named_keys if is_same is None else not is_same
    if isinstance(old, Secret) and old.value is not None and isinstance(new, str):
        return old.value != new
    if isinstance(new, Secret) and new.value is not None and isinstance(old, str):
        return new.value != old
    if (isinstance(old, str) and isinstance(new, str)) or old is None or new is None:
        return old != new
    return key in named_keys


def complete_secrets(config: Config, live: Mapping[str, str], changed: Collection[str]) -> dict[str, str]:
    """Return `config` with the live values of the secrets that are unknown here and do not change."""
    live_values = {k: live[k] for k in unknown_keys(config) if k in live and k not in changed}
    return to_literal({**config, **live_values})
