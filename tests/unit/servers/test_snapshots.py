"""A snapshot holds what a plan needs and no secret; a plan from it is the one that the servers would give."""

from __future__ import annotations

import copy
import json
import random
import shutil
from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from kplan.app.opening import OpenEnvironment
from kplan.app.runtime import Runtime
from kplan.app.servers import open_snapshot
from kplan.app.snapshot import take_snapshot
from kplan.diagnostics import Invalid, Span, Stale, Unsupported
from kplan.kinds.topic.internal import is_left_out
from kplan.model import (
    Action,
    Address,
    Change,
    Connector,
    Facts,
    Health,
    Live,
    Origin,
    Owned,
    Reader,
    Removal,
    Secret,
    Stack,
    Target,
    Task,
    Topic,
    is_sensitive_key,
)
from kplan.model.masks import Mask
from kplan.planning.document import to_json as plan_to_json
from kplan.planning.pipeline import Options, make
from kplan.render.text import Context, Style, render
from kplan.servers.base import Cluster
from kplan.servers.connect.passwords import passwords_of
from kplan.servers.recorded import Recorded
from kplan.servers.simulated import SimulatedTopics
from kplan.servers.snapshots import Snapshot, from_json, note_uncompared, to_json, without_secrets
from kplan.state.recorded import RecordedStore
from tests.examples import examples
from tests.schemas import published, strict
from tests.shell import Shell

SECRET = "canary-9d41-only-a-test"
SCHEMA = published("live.v1")
VALIDATOR = Draft202012Validator(strict(SCHEMA))
SHOP = Address("connector", "shop")
STACK = """
version: 1
stack: shop
variables:
  db_password: {type: string, env: SHOP_DB_PASSWORD, sensitive: true}
defaults: {topic: {replication_factor: 3}}
connectors:
  shop:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.db_password }}"}
    tables:
      orders: {partitions: 6}
      customers:
"""


def connector(**config: str | Secret) -> Connector:
    named = {key.replace("_", "."): value for key, value in config.items()}
    return Connector("shop", {"connector.class": "org.example.Source", **named})


def snapshot(now: Connector, applied: Connector | None = None) -> Snapshot:
    live = Live(Target("id", "kafka:9092", 3, "http://c:8083", "4.3.1"), {SHOP: now}, health={SHOP: Health("RUNNING")})
    owned = {} if applied is None else {SHOP: Owned(SHOP, "shop", "prod", True, applied=applied)}
    return Snapshot("prod", "2026-01-01T10:00:00Z", live, owned)


def shown(bare: Snapshot) -> Any:
    """The connector's config in the document, in which no byte of the secret is."""
    text = json.dumps(to_json(bare))
    assert SECRET not in text
    return json.loads(text)["connectors"]["shop"]["config"]


# -- secrets ----------------------------------------------------------------------------------------------------------
def test_what_is_named_like_a_secret_is_left_out() -> None:
    bare = without_secrets(snapshot(connector(database_password=Secret(value=SECRET))), {SHOP: ()})
    assert shown(bare)["database.password"] == {"sensitive": True}


@pytest.mark.parametrize("key", ["producer.override.ssl.keystore.key", "ssl.key.pem", "sasl.jaas.config"])
def test_keys_of_kafka_clients_are_named_like_secrets(key: str) -> None:
    """They are of the type PASSWORD in Kafka's own definitions, which no plugin lists."""
    assert is_sensitive_key(key)


@pytest.mark.parametrize("key", ["sasl.oauthbearer.token.endpoint.url", "token_url", "tokenizer"])
def test_the_address_of_an_issuer_is_no_secret(key: str) -> None:
    assert not is_sensitive_key(key) and is_sensitive_key("token_urls") and is_sensitive_key("access_token")


def test_what_the_plugin_declares_as_a_password_is_left_out() -> None:
    bare = without_secrets(snapshot(connector(login=SECRET, host="db")), {SHOP: {"login"}})
    assert shown(bare)["login"] == {"sensitive": True}
    assert shown(bare)["host"] == "db"


def test_what_a_stack_fills_from_a_sensitive_variable_is_left_out() -> None:
    bare = without_secrets(snapshot(connector(host=SECRET)), {SHOP: ()}, {SHOP: ("host",)})
    assert shown(bare)["host"] == {"sensitive": True}


def test_what_was_applied_from_a_sensitive_variable_is_left_out() -> None:
    applied = connector(host=Secret("{{ var.host }}", None, "hmac:1f"))
    bare = without_secrets(snapshot(connector(host=SECRET), applied), {SHOP: ()})
    assert shown(bare)["host"] == {"sensitive": True}
    record = to_json(bare)["ledger"]["connector/shop"]["applied"]["config"]["host"]
    assert record == {"sensitive": True, "ref": "{{ var.host }}"}, "neither value nor digest"


def test_a_setting_that_quotes_a_secret_is_left_out() -> None:
    now = connector(database_password=Secret(value=SECRET), url=f"jdbc:db?x={SECRET}&y=1", host="db")
    found = shown(without_secrets(snapshot(now), {SHOP: ()}))
    assert found["url"] == {"sensitive": True}
    assert found["host"] == "db"


def test_of_a_plugin_that_nobody_knows_only_what_a_stack_has_set_is_shown() -> None:
    now = connector(host="db", login=SECRET, tasks_max="1")
    found = shown(without_secrets(snapshot(now, connector(host="db", login="other")), {}))
    assert found == {
        "connector.class": "org.example.Source",
        "host": "db",
        "login": {"sensitive": True},
        "tasks.max": "1",
    }


def test_a_reference_that_the_worker_resolves_is_no_secret() -> None:
    reference = "${file:/run/db.properties:password}"
    bare = without_secrets(snapshot(connector(login=reference)), {SHOP: {"login"}})
    assert shown(bare)["login"] == reference


def test_the_record_of_what_is_gone_keeps_no_digest() -> None:
    gone = Address("connector", "gone")
    owned = Owned(
        gone, "shop", "prod", True, applied=Connector("gone", {"a.token": Secret("{{ var.t }}", None, "h:1")})
    )
    bare = without_secrets(Snapshot("prod", "2026-01-01T10:00:00Z", Live(), {gone: owned}), {})
    config = to_json(bare)["ledger"]["connector/gone"]["applied"]["config"]
    assert config == {"a.token": {"sensitive": True, "ref": "{{ var.t }}"}}


def test_passwords_of_transformations_and_converters_are_known() -> None:
    classes = {
        "org.example.Source": frozenset({"login"}),
        "org.example.Encrypt": frozenset({"salt"}),
        "org.example.Avro": frozenset({"user.info"}),
    }
    now = connector(
        transforms="encrypt, odd",
        transforms_encrypt_type="org.example.Encrypt",
        transforms_odd_type="org.example.Unknown",
        transforms_odd_setting="x",
        value_converter="org.example.Avro",
    )
    assert passwords_of(now, classes.get) == {
        "login",
        "transforms.encrypt.salt",
        "transforms.odd.setting",
        "value.converter.user.info",
    }
    assert passwords_of(Connector("x", {"connector.class": "org.example.Unknown"}), classes.get) is None


# -- the document -----------------------------------------------------------------------------------------------------
def whole() -> Snapshot:
    orders, shop = Address("topic", "shop.orders"), connector(database_password=Secret(), topics="a,b")
    live = Live(
        Target("id", "kafka:9092", 3, "http://c:8083", "4.3.1", "", "2026-01-01T10:00:00Z"),
        {orders: Topic("shop.orders", 6, 3, {"retention.ms": "1"}), SHOP: Connector("shop", shop.config, "paused")},
        frozenset({"shop.orders"}),
        frozenset({Address("topic", "payroll")}),
        {SHOP: Health("PAUSED", (Task(0, "FAILED", "Timeout: db", "c:8083"),), "why")},
        {orders: Facts(5, None, 7, (Reader("billing", 2, False),), 3, unknown={"bytes": "nobody says"})},
    )
    owned = Owned(orders, "shop", "prod", True, True, Topic("shop.orders", 6), "20260101T100000Z-0000", "2026-01-01")
    return Snapshot("prod", "2026-01-01T10:00:00Z", live, {orders: owned})


def test_a_snapshot_is_read_as_it_was_written() -> None:
    assert from_json(json.loads(json.dumps(to_json(whole())))) == whole()


def test_the_order_is_that_of_names() -> None:
    one = whole()
    other = Snapshot(one.env, one.taken_at, Live(**{**fields(one.live), "resources": backwards(one.live.resources)}),
                     backwards(one.ledger))  # fmt: skip
    assert json.dumps(to_json(one)) == json.dumps(to_json(other))


def fields(live: Live) -> dict[str, Any]:
    return {name: getattr(live, name) for name in live.__slots__}


def backwards(mapping: Mapping[Any, Any]) -> dict[Any, Any]:
    return dict(reversed(list(mapping.items())))


def test_a_snapshot_fits_its_published_schema() -> None:
    Draft202012Validator.check_schema(SCHEMA)
    assert not [e.message for e in VALIDATOR.iter_errors(to_json(whole()))]


def test_keys_of_a_later_minor_version_are_ignored() -> None:
    document = {**to_json(whole()), "format_version": "1.9", "later": {}}
    document["topics"]["shop.orders"]["later"] = 1
    assert from_json(document) == whole()


def test_another_major_version_is_refused() -> None:
    with pytest.raises(Stale, match=r"format 2\.0") as refused:
        from_json({**to_json(whole()), "format_version": "2.0"}, "live.json")
    assert refused.value.code == "K608" and refused.value.exit_code == 5


@pytest.mark.parametrize("data", [None, [], "x", {}, {"format_version": "1.0", "digest": "sha256:0"}])
def test_what_is_no_snapshot_is_told(data: Any) -> None:
    with pytest.raises(Invalid) as refused:
        from_json(data, "live.json")
    assert [d.code for d in refused.value.diagnostics] == ["K607"]


@pytest.mark.slow
@examples(400)
@given(st.integers())
def test_whatever_is_damaged_is_told_or_can_be_planned_from(seed: int) -> None:
    rng = random.Random(seed)
    document = copy.deepcopy(to_json(whole()))
    at = rng.choice([each for each in containers(document) if each])
    key = rng.choice(list(at) if isinstance(at, dict) else list(range(len(at))))
    if rng.random() < 0.4:
        del at[key]
    else:
        at[key] = rng.choice([None, True, -1, 1.5, "", "x", "9999-99-99T99:99:99Z", [], {}, [1], {"a": 1}])
    try:
        found = from_json(document, "live.json")
    except Invalid as refused:
        assert [d.code for d in refused.diagnostics] == ["K607"]
    except Stale as refused:
        assert refused.code == "K608"
    else:
        planned(found)


def planned(found: Snapshot) -> None:
    """The plan and its view are made."""
    orders = Topic("shop.orders", 9, 3, {"retention.ms": "9"})
    stack = Stack("shop", "prod", {r.address: r for r in (orders, connector(database_password=Secret("{{ var.p }}")))},
                  removed=(Removal(Address("topic", "gone")),))  # fmt: skip
    cluster, store = open_snapshot(found, "live.json")
    plan = make(stack, cluster, store, Options(offline=True, created_at="2026-01-01T11:00:00Z"))
    assert any("SNAPSHOT" in line for line in render(plan_to_json(plan), Style(), Context()))


def containers(data: Any) -> Iterator[Any]:
    if isinstance(data, dict | list):
        yield data
        for child in data.values() if isinstance(data, dict) else data:
            yield from containers(child)


@pytest.mark.parametrize(
    ("name", "left_out"),
    [
        ("__consumer_offsets", True),
        ("__kplan", True),
        ("_schemas", False),
        ("__debezium-heartbeat.shop", False),
        ("shop.orders", False),
    ],
)
def test_topics_of_kafka_and_kplan_are_left_out(name: str, left_out: bool) -> None:
    assert is_left_out(name) is left_out


# -- what cannot be known ---------------------------------------------------------------------------------------------
def test_settings_that_cannot_be_compared_are_named_and_nothing_else() -> None:
    span = Span("shop.yaml", 7, 3)
    want = {
        "a": Secret("{{ var.a }}"),
        "b": "literal",
        "c": "${file:/x:y}",
        "d": Secret("{{ var.d }}", "known"),
        "e": "1",
    }
    declared = Connector("shop", want, origin=Origin(span))
    live = Live(resources={SHOP: Connector("shop", {"a": Secret(), "b": Secret(), "c": "x", "d": "known", "e": "1"})})
    (note,) = note_uncompared(Stack("shop", "prod", {SHOP: declared}), live)
    assert (note.code, note.severity, note.span, note.address) == ("K610", "note", span, "connector/shop")
    assert note.detail.startswith("a, b of connector/shop:")


def test_a_snapshot_is_only_read() -> None:
    recorded = Recorded("topic", whole().live)
    for act in (lambda: recorded.act([], {}), lambda: recorded.capture([]), lambda: recorded.settle([], print)):  # type: ignore[arg-type]
        with pytest.raises(Unsupported):
            act()
    with pytest.raises(Unsupported):
        RecordedStore("live.json", {}).lock("shop", None, 0.0)  # type: ignore[arg-type]


# -- how much is read -------------------------------------------------------------------------------------------------
class Counting(SimulatedTopics):
    """Counts how many topics are asked for together."""

    asked: list[int]

    def facts(self, names: Collection[str]) -> Mapping[Address, Facts]:
        self.asked.append(len(names))
        return {Address("topic", name): Facts(0) for name in names}


@pytest.mark.parametrize(("facts", "asked"), [("none", []), ("managed", [1]), ("all", [1000, 1000, 501])])
def test_facts_are_read_in_batches_and_by_default_of_managed_topics_alone(
    facts: str, asked: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from kplan.project.environment import Environment
    from kplan.project.loading import Loaded

    topics = Counting(tmp_path / "a.db")
    topics.asked = []
    every = {Address("topic", f"t{n}"): Topic(f"t{n}", 1, 3) for n in range(2501)}
    recorded = Recorded("topic", Live(resources=every))
    monkeypatch.setattr(topics, "read", recorded.read)
    owned = Address("topic", "t7")
    store = RecordedStore("x", {owned: Owned(owned, "shop", "local", True)})
    opened = OpenEnvironment(Environment("local"), Cluster.of(topics, None), store)
    runtime = Runtime(Mask(), lambda: datetime.now(UTC))
    found = take_snapshot(Loaded(opened.environment), opened, facts, runtime)
    assert topics.asked == asked
    assert len(found.live.resources) == 2501
    assert len(found.live.facts) == sum(asked)


# -- as a person uses it ----------------------------------------------------------------------------------------------
@pytest.fixture(scope="module")
def applied(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder where the stack is applied to a simulated cluster."""
    shell = empty(tmp_path_factory.mktemp("applied"))
    shell.kplan("apply", "shop.yaml", "--yes", SHOP_DB_PASSWORD=SECRET)
    return shell.folder


def empty(folder: Path) -> Shell:
    shell = Shell(folder, {}, (SECRET,))
    shell.write("kplan.yaml", "version: 1\nenvironments:\n  local: {}\n")
    shell.write("shop.yaml", STACK)
    return shell


@pytest.fixture
def shell(applied: Path, tmp_path: Path) -> Shell:
    """A copy of that folder; the secret is not known from here on."""
    shutil.copytree(applied, tmp_path, dirs_exist_ok=True)
    return Shell(tmp_path, {}, (SECRET,))


def take(shell: Shell, *arguments: str) -> Any:
    shell.kplan("snapshot", "--out", "live.json", *arguments)
    shell.assert_no_secret_on_disk()
    document = json.loads((shell.folder / "live.json").read_text("utf-8"))
    assert not [e.message for e in VALIDATOR.iter_errors(document)]
    return document


def plan(shell: Shell, *arguments: str, expect: int = 0) -> Any:
    ended = shell.kplan("plan", "shop.yaml", "--live", "live.json", "--format", "json", *arguments, expect=expect)
    return json.loads(ended.out)


def test_after_an_apply_a_plan_from_the_snapshot_has_no_changes_and_needs_no_secret(shell: Shell) -> None:
    document = take(shell)
    assert document["connectors"]["shop"]["config"]["database.password"] == {"sensitive": True}
    assert set(document["topics"]) == {"__debezium-heartbeat.shop", "shop.public.customers", "shop.public.orders"}
    found = plan(shell, "--detailed-exitcode")
    assert found["changes"] == [] and found["summary"]["unchanged"] == 4
    assert [d["code"] for d in found["diagnostics"]] == ["K610"]
    assert found["target"]["snapshot"] == document["taken_at"] and found["checked"] is False


def test_another_secret_is_no_change_but_a_note(shell: Shell) -> None:
    take(shell)
    ended = shell.kplan(
        "plan", "shop.yaml", "--live", "live.json", "--detailed-exitcode", SHOP_DB_PASSWORD="another-one"
    )
    assert "SNAPSHOT of SIMULATED cluster" in ended.out and "No changes." in ended.out
    assert "secrets are not compared with a snapshot" in ended.err


def test_a_plan_from_the_snapshot_is_the_servers_plan_but_for_their_checks(shell: Shell) -> None:
    take(shell)
    shell.write("shop.yaml", STACK.replace("orders: {partitions: 6}", "orders: {partitions: 12}\n      wares:"))
    found = plan(shell)
    served = shell.kplan("plan", "shop.yaml", "--format", "json", SHOP_DB_PASSWORD=SECRET).json
    for document in (found, served):
        for change in document["changes"]:
            change["verified"] = None
            for side in ("before", "after"):
                bare(change[side])
            bare((change.get("owner") or {}).get("applied"))
    assert found["changes"] == served["changes"]
    assert found["summary"] == served["summary"]


def test_a_plan_from_the_snapshot_is_for_the_topics_that_it_saw(shell: Shell) -> None:
    ids = {name: topic["topic_id"] for name, topic in take(shell)["topics"].items()}
    shell.write("shop.yaml", STACK.replace("orders: {partitions: 6}", "orders: {partitions: 12}"))
    shell.kplan("plan", "shop.yaml", "--live", "live.json", "--out", "plan.json")
    (change,) = json.loads((shell.folder / "plan.json").read_text("utf-8"))["changes"]
    assert change["topic_id"] == ids["shop.public.orders"]

    backend = SimulatedTopics(shell.folder / ".kplan" / "local.db")
    orders = Address("topic", "shop.public.orders")
    there = backend.read([orders.name]).resources[orders]
    backend.act([Change(orders, Action.DELETE, there)], {})
    backend.act([Change(orders, Action.CREATE, None, there)], {})
    refused = shell.kplan("apply", "plan.json", SHOP_DB_PASSWORD=SECRET, expect=5)
    assert "K520" in refused.err and "another topic has this name now" in refused.err
    assert backend.read([orders.name]).resources[orders] == there


def test_a_snapshot_without_ids_is_read_and_its_plan_is_applied(shell: Shell) -> None:
    document = take(shell)
    for topic in document["topics"].values():
        del topic["topic_id"]
    shell.write("live.json", json.dumps(document))
    shell.write("shop.yaml", STACK.replace("orders: {partitions: 6}", "orders: {partitions: 12}"))
    assert "topic_id" not in plan(shell, "--out", "plan.json")["changes"][0]
    shell.kplan("apply", "plan.json", SHOP_DB_PASSWORD=SECRET)


def test_an_id_that_is_not_text_is_damage() -> None:
    document = to_json(snapshot(connector()))
    document["topics"] = {"a": {"partitions": 1, "replication_factor": 1, "config": {}, "topic_id": 7}}
    with pytest.raises(Invalid, match=r"K607.*`topic_id` is not text"):
        from_json(document, "live.json")


def bare(resource: Any) -> None:
    """Takes away what only a value or a key can tell."""
    for value in (resource or {}).get("config", {}).values():
        if isinstance(value, dict):
            value.pop("fingerprint", None)


def test_a_saved_plan_is_applied_with_the_secret_that_is_given_then(shell: Shell) -> None:
    take(shell)
    shell.write("shop.yaml", STACK.replace("customers:", "customers:\n      wares:"))
    shell.kplan("plan", "shop.yaml", "--live", "live.json", "--out", "plan.json")
    refused = shell.kplan("apply", "plan.json", expect=4)
    assert "K219" in refused.err and "db_password" in refused.err
    shell.kplan("apply", "plan.json", SHOP_DB_PASSWORD="rotated-in-between")
    shell.kplan("plan", "shop.yaml", "--detailed-exitcode", SHOP_DB_PASSWORD="rotated-in-between")
    shell.assert_no_secret_on_disk()


def test_a_new_connector_is_planned_without_its_secret_and_made_with_it(tmp_path: Path) -> None:
    shell = empty(tmp_path)
    take(shell)
    assert plan(shell, "--out", "plan.json")["summary"]["add"] == 4
    shell.kplan("apply", "plan.json", SHOP_DB_PASSWORD=SECRET)
    shell.kplan("plan", "shop.yaml", "--detailed-exitcode", SHOP_DB_PASSWORD=SECRET)
    shell.assert_no_secret_on_disk()


def test_a_plan_from_an_old_snapshot_is_refused_where_the_cluster_has_changed(shell: Shell) -> None:
    take(shell)
    shell.write("shop.yaml", STACK.replace("orders: {partitions: 6}", "orders: {partitions: 9}"))
    shell.kplan("plan", "shop.yaml", "--live", "live.json", "--out", "plan.json")
    shell.write("shop.yaml", STACK.replace("orders: {partitions: 6}", "orders: {partitions: 7}"))
    shell.kplan("apply", "shop.yaml", "--yes", SHOP_DB_PASSWORD=SECRET)
    shell.write("shop.yaml", STACK.replace("orders: {partitions: 6}", "orders: {partitions: 9}"))
    assert "planned from 6, now 7" in shell.kplan("apply", "plan.json", expect=5, SHOP_DB_PASSWORD=SECRET).err


def produce(shell: Shell, topic: str, count: int) -> None:
    topics = SimulatedTopics(shell.folder / ".kplan" / "local.db")
    topics.produce(topic, count)
    topics.close()


REMOVED = STACK.replace("      customers:\n", "") + "removed: [{topic: shop.public.customers}]\n"


def test_records_in_the_snapshot_make_a_deletion_dangerous(shell: Shell) -> None:
    produce(shell, "shop.public.customers", 214)
    take(shell)
    shell.write("shop.yaml", REMOVED)
    found = plan(shell, expect=3)
    assert found["blocked"] == ["K401 topic/shop.public.customers"]
    assert "214 records" in json.dumps(found)


def test_what_was_not_read_counts_as_dangerous(shell: Shell) -> None:
    take(shell, "--facts", "none")
    shell.write("shop.yaml", REMOVED)
    assert plan(shell, expect=3)["blocked"] == ["K401 topic/shop.public.customers"]


def test_records_that_came_after_the_snapshot_stop_the_apply(shell: Shell) -> None:
    take(shell)
    shell.write("shop.yaml", REMOVED)
    plan(shell, "--out", "plan.json")
    produce(shell, "shop.public.customers", 1)
    assert "K401" in shell.kplan("apply", "plan.json", expect=5, SHOP_DB_PASSWORD=SECRET).err


def ledger(shell: Shell) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(shell.kplan("snapshot").out)["ledger"]
    return found


TWO, THREE = ("version: 1\nstack: own\ntopics:\n  own.a:\n  own.b:\n" + more for more in ("", "  own.c:\n"))


@pytest.mark.parametrize(("fails", "code"), [("", 0), ("topic/own.c", 7)])
def test_a_plan_from_an_old_snapshot_forgets_nothing_of_what_is_owned_since(
    fails: str, code: int, tmp_path: Path
) -> None:
    """Neither when it is applied nor when it is rolled back."""
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", f"version: 1\nenvironments:\n  local: {{simulated: {{fail: [{fails}]}}}}\n")
    shell.write("own.yaml", THREE)
    shell.kplan("snapshot", "--out", "live.json")
    shell.kplan("plan", "own.yaml", "--live", "live.json", "--out", "plan.json")
    shell.write("own.yaml", TWO)
    shell.kplan("apply", "own.yaml", "--yes")
    shell.write("own.yaml", THREE)
    shell.kplan("apply", "plan.json", expect=code)
    made = {"topic/own.a": True, "topic/own.b": True} | ({} if fails else {"topic/own.c": True})
    assert {address: record["created"] for address, record in ledger(shell).items()} == made


def test_what_is_protected_since_the_snapshot_is_not_deleted(shell: Shell) -> None:
    shell.write("own.yaml", TWO)
    shell.kplan("apply", "own.yaml", "--yes")
    take(shell)
    removed = "version: 1\nstack: own\ntopics:\n  own.a:\nremoved: [{topic: own.b}]\n"
    shell.write("own.yaml", removed)
    shell.kplan("plan", "own.yaml", "--live", "live.json", "--out", "plan.json")
    shell.write("own.yaml", TWO.replace("own.b:", "own.b: {protect: true}"))
    shell.kplan("apply", "own.yaml", "--yes")
    shell.write("own.yaml", removed)
    assert "topic/own.b: it is protected now" in shell.kplan("apply", "plan.json", expect=5).err


def test_internal_topics_are_in_it_where_a_stack_declares_them(shell: Shell) -> None:
    shell.write("own.yaml", "version: 1\nstack: own\ntopics:\n  __own.audit: {partitions: 1}\n")
    shell.kplan("apply", "own.yaml", "--yes")
    assert "__own.audit" in take(shell)["topics"], "the ledger says that a stack owns it"
    shell.write("own.yaml", "version: 1\nstack: own\ntopics:\nremoved: [{topic: __own.audit, keep: true}]\n")
    shell.kplan("apply", "own.yaml", "--yes")
    assert "__own.audit" not in take(shell)["topics"]
    shell.write("own.yaml", "version: 1\nstack: own\ntopics:\n  __own.audit: {partitions: 1}\n")
    assert "__own.audit" in take(shell, "own.yaml")["topics"]


def test_without_a_file_it_goes_to_standard_output(shell: Shell) -> None:
    assert json.loads(shell.kplan("snapshot", "--quiet").out)["env"] == "local"


def test_two_snapshots_of_one_world_differ_in_their_time_alone(shell: Shell) -> None:
    first, second = (json.loads(shell.kplan("snapshot").out) for _ in range(2))
    assert {**first, "taken_at": ""} == {**second, "taken_at": ""}


@pytest.mark.parametrize(
    ("text", "code", "words"),
    [
        ("", "K607", "not JSON"),
        ('{"format_version": "1.0", "taken_at"', "K607", "not JSON"),
        ('{"format_version": "1.0", "changes": []}', "K607", "neither `taken_at` nor `topics`"),
        ('{"format_version": "2.0", "taken_at": "", "topics": {}}', "K608", "this kplan reads 1.1"),
        ('{"format_version": "1.0", "taken_at": "", "topics": {}}', "K607", "there is no 'brokers'"),
    ],
)
def test_a_file_that_is_no_snapshot_is_told(text: str, code: str, words: str, shell: Shell) -> None:
    shell.write("live.json", text)
    ended = shell.kplan("plan", "shop.yaml", "--live", "live.json", expect=5 if code == "K608" else 4)
    assert f"error[{code}]" in ended.err and words in ended.err and "kplan snapshot --out" in ended.err


def test_a_missing_file_is_told(shell: Shell) -> None:
    ended = shell.kplan("plan", "shop.yaml", "--live", "nowhere.json", expect=4)
    assert "K607" in ended.err and "nowhere.json: No such file" in ended.err


def test_a_snapshot_of_another_environment_is_refused(shell: Shell) -> None:
    take(shell)
    shell.write("kplan.yaml", "version: 1\ndefault: dev\nenvironments:\n  local: {}\n  dev: {}\n")
    ended = shell.kplan("plan", "shop.yaml", "--live", "live.json", expect=5)
    assert "K609" in ended.err and "--env local" in ended.err
    shell.kplan("plan", "shop.yaml", "--live", "live.json", "--env", "local")


# -- without the credentials of the environment -----------------------------------------------------------------------
SECRETIVE = """
version: 1
environments:
  prod:
    kafka:
      bootstrap.servers: "{{ env.BROKERS }}"
      sasl.username: "{{ env.KAFKA_USER }}"
      sasl.password: "{{ env.KAFKA_PASSWORD }}"
    connect: {url: "{{ env.CONNECT }}", password: "{{ env.CONNECT_PASSWORD }}"}
    state: {kafka_topic: "{{ env.STATE_TOPIC }}"}
    variables: {db_password: "{{ env.DB_PASSWORD }}", PLAIN}
"""


@pytest.fixture
def secretive(tmp_path: Path) -> Shell:
    """A real environment of which nothing is known here, a stack that asks where the brokers are, and a snapshot."""
    shell = Shell(tmp_path, {}, (SECRET,))
    shell.write("kplan.yaml", SECRETIVE.replace("PLAIN", "size: 3"))
    shell.write(
        "shop.yaml",
        """
version: 1
stack: shop
variables: {db_password: {type: string, sensitive: true}, size: {type: integer}}
topics: {shop.orders: {partitions: "{{ var.size }}", replication_factor: 3}}
connectors:
  shop: {class: org.example.Source, config: {servers: "{{ kplan.bootstrap }}", password: "{{ var.db_password }}"}}
""",
    )
    orders = Address("topic", "shop.orders")
    config = {"connector.class": "org.example.Source", "servers": "kafka:9092", "password": Secret()}
    live = Live(
        Target("id", "kafka:9092", 3, "http://c:8083", "4.3.1"),
        {orders: Topic("shop.orders", 3, 3), SHOP: Connector("shop", config)},
        health={SHOP: Health("RUNNING")},
    )
    ledger = {a: Owned(a, "shop", "prod", True, applied=r) for a, r in live.resources.items()}
    document = to_json(without_secrets(Snapshot("prod", "2026-01-01T10:00:00Z", live, ledger), {SHOP: ()}))
    shell.write("live.json", json.dumps(document))
    return shell


def test_nothing_of_the_environment_need_be_known(secretive: Shell) -> None:
    found = plan(secretive, "--env", "prod", "--detailed-exitcode")
    assert found["changes"] == [], "`kplan.bootstrap` is that of the snapshot"
    assert found["target"]["bootstrap"] == "kafka:9092"


def test_a_plain_variable_of_the_environment_is_needed_all_the_same(secretive: Shell) -> None:
    secretive.write("kplan.yaml", SECRETIVE.replace("PLAIN", 'size: "{{ env.SIZE }}"'))
    refused = secretive.kplan("plan", "shop.yaml", "--live", "live.json", "--env", "prod", expect=4)
    assert "K202" in refused.err and "size" in refused.err


def test_validate_needs_no_credentials_either(secretive: Shell) -> None:
    ended = secretive.kplan("validate", "shop.yaml", "--env", "prod")
    assert "K201" not in ended.all


def test_what_stands_for_a_credential_is_no_secret(secretive: Shell) -> None:
    """It would be masked wherever the same word is said."""
    from kplan.project.loading import Request, load_environment

    found = load_environment(Request(folder=str(secretive.folder), env="prod", offline_target=Target()))
    assert not [secret for secret in found.secrets if len(secret) > 1]


def test_with_the_servers_they_are_needed(secretive: Shell) -> None:
    refused = secretive.kplan("plan", "shop.yaml", "--env", "prod", expect=4)
    assert "the process's environment has no BROKERS" in refused.err


def test_without_a_kplan_yaml_the_snapshot_says_where_the_brokers_are(secretive: Shell) -> None:
    (secretive.folder / "kplan.yaml").unlink()
    document = json.loads((secretive.folder / "live.json").read_text("utf-8"))
    for record in document["ledger"].values():
        record["env"] = "default"
    secretive.write("live.json", json.dumps({**document, "env": "default"}))
    found = plan(secretive, "--var", "size=3", "--detailed-exitcode")
    assert found["changes"] == [] and found["stack"]["env"] == "default"
