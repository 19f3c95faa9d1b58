"""Bindings, users and quotas that are live become sections of a stack, which adopts them and changes nothing."""

from __future__ import annotations

import tempfile
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given
from hypothesis import strategies as st

from kplan.importers.live import select_live
from kplan.importers.stack import ImportedStack
from kplan.kinds.acl import lines
from kplan.kinds.acl.binding import AclBinding, make_binding, parse_binding
from kplan.kinds.acl.operations import PatternType, ResourceType, is_checked, list_operations
from kplan.kinds.acl.rights import Right
from kplan.kinds.quota.quota import Quota, name_entity
from kplan.kinds.user.user import ScramUser, name_user
from kplan.model import Action, Connector, Owned, Resource, Secret, Topic, frozen
from kplan.planning.pipeline import Options, make
from tests.examples import examples
from tests.shell import Shell
from tests.unit.importers.test_stack import SECRET, imported, loaded, round_trip, there

PRINCIPALS = ["User:orders", "User:CN=app,OU=x y", "Group:admins", "User:{{ x }}", "User:a/b*c", "User:*", "User:no"]
NAMES = ["shop.orders", "a*", "*", "{{ x }}", "0123", "no", "a b", "__kplan", "x"]
BINDINGS = st.builds(
    make_binding,
    st.sampled_from(PRINCIPALS),
    st.sampled_from(["allow", "deny"]),
    st.sampled_from(list_operations()),
    st.sampled_from(ResourceType),
    st.sampled_from(NAMES),
    st.sampled_from(PatternType),
    st.sampled_from(["*", "10.0.0.7", "2001:db8::1"]),
)
GRANTS = st.sampled_from([
    lines.produce(["shop.*", "x"]), lines.consume({"topics": ["x", "a b"], "group": "{{ x }}"}), lines.streams("app"),
    lines.worker({"group_id": "g", "topics": ["c", "o", "s"]}), lines.kplan({"do": ["apply", "access"]}),
])  # fmt: skip
MECHANISMS = st.dictionaries(
    st.sampled_from(["SCRAM-SHA-256", "SCRAM-SHA-512"]), st.sampled_from([4096, 8192]), min_size=1
)
USERS = st.builds(
    lambda name, mechanisms: ScramUser(name_user(name), frozen(mechanisms), Secret(value=SECRET)),
    st.sampled_from(["orders", "a b", "{{ x }}", "no", "1e5", "ö"]),
    MECHANISMS,
)
CLIENTS = st.fixed_dictionaries({}, optional={
    "user": st.sampled_from(["a", "{{ x }}", "0", None, "default"]),
    "client-id": st.sampled_from(["a,b=c", None]),
}).filter(bool)  # fmt: skip
LIMITS = st.sampled_from([1.0, 1024.0, 1_000_000.0, 12_345_678.0, 3.0 * 2**30])
CLIENT_QUOTAS = st.builds(
    lambda entity, values: Quota(name_entity(entity), values),
    CLIENTS,
    st.fixed_dictionaries({}, optional={
        "producer_byte_rate": LIMITS, "consumer_byte_rate": LIMITS, "request_percentage": st.sampled_from([50.0, 12.5]),
    }).filter(bool),
)  # fmt: skip
IP_QUOTAS = st.builds(
    lambda ip: Quota(name_entity({"ip": ip}), {"connection_creation_rate": 5.0}), st.sampled_from(["10.0.0.7", None])
)


def read(resources: list[Resource], *globs: str, checks_logins: bool = True) -> ImportedStack:
    """The import of a cluster with these resources, of which the next plan changes none."""
    with tempfile.TemporaryDirectory() as folder:
        environment, cluster, store = there(folder, resources)
        result = imported(environment, cluster, store, *globs)
        stack = loaded(environment, result.text, lambda name: SECRET)
        changes = make(stack, cluster, store, Options(checks_logins=checks_logins)).changes
        assert {change.action for change in changes} <= {Action.ADOPT}
        cluster.close()
        store.close()
        return result


def bind(principal: str, rights: Iterable[Right], host: str = "*") -> list[AclBinding]:
    return [make_binding(principal, "allow", right.operation, *right.place, host) for right in rights]


@st.composite
def accesses(draw: st.DrawFn) -> list[Resource]:
    """Whatever may be live of these kinds, and that a stack can declare."""
    bindings = [
        each for each in draw(st.lists(BINDINGS, max_size=12)) if is_checked(each.operation, each.resource_type)
    ]
    for principal, rights in draw(st.lists(st.tuples(st.sampled_from(PRINCIPALS), GRANTS), max_size=3)):
        bindings += bind(principal, rights, draw(st.sampled_from(["*", "10.0.0.7"])))
    brokers = {each.principal for each in bindings if each.operation == "ClusterAction"}
    quotas = [
        each for each in draw(st.lists(CLIENT_QUOTAS | IP_QUOTAS, max_size=5)) if "default" not in each.entity.values()
    ]
    resources = [
        *(each for each in bindings if each.principal not in brokers),
        *(each for each in draw(st.lists(USERS, max_size=4)) if each.principal not in brokers),
        *quotas,
    ]
    return list({each.address: each for each in resources}.values())


@pytest.mark.slow
@examples(60, *HealthCheck)
@given(accesses())
def test_whatever_is_live_is_adopted_and_nothing_is_changed(resources: list[Resource]) -> None:
    result = round_trip(resources)
    assert "left out" not in result.text and SECRET not in result.text


def test_what_a_principal_may_do_is_in_generated_lines() -> None:
    resources = [
        *bind("User:orders", lines.produce(["shop.orders", "shop.events.*"])),
        *bind("User:orders", lines.consume({"topics": "shop.customers", "group": "orders"})),
        *bind("User:worker", lines.worker({"group_id": "connect", "topics": ["c", "o", "s"]})),
    ]
    text = round_trip(resources).text
    assert text.endswith(
        """
access:
  User:orders: {produce: [shop.events.*, shop.orders], consume: {topics: [shop.customers], group: orders}}
  User:worker: {worker: {group_id: connect, topics: [c, o, s]}}
"""
    )


SINK = Connector(
    "files",
    {"connector.class": "org.apache.kafka.connect.file.FileStreamSinkConnector", "topics": "shop.orders", "file": "/x"},
)
NEEDS = ["Read/topic/shop.orders", "Read/group/connect-files", "Delete/group/connect-files"]


def test_what_a_connector_needs_is_a_line_of_the_principal_that_alone_has_it() -> None:
    there_is: list[Resource] = [Topic("shop.orders", 1, 3), SINK]
    bindings = [parse_binding(f"User:connect/allow/{need}") for need in NEEDS]
    assert "\n  User:connect: {connectors: [files]}\n" in round_trip([*there_is, *bindings]).text
    others = [parse_binding(f"User:other/allow/{need}") for need in NEEDS]
    assert "connectors: [files]" not in round_trip([*there_is, *bindings, *others]).text
    assert "connectors: [files]" not in round_trip([*there_is, *bindings[1:]]).text


def test_one_right_does_not_tell_who_runs_a_connector() -> None:
    feed = Connector(
        "feed",
        {"connector.class": "org.apache.kafka.connect.file.FileStreamSourceConnector", "topic": "t", "file": "/x"},
    )
    result = round_trip([TOPIC, feed, parse_binding("User:orders/allow/Write/topic/t")])
    assert "\n  User:orders: {produce: [t]}\n" in result.text


def test_a_connector_with_a_login_of_its_own_is_no_line() -> None:
    login = 'org.apache.kafka.common.security.plain.PlainLoginModule required username="connect" password="x";'
    sink = Connector("files", {**SINK.config, "consumer.override.sasl.jaas.config": Secret(value=login)})
    bindings = [parse_binding(f"User:connect/allow/{need}") for need in NEEDS]
    result = round_trip([Topic("shop.orders", 1, 3), sink, *bindings], lambda name: login)
    assert "connectors: [files]" not in result.text and "consume:" in result.text


@pytest.mark.parametrize(("password", "checks"), [(SECRET, True), ("another", False)])
def test_an_imported_user_whose_password_is_not_known_to_differ_is_not_changed(password: str, checks: bool) -> None:
    user = ScramUser("orders", frozen({"SCRAM-SHA-512": 8192}), Secret(value=password))
    result = read([user], checks_logins=checks)
    assert "# No broker returns a password. Before `kplan plan`, set the variables" in result.text
    assert (
        '\n  orders: {mechanism: SCRAM-SHA-512, iterations: 8192, password: "{{ var.orders_password }}"}' in result.text
    )


def test_mechanisms_with_iterations_of_their_own_are_left_alone() -> None:
    user = ScramUser("a", frozen({"SCRAM-SHA-256": 4096, "SCRAM-SHA-512": 8192}), Secret(value=SECRET))
    result = round_trip([user])
    assert "ignore: [iterations]" in result.text
    assert result.notes == ("user/a: its mechanisms have iterations of their own, which are left alone",)


TOPIC = Topic("t", 1, 3)


def test_what_kplan_and_brokers_use_is_left_out_and_counted() -> None:
    resources: list[Resource] = [
        TOPIC,
        *(parse_binding(f"User:kplan/allow/{each}") for each in ("Alter/cluster", "Read/topic/__kplan")),
        parse_binding("User:broker/allow/ClusterAction/cluster"),
        parse_binding("User:a/allow/Read/topic/t"),
        *(ScramUser(name, frozen({"SCRAM-SHA-512": 4096}), Secret(value=SECRET)) for name in ("kplan", "broker", "a")),
    ]
    result = read(resources)
    assert dict(result.counts) == {"topic": 1, "acl": 1, "user": 1}
    assert result.notes == (
        "user/broker is left out: used by kplan or brokers; the exact address takes it",
        "user/kplan is left out: used by kplan or brokers; the exact address takes it",
        "1 binding of User:broker is left out: used by kplan or brokers; acl/User:broker/* takes them",
        "2 bindings of User:kplan are left out: used by kplan or brokers; acl/User:kplan/* takes them",
    )
    named = read(resources, "acl/User:kplan/*", "user/broker")
    assert dict(named.counts) == {"acl": 2, "user": 1} and not named.notes


def test_globs_choose_bindings_users_and_quotas() -> None:
    resources: list[Resource] = [
        TOPIC,
        *(parse_binding(f"User:{who}/allow/Read/topic/t") for who in ("a", "b")),
        ScramUser("a", frozen({"SCRAM-SHA-512": 4096}), Secret(value=SECRET)),
        Quota("user=a", {"producer_byte_rate": 1000.0}),
        Quota("user=b", {"producer_byte_rate": 1000.0}),
    ]
    assert dict(read(resources, "acl/User:a/*").counts) == {"acl": 1}
    assert dict(read(resources, "user/*", "quota/user=b").counts) == {"user": 1, "quota": 1}
    assert dict(read(resources, "topic/*").counts) == {"topic": 1}


def test_what_no_stack_can_declare_is_noted() -> None:
    result = read([
        TOPIC,
        parse_binding("User:a/allow/Read/topic/t/host=client.example"),
        parse_binding("User:a/allow/Write/group/g"),
        parse_binding("alice/allow/Read/topic/t"),
        Quota("user=default", {"producer_byte_rate": 1000.0}),
        Quota("user=b", {"producer_byte_rate": 1000.0, "burst": 2.0}),
    ])  # fmt: skip
    assert dict(result.counts) == {"topic": 1, "quota": 1}
    assert result.notes == (
        "acl/User:a/allow/Read/topic/t/host=client.example is left out: 'client.example' is not an IP address: Kafka "
        "compares addresses as text, and knows no names and ranges (K261)",
        "acl/User:a/allow/Write/group/g is left out: Write on a group: brokers store such a binding, and it grants "
        "nothing (K262)",
        "quota/user=b: no stack can declare burst",
        "quota/user=default is left out: `default` names everybody else in a stack",
        "access: alice is left out: 'alice' has no type (K260)",
    )


def test_bindings_of_another_stack_are_left_out_and_counted() -> None:
    bindings = [parse_binding(f"User:a/allow/{each}/topic/t") for each in ("Read", "Write", "Describe")]
    ledger = {each.address: Owned(each.address, "other", "local", True) for each in bindings[:2]}
    found, _ = select_live({each.address: each for each in [TOPIC, *bindings]}, {}, ledger, (), "imported")
    assert list(found.bindings) == [bindings[2].name]
    assert [str(note) for note in found.notes] == ["2 bindings of User:a are left out: stack other owns it"]


def test_without_what_a_cluster_lacks_its_topics_are_imported(tmp_path: Path) -> None:
    shell = Shell(tmp_path)
    shell.write("kplan.yaml", "version: 1\nenvironments: {local: {simulated: {capabilities: {}}}}\n")
    shell.write("first.yaml", "version: 1\nstack: first\ntopics: {t: {partitions: 1, replication_factor: 3}}\n")
    shell.kplan("apply", "first.yaml", "--yes")
    shell.write("first.yaml", "version: 1\nstack: first\nremoved: [{topic: t, keep: true}]\n")
    shell.kplan("apply", "first.yaml", "--yes")
    lacking = "{authorizer: false, scram: false, quotas: false}"
    shell.write("kplan.yaml", f"version: 1\nenvironments: {{local: {{simulated: {{capabilities: {lacking}}}}}}}\n")
    ended = shell.kplan("import", "--out", "i.yaml")
    assert "note: bindings are left out: the cluster has no authorizer" in ended.err
    assert "note: users are left out: the cluster keeps no SCRAM users" in ended.err
    assert "note: quotas are left out: the cluster has no client quotas" in ended.err
    assert ended.err.endswith("1 topic and 0 connectors: i.yaml\n")
    shell.kplan("plan", "i.yaml", "--detailed-exitcode", expect=0)
    assert "left out" not in shell.kplan("import", "topic/*").all
    assert "K340" in shell.kplan("import", "acl/*", expect=4).err
