"""The decisions of StandardAuthorizer.

The rules are those of https://kafka.apache.org/documentation/#security_authz and of `StandardAuthorizerData`, which the
comments name; tests/services/test_access.py asks a broker.
"""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.kinds.acl.authorizer import EVERYBODY, Authorizer, allows, covers
from kplan.kinds.acl.binding import AclBinding, parse_binding
from kplan.kinds.acl.operations import OPERATIONS, ResourceType, list_operations

TOPIC = ResourceType.TOPIC


def bindings(*names: str) -> list[AclBinding]:
    return [parse_binding(name) for name in names]


# What is there, the question (principal, operation, type, name, host), and the answer.
TABLE: list[tuple[list[str], tuple[str, ...], bool]] = [
    # without a binding nothing is allowed
    ([], ("User:a", "Read", "topic", "t"), False),
    # an ALLOW is for its principal, operation, resource and type alone
    (["User:a/allow/Read/topic/t"], ("User:a", "Read", "topic", "t"), True),
    (["User:a/allow/Read/topic/t"], ("User:b", "Read", "topic", "t"), False),
    (["User:a/allow/Read/topic/t"], ("user:a", "Read", "topic", "t"), False),
    (["User:a/allow/Read/topic/t"], ("User:a", "Write", "topic", "t"), False),
    (["User:a/allow/Read/topic/t"], ("User:a", "Read", "topic", "t2"), False),
    (["User:a/allow/Read/topic/t"], ("User:a", "Read", "group", "t"), False),
    (["Group:a/allow/Read/topic/t"], ("User:a", "Read", "topic", "t"), False),
    (["Group:a/allow/Read/topic/t"], ("Group:a", "Read", "topic", "t"), True),
    # `User:*` is everybody, in an ALLOW and in a DENY
    (["User:*/allow/Read/topic/t".replace("*", "%2A")], ("User:a", "Read", "topic", "t"), True),
    (["User:a/allow/Read/topic/t", "User:%2A/deny/Read/topic/t"], ("User:a", "Read", "topic", "t"), False),
    # All allows and denies each operation
    (["User:a/allow/All/topic/t"], ("User:a", "DescribeConfigs", "topic", "t"), True),
    (["User:a/allow/Read/topic/t", "User:a/deny/All/topic/t"], ("User:a", "Read", "topic", "t"), False),
    # an ALLOW of Read, Write, Delete or Alter allows Describe; AlterConfigs allows DescribeConfigs
    (["User:a/allow/Read/topic/t"], ("User:a", "Describe", "topic", "t"), True),
    (["User:a/allow/Write/topic/t"], ("User:a", "Describe", "topic", "t"), True),
    (["User:a/allow/Delete/topic/t"], ("User:a", "Describe", "topic", "t"), True),
    (["User:a/allow/Alter/topic/t"], ("User:a", "Describe", "topic", "t"), True),
    (["User:a/allow/AlterConfigs/topic/t"], ("User:a", "DescribeConfigs", "topic", "t"), True),
    (["User:a/allow/Create/topic/t"], ("User:a", "Describe", "topic", "t"), False),
    (["User:a/allow/DescribeConfigs/topic/t"], ("User:a", "Describe", "topic", "t"), False),
    (["User:a/allow/Describe/topic/t"], ("User:a", "Read", "topic", "t"), False),
    # a DENY implies nothing: Describe stays where Read is denied, and Read where Describe is
    (["User:a/allow/All/topic/t", "User:a/deny/Read/topic/t"], ("User:a", "Describe", "topic", "t"), True),
    (["User:a/allow/Read/topic/t", "User:a/deny/Describe/topic/t"], ("User:a", "Read", "topic", "t"), True),
    (["User:a/allow/Read/topic/t", "User:a/deny/Describe/topic/t"], ("User:a", "Describe", "topic", "t"), False),
    # a DENY wins whatever is narrower, and wherever it stands
    (["User:a/deny/Read/topic-any", "User:a/allow/Read/topic/t"], ("User:a", "Read", "topic", "t"), False),
    (["User:a/allow/Read/topic-any", "User:a/deny/Read/topic/t"], ("User:a", "Read", "topic", "t"), False),
    (["User:a/allow/Read/topic-any", "User:a/deny/Read/topic-prefix/t."], ("User:a", "Read", "topic", "t.x"), False),
    (["User:a/allow/Read/topic-any", "User:a/deny/Read/topic-prefix/t."], ("User:a", "Read", "topic", "u.x"), True),
    # a prefix matches the name itself and all that begin with it; case and regular expressions do not count
    (["User:a/allow/Read/topic-prefix/shop."], ("User:a", "Read", "topic", "shop.orders"), True),
    (["User:a/allow/Read/topic-prefix/shop"], ("User:a", "Read", "topic", "shop"), True),
    (["User:a/allow/Read/topic-prefix/shop."], ("User:a", "Read", "topic", "shopping"), False),
    (["User:a/allow/Read/topic-prefix/shop."], ("User:a", "Read", "topic", "Shop.orders"), False),
    # only a LITERAL `*` is every name; a prefix `*` is a prefix
    (["User:a/allow/Read/topic-any"], ("User:a", "Read", "topic", "anything"), True),
    (["User:a/allow/Read/topic-any"], ("User:a", "Read", "group", "anything"), False),
    (["User:a/allow/Read/topic-prefix/%2A"], ("User:a", "Read", "topic", "anything"), False),
    (["User:a/allow/Read/topic-prefix/%2A"], ("User:a", "Read", "topic", "*.x"), True),
    # a host is compared as text
    (["User:a/allow/Read/topic/t/host=10.0.0.7"], ("User:a", "Read", "topic", "t", "10.0.0.7"), True),
    (["User:a/allow/Read/topic/t/host=10.0.0.7"], ("User:a", "Read", "topic", "t", "10.0.0.70"), False),
    (["User:a/allow/Read/topic/t/host=10.0.0.7"], ("User:a", "Read", "topic", "t"), False),
    (["User:a/allow/Read/topic/t", "User:a/deny/Read/topic/t/host=10.0.0.7"],
     ("User:a", "Read", "topic", "t", "10.0.0.7"), False),
    (["User:a/allow/Read/topic/t", "User:a/deny/Read/topic/t/host=10.0.0.7"],
     ("User:a", "Read", "topic", "t", "10.0.0.8"), True),
    # the cluster has one name
    (["User:a/allow/Alter/cluster"], ("User:a", "Alter", "cluster", "kafka-cluster"), True),
    (["User:a/allow/Alter/cluster"], ("User:a", "Describe", "cluster", "kafka-cluster"), True),
    (["User:a/allow/Alter/cluster"], ("User:a", "Create", "cluster", "kafka-cluster"), False),
]  # fmt: skip


def ask(authorizer: Authorizer, question: tuple[str, ...]) -> bool:
    principal, operation, word, name, *host = question
    return authorizer.is_allowed(principal, operation, ResourceType(word), name, *host)


@pytest.mark.parametrize(("there", "question", "answer"), TABLE)
def test_a_decision(there: list[str], question: tuple[str, ...], answer: bool) -> None:
    assert ask(Authorizer(bindings(*there)), question) is answer


@pytest.mark.parametrize(("there", "question", "answer"), TABLE)
def test_the_order_of_bindings_does_not_count(there: list[str], question: tuple[str, ...], answer: bool) -> None:
    assert ask(Authorizer(bindings(*reversed(there))), question) is answer


@pytest.mark.parametrize(("there", "question", "answer"), TABLE)
def test_a_super_user_may_do_everything(there: list[str], question: tuple[str, ...], answer: bool) -> None:
    assert ask(Authorizer(bindings(*there), frozenset({question[0]})), question)
    assert ask(Authorizer(bindings(*there), frozenset({"User:other"})), question) is answer


@pytest.mark.parametrize(
    ("there", "name", "answer"),
    [
        ([], "t", True),
        (["User:b/allow/Read/topic/t"], "t", False),  # whoever it is for, the resource has a binding
        (["User:b/allow/Read/topic/t"], "t2", True),
        (["User:b/allow/Read/topic-prefix/t"], "t2", False),
        (["User:b/allow/Read/topic-any"], "t2", False),
        (["User:b/allow/Read/group/t"], "t", True),
        (["User:b/deny/Write/topic/t/host=10.0.0.7"], "t", False),
        (["User:a/deny/Read/topic/t"], "t", False),
    ],
)
def test_what_has_no_binding_is_allowed_by_default_where_the_brokers_say_so(
    there: list[str], name: str, answer: bool
) -> None:
    """`allow.everyone.if.no.acl.found=true`."""
    open_one = Authorizer(bindings(*there), allows_by_default=True)
    assert open_one.is_allowed("User:a", "Read", TOPIC, name) is answer


def test_a_decision_names_the_binding_that_made_it() -> None:
    allow, deny = bindings("User:a/allow/Read/topic-prefix/t", "User:%2A/deny/Read/topic/t2")
    authorizer = Authorizer([allow, deny])
    assert authorizer.decide(("User:a",), "Read", TOPIC, "t1").by == allow
    assert authorizer.decide(("User:a",), "Read", TOPIC, "t2").by == deny
    assert authorizer.decide(("User:a",), "Write", TOPIC, "t1").by is None


def test_somebody_may_have_several_principals() -> None:
    authorizer = Authorizer(bindings("Group:dev/allow/Read/topic/t", "User:a/deny/Read/topic/t"))
    assert authorizer.decide(("User:b", "Group:dev"), "Read", TOPIC, "t").is_allowed
    assert not authorizer.decide(("User:a", "Group:dev"), "Read", TOPIC, "t").is_allowed


@pytest.mark.parametrize("operation", list_operations())
def test_each_operation_allows_itself_and_all_allows_it(operation: str) -> None:
    assert allows(operation, operation) and allows("All", operation)
    assert not allows(operation, "All") or operation == "All"


# -- covers ------------------------------------------------------------------------------------------------------------
NAMES = st.sampled_from(["a", "ab", "abc", "b", "*"])
HOSTS = st.sampled_from(["*", "10.0.0.7", "10.0.0.8"])
PLACES = st.builds(
    lambda word, name, host: parse_binding(
        "/".join(
            part
            for part in (
                "User:a/allow/Read",
                word if name != "*" else "topic-any",
                name if name != "*" else "",
                "" if host == "*" else f"host={host}",
            )
            if part
        )
    ),
    st.sampled_from(["topic", "topic-prefix"]),
    NAMES,
    HOSTS,
)


@given(PLACES, PLACES, st.sampled_from(["a", "ab", "abc", "abcd", "b", "c"]), HOSTS.filter(lambda host: host != "*"))
def test_what_covers_another_one_allows_all_that_it_allows(
    one: AclBinding, other: AclBinding, name: str, host: str
) -> None:
    if covers(one, other) and Authorizer([other]).is_allowed("User:a", "Read", TOPIC, name, host):
        assert Authorizer([one]).is_allowed("User:a", "Read", TOPIC, name, host)


@given(st.lists(PLACES, max_size=6), st.sampled_from(["a", "abc", "c"]), HOSTS)
def test_one_more_allow_never_takes_anything_away(there: list[AclBinding], name: str, host: str) -> None:
    before = Authorizer(there[1:]).is_allowed("User:a", "Read", TOPIC, name, host)
    assert Authorizer(there).is_allowed("User:a", "Read", TOPIC, name, host) or not before


def test_every_type_has_operations() -> None:
    assert OPERATIONS.keys() == set(ResourceType)
    assert EVERYBODY == "User:*"
