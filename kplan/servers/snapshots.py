"""Live state and the ledger as a document without secrets (`schemas/live.v1.json`), and back.

A plan can be made from it without servers: for a proposed change, without credentials.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import field, replace
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
from kplan.model.codec import connects_from_json, connects_to_json
from kplan.model.comparison import equal
from kplan.values import dataclass
from kplan.version import __version__

FORMAT = "1.1"
TIME = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ\Z")
MIN_SECRET_LENGTH = 8  # a secret this long inside another setting is not a coincidence
REMEDY = "take it again with this kplan: kplan snapshot --out FILE"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of the servers and the ledger of environment `env` at `taken_at` (UTC, ISO 8601).

    `unknown` are the ledger's records of kinds that this kplan does not know: the stack that owns each address.
    `kinds` are those that were read; None: those of every plan, and those that `live` has resources of.
    """

    env: str
    taken_at: str
    live: Live = Live()
    ledger: Mapping[Address, Owned] = field(default_factory=dict)
    kplan_version: str = __version__
    unknown: Mapping[str, str] = field(default_factory=dict)
    kinds: frozenset[str] | None = field(default=None, compare=False)

    def has_read(self, kind: str) -> bool:
        """Whether the live resources of this kind are known, were there any or not."""
        if KINDS[kind].is_in_every_plan or (self.kinds is not None and kind in self.kinds):
            return True
        return self.kinds is None and any(address.kind == kind for address in self.live.resources)


# -- the document -----------------------------------------------------------------------------------------------------
def to_json(snapshot: Snapshot) -> dict[str, Any]:
    """Return the document; its names are sorted, and of a secret it only shows that there is one."""
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
        **({"connects": connects_to_json(target)} if target.connects else {}),
        "simulated": target.simulated,
        **_resources_to_json(snapshot),
        "hidden": sorted(map(str, live.hidden)),
        "ledger": {str(a): owned_to_json(owned) for a, owned in sorted(snapshot.ledger.items())},
    }


def _resources_to_json(snapshot: Snapshot) -> dict[str, dict[str, Any]]:
    """Return the live resources by their kind's key and their name; a kind that was not read has no key."""
    live = snapshot.live
    parts: dict[str, dict[str, Any]] = {}
    resources = sorted(live.resources.items())
    for kind in KINDS.values():
        own = {
            a.name: kind.views.encode_live(r, live, resource_to_json(r)) for a, r in resources if a.kind == kind.name
        }
        if snapshot.has_read(kind.name) or kind.views.is_in_every_document:
            parts[kind.views.snapshot_key or kind.views.plural] = own
    return parts


def from_json(data: Any, path: str = "") -> Snapshot:
    """Return the snapshot of a document. Raises Invalid where it is not one or damaged, Stale where it is newer."""
    if not isinstance(data, Mapping) or "taken_at" not in data or "topics" not in data:
        raise unreadable_error(path, "it has neither `taken_at` nor `topics`")
    version = str(data.get("format_version", ""))
    if version.split(".")[0] != FORMAT.split(".")[0]:
        raise Stale(
            f"{path}: it has format {version or 'none'}, this kplan reads {FORMAT}", code=codes.K608, help=REMEDY
        )
    with _report_damage(path, "its head"):
        target, taken_at = _parse_target(data), str(data["taken_at"])
        env, version = str(data["env"]), str(data.get("kplan_version", ""))
        hidden = frozenset(parse_address(text) for text in data.get("hidden", ()) if not find_unknown_kind(text))
        if not TIME.match(taken_at):
            raise ValueError(f"{taken_at!r} is not a time")
    live = replace(_live_from_json(data, path), target=target, hidden=hidden)
    ledger, unknown = _parse_ledger(data, path)
    kinds = frozenset(k.name for k in KINDS.values() if (k.views.snapshot_key or k.views.plural) in data)
    return Snapshot(env, taken_at, live, ledger, version, unknown, kinds)


def refuse_other(snapshot: Snapshot, env: str) -> None:
    """Raise Stale where the snapshot is of another environment."""
    if snapshot.env != env:
        raise Stale(
            f"the snapshot is of environment {snapshot.env}, and the plan is to be for {env}",
            code=codes.K609,
            help=f"plan with --env {snapshot.env}, or take a snapshot of {env}",
        )


def unreadable_error(path: str, reason: str) -> Invalid:
    """Return the error for a file that is not a snapshot."""
    return Invalid([error(codes.K607, "this is not a snapshot of a cluster", f"{path}: {reason}", help=REMEDY)])


def unread_error(path: str, kind: str) -> Invalid:
    """Return the error for a plan that is about a kind of which the snapshot has nothing."""
    several = KINDS[kind].views.plural
    detail = f"{path}: {several} were not read when it was taken, which is not the same as none"
    help = f"take it again with the stacks that declare them, or with --kinds {kind}: kplan snapshot --out FILE"
    return Invalid([error(codes.K607, f"the snapshot has no {several}", detail, help=help)])


@contextmanager
def _report_damage(path: str, part: object) -> Iterator[None]:
    try:
        yield
    except (KeyError, TypeError, ValueError, AttributeError) as e:
        missing = f"there is no {e}" if isinstance(e, KeyError) else str(e)
        raise unreadable_error(path, f"{part} is damaged: {missing}") from e


def _parse_target(data: Mapping[str, Any]) -> Target:
    if isinstance(data["brokers"], bool) or not isinstance(data["brokers"], int):
        raise ValueError("`brokers` is not a number")
    texts = {key: data[key] for key in ("cluster_id", "connect_version")}
    texts |= {key: data.get(key, "") for key in ("bootstrap", "connect_url", "simulated")}
    if not_texts := [key for key, value in texts.items() if not isinstance(value, str)]:
        raise ValueError(f"`{not_texts[0]}` is not text")
    return Target(
        brokers=data["brokers"],
        snapshot=str(data["taken_at"]),
        connects=connects_from_json(data.get("connects")),
        **texts,
    )


def _live_from_json(data: Mapping[str, Any], path: str) -> Live:
    """Return the live resources, and what was read of them."""
    resources: dict[Address, Resource] = {}
    health: dict[Address, Health] = {}
    facts: dict[Address, Facts] = {}
    ids: dict[Address, str] = {}
    for kind in KINDS.values():
        for address, block in _iter_blocks(data, kind, path):
            with _report_damage(path, address):
                found = kind.views.decode_live(address.name, block, partial(resource_from_json, address, block))
            resources[address] = found.resource
            health |= {address: found.health} if found.health else {}
            facts |= {address: found.facts} if found.facts else {}
            ids |= {address: found.id} if found.id else {}
    names = frozenset(address.name for address in resources if KINDS[address.kind].views.holds_records)
    return Live(resources=resources, names=names, health=health, facts=facts, ids=ids)


def _parse_ledger(data: Mapping[str, Any], path: str) -> tuple[Mapping[Address, Owned], Mapping[str, str]]:
    """Return the records by address, and the stacks of those of unknown kinds."""
    ledger, unknown = {}, {}
    with _report_damage(path, "its ledger"):
        for name, record in data["ledger"].items():
            if find_unknown_kind(name):
                unknown[name] = str(record["stack"])
            else:
                ledger[parse_address(name)] = owned_from_json(parse_address(name), record)
    return ledger, unknown


def _iter_blocks(data: Mapping[str, Any], kind: Kind[Any], path: str) -> Iterator[tuple[Address, Mapping[str, Any]]]:
    key = kind.views.snapshot_key or kind.views.plural
    with _report_damage(path, f"`{key}`"):
        part = data[key] if kind.views.is_in_every_document else data.get(key, {})
        blocks = [(Address(kind.name, str(name)), block) for name, block in part.items()]
    for address, block in blocks:
        if not isinstance(block, Mapping):
            raise unreadable_error(path, f"{address} is damaged")
        yield address, block


# -- what is left out -------------------------------------------------------------------------------------------------
def without_secrets(
    snapshot: Snapshot,
    passwords: Mapping[Address, Collection[str]],
    declared: Mapping[Address, Collection[str]] = MappingProxyType({}),
) -> Snapshot:
    """Return the snapshot with an empty Secret for each value that is or may be one.

    `passwords` are the settings that each connector's plugin declares as passwords; for any other connector only
    what the ledger shows in plain text is kept. `declared` are the settings that stacks fill from sensitive variables.
    """
    live, ledger = snapshot.live, dict(snapshot.ledger)
    resources = dict(live.resources)
    for address, resource in live.resources.items():
        if isinstance(resource, Connector):
            applied = _applied_config(ledger.get(address))
            keys = _find_secret_keys(resource, applied, passwords.get(address), declared.get(address, ()))
            resources[address] = replace(resource, config=_hide_values(resource.config, keys))
            ledger |= _record_without_secrets(ledger.get(address), keys)
        elif KINDS[address.kind].holds_secrets:
            comparison = comparison_of(address)
            resources[address] = comparison.with_values(resource, dict.fromkeys(comparison.secrets(resource), Secret()))
    ledger |= {a: r for owned in ledger.values() for a, r in _record_without_secrets(owned, ()).items()}
    return replace(snapshot, live=replace(live, resources=resources), ledger=ledger)


def _applied_config(owned: Owned | None) -> Config:
    return owned.applied.config if owned and isinstance(owned.applied, Connector) else {}


def _find_secret_keys(
    connector: Connector, applied: Config, passwords: Collection[str] | None, declared: Collection[str]
) -> set[str]:
    """Return the settings whose values are left out; a reference to a secret on the worker may be kept."""
    config = connector.config
    keys = {*declared, *(passwords or ()), *(k for k, v in [*config.items(), *applied.items()] if _is_secret(v))}
    if passwords is None:
        keys |= {k for k, v in config.items() if k not in KNOWN_OF_ALL and applied.get(k) != v}
    keys = {key for key in keys if literal(config.get(key)) or _is_secret(config.get(key))}
    values = [v for key in keys if len(v := _plain_value(config[key])) >= MIN_SECRET_LENGTH]
    return keys | {key for key, value in config.items() if any(v in _plain_value(value) for v in values)}


def _is_secret(value: object) -> bool:
    return isinstance(value, Secret)


def _plain_value(text: Text | None) -> str:
    return (text.value or "" if isinstance(text, Secret) else text) or ""


def _hide_values(config: Config, keys: Collection[str]) -> Config:
    return frozen({key: Secret() if key in keys else value for key, value in config.items()})


def _record_without_secrets(owned: Owned | None, keys: Collection[str]) -> dict[Address, Owned]:
    """Return the ledger's record with only the variables of its secrets."""
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
def note_uncompared(stack: Stack, live: Live) -> list[Diagnostic]:
    """Return a note that names the settings of which nobody can tell whether they are as declared."""
    secret = {a: r for a, r in stack.resources.items() if KINDS[a.kind].holds_secrets and a in live.resources}
    found = {a: keys for a, r in secret.items() if (keys := _find_uncomparable(r, live.resources[a]))}
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


def _find_uncomparable(declared: Resource, live: Resource) -> list[str]:
    """Return the settings that are secret on either side and count as equal because one side is unknown."""
    comparison = comparison_of(declared.address)
    here, there = comparison.attributes(declared), comparison.attributes(live)
    shared_keys = {path.removeprefix("/config/").removeprefix("/"): path for path in sorted(here.keys() & there.keys())}
    return [
        key
        for key, path in shared_keys.items()
        if key not in declared.rules.ignore and _is_uncomparable(here[path], there[path])
    ]


def _is_uncomparable(declared: Value, live: Value) -> bool:
    is_hidden = isinstance(live, Secret) and live.value is None and live.matches is None
    is_unset = isinstance(declared, Secret) and declared.value is None
    texts = [value if isinstance(value, str | Secret) else None for value in (declared, live)]
    return (is_hidden or is_unset) and equal(texts[0], texts[1])
