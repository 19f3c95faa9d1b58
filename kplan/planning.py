"""Makes a plan: reads in batches, compares, lets the servers check, weighs what is dangerous, and puts it in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from typing import TypeVar

from kplan import facts
from kplan.backends.base import Backend, Cluster, Reading
from kplan.diagnostics import Diagnostic, InterruptedRun, Span, Unsupported, error, ordered, warning
from kplan.diff import Difference, Ledger, diff, needed
from kplan.model import Action, Address, Change, Connector, Live, Resource, Secret, Stack, Target, Topic
from kplan.order import Cycle, narrowed, order, with_needs
from kplan.plan import Plan
from kplan.risk import Accepted, accepted_releases, assess, too_many, wants_facts
from kplan.store.base import Store
from kplan.unique import unique

V = TypeVar("V")


@dataclass(frozen=True, slots=True)
class Options:
    """How a plan is narrowed, and what it may do."""

    mode: str = "apply"  # apply | destroy
    targets: tuple[str, ...] = ()
    excluded: tuple[str, ...] = ()
    replaced: tuple[str, ...] = ()
    accept: Accepted = Accepted()
    offline: bool = False
    sign_with: str | None = None
    created_at: str = ""
    commit: str = ""


@dataclass(frozen=True, slots=True)
class Begun:
    """What is being read while the stack files are: what does not depend on them."""

    targets: tuple[Future[Target], ...]
    connectors: Future[Reading] | None
    recorded: Future[tuple[bool, Ledger]]  # whether any run is open, and the ledger


def begin(cluster: Cluster, store: Store) -> Begun:
    """The servers and the store are being asked. Nobody has to wait for it: its threads end with the process."""

    def recorded() -> tuple[bool, Ledger]:
        return bool(store.open_runs()), store.ledger()

    connectors = cluster.connectors
    return Begun(
        tuple(_started(backend.identify) for backend in cluster.backends),
        None if connectors is None else _started(lambda: connectors.read(None)),
        _started(recorded),
    )


def _started(call: Callable[[], V]) -> Future[V]:
    """What the call will return or raise. Its thread keeps no process alive that has something else to say."""
    future: Future[V] = Future()

    def run() -> None:
        try:
            future.set_result(call())
        except BaseException as e:
            future.set_exception(e)

    threading.Thread(target=run, daemon=True).start()
    return future


def make(
    stack: Stack, cluster: Cluster, store: Store, options: Options, seen: tuple[Live, Ledger] | None = None
) -> Plan:
    """The plan for one stack. Reads only. Raises Unreachable, Denied, JournalBroken; all else is in its diagnostics.

    `seen` is what `looked` found for this and other stacks.
    """
    live, ledger = seen or looked([stack], cluster, store)
    found = diff(stack, live, ledger, replaced=options.replaced, mode=options.mode)
    changes = with_needs(accepted_releases(_placed(found.changes, stack), options.accept, live.target))
    total = len(changes)
    changes, clashes = narrowed(changes, options.targets, options.excluded)
    problems = found.diagnostics + _clashes(clashes) + _unmatched(stack, found, options)
    problems += [] if options.mode == "destroy" else unique(stack, live, changes)
    problems += [] if options.mode == "destroy" else _few_replicas(stack, live.target)
    problems += _uncompared(stack, live) if live.target.snapshot and options.mode == "apply" else []
    if options.offline:
        problems += _immovable(changes)
    else:
        changes, said = check(cluster, changes)
        problems += said
    changes = assess(
        changes,
        stack,
        facts.read(cluster, live, changes, [change for change in changes if wants_facts(change)]),
        options.accept,
        now=milliseconds(options.created_at),
        leftovers=facts.leftovers(cluster, store, changes),
    )
    managed = sum(1 for owned in ledger.values() if owned.stack == stack.name)
    limit = None if options.mode == "destroy" else too_many(changes, managed, stack.guards, options.accept)
    try:
        steps = order([_signed(change, options.sign_with) for change in changes])
    except Cycle as e:
        steps = ()
        problems.append(
            error("K235", "changes wait for each other", str(e), help="apply one of them first, with --target")
        )
    return Plan(
        stack.name,
        stack.env,
        live.target,
        steps,
        options.mode,
        stack.files,
        options.commit,
        found.unchanged,
        total - len(changes),
        tuple(found.drift),
        ordered([*problems, *([limit] if limit else [])]),
        checked=not options.offline,
        topics_read=len(live.names),
        connectors_read=sum(1 for a in live.health),
        used_env=stack.used_env,
        created_at=options.created_at,
    )


def _placed(changes: Sequence[Change], stack: Stack) -> list[Change]:
    """The changes; what left the stack has its place at the last entry under `removed`, or is of the whole file."""
    listed = [entry.span for entry in stack.removed if entry.span]
    declared = [r.origin.span for r in stack.resources.values() if r.origin.span]
    place = listed[-1] if listed else Span(declared[0].path if declared else stack.path)
    return [replace(c, span=place) if c.reason == "orphan" and place.path else c for c in changes]


def milliseconds(utc: str) -> int | None:
    """A time in ISO 8601 as milliseconds since 1970; None where it is none."""
    try:
        return int(datetime.fromisoformat(utc).timestamp() * 1000)
    except ValueError:
        return None


def refuse_interrupted(store: Store, stack: str) -> None:
    """Raises InterruptedRun where a run of the stack has no end and nobody holds its lock."""
    for run in store.open_runs():
        entries = store.entries(run)
        if not entries or entries[0].stack != stack or store.holder(stack) is not None:
            continue
        if run in store.open_runs():  # it may just have ended
            raise InterruptedRun(
                f"run {run} of stack {stack} was interrupted, or could not be rolled back",
                help=f"see it with `kplan recover --list`, put it back with `kplan recover {run}`",
            )


def looked(stacks: Sequence[Stack], cluster: Cluster, store: Store, begun: Begun | None = None) -> tuple[Live, Ledger]:
    """The live state of what the stacks declare or own, and the ledger: the servers and the store are asked at once."""
    begun = begun or begin(cluster, store)
    declared = frozenset().union(*(needed(stack, {}) for stack in stacks))
    topics = cluster.topics.read(sorted({a.name for a in declared if a.kind == "topic"}))
    live = _live(
        [topics] if begun.connectors is None else [topics, begun.connectors.result()],
        [target.result() for target in begun.targets],
    )
    interrupted, ledger = begun.recorded.result()
    for stack in stacks if interrupted else ():
        refuse_interrupted(store, stack.name)
    owned = frozenset().union(*(needed(stack, ledger) for stack in stacks))
    left = {a.name for a in owned - declared if a.kind == "topic"}
    if left:  # what the stacks own and no longer declare
        more = cluster.topics.read(sorted(left))
        live = replace(
            live,
            resources={**live.resources, **more.resources},
            hidden=live.hidden | more.hidden,
            refused={**live.refused, **more.refused},
        )
    return live, ledger


def read(cluster: Cluster, addresses: Iterable[Address] | None) -> Live:
    """What the servers say of `addresses` (None: all), and of every connector: both are asked at the same time."""
    topics = None if addresses is None else sorted({a.name for a in addresses if a.kind == "topic"})
    with ThreadPoolExecutor(4) as pool:
        readings = [pool.submit(b.read, topics if b.kind == "topic" else None) for b in cluster.backends]
        targets = [pool.submit(b.identify) for b in cluster.backends]
        return _live([r.result() for r in readings], [t.result() for t in targets])


def _live(readings: Sequence[Reading], targets: Sequence[Target]) -> Live:
    kafka = targets[0]
    connect = targets[1] if len(targets) > 1 else Target()
    if connect.cluster_id and kafka.cluster_id and connect.cluster_id != kafka.cluster_id:
        raise Unsupported(
            f"Connect at {connect.connect_url} works on cluster {connect.cluster_id}, not on {kafka.cluster_id}",
            code="K332",
            help="name the Connect of this cluster in the environment",
        )
    target = replace(kafka, connect_url=connect.connect_url, connect_version=connect.connect_version)
    resources = {a: r for reading in readings for a, r in reading.resources.items()}
    health = {a: h for reading in readings for a, h in reading.health.items()}
    hidden = frozenset().union(*(reading.hidden for reading in readings))
    refused = {a: why for reading in readings for a, why in reading.refused.items()}
    return Live(target, resources, readings[0].names, hidden, health, refused=refused)


# -- what the servers and the rest of the world say -------------------------------------------------------------------
def check(cluster: Cluster, changes: Sequence[Change]) -> tuple[list[Change], list[Diagnostic]]:
    """The changes that a server would accept are marked so; what it would refuse is a problem at its line."""
    problems: list[Diagnostic] = []
    verified: dict[Address, str] = {}
    by_address = {c.address: c for c in changes}
    with ThreadPoolExecutor(2) as pool:
        asked = [
            (b, pool.submit(_checked_by, b, [c for c in changes if c.address.kind == b.kind])) for b in cluster.backends
        ]
        for backend, future in asked:
            for address, said in future.result().items():
                problems += [_at(d, by_address[address]) for d in said]
                if not any(d.is_error for d in said):
                    verified[address] = "validate_only" if backend.kind == "topic" else "config/validate"
    return [replace(c, verified=verified.get(c.address, "")) for c in changes], problems


def _checked_by(backend: Backend, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
    return backend.check(changes) if changes else {}


def _at(diagnostic: Diagnostic, change: Change) -> Diagnostic:
    """The problem at the line where the stack says the setting that the server named."""
    span = change.after.origin.at(diagnostic.path) if change.after else change.span
    return replace(diagnostic, address=diagnostic.address or str(change.address)).located(span or change.span)


def _uncompared(stack: Stack, live: Live) -> list[Diagnostic]:
    from kplan.snapshot import uncompared

    return uncompared(stack, live)


def _few_replicas(stack: Stack, target: Target) -> list[Diagnostic]:
    if target.brokers < 3:
        return []
    single = [r for r in stack.resources.values() if isinstance(r, Topic) and r.replication_factor == 1]
    if not single:
        return []
    names = ", ".join(t.name for t in single[:3]) + (f" and {len(single) - 3} more" if len(single) > 3 else "")
    return [
        warning(
            "K225",
            "one replica on a cluster of several brokers",
            names,
            span=single[0].origin.span,
            help="a broker's disk is the only copy: set replication_factor: 3",
        )
    ]


def _immovable(changes: Sequence[Change]) -> list[Diagnostic]:
    """What the server's check would say of a replication factor: it is never changed in place."""
    return [
        error(
            "K315",
            "this server or client cannot do it",
            f"the replication factor of {c.address.name} is {d.before}, the stack says {d.after}",
            help="plan without --offline: the JSON for kafka-reassign-partitions is shown then",
            span=c.after.origin.at(d.path) if c.after else c.span,
            address=c.address,
            path=d.path,
        )
        for c in changes
        if c.action is Action.UPDATE
        for d in c.diffs
        if d.path == "/replication_factor"
    ]


def _clashes(clashes: Sequence[str]) -> list[Diagnostic]:
    return [
        error("K236", "a step needs what was excluded", clash, help="exclude both, or neither") for clash in clashes
    ]


def _unmatched(stack: Stack, found: Difference, options: Options) -> list[Diagnostic]:
    """A warning for each --target, --exclude or --replace that names nothing."""
    import fnmatch

    known = {str(a) for a in stack.resources} | {str(c.address) for c in found.changes}
    named = (("--target", options.targets), ("--exclude", options.excluded), ("--replace", options.replaced))
    return [
        warning(
            "K237",
            "a pattern matches nothing",
            f"{flag} {pattern}",
            help="addresses look like topic/NAME or connector/NAME",
        )
        for flag, patterns in named
        for pattern in patterns
        if not fnmatch.filter(known, pattern)
    ]


def _signed(change: Change, key: str | None) -> Change:
    """The change with keyed digests on its secrets."""
    if key is None or change.address.kind != "connector":
        return change
    diffs = tuple(replace(d, before=_sign(d.before, key), after=_sign(d.after, key)) for d in change.diffs)
    return replace(change, before=_sign_all(change.before, key), after=_sign_all(change.after, key), diffs=diffs)


def _sign(value: V, key: str) -> V:
    return value.signed(key) if isinstance(value, Secret) else value  # type: ignore[return-value]


def _sign_all(resource: Resource | None, key: str) -> Resource | None:
    if not isinstance(resource, Connector):
        return resource
    return replace(resource, config={k: _sign(v, key) for k, v in resource.config.items()})


def not_for_apply(stack: Stack) -> list[Diagnostic]:
    """The problem with each sensitive variable that has no value: servers cannot be asked without it."""
    return [
        error(
            "K219",
            "a sensitive variable has no value",
            name,
            span=span,
            help=f"set KPLAN_VAR_{name}, or the variable under its `env:`",
        )
        for name, span in stack.unset.items()
    ]
