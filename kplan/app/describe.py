"""Collect all that is known of one resource: declared, live and recorded, and what else is about it."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, field
from datetime import datetime
from typing import TYPE_CHECKING, Any

from kplan.app.history import read_changes
from kplan.app.ledger import read_ledger
from kplan.diagnostics import CapabilityMissing, Invalid, KplanError, codes, error
from kplan.inspect.lineage import build_graph
from kplan.kinds.connector.sensitivity import of_ledger, of_stacks
from kplan.kinds.registry import KINDS, comparison_of
from kplan.model import USUAL, Address, Facts, Live, Owned, Resource, Secret, Stack
from kplan.model.forecast import StorageForecast
from kplan.planning import facts
from kplan.planning.forecast import encode_storage
from kplan.planning.reading import read_addresses
from kplan.render.history import encode_change
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.project.loading import Loaded
    from kplan.servers.base import Cluster

MAX_CHANGES = 5


@dataclass(frozen=True, slots=True)
class Description:
    """What is known of `address`. `unread` says what could not be asked for, and why."""

    address: Address
    stack: str  # that declares it, else that owns it; empty for none
    declared: Resource | None
    live: Resource | None
    owned: Owned | None
    world: Live
    facts: Facts | None
    flows: Sequence[tuple[str, str]]
    related: Sequence[Mapping[str, Any]]
    changes: Sequence[Mapping[str, Any]]
    unread: Sequence[str]
    storage: StorageForecast | None = None
    inherited: Mapping[str, tuple[str, str]] = field(default_factory=dict)


def describe_resource(address: Address, loaded: Loaded, opened: OpenEnvironment, runtime: Runtime) -> Description:
    """Return the description. Raises Invalid where nothing is known of the address."""
    ledger = read_ledger(opened.store, runtime)
    live = read_addresses(opened.cluster, [address], [*of_ledger(ledger), *of_stacks(loaded.stacks)])
    stack, declared = _find_declared(address, loaded.stacks)
    owned, resource = ledger.get(address), live.resources.get(address)
    try:
        history = read_changes(opened.store, address).changes[:MAX_CHANGES]
    except Invalid:
        history = ()
    if not (declared or owned or resource or history):
        raise Invalid([_report_unknown(address, live, ledger)])
    unread: list[str] = []
    found = None
    if KINDS[address.kind].views.holds_records and resource is not None:
        found = facts.read(opened.cluster, live, (), [address.name]).get(address)
    return Description(
        address,
        stack.name if stack else owned.stack if owned else "",
        declared,
        resource,
        owned,
        live,
        found,
        [flow for flow in build_graph(loaded.stacks).flows if str(address) in flow],
        list(_read_related(address, resource or declared, opened.cluster, ledger, unread)),
        [encode_change(change, run) for change, run in history],
        unread,
        _read_storage(resource, opened.cluster, runtime.now()) if found is not None and resource is not None else None,
        _read_inherited(address, opened.cluster, unread) if resource is not None else {},
    )


def _read_inherited(address: Address, cluster: Cluster, unread: list[str]) -> Mapping[str, tuple[str, str]]:
    try:
        return cluster.read_inherited(address)
    except KplanError as failure:
        unread.append(f"inherited settings: {failure.message}")
        return {}


def _read_storage(resource: Resource, cluster: Cluster, now: datetime) -> StorageForecast | None:
    """Return what is stored and how that goes on; None where the cluster stores nothing."""
    try:
        state = cluster.read_storage([resource.name])
    except KplanError as failure:
        return StorageForecast(unknown=failure.message)
    storage = state.topics.get(resource.name) if state else None
    if storage is None:
        return None
    return KINDS[resource.kind].consequences.forecast_unchanged(resource, storage, int(now.timestamp() * 1000))


def _find_declared(address: Address, stacks: Sequence[Stack]) -> tuple[Stack | None, Resource | None]:
    return next(((stack, stack.resources[address]) for stack in stacks if address in stack.resources), (None, None))


def _report_unknown(address: Address, live: Live, ledger: Mapping[Address, Owned]) -> Any:
    names = {*live.names, *(each.name for each in ledger if each.kind == address.kind)}
    close = difflib.get_close_matches(address.name, names, 2)
    help = f"did you mean {' or '.join(f'{address.kind}/{name}' for name in close)}?" if close else "see `kplan list`"
    return error(codes.K606, "nothing is known of this", str(address), help=help)


def _read_related(
    address: Address, resource: Resource | None, cluster: Cluster, ledger: Mapping[Address, Owned], unread: list[str]
) -> Iterator[Mapping[str, Any]]:
    """Yield a row for each resource of another kind that is about this one; `unread` gets what could not be read."""
    principals = set(KINDS[address.kind].views.find_principals(resource)) if resource else set()
    for backend in cluster.backends:
        views = KINDS[backend.kind].views
        names = views.list_related_names(address)
        if names is not None and not names:
            continue
        try:
            reading = backend.read(names)
        except CapabilityMissing:
            continue
        except KplanError as failure:
            unread.append(f"{views.plural}: {failure.message}")
            continue
        for other, each in sorted(reading.resources.items()):
            if views.is_related(each, address, principals):
                principals |= set(views.find_principals(each))
                owner = ledger.get(other)
                row = views.describe_row(each, reading.health.get(other))
                yield {"address": str(other), "stack": owner.stack if owner else None, **row}


# -- the document -----------------------------------------------------------------------------------------------------
def encode_description(description: Description) -> dict[str, Any]:
    """Return the description as JSON; no secret is in it."""
    resource, address = description.live, str(description.address)
    declared, views = description.declared, KINDS[description.address.kind].views
    health = description.world.health.get(description.address)
    span = declared.origin.span if declared else None
    return {
        "format_version": "1.0",
        "address": address,
        "stack": description.stack or None,
        "declared_at": f"{span.path}:{span.line}" if span else None,
        **_describe_ownership(description),
        "is_live": resource is not None,
        "is_owned": description.owned is not None,
        "live": views.describe_row(resource, health) if resource else None,
        "settings": list(_list_settings(description)),
        "inherited": [
            {"key": key, "value": value, "from": source} for key, (value, source) in description.inherited.items()
        ],
        "health": asdict(health) if health else None,
        "facts": asdict(description.facts) if description.facts else None,
        "fed_by": [source for source, target in description.flows if target == address],
        "storage": encode_storage(description.storage) if description.storage else None,
        "feeds": [target for source, target in description.flows if source == address],
        "related": list(description.related),
        "changes": list(description.changes),
        "unread": list(description.unread),
    }


def _describe_ownership(description: Description) -> dict[str, Any]:
    """Return team, labels and description: as declared, else as they were applied last."""
    known = description.declared or (description.owned.applied if description.owned else None)
    rules = known.rules if known else USUAL
    return {
        "team": rules.team or None,
        "labels": dict(sorted(rules.labels.items())),
        "description": rules.description or None,
    }


def _list_settings(description: Description) -> Iterator[dict[str, Any]]:
    """Yield each attribute with its live and its declared value, and where the declared one comes from."""
    compare, declared = comparison_of(description.address), description.declared
    live_values = compare.attributes(description.live) if description.live else {}
    declared_values = compare.attributes(declared) if declared else {}
    differing: set[str] = set()
    if declared is not None and description.live is not None:
        differing = {path for path, _, _ in compare.find_differing(declared, description.live)}
    for path in dict.fromkeys((*declared_values, *live_values)):
        live_value, declared_value = live_values.get(path), declared_values.get(path)
        row = {"path": path, "live": _show(live_value), "declared": _show(declared_value), "differs": path in differing}
        span = declared.origin.at(path) if declared and path in declared_values else None
        source = declared.origin.sources.get(path, "") if declared else ""
        yield {**row, "at": f"{span.path}:{span.line}" if span else None, "source": source or None}


def _show(value: Any) -> Any:
    return "(sensitive)" if isinstance(value, Secret) else value
