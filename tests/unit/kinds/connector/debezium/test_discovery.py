"""What kplan discover says of a database's tables, with drivers that answer from a list."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from kplan.diagnostics import Denied, KplanError, Unreachable
from kplan.kinds.connector.debezium.discovery import (
    DiscoveredTable,
    databases,
    discovery,
    document,
    format_tables,
    lines,
    login,
)
from kplan.kinds.connector.debezium.engine import Login
from kplan.kinds.connector.debezium.engines.mariadb import MARIADB
from kplan.kinds.connector.debezium.engines.postgres import POSTGRES
from kplan.model import Connector, Secret
from kplan.servers.databases import mysql, postgres
from tests.shell import Shell

PG = "io.debezium.connector.postgresql.PostgresConnector"
MARIA = "io.debezium.connector.mariadb.MariaDbConnector"
CANARY = "hidden-Canary-90"


def connector(java_class: str = PG, **config: str | Secret) -> Connector:
    base: dict[str, str | Secret] = {
        "connector.class": java_class, "database.hostname": "db", "database.user": "cdc",
        "database.dbname": "shop", "database.password": Secret("{{ var.password }}", CANARY),
    }  # fmt: skip
    return Connector("feed", {**base, **{key.replace("__", "."): value for key, value in config.items()}})


def captured(config: dict[str, str | Secret], *names: str) -> list[str]:
    one = Connector("feed", {**connector().config, **config})
    return discovery(one, login(one), [DiscoveredTable(name, ("id",)) for name in names]).names(True)


NAMES = ("public.orders", "public.orders_2", "Public.Customers", "audit.logins")


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({}, sorted(NAMES)),
        ({"table.include.list": r"public\.orders"}, ["public.orders"]),
        ({"table.include.list": "public.orders"}, ["public.orders"]),
        ({"table.include.list": r"public\.customers, audit\..*"}, ["Public.Customers", "audit.logins"]),
        ({"table.include.list": r"(?!(?:public\.orders_2)$)(?:public\..*)"}, ["Public.Customers", "public.orders"]),
        ({"table.include.list": r"public\.orders_\d{1\,2}"}, ["public.orders_2"]),
        ({"table.exclude.list": r"public\..*"}, ["audit.logins"]),
        ({"table.include.list": r".*\.orders", "table.exclude.list": ".*"}, ["public.orders"]),
        ({"schema.include.list": "audit"}, ["audit.logins"]),
        ({"schema.exclude.list": "audit", "table.include.list": r".*\.(logins|orders)"}, ["public.orders"]),
        ({"table.include.list": r"public\.orders", "signal.data.collection": "audit.logins"},
         ["audit.logins", "public.orders"]),
    ],
)  # fmt: skip
def test_tables_pass_debeziums_lists(config: dict[str, str | Secret], expected: list[str]) -> None:
    assert captured(config, *NAMES) == expected


def test_a_list_that_is_no_regular_expression_is_refused() -> None:
    with pytest.raises(KplanError, match="cannot read"):
        captured({"table.include.list": "public.(orders"}, *NAMES)


def test_what_has_no_key_cannot_be_read_incrementally_unless_one_is_named() -> None:
    one = connector(message__key__columns=r"public\.keyed:a,b;public\.other:c")
    there = [
        DiscoveredTable("public.bare"),
        DiscoveredTable("public.keyed"),
        DiscoveredTable("public.unique", (), ("code",)),
        DiscoveredTable("public.pk", ("id",)),
    ]
    found = discovery(one, login(one), there)
    assert [seen.table.name for seen in found.tables if not seen.incremental] == ["public.bare"]
    assert "no primary key" in "\n".join(lines(found))


def test_the_text_tells_what_to_paste_and_what_is_not_there() -> None:
    one = connector(table__include__list=r"public\.orders,public\.gone,audit\..*")
    there = [
        DiscoveredTable("public.orders", ("id",), rows=1200, bytes=81920),
        DiscoveredTable("public.my table", ("a", "b")),
        DiscoveredTable("audit.logins", ("id",)),
    ]
    found = discovery(one, login(one), there)
    text = "\n".join(lines(found))
    assert "feed: PostgreSQL database shop at db:5432" in text
    assert "public.orders        ~1,200 rows    80.0 KiB  key id" in text
    assert "named by the connector, and not in the database:\n  public.gone" in text
    assert '    tables:\n      "public.my table":' in text
    assert r"The patterns audit\..* stand for these" in text
    assert "3 tables: 2 captured, 1 not." in text
    assert document(found)["absent"] == ["public.gone"]
    assert CANARY not in text + str(document(found)) + repr(found)


def test_pasted_names_are_keys_of_yaml() -> None:
    import yaml

    names = ["public.orders", "public.on", 'a."b"', "x.tab\\y", "1.2", "db.köln", "s.a: b"]
    assert list(yaml.safe_load("\n".join(format_tables(names)))["tables"]) == names


@pytest.mark.parametrize(
    ("host", "expected"), [("", ("db", 5432)), ("here", ("here", 5432)), ("here:6543", ("here", 6543))]
)
def test_the_address_can_be_another_one_from_here(host: str, expected: tuple[str, int]) -> None:
    found = login(connector(), host)
    assert (found.host, found.port) == expected


@pytest.mark.parametrize(
    ("config", "code", "said"),
    [
        ({"connector__class": "io.debezium.connector.oracle.OracleConnector"}, "K320", "PostgreSQL, MySQL, MariaDB"),
        ({"database__password": "${file:/run/db:password}"}, "K316", "--password-env"),
        ({"database__password": Secret("{{ var.password }}")}, "K316", "--password-env"),
        ({"database__hostname": "${env:HOST}"}, "K320", "--host"),
        ({"database__user": "${env:USER}"}, "K320", "write database.user out"),
    ],
)  # fmt: skip
def test_what_is_not_known_here_is_named_with_the_way_out(
    config: dict[str, str | Secret], code: str, said: str
) -> None:
    with pytest.raises(KplanError) as refused:
        login(connector(**config))
    assert refused.value.code == code and said in refused.value.help


def test_a_password_may_come_from_elsewhere() -> None:
    assert login(connector(database__password="${file:/run/db:password}"), password="x").password == "x"


def test_the_databases_that_must_be_there_are_those_named_plainly() -> None:
    assert databases(connector(MARIA, database__include__list=r"shop,a\.b,x.*")) == ["shop", "a.b"]


# -- drivers ----------------------------------------------------------------------------------------------------------
class Cursor:
    """Answers statements in their order."""

    def __init__(self, answers: list[list[tuple[Any, ...]]]) -> None:
        self.answers = answers

    def __enter__(self) -> Cursor:
        return self

    def __exit__(self, *_: object) -> None: ...

    def cursor(self) -> Cursor:
        return self

    def execute(self, statement: str) -> Cursor:
        return self

    def fetchall(self) -> list[tuple[Any, ...]]:
        return self.answers.pop(0)


class DriverError(Exception):
    """What a driver raises."""


def driver(
    monkeypatch: pytest.MonkeyPatch, name: str, answers: list[list[tuple[Any, ...]]] | Exception
) -> dict[str, Any]:
    """A driver of that name which answers so, and what it is connected with."""
    said: dict[str, Any] = {}

    def connect(**settings: Any) -> Cursor:
        said.update(settings)
        if isinstance(answers, Exception):
            raise answers
        return Cursor(answers)

    monkeypatch.setitem(sys.modules, name, SimpleNamespace(connect=connect, Error=DriverError))
    return said


ON_POSTGRES = Login(POSTGRES, "db", 5432, "shop", "cdc", CANARY, "require")
ON_MARIADB = Login(MARIADB, "db", 3306, "", "cdc", CANARY)


def test_postgres_says_what_stands_in_the_way(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [
        ("public.a", 12, 8192, False, True, True, ["id", "at"], None),
        ("public.b", -1, 0, True, False, False, None, ["code"]),
    ]
    said = driver(monkeypatch, "psycopg", [rows])
    a, b = postgres.read_tables(ON_POSTGRES)
    assert a == DiscoveredTable("public.a", ("id", "at"), (), 12, 8192)
    assert (b.rows, b.unique, b.primary_key) == (None, ("code",), ())
    assert (
        "unlogged" in b.notes[0] and "GRANT SELECT ON public.b TO cdc;" in b.notes[1] and "does not own" in b.notes[2]
    )
    assert said["sslmode"] == "require" and said["dbname"] == "shop"


def test_mysql_takes_a_unique_index_without_null_for_a_key(monkeypatch: pytest.MonkeyPatch) -> None:
    tables = [("s", "a", 5, 100), ("s", "b", None, 0), ("s", "c", 0, 0)]
    keys = [
        ("s", "a", "PRIMARY", "id", ""), ("s", "a", "u", "x", ""),
        ("s", "b", "maybe", "x", "YES"), ("s", "b", "sure", "y", ""), ("s", "b", "sure", "z", ""),
        ("s", "c", "maybe", "x", "YES"),
    ]  # fmt: skip
    said = driver(monkeypatch, "pymysql", [[("s",)], tables, keys])
    assert mysql.read_tables(ON_MARIADB, ["S"]) == [
        DiscoveredTable("s.a", ("id",), ("x",), 5, 100), DiscoveredTable("s.b", (), ("y", "z"), None, 0),
        DiscoveredTable("s.c", (), (), 0, 0),
    ]  # fmt: skip
    assert "ssl" not in said


@pytest.mark.parametrize(
    ("module", "message", "kind", "code"),
    [
        ("psycopg", 'FATAL:  password authentication failed for user "cdc"', Denied, "K313"),
        ("psycopg", 'FATAL:  database "shop" does not exist', KplanError, "K319"),
        ("psycopg", "connection refused", Unreachable, "K310"),
        ("pymysql", (1045, "Access denied for user 'cdc'"), Denied, "K313"),
        ("pymysql", (2003, f"Can't connect to db with {CANARY}"), Unreachable, "K310"),
    ],
)
def test_a_refusal_has_its_code_and_no_password(
    monkeypatch: pytest.MonkeyPatch, module: str, message: Any, kind: type[KplanError], code: str
) -> None:
    driver(monkeypatch, module, DriverError(*(message if isinstance(message, tuple) else (message,))))
    asked = (
        (lambda: postgres.read_tables(ON_POSTGRES)) if module == "psycopg" else (lambda: mysql.read_tables(ON_MARIADB))
    )
    with pytest.raises(kind) as refused:
        asked()
    assert refused.value.code == code and CANARY not in refused.value.message


def test_a_database_of_mysql_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    driver(monkeypatch, "pymysql", [[("other",)]])
    with pytest.raises(KplanError, match="no database shop"):
        mysql.read_tables(ON_MARIADB, ["shop"])


# -- the command ------------------------------------------------------------------------------------------------------
STACK = """
version: 1
stack: shop
variables: {password: {type: string, sensitive: true}}
connectors:
  feed:
    template: debezium-postgres
    topic_prefix: shop
    database: {hostname: db, name: shop, user: cdc, password: "{{ var.password }}"}
    tables: ["public\\\\..*"]
"""


@pytest.mark.slow
def test_without_the_driver_the_extra_is_named(tmp_path: Path) -> None:
    """Even with a pattern whose topics are not named, which is what the command is for."""
    shell = Shell(tmp_path, {"KPLAN_VAR_password": CANARY}, (CANARY,))
    shell.write("stack.yaml", STACK)
    shell.write("lacking/psycopg.py", "raise ImportError('no driver')\n")
    refused = shell.kplan("discover", "feed", "stack.yaml", expect=1, PYTHONPATH=str(tmp_path / "lacking"))
    assert "K318" in refused.err and "pip install 'kplan[postgres]'" in refused.err
    as_json = shell.kplan(
        "discover", "feed", "stack.yaml", "--format", "json", expect=1, PYTHONPATH=str(tmp_path / "lacking")
    )
    assert as_json.json["diagnostics"][0]["code"] == "K318"


def test_a_connector_that_is_not_declared_is_named_with_those_that_are(tmp_path: Path) -> None:
    shell = Shell(tmp_path, {"KPLAN_VAR_password": CANARY})
    shell.write("stack.yaml", STACK)
    refused = shell.kplan("discover", "fed", "stack.yaml", expect=4)
    assert "K321" in refused.err and "did you mean `feed`?" in refused.err
