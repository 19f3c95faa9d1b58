"""The rules of risk: what is a danger, what is none, and which words accept it. How they look is in tests/cases."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from kplan.diagnostics import Unreachable
from kplan.diagnostics.codes.table import CODES
from kplan.kinds.connector import sinks
from kplan.kinds.connector.options import ConnectorOptions, connector_options
from kplan.kinds.risks import ACCEPT_WORDS, RULES, RiskContext
from kplan.kinds.topic.losses import may_lose
from kplan.kinds.topic.options import topic_options
from kplan.model import (
    Action,
    Address,
    AttrDiff,
    Change,
    Connector,
    Facts,
    Live,
    Owned,
    Reader,
    Removal,
    Resource,
    Risk,
    Rules,
    Stack,
    Target,
    Topic,
    Undo,
)
from kplan.planning import facts
from kplan.planning.comparison import compare
from kplan.planning.pipeline import milliseconds
from kplan.planning.risk import Accepted, accept_name, assess_change, find_growth, new_dangers, reliable, wants_facts
from kplan.planning.undo import decide_undo
from kplan.servers.base import Cluster
from kplan.servers.simulated import SimulatedConnectors, SimulatedTopics

HOUR, DAY = 3_600_000, 86_400_000
NOW = milliseconds("2026-01-01T10:00:00Z") or 0
CASES = Path(__file__).parents[2] / "cases"
FULL = Facts(records=5, first_write=NOW - 3 * DAY, last_write=NOW - HOUR)
EMPTY = Facts(records=0)
UNREAD = Facts(unknown={"records": "no leader", "readers": "not allowed"})


def topic(**config: str) -> Topic:
    return Topic("t", 3, 3, {key.replace("_", "."): value for key, value in config.items()})


def update(before: Resource, after: Resource) -> Change:
    """The change of what this stack owns and has applied."""
    owned = Owned(before.address, "s", "e", True, applied=before)
    change = Change(before.address, Action.UPDATE, before, after, compare(after, before, owned).diffs, owner=owned)
    return replace(change, undo=Undo("restore", True))


def delete(what: Resource, **more: Any) -> Change:
    return Change(what.address, Action.DELETE, what, None, **more)


def assessed(change: Change, found: Facts | None = None, *, stack: Stack | None = None, accept: tuple[str, ...] = (),
             leftover: str = "") -> Change:  # fmt: skip
    facts_of: Mapping[Address, Facts] = {change.address: found} if found else {}
    left = {change.address: leftover} if leftover else None
    return assess([change], stack or Stack("s", "e"), facts_of, Accepted(accept), now=NOW, leftovers=left)[0]


def assess(
    changes: Sequence[Change],
    stack: Stack,
    facts: Mapping[Address, Facts],
    accepted: Accepted,
    *,
    now: int | None = None,
    leftovers: Mapping[Address, str] | None = None,
) -> list[Change]:
    """Each change with its risks and its undo."""
    now = reliable(now, facts.values())
    result = []
    for change in changes:
        context = RiskContext(facts.get(change.address), (leftovers or {}).get(change.address, ""), now)
        change = assess_change(change, stack, context, accepted, Target())
        result.append(replace(change, undo=decide_undo(change, Target())))
    return result


def codes(change: Change, found: Facts | None = None, **more: Any) -> list[str]:
    return [risk.code for risk in assessed(change, found, **more).risks]


def only(change: Change, found: Facts | None = None, **more: Any) -> Risk:
    (risk,) = assessed(change, found, **more).risks
    return risk


# -- the table --------------------------------------------------------------------------------------------------------
def test_every_rule_is_explained_and_says_how_bad_it_is() -> None:
    for code, rule in RULES.items():
        text = " ".join(CODES[code].text.split())
        assert rule.level == "danger" or f"This is a {rule.level}" in text or f"a {rule.level} and blocks" in text, code
        if rule.kind not in ("", "protect", "orphan"):
            assert f"accept: [{rule.kind}]" in text, code


@pytest.mark.parametrize("code", RULES)
def test_every_rule_has_a_case_that_shows_it(code: str) -> None:
    shown = [path.parent.name for path in CASES.glob("*/plan.txt") if f" {code}" in path.read_text("utf-8")]
    assert shown, f"no plan.txt in tests/cases shows {code}"


def test_the_kinds_are_those_that_a_stack_may_accept() -> None:
    import json

    schema = (Path(__file__).parents[3] / "schemas" / "stack.v1.json").read_text("utf-8")
    enums = [each["enum"] for each in _objects(json.loads(schema)) if "data-loss" in each.get("enum", ())]
    assert enums and all(set(enum) == set(ACCEPT_WORDS) for enum in enums)


def _objects(value: Any) -> list[dict[str, Any]]:
    if isinstance(value, dict):
        return [value, *(each for child in value.values() for each in _objects(child))]
    return [each for child in value for each in _objects(child)] if isinstance(value, list) else []


# -- deleting ---------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (FULL, "K401"),
        (EMPTY, ""),
        (UNREAD, "K401"),
        (None, "K401"),
        (Facts(records=0, readers=(Reader("idle", 0, False),)), ""),
        (Facts(records=0, readers=(Reader("busy", 0, True),)), "K402"),
        (Facts(records=0, sinks=("warehouse",)), "K402"),
        (Facts(records=0, unknown={"readers": "not allowed"}), "K402"),
        (Facts(records=None), "K401"),
    ],
)
def test_deleting_is_a_danger_unless_the_topic_is_known_to_be_empty_and_unread(
    found: Facts | None, expected: str
) -> None:
    assert codes(delete(topic()), found) == ([expected] if expected else [])


def test_what_was_no_danger_is_deleted_only_while_it_is_empty() -> None:
    assert topic_options(assessed(delete(topic()), EMPTY)).if_empty
    assert not topic_options(assessed(delete(topic()), FULL)).if_empty
    assert not topic_options(assessed(delete(Connector("c")))).if_empty


def test_a_danger_says_what_is_stored_and_who_reads_it() -> None:
    groups = (Reader("connect-warehouse", 7), Reader("old-job", 3, False), Reader("stock-api", 12_000))
    found = replace(FULL, records=48_200, bytes=1_288_490_189, sinks=("warehouse", "lake"), readers=groups)
    risk = only(delete(topic()), found)
    assert risk.summary == (
        "data loss. Up to 48,200 records, 1.2 GiB. 2 groups reading: old-job (idle, lag 3), stock-api (lag 12,000). "
        "2 sink connectors reading: warehouse (lag 7), lake."
    )
    assert risk.facts == found


def test_of_many_readers_some_are_named() -> None:
    readers = tuple(Reader(f"g{n}", 0) for n in range(9))
    assert "9 groups reading: g0 (lag 0), g1 (lag 0), g2 (lag 0), g3 (lag 0), g4 (lag 0) and 4 more." in (
        only(delete(topic()), replace(FULL, readers=readers)).summary
    )


def test_what_could_not_be_read_says_why() -> None:
    assert only(delete(topic()), UNREAD).summary == (
        "data loss. How many records it holds is not known (no leader). Who reads it is not known (not allowed)."
    )


def test_replacing_is_always_a_danger() -> None:
    change = Change(topic().address, Action.REPLACE, topic(), topic())
    assert codes(change, EMPTY) == codes(change, FULL) == ["K403"]
    connector = Connector("c")
    assert codes(Change(connector.address, Action.REPLACE, connector, connector)) == ["K407"]


def test_an_orphan_is_a_danger_even_when_empty() -> None:
    assert codes(delete(topic(), reason="orphan"), EMPTY) == ["K404"]
    assert codes(delete(topic(), reason="orphan"), FULL) == ["K401", "K404"]


@pytest.mark.parametrize("action", [Action.DELETE, Action.REPLACE])
def test_protection_that_only_the_ledger_remembers_holds_and_nothing_accepts_it(action: Action) -> None:
    owner = Owned(topic().address, "s", "e", True, protect=True)
    change = Change(topic().address, action, topic(), None, owner=owner)
    entry = Removal(topic().address, frozenset({"data-loss", "protect", "replace"}))
    after = assessed(change, EMPTY, stack=Stack("s", "e", removed=(entry,)), accept=("*",))
    assert [r.blocks for r in after.risks if r.code == "K410"] == [True]


# -- limits and policies ----------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("before", "after", "found", "expected"),
    [
        ("7d", "1d", FULL, ["K405"]),
        ("7d", "1d", EMPTY, []),
        ("7d", "4d", FULL, []),  # smaller, and still more than the oldest record's age
        ("7d", "4d", replace(FULL, first_write=None, unknown={"first_write": "late"}), ["K405"]),
        ("-1", "4d", FULL, []),
        ("-1", "1d", FULL, ["K405"]),
        ("1d", "7d", FULL, []),
        ("1d", "-1", FULL, []),
        ("30d", None, Facts(records=1, first_write=NOW - 8 * DAY), ["K405"]),  # unset is Kafka's own seven days
        (None, "1d", FULL, ["K405"]),
        ("1d", None, FULL, []),
        ("7d", "1d", UNREAD, ["K405"]),
    ],
)
def test_a_smaller_retention_is_a_danger_where_something_older_is_stored(
    before: str | None, after: str | None, found: Facts, expected: list[str]
) -> None:
    assert codes(update(*(topic(**_retention(each)) for each in (before, after))), found) == expected


def _retention(days: str | None) -> dict[str, str]:
    return {} if days is None else {"retention_ms": days if days == "-1" else str(int(days[:-1]) * DAY)}


@pytest.mark.parametrize(
    ("found", "expected"),
    [(FULL, ["K405"]), (EMPTY, []), (replace(FULL, bytes=999), []), (replace(FULL, bytes=2000), ["K405"])],
)
def test_a_smaller_size_is_a_danger_where_more_may_be_stored(found: Facts, expected: list[str]) -> None:
    assert codes(update(topic(retention_bytes="-1"), topic(retention_bytes="1000")), found) == expected


def test_retention_does_not_matter_where_nothing_is_deleted_by_it() -> None:
    compact = topic(cleanup_policy="compact", retention_ms=str(7 * DAY))
    change = update(compact, topic(cleanup_policy="compact", retention_ms=str(DAY)))
    assert codes(change, FULL) == []
    assert not wants_facts(change)


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        ("delete", "compact", ["K406"]),
        ("delete", "compact,delete", ["K406"]),
        ("compact", "delete", ["K406"]),
        ("compact", "delete,compact", ["K406"]),
        ("compact,delete", "compact", []),
        ("compact,delete", "delete", []),
        ("delete,compact", "compact,delete", []),
    ],
)
def test_a_policy_that_comes_is_a_danger_and_one_that_goes_is_none(
    before: str, after: str, expected: list[str]
) -> None:
    change = update(topic(cleanup_policy=before), topic(cleanup_policy=after))
    old = replace(FULL, first_write=NOW - 8 * DAY)
    assert codes(change, old) == expected
    assert codes(change, EMPTY) == []
    assert wants_facts(change) == may_lose(change) == bool(expected)


@pytest.mark.parametrize("policy", ["delete", "compact,delete"])
def test_deletion_on_a_compacted_topic_is_a_danger_however_young_its_records_are(policy: str) -> None:
    before = topic(cleanup_policy="compact")
    change = update(before, topic(cleanup_policy=policy, retention_ms=str(30 * DAY)))
    for first in (NOW, NOW - 31 * DAY, None):
        assert codes(change, replace(FULL, first_write=first)) == ["K406"]
    assert codes(change, EMPTY) == []
    assert codes(update(before, topic(cleanup_policy=policy, retention_ms="-1")), FULL) == []


def test_an_accepted_deletion_holds_while_the_topic_grows_a_little() -> None:
    accepted = assessed(Change(Address("topic", "a"), Action.DELETE, topic()), replace(FULL, records=3))
    for records, grown in ((3, 0), (900, 0), (1002, 0), (1003, 1), (5000, 1)):
        assert len(list(find_growth(accepted, replace(FULL, records=records)))) == grown, records
    many = assessed(Change(Address("topic", "a"), Action.DELETE, topic()), replace(FULL, records=1_000_000))
    assert not list(find_growth(many, replace(FULL, records=2_000_000)))
    assert list(find_growth(many, replace(FULL, records=2_000_001)))


@pytest.mark.parametrize(
    ("behind", "expected"),
    [
        (0, []),
        (HOUR, []),  # the newest record is of now
        (3 * HOUR, ["K405"]),  # brokers take no record that is so far ahead: the clock is behind
        (3_650 * DAY, ["K405"]),
        (-3_650 * DAY, ["K405"]),  # ahead: all is old
    ],
)
def test_a_clock_that_is_behind_makes_no_record_young(behind: int, expected: list[str]) -> None:
    change = update(topic(retention_ms=str(7 * DAY)), topic(retention_ms=str(4 * DAY)))
    for changed in (assess([change], Stack("s", "e"), {change.address: FULL}, Accepted(), now=NOW - behind),):
        assert [risk.code for risk in changed[0].risks] == expected


def test_the_newest_record_of_any_topic_tells_how_late_it_is_at_least() -> None:
    quiet = update(topic(retention_ms=str(7 * DAY)), topic(retention_ms=str(4 * DAY)))
    busy = replace(quiet, address=Address("topic", "busy"))
    facts = {quiet.address: replace(FULL, last_write=NOW - 2 * DAY), busy.address: replace(FULL, first_write=NOW)}
    clock = NOW - 30 * 60_000  # behind by less than Kafka lets a record be ahead
    changed = assess([quiet, busy], Stack("s", "e"), facts, Accepted(), now=clock)
    assert [risk.code for each in changed for risk in each.risks] == []
    facts[busy.address] = replace(FULL, last_write=NOW + DAY)
    changed = assess([quiet, busy], Stack("s", "e"), facts, Accepted(), now=clock)
    assert [risk.code for risk in changed[0].risks] == ["K405"]
    assert "clock is behind" in changed[0].risks[0].summary


def test_what_brokers_delete_no_undo_brings_back() -> None:
    change = assessed(update(topic(retention_ms=str(7 * DAY)), topic(retention_ms=str(DAY))), FULL)
    assert (change.undo.complete, change.undo.why) == (False, "records that are deleted meanwhile stay deleted")
    grown = replace(update(topic(retention_ms=str(7 * DAY)), replace(topic(retention_ms=str(DAY)), partitions=6)),
                    undo=Undo("restore", False, "partitions cannot be taken away"))  # fmt: skip
    assert "partitions cannot be taken away; records" in assessed(grown, FULL).undo.why


# -- other settings of topics -----------------------------------------------------------------------------------------
def test_keys_move_where_there_are_any() -> None:
    change = update(topic(), replace(topic(), partitions=6))
    assert codes(change, FULL) == codes(change, UNREAD) == ["K411"]
    assert codes(change, EMPTY) == []
    readers = replace(FULL, readers=(Reader("billing", 0), Reader("connect-lake", 0)), sinks=("lake",))
    assert only(change, readers).summary.endswith("Readers: billing, sink connector lake.")
    compact = topic(cleanup_policy="compact")
    assert "Compaction then keeps the old one" in only(update(compact, replace(compact, partitions=6)), FULL).summary


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (topic(min_insync_replicas="2"), topic(min_insync_replicas="1"), ["K409"]),
        (topic(min_insync_replicas="2"), topic(), ["K409"]),
        (topic(min_insync_replicas="1"), topic(min_insync_replicas="2"), []),
        (topic(), replace(topic(), replication_factor=2), ["K409"]),
        (topic(), replace(topic(), replication_factor=4), []),
        (topic(), topic(unclean_leader_election_enable="true"), ["K409"]),
        (topic(), topic(min_insync_replicas="3"), ["K412"]),
        (topic(min_insync_replicas="3"), topic(min_insync_replicas="3", preallocate="true"), []),
    ],
)
def test_less_safe_records_and_no_spare_replica(before: Topic, after: Topic, expected: list[str]) -> None:
    change = update(before, after)
    assert codes(change) == expected
    assert not wants_facts(change)


def test_a_new_topic_without_a_spare_replica_is_a_caution() -> None:
    made = topic(min_insync_replicas="3")
    assert codes(Change(made.address, Action.CREATE, None, made)) == ["K412"]
    assert codes(Change(made.address, Action.CREATE, None, replace(made, replication_factor=-1))) == []


# -- connectors -------------------------------------------------------------------------------------------------------
@pytest.mark.parametrize(
    ("key", "before", "after", "expected"),
    [
        ("slot.name", "a", "b", "K408"),
        ("database.dbname", "a", "b", "K408"),
        ("schema.history.internal.kafka.topic", "a", "b", "K408"),
        ("database.server.id", "1", "2", "K418"),
        ("snapshot.mode", "initial", "no_data", "K416"),
        ("snapshot.mode", "initial", "recovery", "K416"),
        ("snapshot.mode", "initial", "always", "K408"),
        ("snapshot.mode", "initial", "initial_only", "K408"),
        ("snapshot.mode", "initial", "custom", "K408"),
        ("snapshot.mode", "always", "initial", "K416"),
        ("publication.name", "a", "b", "K415"),
        ("decimal.handling.mode", "precise", "string", "K414"),
        ("table.include.list", "public\\.a", "public\\.a,public\\.b", "K421"),
        ("table.include.list", "public\\.a,public\\.b", "public\\.a", "K422"),
        ("table.exclude.list", "public\\.a,public\\.b", "public\\.a", "K421"),
        ("table.exclude.list", "public\\.a", "public\\.a,public\\.b", "K422"),
        ("collection.include.list", "db.a", "db.a,db.b", "K421"),
        ("table.include.list", None, "public\\.a", "K422"),
        ("table.include.list", "public\\.a", None, "K421"),
        ("table.include.list", "public\\.a,public\\.b", "public\\.b,public\\.a", ""),
        ("max.batch.size", "1", "2", ""),
    ],
)
def test_a_changed_setting_of_a_connector(key: str, before: str | None, after: str | None, expected: str) -> None:
    old, new = ({} if value is None else {key: value} for value in (before, after))
    change = update(Connector("c", old), Connector("c", new))
    assert codes(change) == ([expected] if expected else [])
    assert codes(replace(change, action=Action.MOVE)) == ([expected] if expected else [])


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (r"(?!(?:a\.s)$)(?:a\..*)", r"(?!(?:a\.s|a\.logs)$)(?:a\..*)", "changes of a.logs are no longer captured"),
        (r"(?!(?:a\.s|a\.logs)$)(?:a\..*)", r"(?!(?:a\.s)$)(?:a\..*)", "rows already in a.logs are not captured"),
        (r"(?!(?:a\.s)$)(?:a\..*)", r"a\.z", r"changes of a\..* without a.s are no longer captured"),
        (r"a\.t{1\,3},a\.b", r"a\.b", "changes of a\\.t{1,3} are no longer captured"),
    ],
)
def test_a_pattern_that_changes_says_what_really_comes_and_goes(before: str, after: str, said: str) -> None:
    change = update(Connector("c", {"table.include.list": before}), Connector("c", {"table.include.list": after}))
    (risk,) = assessed(change).risks
    assert risk.summary.startswith(said)


def test_a_list_of_tables_says_which_come_and_which_go() -> None:
    change = update(
        Connector("c", {"table.include.list": "public\\.a,public\\.b"}),
        Connector("c", {"table.include.list": "public\\.b,public\\.c"}),
    )
    assert [risk.summary for risk in assessed(change).risks] == [
        "rows already in public.c are not captured; send an execute-snapshot signal",
        "changes of public.a are no longer captured",
    ]


def test_a_deleted_connector_says_what_outlives_it() -> None:
    java_class = {"connector.class": "io.debezium.connector.postgresql.PostgresConnector"}
    said = only(delete(Connector("c", {**java_class, "slot.name": "s"}))).summary
    assert said.startswith("its offsets are deleted too")
    assert "pg_drop_replication_slot('s')" in said
    assert only(delete(Connector("c"), options=ConnectorOptions(keep_offsets=True))).summary == "its offsets stay"


def test_a_new_connector_that_goes_on_from_old_offsets_leaves_them_when_it_is_undone() -> None:
    from kplan.planning.undo import inverse

    connector = Connector("c", {"connector.class": "X"})
    change = Change(connector.address, Action.CREATE, None, connector, undo=Undo("delete", True))
    assert codes(change) == []
    found = assessed(change, leftover="run 1 deleted one with `keep_offsets`")
    assert [risk.code for risk in found.risks] == ["K420"]
    back = inverse(found)
    assert (
        back is not None
        and connector_options(back).keep_offsets
        and not connector_options(inverse(change)).keep_offsets
    )  # type: ignore[union-attr]


# -- accepting --------------------------------------------------------------------------------------------------------
def test_a_danger_is_accepted_by_its_kind_in_the_stack_or_by_name_for_one_run() -> None:
    removed = Stack("s", "e", removed=(Removal(topic().address, frozenset({"data-loss"})),))
    assert only(delete(topic()), FULL, stack=removed).accepted == "stack"
    assert only(delete(topic()), FULL, accept=("delete:topic/t",)).accepted == "flag"
    assert only(delete(topic()), FULL, accept=("delete:topic/*",)).accepted == "flag"
    assert only(delete(topic()), FULL, accept=("change:topic/t", "delete:topic/u", "topic/t")).accepted is None
    other = Stack("s", "e", removed=(Removal(topic().address, frozenset({"readers"})),))
    assert only(delete(topic()), FULL, stack=other).blocks


def test_one_kind_does_not_accept_another() -> None:
    change = replace(delete(topic(), reason="orphan"))
    found = assessed(change, FULL, stack=Stack("s", "e", removed=(Removal(topic().address, frozenset({"data-loss"})),)))
    assert {risk.code: risk.blocks for risk in found.risks} == {"K401": False, "K404": True}


def test_accept_stands_on_the_resource_that_changes() -> None:
    rules = Rules(accept=frozenset({"durability"}))
    change = update(topic(min_insync_replicas="2"), replace(topic(min_insync_replicas="1"), rules=rules))
    assert only(change).accepted == "stack"
    assert accept_name(change) == "change:topic/t"


def test_cautions_and_notes_never_block_and_name_nothing_to_accept() -> None:
    for change in (update(topic(), replace(topic(), partitions=6)), delete(Connector("c"))):
        risk = only(change, FULL)
        assert (risk.blocks, risk.accept, risk.kind) == (False, "", "")


def test_a_danger_that_has_come_since_the_plan_was_made() -> None:
    planned = assessed(delete(topic()), EMPTY)
    assert [risk.code for risk in new_dangers(planned, FULL, NOW)] == ["K401"]
    assert new_dangers(planned, EMPTY, NOW) == []
    shrink = assessed(update(topic(retention_ms=str(7 * DAY)), topic(retention_ms=str(4 * DAY))), FULL)
    assert new_dangers(shrink, FULL, NOW) == []
    assert [risk.code for risk in new_dangers(shrink, FULL, NOW + 2 * DAY)] == ["K405"]


# -- facts ------------------------------------------------------------------------------------------------------------
@pytest.fixture
def cluster(tmp_path: Path) -> Cluster:
    return Cluster.of(SimulatedTopics(tmp_path / "sim.db"), SimulatedConnectors(tmp_path / "sim.db"))


def live(*connectors: Connector) -> Live:
    return Live(resources={connector.address: connector for connector in connectors})


def test_sinks_are_those_that_read_the_topic_after_the_plan(cluster: Cluster) -> None:
    made = Change(topic().address, Action.CREATE, None, topic())
    assert cluster.topics.act([made], {})[topic().address].ok
    stays, goes = Connector("stays", reads=("t",)), Connector("goes", reads=("t",))
    turns, comes = Connector("turns", reads=("t",)), Connector("comes", reads=("u",))
    world = live(stays, goes, turns, comes, Connector("pattern", {"topics.regex": "t|u"}),
                 Connector("other", {"topics.regex": "tt.*"}), Connector("java", {"topics.regex": "(?<!x)\\p{L}++"}),
                 Connector("source", feeds=("t",)))  # fmt: skip
    changes = [delete(topic()), delete(goes), update(turns, Connector("turns", {"a": "b"}, reads=("u",))),
               update(comes, Connector("comes", {"a": "b"}, reads=("t",)))]  # fmt: skip
    found = facts.read(cluster, world, changes, [topic().name])[topic().address]
    assert found.sinks == ("stays", "comes", "pattern", "java")


def test_the_group_of_a_sink_that_the_changes_end_is_no_reader(cluster: Cluster) -> None:
    own = {"topics": "t", "consumer.override.group.id": "mine"}
    ends = {
        "goes": Connector("goes", {"topics": "t"}, reads=("t",)),
        "named": Connector("named", own, reads=("t",)),
        "moves": Connector("moves", {"topics": "t"}, reads=("t",)),
        "stops": Connector("stops", {"topics": "t"}, reads=("t",)),
        "turns": Connector("turns", {"topics": "t"}, reads=("t",)),
        "pattern": Connector("pattern", {"topics.regex": "t|u"}),
    }
    stays = Connector("stays", {"topics": "t"}, reads=("t",))
    assert cluster.topics.act([Change(topic().address, Action.CREATE, None, topic())], {})[topic().address].ok
    groups = [f"connect-{name}" for name in (*ends, "stays")] + ["mine", "connect-elsewhere"]
    for group in groups:
        SimulatedTopics(cluster.topics.file.path).subscribe(group, "t")  # type: ignore[attr-defined]
    moved = Connector("moved", {"topics": "u"}, reads=("u",))
    changes = [
        delete(topic()), delete(ends["goes"]), delete(ends["named"]), delete(ends["pattern"]),
        Change(moved.address, Action.MOVE, ends["moves"], moved),
        update(ends["stops"], replace(ends["stops"], state="stopped")),
        update(ends["turns"], Connector("turns", {"topics": "u"}, reads=("u",))),
    ]  # fmt: skip
    found = facts.read(cluster, live(stays, *ends.values()), changes, [topic().name])[topic().address]
    assert found.sinks == ("stays",)
    # `named` reads as group `mine`, so another program may be the member of connect-named
    assert {reader.group for reader in found.readers} == {"connect-named", "connect-stays", "connect-elsewhere"}


def test_a_group_that_a_sink_that_stays_shares_is_still_a_reader(cluster: Cluster) -> None:
    shared = {"topics": "t", "consumer.override.group.id": "shared"}
    goes, stays = Connector("goes", shared, reads=("t",)), Connector("stays", shared, reads=("t",))
    assert cluster.topics.act([Change(topic().address, Action.CREATE, None, topic())], {})[topic().address].ok
    SimulatedTopics(cluster.topics.file.path).subscribe("shared", "t")  # type: ignore[attr-defined]
    changes = [delete(topic()), delete(goes)]
    found = facts.read(cluster, live(goes, stays), changes, [topic().name])[topic().address]
    assert [reader.group for reader in found.readers] == ["shared"] and found.sinks == ("stays",)


def test_a_simulated_sink_has_the_group_of_a_real_one(cluster: Cluster) -> None:
    sink = Connector("lake", {"connector.class": "FileStreamSink", "topics": "t"}, reads=("t",))
    named = Connector("own", {**sink.config, "consumer.override.group.id": "mine"}, "stopped", reads=("t",))
    assert cluster.connectors is not None
    for change in (Change(r.address, Action.CREATE, None, r) for r in (topic(), sink, named)):
        backend = cluster.topics if change.address.kind == "topic" else cluster.connectors
        assert backend.act([change], {})[change.address].ok
    found = cluster.topics.facts(["t"])[topic().address]
    assert found.readers == (Reader("connect-lake", 0, True), Reader("mine", 0, False))


def test_facts_are_read_for_what_is_asked_alone(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr(cluster.topics, "facts", lambda names: asked.append(names) or {})
    assert facts.read(cluster, live(), [delete(topic())], []) == {}
    assert asked == []


def test_a_failure_to_read_facts_is_a_danger_and_says_why(cluster: Cluster, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(names: object) -> None:
        raise Unreachable("no broker answers")

    change = delete(topic())
    assert (
        facts.read(cluster, live(), [change], [change.address.name])[change.address].unknown["records"]
        == "it is not listed"
    )
    monkeypatch.setattr(cluster.topics, "facts", fail)
    found = facts.read(cluster, live(), [change], [change.address.name])[change.address]
    assert found.unknown == {"records": "no broker answers", "readers": "no broker answers"}
    assert only(change, found).code == "K401"


def test_the_whole_name_must_match_a_sinks_pattern() -> None:
    assert sinks.reads(Connector("s", {"topics.regex": "cdc\\..*"}), "cdc.orders")
    assert not sinks.reads(Connector("s", {"topics.regex": "cdc"}), "cdc.orders")
    assert not sinks.reads(Connector("s", {}, feeds=("t",)), "t")


def test_what_changes_the_ledger_alone_is_no_risk() -> None:
    change = Change(topic().address, Action.ADOPT, topic(), topic(), (AttrDiff("/protect", False, True),))
    assert codes(change) == []
    assert not wants_facts(change)
