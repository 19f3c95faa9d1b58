"""What a change of a binding takes from somebody: from kplan's own user, from readers and writers, from all others."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache

from kplan.diagnostics import Diagnostic, codes, error
from kplan.kinds.acl.authorizer import EVERYBODY, Authorizer, allows, covers
from kplan.kinds.acl.binding import AclBinding, describe_loss, name_place
from kplan.kinds.acl.operations import ALL, ANY_HOST, ANY_NAME, CLUSTER_NAME, PatternType, ResourceType
from kplan.kinds.acl.permissions import group_prefix
from kplan.kinds.risks import NO_WORLD, RiskContext, World, make_risk
from kplan.model import Action, Address, Change, Facts, Live, Resource, Risk
from kplan.text import count
from kplan.values import dataclass

RECENT_MS = 7 * 86_400_000  # a topic that was written within so long has a writer
MOST_NAMED = 3
EXCLUSIVE = "exclusive"  # the reason of a deletion that no stack asked for by name

# What kplan's own user needs so that it can undo a change, and end its run (docs/permissions.md).
STATE_TOPIC_RIGHTS = ("Read", "Write", "DescribeConfigs")
CLUSTER_RIGHTS = ("Describe", "Alter")
QUOTA_RIGHTS = ("DescribeConfigs", "AlterConfigs")  # on the cluster
TOPIC_RIGHTS = ("Create", "Alter", "AlterConfigs", "Delete", "Describe", "DescribeConfigs")

Need = tuple[str, ResourceType, str]  # an operation, and the type and name of a resource


def binding_of(change: Change) -> AclBinding:
    """Return the binding that a change creates or deletes."""
    binding = change.after or change.before
    assert isinstance(binding, AclBinding)
    return binding


def takes_away(change: Change) -> bool:
    """Whether somebody may do less after the change: an ALLOW is deleted, or a DENY created."""
    if change.is_ledger_only:
        return False
    return binding_of(change).is_allow == (change.action is Action.DELETE)


def is_own_loss_accepted(change: Change) -> bool:
    """Whether the stack, or who runs kplan, accepts that kplan's own user loses something."""
    return any(risk.code == codes.K440.number and risk.accepted is not None for risk in change.risks)


@dataclass(frozen=True, slots=True)
class Judgement:
    """The bindings before all changes of a plan and after them, and what kplan's own user loses by them."""

    before: Authorizer
    after: Authorizer
    lost: Sequence[Need] = ()


@lru_cache(2)
def judge(world: World) -> Judgement:
    """Return what the changes of a plan mean for who may do what."""
    live, default = world.live, world.live.allows_by_default is True
    before, after = (
        Authorizer([each for each in resources.values() if isinstance(each, AclBinding)], allows_by_default=default)
        for resources in (live.resources, world.after)
    )
    changed = {binding.address: binding for authorizer in (before, after) for binding in authorizer.bindings}
    changed = {a: binding for a, binding in changed.items() if (a in live.resources) != (a in world.after)}
    own = live.principal
    is_about_own = any(binding.principal in (own, EVERYBODY) for binding in changed.values())
    if not own or not is_about_own or is_granted_otherwise(live, before):
        return Judgement(before, after)
    lost = [
        need
        for need in list_own_needs(live, world.after, world.stacks)
        if before.is_allowed(own, *need) and not after.is_allowed(own, *need)
    ]
    return Judgement(before, after, lost)


def is_granted_otherwise(live: Live, before: Authorizer) -> bool:
    """Whether kplan's own user may do on the cluster what no binding allows: it is a super user, or has other names."""
    return any(
        not before.is_allowed(live.principal, operation, ResourceType.CLUSTER, CLUSTER_NAME)
        for operation in live.operations or ()
    )


def list_own_needs(live: Live, after: Mapping[Address, Resource], stacks: Collection[str]) -> list[Need]:
    """Return what kplan's own user needs for the state, for access, and for the topics of these stacks."""
    topics = dict.fromkeys(address.name for address in after if address.kind == "topic")
    return [
        *list_vital_needs(live, stacks),
        *((operation, ResourceType.TOPIC, name) for name in topics for operation in TOPIC_RIGHTS),
    ]


def list_vital_needs(live: Live, stacks: Collection[str]) -> list[Need]:
    """Return those without which kplan could neither undo a change nor end its run."""
    vital: list[Need] = [(operation, ResourceType.CLUSTER, CLUSTER_NAME) for operation in CLUSTER_RIGHTS]
    if live.state:
        vital += [(operation, ResourceType.TOPIC, live.state) for operation in STATE_TOPIC_RIGHTS]
        for stack in stacks:
            group = f"{group_prefix(live.state)}{stack}"
            vital += [("Read", ResourceType.GROUP, group), ("Write", ResourceType.TRANSACTIONAL_ID, group)]
    return vital


def _is_by(change: Change, need: Need, principal: str) -> bool:
    """Whether a change takes a need away from the principal."""
    operation, resource_type, name = need
    binding = binding_of(change)
    if not takes_away(change) or binding.resource_type is not resource_type:
        return False
    if binding.principal not in (principal, EVERYBODY) or not _matches(binding, name):
        return False
    return allows(binding.operation, operation) if binding.is_allow else binding.operation in (ALL, operation)


def _matches(binding: AclBinding, name: str) -> bool:
    if binding.pattern is PatternType.PREFIXED:
        return name.startswith(binding.resource_name)
    return binding.resource_name in (ANY_NAME, name)


def _name_needs(needs: Sequence[Need]) -> str:
    named = [
        f"{operation} on {kind.noun}{f' {name}' if name != CLUSTER_NAME else ''}" for operation, kind, name in needs
    ]
    more = f" and {len(named) - MOST_NAMED} more" if named[MOST_NAMED:] else ""
    return ", ".join(named[:MOST_NAMED]) + more


# -- errors -----------------------------------------------------------------------------------------------------------
def find_errors(change: Change, context: RiskContext) -> Iterator[Diagnostic]:
    """Yield an error where kplan could not undo the change, or not end its run."""
    if change.is_ledger_only or not takes_away(change):
        return
    live, lost = context.world.live, set(judge(context.world).lost)
    mine = [
        need
        for need in list_vital_needs(live, context.world.stacks)
        if need in lost and _is_by(change, need, live.principal)
    ]
    if mine:
        yield error(
            codes.K446,
            "kplan could not undo this",
            f"{live.principal}, kplan's own user, would lose {_name_needs(mine)}",
            help="keep the binding, or give kplan's user the right in another way first; where it is a super user, say"
            " so in kplan.yaml: `authorizer: {super_user: true}`",
            span=change.span,
            address=change.address,
        )


# -- risks ------------------------------------------------------------------------------------------------------------
def find_risks(change: Change, context: RiskContext) -> Iterator[Risk]:
    if change.is_ledger_only or context.world is NO_WORLD:
        return
    judgement = judge(context.world)
    binding = binding_of(change)
    if change.action is Action.CREATE:
        yield from _find_shut_out(binding, context.world, judgement)
    if not takes_away(change):
        return
    world = context.world
    vital = set(list_vital_needs(world.live, world.stacks))
    lost = [need for need in judgement.lost if need not in vital and _is_by(change, need, world.live.principal)]
    if lost:
        yield make_risk(codes.K440, f"{world.live.principal}, kplan's own user, would lose {_name_needs(lost)}")
    if change.reason == EXCLUSIVE:
        yield make_risk(codes.K442, f"{describe_loss(binding)}: its block is exclusive and does not ask for it")
    elif binding.is_allow:
        yield from _find_loss_of_allow(binding, context, judgement)
    else:
        yield from _find_loss_by_deny(binding, context, judgement)


def _find_shut_out(binding: AclBinding, world: World, judgement: Judgement) -> Iterator[Risk]:
    """Yield the danger of the first binding of what everybody could use."""
    if world.live.allows_by_default is False or binding.resource_type is ResourceType.CLUSTER:
        return
    what = _name_first(binding, world, judgement.before)
    if what:
        expected = "" if world.live.allows_by_default else ", if the brokers allow everybody what has no binding"
        yield make_risk(codes.K441, f"it is the first binding of {what}: who has none is refused{expected}")


def _name_first(binding: AclBinding, world: World, before: Authorizer) -> str:
    """Return what had no binding before this one; of groups and transactional ids, kplan knows no live names."""
    kind, is_one = binding.resource_type, binding.pattern is PatternType.LITERAL and binding.resource_name != ANY_NAME
    if is_one or kind is ResourceType.TOPIC:
        names = [binding.resource_name] if is_one else _find_names(binding, world)
        first = [name for name in names if not any(before.find_matching(kind, name))]
        return _name_some(kind.noun, first) if first else ""
    is_covered = any(covers(replace(other, host=ANY_HOST), binding) for other in before.bindings)
    return "" if is_covered else name_place(binding)


def _find_loss_of_allow(binding: AclBinding, context: RiskContext, judgement: Judgement) -> Iterator[Risk]:
    still = next(
        (
            other
            for principal in (binding.principal, EVERYBODY)
            for other in judgement.after.by_principal.get(principal, ())
            if other.is_allow and allows(other.operation, binding.operation) and covers(other, binding)
        ),
        None,
    )
    if still is not None:
        yield make_risk(codes.K444, f"{binding.principal} keeps the right by {still.address}")
        return
    yield _judge_loss(binding, context)


def _find_loss_by_deny(binding: AclBinding, context: RiskContext, judgement: Judgement) -> Iterator[Risk]:
    hit = [
        other
        for other in judgement.before.bindings
        if other.is_allow
        and (binding.principal in (EVERYBODY, other.principal) or other.principal == EVERYBODY)
        and (binding.operation in (ALL, other.operation) or other.operation == ALL)
        and (covers(binding, other) or covers(other, binding))
    ]
    for other in hit:
        owner = context.world.owners.get(other.address)
        if owner is not None and owner not in context.world.stacks and covers(binding, other):
            yield make_risk(codes.K445, f"{other.address} of stack {owner} has no effect after it")
            return
    yield _judge_loss(binding, context)


def _judge_loss(binding: AclBinding, context: RiskContext) -> Risk:
    """Return the danger where somebody seems to use what is taken away, else the caution."""
    loss = describe_loss(binding)
    seen = _find_users(binding, context)
    return make_risk(codes.K442, f"{loss}: {seen}") if seen else make_risk(codes.K443, loss)


def _find_users(binding: AclBinding, context: RiskContext) -> str:
    """Say who reads or writes what the binding is about; empty where nobody was seen. Kafka tells no principals."""
    if binding.resource_type is not ResourceType.TOPIC or binding.operation not in (ALL, "Read", "Write"):
        return ""
    for name in _find_names(binding, context.world):
        facts = context.world.facts.get(Address("topic", name), Facts())
        groups = [reader.group for reader in facts.readers if reader.active]
        if groups and binding.operation in (ALL, "Read"):
            return f"{_name_some('group', groups)} {'read' if groups[1:] else 'reads'} {name}"
        written = facts.last_write
        is_recent = written is not None and context.now is not None and context.now - written < RECENT_MS
        if is_recent and binding.operation in (ALL, "Write"):
            return f"{name} was written within the last 7 days"
        if "readers" in facts.unknown and binding.operation in (ALL, "Read"):
            return f"who reads {name} is not known: {facts.unknown['readers']}"
    return ""


def find_topics_in_question(change: Change, names: Collection[str]) -> list[str]:
    """Return the live topics whose readers and writers may lose a right by the change."""
    binding = binding_of(change)
    if not takes_away(change) or binding.resource_type is not ResourceType.TOPIC:
        return []
    if binding.operation not in (ALL, "Read", "Write"):
        return []
    return sorted(name for name in names if _matches(binding, name))


def _find_names(binding: AclBinding, world: World) -> list[str]:
    """Return the live topics that a binding is about."""
    if binding.pattern is PatternType.LITERAL and binding.resource_name != ANY_NAME:
        return [binding.resource_name] if binding.resource_name in world.live.names else []
    return sorted(name for name in world.live.names if _matches(binding, name))


def _name_some(noun: str, names: Sequence[str]) -> str:
    named = ", ".join(names[:MOST_NAMED])
    return f"{noun} {named}" if len(names) == 1 else f"{count(len(names), noun)}: {named}{', …' if names[3:] else ''}"
