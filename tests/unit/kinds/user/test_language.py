"""`users:` in a stack."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.diagnostics import Blocked
from kplan.kinds.key_order import read_key_orders
from kplan.kinds.user.user import ScramUser, check_name, name_user
from kplan.language import fmt
from kplan.model import Secret
from kplan.planning.document import Plan
from kplan.testing import SimulatedCluster
from tests.unit.kinds.declared import HEAD, SECRET, expand, places, problems

VARIABLES = "variables: {word: {sensitive: true}, old: {sensitive: true}, plain: {default: x}}\n"  # line 3
PASSWORD = 'password: "{{ var.word }}"'
USER = VARIABLES + f"users:\n  orders: {{{PASSWORD}}}\n"
PROCESS = {"KPLAN_VAR_word": SECRET, "KPLAN_VAR_old": SECRET + "-old"}
OTHER = {**PROCESS, "KPLAN_VAR_word": SECRET + "-new"}


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    return SimulatedCluster(tmp_path / "kplan")


def plan(cluster: SimulatedCluster, rest: str, process: dict[str, str] = PROCESS) -> Plan:
    return cluster.plan(HEAD + rest, process=process)


def only(found: Plan) -> tuple[str, str, list[str], list[str]]:
    """The one change: its action, address, the paths that differ, and its risks."""
    (change,) = found.changes
    return (change.action.value, str(change.address), [diff.path for diff in change.diffs],
            [risk.code for risk in change.risks])  # fmt: skip


# -- what is declared --------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("keys", "mechanisms"),
    [
        ("", {"SCRAM-SHA-512": 4096}),
        ("mechanism: SCRAM-SHA-256, ", {"SCRAM-SHA-256": 4096}),
        ("mechanism: [SCRAM-SHA-512, SCRAM-SHA-256], iterations: 8192, ",
         {"SCRAM-SHA-512": 8192, "SCRAM-SHA-256": 8192}),
    ],
)  # fmt: skip
def test_a_user_has_its_mechanisms_in_order(tmp_path: Path, keys: str, mechanisms: dict[str, int]) -> None:
    (user,) = expand(tmp_path, VARIABLES + f"users: {{orders: {{{keys}{PASSWORD}}}}}\n")
    assert isinstance(user, ScramUser)
    assert list(user.mechanisms.items()) == list(mechanisms.items())
    assert isinstance(user.password, Secret) and user.password.ref == "{{ var.word }}"
    assert SECRET not in repr(user) and user.principal == "User:orders"


def test_a_user_is_repeated_for_each_and_may_have_any_characters(tmp_path: Path) -> None:
    rest = VARIABLES + f"users:\n  'größe {{{{ each.key }}}}/*': {{for_each: [a, b], {PASSWORD}}}\n"
    found = expand(tmp_path, rest)
    assert [str(user.address) for user in found] == ["user/gr%C3%B6%C3%9Fe%20a%2F%2A", "user/gr%C3%B6%C3%9Fe%20b%2F%2A"]
    assert [user.user_name for user in found if isinstance(user, ScramUser)] == ["größe a/*", "größe b/*"]


@given(st.text(st.characters(codec="utf-8"), min_size=1))
def test_a_name_comes_back_from_its_address(user_name: str) -> None:
    assert ScramUser(name_user(user_name)).user_name == user_name
    assert check_name(name_user(user_name)) == ""


@pytest.mark.parametrize(
    ("rest", "code", "line", "column", "words"),
    [
        (VARIABLES + "users:\n  orders:\n    password: secret\n", "K268", 6, 15, "sensitive: true"),
        (VARIABLES + "users:\n  orders:\n    password: '{{ var.plain }}'\n", "K268", 6, 15, "var.NAME"),
        (VARIABLES + f"users:\n  orders:\n    {PASSWORD}\n    previous_password: x\n", "K268", 7, 24,
         "previous_password"),
        (VARIABLES + f"users:\n  orders:\n    {PASSWORD}\n    iterations: 100\n", "K106", 7, 17, "4096 to 16384"),
        (VARIABLES + "users:\n  orders: {}\n", "K106", 5, 3, "password"),
        (VARIABLES + f"users:\n  orders:\n    {PASSWORD}\n    mechanism: PLAIN\n", "K106", 7, 16, "SCRAM-SHA-512"),
        ("removed:\n  - {user: a, keep: maybe}\n", "K106", 4, 21, "true or false"),
    ],
)  # fmt: skip
def test_an_error_has_its_place_and_its_remedy(
    tmp_path: Path, rest: str, code: str, line: int, column: int, words: str
) -> None:
    found = problems(tmp_path, rest)
    assert places(found) == [(code, "error", line, column)]
    assert words in f"{found[0].detail} {found[0].help}"
    assert SECRET not in str(found)


def test_a_plain_password_is_not_shown(tmp_path: Path) -> None:
    found = problems(tmp_path, VARIABLES + "users: {orders: {password: my-plain-word}}\n")
    assert [each.code for each in found] == ["K268"] and "my-plain-word" not in str(found)


def test_fmt_orders_the_keys() -> None:
    text = HEAD + f"users:\n  a:\n    protect: true\n    {PASSWORD}\n    mechanism: SCRAM-SHA-256\ntopics:\n  t:\n"
    ordered = fmt.format(text, "stack.yaml", read_key_orders())
    keys = ["topics:", "users:", "mechanism:", "password:", "protect:"]
    assert [ordered.index(key) for key in keys] == sorted(ordered.index(key) for key in keys)


def test_a_guard_forbids_a_mechanism(tmp_path: Path) -> None:
    guard = "guards: {user: {properties: {mechanisms: {not: {required: [SCRAM-SHA-256]}}}}}\n"
    rest = VARIABLES + f"users: {{orders: {{mechanism: SCRAM-SHA-256, {PASSWORD}}}}}\n" + guard
    assert [each.code for each in problems(tmp_path, rest)] == ["K213"]


# -- what changes ------------------------------------------------------------------------------------------------------
def test_a_password_that_is_the_live_one_is_no_change(cluster: SimulatedCluster) -> None:
    cluster.apply(plan(cluster, USER))
    assert plan(cluster, USER).changes == ()


def test_another_password_is_a_caution_unless_the_old_one_is_named(cluster: SimulatedCluster) -> None:
    cluster.apply(plan(cluster, USER))
    found = plan(cluster, USER, OTHER)
    assert only(found) == ("update", "user/orders", ["/password"], ["K451"])
    assert found.changes[0].undo.kind == "none" and "previous_password" in found.changes[0].undo.why
    rotated = USER.replace(PASSWORD, f'{PASSWORD}, previous_password: "{{{{ var.old }}}}"')
    found = plan(cluster, rotated, {**OTHER, "KPLAN_VAR_old": SECRET})
    assert only(found) == ("update", "user/orders", ["/password"], [])
    assert found.changes[0].undo.kind == "restore"


def test_a_failure_puts_the_previous_password_back(cluster: SimulatedCluster) -> None:
    cluster.apply(plan(cluster, USER))
    rotated = USER.replace(PASSWORD, f'{PASSWORD}, previous_password: "{{{{ var.old }}}}"') + "topics: {bad: }\n"
    cluster.fail = ["topic/bad"]
    assert cluster.apply(plan(cluster, rotated, {**OTHER, "KPLAN_VAR_old": SECRET})).outcome == "rolled_back"
    cluster.fail = []
    assert plan(cluster, USER).changes == ()


def test_mechanisms_come_and_go_and_iterations_change(cluster: SimulatedCluster) -> None:
    cluster.apply(plan(cluster, USER))
    both = USER.replace(PASSWORD, f"mechanism: [SCRAM-SHA-512, SCRAM-SHA-256], iterations: 8192, {PASSWORD}")
    assert only(plan(cluster, both))[2] == [
        "/mechanisms/SCRAM-SHA-512/iterations", "/mechanisms/SCRAM-SHA-256/iterations",
    ]  # fmt: skip
    cluster.apply(plan(cluster, both))
    assert plan(cluster, both).changes == ()
    ignoring = USER.replace(PASSWORD, f"ignore: [iterations], {PASSWORD}")
    assert only(plan(cluster, ignoring))[2] == ["/mechanisms/SCRAM-SHA-256/iterations"]  # it goes; 8192 stays


# -- what goes ---------------------------------------------------------------------------------------------------------
EMPTY = VARIABLES + "topics: {t: }\n"


def test_a_user_that_left_the_stack_is_an_orphan(cluster: SimulatedCluster) -> None:
    cluster.apply(plan(cluster, USER + "topics: {t: }\n"))
    found = plan(cluster, EMPTY)
    assert only(found) == ("delete", "user/orders", [], ["K404"]) and found.blocked
    with pytest.raises(Blocked):
        cluster.apply(found)


@pytest.mark.parametrize(("keep", "action"), [(False, "delete"), (True, "release")])
def test_a_user_is_removed(cluster: SimulatedCluster, keep: bool, action: str) -> None:
    cluster.apply(plan(cluster, USER + "topics: {t: }\n"))
    rest = EMPTY + f"removed: [{{user: orders, keep: {str(keep).lower()}}}]\n"
    assert only(plan(cluster, rest))[:2] == (action, "user/orders")
    cluster.apply(plan(cluster, rest))
    again = plan(cluster, USER + "topics: {t: }\n").changes
    assert [change.action.value for change in again] == ["adopt" if keep else "create"]


def test_a_user_that_bindings_name_is_deleted_as_a_danger_that_can_be_accepted(cluster: SimulatedCluster) -> None:
    access = "access: {'User:orders': {produce: t}}\n"
    cluster.apply(plan(cluster, USER + access))
    rest = VARIABLES + access + "removed: [{user: orders}]\n"
    found = plan(cluster, rest)
    assert only(found)[3] == ["K450"] and found.blocked
    assert not plan(cluster, rest.replace("orders}]", "orders, accept: [user]}]")).blocked


def test_a_protected_user_is_not_deleted(cluster: SimulatedCluster) -> None:
    cluster.apply(plan(cluster, USER.replace(PASSWORD, f"protect: true, {PASSWORD}")))
    found = plan(cluster, EMPTY + "removed: [{user: orders}]\n")
    assert "K410" in {risk.code for change in found.changes for risk in change.risks} and found.blocked


def test_a_user_cannot_be_moved(tmp_path: Path) -> None:
    found = problems(tmp_path, USER + "moved: [{from: user/a, to: user/orders}]\n")
    assert [each.code for each in found] == ["K214"]


def test_a_name_with_a_star_selects_only_itself(cluster: SimulatedCluster) -> None:
    rest = VARIABLES + "users:\n" + "".join(f"  '{name}': {{{PASSWORD}}}\n" for name in ("a*", "ab", "abc"))
    found = cluster.plan(HEAD + rest, process=PROCESS, target="user/a%2A")
    assert [str(change.address) for change in found.changes] == ["user/a%2A"]
