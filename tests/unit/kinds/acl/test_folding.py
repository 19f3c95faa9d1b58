"""A principal's bindings become the lines that expand to exactly these bindings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kplan.kinds.acl import lines
from kplan.kinds.acl.binding import PERMISSIONS, AclBinding, make_binding
from kplan.kinds.acl.folding import expand_block, fold_bindings
from kplan.kinds.acl.operations import PatternType, ResourceType, is_checked, list_operations
from kplan.kinds.acl.rights import Right

WHO = "User:a"
NAMED = st.builds(
    make_binding,
    st.just(WHO),
    st.sampled_from(PERMISSIONS),
    st.sampled_from(list_operations()),
    st.sampled_from([each for each in ResourceType if each is not ResourceType.CLUSTER]),
    st.sampled_from(["a", "b", "a-", "*", "a*", "**"]),
    st.sampled_from(PatternType),
    st.sampled_from(["*", "10.0.0.7", "10.0.0.8"]),
)
CLUSTER = st.builds(
    make_binding,
    st.just(WHO), st.sampled_from(PERMISSIONS), st.sampled_from(list_operations()), st.just(ResourceType.CLUSTER),
    st.just(""), st.just(PatternType.LITERAL), st.sampled_from(["*", "10.0.0.7"]),
)  # fmt: skip


def bind(rights: list[Right]) -> list[AclBinding]:
    return [make_binding(WHO, "allow", right.operation, *right.place) for right in rights]


LINES = st.sampled_from([
    lines.produce(["a", "b*"]), lines.produce({"topics": "a", "idempotent": True}), lines.transactional_id("a*"),
    lines.consume({"topics": ["a", "b"], "group": "a"}), lines.streams(["a", "b"]),
]).map(bind)  # fmt: skip


@given(st.lists(NAMED | CLUSTER, max_size=12), st.lists(LINES, max_size=3))
def test_a_folded_block_expands_to_the_same_bindings(single: list[AclBinding], groups: list[list[AclBinding]]) -> None:
    bindings = {each.name: each for each in [*single, *(each for group in groups for each in group)]}
    block, left = fold_bindings(bindings.values())
    expanded = {each.name for each in expand_block(block, WHO)}
    assert expanded == bindings.keys() - {each.name for each in left}
    assert all(not is_checked(each.operation, each.resource_type) for each in left)


def test_the_generated_lines_come_back() -> None:
    rights = [
        *lines.produce(["shop.orders", "shop.events.*"]),
        *lines.consume({"topics": ["shop.customers"], "group": "orders"}),
        *lines.transactional_id("orders-*"),
        *lines.streams("orders-app"),
    ]
    assert fold_bindings(bind(rights)) == (
        {
            "produce": ["shop.orders", "shop.events.*"],
            "consume": {"topics": ["shop.customers"], "group": "orders"},
            "transactional_id": ["orders-*"],
            "streams": ["orders-app"],
        },
        (),
    )


def test_what_no_line_stands_for_is_an_entry() -> None:
    allow = [make_binding(WHO, "allow", each, ResourceType.TOPIC, "t") for each in ("Read", "Describe")]
    deny = make_binding(WHO, "deny", "All", ResourceType.GROUP, "g*", host="10.0.0.7")
    assert fold_bindings([*allow, deny]) == (
        {
            "allow": [{"topic": "t", "operations": ["Read", "Describe"]}],
            "deny": [{"group": {"name": "g*", "pattern": "literal"}, "operations": ["All"], "hosts": ["10.0.0.7"]}],
        },
        (),
    )


def test_a_binding_that_no_block_can_declare_is_left() -> None:
    odd = make_binding(WHO, "allow", "ClusterAction", ResourceType.TOPIC, "t")
    assert fold_bindings([odd]) == ({}, (odd,))
