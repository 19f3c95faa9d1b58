"""Makes a plan: reads in batches, compares, lets the servers check, weighs what is dangerous, and puts it in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import Future
from dataclasses import field, replace
from datetime import datetime
from functools import partial
from glob import escape
from typing import TypeVar

from kplan.diagnostics import (
    Diagnostic,
    Severity,
    Span,
    codes,
    error,
    sort_diagnostics,
    warning,
)
from kplan.kinds.connector import sensitivity
from kplan.kinds.connector.sensitivity import Setting
from kplan.kinds.nouns import describe_unknown
from kplan.kinds.registry import KINDS, comparison_of, consequences_of, kinds_of
from kplan.kinds.risks import RiskContext, World
from kplan.kinds.topic import placement
from kplan.kinds.topic.options import topic_options
from kplan.model import (
    Address,
    Change,
    Live,
    Resource,
    Secret,
    Stack,
    Target,
)
from kplan.model.forecast import StorageState
from kplan.model.policies import Policy
from kplan.planning import facts
from kplan.planning.diff import diff, refuse_internal
from kplan.planning.document import Plan
from kplan.planning.draft import Draft
from kplan.planning.forecast import make_forecast, start_reading
from kplan.planning.needed import Ledger
from kplan.planning.order import Cycle, Needs, Step, narrow_changes, order
from kplan.planning.reading import Prefetch, conceal_settings, read_live_state, start_call
from kplan.planning.risk import Accepted, accepted_releases, assess_change, reliable, too_many
from kplan.planning.selection import find_unmatched, find_unmatched_accepts, known_addresses
from kplan.planning.server_checks import ask_servers, reads_databases
from kplan.planning.stacks import Circle, in_order, ledger_for
from kplan.planning.undo import decide_undo
from kplan.servers.base import REGISTRY, Cluster
from kplan.state.base import Store
from kplan.values import dataclass

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
    checks_logins: bool = True  # users log in where only that shows whether a password is right
    selector: Mapping[str, str] = field(default_factory=dict)  # labels of what is planned, `team` among them


def make(stack: Stack, cluster: Cluster, store: Store, options: Options) -> Plan:
    """Return the plan for one stack. Reads only. Raises Unreachable, Denied, JournalBroken; all else is in its
    diagnostics.
    """
    return make_all([stack], cluster, store, options)[0]


def make_all(
    stacks: Sequence[Stack], cluster: Cluster, store: Store, options: Options, prefetch: Prefetch | None = None
) -> list[Plan]:
    """Return a plan for each stack, in the order in which they are to be applied; the servers are asked once for all of
    them.

    `prefetch` is what the servers and the store are being asked already. Raises as `make` does.
    """
    live, ledger = read_live_state(stacks, cluster, store, prefetch)
    live = _compare_passwords(stacks, live, ledger, cluster, options)
    draft = compare_stacks(stacks, live, ledger, options)
    if (concealing := _without_passwords(cluster, live, draft.all)) is not live:
        live = concealing
        draft = compare_stacks(stacks, live, ledger, options)
    draft = draft.report([*_unread(live), *_note_unknown(live)])
    draft = narrow(draft, options)
    draft = choose_drops(draft, live, options)
    draft = place_replicas(draft, cluster)
    draft = refuse_shared(draft, live, options)
    ids = start_call(partial(facts.read_ids, cluster, draft.all))
    storing = start_reading(draft.all, cluster)
    predicting = start_predicting(draft, cluster, live.target, options)
    draft = refuse_immovable(draft) if options.offline else ask_servers(draft, cluster, store, live.target)
    draft = draft.report(predicting.result() if predicting is not None else [])
    draft = assess_risks(draft, cluster, store, live, ledger, options)
    draft = remember_ids(draft, ids.result())
    draft = draft.edit(lambda change: replace(change, undo=decide_undo(change, live.target)))
    places, draft = order_stacks(draft, options)
    state = storing.result() if storing is not None else None
    return [_plan(draft, place, live, ledger, options, state) for place in places]


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
        found.changes = accepted_releases(_place_changes(found.changes, stack), options.accept)
        refuse_internal(found, live, known)
        problems = list(found.diagnostics)
        if options.mode != "destroy":
            problems += (
                p for kind in kinds_of(stack.resources) for p in kind.consequences.warn_of_stack(stack, live.target)
            )
        problems += _note_uncompared(stack, live) if live.target.snapshot and options.mode == "apply" else []
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
    needs = Needs.of(draft.all, draft.by_stack())
    draft = draft.edit(needs.add)
    draft = draft.report(_report_unmatched(draft, options))
    targets = options.targets
    if options.selector:
        selected = _select(draft.all, options.selector)
        targets = (*targets, *(escape(str(change.address)) for change in selected))
        if not selected:
            return draft.report([_report_unselected(draft, options.selector)]).keep([])
    kept, clashes = narrow_changes(draft.all, targets, options.excluded)
    return draft.report(_clashes(clashes)).keep(kept)


def choose_drops(draft: Draft, live: Live, options: Options) -> Draft:
    """Choose what goes in the databases with their connectors."""
    if not reads_databases(draft.all):
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
    wanted = [change.address.name for change in draft.all if placement.find_factor_change(change)]
    if not wanted:
        return draft
    where = cluster.topics.placement(wanted)
    return draft.edit(lambda change: placement.add_reassignment(change, where))


def refuse_immovable(draft: Draft) -> Draft:
    """Report a replication factor whose replicas cannot be moved from here."""
    return draft.report(placement.find_immovable(draft.all))


def refuse_shared(draft: Draft, live: Live, options: Options) -> Draft:
    """Report what two resources have and only one may have, such as a replication slot."""
    if options.mode == "destroy":
        return draft
    together = Stack("", "", {a: r for stack in draft.stacks for a, r in stack.resources.items()})
    for kind in kinds_of(together.resources):
        draft = draft.report(list(kind.consequences.find_shared(together, live, draft.all)))
    return draft


def start_predicting(
    draft: Draft, cluster: Cluster, target: Target, options: Options
) -> Future[list[Diagnostic]] | None:
    """Ask what the registry will say of the connectors' tables; None where no connector of this plan writes schemas.

    A plan that is narrowed looks at the connectors that it changes.
    """
    asks_nobody = options.offline and not target.snapshot
    has_registry = cluster.has_registry and ("subject", REGISTRY) in cluster.by_kind
    if options.mode == "destroy" or asks_nobody or not has_registry:
        return None
    if not any(KINDS[kind].views.moves_records for kind in {a.kind for stack in draft.stacks for a in stack.resources}):
        return None
    from kplan.planning.schema_prediction import check_schemas, find_connectors

    changed = {change.address for change in draft.all}
    is_narrowed = bool(options.targets or options.excluded or options.selector)
    connectors = [each for each in find_connectors(draft.stacks) if not is_narrowed or each.address in changed]
    return start_call(lambda: check_schemas(connectors, draft.stacks, cluster, target)) if connectors else None


def assess_risks(draft: Draft, cluster: Cluster, store: Store, live: Live, ledger: Ledger, options: Options) -> Draft:
    """Find the risks of each change, and which of them are accepted; report what may not be done in any case."""
    changes = draft.all
    known = facts.read(cluster, live, changes, facts.find_topics_in_question(changes, live))
    leftovers = facts.leftovers(cluster, store, changes)
    now = reliable(milliseconds(options.created_at), known.values())
    owners = {address: owned.stack for address, owned in ledger.items()}
    stacks = tuple(stack.name for stack in draft.stacks)
    world = World(live, facts.find_resources_after(live, changes), stacks, owners, known)

    def judge(change: Change) -> RiskContext:
        return RiskContext(known.get(change.address), leftovers.get(change.address, ""), now, world)

    def assess(change: Change, stack: Stack) -> Change:
        return assess_change(change, stack, judge(change), options.accept, live.target)

    errors = [problem for change in changes for problem in consequences_of(change).find_errors(change, judge(change))]
    return draft.edit_in_stack(assess).report(errors)


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
    return conceal_settings(cluster, live, settings) if shown else live


def _compare_passwords(stacks: Sequence[Stack], live: Live, ledger: Ledger, cluster: Cluster, options: Options) -> Live:
    """Learn by logins which live passwords are as declared, where logins are not left out."""
    if not any(address.kind == "user" for stack in stacks for address in stack.resources):
        return live
    from kplan.planning import logins

    if options.checks_logins:
        return logins.check_logins(stacks, live, ledger, cluster)
    reason = "a snapshot has no logins" if live.target.snapshot else "without a login check"
    return logins.skip_logins(live, cluster, reason)


def _is_plain(live: Live, setting: Setting) -> bool:
    resource = live.resources.get(setting.connector)
    path = f"/config/{setting.key}"
    return resource is not None and isinstance(comparison_of(resource.address).read_attribute(resource, path), str)


def _plan(
    draft: Draft, place: int, live: Live, ledger: Ledger, options: Options, state: StorageState | None = None
) -> Plan:
    stack, changes, problems = draft.stacks[place], draft.of_stack(place), draft.problems_of(place)
    managed = sum(1 for owned in ledger.values() if owned.stack == stack.name)
    limit = None if options.mode == "destroy" else too_many(changes, managed, stack.guards, options.accept)
    try:
        steps = order([_sign_secrets(change, options.sign_with) for change in changes])
    except Cycle as e:
        steps = ()
        problems.append(
            error(codes.K235, "changes wait for each other", str(e), help="apply one of them first, with --target")
        )
    problems += judge_steps(stack.policies, steps, stack.name, stack.env)
    names = {change.address.name for change in changes if KINDS[change.address.kind].reads_databases}
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
        sort_diagnostics([*problems, *([limit] if limit else [])]),
        checked=not options.offline,
        topics_read=len(live.names),
        connectors_read=sum(1 for a in live.health),
        used_env=stack.used_env,
        created_at=options.created_at,
        sources=tuple(check for check in draft.sources if check.connector in names),
        owned=managed,
        forecast=make_forecast(changes, state, milliseconds(options.created_at)),
        links=stack.links,
    )


def judge_steps(policies: Sequence[Policy], steps: Sequence[Step], stack: str, env: str) -> list[Diagnostic]:
    """Return what the policies say of the steps of a plan."""
    if not policies or not steps:
        return []
    from kplan.project.policy import JudgedStep, check_policies

    judged = [JudgedStep(step.change, step.number, step.wave, stack, env) for step in steps]
    return check_policies(policies, judged)


def _place_changes(changes: Sequence[Change], stack: Stack) -> list[Change]:
    """Return the changes; what left the stack has its place at the last entry under `removed`, or is of the
    whole file.
    """
    listed = [entry.span for entry in stack.removed if entry.span]
    declared = [r.origin.span for r in stack.resources.values() if r.origin.span]
    place = listed[-1] if listed else Span(declared[0].path if declared else stack.path)
    return [replace(c, span=place) if c.reason == "orphan" and place.path else c for c in changes]


def milliseconds(utc: str) -> int | None:
    """Return a time in ISO 8601 as milliseconds since 1970; None where it is none."""
    try:
        return int(datetime.fromisoformat(utc).timestamp() * 1000)
    except ValueError:
        return None


def _unread(live: Live) -> list[Diagnostic]:
    """Return the warnings that servers were left out."""
    return [
        warning(
            codes.K335,
            f"{KINDS[kind].server.capitalize()} could not be read",
            why,
            help=f"the plan has no {kind} there, so it goes on{KINDS[kind].unread_effect}",
        )
        for kind, why in live.unread.items()
    ]


def _note_unknown(live: Live) -> list[Diagnostic]:
    """Return notes that count what is live and cannot be named."""
    return [
        Diagnostic(
            codes.K344.number,
            Severity.NOTE,
            "live resources that this kplan does not know",
            f"{describe_unknown(kind, number)}: left alone",
            "a later kplan may know them; `kplan explain K344` says how to see them",
        )
        for kind, number in live.unknown.items()
    ]


def _note_uncompared(stack: Stack, live: Live) -> list[Diagnostic]:
    from kplan.servers.snapshots import note_uncompared

    return note_uncompared(stack, live)


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


def _select(changes: Sequence[Change], selector: Mapping[str, str]) -> list[Change]:
    """Return the changes of resources with these labels: declared, else as they were applied last."""
    return [change for change in changes if (owner := _find_labelled(change)) and owner.rules.has(selector)]


def _find_labelled(change: Change) -> Resource | None:
    return change.after or (change.owner.applied if change.owner else None) or change.before


def _report_unselected(draft: Draft, selector: Mapping[str, str]) -> Diagnostic:
    """Return the problem of a selector with which nothing is changed: an error where no stack has such labels."""
    declared = [resource for stack in draft.stacks for resource in stack.resources.values()]
    words = ", ".join(f"{key}={value}" for key, value in selector.items())
    is_known = any(resource.rules.has(selector) for resource in declared)
    teams = sorted({resource.rules.team for resource in declared if resource.rules.team})
    help = f"teams here: {', '.join(teams[:8])}" if teams else "write `team:` or `labels:` in the stack"
    report = warning if is_known else error
    title = "nothing selected is changed" if is_known else "a pattern matches nothing"
    return report(codes.K237, title, f"--selector {words}", help="" if is_known else help)


def _report_unmatched(draft: Draft, options: Options) -> list[Diagnostic]:
    """Return what --target, --exclude, --replace and --accept name that is nowhere."""
    known = known_addresses(draft.stacks, [change.address for change in draft.all])
    named = (("--target", options.targets), ("--exclude", options.excluded), ("--replace", options.replaced))
    found = [problem for flag, each in named for problem in find_unmatched(known, flag, each, options.listed)]
    return found + find_unmatched_accepts(known, options.accept.patterns)


def _sign_secrets(change: Change, key: str | None) -> Change:
    """Return the change with keyed digests on its secrets."""
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
    """Return the problem with each sensitive variable that has no value: servers cannot be asked without it."""
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
