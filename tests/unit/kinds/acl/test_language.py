"""`access:` in a stack: what it declares, what is wrong with it and where, and how entries go."""

from __future__ import annotations

from pathlib import Path

import pytest

from kplan.kinds.acl.binding import AclBinding
from kplan.kinds.key_order import read_key_orders
from kplan.language import fmt
from kplan.testing import SimulatedCluster
from tests.unit.kinds.declared import HEAD, expand, load, names, places, problems


@pytest.fixture
def cluster(tmp_path: Path) -> SimulatedCluster:
    return SimulatedCluster(tmp_path / "kplan")


def planned(cluster: SimulatedCluster, rest: str, **options: object) -> list[tuple[str, str]]:
    plan = cluster.plan(HEAD + rest, **options)  # type: ignore[arg-type]
    return [(change.action.value, change.address.name) for change in plan.changes]


# -- what is wrong -----------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("rest", "code", "line", "column", "words"),
    [
        ("access:\n  orders: {produce: a}\n", "K260", 4, 3, "User:orders"),
        ("access:\n  'User:': {produce: a}\n", "K260", 4, 3, "TYPE:NAME"),
        ("access:\n  User:a:\n    produce: a\n    hosts: [10.0.0.0/8]\n", "K261", 6, 12, "'10.0.0.0/8' is not an IP"),
        ("access:\n  User:a:\n    allow:\n      - {topic: a, operations: [Read], hosts: kafka.example}\n",
         "K261", 6, 47, "write each address"),
        ("access:\n  User:a:\n    allow:\n      - {topic: a, operations: [ClusterAction]}\n",
         "K262", 6, 32, "operations of a topic: All, Read"),
        ("access:\n  User:a:\n    deny: [{group: a, operations: [Read, Write]}]\n", "K262", 5, 35, "Write on a group"),
        ("access:\n  User:a:\n    produce: ['']\n", "K263", 5, 14, "every name"),
        ("access:\n  User:a:\n    exclusive: true\n", "K264", 5, 16, "would lose all"),
        ("access:\n  User:a:\n    connectors: [shop]\n", "K265", 5, 18, "declare the connector"),
        ("removed:\n  - {acl: User:a/allow/Read/topic/a*}\n", "K269", 4, 5, "write User:a/allow/Read/topic/a%2A"),
        ("removed:\n  - {acl: shop.orders}\n", "K269", 4, 5, "PRINCIPAL/allow/OPERATION/topic/NAME"),
    ],
)  # fmt: skip
def test_an_error_has_its_place_and_its_remedy(
    tmp_path: Path, rest: str, code: str, line: int, column: int, words: str
) -> None:
    found = problems(tmp_path, rest)
    assert places(found) == [(code, "error", line, column)]
    assert words in f"{found[0].detail} {found[0].help}"


def test_an_allow_that_a_deny_makes_void_is_a_warning(tmp_path: Path) -> None:
    rest = "access:\n  User:a:\n    produce: shop.x\n  User:*:\n    deny: [{topic: 'shop.*', operations: [All]}]\n"
    (found,) = problems(tmp_path, rest)
    assert places([found]) == [("K266", "warning", 5, 5)]
    assert "User:a may write topic shop.x, but User:* may do nothing with topics" in found.detail
    assert "stack.yaml:7" in found.help


@pytest.mark.parametrize(
    "deny",
    [
        "User:a: {produce: shop.x, deny: [{topic: shop.x, operations: [Read]}]}",  # another operation
        "User:a: {produce: shop.x, deny: [{topic: shop.x, operations: [All], hosts: 10.0.0.7}]}",  # one host of all
        "User:a: {produce: 'shop.*', deny: [{topic: shop.x, operations: [All]}]}",  # a part
    ],
)
def test_an_allow_with_some_effect_is_none(tmp_path: Path, deny: str) -> None:
    assert problems(tmp_path, f"access:\n  {deny}\n") == []


def test_a_binding_that_another_one_covers_is_a_warning(tmp_path: Path) -> None:
    rest = "access:\n  User:a:\n    produce: ['shop.*']\n    allow: [{topic: shop.x, operations: [Write]}]\n"
    (found,) = problems(tmp_path, rest)
    assert places([found]) == [("K267", "warning", 6, 13)]
    assert "acl/User:a/allow/Write/topic-prefix/shop." in found.detail


# -- what is declared --------------------------------------------------------------------------------------------------
def test_equal_bindings_of_several_lines_are_one_that_names_each_line(tmp_path: Path) -> None:
    rest = "access:\n  User:a:\n    produce: x\n    allow: [{topic: x, operations: [Write]}]\n    protect: true\n"
    (binding,) = expand(tmp_path, rest)
    assert isinstance(binding, AclBinding)
    assert binding.lines == ("produce", "allow") and binding.origin.note == "produce, allow"
    assert binding.rules.protect is True and binding.origin.span is not None and binding.origin.span.line == 5


def test_a_block_is_repeated_for_each(tmp_path: Path) -> None:
    rest = "access:\n  'User:{{ each.key }}': {for_each: [a, b], produce: '{{ each.key }}.*'}\n"
    assert names(tmp_path, rest) == ["User:a/allow/Write/topic-prefix/a.", "User:b/allow/Write/topic-prefix/b."]


def test_a_principal_may_have_any_characters(tmp_path: Path) -> None:
    rest = 'access: {"User:CN=größe app,OU=x/y": {produce: a}}'
    assert names(tmp_path, rest) == ["User:CN=gr%C3%B6%C3%9Fe%20app,OU=x%2Fy/allow/Write/topic/a"]


def test_two_stacks_do_not_declare_one_binding(tmp_path: Path) -> None:
    from kplan.project.loading import Request, load_project

    for name in ("one", "two"):
        (tmp_path / f"{name}.yaml").write_text(f"version: 1\nstack: {name}\naccess: {{'User:a': {{produce: x}}}}\n")
    (tmp_path / "kplan.yaml").write_text("version: 1\nenvironments: {local: {}}\n")
    found = load_project(Request([str(tmp_path)], folder=str(tmp_path))).diagnostics
    assert [each.code for each in found] == ["K211"] and "acl/User:a/allow/Write/topic/x" in str(found[0])


@pytest.mark.parametrize(
    ("guard", "rest", "words"),
    [
        ("{properties: {permission: {const: allow}}}", "deny: [{topic: a, operations: [Read]}]", "permission"),
        ("{properties: {operation: {not: {const: All}}}}", "allow: [{topic: a, operations: [All]}]", "operation"),
        ("{properties: {host: {not: {const: '*'}}}}", "produce: a", "host"),
    ],
)
def test_a_guard_forbids_bindings_by_their_attributes(tmp_path: Path, guard: str, rest: str, words: str) -> None:
    found = problems(tmp_path, f"access: {{'User:a': {{{rest}}}}}\nguards: {{acl: {guard}}}\n")
    assert [each.code for each in found] == ["K213"], found
    assert words in f"{found[0].detail} {found[0].path}"


def test_a_connectors_line_goes_without_a_connector_of_another_kind(tmp_path: Path) -> None:
    loaded = load(tmp_path, "topics: {shop: {}}\naccess: {'User:a': {connectors: shop}}\n")
    assert [each.code for each in loaded.diagnostics if each.is_error] == ["K265"]


# -- formatter ---------------------------------------------------------------------------------------------------------
def test_fmt_orders_sections_and_keys() -> None:
    text = HEAD + (
        "access:\n  User:a:\n    protect: true\n    hosts: [10.0.0.7]\n"
        "    allow:\n      - {operations: [Read], topic: x}\n    consume: {group: g, topics: x}\n    produce: x\n"
        "topics:\n  x:\n"
    )
    ordered = fmt.format(text, "stack.yaml", read_key_orders())
    keys = ["topics:", "access:", "produce:", "consume: {topics: x, group: g}", "{topic: x, operations: [Read]}",
            "hosts:", "protect:"]  # fmt: skip
    assert [ordered.index(key) for key in keys] == sorted(ordered.index(key) for key in keys)
    assert fmt.format(ordered, "stack.yaml", read_key_orders()) == ordered


# -- what goes ---------------------------------------------------------------------------------------------------------
BLOCK = "access:\n  User:a:\n    produce: [x, 'y*']\n    consume: {topics: x, group: g}\n"
ALL = ["User:a/allow/Write/topic/x", "User:a/allow/Write/topic-prefix/y", "User:a/allow/Read/topic/x",
       "User:a/allow/Read/group/g"]  # fmt: skip


def test_a_binding_goes_with_its_line(cluster: SimulatedCluster) -> None:
    cluster.apply(HEAD + BLOCK)
    assert planned(cluster, BLOCK.replace(", 'y*'", "")) == [("delete", "User:a/allow/Write/topic-prefix/y")]


@pytest.mark.parametrize("keep", [False, True])
def test_one_binding_is_removed(cluster: SimulatedCluster, keep: bool) -> None:
    cluster.apply(HEAD + BLOCK)
    rest = BLOCK.replace(", 'y*'", "")
    rest += f"removed:\n  - {{acl: User:a/allow/Write/topic-prefix/y, keep: {str(keep).lower()}}}\n"
    action = "release" if keep else "delete"
    assert planned(cluster, rest) == [(action, "User:a/allow/Write/topic-prefix/y")]
    cluster.apply(HEAD + rest)
    assert cluster.can("User:a", "Write", "topic/y") is keep
    assert planned(cluster, rest) == []


@pytest.mark.parametrize("keep", [False, True])
def test_all_bindings_of_a_principal_are_removed(cluster: SimulatedCluster, keep: bool) -> None:
    """Those of a principal whose name begins so are not."""
    longer = "  User:ab: {produce: z}\n"
    cluster.apply(HEAD + BLOCK + longer)
    rest = f"access:\n{longer}removed:\n  - {{access: User:a, keep: {str(keep).lower()}}}\n"
    found = planned(cluster, rest)
    assert {action for action, _ in found} == {"release" if keep else "delete"}
    assert sorted(name for _, name in found) == sorted(ALL)
    cluster.apply(HEAD + rest)
    assert cluster.can("User:a", "Read", "topic/x") is keep and cluster.can("User:ab", "Write", "topic/z")


def test_a_protected_principal_loses_nothing(cluster: SimulatedCluster) -> None:
    cluster.apply(HEAD + BLOCK + "    protect: true\n")
    plan = cluster.plan(HEAD + "topics: {t: {}}\n")
    assert plan.blocked
    risks = {risk.code for change in plan.changes for risk in change.risks if change.address.kind == "acl"}
    assert "K410" in risks


def test_a_binding_cannot_be_moved(tmp_path: Path) -> None:
    rest = BLOCK + "moved:\n  - {from: acl/User:b/allow/Write/topic/x, to: acl/User:a/allow/Write/topic/x}\n"
    (found,) = [each for each in problems(tmp_path, rest) if each.is_error]
    assert found.code == "K214" and "declare it under the new name" in f"{found.detail} {found.help}"


# -- one address is not a glob -----------------------------------------------------------------------------------------
STARS = """
access:
  User:a:
    allow: [{group: [{name: 'a*'}, ab, abc, {name: '?'}, {name: '[a]'}, z], operations: [Read]}]
"""


@pytest.mark.parametrize("name", ["a%2A", "%3F", "%5Ba%5D", "ab"])
def test_a_name_with_a_star_selects_only_itself(cluster: SimulatedCluster, name: str) -> None:
    address = f"User:a/allow/Read/group/{name}"
    assert planned(cluster, STARS, target=f"acl/{address}") == [("create", address)]
    assert len(planned(cluster, STARS, exclude=f"acl/{address}")) == 5


def test_a_principal_is_selected_by_a_glob(cluster: SimulatedCluster) -> None:
    rest = BLOCK + "  User:ab: {produce: z}\n"
    assert sorted(name for _, name in planned(cluster, rest, target="acl/User:a/*")) == sorted(ALL)


# -- exclusive ---------------------------------------------------------------------------------------------------------
def test_an_exclusive_block_deletes_what_no_stack_owns_and_nothing_of_others(cluster: SimulatedCluster) -> None:
    other = "version: 1\nstack: other\naccess: {'User:a': {produce: owned}, 'User:b': {produce: x}}\n"
    cluster.apply(other)
    foreign = "version: 1\nstack: gone\naccess: {'User:a': {produce: foreign}}\n"
    cluster.apply(foreign)
    cluster.apply("version: 1\nstack: gone\nremoved: [{access: User:a, keep: true}]\n")
    rest = "access: {'User:a': {produce: mine, exclusive: true}}\n"
    assert planned(cluster, rest) == [
        ("create", "User:a/allow/Write/topic/mine"), ("delete", "User:a/allow/Write/topic/foreign"),
    ]  # fmt: skip
    plan = cluster.plan(HEAD + rest)
    assert [str(each.address) for each in plan.dangers] == ["acl/User:a/allow/Write/topic/foreign"]
