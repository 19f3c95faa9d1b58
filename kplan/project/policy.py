"""Check policies: what a project demands of the changes of a plan."""

from __future__ import annotations

import fnmatch
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kplan.diagnostics import Diagnostic, codes, error, warning
from kplan.kinds.codec import ACTIONS, change_to_json
from kplan.language import limits as bounded
from kplan.model import Change
from kplan.model.policies import WARN, Policy, Selector
from kplan.project.guard import parse_numbers
from kplan.values import dataclass

MAX_VIOLATIONS = 3  # of one change that a diagnostic names
Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class JudgedStep:
    """A change at its place in a plan: what a policy judges."""

    change: Change
    number: int
    wave: int
    stack: str
    env: str


@dataclass(frozen=True, slots=True)
class Criterion:
    """What a step has for one key of `match`. `is_pattern`: the policy's values are patterns for it."""

    read: Callable[[JudgedStep], Sequence[str]]
    is_pattern: bool = True


def _read_actions(step: JudgedStep) -> Sequence[str]:
    return ACTIONS[step.change.action]


def _read_addresses(step: JudgedStep) -> Sequence[str]:
    """Return the address; a moved resource also had one before."""
    return [str(address) for address in (step.change.source, step.change.address) if address is not None]


def _read_labels(step: JudgedStep) -> Sequence[str]:
    """Return the labels of what is there afterwards, else of what was applied last; `team` is one."""
    change = step.change
    resource = change.after or (change.owner.applied if change.owner else None) or change.before
    return (
        [f"{key}={value}" for key, value in {"team": resource.rules.team, **resource.rules.labels}.items()]
        if resource
        else []
    )


def _read_risks(step: JudgedStep) -> Sequence[str]:
    return [word for risk in step.change.risks for word in (risk.code, risk.kind) if word]


CRITERIA: Mapping[str, Criterion] = {
    "kind": Criterion(lambda step: [step.change.address.kind], is_pattern=False),
    "action": Criterion(_read_actions, is_pattern=False),
    "address": Criterion(_read_addresses),
    "labels": Criterion(_read_labels),
    "stack": Criterion(lambda step: [step.stack]),
    "env": Criterion(lambda step: [step.env]),
    "risks": Criterion(_read_risks, is_pattern=False),
}


def check_policies(policies: Iterable[Policy], steps: Sequence[JudgedStep]) -> list[Diagnostic]:
    """Return a diagnostic for each change that a policy does not allow."""
    problems: list[Diagnostic] = []
    documents: dict[int, Json] = {}
    for policy in policies:
        matched = [step for step in steps if is_judged(policy, step)]
        if policy.require is None:
            problems += [_report_change(policy, step, []) for step in matched]
        elif matched:
            problems += _check_schema(policy, policy.require, matched, documents)
    return problems


def is_judged(policy: Policy, step: JudgedStep) -> bool:
    """Whether the policy matches the step, and does not exempt it."""
    return _fits(policy.match, step, any) and not any(_fits(selector, step, all) for selector in policy.unless)


def _fits(selector: Selector, step: JudgedStep, quantifier: Callable[[Iterable[bool]], bool]) -> bool:
    """Return whether all criteria fit.

    A step may have several values for one: a replacement is a deletion and a creation. One that fits is enough for a
    policy to match; an exemption must cover all of them. Of risks, one is enough for both.
    """
    for name, wanted in selector.criteria.items():
        criterion = CRITERIA[name]
        values = criterion.read(step)
        if name == "action" and step.change.action.value in wanted:
            continue
        needed = any if name == "risks" else quantifier
        if not values or not needed(_is_wanted(value, wanted, criterion.is_pattern) for value in values):
            return False
    return True


def _is_wanted(value: str, wanted: Sequence[str], is_pattern: bool) -> bool:
    return any(fnmatch.fnmatchcase(value, pattern) for pattern in wanted) if is_pattern else value in wanted


def _check_schema(
    policy: Policy, schema: Json, steps: Sequence[JudgedStep], documents: dict[int, Json]
) -> list[Diagnostic]:
    """Hold the changes against the schema; `documents` keeps what they look like, by the number of the step."""
    if bounded.size(schema) * len(steps) > bounded.MOST_STEPS:
        return [report_unusable(policy, f"it is too large for {len(steps):,} changes")]
    problems = []
    try:
        for step in steps:
            if step.number not in documents:
                documents[step.number] = describe_change(step)
            if violations := list(bounded.violations(schema, documents[step.number])):
                problems.append(_report_change(policy, step, violations))
    except (ValueError, RecursionError) as e:
        return [report_unusable(policy, str(e) or type(e).__name__)]
    return problems


def describe_change(step: JudgedStep) -> Json:
    """Return the change as plan.json has it; configs that are numbers are numbers, as for a guard."""
    document = change_to_json(step.change, step.number, step.wave)
    for side in ("before", "after"):
        if document[side] is not None:
            document[side] = parse_numbers(document[side])
    document["diff"] = [parse_numbers({"": diff})[""] for diff in document["diff"]]
    return document


def _report_change(policy: Policy, step: JudgedStep, violations: Sequence[Any]) -> Diagnostic:
    lines = [_format_violation(violation) for violation in violations[:MAX_VIOLATIONS]]
    if hidden := len(violations) - len(lines):
        lines.append(f"and {hidden} more")
    reason = policy.message or ("" if lines else f"it does not allow this step: {step.change.action.value}")
    first = ": ".join(filter(None, (f"policy {policy.name}, {step.change.address}", reason)))
    is_warning = policy.level == WARN
    return (warning if is_warning else error)(
        codes.K471 if is_warning else codes.K470,
        "a policy warns of a change" if is_warning else "a policy denies a change",
        "\n".join([first, *lines]),
        span=policy.span,
        address=step.change.address,
        help="change the stack"
        + ("" if is_warning else ", or leave the step out with --exclude")
        + "; only `unless:` in the policy exempts a change",
    )


def _format_violation(violation: Any) -> str:
    path = "".join(f"/{part}" for part in violation.absolute_path)
    return f"{path}: {violation.message}" if path else str(violation.message)


def report_unusable(policy: Policy, problem: str) -> Diagnostic:
    return error(codes.K290, "a policy cannot be used", f"policy {policy.name}: {problem}", span=policy.span)
