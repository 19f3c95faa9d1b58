"""Live state and the ledger as a document without secrets (`schemas/live.v1.json`), and back.

A plan can be made from it where no server may be asked: for a proposed change, without credentials.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from types import MappingProxyType
from typing import Any

from kplan.diagnostics import Diagnostic, Invalid, Severity, Stale, codes, error
from kplan.kinds.codec import owned_from_json, owned_to_json, resource_from_json, resource_to_json
from kplan.kinds.connector.sensitivity import KNOWN_OF_ALL, literal
from kplan.kinds.registry import find_unknown_kind, parse_address
from kplan.model import (
    Address,
    Config,
    Connector,
    Facts,
    Health,
    Live,
    Owned,
    Resource,
    Secret,
    Stack,
    Target,
    Task,
    Text,
    Topic,
    frozen,
)
from kplan.model.codec import config_from_json, config_to_json, facts_from_json, facts_to_json
from kplan.model.comparison import equal
from kplan.version import __version__

FORMAT = "1.0"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
TELLING = 8  # a secret of so many characters inside another setting is no coincidence
AGAIN = "take it again with this kplan: kplan snapshot --out FILE"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What the servers and the ledger of environment `env` said at `taken_at` (UTC, ISO 8601).

    `unknown` are the ledger's records of kinds that this kplan does not know: the stack that owns each address.
    """

    env: str
    taken_at: str
    live: Live = Live()
    ledger: Mapping[Address, Owned] = field(default_factory=dict)
    kplan_version: str = __version__
    unknown: Mapping[str, str] = field(default_factory=dict)


# -- the document -----------------------------------------------------------------------------------------------------
def to_json(snapshot: Snapshot) -> dict[str, Any]:
    """The document; its names are sorted, and of a secret it holds no more than that there is one."""
    live, target = snapshot.live, snapshot.live.target
    resources = sorted(live.resources.items())
    return {
        "format_version": FORMAT,
        "kplan_version": snapshot.kplan_version,
        "taken_at": snapshot.taken_at,
        "env": snapshot.env,
        "cluster_id": target.cluster_id,
        "bootstrap": target.bootstrap,
        "brokers": target.brokers,
        "connect_url": target.connect_url,
        "connect_version": target.connect_version,
        "simulated": target.simulated,
        "topics": {a.name: _topic_to_json(r, live) for a, r in resources if isinstance(r, Topic)},
        "connectors": {
            a.name: _connector_to_json(r, live.health.get(a)) for a, r in resources if isinstance(r, Connector)
        },
        "hidden": sorted(map(str, live.hidden)),
        "ledger": {str(a): owned_to_json(owned) for a, owned in sorted(snapshot.ledger.items())},
    }


def _topic_to_json(topic: Topic, live: Live) -> dict[str, Any]:
    """Return the topic, its id and its facts where they were read; which sinks read it, the connectors say."""
    known = facts_to_json(live.facts.get(topic.address)) or {}
    topic_id = live.ids.get(topic.address)
    return {
        **resource_to_json(topic),
        **({"topic_id": topic_id} if topic_id else {}),
        **{key: value for key, value in known.items() if key != "sinks"},
    }


def _connector_to_json(connector: Connector, health: Health | None) -> dict[str, Any]:
    tasks = health.tasks if health else ()
    return {
        "config": config_to_json(connector.config),
        "state": health.state if health else connector.state.upper(),
        "cause": health.cause if health else "",
        "tasks": [{"id": t.id, "state": t.state, "cause": t.cause, "worker": t.worker} for t in tasks],
        "reads": list(connector.reads),
    }


def from_json(data: Any, path: str = "") -> Snapshot:
    """The snapshot that a document describes. Raises Invalid where it is none or damaged, Stale where it is newer."""
    if not isinstance(data, Mapping) or "taken_at" not in data or "topics" not in data:
        raise unreadable(path, "it has neither `taken_at` nor `topics`")
    version = str(data.get("format_version", ""))
    if version.split(".")[0] != FORMAT.split(".")[0]:
        raise Stale(
            f"{path}: it has format {version or 'none'}, this kplan reads {FORMAT}", code=codes.K608, help=AGAIN
        )
    with _undamaged(path, "its head"):
        target, taken_at = _target(data), str(data["taken_at"])
        env, version = str(data["env"]), str(data.get("kplan_version", ""))
        hidden = frozenset(parse_address(text) for text in data.get("hidden", ()) if not find_unknown_kind(text))
        if not TIME.match(taken_at):
            raise ValueError(f"{taken_at!r} is no time")
    topics, facts, ids = _topics(data, path)
    connectors, health = _connectors(data, path)
    names = frozenset(a.name for a in topics)
    live = Live(target, {**topics, **connectors}, names, hidden, health, facts, ids=ids)
    ledger, unknown = _ledger(data, path)
    return Snapshot(env, taken_at, live, ledger, version, unknown)


def refuse_other(snapshot: Snapshot, env: str) -> None:
    """Raises Stale where the snapshot is not of this environment."""
    if snapshot.env != env:
        raise Stale(
            f"the snapshot is of environment {snapshot.env}, and the plan is to be for {env}",
            code=codes.K609,
            help=f"plan with --env {snapshot.env}, or take a snapshot of {env}",
        )


def unreadable(path: str, reason: str) -> Invalid:
    """The error for a file that is no snapshot."""
    return Invalid([error(codes.K607, "this is no snapshot of a cluster", f"{path}: {reason}", help=AGAIN)])


@contextmanager
def _undamaged(path: str, what: object) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        missing = f"there is no {e}" if isinstance(e, KeyError) else str(e)
        raise unreadable(path, f"{what} is damaged: {missing}") from e


def _target(data: Mapping[str, Any]) -> Target:
    if isinstance(data["brokers"], bool) or not isinstance(data["brokers"], int):
        raise ValueError("`brokers` is no number")
    texts = {key: data[key] for key in ("cluster_id", "connect_version")}
    texts |= {key: data.get(key, "") for key in ("bootstrap", "connect_url", "simulated")}
    if wrong := [key for key, value in texts.items() if not isinstance(value, str)]:
        raise ValueError(f"`{wrong[0]}` is no text")
    return Target(brokers=data["brokers"], snapshot=str(data["taken_at"]), **texts)


def _topics(
    data: Mapping[str, Any], path: str
) -> tuple[dict[Address, Resource], dict[Address, Facts], dict[Address, str]]:
    """Return the topics, what was read of them, and their ids: an older snapshot has none."""
    topics: dict[Address, Resource] = {}
    facts: dict[Address, Facts] = {}
    ids: dict[Address, str] = {}
    for address, block in _blocks(data, "topics", "topic", path):
        with _undamaged(path, address):
            topics[address] = resource_from_json(address, block)
            known = facts_from_json(block) if "records" in block else None
            facts |= {address: known} if known else {}
            ids |= {address: _topic_id(block["topic_id"])} if "topic_id" in block else {}
    return topics, facts, ids


def _topic_id(value: object) -> str:
    if not isinstance(value, str):
        raise ValueError("`topic_id` is not text")
    return value


def _connectors(data: Mapping[str, Any], path: str) -> tuple[dict[Address, Resource], dict[Address, Health]]:
    connectors: dict[Address, Resource] = {}
    health: dict[Address, Health] = {}
    for address, block in _blocks(data, "connectors", "connector", path):
        with _undamaged(path, address):
            state = str(block["state"])
            meant = state.lower() if state in ("PAUSED", "STOPPED") else "running"
            reads = tuple(map(str, block.get("reads", ())))
            connectors[address] = Connector(address.name, frozen(config_from_json(block["config"])), meant, reads=reads)
            health[address] = Health(state, tuple(map(_task, block["tasks"])), str(block.get("cause", "")))
    return connectors, health


def _task(data: Mapping[str, Any]) -> Task:
    return Task(int(data["id"]), str(data["state"]), str(data.get("cause", "")), str(data.get("worker", "")))


def _ledger(data: Mapping[str, Any], path: str) -> tuple[Mapping[Address, Owned], Mapping[str, str]]:
    """Return the records by address, and the stacks of those of unknown kinds."""
    ledger, unknown = {}, {}
    with _undamaged(path, "its ledger"):
        for name, record in data["ledger"].items():
            if find_unknown_kind(name):
                unknown[name] = str(record["stack"])
            else:
                ledger[parse_address(name)] = owned_from_json(parse_address(name), record)
    return ledger, unknown


def _blocks(data: Mapping[str, Any], key: str, kind: str, path: str) -> Iterator[tuple[Address, Mapping[str, Any]]]:
    with _undamaged(path, f"`{key}`"):
        blocks = [(Address(kind, str(name)), block) for name, block in data[key].items()]
    for address, block in blocks:
        if not isinstance(block, Mapping):
            raise unreadable(path, f"{address} is damaged")
        yield address, block


# -- what is left out -------------------------------------------------------------------------------------------------
def without_secrets(
    snapshot: Snapshot,
    passwords: Mapping[Address, Collection[str]],
    declared: Mapping[Address, Collection[str]] = MappingProxyType({}),
) -> Snapshot:
    """The snapshot with a bare Secret for each value that is or may be one.

    `passwords` are the settings that each connector's plugin declares as passwords; of a connector that is not among
    them only what the ledger shows plainly is kept. `declared` are the settings that stacks fill from sensitive
    variables.
    """
    live, ledger = snapshot.live, dict(snapshot.ledger)
    resources = dict(live.resources)
    for address, resource in live.resources.items():
        if isinstance(resource, Connector):
            applied = _applied(ledger.get(address))
            keys = _secret_keys(resource, applied, passwords.get(address), declared.get(address, ()))
            resources[address] = replace(resource, config=_bare(resource.config, keys))
            ledger |= _record_without(ledger.get(address), keys)
    ledger |= {a: r for owned in ledger.values() for a, r in _record_without(owned, ()).items()}
    return replace(snapshot, live=replace(live, resources=resources), ledger=ledger)


def _applied(owned: Owned | None) -> Config:
    return owned.applied.config if owned and isinstance(owned.applied, Connector) else {}


def _secret_keys(
    connector: Connector, applied: Config, passwords: Collection[str] | None, declared: Collection[str]
) -> set[str]:
    """The settings whose values are not written down; what only refers to a secret on the worker may be."""
    config = connector.config
    keys = {*declared, *(passwords or ()), *(k for k, v in [*config.items(), *applied.items()] if _is_secret(v))}
    if passwords is None:
        keys |= {k for k, v in config.items() if k not in KNOWN_OF_ALL and applied.get(k) != v}
    keys = {key for key in keys if literal(config.get(key)) or _is_secret(config.get(key))}
    values = [v for key in keys if len(v := _value(config[key])) >= TELLING]
    return keys | {key for key, value in config.items() if any(v in _value(value) for v in values)}


def _is_secret(value: object) -> bool:
    return isinstance(value, Secret)


def _value(text: Text | None) -> str:
    return (text.value or "" if isinstance(text, Secret) else text) or ""


def _bare(config: Config, keys: Collection[str]) -> Config:
    return frozen({key: Secret() if key in keys else value for key, value in config.items()})


def _record_without(owned: Owned | None, keys: Collection[str]) -> dict[Address, Owned]:
    """The ledger's record with no more of its secrets than which variable gives them."""
    if owned is None or not isinstance(owned.applied, Connector):
        return {}
    config = {
        key: Secret(value.ref) if isinstance(value, Secret) else Secret() if key in keys and literal(value) else value
        for key, value in owned.applied.config.items()
    }
    return {owned.address: replace(owned, applied=replace(owned.applied, config=frozen(config)))}


# -- what a plan from it cannot know ----------------------------------------------------------------------------------
def uncompared(stack: Stack, live: Live) -> list[Diagnostic]:
    """A note that names the settings of which nobody can tell whether they are as declared."""
    found = {a: _unknown(r, live.resources.get(a)) for a, r in stack.resources.items() if isinstance(r, Connector)}
    found = {address: keys for address, keys in found.items() if keys}
    if not found:
        return []
    first = next(iter(found))
    more = f" and {len(found) - 1} more" if len(found) > 1 else ""
    return [
        Diagnostic(
            codes.K610.number,
            Severity.NOTE,
            "secrets are not compared with a snapshot",
            f"{', '.join(found[first])} of {first}{more}: a new value alone makes no step",
            "to have them compared, plan with the servers",
            stack.resources[first].origin.span,
            str(first),
        )
    ]


def _unknown(declared: Connector, now: Resource | None) -> list[str]:
    """The settings that are a secret there, or here, and count as equal because one side is not known."""
    if not isinstance(now, Connector):
        return []
    both = sorted((declared.config.keys() & now.config.keys()) - declared.rules.ignore)
    return [key for key in both if _not_comparable(declared.config[key], now.config[key])]


def _not_comparable(want: Text, have: Text) -> bool:
    bare = isinstance(have, Secret) and have.value is None and have.matches is None
    unset = isinstance(want, Secret) and want.value is None
    return (bare or unset) and equal(want, have)
