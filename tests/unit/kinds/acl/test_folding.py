"""A principal's bindings become the lines that expand to exactly these bindings."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from kplan.kinds.acl import lines
from kplan.kinds.acl.binding import PERMISSIONS, AclBinding, make_binding
from kplan.kinds.acl.folding import expand_block, fold_bindings
from kplan.kinds.acl.operations import PatternType, ResourceType, is_checked, list_operations
from kplan.kinds.acl.rights import ResourcePattern, Right

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


def rename(binding: AclBinding, *, host: str) -> AclBinding:
    """The same binding for another host."""
    place = (binding.resource_type, binding.resource_name, binding.pattern)
    return make_binding(binding.principal, binding.permission, binding.operation, *place, host)


def bind(rights: list[Right]) -> list[AclBinding]:
    return [make_binding(WHO, "allow", right.operation, *right.place) for right in rights]


LINES = st.sampled_from([
    lines.produce(["a", "b*"]), lines.produce({"topics": "a", "idempotent": True}), lines.transactional_id("a*"),
    lines.consume({"topics": ["a", "b"], "group": "a"}), lines.streams(["a", "b"]),
    lines.worker({"group_id": "a", "topics": ["a", "b", "c"]}), lines.kplan({"do": ["apply", "access"]}),
    lines.kplan({"do": ["plan"], "topics": ["a", "b"], "stacks": ["a*", "b"], "state": "a"}),
]).map(bind)  # fmt: skip


CONNECTORS = {
    "c": [("Write", ResourcePattern(ResourceType.TOPIC, "a")), ("Read", ResourcePattern(ResourceType.GROUP, "a"))],
    "d": [("Write", ResourcePattern(ResourceType.TOPIC, "b"))],
    "nothing": [],
}


@given(st.lists(NAMED | CLUSTER, max_size=12), st.lists(LINES, max_size=3), st.sampled_from(["*", "10.0.0.7"]))
def test_a_folded_block_expands_to_the_same_bindings(
    single: list[AclBinding], groups: list[list[AclBinding]], host: str
) -> None:
    granted = [rename(each, host=host) for group in groups for each in group]
    bindings = {each.name: each for each in [*single, *granted]}
    block, left = fold_bindings(bindings.values(), CONNECTORS)
    expanded = {each.name for each in expand_block(block, WHO, CONNECTORS)}
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


def test_the_lines_of_workers_and_of_kplan_come_back() -> None:
    worker = {"group_id": "connect", "topics": ["connect-configs", "connect-offsets", "connect-status"]}
    kplan = {"do": ["apply", "access"], "topics": ["shop."], "stacks": ["shop-*"], "state": "__kplan"}
    everything = {"do": ["plan", "apply", "access", "quotas", "reassign"], "state": "__kplan"}
    assert fold_bindings(bind(lines.worker(worker))) == ({"worker": worker}, ())
    assert fold_bindings(bind(lines.kplan(kplan))) == ({"kplan": kplan}, ())
    assert fold_bindings(bind(lines.kplan(everything))) == ({"kplan": everything}, ())


def test_a_connector_whose_needs_are_all_there_is_a_line() -> None:
    bindings = [*bind(lines.produce("a")), *bind([Right("Read", ResourcePattern(ResourceType.GROUP, "a"))])]
    assert fold_bindings(bindings, CONNECTORS) == ({"connectors": ["c"]}, ())
    assert fold_bindings(bindings[:1], CONNECTORS) == ({"produce": ["a"]}, ())


def test_hosts_that_all_rights_have_are_those_of_the_block() -> None:
    bindings = [rename(each, host="10.0.0.7") for each in bind(lines.produce(["a", "b"]))]
    assert fold_bindings(bindings) == ({"produce": ["a", "b"], "hosts": ["10.0.0.7"]}, ())


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
    named = make_binding(WHO, "allow", "Read", ResourceType.TOPIC, "t", host="client.example")
    assert fold_bindings([named]) == ({}, (named,))
