"""kplan snapshot"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

import click

from kplan.cli.common import LOADING, SHOWING, Session, option, stamp
from kplan.cli.common import command as calls
from kplan.cli.output import save
from kplan.cli.reports import unwritable

if TYPE_CHECKING:
    from kplan.kinds.connector.sensitivity import Setting
    from kplan.model import Address, Facts, Health, Live
    from kplan.project.loading import Loaded
    from kplan.servers.base import Cluster
    from kplan.servers.snapshots import Snapshot
    from kplan.state.base import Store

FACTS_AT_ONCE = 1000  # topics whose records and readers are asked for together


@click.command(
    "snapshot",
    help="Write down live state and the ledger, without secrets: `kplan plan --live FILE` plans from it without "
    "servers and credentials. With STACK, what these stacks declare as sensitive is left out too, and internal topics "
    "that they declare are in it.",
)
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@option(
    "--out",
    metavar="FILE",
    default=None,
    type=click.Path(dir_okay=False),
    help="Where to write it; standard output when left out.",
)
@option(
    "--facts",
    type=click.Choice(["managed", "all", "none"]),
    default="managed",
    show_default=True,
    help="Of which topics records, last write and readers are read: those that a stack declares or owns, all, or none.",
)
@SHOWING
@calls
def command(session: Session) -> int:
    import json

    from kplan.diagnostics import Invalid
    from kplan.servers.snapshots import to_json

    loaded = session.load()
    if loaded.has_errors:
        raise Invalid(loaded.diagnostics)
    cluster, store = session.open(loaded.environment)
    try:
        with session.showing_progress():
            snapshot = taken(session, loaded, cluster, store)
    finally:
        cluster.close()
        store.close()
    text = json.dumps(to_json(snapshot), indent=1, ensure_ascii=False) + "\n"
    if path := session.settings["out"]:
        save_or_tell(path, text)
        session.say(_said(snapshot, path))
    else:
        session.product(text)
    return 0


def save_or_tell(path: str, text: str) -> None:
    """The file holds the text. Raises KplanError."""
    try:
        save(path, text)
    except OSError as e:
        raise unwritable(f"{path}: {e.strerror or e}") from e


def taken(session: Session, loaded: Loaded, cluster: Cluster, store: Store) -> Snapshot:
    """Everything that is live and in the ledger now, without secrets."""
    from dataclasses import replace

    from kplan.kinds.connector.sensitivity import of_ledger, of_stacks
    from kplan.model import Connector
    from kplan.planning.diff import needed
    from kplan.servers.snapshots import Snapshot, without_secrets

    ledger = session.readable_ledger(store, {stack.name for stack in loaded.stacks})
    managed = frozenset(ledger).union(*(needed(stack, ledger) for stack in loaded.stacks))
    live = _live(cluster, managed, [*of_ledger(ledger), *of_stacks(loaded.stacks)])
    wanted = {"managed": managed, "all": live.resources, "none": ()}[session.settings["facts"]]
    live = replace(
        live,
        facts=_facts(session, cluster, [a for a in wanted if a in live.resources]),
        ids=_read_ids(session, cluster, live.resources),
    )
    connectors = [r for r in live.resources.values() if isinstance(r, Connector)]
    passwords = cluster.connectors.passwords(connectors) if cluster.connectors else {}
    _warn_of_unknown([c.name for c in connectors if c.address not in passwords], session)
    declared: dict[Address, Collection[str]] = {
        a: r.secrets for stack in loaded.stacks for a, r in stack.resources.items() if isinstance(r, Connector)
    }
    whole = Snapshot(loaded.environment.name, stamp(), live, ledger)
    bare = without_secrets(whole, passwords, declared)
    return replace(bare, live=replace(bare.live, health=_masked(session, live, bare.live)))


def _live(cluster: Cluster, managed: Collection[Address], sensitive: Iterable[Setting]) -> Live:
    """All there is but internal topics that nobody manages; what is managed and not listed is asked for by name."""
    from dataclasses import replace

    from kplan.planning.pipeline import read
    from kplan.servers.snapshots import is_left_out

    live = read(cluster, None, sensitive)
    late = cluster.topics.read(sorted(a.name for a in managed if a.kind == "topic" and a not in live.resources))
    resources = {
        address: resource
        for address, resource in {**live.resources, **late.resources}.items()
        if address.kind != "topic" or address in managed or not is_left_out(address.name)
    }
    return replace(live, resources=resources, hidden=live.hidden | late.hidden)


def _facts(session: Session, cluster: Cluster, addresses: Collection[Address]) -> Mapping[Address, Facts]:
    """What is stored in these topics and who reads them, as far as it can be read."""
    from kplan.diagnostics import KplanError

    names = sorted(a.name for a in addresses if a.kind == "topic")
    found: dict[Address, Facts] = {}
    for done, batch in _batches(names):
        if len(names) > FACTS_AT_ONCE:
            session.note(f"reading records and readers: {done:,} of {len(names):,} topics")
        try:
            found |= cluster.topics.facts(batch)
        except KplanError as e:
            session.note(f"warning: records and readers could not be read, and count as unknown: {e.message}")
            break
    return found


def _read_ids(session: Session, cluster: Cluster, addresses: Collection[Address]) -> Mapping[Address, str]:
    """Return the ids of these topics, by which an apply sees that one was deleted and made again."""
    from kplan.diagnostics import KplanError

    try:
        return cluster.topics.read_ids(sorted(a.name for a in addresses if a.kind == "topic"))
    except KplanError as problem:
        session.note(f"warning: the ids of topics could not be read, and are left out: {problem.message}")
        return {}


def _batches(names: list[str]) -> Iterator[tuple[int, list[str]]]:
    for start in range(0, len(names), FACTS_AT_ONCE):
        yield start, names[start : start + FACTS_AT_ONCE]


def _warn_of_unknown(names: list[str], session: Session) -> None:
    from kplan.text import count

    if names:
        more = f" and {len(names) - 3} more" if len(names) > 3 else ""
        session.note(
            f"warning: Connect does not tell which settings of {', '.join(names[:3])}{more} are passwords: "
            f"what no stack has set is left out of {count(len(names), 'connector')}"
        )


def _masked(session: Session, live: Live, bare: Live) -> dict[Address, Health]:
    """The connectors' health, whose messages quote none of the values that were left out."""
    from dataclasses import replace

    for address, resource in bare.resources.items():
        before = live.resources[address].config
        session.secrets.add(before[key] for key, value in resource.config.items() if value != before[key])
        session.secrets.add_config(before)
    mask = session.secrets.mask
    return {
        address: replace(
            health,
            cause=mask(health.cause),
            tasks=tuple(replace(task, cause=mask(task.cause)) for task in health.tasks),
        )
        for address, health in live.health.items()
    }


def _said(snapshot: Snapshot, path: str) -> str:
    from kplan.text import count

    kinds = [address.kind for address in snapshot.live.resources]
    words = [
        count(kinds.count("topic"), "topic"),
        count(kinds.count("connector"), "connector"),
        f"{count(len(snapshot.ledger), 'record')} of the ledger",
    ]
    return f"{path}: {', '.join(words)} of env {snapshot.env}; no value of a secret is in it."
