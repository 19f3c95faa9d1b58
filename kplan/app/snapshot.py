"""Take a snapshot: live state and the ledger, without secrets, to plan from without servers."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING

from kplan.app.ledger import read_ledger
from kplan.diagnostics import KplanError
from kplan.kinds.connector.selection import find_connectors, select_connectors
from kplan.kinds.connector.sensitivity import of_ledger, of_stacks
from kplan.kinds.nouns import name_several
from kplan.kinds.registry import KINDS, comparison_of
from kplan.model import Secret
from kplan.planning.needed import find_needed_addresses
from kplan.planning.reading import read_addresses
from kplan.servers.snapshots import Snapshot, without_secrets
from kplan.text import count

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.kinds.connector.sensitivity import Setting
    from kplan.model import Address, Facts, Health, Live
    from kplan.project.loading import Loaded
    from kplan.servers.base import Backend, Cluster

FACTS_AT_ONCE = 1000  # topics whose records and readers are asked for together


def take_snapshot(
    loaded: Loaded, opened: OpenEnvironment, facts: str, runtime: Runtime, kinds: Collection[str] = ()
) -> Snapshot:
    """Return everything that is live and in the ledger now, without secrets.

    `kinds` are read besides those of every plan; without them those that the stacks declare or the ledger owns.
    `facts` says of which topics records, last write and readers are read: managed, all or none.
    """
    cluster = opened.cluster
    ledger = read_ledger(opened.store, runtime, {stack.name for stack in loaded.stacks})
    managed = frozenset(ledger).union(*(find_needed_addresses(stack, ledger) for stack in loaded.stacks))
    asked = frozenset(kinds or {address.kind for address in managed})
    read = frozenset(name for name, kind in KINDS.items() if kind.is_in_every_plan or name in asked)
    cluster = replace(cluster, by_kind={key: each for key, each in cluster.by_kind.items() if each.kind in read})
    live = _read_live(cluster, managed, [*of_ledger(ledger), *of_stacks(loaded.stacks)])
    wanted = {"managed": managed, "all": live.resources, "none": ()}[facts]
    live = replace(
        live,
        facts=_read_facts(cluster, [a for a in wanted if a in live.resources], runtime),
        ids=_read_ids(cluster, live.resources, runtime),
    )
    connectors = select_connectors(live.resources.values())
    passwords = cluster.read_passwords(connectors)
    _warn_of_unknown([c.name for c in connectors if c.address not in passwords], runtime)
    declared: dict[Address, Collection[str]] = {
        connector.address: connector.secrets for connector in find_connectors(loaded.stacks)
    }
    whole = Snapshot(loaded.environment.name, runtime.timestamp, live, ledger, kinds=read)
    bare = without_secrets(whole, passwords, declared)
    return replace(bare, live=replace(bare.live, health=_mask_health(live, bare.live, runtime)))


def _read_live(cluster: Cluster, managed: Collection[Address], sensitive: Iterable[Setting]) -> Live:
    """Read all that a snapshot holds; what is managed and not listed is read by name."""
    live = read_addresses(cluster, None, sensitive)
    resources, hidden = dict(live.resources), live.hidden
    for backend in cluster.backends:
        names = sorted(a.name for a in managed if a.kind == backend.kind and a not in live.resources)
        if names and not KINDS[backend.kind].reads_all:
            late = backend.read(names)
            resources |= late.resources
            hidden |= late.hidden
    resources = {a: r for a, r in resources.items() if a in managed or not KINDS[a.kind].views.is_left_out(a.name)}
    return replace(live, resources=resources, hidden=hidden)


def _read_facts(cluster: Cluster, addresses: Collection[Address], runtime: Runtime) -> Mapping[Address, Facts]:
    """Return what is stored in these resources and who reads them, as far as it can be read."""
    facts: dict[Address, Facts] = {}
    for backend in cluster.backends:
        if KINDS[backend.kind].views.holds_records:
            facts |= _read_facts_of(backend, sorted(a.name for a in addresses if a.kind == backend.kind), runtime)
    return facts


def _read_facts_of(backend: Backend, names: list[str], runtime: Runtime) -> Mapping[Address, Facts]:
    facts: dict[Address, Facts] = {}
    for done, batch in _batches(names):
        if len(names) > FACTS_AT_ONCE:
            runtime.note(f"reading records and readers: {done:,} of {len(names):,} {name_several(backend.kind)}")
        try:
            facts |= backend.facts(batch)
        except KplanError as e:
            runtime.warn(f"records and readers could not be read, and count as unknown: {e.message}")
            break
    return facts


def _read_ids(cluster: Cluster, addresses: Collection[Address], runtime: Runtime) -> Mapping[Address, str]:
    """Return the ids of these resources, by which an apply sees that one was deleted and made again."""
    try:
        return cluster.read_ids(sorted(addresses))
    except KplanError as problem:
        runtime.warn(f"the ids of topics could not be read, and are left out: {problem.message}")
        return {}


def _batches(names: list[str]) -> Iterator[tuple[int, list[str]]]:
    for start in range(0, len(names), FACTS_AT_ONCE):
        yield start, names[start : start + FACTS_AT_ONCE]


def _warn_of_unknown(names: list[str], runtime: Runtime) -> None:

    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        runtime.warn(
            f"Connect does not report which settings of {', '.join(names[:3])}{more} are passwords: "
            f"what no stack has set is left out of {count(len(names), 'connector')}"
        )


def _mask_health(live: Live, bare: Live, runtime: Runtime) -> dict[Address, Health]:
    """Return the health, whose messages quote none of the values that were left out."""
    for address, resource in bare.resources.items():
        if KINDS[address.kind].holds_secrets:
            comparison = comparison_of(address)
            whole, shown = comparison.attributes(live.resources[address]), comparison.attributes(resource)
            left_out = (value for path, value in whole.items() if value != shown.get(path))
            runtime.mask.add(value for value in left_out if isinstance(value, str | Secret))
            runtime.mask.add(comparison.secrets(live.resources[address]).values())
    mask = runtime.mask.mask
    return {
        address: replace(
            health,
            cause=mask(health.cause),
            tasks=tuple(replace(task, cause=mask(task.cause)) for task in health.tasks),
        )
        for address, health in live.health.items()
    }
