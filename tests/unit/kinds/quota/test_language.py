"""`quotas:` in a stack."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.kinds.key_order import read_key_orders
from kplan.kinds.quota.quota import Quota, check_name, name_entity, parse_entity
from kplan.language import fmt
from kplan.planning.document import Plan
from kplan.testing import SimulatedCluster
from tests.unit.kinds.declared import HEAD, expand, names, places, problems


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    return SimulatedCluster(tmp_path / "kplan")


def plan(cluster: SimulatedCluster, rest: str, **options: str) -> Plan:
    return cluster.plan(HEAD + rest, **options)


def told(found: Plan) -> list[tuple[str, str, list[tuple[str, object, object]], list[str]]]:
    return [
        (
            change.action.value,
            change.address.name,
            [(diff.path, diff.before, diff.after) for diff in change.diffs],
            [risk.code for risk in change.risks],
        )
        for change in found.changes
    ]


# -- what is declared --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("entry", "name", "values"),
    [
        ("user: a, producer_byte_rate: 10MB/s", "user=a", {"producer_byte_rate": 10_000_000}),
        ("user: a, consumer_byte_rate: 1MiB/s", "user=a", {"consumer_byte_rate": 1_048_576}),
        ("user: a, consumer_byte_rate: 1MiB", "user=a", {"consumer_byte_rate": 1_048_576}),
        ("user: a, producer_byte_rate: 1024", "user=a", {"producer_byte_rate": 1024}),
        ("user: default, request_percentage: 12.5", "user-default", {"request_percentage": 12.5}),
        ("user: a, client_id: etl, controller_mutation_rate: 5", "user=a,client-id=etl",
         {"controller_mutation_rate": 5}),
        ("client_id: default, user: default, producer_byte_rate: 1", "user-default,client-id-default",
         {"producer_byte_rate": 1}),
        ("client_id: 'a,b=c/*', producer_byte_rate: 1", "client-id=a%2Cb%3Dc%2F%2A", {"producer_byte_rate": 1}),
        ("ip: 10.0.0.7, connection_creation_rate: 20", "ip=10.0.0.7", {"connection_creation_rate": 20}),
        ("ip: '::1', connection_creation_rate: 20", "ip=::1", {"connection_creation_rate": 20}),
        ("ip: default, connection_creation_rate: 20", "ip-default", {"connection_creation_rate": 20}),
    ],
)  # fmt: skip
def test_an_entry_is_a_quota_of_its_entity(tmp_path: Path, entry: str, name: str, values: Mapping[str, float]) -> None:
    (quota,) = expand(tmp_path, f"quotas: [{{{entry}}}]\n")
    assert isinstance(quota, Quota)
    assert (quota.name, quota.values) == (name, values)


@pytest.mark.parametrize(
    ("entry", "code", "column", "words"),
    [
        ("producer_byte_rate: 1", "K270", 5, "name a user"),
        ("ip: 10.0.0.7, user: a, connection_creation_rate: 1", "K270", 5, "`ip`"),
        ("ip: 10.0.0.0/8, connection_creation_rate: 1", "K270", 10, "'10.0.0.0/8' is not an IP address"),
        ("ip: 10.0.0.7, producer_byte_rate: 1", "K271", 40, "write connection_creation_rate"),
        ("user: a, connection_creation_rate: 1", "K271", 41, "write producer_byte_rate"),
        ("user: a, producer_byte_rate: fast", "K271", 35, "10MB/s"),
        ("user: a, request_percentage: 10MB", "K271", 35, "a number"),
        ("user: a", "K271", 5, "add producer_byte_rate"),
        ("user: a, producer_byte_rate: 0", "K271", 35, "greater than 0"),
        ("user: a, producer_byte_rate: -1", "K106", 35, "at least 0"),
        ("user: a, produce_byte_rate: 1", "K106", 15, "did you mean `producer_byte_rate`?"),
    ],
)
def test_an_error_has_its_place_and_its_remedy(tmp_path: Path, entry: str, code: str, column: int, words: str) -> None:
    found = problems(tmp_path, f"quotas:\n  - {{{entry}}}\n")
    assert places(found) == [(code, "error", 4, column)]
    assert words in f"{found[0].detail} {found[0].help}"


def test_an_entry_may_hold_templates(tmp_path: Path) -> None:
    rest = """
    variables: {who: {default: etl}}
    quotas:
      - {ip: default, connection_creation_rate: 1}
      - {user: "{{ var.who }}", producer_byte_rate: 10}
    """
    assert names(tmp_path, rest) == ["ip-default", "user=etl"]


def test_one_entity_is_declared_once(tmp_path: Path) -> None:
    rest = "quotas: [{user: a, producer_byte_rate: 1}, {user: a, consumer_byte_rate: 1}]\n"
    (found,) = problems(tmp_path, rest)
    assert found.is_error and "quota/user=a" in str(found)


@pytest.mark.parametrize("name", ["", "user", "user=", "users=a", "client-id=a,user=b", "user=a*", "user=a,user=b"])
def test_a_name_that_no_quota_has_is_refused(tmp_path: Path, name: str) -> None:
    assert check_name(name)
    found = problems(tmp_path, f"removed: [{{quota: '{name}'}}]\n")
    assert [each.code for each in found] == ["K269"]


ENTITIES = st.dictionaries(
    st.sampled_from(["user", "client-id", "ip"]),
    st.none() | st.text(st.characters(codec="utf-8"), min_size=1),
    min_size=1,
)


@given(ENTITIES)
def test_an_entity_comes_back_from_its_name(entity: dict[str, str | None]) -> None:
    assert parse_entity(name_entity(entity)) == entity
    assert check_name(name_entity(entity)) == ""


@given(ENTITIES, ENTITIES)
def test_two_entities_have_two_names(one: dict[str, str | None], other: dict[str, str | None]) -> None:
    assert (name_entity(one) == name_entity(other)) is (one == other)


def test_fmt_orders_the_keys() -> None:
    text = HEAD + "quotas:\n  - protect: true\n    producer_byte_rate: 1\n    client_id: b\n    user: a\n"
    ordered = fmt.format(text, "stack.yaml", read_key_orders())
    keys = ["user:", "client_id:", "producer_byte_rate:", "protect:"]
    assert [ordered.index(key) for key in keys] == sorted(ordered.index(key) for key in keys)


def test_a_guard_bounds_a_limit(tmp_path: Path) -> None:
    guard = "guards: {quota: {properties: {producer_byte_rate: {maximum: 1000}}}}\n"
    found = problems(tmp_path, "quotas: [{user: a, producer_byte_rate: 2000}]\n" + guard)
    assert [each.code for each in found] == ["K213"]


# -- what changes ------------------------------------------------------------------------------------------------------
BOTH = "quotas: [{user: a, producer_byte_rate: 2000, request_percentage: 50}]\n"


def test_a_lowered_limit_is_a_caution_and_a_raised_one_is_not(cluster: SimulatedCluster) -> None:
    cluster.apply(HEAD + BOTH)
    lower, higher = BOTH.replace("2000", "1000"), BOTH.replace("2000", "3000")
    assert told(plan(cluster, lower)) == [("update", "user=a", [("/limits/producer_byte_rate", 2000, 1000)], ["K455"])]
    assert told(plan(cluster, higher)) == [("update", "user=a", [("/limits/producer_byte_rate", 2000, 3000)], [])]


def test_a_limit_that_left_its_entry_is_removed_live(cluster: SimulatedCluster) -> None:
    cluster.apply(HEAD + BOTH)
    rest = BOTH.replace(", request_percentage: 50", "")
    assert told(plan(cluster, rest)) == [("update", "user=a", [("/limits/request_percentage", 50, None)], [])]
    cluster.apply(HEAD + rest)
    assert told(plan(cluster, rest)) == []


def test_a_limit_that_is_ignored_is_left_as_it_is(cluster: SimulatedCluster) -> None:
    cluster.apply(HEAD + BOTH)
    ignoring = BOTH.replace("2000", "1, ignore: [producer_byte_rate]")
    assert told(plan(cluster, ignoring)) == []


def test_a_failure_puts_the_limits_back(cluster: SimulatedCluster) -> None:
    cluster.apply(HEAD + BOTH)
    cluster.fail = ["topic/bad"]
    changed = BOTH.replace("2000, request_percentage: 50", "1, controller_mutation_rate: 7")
    assert cluster.apply(HEAD + changed + "topics: {bad: }\n").outcome == "rolled_back"
    cluster.fail = []
    assert told(plan(cluster, BOTH)) == []


@pytest.mark.parametrize(
    ("rest", "action"),
    [
        ("topics: {t: }\n", "delete"),  # with its line
        ("removed: [{quota: user=a}]\n", "delete"),
        ("removed: [{quota: user=a, keep: true}]\n", "release"),
    ],
)
def test_a_quota_goes(cluster: SimulatedCluster, rest: str, action: str) -> None:
    cluster.apply(HEAD + BOTH)
    found = [(kind, name, risks) for kind, name, _, risks in told(plan(cluster, rest)) if name == "user=a"]
    assert found == [(action, "user=a", [])]
    cluster.apply(HEAD + rest)
    again = [kind for kind, name, *_ in told(plan(cluster, BOTH)) if name == "user=a"]
    assert again == ["adopt" if action == "release" else "create"]


def test_a_protected_quota_is_not_deleted(cluster: SimulatedCluster) -> None:
    cluster.apply(HEAD + BOTH.replace("user: a,", "user: a, protect: true,"))
    found = plan(cluster, "topics: {t: }\n")
    assert found.blocked and "K410" in {code for *_, codes in told(found) for code in codes}


def test_a_quota_cannot_be_moved(tmp_path: Path) -> None:
    found = problems(tmp_path, BOTH + "moved: [{from: quota/user=b, to: quota/user=a}]\n")
    assert [each.code for each in found] == ["K214"]


def test_a_name_with_a_star_selects_only_itself(cluster: SimulatedCluster) -> None:
    rest = "quotas:\n" + "".join(f"  - {{user: '{name}', producer_byte_rate: 1}}\n" for name in ("a*", "ab", "abc"))
    assert [name for _, name, *_ in told(plan(cluster, rest, target="quota/user=a%2A"))] == ["user=a%2A"]
