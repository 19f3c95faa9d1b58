"""Reads the live state and the ledger: servers and store are asked side by side, each once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future
from dataclasses import replace
from functools import partial
from types import MappingProxyType
from typing import Final, TypeAlias, TypeVar, cast

from kplan.diagnostics import ErrorClass, InterruptedRun, KplanError, Unsupported, codes
from kplan.kinds.connector import sensitivity
from kplan.kinds.connector.names import alias_of
from kplan.kinds.connector.sensitivity import Setting
from kplan.kinds.registry import KINDS
from kplan.model import Address, Connector, Live, Resource, Stack, Target
from kplan.planning.needed import Ledger, find_needed_addresses
from kplan.servers.base import CONNECT, Backend, BackendState, Cluster, ComparingBackend
from kplan.state.base import Overview, Store, make_ledger_key
from kplan.values import dataclass

V = TypeVar("V")
MIN_READ_AHEAD: Final = 100  # resources: fewer are read as soon once their files are loaded
Key: TypeAlias = tuple[str, str]  # the kind of a backend, and the name of its server


@dataclass(frozen=True, slots=True)
class Prefetch:
    """What is being read while the stack files are: what does not depend on them. By kind and server."""

    targets: Mapping[Key, Future[Target]]
    readings: Mapping[Key, Future[BackendState]]  # of kinds of which all resources are read
    recorded: Future[Overview]
    declared: frozenset[Address] = frozenset()
    named: Mapping[Key, Future[BackendState]] | None = None  # of the other kinds, of what is `declared`
    owned: Mapping[Key, OwnedReading] = MappingProxyType({})  # of the kinds that are read by name


class OwnedReading:
    """Read what stacks of these names seem to own, of one kind, as soon as the state's keys are known.

    The files of many resources take as long to load as their server to answer.
    """

    def __init__(self, backend: Backend, stack_names: Collection[str]) -> None:
        self._backend = backend
        self._stacks = frozenset(stack_names)
        self._turn = threading.Lock()
        self._is_over = False
        self._names: frozenset[str] = frozenset()
        self._reading: Future[BackendState] | None = None

    def begin(self, keys: Collection[str]) -> None:
        """Begin to read the resources of which the state has records with these keys, where they are many."""
        beginnings = tuple(make_ledger_key(stack, Address(self._backend.kind, "")) for stack in self._stacks)
        names = frozenset(key.split("/", 3)[3] for key in keys if key.startswith(beginnings))  # stack/STACK/KIND/NAME
        with self._turn:
            if self._is_over or len(names) < MIN_READ_AHEAD:
                return
            self._names = names
            self._reading = start_call(partial(self._backend.read, sorted(names)))

    def read_rest(self, addresses: Collection[Address], stacks: Sequence[Stack]) -> Future[BackendState] | None:
        """Begin to read those of the addresses that are not being read; None where no reading was begun that helps."""
        with self._turn:
            self._is_over = True
        backend, reading = self._backend, self._reading
        if reading is None or not self._stacks <= {stack.name for stack in stacks}:
            return None
        rest = sorted({address.name for address in addresses if address.kind == backend.kind} - self._names)
        return start_call(lambda: _merge(reading.result(), backend.read(rest))) if rest else reading


def _merge(first: BackendState, second: BackendState) -> BackendState:
    """Return what two readings of one kind found."""
    return replace(
        second,
        resources={**first.resources, **second.resources},
        names=first.names | second.names,
        hidden=first.hidden | second.hidden,
        refused={**first.refused, **second.refused},
    )


def begin_reading(cluster: Cluster, store: Store, stack_names: Collection[str] = ()) -> Prefetch:
    """Begin to ask the servers and the store. The threads that wait for them end with the process.

    `stack_names` are probably those of the stacks that are planned.
    """
    readings = _start_reading_all(cluster)
    owned = {
        key: OwnedReading(backend, stack_names)
        for key, backend in cluster.by_kind.items()
        if stack_names and KINDS[backend.kind].is_in_every_plan and not KINDS[backend.kind].reads_all
    }

    def report_keys(keys: Iterable[str]) -> None:
        known = list(keys)
        for reading in owned.values():
            reading.begin(known)

    recorded = start_call(partial(store.overview, report_keys) if owned else store.overview)
    return Prefetch(_start_identifying(cluster, readings), readings, recorded, owned=owned)


def begin_reading_declared(prefetch: Prefetch, cluster: Cluster, stacks: Sequence[Stack]) -> Prefetch:
    """Begin to ask for what the stacks declare, as soon as they are loaded."""
    declared = _find_declared(stacks)
    known = {
        key: reading
        for key, owned in prefetch.owned.items()
        if (reading := owned.read_rest(declared, stacks)) is not None
    }
    named = _start_reading_named(cluster, declared, _list_states(stacks), known)
    return replace(prefetch, declared=declared, named=named)


def _find_declared(stacks: Sequence[Stack]) -> frozenset[Address]:
    return frozenset().union(*(find_needed_addresses(stack, {}) for stack in stacks))


def _list_states(stacks: Sequence[Stack]) -> list[Resource]:
    return [resource for stack in stacks for resource in stack.resources.values()]


def _start_reading_all(cluster: Cluster) -> dict[Key, Future[BackendState]]:
    """Ask for the resources of those kinds of which all are read, as far as every plan is about them."""
    backends = {
        key: backend
        for key, backend in cluster.by_kind.items()
        if KINDS[backend.kind].reads_all and KINDS[backend.kind].is_in_every_plan
    }
    return {key: start_call(partial(backend.read, None)) for key, backend in backends.items()}


def _start_reading_named(
    cluster: Cluster,
    addresses: Collection[Address] | None,
    states: Collection[Resource] = (),
    known: Mapping[Key, Future[BackendState]] = MappingProxyType({}),
    *,
    asks_all: bool = True,
) -> dict[Key, Future[BackendState]]:
    """Ask for these resources of the other kinds (None: all of them). Without `asks_all` only who has some is asked.

    A kind that not every plan is about is asked for only where one of the addresses is of it. `states` are those that a
    server compares with its own, where it does; what is `known` is being read already.
    """
    started = dict(known)
    for key, backend in cluster.by_kind.items():
        kind = KINDS[backend.kind]
        if key in known or (kind.reads_all and kind.is_in_every_plan):
            continue
        names = None if addresses is None else sorted({a.name for a in addresses if a.kind == backend.kind})
        if names or names is None or (asks_all and kind.is_in_every_plan):
            started[key] = start_call(partial(_read, backend, None if kind.reads_all else names, states))
    return started


def _read(backend: Backend, names: Collection[str] | None, states: Collection[Resource]) -> BackendState:
    if not KINDS[backend.kind].compares_on_server:
        return backend.read(names)
    own = [state for state in states if state.kind == backend.kind]
    return cast(ComparingBackend, backend).read_compared(names, own)


def _start_identifying(cluster: Cluster, readings: Mapping[Key, Future[BackendState]]) -> dict[Key, Future[Target]]:
    """Ask each server who it is."""
    return {
        key: start_call(partial(_identify, backend, readings[key]) if key in readings else backend.identify)
        for key, backend in cluster.by_kind.items()
    }


def _identify(backend: Backend, reading: Future[BackendState]) -> Target:
    """Return who the server is, asked a second time once it can be read: it may just have started."""
    try:
        return backend.identify()
    except KplanError as failure:
        if failure.error_class is not ErrorClass.RETRIABLE:
            raise
        reading.result()
        return backend.identify()


def start_call(call: Callable[[], V]) -> Future[V]:
    """Return what the call will return or raise. Its thread keeps no process alive that has something else to say."""
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
    """Return the live state of what is declared or owned, and the ledger: the servers and the store are
    asked at once.
    """
    prefetch = prefetch or begin_reading(cluster, store)
    declared = _find_declared(stacks)
    named = prefetch.named
    if named is None or declared != prefetch.declared:
        named = _start_reading_named(cluster, declared, _list_states(stacks))
    for key, reading in named.items():
        reading.result()
        prefetch.targets[key].result()
    overview = prefetch.recorded.result()
    ledger, names = overview.ledger, {stack.name for stack in stacks}
    needed = {address for stack in stacks for address in find_needed_addresses(stack, ledger)}
    live = _collect({**named, **prefetch.readings}, prefetch.targets, needed)
    _refuse_unknown_connects(live, needed, named, prefetch)
    live = replace(live, state=store.topic, internal=cluster.internal_topics, principal=cluster.principal)
    owned = {a for a, o in ledger.items() if o.stack in names}
    overview.refuse_unreadable(names, declared | owned)
    refuse_interrupted(store, names, overview)
    rest = {a for a in owned - declared if not KINDS[a.kind].reads_all or a.kind not in {kind for kind, _ in named}}
    applied = [o.applied for a, o in ledger.items() if a in rest and o.applied is not None]
    for undeclared in _start_reading_named(cluster, rest, applied, asks_all=False).values():
        more = undeclared.result()
        live = replace(
            live,
            resources={**live.resources, **more.resources},
            hidden=live.hidden | more.hidden,
            refused={**live.refused, **more.refused},
        )
    return conceal_settings(cluster, live, [*sensitivity.of_ledger(ledger), *sensitivity.of_stacks(stacks)]), ledger


def _refuse_unknown_connects(
    live: Live, needed: Collection[Address], named: Mapping[Key, Future[BackendState]], prefetch: Prefetch
) -> None:
    """Raise KplanError where a stack has a connector on a Connect that the environment does not name any more."""
    wanted = {alias_of(address.name): address for address in needed if address.kind == Connector.kind}
    known = {"", *(alias for alias, _, _ in live.target.connects)}
    readings = {**named, **prefetch.readings}
    known.update(alias for (kind, _), reading in readings.items() if kind == Connector.kind and not reading.exception()
                 for alias in reading.result().unread)  # fmt: skip
    for alias, address in wanted.items():
        if alias not in known and (Connector.kind, CONNECT) in readings:
            raise KplanError(
                f"{address} is on Connect {alias}, which this environment does not have",
                code=codes.K218,
                help=f"name `{alias}` under `connect:` in kplan.yaml; a connector leaves it by `moved:`; where only "
                "the alias has changed, run `kplan state rename-server OLD NEW`",
            )


def conceal_settings(cluster: Cluster, live: Live, settings: Iterable[Setting]) -> Live:
    """Conceal the values of sensitive settings, before anything compares or prints them; the mask learns them."""
    settings = list(settings)
    live = sensitivity.conceal_settings(live, settings)
    cluster.mask.add(sensitivity.secret_values(live, settings))
    return sensitivity.with_masked_causes(live, cluster.mask.mask)


def read_addresses(
    cluster: Cluster,
    addresses: Iterable[Address] | None,
    settings: Iterable[Setting] = (),
    states: Collection[Resource] = (),
) -> Live:
    """Return what the servers say of `addresses` (None: all), and of all of some kinds: all are asked at the same time.

    `settings` are those that are sensitive, by the ledger, the stacks or the plan. `states` are those that a server
    compares with its own, where it does.
    """
    wanted = None if addresses is None else list(addresses)
    whole = _start_reading_all(cluster)
    readings = {**_start_reading_named(cluster, wanted, states), **whole}
    live = _collect(readings, _start_identifying(cluster, whole), wanted)
    return conceal_settings(cluster, live, settings)


def _collect(
    readings: Mapping[Key, Future[BackendState]],
    targets: Mapping[Key, Future[Target]],
    needed: Collection[Address] | None,
) -> Live:
    """Return the live state. A server that does not answer is left out where nothing of it is `needed` (None: all is).

    Kinds that are read by names are always needed: what they have in common with a stack is not known otherwise.
    """
    kinds = KINDS.keys() if needed is None else {address.kind for address in needed}
    answers: dict[Key, tuple[BackendState, Target]] = {}
    unread: dict[str, str] = {}
    for key, reading in readings.items():
        kind = KINDS[key[0]]
        try:
            state, target = reading.result(), targets[key].result()
        except KplanError as failure:
            if not kind.reads_all or kind.name in kinds or failure.error_class is not ErrorClass.RETRIABLE:
                raise
            unread[kind.name] = failure.message.rstrip(".")
            continue
        answers[key] = state, target
        for alias, reason in state.unread.items():
            if needed is None or any(a.kind == kind.name and a.name.rpartition("/")[0] == alias for a in needed):
                raise reason
            unread[kind.name] = reason.message.rstrip(".")
    return replace(_join(answers), unread=unread)


def _join(answers: Mapping[Key, tuple[BackendState, Target]]) -> Live:
    """Return the live state of all that answered, on servers that belong together."""
    target, *others = (target for _, target in answers.values())
    for other in others:
        if target.cluster_id and other.cluster_id not in ("", target.cluster_id):
            raise Unsupported(
                f"Connect at {other.connect_url} works on cluster {other.cluster_id}, not on {target.cluster_id}",
                code=codes.K332,
                help="name the Connect of this cluster in the environment",
            )
        if other.connect_url or other.connects:
            url, version = other.connect_url, other.connect_version
            target = replace(target, connect_url=url, connect_version=version, connects=other.connects)
    readings = [reading for reading, _ in answers.values()]
    return Live(
        target,
        {a: r for reading in readings for a, r in reading.resources.items()},
        next((reading.names for (kind, _), (reading, _) in answers.items() if not KINDS[kind].reads_all), frozenset()),
        frozenset().union(*(reading.hidden for reading in readings)),
        {a: h for reading in readings for a, h in reading.health.items()},
        refused={a: why for reading in readings for a, why in reading.refused.items()},
        operations=_find_said(reading.operations for reading in readings),
        allows_by_default=_find_said(reading.allows_by_default for reading in readings),
        unknown={kind: reading.unknown for (kind, _), (reading, _) in answers.items() if reading.unknown},
    )


def _find_said(answers: Iterable[V | None]) -> V | None:
    """Return what the first server says that says something."""
    return next((answer for answer in answers if answer is not None), None)
