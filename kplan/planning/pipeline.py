"""Makes a plan: reads in batches, compares, lets the servers check, weighs what is dangerous, and puts it in order."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, TypeVar

from kplan.diagnostics import (
    Diagnostic,
    ErrorClass,
    InterruptedRun,
    KplanError,
    Span,
    Unsupported,
    codes,
    error,
    ordered,
    warning,
)
from kplan.kinds.connector import sensitivity
from kplan.kinds.connector.exclusive import unique
from kplan.kinds.connector.sensitivity import Setting
from kplan.kinds.registry import KINDS, comparison_of
from kplan.kinds.risks import RiskContext
from kplan.kinds.topic import placement
from kplan.kinds.topic.options import reassignment_of, topic_options
from kplan.kinds.topic.placement import Placement
from kplan.model import (
    Action,
    Address,
    AttrDiff,
    Change,
    Connector,
    Live,
    Resource,
    Secret,
    Stack,
    Target,
)
from kplan.planning import facts
from kplan.planning.diff import Ledger, diff, needed, refuse_internal
from kplan.planning.document import Plan
from kplan.planning.draft import Draft
from kplan.planning.order import Cycle, Needs, narrowed, order
from kplan.planning.risk import Accepted, accepted_releases, assess_change, reliable, too_many, wants_facts
from kplan.planning.selection import find_unmatched, find_unmatched_accepts, known_addresses
from kplan.planning.stacks import Circle, in_order, ledger_for
from kplan.planning.undo import decide_undo
from kplan.servers.base import Backend, Cluster, Reading
from kplan.state.base import Overview, Store

if TYPE_CHECKING:
    from kplan.planning.source_check import Looked

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
    drop: frozenset[str] = frozenset()  # in the databases of connectors that go
    listed: frozenset[str] = frozenset()  # patterns that come from a file of them


@dataclass(frozen=True, slots=True)
class Begun:
    """What is being read while the stack files are: what does not depend on them."""

    targets: tuple[Future[Target], ...]
    connectors: Future[Reading] | None
    recorded: Future[Overview]


def begin(cluster: Cluster, store: Store) -> Begun:
    """The servers and the store are being asked. Nobody has to wait for it: its threads end with the process."""

    targets: tuple[Future[Target], ...] = (_started(cluster.topics.identify),)
    reading: Future[Reading] | None = None
    if cluster.connectors is not None:
        reading = _started(partial(cluster.connectors.read, None))
        targets += (_started(partial(_identified, cluster.connectors, reading)),)
    return Begun(targets, reading, _started(store.overview))


def _identified(backend: Backend, reading: Future[Reading]) -> Target:
    """Who the server is, asked a second time once it can be read: it may just have started."""
    try:
        return backend.identify()
    except KplanError as failure:
        if failure.error_class is not ErrorClass.RETRIABLE:
            raise
        reading.result()
        return backend.identify()


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


def make(stack: Stack, cluster: Cluster, store: Store, options: Options) -> Plan:
    """The plan for one stack. Reads only. Raises Unreachable, Denied, JournalBroken; all else is in its diagnostics."""
    return make_all([stack], cluster, store, options)[0]


def make_all(
    stacks: Sequence[Stack], cluster: Cluster, store: Store, options: Options, begun: Begun | None = None
) -> list[Plan]:
    """A plan for each stack, in the order in which they are to be applied; the servers are asked once for all of them.

    `begun` is what the servers and the store are being asked already. Raises as `make` does.
    """
    live, ledger = looked(stacks, cluster, store, begun)
    draft = compare_stacks(stacks, live, ledger, options)
    if (concealing := _without_passwords(cluster, live, draft.all)) is not live:
        live = concealing
        draft = compare_stacks(stacks, live, ledger, options)
    draft = draft.report(_unread(live))
    draft = narrow(draft, options)
    draft = choose_drops(draft, live, options)
    draft = place_replicas(draft, cluster)
    draft = refuse_shared(draft, live, options)
    ids = _started(partial(facts.read_ids, cluster, draft.all))
    draft = refuse_immovable(draft) if options.offline else ask_servers(draft, cluster, live.target)
    draft = assess_risks(draft, cluster, store, live, options)
    draft = remember_ids(draft, ids.result())
    draft = draft.edit(lambda change: replace(change, undo=decide_undo(change, live.target)))
    places, draft = order_stacks(draft, options)
    return [_plan(draft, place, live, ledger, options) for place in places]


# -- the stages -------------------------------------------------------------------------------------------------------
def compare_stacks(stacks: Sequence[Stack], live: Live, ledger: Ledger, options: Options) -> Draft:
    """Compare what each stack declares with what is live."""
    stacks = [
        sensitivity.with_known_secrets(stack, live, known)
        for stack, known in ((stack, ledger_for(stack, ledger, stacks)) for stack in stacks)
    ]
    draft = Draft(stacks)
    for place, stack in enumerate(stacks):
        known = ledger_for(stack, ledger, stacks)
        found = diff(stack, live, known, replaced=options.replaced, mode=options.mode)
        found.changes = accepted_releases(_placed(found.changes, stack), options.accept)
        refuse_internal(found, live, known)
        problems = list(found.diagnostics)
        if options.mode != "destroy":
            problems += (p for kind in KINDS.values() for p in kind.consequences.warn_of_stack(stack, live.target))
        problems += _uncompared(stack, live) if live.target.snapshot and options.mode == "apply" else []
        draft = replace(
            draft,
            changes={**draft.changes, **{(place, change.address): change for change in found.changes}},
            problems=[*draft.problems, *((place, problem) for problem in problems)],
            unchanged=[*draft.unchanged, found.unchanged],
            drift=[*draft.drift, found.drift],
        )
    return draft


def narrow(draft: Draft, options: Options) -> Draft:
    """Keep what was asked for and what that needs, in whichever stack that is."""
    needs = Needs.of(draft.all)
    draft = draft.edit(needs.add)
    draft = draft.report(_unmatched(draft, options))
    kept, clashes = narrowed(draft.all, options.targets, options.excluded)
    return draft.report(_clashes(clashes)).keep(kept)


def choose_drops(draft: Draft, live: Live, options: Options) -> Draft:
    """Choose what goes in the databases with their connectors."""
    if not _has_connectors(draft.all):
        return draft
    from kplan.kinds.connector.debezium.drops import find_drop_problems, with_drops

    together = draft.all
    problems = []
    draft = draft.edit_in_stack(lambda change, stack: with_drops(change, stack, options.drop))
    for (place, _), change in draft.changes.items():
        found = find_drop_problems(change, draft.stacks[place], live, options.drop, together)
        problems += [(place, problem) for problem in found]
    return replace(draft, problems=[*draft.problems, *problems])


def place_replicas(draft: Draft, cluster: Cluster) -> Draft:
    """Choose which replicas move for a new replication factor, where the cluster lets them be moved."""
    wanted = [change.address.name for change in draft.all if _factor(change)]
    if not wanted:
        return draft
    where = cluster.topics.placement(wanted)
    return draft.edit(lambda change: _moving(change, factor, where) if (factor := _factor(change)) else change)


def refuse_shared(draft: Draft, live: Live, options: Options) -> Draft:
    """Report settings that two connectors may not share."""
    if options.mode == "destroy":
        return draft
    together = Stack("", "", {a: r for stack in draft.stacks for a, r in stack.resources.items()})
    return draft.report(unique(together, live, draft.all))


def refuse_immovable(draft: Draft) -> Draft:
    """Report what the server's check would say of a replication factor whose replicas cannot be moved from here."""
    return draft.report(_immovable(draft.all))


def ask_servers(draft: Draft, cluster: Cluster, target: Target) -> Draft:
    """Let the servers and the source databases judge the changes."""
    looking = _looking(cluster, draft.all, target)
    verified, problems = check(cluster, draft.all)
    draft = draft.edit(
        lambda change: replace(change, options=replace(change.options, verified=_verified(change, verified)))
    ).report(problems)
    if looking is None:
        return draft
    found = looking.result()
    return replace(draft.report(found.diagnostics), sources=found.checks)


def assess_risks(draft: Draft, cluster: Cluster, store: Store, live: Live, options: Options) -> Draft:
    """Find the risks of each change, and which of them are accepted."""
    changes = draft.all
    known = facts.read(cluster, live, changes, [change for change in changes if wants_facts(change)])
    leftovers = facts.leftovers(cluster, store, changes)
    now = reliable(milliseconds(options.created_at), known.values())

    def assess(change: Change, stack: Stack) -> Change:
        context = RiskContext(known.get(change.address), leftovers.get(change.address, ""), now)
        return assess_change(change, stack, context, options.accept, live.target)

    return draft.edit_in_stack(assess)


def remember_ids(draft: Draft, ids: Mapping[Address, str]) -> Draft:
    """Note the ids of the existing topics that change."""
    return draft.edit(
        lambda change: (
            replace(change, options=replace(topic_options(change), topic_id=ids[change.address]))
            if change.address in ids and not change.is_ledger_only
            else change
        )
    )


def order_stacks(draft: Draft, options: Options) -> tuple[Sequence[int], Draft]:
    """Return the places of the stacks in the order in which they are to be applied."""
    changes = [draft.of_stack(place) for place in range(len(draft.stacks))]
    try:
        return in_order(draft.stacks, changes, destroy=options.mode == "destroy"), draft
    except Circle as e:
        problem = e.problem([stack.name for stack in draft.stacks])
        return range(len(draft.stacks)), draft.report([problem])


# -- parts of the stages ----------------------------------------------------------------------------------------------
def _without_passwords(cluster: Cluster, live: Live, changes: Sequence[Change]) -> Live:
    """Conceal what the plugins define as passwords, for the connectors that the plan shows."""
    shown = [change.before for change in changes if change.before and KINDS[change.address.kind].holds_secrets]
    passwords = sensitivity.of_passwords(cluster.read_passwords(shown))
    settings = [setting for setting in passwords if _is_plain(live, setting)]
    return concealed(cluster, live, settings) if shown else live


def _is_plain(live: Live, setting: Setting) -> bool:
    resource = live.resources.get(setting.connector)
    return isinstance(resource, Connector) and isinstance(resource.config.get(setting.key), str)


def _has_connectors(changes: Sequence[Change]) -> bool:
    return any(change.address.kind == "connector" for change in changes)


def _looking(cluster: Cluster, changes: Sequence[Change], target: Target) -> Future[Looked] | None:
    """What the databases are being asked; None where no connector changes."""
    if not _has_connectors(changes):
        return None
    from kplan.planning.source_check import look

    return _started(lambda: look(cluster, changes, target))


def _plan(draft: Draft, place: int, live: Live, ledger: Ledger, options: Options) -> Plan:
    stack, changes, problems = draft.stacks[place], draft.of_stack(place), draft.problems_of(place)
    managed = sum(1 for owned in ledger.values() if owned.stack == stack.name)
    limit = None if options.mode == "destroy" else too_many(changes, managed, stack.guards, options.accept)
    try:
        steps = order([_signed(change, options.sign_with) for change in changes])
    except Cycle as e:
        steps = ()
        problems.append(
            error(codes.K235, "changes wait for each other", str(e), help="apply one of them first, with --target")
        )
    names = {change.address.name for change in changes if change.address.kind == "connector"}
    return Plan(
        stack.name,
        stack.env,
        live.target,
        steps,
        options.mode,
        stack.files,
        options.commit,
        draft.unchanged[place],
        draft.hidden.get(place, 0),
        tuple(draft.drift[place]),
        ordered([*problems, *([limit] if limit else [])]),
        checked=not options.offline,
        topics_read=len(live.names),
        connectors_read=sum(1 for a in live.health),
        used_env=stack.used_env,
        created_at=options.created_at,
        sources=tuple(check for check in draft.sources if check.connector in names),
        owned=managed,
    )


def _placed(changes: Sequence[Change], stack: Stack) -> list[Change]:
    """The changes; what left the stack has its place at the last entry under `removed`, or is of the whole file."""
    listed = [entry.span for entry in stack.removed if entry.span]
    declared = [r.origin.span for r in stack.resources.values() if r.origin.span]
    place = listed[-1] if listed else Span(declared[0].path if declared else stack.path)
    return [replace(c, span=place) if c.reason == "orphan" and place.path else c for c in changes]


def _moving(change: Change, factor: AttrDiff, where: Placement) -> Change:
    """Return the change with the reassignment that gives the topic so many replicas; partitions are added first."""
    grows = any(diff.path == "/partitions" for diff in change.diffs)
    moved = None if grows else placement.reassigned(change.address.name, int(str(factor.after)), where)
    if moved is None:
        return change
    effects = (*change.options.effects, placement.said(moved))
    return replace(change, options=replace(topic_options(change), reassignment=moved, effects=effects))


def _factor(change: Change) -> AttrDiff | None:
    """The change of a replication factor in place."""
    found = (d for d in change.diffs if d.path == "/replication_factor")
    return next(found, None) if change.action is Action.UPDATE else None


def milliseconds(utc: str) -> int | None:
    """A time in ISO 8601 as milliseconds since 1970; None where it is none."""
    try:
        return int(datetime.fromisoformat(utc).timestamp() * 1000)
    except ValueError:
        return None


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


def looked(stacks: Sequence[Stack], cluster: Cluster, store: Store, begun: Begun | None = None) -> tuple[Live, Ledger]:
    """The live state of what is declared or owned, and the ledger: the servers and the store are asked at once."""
    begun = begun or begin(cluster, store)
    declared = {a for stack in stacks for a in needed(stack, {})}
    topics = cluster.topics.read(sorted({a.name for a in declared if a.kind == "topic"}))
    kafka = begun.targets[0].result()
    overview = begun.recorded.result()
    ledger, names = overview.ledger, {stack.name for stack in stacks}
    needs_connect = any(a.kind == "connector" for stack in stacks for a in needed(stack, ledger))
    live = _with_connect(topics, kafka, begun.connectors, begun.targets[1:], needs_connect)
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
    return concealed(cluster, live, [*sensitivity.of_ledger(ledger), *sensitivity.of_stacks(stacks)]), ledger


def concealed(cluster: Cluster, live: Live, settings: Iterable[Setting]) -> Live:
    """Conceal the values of sensitive settings, before anything compares or prints them; the mask learns them."""
    settings = list(settings)
    live = sensitivity.concealed(live, settings)
    cluster.mask.add(sensitivity.secret_values(live, settings))
    return sensitivity.with_masked_causes(live, cluster.mask.mask)


def read(cluster: Cluster, addresses: Iterable[Address] | None, settings: Iterable[Setting] = ()) -> Live:
    """What the servers say of `addresses` (None: all), and of every connector: both are asked at the same time.

    `settings` are those that are sensitive, by the ledger, the stacks or the plan.
    """
    wanted = None if addresses is None else list(addresses)
    names = None if wanted is None else sorted({a.name for a in wanted if a.kind == "topic"})
    needs_connect = wanted is None or any(a.kind == "connector" for a in wanted)
    with ThreadPoolExecutor(4) as pool:
        topics = pool.submit(cluster.topics.read, names)
        kafka = pool.submit(cluster.topics.identify)
        backend = cluster.connectors
        connectors = None if backend is None else pool.submit(backend.read, None)
        connect = () if backend is None else (pool.submit(backend.identify),)
        live = _with_connect(topics.result(), kafka.result(), connectors, connect, needs_connect)
    return concealed(cluster, live, settings)


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


# -- what the servers and the rest of the world say -------------------------------------------------------------------
def check(cluster: Cluster, changes: Sequence[Change]) -> tuple[Mapping[Address, str], list[Diagnostic]]:
    """Return which server accepted which change, and what they would refuse, each problem at its line."""
    problems: list[Diagnostic] = []
    verified: dict[Address, str] = {}
    by_address = {c.address: c for c in changes if c.action is not Action.RELEASE}
    with ThreadPoolExecutor(2) as pool:
        asked = [
            (b, pool.submit(_checked_by, b, [c for c in changes if c.address.kind == b.kind])) for b in cluster.backends
        ]
        for backend, future in asked:
            for address, said in future.result().items():
                problems += [_at(d, by_address[address]) for d in said]
                if not any(d.is_error for d in said):
                    verified[address] = backend.check_name
    return verified, problems


def _verified(change: Change, verified: Mapping[Address, str]) -> str:
    """Which check accepted it; what is given up is not asked for, whatever becomes of it in another stack."""
    return "" if change.action is Action.RELEASE else verified.get(change.address, "")


def _checked_by(backend: Backend, changes: Sequence[Change]) -> Mapping[Address, Sequence[Diagnostic]]:
    return backend.check(changes) if changes else {}


def _at(diagnostic: Diagnostic, change: Change) -> Diagnostic:
    """The problem at the line where the stack says the setting that the server named."""
    span = change.after.origin.at(diagnostic.path) if change.after else change.span
    return replace(diagnostic, address=diagnostic.address or str(change.address)).located(span or change.span)


def _unread(live: Live) -> list[Diagnostic]:
    """The warning that Connect was left out."""
    if not live.unread:
        return []
    help = "the plan has no connector, so it goes on; which sinks read its topics is not known, and counts as a danger"
    return [warning(codes.K335, "Connect could not be read", live.unread, help=help)]


def _uncompared(stack: Stack, live: Live) -> list[Diagnostic]:
    from kplan.servers.snapshots import uncompared

    return uncompared(stack, live)


def _immovable(changes: Sequence[Change]) -> list[Diagnostic]:
    """What the server's check would say of a replication factor whose replicas cannot be moved from here."""
    return [
        error(
            codes.K315,
            "this server or client cannot do it",
            f"the replication factor of {c.address.name} is {d.before}, the stack says {d.after}",
            help="plan without --offline: what moves, or the JSON for kafka-reassign-partitions.sh, is shown then",
            span=c.after.origin.at(d.path) if c.after else c.span,
            address=c.address,
            path=d.path,
        )
        for c in changes
        if (d := _factor(c)) is not None and reassignment_of(c) is None
    ]


def _clashes(clashes: Sequence[str]) -> list[Diagnostic]:
    return [
        error(
            codes.K236,
            "a step needs what was excluded",
            clash,
            help="exclude both, or neither",
            address=clash.partition(" ")[0],
        )
        for clash in clashes
    ]


def _unmatched(draft: Draft, options: Options) -> list[Diagnostic]:
    """What --target, --exclude, --replace and --accept name that is nowhere."""
    known = known_addresses(draft.stacks, [change.address for change in draft.all])
    named = (("--target", options.targets), ("--exclude", options.excluded), ("--replace", options.replaced))
    found = [problem for flag, each in named for problem in find_unmatched(known, flag, each, options.listed)]
    return found + find_unmatched_accepts(known, options.accept.patterns)


def _signed(change: Change, key: str | None) -> Change:
    """The change with keyed digests on its secrets."""
    if key is None:
        return change
    diffs = tuple(replace(d, before=_sign(d.before, key), after=_sign(d.after, key)) for d in change.diffs)
    before, after = (_sign_all(resource, key) for resource in (change.before, change.after))
    return replace(change, before=before, after=after, diffs=diffs)


def _sign(value: V, key: str) -> V:
    return value.signed(key) if isinstance(value, Secret) else value  # type: ignore[return-value]


def _sign_all(resource: Resource | None, key: str) -> Resource | None:
    if resource is None:
        return None
    comparison = comparison_of(resource.address)
    signed = {path: secret.signed(key) for path, secret in comparison.secrets(resource).items()}
    return comparison.with_values(resource, signed)


def not_for_apply(stack: Stack) -> list[Diagnostic]:
    """The problem with each sensitive variable that has no value: servers cannot be asked without it."""
    from kplan.language.variables import process_names

    return [
        error(
            codes.K219,
            "a sensitive variable has no value",
            name,
            span=span,
            help=f"set {process_names(name, stack.unset_env.get(name))}",
        )
        for name, span in stack.unset.items()
    ]
