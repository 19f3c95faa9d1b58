"""Everything that is stored comes back, apart from the values of secrets, which never leave."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kplan.diagnostics import Span
from kplan.kinds import codec as kinds_codec
from kplan.kinds.connector.options import ConnectorOptions
from kplan.kinds.topic.options import TopicOptions
from kplan.model import (
    Action,
    Address,
    AttrDiff,
    Change,
    ChangeOptions,
    Connector,
    Facts,
    Origin,
    Owned,
    Reader,
    Risk,
    Rules,
    Secret,
    Topic,
    Undo,
    codec,
)
from kplan.model.journal import EVENTS, Entry, Item

CANARY = "canary-5ecret-value"
words = st.text(max_size=8)
names = st.text("abz.-_", min_size=1, max_size=6)
numbers = st.integers(-5, 10**15)
secrets = st.builds(Secret, ref=words, value=st.sampled_from([None, CANARY]), fingerprint=words)
values = words | secrets
flags = st.booleans()
spans = st.builds(Span, names, *[st.integers(0, 99)] * 4)
rules = st.builds(
    Rules,
    protect=st.none() | flags,
    ignore=st.frozensets(names, max_size=3),
    accept=st.frozensets(names, max_size=3),
    restart=st.sampled_from(["never", "on-change", "always"]),
    restart_failed=st.none() | st.tuples(st.integers(0, 9), st.floats(0, 99)),
    new_tables=st.sampled_from(["none", "incremental"]),
)
origins = st.builds(Origin, note=words)
several = st.lists(names, max_size=3).map(tuple)


def topics(name: str) -> st.SearchStrategy[Topic]:
    config = st.dictionaries(names, words, max_size=3)
    return st.builds(Topic, st.just(name), st.integers(-1, 99), st.integers(-1, 5), config, origin=origins, rules=rules)


def connectors(name: str) -> st.SearchStrategy[Connector]:
    keys = names | st.just("connector.class")
    return st.builds(
        Connector, st.just(name), st.dictionaries(keys, values, max_size=4), words,
        feeds=several, reads=several, unique=several, heartbeat=words, origin=origins, rules=rules,
    )  # fmt: skip


addresses = st.builds(Address, st.sampled_from(["topic", "connector"]), names)
facts = st.builds(
    Facts, *[st.none() | numbers] * 3, readers=st.lists(st.builds(Reader, names, numbers, flags), max_size=2).map(tuple)
)
risks = st.builds(
    Risk, code=names, level=names, summary=words, kind=words, accept=words,
    accepted=st.sampled_from([None, "stack", "flag"]), facts=st.none() | facts,
)  # fmt: skip
undos = st.builds(Undo, names, flags, words)
anything = st.none() | values | st.integers() | flags
diffs = st.builds(AttrDiff, names, anything, anything, st.sampled_from(["stack", "drift", "both"]))


def owned(address: Address) -> st.SearchStrategy[Owned]:
    resources = topics(address.name) if address.kind == "topic" else connectors(address.name)
    return st.builds(Owned, st.just(address), names, words, flags, flags, st.none() | resources, words, words)


topic_options = st.builds(TopicOptions, several, words, st.just(True)) | st.builds(ChangeOptions, several, words)
connector_options = st.builds(ConnectorOptions, several, words, st.just(True), flags, several) | st.builds(
    ChangeOptions, several, words
)  # an option at least is not as usual, otherwise the common ones come back


@st.composite
def changes(draw: st.DrawFn) -> Change:
    address = draw(addresses)
    action = draw(st.sampled_from(Action))
    span = draw(st.none() | spans)
    made = topics if address.kind == "topic" else connectors
    before = draw(st.none() | made("source" if action is Action.MOVE else address.name))
    after = draw(st.none() | made(address.name))
    return Change(
        address, action, before, after,
        diffs=draw(st.lists(diffs, max_size=3).map(tuple)), reason=draw(words),
        needs=draw(st.frozensets(addresses, max_size=3)), undo=draw(undos),
        risks=draw(st.lists(risks, max_size=2).map(tuple)), span=span, unmanaged=draw(several),
        unchanged=draw(st.integers(0, 99)), created=draw(flags), owner=draw(st.none() | owned(address)),
        options=draw(topic_options if address.kind == "topic" else connector_options),
    )  # fmt: skip


def through_json(data: Any) -> Any:
    text = json.dumps(data)
    assert CANARY not in text
    return json.loads(text)


def bare(thing: Any) -> Any:
    """What is left of it when the values of secrets are taken out."""
    if isinstance(thing, Secret):
        return replace(thing, value=None)
    if isinstance(thing, Connector):
        return replace(thing, config={key: bare(value) for key, value in thing.config.items()})
    if isinstance(thing, AttrDiff):
        return replace(thing, before=bare(thing.before), after=bare(thing.after))
    if isinstance(thing, Owned):
        return replace(thing, applied=bare(thing.applied))
    if isinstance(thing, Change):
        return replace(thing, before=bare(thing.before), after=bare(thing.after), owner=bare(thing.owner),
                       diffs=tuple(map(bare, thing.diffs)))  # fmt: skip
    return thing


def details(resource: Topic | Connector | None) -> object:
    """What the comparison of resources leaves out."""
    if resource is None:
        return None
    own = (resource.rules, resource.origin.note)
    return (
        own
        if isinstance(resource, Topic)
        else (*own, resource.feeds, resource.reads, resource.unique, resource.heartbeat)
    )


@given(st.data())
def test_a_resource_comes_back(data: st.DataObject) -> None:
    address = data.draw(addresses)
    resource = data.draw(topics(address.name) if address.kind == "topic" else connectors(address.name))
    found = kinds_codec.resource_from_json(address, through_json(kinds_codec.resource_to_json(resource)))
    assert found == bare(resource)
    assert details(found) == details(resource)


@given(changes(), st.integers(1, 99), st.integers(1, 9))
def test_a_change_comes_back(change: Change, step: int, wave: int) -> None:
    document = kinds_codec.change_to_json(change, step, wave)
    assert (document["step"], document["wave"]) == (step, wave)
    found = kinds_codec.change_from_json(through_json(document))
    assert found == bare(change)
    assert [details(found.before), details(found.after)] == [details(change.before), details(change.after)]
    assert kinds_codec.change_to_json(found, step, wave) == document


@given(addresses.flatmap(owned))
def test_a_record_comes_back(record: Owned) -> None:
    assert kinds_codec.owned_from_json(record.address, through_json(kinds_codec.owned_to_json(record))) == bare(record)


@given(st.none() | facts)
def test_facts_come_back(found: Facts | None) -> None:
    assert codec.facts_from_json(through_json(codec.facts_to_json(found))) == found


json_values = st.recursive(
    st.none() | flags | st.integers() | st.floats(allow_nan=False) | words,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words, inner, max_size=3),
    max_leaves=6,
)
maps = st.dictionaries(words, json_values, max_size=3)
items = st.builds(Item, st.integers(0, 99), words, st.none() | maps, st.none() | maps, words)


@given(st.builds(Entry, names, names, st.integers(0, 9), st.sampled_from(EVENTS), words, st.integers(0, 9),
                 st.lists(items, max_size=3).map(tuple), maps))  # fmt: skip
def test_an_entry_comes_back(entry: Entry) -> None:
    data = through_json(codec.entry_to_json(entry))
    assert codec.entry_from_json(entry.run, entry.stack, entry.seq, data) == entry


KEYS = ["address", "actions", "before", "after", "diff", "risks", "undo", "source", "owner", "config", "partitions",
        "restart_failed", "rules", "moved_from", "facts", "readers", "verified", "depends_on", "unchanged"]  # fmt: skip


@given(st.dictionaries(st.sampled_from(KEYS), json_values) | json_values)
def test_any_data_is_read_or_a_value_error(data: Any) -> None:
    created = {"address": "topic/x", "actions": ["create"]}
    readers: list[tuple[type, Callable[[Any], object]]] = [
        (Change, kinds_codec.change_from_json),
        (Risk, codec.risk_from_json),
        (AttrDiff, codec.diff_from_json),
        (Topic, lambda d: kinds_codec.resource_from_json(Address("topic", "x"), d)),
        (Connector, lambda d: kinds_codec.resource_from_json(Address("connector", "x"), d)),
        (Owned, lambda d: kinds_codec.owned_from_json(Address("topic", "x"), d)),
        (Entry, lambda d: codec.entry_from_json("r", "s", 0, d)),
        (Change, lambda d: kinds_codec.change_from_json({**created, "after": d})),
        (Change, lambda d: kinds_codec.change_from_json({**created, "diff": [d], "risks": [d]})),
    ]
    for made, read in readers:
        with suppress(ValueError):
            assert isinstance(read(data), made)
    if not isinstance(data, Mapping):
        for _, read in readers[:-2]:
            with pytest.raises(ValueError):
                read(data)


OLD = Secret(value="old" + CANARY, fingerprint="hmac:1f")
NEW = Secret("{{ var.p }}", CANARY, "hmac:7a")


class TestDocument:
    """The shape that people's scripts read (schemas/plan.v1.json)."""

    change = Change(
        Address("connector", "cdc"),
        Action.UPDATE,
        Connector("cdc", {"connector.class": "C", "database.password": OLD}),
        Connector("cdc", {"connector.class": "C", "database.password": NEW, "b": "1"}),
        diffs=(AttrDiff("/config/database.password", OLD, NEW), AttrDiff("/config/b", None, "1")),
        reason="config_differs",
        needs=frozenset({Address("topic", "b"), Address("topic", "a")}),
        undo=Undo("restore", True),
        span=Span("stacks/a.yaml", 6, 5),
        options=ChangeOptions(verified="connect config/validate"),
    )

    def test_a_connector_update(self) -> None:
        assert kinds_codec.change_to_json(self.change, 4, 2) == {
            "step": 4,
            "wave": 2,
            "address": "connector/cdc",
            "kind": "connector",
            "name": "cdc",
            "actions": ["update"],
            "reason": "config_differs",
            "source": {"path": "stacks/a.yaml", "line": 6, "column": 5},
            "depends_on": ["topic/a", "topic/b"],
            "before": {
                "class": "C",
                "config": {"database.password": {"sensitive": True, "fingerprint": "hmac:1f"}},
                "state": "running",
            },
            "after": {
                "class": "C",
                "config": {
                    "b": "1",
                    "database.password": {"sensitive": True, "fingerprint": "hmac:7a", "ref": "{{ var.p }}"},
                },
                "state": "running",
            },
            "sensitive": ["/config/database.password"],
            "diff": [
                {
                    "path": "/config/database.password",
                    "op": "change",
                    "before": {"sensitive": True, "fingerprint": "hmac:1f"},
                    "after": {"sensitive": True, "fingerprint": "hmac:7a", "ref": "{{ var.p }}"},
                    "cause": "stack",
                },
                {"path": "/config/b", "op": "add", "before": None, "after": "1", "cause": "stack"},
            ],
            "undo": {"kind": "restore", "complete": True},
            "risks": [],
            "verified": {"by": "connect config/validate", "errors": 0},
            "unchanged": 0,
            "adopts": True,
        }

    @pytest.mark.parametrize(
        ("action", "actions"),
        [(Action.CREATE, ["create"]), (Action.REPLACE, ["delete", "create"]), (Action.MOVE, ["move"]),
         (Action.ADOPT, ["adopt"]), (Action.RELEASE, ["release"]), (Action.DELETE, ["delete"])],
    )  # fmt: skip
    def test_delete_is_in_the_actions_of_a_replace_too(self, action: Action, actions: list[str]) -> None:
        assert kinds_codec.change_to_json(Change(Address("topic", "x"), action), 1, 1)["actions"] == actions

    def test_it_is_the_same_whatever_the_order_of_the_configs(self) -> None:
        turned = replace(
            self.change, after=replace(self.change.after, config=dict(reversed(self.change.after.config.items())))
        )
        documents = [json.dumps(kinds_codec.change_to_json(change, 1, 1)) for change in (self.change, turned)]
        assert documents[0] == documents[1]

    def test_a_topic(self) -> None:
        topic = Topic("x", 3, -1, {"b": "2", "a": "1"})
        data = kinds_codec.resource_to_json(topic)
        assert data == {"partitions": 3, "replication_factor": -1, "config": {"a": "1", "b": "2"}}
        assert json.dumps(data) == '{"config": {"a": "1", "b": "2"}, "partitions": 3, "replication_factor": -1}'
