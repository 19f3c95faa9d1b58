"""Live state and the ledger as a document without secrets (`schemas/live.v1.json`), and back.

A plan can be made from it where no server may be asked: for a proposed change, without credentials.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from types import MappingProxyType
from typing import Any

from kplan.diagnostics import Diagnostic, Invalid, Severity, Stale, codes, error
from kplan.kinds.base import Kind
from kplan.kinds.codec import owned_from_json, owned_to_json, resource_from_json, resource_to_json
from kplan.kinds.comparison import Value
from kplan.kinds.connector.sensitivity import KNOWN_OF_ALL, literal
from kplan.kinds.registry import KINDS, comparison_of, find_unknown_kind, parse_address
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
    Text,
    frozen,
)
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
        **_resources_to_json(live),
        "hidden": sorted(map(str, live.hidden)),
        "ledger": {str(a): owned_to_json(owned) for a, owned in sorted(snapshot.ledger.items())},
    }


def _resources_to_json(live: Live) -> dict[str, dict[str, Any]]:
    """Return the live resources by their kind's noun and their name."""
    parts: dict[str, dict[str, Any]] = {}
    resources = sorted(live.resources.items())
    for kind in KINDS.values():
        own = {
            a.name: kind.views.encode_live(r, live, resource_to_json(r)) for a, r in resources if a.kind == kind.name
        }
        if own or kind.views.is_in_every_document:
            parts[kind.views.plural] = own
    return parts


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
    live = replace(_live_from_json(data, path), target=target, hidden=hidden)
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


def _live_from_json(data: Mapping[str, Any], path: str) -> Live:
    """Return the live resources, and what was read of them."""
    resources: dict[Address, Resource] = {}
    health: dict[Address, Health] = {}
    facts: dict[Address, Facts] = {}
    ids: dict[Address, str] = {}
    for kind in KINDS.values():
        for address, block in _blocks(data, kind, path):
            with _undamaged(path, address):
                found = kind.views.decode_live(address.name, block, partial(resource_from_json, address, block))
            resources[address] = found.resource
            health |= {address: found.health} if found.health else {}
            facts |= {address: found.facts} if found.facts else {}
            ids |= {address: found.id} if found.id else {}
    names = frozenset(address.name for address in resources if KINDS[address.kind].views.holds_records)
    return Live(resources=resources, names=names, health=health, facts=facts, ids=ids)


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


def _blocks(data: Mapping[str, Any], kind: Kind[Any], path: str) -> Iterator[tuple[Address, Mapping[str, Any]]]:
    key = kind.views.plural
    with _undamaged(path, f"`{key}`"):
        part = data[key] if kind.views.is_in_every_document else data.get(key, {})
        blocks = [(Address(kind.name, str(name)), block) for name, block in part.items()]
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
        elif KINDS[address.kind].holds_secrets:
            comparison = comparison_of(address)
            resources[address] = comparison.with_values(resource, dict.fromkeys(comparison.secrets(resource), Secret()))
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
    if owned is None or owned.applied is None or not KINDS[owned.address.kind].holds_secrets:
        return {}
    if not isinstance(owned.applied, Connector):
        comparison = comparison_of(owned.address)
        secrets = {path: Secret(value.ref) for path, value in comparison.secrets(owned.applied).items()}
        return {owned.address: replace(owned, applied=comparison.with_values(owned.applied, secrets))}
    config = {
        key: Secret(value.ref) if isinstance(value, Secret) else Secret() if key in keys and literal(value) else value
        for key, value in owned.applied.config.items()
    }
    return {owned.address: replace(owned, applied=replace(owned.applied, config=frozen(config)))}


# -- what a plan from it cannot know ----------------------------------------------------------------------------------
def uncompared(stack: Stack, live: Live) -> list[Diagnostic]:
    """A note that names the settings of which nobody can tell whether they are as declared."""
    secret = {a: r for a, r in stack.resources.items() if KINDS[a.kind].holds_secrets and a in live.resources}
    found = {a: keys for a, r in secret.items() if (keys := _unknown(r, live.resources[a]))}
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


def _unknown(declared: Resource, now: Resource) -> list[str]:
    """The settings that are a secret there, or here, and count as equal because one side is not known."""
    comparison = comparison_of(declared.address)
    here, there = comparison.attributes(declared), comparison.attributes(now)
    both = {path.removeprefix("/config/").removeprefix("/"): path for path in sorted(here.keys() & there.keys())}
    return [
        key
        for key, path in both.items()
        if key not in declared.rules.ignore and _not_comparable(here[path], there[path])
    ]


def _not_comparable(want: Value, have: Value) -> bool:
    bare = isinstance(have, Secret) and have.value is None and have.matches is None
    unset = isinstance(want, Secret) and want.value is None
    texts = [value if isinstance(value, str | Secret) else None for value in (want, have)]
    return (bare or unset) and equal(texts[0], texts[1])
