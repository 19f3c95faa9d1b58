"""The fixture `kplan_cluster` as docs/testing.md shows it, and the cluster behind it."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

import kplan
from kplan.testing import SimulatedCluster

pytest_plugins = ["pytester"]
ROOT = Path(__file__).parents[2]
GUIDE = (ROOT / "docs" / "testing.md").read_text("utf-8")
FILES = re.findall(r"```\w+\n# (\S+)\n(.*?)```", GUIDE, re.DOTALL)
CDC = """\
version: 1
stack: cdc
variables: {db_password: {type: string, env: DB_PASSWORD, sensitive: true}}
connectors:
  shop:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.db_password }}"}
    tables: [orders]
"""
TOPIC = "version: 1\nstack: s\ntopics:\n  a.b: {partitions: 3, config: {retention.ms: 7d}}\n"


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    return SimulatedCluster(tmp_path / "kplan")


@pytest.fixture
def alone(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A folder for tests that know the plugin, installed or not, and no server."""
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "never.asked:9092")
    return pytester


@pytest.mark.slow
def test_the_guide_is_true(alone: pytest.Pytester) -> None:
    for name, text in FILES:
        (alone.path / name).write_text(text, "utf-8")
    stacks = {"shop.yaml", "kplan.yaml", "access.yaml", "schemas.yaml"}
    assert {name for name, _ in FILES} == {"test_stacks.py", "test_access.py", "test_schemas.py", *stacks}
    alone.runpytest_subprocess("-p", "kplan.pytest_plugin", "-p", "no:cacheprovider").assert_outcomes(passed=6)


def test_the_guide_names_what_there_is() -> None:
    rows = re.findall(r"^\| (`.*?`) \|", GUIDE, re.MULTILINE)
    told = {name for row in rows for name in re.findall(r"`(\w+)[`(]", row)}
    public = {name for name in vars(SimulatedCluster) if not name.startswith("_")} - {"environment", "folder"}
    assert told == public


@pytest.mark.slow
def test_pytest_shows_each_problem_with_its_place(alone: pytest.Pytester) -> None:
    wrong = "version: 1\nstack: a\ntopics:\n  a.b: {partitons: 3}\n  a.c: {config: {retention: 1}}\n"
    alone.makepyfile(f"def test_it(kplan_cluster): kplan_cluster.plan({wrong!r})")
    result = alone.runpytest_subprocess("-p", "kplan.pytest_plugin")
    result.stdout.fnmatch_lines(["*stack.yaml:4:9: K106 *partitons*", "*stack.yaml:5:18: K104 *retention*"])


@pytest.mark.slow
def test_the_plugin_costs_nothing_until_it_is_used(tmp_path: Path) -> None:
    (tmp_path / "test_it.py").write_text("def test_it(): pass\n")
    code = (
        "import sys, pytest; assert pytest.main(['-q', '-p', 'kplan.pytest_plugin', '-p', 'no:cacheprovider']) == 0; "
        "print(sorted(m for m in sys.modules if m.split('.')[0] in ('kplan', 'yaml', 'jinja2', 'confluent_kafka')))"
    )
    env = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=env, text=True, capture_output=True)
    assert run.stdout.splitlines()[-1] == "['kplan', 'kplan.pytest_plugin', 'kplan.version']", run.stdout + run.stderr


def test_the_cluster_works_without_pytest(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pytest'] = None; from kplan.testing import SimulatedCluster; "
        f"print(SimulatedCluster('here').plan({TOPIC!r}).summary.add)"
    )
    run = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env={"PYTHONPATH": str(ROOT)}, text=True,
                         capture_output=True)  # fmt: skip
    assert run.stdout == "1\n", run.stderr


def test_a_stack_is_applied_and_destroyed(cluster: SimulatedCluster) -> None:
    events: list[kplan.Event] = []
    assert cluster.apply(TOPIC, events=events).outcome == "applied"
    assert [event.type for event in events] == ["step_started", "step_done", "apply_summary"]
    assert cluster.topics["a.b"].config == {"retention.ms": "604800000"}
    assert not cluster.plan(TOPIC).has_changes
    assert cluster.destroy(TOPIC).exit_code == 0
    assert cluster.topics == {}


def test_drift_is_seen(cluster: SimulatedCluster) -> None:
    cluster.apply(TOPIC)
    cluster.set_config("a.b", {"retention.ms": "1"})
    (drift,) = cluster.plan(TOPIC).drift
    assert (str(drift.address), drift.path, drift.live) == ("topic/a.b", "/config/retention.ms", "1")
    cluster.delete_topic("a.b")
    assert cluster.plan(TOPIC).summary.add == 1


def test_a_secret_needs_no_value_and_is_never_shown(cluster: SimulatedCluster) -> None:
    assert cluster.apply(CDC).outcome == "applied"
    password = cluster.connectors["shop"].config["database.password"]
    assert isinstance(password, kplan.Secret)
    assert not cluster.plan(CDC).has_changes
    changed = cluster.plan(CDC, var={"db_password": "only-a-test-7f3a"})
    assert changed.summary.change == 1
    assert "only-a-test-7f3a" not in repr(changed) + kplan.view(changed) + str(kplan.to_json(changed))


def test_a_connector_fails_where_it_is_to_and_is_put_back(cluster: SimulatedCluster) -> None:
    cluster.fail = ["connector/shop"]
    result = cluster.apply(CDC)
    assert (result.outcome, str(result.failed), cluster.connectors, cluster.topics) == (
        "rolled_back", "connector/shop", {}, {})  # fmt: skip
    cluster.fail = ()
    assert cluster.apply(CDC).outcome == "applied"


def test_readers_and_records_make_a_deletion_dangerous(cluster: SimulatedCluster) -> None:
    cluster.apply(TOPIC)
    cluster.produce("a.b", 5)
    cluster.subscribe("billing", "a.b", lag=2)
    gone = "version: 1\nstack: s\nremoved: [{topic: a.b}]\n"
    (change,) = cluster.plan(gone).dangers
    facts = next(risk.facts for risk in change.risks if risk.facts)
    assert (facts.records, [(r.group, r.lag) for r in facts.readers]) == (5, [("billing", 2)])
    with pytest.raises(kplan.Blocked):
        cluster.apply(gone)
    assert cluster.apply(gone, accept="delete:topic/a.b").outcome == "applied"


def test_what_others_made_is_adopted(cluster: SimulatedCluster) -> None:
    cluster.add_topic("a.b", partitions=3, config={"retention.ms": "604800000"}, records=7)
    cluster.add_connector("file", {"connector.class": "FileStreamSource", "topic": "a.b", "file": "/tmp/x"})
    plan = cluster.plan(TOPIC)
    assert (plan.summary.adopt, plan.has_changes) == (1, False)
    assert cluster.connectors["file"].java_class == "FileStreamSource"
    with pytest.raises(kplan.Conflict):
        cluster.add_topic("a.b")


def test_a_cluster_has_as_many_brokers_as_it_is_told(cluster: SimulatedCluster) -> None:
    cluster.brokers = 1
    plan = cluster.plan("version: 1\nstack: s\ntopics: {a.b: {replication_factor: 3}}\n")
    assert plan.exit_code == 4
    with pytest.raises(kplan.Invalid, match="the cluster has 1 broker"):
        cluster.apply(plan)


def test_one_of_a_folder_is_planned(cluster: SimulatedCluster, tmp_path: Path) -> None:
    (tmp_path / "stacks").mkdir()
    (tmp_path / "stacks" / "cdc.yaml").write_text(CDC)
    (tmp_path / "stacks" / "topics.yaml").write_text(TOPIC)
    assert cluster.plan(tmp_path / "stacks", stack="s").summary.add == 1
    assert cluster.apply(cluster.plan(tmp_path / "stacks", stack="cdc")).done == 3
    assert cluster.destroy(tmp_path / "stacks", stack="cdc").exit_code == 0


ACCESS = """\
version: 1
stack: access
access:
  User:orders: {produce: [shop.orders, "shop.own.*"], hosts: ["*"]}
  User:audit: {consume: {topics: shop.orders, group: audit}, hosts: [10.0.0.7]}
  User:*: {deny: [{topic: shop.own.salaries, operations: [All]}]}
"""


@pytest.mark.parametrize(
    ("principal", "operation", "resource", "host", "expected"),
    [
        ("User:orders", "Write", "topic/shop.orders", "*", True),
        ("User:orders", "Describe", "topic/shop.orders", "*", True),
        ("User:orders", "Read", "topic/shop.orders", "*", False),
        ("User:orders", "Write", "topic/shop.own.a", "10.0.0.9", True),
        ("User:orders", "Write", "topic/shop.own.salaries", "*", False),
        ("User:audit", "Read", "topic/shop.orders", "10.0.0.7", True),
        ("User:audit", "Read", "topic/shop.orders", "10.0.0.8", False),
        ("User:audit", "Read", "topic/shop.orders", "*", False),
        ("User:audit", "Read", "group/audit", "10.0.0.7", True),
        ("User:stranger", "Read", "topic/shop.orders", "*", False),
        ("User:orders", "Alter", "cluster", "*", False),
        ("User:kplan", "Alter", "cluster", "*", True),
        ("User:connect", "Write", "topic/shop.own.salaries", "*", True),
    ],
)  # fmt: skip
def test_who_can_do_what(
    cluster: SimulatedCluster, principal: str, operation: str, resource: str, host: str, expected: bool
) -> None:
    cluster.apply(ACCESS)
    assert cluster.can(principal, operation, resource, host=host) is expected


@pytest.mark.parametrize(
    ("question", "answer"),
    [
        (("orders", "Write", "topic/a"), "write 'User:orders'"),
        (("User:orders", "write", "topic/a"), "'write' is not an operation of a topic: Read, Write"),
        (("User:orders", "ClusterAction", "topic/a"), "not an operation of a topic"),
        (("User:orders", "Write", "shop.orders"), "'shop.orders' is neither topic/NAME"),
        (("User:orders", "Write", "topic/"), "neither topic/NAME"),
        (("User:orders", "Alter", "cluster/a"), "neither topic/NAME"),
    ],
)
def test_a_question_about_nothing_is_an_error(
    cluster: SimulatedCluster, question: tuple[str, str, str], answer: str
) -> None:
    with pytest.raises(ValueError, match=answer):
        cluster.can(*question)
