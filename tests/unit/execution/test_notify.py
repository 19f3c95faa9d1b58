"""Receivers are told how a run ended, and a receiver that fails changes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import kplan
from kplan.inspect.status import FailedConnectors
from kplan.state.base import Holder
from kplan.state.sqlite import SqliteStore
from tests.fakes.webhook import Receiver, receiving
from tests.shell import Shell

STACK = """
version: 1
stack: shop
topics: {shop.orders: }
connectors:
  feed: {class: org.apache.kafka.connect.file.FileStreamSourceConnector, config: {file: /x, topic: shop.orders}}
"""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with receiving() as receiver:
        yield receiver


def shell(folder: Path, url: str, fail: str = "connector/feed", when: str = "") -> Shell:
    made = Shell(folder, {"HOOK": url}, ("T0canary7",))
    made.write("kplan.yaml", f"""
version: 1
environments: {{local: {{simulated: {{fail: [{fail}]}}, notify: [{{webhook: "{{{{ env.HOOK }}}}"{when}}}]}}}}
""")  # fmt: skip
    made.write("stack.yaml", STACK)
    return made


def test_a_rollback_is_told_and_a_success_is_not(tmp_path: Path, receiver: Receiver) -> None:
    url, got = receiver
    made = shell(tmp_path, f"{url}/T0canary7")
    made.kplan("apply", "stack.yaml", "--yes", expect=7)
    [told] = got
    assert told["text"].startswith("kplan: shop (local): Apply failed; rolled back.")
    assert (told["kplan"]["outcome"], told["kplan"]["stack"]) == ("rolled_back", "shop")
    failed = told["kplan"]["failed"]
    assert (failed["address"], failed["code"]) == ("connector/feed", "K512") and failed["cause"]
    assert f"connector/feed: K512 {failed['cause']}" in told["text"].splitlines()
    shell(tmp_path, f"{url}/T0canary7", fail="").kplan("apply", "stack.yaml", "--yes")
    assert len(got) == 1


def test_what_is_left_and_how_it_was_recovered_is_told(tmp_path: Path, receiver: Receiver) -> None:
    url, got = receiver
    made = shell(tmp_path, url, fail="")
    made.write("stack.yaml", "version: 1\nstack: shop\ntopics: {shop.orders: {partitions: 1}}\n")
    made.kplan("apply", "stack.yaml", "--yes")
    more = "version: 1\nstack: shop\ntopics: {shop.orders: {partitions: 2}}\n"
    made = shell(tmp_path, url, fail="topic/shop.orders")
    made.write("stack.yaml", more)
    made.kplan("apply", "stack.yaml", "--yes", expect=8)
    [told] = got
    run = told["kplan"]["run"]
    assert told["kplan"]["outcome"] == "incomplete" and told["kplan"]["failed"]["address"] == "topic/shop.orders"
    assert any("topic/shop.orders" in each for each in told["kplan"]["left"])
    assert f"kplan recover {run}" in told["text"]
    made = shell(tmp_path, url, fail="")
    made.write("stack.yaml", more)
    made.kplan("recover", run, "--forward", "--yes")
    assert [(each["kplan"]["outcome"], each["kplan"]["run"]) for each in got[1:]] == [("completed", run)]
    assert "failed" not in got[1]["kplan"]


def test_only_the_ends_that_are_asked_for_are_told(tmp_path: Path, receiver: Receiver) -> None:
    url, got = receiver
    made = shell(tmp_path, url, when=", when: [recovery]")
    made.kplan("apply", "stack.yaml", "--yes", expect=7)
    assert got == []


@pytest.mark.parametrize("path", ["/gone/T0canary7", ""])
def test_a_receiver_that_fails_is_a_warning_without_its_path(tmp_path: Path, receiver: Receiver, path: str) -> None:
    url = receiver[0] + path if path else "http://127.0.0.1:1/T0canary7"
    ended = shell(tmp_path, url).kplan("apply", "stack.yaml", "--yes", expect=7)
    assert "warning: 127.0.0.1" in ended.err


# -- what could not begin ---------------------------------------------------------------------------------------------
Got = Receiver
ONE = "version: 1\nstack: shop\ntopics: {shop.orders: }\n"


def test_an_apply_that_cannot_reach_its_servers_is_told(tmp_path: Path, receiver: Got) -> None:
    url, got = receiver
    made = shell(tmp_path, url)
    made.write("stack.yaml", ONE)
    made.write(
        "kplan.yaml",
        """
version: 1
environments:
  far:
    kafka: {bootstrap.servers: "127.0.0.1:1"}
    timeouts: {request: 500ms}
    retry: {attempts: 1}
    notify: [{webhook: "{{ env.HOOK }}"}]
""",
    )
    made.kplan("apply", "stack.yaml", "--yes", expect=1)
    [told] = got
    assert told["kplan"]["outcome"] == "not_begun" and told["kplan"]["failed"]["code"] == "K310"
    assert told["text"].startswith("kplan: shop (far): nothing was applied: 127.0.0.1:1")


def test_errors_that_servers_find_at_plan_are_told(tmp_path: Path, receiver: Got) -> None:
    url, got = receiver
    made = shell(tmp_path, url)
    made.write("stack.yaml", "version: 1\nstack: shop\ntopics: {shop.orders: {replication_factor: 9}}\n")
    made.kplan("apply", "stack.yaml", "--yes", expect=4)
    [told] = got
    assert told["kplan"]["outcome"] == "not_begun" and told["kplan"]["failed"]["code"] == "K301"
    assert "nothing was applied: the plan has errors" in told["text"] and "stack.yaml:3" in told["text"]


def test_a_stack_that_is_locked_is_told(tmp_path: Path, receiver: Got) -> None:
    url, got = receiver
    made = shell(tmp_path, url)
    other = Holder("ann@host", "r1", "kplan apply", "2026-01-01T00:00:00Z", 1)
    with SqliteStore(tmp_path / ".kplan/local.db").lock("shop", other, 0):
        made.kplan("apply", "stack.yaml", "--yes", expect=6)
    assert [each["kplan"]["failed"]["code"] for each in got] == ["K601"]


def test_a_saved_plan_that_is_stale_is_told_once(tmp_path: Path, receiver: Got) -> None:
    url, got = receiver
    made = shell(tmp_path, url, fail="")
    made.write("stack.yaml", ONE)
    made.kplan("plan", "stack.yaml", "--out", "plan.json")
    made.kplan("apply", "plan.json")
    made.kplan("apply", "plan.json", expect=5)
    assert [(each["kplan"]["outcome"], each["kplan"]["failed"]["code"]) for each in got] == [("not_begun", "K520")]


def test_a_no_is_not_told(tmp_path: Path, receiver: Got) -> None:
    url, got = receiver
    shell(tmp_path, url).kplan("apply", "stack.yaml", expect=9)
    assert got == []


@pytest.mark.parametrize("command", [("plan",), ("apply", "--yes")], ids=lambda command: command[0])
@pytest.mark.parametrize("when", ["", ", when: [blocked]"], ids=["usual", "blocked"])
def test_a_blocked_plan_is_told_where_that_is_asked_for(
    tmp_path: Path, receiver: Got, command: tuple[str, ...], when: str
) -> None:
    url, got = receiver
    made = shell(tmp_path, url, fail="", when=when)
    made.write("stack.yaml", ONE)
    made.kplan("apply", "stack.yaml", "--yes")
    made.write("stack.yaml", "version: 1\nstack: shop\ntopics: {shop.items: }\n")
    made.kplan(command[0], "stack.yaml", *command[1:], expect=3)
    assert [each["kplan"]["outcome"] for each in got] == (["blocked"] if when else [])
    assert all("the plan is blocked" in each["text"] and each["kplan"]["left"] for each in got)


def test_a_success_is_told_where_that_is_asked_for(tmp_path: Path, receiver: Got) -> None:
    url, got = receiver
    shell(tmp_path, url, fail="", when=", when: [success]").kplan("apply", "stack.yaml", "--yes")
    assert [each["kplan"]["outcome"] for each in got] == ["applied"]


@pytest.mark.parametrize("file", [True, False], ids=["beside a kplan.yaml", "without one"])
def test_a_receiver_can_be_named_by_the_process(tmp_path: Path, receiver: Got, file: bool) -> None:
    url, got = receiver
    made = Shell(tmp_path, {"KPLAN_NOTIFY": f"{url}/T0canary7"}, ("T0canary7",))
    if file:
        made.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {fail: [connector/feed]}}}\n")
    made.write("stack.yaml", STACK)
    made.kplan("apply", "stack.yaml", "--yes", expect=7 if file else 0)
    if not file:
        made.write("stack.yaml", STACK.replace("{shop.orders: }", "{shop.orders: {replication_factor: 9}}"))
        made.kplan("apply", "stack.yaml", "--yes", expect=4)
    assert [each["kplan"]["outcome"] for each in got] == (["rolled_back"] if file else ["not_begun"])


def test_the_library_tells_the_same(tmp_path: Path, receiver: Got) -> None:
    url, got = receiver
    shell(tmp_path, url, fail="", when=", when: [failure, success]").write("stack.yaml", ONE)
    loaded = kplan.load(tmp_path / "stack.yaml", process={"HOOK": url})
    first = kplan.plan(loaded)
    kplan.apply(first, loaded.environment)
    with pytest.raises(kplan.Stale):
        kplan.apply(first, loaded.environment, saved=True)
    assert [each["kplan"]["outcome"] for each in got] == ["applied", "not_begun"]


# -- health -----------------------------------------------------------------------------------------------------------
def test_status_tells_of_a_connector_that_failed(tmp_path: Path, receiver: Got) -> None:
    url, got = receiver
    made = shell(tmp_path, url, when=", when: [health]")
    made.kplan("apply", "stack.yaml", "--yes", "--on-failure", "stop", expect=8)
    made.kplan("status", "stack.yaml", expect=2)
    [told] = got
    assert told["kplan"]["outcome"] == "connector_failed"
    assert told["text"].splitlines()[0] == "kplan: shop (local): 1 connector FAILED."
    assert told["kplan"]["connectors"][0].startswith("connector/feed: task 0 FAILED: ")


def look(**states: str) -> dict[str, Any]:
    connectors = {
        name: {"state": "RUNNING", "healthy": state == "RUNNING", "tasks": [{"id": 0, "state": state, "cause": "x"}]}
        for name, state in states.items()
    }
    return {"connectors": connectors}


def test_only_changes_are_told_while_connectors_are_watched() -> None:
    seen = FailedConnectors()
    assert seen.update(look(a="RUNNING", b="FAILED")) == (["connector/b: task 0 FAILED: x"], [])
    assert seen.update(look(a="RUNNING", b="FAILED")) == ([], [])
    assert seen.update({"connectors": {}}) == ([], []), "a server that does not answer heals nothing"
    assert seen.update(look(a="FAILED", b="UNASSIGNED")) == (["connector/a: task 0 FAILED: x"], [])
    assert seen.update(look(a="FAILED", b="RUNNING")) == ([], ["connector/b"])
    assert seen.update(look(a="RUNNING", b="FAILED")) == (["connector/b: task 0 FAILED: x"], ["connector/a"])
