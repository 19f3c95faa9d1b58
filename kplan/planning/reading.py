"""Reads the live state and the ledger: servers and store are asked side by side, each once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from kplan.diagnostics import ErrorClass, InterruptedRun, KplanError, Unsupported, codes
from kplan.kinds.connector import sensitivity
from kplan.kinds.connector.sensitivity import Setting
from kplan.model import Address, Live, Stack, Target
from kplan.planning.diff import Ledger, needed
from kplan.servers.base import Backend, Cluster, Reading, needs_connect
from kplan.state.base import Overview, Store

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Prefetch:
    """What is being read while the stack files are: what does not depend on them."""

    targets: tuple[Future[Target], ...]
    connectors: Future[Reading] | None
    recorded: Future[Overview]


def begin_reading(cluster: Cluster, store: Store) -> Prefetch:
    """The servers and the store are being asked. Nobody has to wait for it: its threads end with the process."""

    targets: tuple[Future[Target], ...] = (start_call(cluster.topics.identify),)
    reading: Future[Reading] | None = None
    if cluster.connectors is not None:
        reading = start_call(partial(cluster.connectors.read, None))
        targets += (start_call(partial(_identified, cluster.connectors, reading)),)
    return Prefetch(targets, reading, start_call(store.overview))


def _identified(backend: Backend, reading: Future[Reading]) -> Target:
    """Who the server is, asked a second time once it can be read: it may just have started."""
    try:
        return backend.identify()
    except KplanError as failure:
        if failure.error_class is not ErrorClass.RETRIABLE:
            raise
        reading.result()
        return backend.identify()


def start_call(call: Callable[[], V]) -> Future[V]:
    """What the call will return or raise. Its thread keeps no process alive that has something else to say."""
    future: Future[V] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as e:
            future.set_exception(e)

    threading.Thread(target=run, daemon=True).start()
    return future


def refuse_interrupted(store: Store, stacks: Collection[str], overview: Overview) -> None:
    """Raises InterruptedRun where a run of one of the stacks has no end and nobody holds its lock."""
    for run, stack in overview.open_runs.items():
        if stack not in stacks or store.holder(stack) is not None:
            continue
        if run in store.open_runs():  # it may just have ended
            raise InterruptedRun(
                f"run {run} of stack {stack} was interrupted, or could not be rolled back",
                help=f"see it with `kplan recover --list`, put it back with `kplan recover {run}`",
            )


def read_live_state(
    stacks: Sequence[Stack], cluster: Cluster, store: Store, prefetch: Prefetch | None = None
) -> tuple[Live, Ledger]:
    """The live state of what is declared or owned, and the ledger: the servers and the store are asked at once."""
    prefetch = prefetch or begin_reading(cluster, store)
    declared = {a for stack in stacks for a in needed(stack, {})}
    topics = cluster.topics.read(sorted({a.name for a in declared if a.kind == "topic"}))
    kafka = prefetch.targets[0].result()
    overview = prefetch.recorded.result()
    ledger, names = overview.ledger, {stack.name for stack in stacks}
    asks_connect = needs_connect(address for stack in stacks for address in needed(stack, ledger))
    live = _with_connect(topics, kafka, prefetch.connectors, prefetch.targets[1:], asks_connect)
    live = replace(live, state=store.topic)
    overview.refuse_unreadable(names, declared | {a for a, o in ledger.items() if o.stack in names})
    refuse_interrupted(store, names, overview)
    owned_topics = {a for a, o in ledger.items() if o.stack in names and a.kind == "topic"}
    left = {a.name for a in owned_topics - declared}
    if left:  # what the stacks own and no longer declare
        more = cluster.topics.read(sorted(left))
        live = replace(
            live,
            resources={**live.resources, **more.resources},
            hidden=live.hidden | more.hidden,
            refused={**live.refused, **more.refused},
        )
    return conceal_settings(cluster, live, [*sensitivity.of_ledger(ledger), *sensitivity.of_stacks(stacks)]), ledger


def conceal_settings(cluster: Cluster, live: Live, settings: Iterable[Setting]) -> Live:
    """Conceal the values of sensitive settings, before anything compares or prints them; the mask learns them."""
    settings = list(settings)
    live = sensitivity.concealed(live, settings)
    cluster.mask.add(sensitivity.secret_values(live, settings))
    return sensitivity.with_masked_causes(live, cluster.mask.mask)


def read_addresses(cluster: Cluster, addresses: Iterable[Address] | None, settings: Iterable[Setting] = ()) -> Live:
    """What the servers say of `addresses` (None: all), and of every connector: both are asked at the same time.

    `settings` are those that are sensitive, by the ledger, the stacks or the plan.
    """
    wanted = None if addresses is None else list(addresses)
    names = None if wanted is None else sorted({a.name for a in wanted if a.kind == "topic"})
    asks_connect = wanted is None or needs_connect(wanted)
    with ThreadPoolExecutor(4) as pool:
        topics = pool.submit(cluster.topics.read, names)
        kafka = pool.submit(cluster.topics.identify)
        backend = cluster.connectors
        connectors = None if backend is None else pool.submit(backend.read, None)
        connect = () if backend is None else (pool.submit(backend.identify),)
        live = _with_connect(topics.result(), kafka.result(), connectors, connect, asks_connect)
    return conceal_settings(cluster, live, settings)


def _with_connect(
    topics: Reading,
    kafka: Target,
    connectors: Future[Reading] | None,
    connect: Sequence[Future[Target]],
    needed: bool,
) -> Live:
    """The live state. A Connect that does not answer is left out where no connector is `needed`."""
    if connectors is None:
        return _live([topics], [kafka])
    try:
        return _live([topics, connectors.result()], [kafka, *(target.result() for target in connect)])
    except KplanError as failure:
        if needed or failure.error_class is not ErrorClass.RETRIABLE:
            raise
        return replace(_live([topics], [kafka]), unread=failure.message.rstrip("."))


def _live(readings: Sequence[Reading], targets: Sequence[Target]) -> Live:
    kafka = targets[0]
    connect = targets[1] if len(targets) > 1 else Target()
    if connect.cluster_id and kafka.cluster_id and connect.cluster_id != kafka.cluster_id:
        raise Unsupported(
            f"Connect at {connect.connect_url} works on cluster {connect.cluster_id}, not on {kafka.cluster_id}",
            code=codes.K332,
            help="name the Connect of this cluster in the environment",
        )
    target = replace(kafka, connect_url=connect.connect_url, connect_version=connect.connect_version)
    resources = {a: r for reading in readings for a, r in reading.resources.items()}
    health = {a: h for reading in readings for a, h in reading.health.items()}
    hidden = frozenset().union(*(reading.hidden for reading in readings))
    refused = {a: why for reading in readings for a, why in reading.refused.items()}
    return Live(target, resources, readings[0].names, hidden, health, refused=refused)
