"""Policies judge the changes of a plan: which ones match, which are exempt, and what is required of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kplan.diagnostics import Severity, Span, codes
from kplan.kinds.risks import ACCEPT_WORDS, RULES, make_risk
from kplan.kinds.schemas import read_schema
from kplan.model import Action, Address, AttrDiff, Change, Connector, Owned, Rules, Topic
from kplan.model.policies import DENY, WARN, Policy, Selector
from kplan.project.policy import CRITERIA, JudgedStep, check_policies, describe_change, is_judged

TOPIC = Topic("shop.orders", 12, 3, {"retention.ms": "3600000", "cleanup.policy": "delete"})
PLACE = Span("kplan.yaml", 4, 3, 4, 9)


def step(action: Action = Action.CREATE, **changed: Any) -> JudgedStep:
    sides = {
        Action.CREATE: {"after": TOPIC},
        Action.DELETE: {"before": TOPIC},
    }.get(action, {"before": replace(TOPIC, partitions=6), "after": TOPIC})
    change = replace(Change(TOPIC.address, action, **sides), **changed)
    return JudgedStep(change, 1, 1, "shop", "prod")


def select(**criteria: str | list[str]) -> Selector:
    return Selector({key: tuple([value] if isinstance(value, str) else value) for key, value in criteria.items()})


@pytest.mark.parametrize(
    ("selector", "matched"),
    [
        (select(), True),
        (select(kind="topic"), True),
        (select(kind=["connector", "topic"]), True),
        (select(kind="connector"), False),
        (select(action="create"), True),
        (select(action="delete"), False),
        (select(address="topic/shop.*"), True),
        (select(address="topic/shop"), False),
        (select(address="TOPIC/*"), False),
        (select(stack="sh?p"), True),
        (select(stack="billing"), False),
        (select(env=["dev", "pro*"]), True),
        (select(env="dev"), False),
        (select(risks="data-loss"), False),
        (select(kind="topic", action="create", env="prod"), True),
        (select(kind="topic", action="create", env="dev"), False),
    ],
)
def test_all_criteria_must_fit(selector: Selector, matched: bool) -> None:
    assert is_judged(Policy("p", selector), step()) is matched
    assert is_judged(Policy("p", unless=(selector,)), step()) is not matched


@pytest.mark.parametrize("risk", ["K405", "data-loss"])
def test_a_risk_is_named_by_its_code_or_its_word_accepted_or_not(risk: str) -> None:
    policy = Policy("p", select(risks=[risk, "K499"]))
    for accepted in (None, "flag", "stack"):
        assert is_judged(policy, step(Action.UPDATE, risks=(replace(make_risk(codes.K405, "x"), accepted=accepted),)))
    assert not is_judged(policy, step(Action.UPDATE, risks=(make_risk(codes.K409, "x"),)))
    assert not is_judged(policy, step(Action.UPDATE))


def test_a_replacement_is_a_deletion_and_a_creation() -> None:
    replaced = step(Action.REPLACE)
    for action in ("replace", "delete", "create"):
        assert is_judged(Policy("p", select(action=action)), replaced)
    assert not is_judged(Policy("p", select(action="update")), replaced)


@pytest.mark.parametrize(
    ("exempt", "judged"), [("create", True), ("delete", True), ("replace", False), (["create", "delete"], False)]
)
def test_an_exemption_for_creations_exempts_no_replacement(exempt: str | list[str], judged: bool) -> None:
    assert is_judged(Policy("p", unless=(select(action=exempt),)), step(Action.REPLACE)) is judged


@pytest.mark.parametrize(("labels", "matched"), [("team=web", True), (["tier=*"], True), ("team=cdc", False)])
def test_labels_are_those_afterwards_or_of_the_last_apply(labels: str | list[str], matched: bool) -> None:
    policy = Policy("p", select(labels=labels))
    labelled = replace(TOPIC, rules=Rules(team="web", labels={"tier": "gold"}))
    assert is_judged(policy, step(after=labelled)) is matched
    owner = Owned(TOPIC.address, "shop", "prod", True, applied=labelled)
    assert is_judged(policy, step(Action.DELETE, owner=owner)) is matched
    assert not is_judged(policy, step())


def test_a_move_has_two_addresses() -> None:
    old, new = (Connector(name, "x.Y", {}) for name in ("old", "new"))
    moved = replace(step(), change=Change(new.address, Action.MOVE, old, new))
    assert is_judged(Policy("p", select(address="connector/old")), moved)
    assert is_judged(Policy("p", select(address="connector/new")), moved)
    assert is_judged(Policy("p", unless=(select(address="connector/old"),)), moved)
    assert not is_judged(Policy("p", unless=(select(address="connector/*"),)), moved)


def test_one_of_several_exemptions_is_enough() -> None:
    policy = Policy("p", unless=(select(env="dev"), select(address="topic/shop.*")))
    assert not is_judged(policy, step())
    assert is_judged(policy, replace(step(), change=replace(step().change, address=Address("topic", "other"))))


def test_a_change_without_a_requirement_is_denied_with_the_policys_name_and_place() -> None:
    (problem,) = check_policies([Policy("no-topics", message="Ask first.", span=PLACE)], [step()])
    assert (problem.code, problem.severity, problem.span) == ("K470", Severity.ERROR, PLACE)
    assert problem.address == "topic/shop.orders"
    assert problem.detail == "policy no-topics, topic/shop.orders: Ask first."


def test_a_warning_has_a_code_of_its_own() -> None:
    (problem,) = check_policies([Policy("p", level=WARN)], [step(Action.DELETE)])
    assert (problem.code, problem.severity) == ("K471", Severity.WARNING)
    assert problem.detail == "policy p, topic/shop.orders: it does not allow this step: delete"


def require(**properties: Any) -> dict[str, Any]:
    return {"properties": {"after": {"properties": properties}}}


@pytest.mark.parametrize(
    ("schema", "violation"),
    [
        (require(partitions={"maximum": 12}), ""),
        (require(partitions={"maximum": 10}), "/after/partitions: 12 is greater than the maximum of 10"),
        (require(config={"properties": {"retention.ms": {"minimum": 3600000}}}), ""),
        (
            require(config={"properties": {"retention.ms": {"minimum": 86400000}}}),
            "/after/config/retention.ms: 3600000 is less than the minimum of 86400000",
        ),
        (require(config={"required": ["x"]}), "/after/config: 'x' is a required property"),
        ({"properties": {"reason": {"const": "orphan"}}}, "/reason: 'orphan' was expected"),
        ({"required": ["labels"]}, "'labels' is a required property"),
    ],
)
def test_what_a_policy_requires_is_a_schema_of_the_change(schema: dict[str, Any], violation: str) -> None:
    problems = check_policies([Policy("p", require=schema, message="No.")], [step()])
    wanted = [f"policy p, topic/shop.orders: No.\n{violation}"] if violation else []
    assert [problem.detail for problem in problems] == wanted


def test_a_config_that_is_a_number_is_judged_as_one_before_and_after_and_in_the_difference() -> None:
    before = replace(TOPIC, config={"retention.ms": "7200000", "preallocate": "true"})
    diff = AttrDiff("/config/retention.ms", "7200000", "3600000")
    document = describe_change(step(Action.UPDATE, before=before, diffs=(diff,)))
    assert document["before"]["config"] == {"retention.ms": 7200000, "preallocate": True}
    assert document["after"]["config"] == {"retention.ms": 3600000, "cleanup.policy": "delete"}
    assert (document["diff"][0]["before"], document["diff"][0]["after"]) == (7200000, 3600000)


def test_a_deletion_has_no_after_and_meets_what_is_required_of_it() -> None:
    assert not check_policies([Policy("p", require=require(partitions={"maximum": 1}))], [step(Action.DELETE)])
    assert check_policies([Policy("p", require={"properties": {"after": {"type": "object"}}})], [step(Action.DELETE)])


def test_many_violations_of_one_change_are_one_problem() -> None:
    schema = require(**dict.fromkeys(("partitions", "replication_factor", "config"), False), x={})
    schema["required"] = ["a", "b"]
    (problem,) = check_policies([Policy("p", require=schema)], [step()])
    assert problem.detail.splitlines()[-1] == "and 2 more"
    assert len(problem.detail.splitlines()) == 5


@pytest.mark.parametrize("level", [DENY, WARN])
def test_a_policy_that_takes_too_long_is_an_error_whatever_its_level(level: str) -> None:
    schema = {"properties": {"name": {"pattern": "^(a|a)*$"}}}
    topic = replace(TOPIC, name="a" * 200 + "!")
    judged = replace(step(), change=Change(topic.address, Action.CREATE, None, topic))
    (problem,) = check_policies([Policy("p", require=schema, level=level, span=PLACE)], [judged])
    assert (problem.code, problem.severity, problem.span) == ("K290", Severity.ERROR, PLACE)
    assert "takes too long" in problem.detail


def test_the_schema_of_policies_has_every_criterion_and_every_risk() -> None:
    definitions = read_schema("environments.v1")["$defs"]
    assert set(definitions["policySelector"]["properties"]) == set(CRITERIA)
    assert definitions["policyAction"]["enum"] == [action.value for action in Action]
    assert set(definitions["policyRisk"]["enum"]) == {*RULES, *ACCEPT_WORDS, "protect"}
