"""What is dropped with a connector: who asks for it, what of it there is, and what stands in the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from kplan.diagnostics import Busy, KplanError
from kplan.kinds.codec import change_from_json, change_to_json
from kplan.kinds.connector.debezium.discovery import login, login_from_here
from kplan.kinds.connector.debezium.drops import (
    choose_drops,
    explain_refusal,
    find_drop_problems,
    hindrances,
    is_word,
    problems,
    secret_names,
    statements,
    with_drops,
    with_login,
)
from kplan.kinds.connector.debezium.engine import DatabaseQuestion
from kplan.kinds.connector.debezium.engines.postgres import PostgresState, Publication, Slot
from kplan.kinds.connector.options import ConnectorOptions, connector_options, drops_of
from kplan.kinds.risks import RiskContext
from kplan.model import Action, Address, Change, Connector, Live, Owned, Removal, Rules, Secret, Stack, Target
from kplan.planning.document import judge
from kplan.planning.order import Step, order
from kplan.planning.risk import Accepted, assess_change
from kplan.planning.undo import decide_undo, inverse
from kplan.servers.connect.drops import Drops

PG, MARIA, SQL = "postgresql.PostgresConnector", "mariadb.MariaDbConnector", "sqlserver.SqlServerConnector"
BOTH = frozenset({"slot", "publication"})
NAMES = ("slot shop", "publication shop")
CANARY = "hidden-Canary-44"


def connector(
    kind: str = PG, name: str = "feed", drop: frozenset[str] = frozenset(), **more: str | Secret
) -> Connector:
    config: dict[str, str | Secret] = {
        "connector.class": f"io.debezium.connector.{kind}", "database.hostname": "db", "database.user": "cdc",
        "database.password": Secret("", CANARY), "database.dbname": "shop", "plugin.name": "pgoutput",
        "slot.name": "shop", "publication.name": "shop",
    }  # fmt: skip
    config |= {key.replace("__", "."): value for key, value in more.items()}
    return Connector(name, config, rules=Rules(drop=drop))


def deleted(one: Connector, **more: Any) -> Change:
    return Change(one.address, Action.DELETE, one, None, **more)


NOTHING, NOWHERE = Stack("s", ""), Live()


def planned(
    change: Change, stack: Stack = NOTHING, asked: frozenset[str] = BOTH, live: Live = NOWHERE
) -> tuple[Change, list[str]]:
    made = with_drops(change, stack, asked)
    made = replace(made, undo=decide_undo(made, live.target)) if drops_of(made) else made
    return made, find_problems([made], stack, live, asked)


def find_problems(changes: Sequence[Change], stack: Stack, live: Live, asked: frozenset[str]) -> list[str]:
    """Return the codes of what is wrong with the drops of the first change, planned together with the others."""
    made = with_drops(changes[0], stack, asked)
    return [problem.code for problem in find_drop_problems(made, stack, live, asked, changes)]


@pytest.mark.parametrize(
    ("kind", "config", "asked", "expected"),
    [
        (PG, {}, BOTH, NAMES),
        (PG, {}, {"slot"}, ("slot shop",)),
        (PG, {"publication__autocreate__mode": "disabled"}, BOTH, ("slot shop",)),
        (PG, {"publication__autocreate__mode": "disabled"}, {"publication=shop"}, ("publication shop",)),
        (PG, {"plugin__name": "decoderbufs"}, BOTH, ("slot shop",)),
        (PG, {"slot__drop__on__stop": "true"}, BOTH, ("publication shop",)),
        (MARIA, {}, BOTH, ()),
    ],
)  # fmt: skip
def test_what_there_is_to_drop(kind: str, config: dict[str, str], asked: set[str], expected: tuple[str, ...]) -> None:
    assert choose_drops(connector(kind, **config), asked) == expected


def test_words_and_statements() -> None:
    assert all(map(is_word, ("slot", "publication", "publication=Shop-1")))
    assert not any(map(is_word, ("slots", "publication=", "table", "")))
    assert statements(("slot shop", "publication Shop-1")) == (
        "SELECT pg_drop_replication_slot('shop'); DROP PUBLICATION \"Shop-1\";"
    )


def test_what_kplan_cannot_drop_is_refused() -> None:
    assert "kplan drops nothing" in explain_refusal(connector(SQL), {"slot"}) and not explain_refusal(
        connector(SQL), ()
    )
    assert "which is shop" in explain_refusal(connector(), {"publication=other"})
    assert not explain_refusal(connector(MARIA), BOTH)
    declared = [connector(SQL, drop=BOTH), connector(drop=BOTH), connector(MARIA, "other", BOTH)]
    assert [problem.code for problem in problems(declared)] == ["K240"]


def test_who_asks() -> None:
    one = connector()
    owner = Owned(one.address, "s", "", True, applied=connector(drop=frozenset({"slot"})))
    assert connector_options(planned(deleted(one))[0]).drops == NAMES, "the command line"
    assert connector_options(planned(deleted(one, owner=owner), asked=frozenset())[0]).drops == ("slot shop",), (
        "the ledger"
    )
    entry = Stack("s", "", removed=(Removal(one.address, drop=frozenset({"publication"})),))
    assert connector_options(planned(deleted(one, owner=owner), entry, frozenset())[0]).drops == (
        "publication shop",
    ), "the entry"
    declared = Stack("s", "", {one.address: connector(drop=BOTH)})
    assert connector_options(planned(deleted(one, owner=owner), declared, frozenset())[0]).drops == NAMES, (
        "destroy, with the block there"
    )
    again = Change(one.address, Action.REPLACE, one, connector(drop=BOTH))
    assert connector_options(planned(again, asked=frozenset())[0]).drops == NAMES
    updated = Change(one.address, Action.UPDATE, one, one)
    assert planned(updated)[0] == updated, "nothing else drops anything"


def test_for_all_connectors_only_those_are_meant_that_have_something() -> None:
    sink = Connector("out", {"connector.class": "org.example.Sink"})
    assert planned(deleted(sink)) == (deleted(sink), [])
    assert connector_options(planned(deleted(connector()), asked=frozenset({"publication=other"}))[0]).drops == ()
    assert planned(deleted(connector(SQL)))[1] == ["K240"]
    said, told = planned(deleted(connector(MARIA)))
    assert not told and "nothing to drop" in said.options.effects[0] and said.undo == deleted(connector()).undo


def test_contradictions() -> None:
    one, other = connector(), connector(name="other")
    assert planned(deleted(one, options=ConnectorOptions(keep_offsets=True)))[1] == ["K242"]
    assert planned(deleted(one), live=Live(resources={one.address: one, other.address: other}))[1] == ["K241"]


def test_other_stacks_of_the_same_plan_count_as_they_are_to_become() -> None:
    one, other = connector(), connector(name="other")
    there = Live(resources={one.address: one, other.address: other})
    gone = [deleted(one), deleted(other)]
    assert find_problems(gone, NOTHING, there, BOTH) == []
    new = [gone[0], Change(other.address, Action.CREATE, None, other)]
    assert find_problems(new, NOTHING, Live(resources={one.address: one}), BOTH) == ["K241"]
    elsewhere = connector(name="other", database__dbname="archive")
    assert planned(deleted(one), live=Live(resources={other.address: elsewhere}))[1] == []


def test_it_stands_below_the_line_and_says_what_stays() -> None:
    made, _ = planned(deleted(connector(signal__data__collection="public.signals")))
    assert made.irreversible and "then drops slot shop and publication shop" in made.options.effects[0]
    risky = assess_change(made, NOTHING, RiskContext(), Accepted(), Target())
    codes = {risk.code: risk.summary for risk in risky.risks}
    assert "slot shop, publication shop" in codes["K423"]
    assert "DROP TABLE public.signals" in codes["K413"] and "pg_drop" not in codes["K413"]
    topic = Change(Address("topic", "x"), Action.DELETE)
    assert [s.change.address.kind for s in order([topic, made])] == ["connector", "topic"]
    assert connector_options(change_from_json(change_to_json(made, 1, 1))).drops == NAMES


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (PostgresState(), []),
        (PostgresState(slot=Slot("shop", "pgoutput", True), publication=Publication()), []),
        (PostgresState(slot=Slot("shop", "pgoutput"), replicates=False), ["cdc has no REPLICATION"]),
        (PostgresState(slot=Slot("other", "pgoutput")), ["of database other"]),
        (PostgresState(publication=Publication(owned=False)), ["does not own publication shop"]),
    ],
)
def test_what_hinders_it(found: PostgresState, words: list[str]) -> None:
    made, _ = planned(deleted(connector()))
    told = hindrances(made, DatabaseQuestion(connector(), login(connector())), found)
    assert len(told) == len(words) and all(w in d.detail for w, d in zip(words, told, strict=True))
    assert all(d.code == "K326" and "pg_drop_replication_slot('shop')" in d.help for d in told)


# -- doing it ---------------------------------------------------------------------------------------------------------
class Database:
    """PostgreSQL as far as a drop asks it; busy for a while."""

    def __init__(self, busy: int = 0, error: KplanError | None = None) -> None:
        self.busy, self.error, self.has = busy, error, list(NAMES)

    def find_existing(self, login: Any, drops: Any) -> list[str]:
        if self.error:
            raise self.error
        return [each for each in drops if each in self.has]

    def drop(self, login: Any, drops: Any) -> None:
        if self.error:
            raise self.error
        if self.busy:
            self.busy -= 1
            raise Busy("slot shop is in use")
        self.has = [each for each in self.has if each not in drops]


def drops(database: Database, tries: int = 3) -> Drops:
    return Drops(database, "http://connect:8083", lambda test: any(test() for _ in range(tries)))  # type: ignore[arg-type]


def test_a_slot_that_is_still_held_is_waited_for() -> None:
    database = Database(busy=2)
    change = deleted(connector(), options=ConnectorOptions(drops=NAMES))
    assert drops(database).drop(change) == "slot shop and publication shop dropped" and database.has == []
    assert drops(database).drop(change), "once more does no harm"
    with pytest.raises(KplanError) as caught:
        drops(Database(busy=9)).drop(change)
    assert caught.value.code == "K517" and "is in use" in caught.value.message
    assert "SELECT pg_drop_replication_slot('shop'); DROP PUBLICATION shop;" in caught.value.help
    assert CANARY not in caught.value.message + caught.value.help


def test_a_connector_is_made_again_only_while_all_it_had_is_there() -> None:
    back = inverse(planned(deleted(connector()))[0])
    assert back is not None and back.action is Action.CREATE and back.reason == "undo"
    database = Database()
    assert drops(database).describe_missing(back) == ""
    database.has = ["publication shop"]
    assert "slot shop dropped" in drops(database).describe_missing(back)
    assert "is not known" in drops(Database(error=KplanError("away"))).describe_missing(back)
    unknown = replace(back, after=connector(database__password=Secret("{{ var.p }}")))
    assert "has no value here" in drops(database).describe_missing(unknown)


def test_localhost_of_another_machine_is_not_this_one() -> None:
    one = connector(database__hostname="localhost")
    assert login_from_here(one, "http://me@localhost:8083").host == "localhost"
    with pytest.raises(KplanError, match="not this machine"):
        login_from_here(one, "https://connect:8083,https://localhost:8083")


# -- a run that was interrupted, or is of a file ----------------------------------------------------------------------
def test_a_deletion_that_was_cut_off_is_done_again_for_its_drop() -> None:
    made, _ = planned(deleted(connector()))
    step = Step(1, 1, made)
    for answered, done in (({}, False), ({1: False}, False), ({1: True}, True)):
        (judged,), moved = judge([step], Live(), {}, "s", answered)
        assert not moved and judged.done is done
    (judged,), _ = judge([replace(step, change=replace(made, options=ConnectorOptions(drops=())))], Live(), {}, "s")
    assert judged.done, "without a drop there is nothing left to do"


def test_the_login_of_a_saved_plan_comes_from_the_variables_again() -> None:
    applied = connector(database__password=Secret("{{ var.p }}"))
    owner = Owned(applied.address, "s", "", True, applied=applied)
    made, _ = planned(deleted(connector(), owner=owner))
    saved = change_from_json(change_to_json(made, 1, 1))
    assert CANARY not in str(change_to_json(made, 1, 1)) and secret_names([saved]) == ("p",)
    filled = with_login(saved, {"p": CANARY})
    assert isinstance(filled.before, Connector) and login(filled.before).password == CANARY
    assert secret_names([made]) == () and with_login(made, {}) == made, "what is known is left as it is"


def test_a_database_out_of_reach_is_found_before_the_connector_is_deleted() -> None:
    change = deleted(connector(), options=ConnectorOptions(drops=NAMES))
    drops(Database()).refuse_unreachable(change)
    with pytest.raises(KplanError, match="nothing of it was deleted") as caught:
        drops(Database(error=KplanError("away"))).refuse_unreachable(change)
    assert caught.value.code == "K517" and caught.value.applied is False
