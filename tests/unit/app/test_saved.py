"""A saved plan that is not as kplan wrote it is not applied, and with KPLAN_KEY none that was not signed with it."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from kplan.diagnostics import Stale
from kplan.planning.document import document_digest, from_json, parse, sign_documents, verify_signatures
from tests.examples import examples
from tests.shell import Shell

KEY, OTHER = "a-key-of-the-tests", "another-key"
STACK = """
version: 1
stack: shop
variables:
  db_password: {type: string, sensitive: true}
defaults: {topic: {replication_factor: 3}}
topics:
  shop.orders: {partitions: 3, config: {retention.ms: 7d}, accept: [data-loss]}
connectors:
  shop:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.db_password }}"}
    tables: {customers: {partitions: 6}}
removed: [{topic: shop.gone}]
"""


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Shell:
    made = Shell(tmp_path_factory.mktemp("plans"), {"KPLAN_VAR_db_password": "canary-word-1"}, ("canary-word-1", KEY))
    made.write("stack.yaml", STACK)
    made.write("other.yaml", "version: 1\nstack: other\ntopics: {other.a: {partitions: 2}}\n")
    return made


@pytest.fixture(scope="module")
def document(shell: Shell) -> dict[str, Any]:
    shell.kplan("plan", "stack.yaml", "--out", "plan.json", KPLAN_KEY=KEY)
    found: dict[str, Any] = json.loads((shell.folder / "plan.json").read_text())
    shell.assert_no_secret_on_disk()
    return found


Where = tuple[str | int, ...]


def places(value: Any, at: Where = ()) -> Iterator[Where]:
    """Every place in the document, of maps and lists too."""
    for step, child in (
        value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    ):
        yield (*at, step)
        yield from places(child, (*at, step))


def changed(value: Any, data: st.DataObject) -> Any:
    """Another value of the same or of another type."""
    others: list[st.SearchStrategy[Any]] = [
        st.none(),
        st.booleans(),
        st.integers(-9, 9),
        st.text(max_size=5),
        st.just([]),
    ]
    if isinstance(value, str):
        others += [st.just(value + "x"), st.just(value[:-1])]
    if isinstance(value, int):
        others += [st.just(value + 1), st.just(float(value))]
    if isinstance(value, list):
        others += [st.just([*value, *value[-1:]]), st.just(value[1:]), st.just(value[::-1])]
    if isinstance(value, dict):
        others += [st.just({**value, "new": 1}), st.just({k: value[k] for k in list(value)[1:]})]
    same = json.dumps(value, sort_keys=True)
    return data.draw(st.one_of(others).filter(lambda each: json.dumps(each, sort_keys=True) != same))


def tampered(document: dict[str, Any], data: st.DataObject, without: tuple[str, ...]) -> tuple[dict[str, Any], Where]:
    found = copy.deepcopy(document)
    where = data.draw(st.sampled_from([w for w in places(found) if w[0] not in without]))
    target: Any = found
    for step in where[:-1]:
        target = target[step]
    if isinstance(target, dict) and data.draw(st.integers(0, 4)) == 0:
        del target[where[-1]]
    else:
        target[where[-1]] = changed(target[where[-1]], data)
    return found, where


MANY = examples(400, HealthCheck.function_scoped_fixture)


@MANY
@given(data=st.data())
def test_any_change_of_any_field_is_refused(document: dict[str, Any], data: st.DataObject) -> None:
    """The time alone is not in the digest, for two plans of the same world have the same one; a signature covers it."""
    found, where = tampered(document, data, ("created_at", "signature"))
    with pytest.raises(Stale) as refused:
        from_json(found)
    assert refused.value.code in ("K521", "K522"), where


@MANY
@given(data=st.data())
def test_whoever_computes_the_digest_anew_lacks_the_key(document: dict[str, Any], data: st.DataObject) -> None:
    found, _ = tampered(document, data, ("digest",))
    found["digest"] = document_digest(found)
    with pytest.raises(Stale) as refused:
        verify_signatures([found], KEY)
    assert refused.value.code == "K523" and KEY not in refused.value.message


def test_a_derived_field_is_not_believed_though_its_digest_fits(document: dict[str, Any]) -> None:
    """What a reviewer is shown is what is done: `summary` is not only text."""
    for key, value in (
        ("applyable", False),
        ("summary", {**document["summary"], "delete": 0, "add": 0}),
        ("blocked", ["x"]),
    ):
        found = {**document, key: value}
        found["digest"] = document_digest(found)
        with pytest.raises(Stale):
            from_json(found)


def test_keys_of_a_later_minor_version_are_let_through(document: dict[str, Any]) -> None:
    found = {**document, "format_version": "1.7", "later": {"x": 1}}
    found["digest"] = document_digest(found)
    with pytest.raises(Stale):  # its version is not ours
        from_json({**found, "format_version": "2.0"})
    found = {**document, "later": {"x": 1}}
    found["digest"] = document_digest(found)
    assert from_json(found).stack == "shop"


def test_a_signature_is_of_the_document_and_of_what_is_with_it(document: dict[str, Any]) -> None:
    other = {**document, "digest": "sha256:" + "0" * 64}
    both = sign_documents([document, other], KEY)
    verify_signatures(both, KEY)
    for wrong in (both[:1], both[::-1], [*both, both[0]], sign_documents([document], KEY) + both[1:]):
        with pytest.raises(Stale):
            verify_signatures(wrong, KEY)
    with pytest.raises(Stale):
        verify_signatures(both, OTHER)
    verify_signatures(both, None)


def test_without_a_key_nothing_is_signed(document: dict[str, Any]) -> None:
    assert "signature" in document
    assert (
        "signature" not in sign_documents([{"digest": "x"}], None)[0]
        and "signature" not in sign_documents([{"digest": "x"}], "")[0]
    )


def test_a_key_twice_in_an_object_is_refused() -> None:
    with pytest.raises(Stale) as refused:
        parse('{"format_version": "1.0", "stack": {"name": "a", "name": "b"}}')
    assert refused.value.code == "K522"
    assert parse('{"a": 1, "a": 2}') is None and parse("no json") is None and parse("[]") is None


# -- as a person sees it ----------------------------------------------------------------------------------------------
def refused(shell: Shell, document: Any, code: str, **environment: str) -> str:
    """Apply ends with 5 and says `code`; nothing is done."""
    shell.write("changed.json", document if isinstance(document, str) else json.dumps(document))
    ended = shell.kplan("apply", "changed.json", "--yes", expect=5, **environment)
    assert f"error[{code}]" in ended.err and "Nothing was changed" in ended.err and "help:" in ended.err
    return ended.err


def test_apply_refuses_what_was_changed(shell: Shell, document: dict[str, Any]) -> None:
    found = copy.deepcopy(document)
    found["changes"][0]["after"]["partitions"] = 99
    assert "changed after it was made" in refused(shell, found, "K522")
    found["digest"] = document_digest(found)
    assert "changed after it was made" in refused(shell, found, "K523", KPLAN_KEY=KEY)


def test_apply_refuses_what_is_not_signed_where_there_is_a_key(shell: Shell, document: dict[str, Any]) -> None:
    unsigned = {key: value for key, value in document.items() if key != "signature"}
    assert "is not signed" in refused(shell, unsigned, "K523", KPLAN_KEY=KEY)
    assert "another KPLAN_KEY" in refused(shell, document, "K523", KPLAN_KEY=OTHER)


def test_apply_refuses_what_says_something_twice(shell: Shell, document: dict[str, Any]) -> None:
    text = json.dumps(document).replace('"mode": "apply"', '"mode": "destroy", "mode": "apply"', 1)
    assert "twice" in refused(shell, text, "K522")


def test_apply_takes_what_is_signed_with_its_key(shell: Shell, tmp_path: Path) -> None:
    shell.kplan("plan", "other.yaml", "--out", "signed.json", KPLAN_KEY=KEY)
    assert "warning" in shell.kplan("show", "signed.json", KPLAN_KEY=OTHER).err
    assert "warning" not in shell.kplan("show", "signed.json", KPLAN_KEY=KEY).err
    assert "Applied 1 of 1" in shell.kplan("apply", "signed.json", KPLAN_KEY=KEY).out
    shell.assert_no_secret_on_disk()


def test_several_plans_are_signed_together(shell: Shell) -> None:
    shell.write("two/a.yaml", "version: 1\nstack: a\ntopics: {two.a: {}}\n")
    shell.write("two/b.yaml", "version: 1\nstack: b\ntopics: {two.b: {}}\n")
    shell.kplan("plan", "two", "--out", "two.json", KPLAN_KEY=KEY)
    found = json.loads((shell.folder / "two.json").read_text())
    refused(shell, {**found, "plans": found["plans"][:1]}, "K523", KPLAN_KEY=KEY)
    refused(shell, found["plans"][0], "K523", KPLAN_KEY=KEY)
    refused(shell, {**found, "plans": found["plans"][::-1]}, "K523", KPLAN_KEY=KEY)
    assert "Applied" in shell.kplan("apply", "two.json", KPLAN_KEY=KEY).out


@pytest.mark.parametrize("view", ["text", "md", "html", "json"])
def test_a_file_without_a_plan_in_it_is_none(shell: Shell, view: str) -> None:
    shell.write("none.json", '{"format_version": "1.0", "plans": []}')
    assert "K521" in shell.kplan("show", "none.json", "--format", view, expect=4).all
    assert parse('{"format_version": "1.0", "plans": []}') is None


def test_a_saved_plan_takes_its_secrets_from_a_file_of_variables(shell: Shell) -> None:
    secret = "canary-of-a-file"
    shell.secrets = (secret,)
    shell.write("kplan.yaml", "version: 1\nenvironments: {dev: {simulated: {}}}\n")
    shell.write("stack.yaml", "version: 1\nstack: files\nvariables: {word: {sensitive: true}}\n"
                "users: {etl: {mechanism: SCRAM-SHA-512, password: '{{ var.word }}'}}\n")  # fmt: skip
    shell.write("variables.yaml", f"word: {secret}\n")
    shell.kplan("plan", "stack.yaml", "--var-file", "variables.yaml", "--out", "plan.json")
    assert "K219" in shell.kplan("apply", "plan.json", "--yes", expect=4).err
    assert "missing.yaml" in shell.kplan("apply", "plan.json", "--yes", "--var-file", "missing.yaml", expect=4).err
    shell.kplan("apply", "plan.json", "--yes", "--var-file", "variables.yaml")
    assert "No changes." in shell.kplan("plan", "stack.yaml", "--var-file", "variables.yaml").out


DENYING = "few: {match: {kind: topic}, require: {after: {partitions: {maximum: 1}}}, message: Ask first.}\n"


@pytest.fixture
def judged(tmp_path: Path) -> Shell:
    """A folder with a plan that was saved while there were no policies."""
    made = Shell(tmp_path)
    made.write("kplan.yaml", "version: 1\nenvironments: {local: {}}\npolicies: {file: policies.yaml}\n")
    made.write("policies.yaml", "[]\n")
    made.write("stack.yaml", "version: 1\nstack: shop\ntopics: {shop.orders: {partitions: 3}}\n")
    made.kplan("plan", "stack.yaml", "--out", "plan.json")
    return made


def test_a_saved_plan_is_judged_by_the_policies_of_who_applies_it(judged: Shell) -> None:
    judged.write("policies.yaml", DENYING)
    refused = judged.kplan("apply", "plan.json", "--yes", expect=3)
    assert "policies.yaml:1:1" in refused.err and "K470" in refused.err and "Ask first." in refused.err
    assert not judged.kplan("list", "--format", "json").json
    judged.write("policies.yaml", DENYING.replace("maximum: 1}", "maximum: 5}"))
    judged.kplan("apply", "plan.json", "--yes")


def test_a_saved_plan_that_policies_only_warn_of_is_applied_once(judged: Shell) -> None:
    judged.write("policies.yaml", DENYING.replace("{match", "{level: warn, match"))
    assert "K471" in judged.kplan("apply", "plan.json", "--yes").err
    judged.kplan("apply", "plan.json", "--yes", expect=5)


def test_a_saved_plan_is_not_applied_with_a_policy_that_cannot_be_used(judged: Shell) -> None:
    judged.write("policies.yaml", "few: {match: {knd: topic}}\n")
    assert "policies.yaml:1:15" in judged.kplan("apply", "plan.json", "--yes", expect=4).err


def test_a_plan_that_was_saved_denied_is_refused(judged: Shell) -> None:
    judged.write("policies.yaml", DENYING)
    judged.kplan("plan", "stack.yaml", "--out", "plan.json", expect=3)
    refused = judged.kplan("apply", "plan.json", "--yes", expect=3)
    assert "K470 topic/shop.orders" in refused.err and "what policies deny" in refused.err


@pytest.mark.parametrize("accepted", ["*", "K470", "change:topic/shop.orders", "few"])
def test_no_accept_allows_what_a_policy_denies(judged: Shell, accepted: str) -> None:
    judged.write("policies.yaml", DENYING)
    for command in (("plan", "stack.yaml"), ("apply", "stack.yaml", "--yes")):
        assert judged.kplan(*command, "--accept", accepted, expect=None).code in (3, 4)
    assert not judged.kplan("list", "--format", "json").json


def test_policies_judge_what_destroy_does(judged: Shell) -> None:
    judged.kplan("apply", "plan.json", "--yes")
    judged.write("policies.yaml", "stay: {match: {action: delete}, unless: {address: topic/tmp.*}}\n")
    refused = judged.kplan("destroy", "stack.yaml", "--yes", expect=3)
    assert "policy stay" in refused.err
    assert judged.kplan("list", "--format", "json").json
