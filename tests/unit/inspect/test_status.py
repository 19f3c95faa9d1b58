"""status, wait and connector, on the simulated cluster."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import jsonschema
import pytest

import kplan
from kplan.app.servers import open_cluster
from kplan.inspect.status import Restarts
from kplan.kinds.acl.binding import parse_binding
from kplan.kinds.user.user import ScramUser
from kplan.model import Action, Address, AttrDiff, Change, Connector, Rules, Secret, Stack, Topic, frozen
from kplan.project.environment import Environment, Simulated
from kplan.servers.simulated import SimulatedTopics
from tests.schemas import published, strict
from tests.shell import Shell

SCHEMA = strict(published("status.v1"))
STACK = """
version: 1
stack: shop
topics:
  shop.orders: {partitions: 6, config: {retention.ms: 1d}}
  shop.customers:
connectors:
  feed:
    class: org.apache.kafka.connect.file.FileStreamSourceConnector
    config: {file: /x, topic: shop.orders}
  out:
    class: org.apache.kafka.connect.file.FileStreamSinkConnector
    config: {file: /y, topics: shop.orders}
"""
STATISTICS = {
    "topics_created": 2, "topic_creation_errors": 0, "retries": 0,
    "created": {"topic": 2, "connector": 2}, "creation_errors": {},
}  # fmt: skip


@pytest.fixture
def shell(tmp_path: Path) -> Shell:
    made = Shell(tmp_path)
    made.write("stack.yaml", STACK)
    made.kplan("apply", "stack.yaml", "--yes")
    return made


def status(shell: Shell, expect: int = 0) -> dict[str, object]:
    found = shell.kplan("status", "stack.yaml", "--format", "json", expect=expect).json
    jsonschema.validate(found, SCHEMA)
    assert isinstance(found, dict)
    return found


def test_all_as_declared_is_healthy(shell: Shell) -> None:
    found = status(shell)
    assert found["status"] == "healthy"
    assert found["topics"]["existing"] == ["shop.customers", "shop.orders"]  # type: ignore[index]
    assert found["statistics"] == STATISTICS
    assert found["last_run"]["outcome"] == "applied"  # type: ignore[index]
    assert "shop: HEALTHY" in shell.kplan("status", "stack.yaml").out


def test_what_is_missing_misconfigured_or_in_another_state_is_degraded_and_named(shell: Shell) -> None:
    cluster = open_cluster(Environment("local", str(shell.folder), simulated=Simulated()))
    orders, customers = Address("topic", "shop.orders"), Address("topic", "shop.customers")
    now = cluster.topics.read(None).resources
    topic = now[orders]
    assert isinstance(topic, Topic)
    after = Topic("shop.orders", 6, 3, {"retention.ms": "5"})
    diff = AttrDiff("/config/retention.ms", "86400000", "5")
    cluster.topics.act([Change(customers, Action.DELETE, now[customers]),
                        Change(orders, Action.UPDATE, topic, after, (diff,))], {})  # fmt: skip
    shell.kplan("connector", "pause", "feed")
    found = status(shell, expect=2)
    topics, connectors = found["topics"], found["connectors"]
    assert (topics["missing"], topics["misconfigured"]) == (["shop.customers"], ["shop.orders"])  # type: ignore[index]
    assert connectors["feed"]["state"] == "PAUSED" and not connectors["feed"]["healthy"]  # type: ignore[index]
    text = shell.kplan("status", "stack.yaml", expect=2).out
    assert "missing        shop.customers" in text and "retention.ms: 5 instead of 86400000" in text
    assert "feed  PAUSED (declared running)" in text


@pytest.mark.parametrize("fail", ["", "connector/feed"], ids=["applied", "rolled-back"])
def test_retries_of_every_run_are_counted(fail: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("kplan.servers.simulated.SimulatedTopics.retries", 2)
    monkeypatch.chdir(tmp_path)
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", f"version: 1\nenvironments: {{local: {{simulated: {{fail: [{fail}]}}}}}}\n")
    shell.write("stack.yaml", STACK)
    loaded = kplan.load("stack.yaml")
    ended = kplan.apply(kplan.plan(loaded), loaded.environment)
    assert "2 requests were sent again." in ended.said
    created = 0 if fail else 2
    found = status(shell, expect=2 if fail else 0)
    by_kind, failed = ({}, {"connector": 1}) if fail else ({"topic": 2, "connector": 2}, {})
    assert found["statistics"] == {
        "topics_created": created, "topic_creation_errors": 0, "retries": 2,
        "created": by_kind, "creation_errors": failed,
    }  # fmt: skip
    text = shell.kplan("status", "stack.yaml", expect=2 if fail else 0).out
    summary = (
        "2 topics, 2 connectors created, 2 requests sent again"
        if created
        else "1 connector not created, 2 requests sent again"
    )
    assert f": {summary}" in text


def test_an_apply_tells_programs_what_it_did(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("stack.yaml", STACK)
    events = [
        json.loads(line) for line in shell.kplan("apply", "stack.yaml", "--yes", "--format", "json").out.splitlines()
    ]
    [end] = [event for event in events if event["type"] == "apply_summary"]
    assert end["statistics"] == STATISTICS


def test_a_failed_task_has_its_cause(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {fail: [connector/feed]}}}\n")
    shell.write("stack.yaml", STACK)
    shell.kplan("apply", "stack.yaml", "--yes", "--on-failure", "stop", expect=8)
    found = status(shell, expect=2)
    [task] = found["connectors"]["feed"]["tasks"]  # type: ignore[index]
    assert task["state"] == "FAILED" and task["cause"]
    assert shell.kplan("connector", "status", "feed", expect=2).out.count("FAILED") == 1
    again = shell.kplan("connector", "restart", "feed", "--attempts", "2", "--delay", "0.1s", expect=1)
    assert "again in 0.1 s" in again.err and "K512" in again.err
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: {}}\n")
    shell.kplan("connector", "restart", "feed", "--failed-only")
    shell.kplan("connector", "status", "feed")
    assert "nothing has failed" in shell.kplan("connector", "restart", "feed", "--failed-only").out


def test_a_server_that_does_not_answer_is_an_error_in_the_document(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", """
version: 1
environments: {local: {kafka: {bootstrap.servers: "127.0.0.1:1"}, timeouts: {request: 500ms}, retry: {attempts: 1}}}
""")  # fmt: skip
    shell.write("stack.yaml", "version: 1\nstack: shop\ntopics: {shop.orders: }\n")
    found = shell.kplan("status", "stack.yaml", "--format", "json", expect=1).json
    jsonschema.validate(found, SCHEMA)
    assert found["status"] == "error" and found["topics"]["required"] == ["shop.orders"]
    assert "127.0.0.1:1" in found["cause"]


def test_wait_is_zero_when_ready_and_one_when_not(shell: Shell) -> None:
    assert "ready: kafka, connect" in shell.kplan("wait").out
    assert "ready: topics" in shell.kplan("wait", "--for", "topics", "stack.yaml").out
    shell.write("more.yaml", "version: 1\nstack: more\ntopics: {not.there: }\n")
    ended = shell.kplan("wait", "--for", "topics", "more.yaml", "--retries", "2", "--delay", "0.1s", expect=1)
    assert "topics missing: not.there" in ended.err and "1 try left" in ended.err
    gone = '{kafka: {bootstrap.servers: "127.0.0.1:1"}, timeouts: {request: 500ms}}'
    shell.write("kplan.yaml", f"version: 1\nenvironments: {{gone: {gone}}}\n")
    ended = shell.kplan("wait", "--env", "gone", "--retries", "1", expect=1)
    assert "not ready" in ended.err
    for wrong in (("--for", "zookeeper"), ("--for", "topics"), ("--delay", "soon")):
        shell.kplan("wait", "--env", "gone", *wrong, expect=64)


def test_a_connector_is_stopped_and_resumed_and_drift_says_so(shell: Shell) -> None:
    shell.kplan("connector", "stop", "feed")
    assert "STOPPED already" in shell.kplan("connector", "stop", "feed").out
    assert "/state" in shell.kplan("drift", "stack.yaml", "--format", "json", expect=2).out
    shell.kplan("connector", "resume", "feed")
    assert "No drift" in shell.kplan("drift", "stack.yaml").out
    missing = shell.kplan("connector", "pause", "nobody", expect=1)
    assert "Connect has no connector nobody" in missing.all and "kplan list" in missing.all


def test_offsets_are_read_saved_reset_and_put_back(shell: Shell) -> None:
    had = shell.kplan("connector", "offsets", "feed", "--out", "offsets.json")
    saved = json.loads((shell.folder / "offsets.json").read_text())
    assert saved["offsets"] and had.out == ""
    assert "terminal" in shell.kplan("connector", "offsets", "feed", "--reset", expect=9).all
    shell.kplan("connector", "offsets", "feed", "--reset", "--yes")
    assert shell.kplan("connector", "offsets", "feed").json == {"offsets": []}
    shell.kplan("connector", "offsets", "feed", "--put", "offsets.json", "--yes")
    assert shell.kplan("connector", "offsets", "feed").json == saved
    assert "feed  RUNNING" in shell.kplan("connector", "status", "feed").out
    shell.write("wrong.json", '{"offsets": [1]}')
    assert "not a file of offsets" in shell.kplan("connector", "offsets", "feed", "--put", "wrong.json", expect=4).all


def test_a_connectors_config_is_shown_without_secrets(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"KPLAN_VAR_token": "canary-one-1"}, ("canary-one-1",))
    config = "{api.token: '{{ var.token }}', file: /x, topic: t}"
    source = "org.apache.kafka.connect.file.FileStreamSourceConnector"
    shell.write("s.yaml", "version: 1\nstack: s\nvariables: {token: {type: string, sensitive: true}}\n"
                f"connectors: {{feed: {{class: {source}, config: {config}}}}}\n")  # fmt: skip
    shell.kplan("apply", "s.yaml", "--yes")
    assert shell.kplan("connector", "config", "feed").json["api.token"] == "(sensitive)"


@pytest.mark.parametrize(("doing", "state"), [("stop", "STOPPED"), ("pause", "PAUSED")])
def test_what_is_not_to_run_is_not_restarted(doing: str, state: str, shell: Shell) -> None:
    shell.kplan("connector", doing, "feed")
    ended = shell.kplan("connector", "restart", "feed", expect=1)
    assert f"feed is {state}" in ended.err and "kplan connector resume feed" in ended.err
    assert "was restarted" not in ended.out + ended.err


@pytest.mark.parametrize("doing", ["restart", "pause", "status"])
def test_a_connector_that_is_not_there_is_told_so(doing: str, shell: Shell) -> None:
    ended = shell.kplan("connector", doing, "nobody", expect=1)
    assert "error[K321]: there is no such connector" in ended.err and "nobody" in ended.err


# -- how far behind ---------------------------------------------------------------------------------------------------
def test_a_sink_is_behind_by_what_its_group_has_not_read(shell: Shell) -> None:
    topics = open_cluster(Environment("local", str(shell.folder), simulated=Simulated())).topics
    assert isinstance(topics, SimulatedTopics)
    topics.produce("shop.orders", 70)
    topics.subscribe("connect-out", "shop.orders", lag=42)
    topics.subscribe("another", "shop.orders", lag=7)
    connectors = status(shell)["connectors"]
    assert connectors["out"]["lag"] == {"records": 42}  # type: ignore[index]
    assert "lag" not in connectors["feed"]  # type: ignore[index]
    assert "lag 42 records" in shell.kplan("status", "stack.yaml").out


def test_a_source_is_behind_by_the_age_of_its_last_heartbeat(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"KPLAN_VAR_password": "of-a-database"})
    shell.write(
        "stack.yaml",
        """
version: 1
stack: shop
variables: {password: {type: string, sensitive: true}}
connectors:
  shop:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.password }}"}
    tables: {orders: }
""",
    )
    shell.kplan("apply", "stack.yaml", "--yes")
    topics = open_cluster(Environment("local", str(tmp_path), simulated=Simulated())).topics
    assert isinstance(topics, SimulatedTopics)
    topics.produce("__debezium-heartbeat.shop", 1, at=int(time.time() * 1000) - 90_000)
    age = status(shell)["connectors"]["shop"]["lag"]["heartbeat_age"]  # type: ignore[index]
    assert 90 <= age < 150
    assert re.search(r"heartbeat \d+ s ago", shell.kplan("status", "stack.yaml").out)


def watching(shell: Shell) -> subprocess.Popen[str]:
    """`kplan status --watch`, which looks twice a second."""
    command = [sys.executable, "-m", "kplan", "status", "stack.yaml", "--watch", "--interval", "500ms"]
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("KPLAN_", "KAFKA_"))}
    heard = lambda: signal.signal(signal.SIGINT, signal.default_int_handler)  # noqa: E731
    return subprocess.Popen([*command, "--format", "json"], cwd=shell.folder, env=environment, text=True,
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, preexec_fn=heard)  # fmt: skip


@pytest.mark.slow
def test_watching_looks_again_until_ctrl_c(shell: Shell) -> None:
    asked = watching(shell)
    assert asked.stdout is not None
    assert json.loads(asked.stdout.readline())["status"] == "healthy"
    shell.kplan("connector", "stop", "out")
    for line in asked.stdout:
        if json.loads(line)["status"] == "degraded":
            break
    asked.send_signal(signal.SIGINT)
    assert asked.wait(30) == 0


# -- restarts while it is watched -------------------------------------------------------------------------------------
FEED = Connector("feed", {}, rules=Rules(restart_failed=(2, 10.0)))


def seen(state: str, task: str) -> dict[str, object]:
    return {"connectors": {"feed": {"state": state, "tasks": [{"state": task}]}}}


@pytest.mark.parametrize(("connector", "looks", "restarted"), [
    pytest.param(FEED, "0F 9F 10F 29F 30F 900F", [10, 30], id="ever later, and not for ever"),
    pytest.param(FEED, "0F 10F 12R 14F 33F 34F", [10, 34], id="a short recovery is none"),
    pytest.param(FEED, "0F 10F 12R 22R 30F 40F", [10, 40], id="a real one is"),
    pytest.param(FEED, "0R 900R", [], id="well"),
    pytest.param(replace(FEED, state="stopped"), "0F 900F", [], id="stopped"),
    pytest.param(replace(FEED, rules=Rules()), "0F 900F", [], id="not asked for"),
])  # fmt: skip
def test_what_failed_is_restarted_while_it_is_watched(connector: Connector, looks: str, restarted: list[int]) -> None:
    """A look is at a second, and sees a task that has FAILED or is RUNNING."""
    restarts, stacks = Restarts(), [Stack("s", "local", {connector.address: connector})]
    states = {"F": "FAILED", "R": "RUNNING"}
    moments = [(int(look[:-1]), seen("RUNNING", states[look[-1]])) for look in looks.split()]
    assert [at for at, found in moments if list(restarts.find_due(stacks, found, at))] == restarted


@pytest.mark.slow
def test_watching_restarts_what_failed(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {fail: [connector/feed]}}}\n")
    shell.write("stack.yaml", STACK.replace("  feed:\n", "  feed:\n    restart_failed: {attempts: 1, delay: 1s}\n"))
    shell.kplan("apply", "stack.yaml", "--yes", "--on-failure", "stop", expect=8)
    assert status(shell, expect=2)["status"] == "degraded"
    watched = watching(shell)
    assert watched.stdout is not None and watched.stderr is not None
    for line in watched.stdout:
        if json.loads(line)["status"] == "healthy":
            break
    watched.send_signal(signal.SIGINT)
    assert watched.wait(30) == 0
    assert "connector/feed failed and is restarted, 1 of 1" in watched.stderr.read()


# -- the last run ------------------------------------------------------------------------------------------------------
def test_the_last_run_of_a_stack_is_found_however_many_other_stacks_ran_later(shell: Shell) -> None:
    mine = status(shell)["last_run"]
    for number in range(6):
        loaded = kplan.load(
            shell.write(f"other{number}.yaml", f"version: 1\nstack: other{number}\ntopics: {{o.{number}: {{}}}}\n"),
            process={},
        )
        environment = replace(loaded.environment, folder=str(shell.folder))
        plan = kplan.plan(replace(loaded, environment=environment))
        assert kplan.apply(plan, environment).outcome == "applied"
    found = status(shell)
    assert found["last_run"] == mine
    assert found["statistics"] == STATISTICS
    both = shell.kplan("status", "stack.yaml", "other2.yaml", "--format", "json").json
    jsonschema.validate(both, SCHEMA)
    assert both["last_runs"]["shop"] == mine
    assert both["last_run"] == both["last_runs"]["other2"] != mine
    text = shell.kplan("status", "stack.yaml", "other2.yaml").out
    assert f"last run    {both['last_runs']['shop']['run']}  applied  shop" in text
    assert f"last run    {both['last_run']['run']}  applied  other2" in text


def test_the_document_names_its_target_and_when_and_why_the_last_run_ended(shell: Shell) -> None:
    shell.write("kplan.yaml", "version: 1\nenvironments:\n  local: {simulated: {fail: [topic/shop.new]}}\n")
    found = status(shell)
    assert found["target"]["env"] == "local"  # type: ignore[index]
    assert found["target"]["cluster_id"].startswith("simulated-")  # type: ignore[index]
    assert found["last_run"]["error"] is None  # type: ignore[index]
    shell.write("stack.yaml", STACK.replace("shop.customers:", "shop.customers:\n  shop.new:"))
    shell.kplan("apply", "stack.yaml", "--yes", expect=7)
    last = status(shell, 2)["last_run"]
    assert isinstance(last, dict)
    assert (last["outcome"], last["seconds"] >= 0) == ("rolled_back", True)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", last["at"])
    assert last["error"].startswith("topic/shop.new: ")
    assert last["error"] in shell.kplan("status", "stack.yaml", expect=2).out


def test_a_setting_that_is_not_there_is_not_set(shell: Shell) -> None:
    shell.write("stack.yaml", STACK.replace("retention.ms: 1d", "retention.ms: 1d, cleanup.policy: compact"))
    differences = status(shell, 2)["topics"]["differences"]  # type: ignore[index]
    assert differences == {"shop.orders": ["cleanup.policy: not set instead of compact"]}


def test_an_apply_with_nothing_to_do_ends_with_a_summary(shell: Shell) -> None:
    events = [
        json.loads(line) for line in shell.kplan("apply", "stack.yaml", "--yes", "--format", "json").out.splitlines()
    ]
    end = events[-1]
    assert (end["type"], end["outcome"], end["stack"], end["exit_code"]) == ("apply_summary", "unchanged", "shop", 0)
    assert end["statistics"] == {
        "topics_created": 0, "topic_creation_errors": 0, "retries": 0, "created": {}, "creation_errors": {},
    }  # fmt: skip


ACCESS = """
version: 1
stack: access
variables: {word: {sensitive: true}, other: {sensitive: true}}
users:
  orders: {password: "{{ var.word }}"}
  etl: {password: "{{ var.other }}"}
access:
  User:orders: {produce: [a, b], consume: {topics: c, group: orders}}
  User:etl: {produce: a}
quotas: [{user: etl, producer_byte_rate: 1MB/s}]
"""
WORDS = {"KPLAN_VAR_word": "canary-status-1", "KPLAN_VAR_other": "canary-status-2"}


@pytest.fixture
def access(tmp_path: Path) -> Shell:
    made = Shell(tmp_path, dict(WORDS), tuple(WORDS.values()))
    made.write("stack.yaml", ACCESS)
    made.kplan("apply", "stack.yaml", "--yes")
    return made


def change_access(shell: Shell, *changes: Change) -> None:
    """What others do to bindings and users of the simulated cluster."""
    cluster = open_cluster(Environment("local", str(shell.folder), simulated=Simulated()))
    for change in changes:
        backend = cluster.find(change.address)
        assert backend is not None and backend.act([change], {})[change.address].ok
    cluster.close()


def test_each_principal_has_its_numbers(access: Shell) -> None:
    lost = parse_binding("User:orders/allow/Write/topic/b")
    foreign = [parse_binding(f"User:{who}/allow/Alter/topic/a") for who in ("etl", "nobody")]
    change_access(
        access,
        Change(lost.address, Action.DELETE, lost),
        *(Change(each.address, Action.CREATE, None, each) for each in foreign),
    )
    found = status(access, expect=2)
    assert found["bindings"]["missing"] == [lost.name]  # type: ignore[index]
    assert found["bindings"]["principals"] == {  # type: ignore[index]
        "User:etl": {"declared": 1, "existing": 1, "live": 2},
        "User:orders": {"declared": 4, "existing": 3, "live": 3},
    }
    assert "logins" not in found["users"] and found["quotas"]["existing"] == ["user=etl"]  # type: ignore[index,operator]
    text = access.kplan("status", "stack.yaml", expect=2).out
    assert "\n    User:etl  1 of 1 there, 1 other\n    User:orders  3 of 4 there\n" in text


def test_logins_tell_which_passwords_are_live(access: Shell) -> None:
    works = {"orders": {"result": "works"}, "etl": {"result": "works"}}
    assert access.kplan("status", "stack.yaml", "--logins", "--format", "json").json["users"]["logins"] == works
    etl = ScramUser("etl", frozen({"SCRAM-SHA-512": 4096}), Secret(value="changed-elsewhere"))
    change_access(access, Change(etl.address, Action.CREATE, None, etl))
    assert status(access)["status"] == "healthy"  # no login, so no password is compared
    ended = access.kplan("status", "stack.yaml", "--logins", "--format", "json", expect=2)
    jsonschema.validate(ended.json, SCHEMA)
    assert ended.json["users"]["logins"] == {**works, "etl": {"result": "refused"}}
    assert ended.json["users"]["differences"] == {"etl": ["password: not the declared one"]}
    text = access.kplan("status", "stack.yaml", "--logins", expect=2).out
    assert "\n    orders  login works\n    etl  login refused\n" in text


def test_a_login_that_cannot_be_tried_has_its_reason(access: Shell) -> None:
    orders = ScramUser("orders", frozen({"SCRAM-SHA-512": 4096}))
    etl = ScramUser("etl", frozen({"SCRAM-SHA-512": 4096}))
    other = ScramUser("etl", frozen({"SCRAM-SHA-256": 4096}), Secret(value=WORDS["KPLAN_VAR_other"]))
    change_access(
        access,
        Change(orders.address, Action.DELETE, orders),
        Change(etl.address, Action.DELETE, etl),
        Change(other.address, Action.CREATE, None, other),
    )
    ended = access.kplan("status", "stack.yaml", "--logins", "--format", "json", expect=2)
    assert ended.json["users"]["logins"] == {
        "orders": {"result": "not checked", "reason": "it is not there"},
        "etl": {"result": "not checked", "reason": "it has none of the declared mechanisms"},
    }


def test_a_password_without_a_value_is_not_tried(tmp_path: Path) -> None:
    made = Shell(tmp_path, dict(WORDS), tuple(WORDS.values()))
    made.write("stack.yaml", ACCESS)
    made.kplan("apply", "stack.yaml", "--yes")
    del made.environment["KPLAN_VAR_other"]
    ended = made.kplan("status", "stack.yaml", "--logins")
    assert "\n    orders  login works\n    etl  login not checked (its password has no value here)\n" in ended.out


def test_logins_are_not_repeated(access: Shell) -> None:
    assert "--watch" in access.kplan("status", "stack.yaml", "--logins", "--watch", expect=64).err
