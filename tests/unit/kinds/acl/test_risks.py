"""The dangers of a change of bindings, judged from the bindings before it and after it; cases show them in plans."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from kplan.kinds.acl.binding import parse_binding
from kplan.kinds.acl.risks import find_risks
from kplan.kinds.risks import RiskContext, World
from kplan.model import Action, Address, Change, Live, Resource


def find_codes(name: str, before: Sequence[str], *, topics: Sequence[str] = (), default: bool | None = None) -> str:
    """Return the code and message of the danger that everybody else is shut out; empty without one."""
    created = parse_binding(name)
    there: dict[Address, Resource] = {each.address: each for each in map(parse_binding, before)}
    live = Live(resources=there, names=frozenset(topics), allows_by_default=default)
    change = Change(created.address, Action.CREATE, None, created)
    world = World(live, {**there, created.address: created})
    return "".join(f"{risk.code} {risk.summary}" for risk in find_risks(change, RiskContext(world=world)))


@pytest.mark.parametrize(
    ("name", "before", "first"),
    [
        ("User:a/allow/Read/group/g", [], "group g"),
        ("User:a/allow/Read/group/g", ["User:b/allow/Read/group/h"], "group g"),
        ("User:a/allow/Read/group/g", ["User:b/allow/Read/group/g"], ""),
        ("User:a/allow/Read/group/g", ["User:b/allow/Read/group-any"], ""),
        ("User:a/allow/Read/group-prefix/g.", [], "groups that begin with g."),
        ("User:a/allow/Read/group-prefix/g.", ["User:b/allow/Read/group/g.1"], "groups that begin with g."),
        ("User:a/allow/Read/group-prefix/g.", ["User:b/allow/Read/group-prefix/g"], ""),
        ("User:a/allow/Read/group-prefix/g.", ["User:b/allow/Read/group-any/host=10.0.0.7"], ""),
        ("User:a/allow/Read/group-any", [], "every group"),
        ("User:a/allow/Read/group-any", ["User:b/allow/Read/group-prefix/g"], "every group"),
        ("User:a/allow/Read/group-any", ["User:b/deny/Read/group-any"], ""),
        ("User:a/allow/Write/transactional-id-prefix/x", [], "transactional ids that begin with x"),
        ("User:a/allow/Write/transactional-id-prefix/x", ["User:b/allow/Read/group-any"],
         "transactional ids that begin with x"),
        ("User:a/allow/Write/topic-prefix/t.", [], "topic t.1"),
        ("User:a/allow/Write/topic-prefix/t.", ["User:b/allow/Read/topic/t.1"], ""),
        ("User:a/allow/Write/topic-prefix/u.", [], ""),
        ("User:a/allow/Alter/cluster", [], ""),
    ],
)  # fmt: skip
def test_the_first_binding_shuts_everybody_else_out(name: str, before: list[str], first: str) -> None:
    shut_out = f"K441 it is the first binding of {first}: who has none is refused"
    assert find_codes(name, before, topics=["t.1"], default=True) == (shut_out if first else "")
    doubt = ", if the brokers allow everybody what has no binding"
    assert find_codes(name, before, topics=["t.1"]) == (shut_out + doubt if first else "")
    assert find_codes(name, before, topics=["t.1"], default=False) == ""
