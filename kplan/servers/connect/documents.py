"""Connectors as Connect's JSON and as kplan's values, from one to the other."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from typing import Any

from kplan.diagnostics import Rejected, codes
from kplan.model import Change, Config, Connector, Health, Secret, Task, conceal, frozen
from kplan.model.masks import Mask
from kplan.servers.connect.errors import condense


def listing(ask: Callable[[str, str], Any]) -> dict[str, Mapping[str, Any]]:
    """Info and status of every connector that has a status, by one request."""
    return dict(ask("GET", "/connectors?expand=info&expand=status") or {})


def connector_of(name: str, data: Mapping[str, Any], mask: Mask) -> Connector:
    """The live connector of one entry of `GET /connectors?expand=info&expand=status`."""
    info = data.get("info") or {}
    raw = {str(key): str(value) for key, value in (info.get("config") or {}).items() if key != "name"}
    config = {key: conceal(key, value) for key, value in raw.items()}
    mask.add_config(config)
    topics = raw.get("topics", "") if info.get("type") == "sink" else ""
    reads = tuple(topic.strip() for topic in topics.split(",") if topic.strip())
    return Connector(name, frozen(config), state_of(data), reads=reads)


def state_of(data: Mapping[str, Any]) -> str:
    """FAILED, UNASSIGNED and RESTARTING are how it is, not what it is meant to be: those are `running`."""
    state = str(((data.get("status") or {}).get("connector") or {}).get("state", "")).lower()
    return state if state in ("paused", "stopped") else "running"


def health_of(data: Mapping[str, Any], mask: Mask) -> Health:
    """Connector and tasks as the workers report them; UNASSIGNED where there is no report yet."""
    status = data.get("status") or {}
    own = status.get("connector") or {}
    tasks = tuple(_task(task, mask) for task in status.get("tasks") or ())
    trace = mask.mask(str(own.get("trace") or ""))
    return Health(str(own.get("state", "UNASSIGNED")), tasks, mask.mask(condense(own.get("trace"))), trace)


def _task(data: Mapping[str, Any], mask: Mask) -> Task:
    cause = mask.mask(condense(data.get("trace")))
    state, worker = str(data.get("state", "UNASSIGNED")), str(data.get("worker_id", ""))
    return Task(int(data.get("id", 0)), state, cause, worker, mask.mask(str(data.get("trace") or "")))


def literal(config: Config) -> dict[str, str]:
    """The config as Connect is to store it; Rejected is raised where the value of a secret is not known."""
    unknown = unknown_keys(config)
    if unknown:
        raise Rejected(f"the value of {', '.join(unknown)} is not known here", code=codes.K316,
                       help="set the variable that holds it, and run this again")  # fmt: skip
    return {key: value.value or "" if isinstance(value, Secret) else value for key, value in config.items()}


def unknown_keys(config: Config) -> list[str]:
    return sorted(key for key, value in config.items() if isinstance(value, Secret) and value.value is None)


def changed_keys(change: Change) -> frozenset[str]:
    """The keys of the config that this change sets, alters or removes."""
    # A secret without a value is changed where the plan says so: there was a digest or a value then.
    before, after = config_of(change.before), config_of(change.after)
    named = {diff.path.removeprefix("/config/") for diff in change.diffs if diff.path.startswith("/config/")}
    return frozenset(key for key in before.keys() | after.keys() if _differs(key, before, after, named))


def config_of(resource: object) -> Config:
    """The config of a connector; empty for what is none."""
    return resource.config if isinstance(resource, Connector) else {}


def _differs(key: str, before: Config, after: Config, named: Collection[str]) -> bool:
    old, new = before.get(key), after.get(key)
    if isinstance(old, Secret) and isinstance(new, Secret):
        same = old.same_as(new)
        return key in named if same is None else not same
    if isinstance(old, Secret) and old.value is not None and isinstance(new, str):
        return old.value != new
    if isinstance(new, Secret) and new.value is not None and isinstance(old, str):
        return new.value != old
    if (isinstance(old, str) and isinstance(new, str)) or old is None or new is None:
        return old != new
    return key in named


def completed(config: Config, live: Mapping[str, str], changed: Collection[str]) -> dict[str, str]:
    """`config` with the live values of the secrets that are unknown here and do not change."""
    known = {k: live[k] for k in unknown_keys(config) if k in live and k not in changed}
    return literal({**config, **known})
