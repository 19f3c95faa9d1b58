"""What is said of a database before a connector is made, or captures more: judged from what a look found."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from kplan.diagnostics import Diagnostic, Span
from kplan.kinds.connector.debezium.binlog import BinlogState
from kplan.kinds.connector.debezium.discovery import login
from kplan.kinds.connector.debezium.engine import DatabaseState, Relation
from kplan.kinds.connector.debezium.engines.postgres import PostgresState, Publication, Slot
from kplan.kinds.connector.debezium.readiness import ask, count_new_slots, problems, wants
from kplan.model import Action, Address, AttrDiff, Change, Connector, Origin, Secret, Target
from kplan.planning.source_check import look
from kplan.servers.base import Cluster
from kplan.servers.databases import mysql
from kplan.servers.databases.base import unreachable_error

PG, MARIA = "postgresql.PostgresConnector", "mariadb.MariaDbConnector"
PLACES = {f"/tables/public.{name}": Span("shop.yaml", line) for line, name in enumerate(("orders", "customers"), 7)}


def connector(kind: str = PG, **more: str | Secret) -> Connector:
    config: dict[str, str | Secret] = {
        "connector.class": f"io.debezium.connector.{kind}", "database.hostname": "db", "database.user": "cdc",
        "database.password": Secret("{{ var.p }}", "x"), "database.dbname": "shop", "plugin.name": "pgoutput",
        "slot.name": "shop", "publication.name": "shop", "publication.autocreate.mode": "filtered",
        "table.include.list": r"public\.orders,public\.customers", "snapshot.mode": "initial",
    }  # fmt: skip
    config |= {key.replace("__", "."): value for key, value in more.items()}
    return Connector("feed", config, origin=Origin(Span("shop.yaml", 3), PLACES))


def created(kind: str = PG, **more: str | Secret) -> Change:
    one = connector(kind, **more)
    return Change(one.address, Action.CREATE, None, one)


def grown() -> Change:
    before, after = connector(table__include__list=r"public\.orders"), connector()
    key = "table.include.list"
    diff = AttrDiff(f"/config/{key}", before.config[key], after.config[key])
    return Change(after.address, Action.UPDATE, before, after, (diff,))


def said(change: Change, found: DatabaseState, coming: int = 1) -> list[Diagnostic]:
    assert wants(change) and isinstance(change.after, Connector)
    return list(problems(ask(change, change.after, login(change.after)), found, coming))


def postgres(*names: str, **more: Any) -> PostgresState:
    return PostgresState(
        tuple(Relation(f"public.{name}") for name in names or ("orders", "customers", "other")), **more
    )


def but(found: PostgresState, table: str, **more: bool) -> PostgresState:
    return replace(found, relations=tuple(replace(r, **more) if r.name == table else r for r in found.relations))


GOOD = postgres()
BOTH = frozenset({"public.orders", "public.customers"})
NOT_OWNED = but(GOOD, "public.customers", owned=False)


def test_nothing_is_said_of_a_database_that_is_ready() -> None:
    assert said(created(), GOOD) == [] and said(grown(), GOOD) == []


@pytest.mark.parametrize(
    ("found", "config", "code", "words", "line"),
    [
        (postgres("orders"), {}, "K322", "public.customers is not in the PostgreSQL database shop", 8),
        (but(GOOD, "public.orders", readable=False), {}, "K322", "GRANT SELECT ON public.orders TO cdc;", 7),
        (GOOD, {"signal__data__collection": "public.signals"}, "K322", "CREATE TABLE public.signals", 3),
        (NOT_OWNED, {}, "K323", "cdc does not own public.customers", 8),
        (postgres(creates=False), {}, "K323", "GRANT CREATE ON DATABASE shop TO cdc;", 3),
        (GOOD, {"publication__autocreate__mode": "all_tables"}, "K323", "not a superuser", 3),
        (postgres(replicates=False), {}, "K323", "ALTER ROLE cdc REPLICATION;", 3),
        (postgres(publication=Publication(owned=False)), {}, "K323", "does not own publication shop", 3),
        (postgres(wal_level="replica"), {}, "K324", "wal_level of db:5432 is replica", 3),
        (postgres(slots=(10, 10)), {}, "K324", "10 of 10 replication slots in use", 3),
        (postgres(senders=(4, 4)), {}, "K324", "max_wal_senders", 3),
        (postgres(slot=Slot("shop", "pgoutput", True)), {}, "K324", "slot shop is in use", 3),
        (postgres(slot=Slot("elsewhere", "pgoutput")), {}, "K324", "slot shop is of database elsewhere", 3),
        (postgres(slot=Slot("shop", "wal2json")), {}, "K324", "made for plugin wal2json", 3),
        (GOOD, {"publication__autocreate__mode": "disabled"}, "K324",
         "CREATE PUBLICATION shop FOR TABLE public.orders, public.customers;", 3),
        (postgres(publication=Publication(True)), {}, "K324", "publication shop is for all tables", 3),
    ],
)  # fmt: skip
def test_what_keeps_a_connector_from_working(
    found: PostgresState, config: dict[str, str], code: str, words: str, line: int
) -> None:
    (problem,) = said(created(**config), found)
    assert problem.is_error and problem.code == code and words in f"{problem.detail} {problem.help}"
    assert problem.span and problem.span.line == line and problem.address == "connector/feed"


@pytest.mark.parametrize(
    ("found", "config", "words"),
    [
        (postgres(publication=Publication(tables=frozenset({"public.orders"}))),
         {"publication__autocreate__mode": "disabled"}, "ALTER PUBLICATION shop ADD TABLE public.customers;"),
        (but(GOOD, "public.customers", identified=False), {}, "PostgreSQL refuses every UPDATE and DELETE"),
        (but(GOOD, "public.customers", unlogged=True), {}, "SET LOGGED;"),
    ],
)  # fmt: skip
def test_what_would_be_lost_is_a_warning(found: PostgresState, config: dict[str, str], words: str) -> None:
    (problem,) = said(created(**config), found)
    assert not problem.is_error and problem.code == "K325" and words in f"{problem.detail} {problem.help}"
    assert problem.span and problem.span.line == 8


@pytest.mark.parametrize(
    ("found", "config"),
    [
        (replace(NOT_OWNED, publication=Publication(tables=BOTH)), {}),  # the connector leaves it as it is
        (replace(NOT_OWNED, publication=Publication(True)), {"publication__autocreate__mode": "disabled"}),
        (replace(NOT_OWNED, standby=True), {}),
        (NOT_OWNED, {"plugin__name": "decoderbufs"}),
        (but(GOOD, "public.orders", readable=False), {"snapshot__mode": "no_data"}),
        (but(GOOD, "public.customers", identified=False), {"replica__identity__autoset__values": "x:FULL"}),
        (postgres(slot=Slot("shop", "pgoutput"), slots=(10, 10)), {}),
        (postgres(superuser=True), {"publication__autocreate__mode": "all_tables"}),
    ],
)
def test_what_does_no_harm(found: PostgresState, config: dict[str, str]) -> None:
    assert said(created(**config), found) == []


def test_of_a_connector_that_gets_more_tables_only_those_count() -> None:
    busy = Slot("shop", "pgoutput", True)
    found = but(postgres("orders", slot=busy), "public.orders", readable=False, identified=False, unlogged=True)
    (problem,) = said(grown(), found)
    assert "public.customers is not in" in problem.detail, "its own slot is in use, and what it had before may be gone"
    assert [d.code for d in said(grown(), but(GOOD, "public.orders", owned=False))] == ["K323"], "but one stops all"


def test_connectors_that_want_the_last_slot_are_told_so() -> None:
    one, other = created(), created(slot__name="other")
    asks = {Address("connector", n): ask(c, connector(), login(connector())) for n, c in (("a", one), ("b", other))}
    nearly = postgres(slots=(9, 10))
    wanted = count_new_slots(asks, dict.fromkeys(asks, nearly))
    assert wanted == {("db", 5432): 2} and [d.code for d in said(one, nearly, 2)] == ["K324"]


def test_of_very_many_tables_some_are_told_and_the_rest_counted() -> None:
    names = [f"t{n}" for n in range(50)]
    change = created(table__include__list=",".join(rf"public\.{name}" for name in names))
    told = said(change, postgres("other", *names[:1]))
    assert len(told) == 20 and told[-1].detail.endswith("and 29 more like it")


READY = {"log_bin": "ON", "binlog_format": "ROW", "binlog_row_image": "FULL", "server_id": "1"}
TABLE = (Relation("shop.orders"),)


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (BinlogState(TABLE, READY | {"log_bin": "OFF"}), "log_bin of db:3306 is OFF"),
        (BinlogState(TABLE, READY | {"binlog_format": "MIXED"}), "SET GLOBAL binlog_format = ROW;"),
        (BinlogState(TABLE, READY | {"binlog_row_image": "MINIMAL"}), "binlog_row_image of db:3306 is MINIMAL"),
        (BinlogState(TABLE, READY | {"server_id": "0"}), "refuses replicas"),
        (BinlogState(TABLE, READY | {"server_id": "5401"}), "5401 is the server's own"),
        (BinlogState(TABLE, READY, ("REPLICATION SLAVE",)), "GRANT REPLICATION SLAVE ON *.* TO cdc;"),
        (BinlogState((), READY), "shop.orders is not in the MariaDB"),
        (BinlogState((Relation("shop.orders", readable=False),), READY), "GRANT SELECT ON shop.orders TO cdc;"),
    ],
)
def test_what_a_binary_log_must_be_like(found: BinlogState, words: str) -> None:
    change = created(MARIA, table__include__list=r"shop\.orders", database__server__id="5401")
    assert said(change, BinlogState(TABLE, READY)) == []
    (problem,) = said(change, found)
    assert problem.is_error and words in f"{problem.detail} {problem.help}"


@pytest.mark.parametrize(
    ("grants", "missing"),
    [
        (["GRANT SELECT, REPLICATION SLAVE, REPLICATION CLIENT ON *.* TO `cdc`@`%`"], ()),
        (["GRANT SELECT, REPLICATION SLAVE, BINLOG MONITOR ON *.* TO `cdc`@`%`"], ()),
        (["GRANT ALL PRIVILEGES ON *.* TO `cdc`@`%`"], ()),
        (["GRANT USAGE ON *.* TO `cdc`@`%`", "GRANT ALL PRIVILEGES ON `shop`.* TO `cdc`@`%`"],
         ("REPLICATION SLAVE", "REPLICATION CLIENT")),
        (["GRANT SELECT, BINLOG MONITOR ON *.* TO `cdc`@`%`"], ("REPLICATION SLAVE",)),
        (["GRANT `replicas` TO `cdc`@`%`", "GRANT USAGE ON *.* TO `cdc`@`%`"], ()),
    ],
)  # fmt: skip
def test_rights_that_no_grant_gives(grants: list[str], missing: tuple[str, ...]) -> None:
    assert mysql._find_missing_rights(grants) == missing


# -- what is looked into ----------------------------------------------------------------------------------------------
class Answers:
    """Databases that say what they are told to."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def read_states(self, asks: Any) -> Any:
        return {address: self.answer(each) for address, each in asks.items()}


def cluster(answer: Any) -> Cluster:
    return Cluster.of(databases=Answers(answer))  # type: ignore[arg-type]


TARGET = Target(connect_url="http://connect:8083")


def test_a_database_that_cannot_be_asked_is_no_problem() -> None:
    silent = cluster(lambda each: unreachable_error(each.login, "no route"))
    looked = look(silent, [created()], TARGET)
    assert not looked.diagnostics
    (check,) = looked.checks
    assert (check.connector, check.checked, check.why) == ("feed", False, "db:5432 does not answer")
    good = cluster(lambda each: GOOD)
    for config, why in (
        ({"database__password": "${file:/run/db:password}"}, "password is not known here"),
        ({"database__hostname": "${env:DB}"}, "address or user is not known here"),
        ({"database__hostname": "localhost"}, "localhost is the Connect worker's"),
        ({"table__include__list": "("}, "address or user"),
    ):
        (check,) = look(good, [created(**config)], TARGET).checks
        assert not check.checked and why in check.why, check
    assert (
        look(good, [created(database__hostname="127.0.0.1")], Target(connect_url="http://localhost:8083"))
        .checks[0]
        .checked
    )


def test_only_what_is_new_is_looked_into() -> None:
    one = connector()
    resting = Change(one.address, Action.UPDATE, one, one, (AttrDiff("/state", "running", "paused"),))
    gone = Change(one.address, Action.DELETE, one, None)
    sink = Change(one.address, Action.CREATE, None, Connector("out", {"connector.class": "org.example.Sink"}))
    assert not any(map(wants, (resting, gone, sink)))
    assert look(cluster(lambda each: GOOD), [resting, gone, sink], TARGET).checks == ()
