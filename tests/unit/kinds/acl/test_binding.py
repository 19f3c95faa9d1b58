"""The address of a binding says all of it, and is never a glob."""

from __future__ import annotations

import fnmatch
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.kinds.acl.binding import (
    PERMISSIONS,
    AclBinding,
    describe_binding,
    describe_loss,
    make_binding,
    parse_binding,
)
from kplan.kinds.acl.language import check_name
from kplan.kinds.acl.operations import CLUSTER_NAME, PatternType, ResourceType, list_operations
from kplan.kinds.registry import parse_address

# Names as people and templates write them, and those that would break an address that is not encoded.
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\x00"), min_size=1, max_size=12) | st.sampled_from(
    ["*", "a*", "100%", "%2A", "a/b", "a b", "[a]", "?", "größe", "日本", "host=1", "-any", "a,b=c", "CN=app,OU=x", "…"]
)
BINDINGS = st.builds(
    make_binding,
    TEXTS.map("User:{}".format),
    st.sampled_from(PERMISSIONS),
    st.sampled_from(list_operations()),
    st.sampled_from(ResourceType),
    TEXTS,
    st.sampled_from(PatternType),
    st.sampled_from(["*", "10.0.0.7", "::1", "fe80::1%eth0"]),
)


@given(BINDINGS)
def test_an_address_comes_back(binding: AclBinding) -> None:
    assert parse_binding(binding.name) == binding
    assert parse_address(str(binding.address)) == binding.address
    assert check_name(binding.name) == ""


@given(BINDINGS)
def test_an_address_needs_no_quotes_and_is_no_glob(binding: AclBinding) -> None:
    assert re.fullmatch(r"[A-Za-z0-9._\-:=,+@%/]+", binding.name)


@given(BINDINGS, BINDINGS)
def test_two_bindings_have_one_address_only_if_they_are_the_same(one: AclBinding, other: AclBinding) -> None:
    same = all(
        getattr(one, key) == getattr(other, key)
        for key in ("principal", "permission", "operation", "resource_type", "resource_name", "pattern", "host")
    )
    assert (one.address == other.address) is same
    assert fnmatch.fnmatchcase(str(other.address), str(one.address)) is same


def test_the_cluster_has_one_name() -> None:
    assert make_binding("User:a", "allow", "Alter", ResourceType.CLUSTER, "x").resource_name == CLUSTER_NAME


@pytest.mark.parametrize(
    ("name", "sentence", "loss"),
    [
        ("User:alice/allow/Read/topic/shop.orders", "User:alice may read topic shop.orders",
         "User:alice can no longer read topic shop.orders"),
        ("User:alice/allow/Read/topic-prefix/shop.", "User:alice may read topics that begin with shop.",
         "User:alice can no longer read topics that begin with shop."),
        ("User:alice/deny/All/topic-any/host=10.0.0.7", "User:alice may do nothing with every topic, from 10.0.0.7",
         "User:alice can do nothing with every topic, from 10.0.0.7"),
        ("User:CN=app,OU=x/allow/IdempotentWrite/cluster", "User:CN=app,OU=x may write idempotently to the cluster",
         "User:CN=app,OU=x can no longer write idempotently to the cluster"),
        ("User:%2A/deny/Write/transactional-id/a%2A", "User:* may not write transactional id a*",
         "User:* can no longer write transactional id a*"),
    ],
)  # fmt: skip
def test_a_sentence_says_it(name: str, sentence: str, loss: str) -> None:
    binding = parse_binding(name)
    assert (describe_binding(binding), describe_loss(binding)) == (sentence, loss)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("User:a/allow/Read", "it is PRINCIPAL/allow/OPERATION/topic/NAME"),
        ("User:a/may/Read/topic/t", "'may' is neither `allow` nor `deny`"),
        ("User:a/allow/read/topic/t", "'read' is not an operation: All, Read, Write"),
        ("User:a/allow/Read/queue/t", "'queue' is not a type of resource: topic, group"),
        ("User:a/allow/Read/cluster-any", "'cluster-any' is not a type"),
        ("User:a/allow/Read/topic", "a name follows 'topic'"),
        ("User:a/allow/Read/topic-prefix/", "a name follows 'topic-prefix'"),
        ("User:a/allow/Read/topic/*", "write User:a/allow/Read/topic-any"),
        ("User:a/allow/Read/topic/a*", "write User:a/allow/Read/topic/a%2A"),
        ("User:a/allow/Read/topic/a/b", "write User:a/allow/Read/topic/a"),
        ("User:a/allow/Read/topic/t/host=*", "write User:a/allow/Read/topic/t"),
        ("User:a/allow/Read/topic/%ff", "codec can't decode"),
    ],
)
def test_a_name_that_nothing_has_is_refused_with_the_right_one(name: str, problem: str) -> None:
    with pytest.raises(ValueError, match=re.escape(problem)):
        parse_binding(name)
    assert problem in check_name(name)
