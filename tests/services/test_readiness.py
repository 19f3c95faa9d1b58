"""What a look into a real PostgreSQL and a real MariaDB finds of what a connector needs; no Kafka, no Connect."""

from __future__ import annotations

import pytest
from psycopg import sql

from kplan.diagnostics import KplanError, Unreachable
from kplan.kinds.connector.debezium.binlog import BinlogState
from kplan.kinds.connector.debezium.discovery import login
from kplan.kinds.connector.debezium.engine import DatabaseState, Relation
from kplan.kinds.connector.debezium.engines.postgres import PostgresState, Slot
from kplan.kinds.connector.debezium.readiness import ask, problems
from kplan.model import Action, Change, Connector
from kplan.servers.databases.looking import RealDatabases
from tests.services import MariaDB, Postgres
from tests.services.postgres import PostgresDatabase
from tests.services.process import free_port

PG, MARIA = "postgresql.PostgresConnector", "mariadb.MariaDbConnector"


def looked(kind: str, server: PostgresDatabase | MariaDB, **more: str) -> tuple[Change, DatabaseState | KplanError]:
    config = {
        "connector.class": f"io.debezium.connector.{kind}", "database.hostname": server.host, "plugin.name": "pgoutput",
        "database.port": str(server.port), "database.user": server.user, "database.password": server.password,
        "slot.name": "ready", "publication.name": "ready", "publication.autocreate.mode": "filtered",
    }  # fmt: skip
    one = Connector("feed", {**config, **{key.replace("__", "."): value for key, value in more.items()}})
    change = Change(one.address, Action.CREATE, None, one)
    return change, RealDatabases().read_states({one.address: ask(change, one, login(one))})[one.address]


def codes(kind: str, server: PostgresDatabase | MariaDB, **more: str) -> list[str]:
    change, found = looked(kind, server, **more)
    assert isinstance(change.after, Connector) and not isinstance(found, KplanError), found
    return [problem.code for problem in problems(ask(change, change.after, login(change.after)), found)]


def test_a_look_into_postgres(postgres: Postgres) -> None:
    database = postgres.database("ready")
    for statement in (
        "CREATE TABLE orders (id int PRIMARY KEY)",
        "CREATE TABLE bare (note text)",
        "CREATE TABLE whole (note text)",
        "ALTER TABLE whole REPLICA IDENTITY FULL",
        "CREATE UNLOGGED TABLE scratch (id int PRIMARY KEY)",
        "CREATE TABLE parted (id int PRIMARY KEY) PARTITION BY RANGE (id)",
    ):
        database.execute_as_user(statement)
    database.execute("CREATE TABLE foreigners (id int PRIMARY KEY)")

    def look(tables: str = r"public\.orders", **more: str) -> list[str]:
        return codes(PG, database, database__dbname="ready", table__include__list=tables, **more)

    _, found = looked(PG, database, database__dbname="ready")
    assert isinstance(found, PostgresState)
    tables = {relation.name.removeprefix("public."): relation for relation in found.relations}
    assert tables["orders"] == Relation("public.orders")
    assert not tables["bare"].identified and tables["whole"].identified
    assert tables["scratch"].unlogged and tables["parted"].partitioned
    foreign = tables["foreigners"]
    assert (foreign.readable, foreign.writable, foreign.owned, foreign.identified) == (False, False, False, True)
    assert (found.wal_level, found.replicates, found.superuser, found.creates, found.standby) == (
        "logical", True, False, True, False
    )  # fmt: skip
    assert found.slots[1] == 40 and found.publication is None and found.slot is None

    assert look() == [] and look(r"public\.gone,public\.orders") == ["K322"]
    assert look(r"public\.bare") == ["K325"]
    assert look(r"public\.foreigners") == ["K323", "K322"]
    assert look(publication__autocreate__mode="all_tables") == ["K323"]
    assert look(publication__autocreate__mode="disabled") == ["K324"]
    database.execute("CREATE PUBLICATION ready FOR TABLE foreigners")
    database.execute("GRANT SELECT ON foreigners TO cdc")
    assert look(r"public\.foreigners") == [], "it has the tables that are captured, so it is left as it is"
    assert look() == ["K323"]
    assert look(publication__autocreate__mode="disabled") == ["K325"]
    assert look(publication__autocreate__mode="no_tables", publication__name="made") == []
    database.execute("CREATE PUBLICATION everything FOR ALL TABLES")
    assert look(publication__name="everything") == ["K324"]
    assert look(publication__name="everything", publication__autocreate__mode="disabled") == []

    database.execute("SELECT pg_create_logical_replication_slot('ready', 'pgoutput')")
    _, found = looked(PG, database, database__dbname="ready")
    assert isinstance(found, PostgresState) and found.slot == Slot("ready", "pgoutput", False)
    assert look(publication__name="mine") == []
    other = postgres.database("readier")
    assert codes(PG, other, database__dbname="readier", publication__name="mine") == ["K324", "K324"], "no tables, too"
    database.execute("SELECT pg_drop_replication_slot('ready')")

    postgres.execute(f"CREATE ROLE plain LOGIN PASSWORD {sql.Literal(database.password).as_string(None)}")
    plain = PostgresDatabase(database.host, database.port, "ready", user="plain")
    assert codes(PG, plain, database__dbname="ready", publication__name="everything",
                 publication__autocreate__mode="disabled", snapshot__mode="no_data",
                 table__include__list=r"public\.orders") == ["K323"]  # fmt: skip
    postgres.execute("DROP ROLE plain")


def test_a_look_into_mariadb(mariadb: MariaDB) -> None:
    mariadb.database("ready")
    mariadb.execute("CREATE TABLE ready.orders (id int PRIMARY KEY)")
    mariadb.execute("CREATE OR REPLACE USER plain@'%' IDENTIFIED BY '" + mariadb.password + "'")
    mariadb.execute("GRANT INSERT ON ready.orders TO plain@'%'")
    orders = r"ready\.orders"
    _, found = looked(MARIA, mariadb, table__include__list=orders)
    assert isinstance(found, BinlogState) and Relation("ready.orders", True, False) in found.relations, found
    assert not found.missing and found.settings["binlog_format"] == "ROW" and found.settings["server_id"] == "1"
    assert codes(MARIA, mariadb, table__include__list=orders) == []
    assert codes(MARIA, mariadb, table__include__list=orders, database__server__id="1") == ["K324"]
    assert codes(MARIA, mariadb, table__include__list=r"ready\.gone") == ["K322"]
    assert codes(MARIA, mariadb, table__include__list=orders, database__user="plain") == ["K323", "K323", "K322"]
    mariadb.execute("SET GLOBAL binlog_row_image = MINIMAL")
    try:
        assert codes(MARIA, mariadb, table__include__list=orders) == ["K324"]
    finally:
        mariadb.execute("SET GLOBAL binlog_row_image = FULL")


@pytest.mark.parametrize("kind", [PG, MARIA])
def test_who_does_not_answer_is_not_waited_for_long(kind: str, postgres: Postgres) -> None:
    nobody = PostgresDatabase("127.0.0.1", free_port(), "ready")
    _, found = looked(kind, nobody, database__dbname="ready")
    assert isinstance(found, Unreachable) and nobody.password not in found.message
