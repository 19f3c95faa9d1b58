"""What a change loses or cuts off: rules with stable codes, what is accepted, and what blocks a plan."""

from __future__ import annotations

import fnmatch
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from kplan.diagnostics import Diagnostic, codes, error
from kplan.kinds.registry import consequences_of
from kplan.kinds.risks import NO_WORLD, RULES, RiskContext, World, make_risk
from kplan.model import (
    USUAL,
    Action,
    Change,
    Facts,
    Guards,
    Risk,
    Stack,
    Target,
)
from kplan.values import dataclass

GROWTH_FACTOR, GROWTH_RECORDS = 2, 1000  # so many times, and so many more, and an accepted deletion is another one
MINIMUM_MANAGED = 10  # `max_changes` judges shares of at least so many resources
VERBS = {Action.DELETE: "delete", Action.REPLACE: "replace"}
OTHERWISE = "change"
ACCEPTED_VERBS = (*VERBS.values(), OTHERWISE)
MAX_CHANGES = "max_changes"  # what --accept names for the guard


# -- what is accepted -------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Accepted:
    """What this run's `--accept` names: `delete:topic/x`, globs, and `max_changes`."""

    patterns: tuple[str, ...] = ()

    def covers(self, name: str) -> bool:
        return any(fnmatch.fnmatchcase(name, pattern) for pattern in self.patterns)


def accept_name(change: Change) -> str:
    """Return the words that accept all dangers of `change`: `delete:topic/x`."""
    return f"{VERBS.get(change.action, OTHERWISE)}:{change.address}"


def accepted_releases(changes: Sequence[Change], accepted: Accepted) -> list[Change]:
    """Return the changes where, with `destroy`, what was adopted is released, unless its deletion is
    accepted by name.
    """
    result = []
    for change in changes:
        stays = change.reason == "destroy" and change.action is Action.RELEASE and change.before is not None
        if stays and not change.created and accepted.covers(f"delete:{change.address}"):
            change = replace(change, action=Action.DELETE)
        result.append(change)
    return result


def _judge_risk(risk: Risk, name: str, declared: Iterable[str], accepted: Accepted) -> Risk:
    if risk.level != "danger" or risk.kind == "protect":
        return risk
    is_named = name in accepted.patterns if RULES[risk.code].is_by_name else accepted.covers(name)
    by = "stack" if risk.kind in declared else "flag" if is_named else None
    return replace(risk, accept=name, accepted=by)


MAX_AHEAD_MS = 3_600_000  # Kafka's default


# -- the rules --------------------------------------------------------------------------------------------------------
def wants_facts(change: Change) -> bool:
    """Whether what is stored, and who reads it, decides how dangerous `change` is."""
    return consequences_of(change).wants_facts(change)


def assess_change(change: Change, stack: Stack, context: RiskContext, accepted: Accepted, target: Target) -> Change:
    """Return the change with its risks, each of them accepted or not, and the options that follow from them."""
    risks = [*consequences_of(change).find_risks(change, context), *_ownership_risks(change)]
    entry = next((entry for entry in stack.removed if entry.covers(change.address)), None)
    rules = change.after.rules if change.after else change.before.rules if change.before else USUAL
    declared = entry.accept if entry and not change.after else rules.accept
    name = accept_name(change)
    change = replace(change, risks=tuple(_judge_risk(risk, name, declared, accepted) for risk in risks))
    return consequences_of(change).finish(change, target)


def reliable(now: int | None, facts: Iterable[Facts]) -> int | None:
    """Return the time by which records are old or young, given this machine's own and what is known of records.

    It is not before the newest record. None where records are so far ahead of it that this machine's clock is behind:
    brokers take no record that is further ahead of theirs (`message.timestamp.after.max.ms`).
    """
    newest = max((each.last_write for each in facts if each.last_write is not None), default=None)
    if now is None or newest is None:
        return now
    return None if newest > now + MAX_AHEAD_MS else max(now, newest)


def new_dangers(change: Change, facts: Facts, now: int | None, world: World = NO_WORLD) -> list[Risk]:
    """Return the dangers that `change` has by these facts, and that were not accepted when the plan was made."""
    known = {risk.code for risk in change.risks if risk.accepted is not None}
    risks = consequences_of(change).find_risks(change, RiskContext(facts, "", now, world))
    return [risk for risk in risks if risk.level == "danger" and risk.code not in known]


def find_growth(change: Change, facts: Facts) -> Iterator[str]:
    """Say that a topic whose deletion was accepted holds many more records now."""
    accepted = next(
        (r.facts.records for r in change.risks if r.code in (codes.K401.number, codes.K403.number) and r.facts), None
    )
    if accepted is None or facts.records is None:
        return
    if facts.records > GROWTH_FACTOR * accepted and facts.records - accepted >= GROWTH_RECORDS:
        yield f"its deletion was accepted with {accepted:,} records, and now it holds up to {facts.records:,}"
    elif facts.records and not accepted:
        yield f"its deletion was accepted while it was empty, and now it holds up to {facts.records:,} records"


def _ownership_risks(change: Change) -> Iterator[Risk]:
    if change.reason == "orphan":
        yield make_risk(
            codes.K404,
            "it is no longer in the stack and is not listed under `removed:`; list it to confirm the deletion",
        )
    if change.action in (Action.DELETE, Action.REPLACE):
        said = change.after.rules.protect if change.after else None
        if said or (change.owner and change.owner.protect):
            yield make_risk(codes.K410, "it is protected: only an applied `protect: false` ends that")


# -- the run as a whole -----------------------------------------------------------------------------------------------
def too_many(changes: Sequence[Change], managed: int, guards: Guards, accepted: Accepted) -> Diagnostic | None:
    """Return the problem with a run that updates or deletes a larger share of what is managed than the guard allows."""
    if guards.max_changes is None or managed < MINIMUM_MANAGED or accepted.covers(MAX_CHANGES):
        return None
    touched = sum(1 for c in changes if c.action in (Action.UPDATE, Action.DELETE, Action.REPLACE, Action.MOVE))
    if touched <= guards.max_changes * managed:
        return None
    return error(
        codes.K419,
        "more changes than the guard allows in one run",
        f"{touched} of {managed} managed resources would change, `max_changes` is {guards.max_changes:.0%}",
        help="look at the plan; to allow it once: --accept max_changes",
        span=guards.span,
    )
