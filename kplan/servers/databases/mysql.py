"""MySQL and MariaDB, through PyMySQL: their tables, and whether they are as a connector needs them."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kplan.kinds.connector.debezium.binlog import BinlogState
from kplan.kinds.connector.debezium.discovery import Table
from kplan.kinds.connector.debezium.engine import DatabaseQuestion, Login, Relation
from kplan.servers.databases.base import (
    LOOK_SECONDS,
    PATIENCE,
    SECONDS,
    denied,
    driver,
    failed,
    no_database,
    one_line,
    unreachable,
)

SYSTEM = "('mysql', 'information_schema', 'performance_schema', 'sys')"
TABLES = f"""
SELECT table_schema, table_name, table_rows, COALESCE(data_length, 0) + COALESCE(index_length, 0)
FROM information_schema.tables
WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND table_schema NOT IN {SYSTEM}
"""
KEYS = f"""
SELECT table_schema, table_name, index_name, column_name, nullable FROM information_schema.statistics
WHERE non_unique = 0 AND table_schema NOT IN {SYSTEM}
ORDER BY table_schema, table_name, index_name <> 'PRIMARY', index_name, seq_in_index
"""
DENIED = (1044, 1045, 1130, 1142, 1698, 1820, 3118, 4151)  # of user, password, host, right, or a locked account
ENCRYPTED = ("required", "trust", "verify_ca", "verify-ca", "verify_identity", "verify-full")
HOST_TOO = ("verify_identity", "verify-full")


def tables(login: Login, schemas: Sequence[str] = ()) -> list[Table]:
    """The tables of all the server's databases that the user sees; `schemas` must be there. Raises KplanError."""
    with _connected(login, SECONDS, 60) as cursor:
        cursor.execute("SHOW DATABASES")
        there = {str(name).lower() for (name,) in cursor.fetchall()}
        for name in schemas:
            if name.lower() not in there:
                raise no_database(login, name)
        cursor.execute(TABLES)
        rows = cursor.fetchall()
        cursor.execute(KEYS)
        return _tables(rows, cursor.fetchall())


@contextmanager
def _connected(login: Login, seconds: int, patience: int) -> Iterator[Any]:
    """A cursor. Raises KplanError for whatever goes wrong with it, too."""
    pymysql = driver("pymysql", login)
    try:
        connection = pymysql.connect(
            host=login.host, port=login.port, user=login.user, password=login.password, charset="utf8mb4",
            connect_timeout=seconds, read_timeout=patience, **_encryption(login.ssl),
        )  # fmt: skip
    except (pymysql.Error, OSError, RuntimeError) as e:
        raise _refused(login, e) from e
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    except pymysql.Error as e:
        raise failed(login, one_line(e, login.password)) from e


# -- what a connector needs -------------------------------------------------------------------------------------------
SETTINGS = ("log_bin", "binlog_format", "binlog_row_image", "server_id")
# What a user may do with a column counts roles, too, unlike the tables of grants.
RELATIONS = f"""
SELECT CONCAT(c.table_schema, '.', c.table_name), MAX(FIND_IN_SET('select', LOWER(c.privileges)) > 0),
  MAX(FIND_IN_SET('insert', LOWER(c.privileges)) > 0)
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND c.table_schema NOT IN {SYSTEM}
GROUP BY c.table_schema, c.table_name
"""
# MariaDB has other names for them since 10.5, and MySQL finer ones.
RIGHTS = {
    "REPLICATION SLAVE": ("REPLICATION SLAVE", "REPLICATION REPLICA"),
    "REPLICATION CLIENT": ("REPLICATION CLIENT", "BINLOG MONITOR"),
}


def look(ask: DatabaseQuestion) -> BinlogState:
    """How the server writes its binary log, what the user may do, and which tables there are. Raises KplanError."""
    with _connected(ask.login, LOOK_SECONDS, PATIENCE) as cursor:
        names = ", ".join(f"'{name}'" for name in SETTINGS)
        cursor.execute(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
        settings = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
        cursor.execute("SHOW GRANTS FOR CURRENT_USER()")
        grants = [str(line) for (line,) in cursor.fetchall()]
        cursor.execute(RELATIONS)
        rows = cursor.fetchall()
        return BinlogState(tuple(Relation(str(n), bool(r), bool(w)) for n, r, w in rows), settings, _missing(grants))


def _missing(grants: Sequence[str]) -> tuple[str, ...]:
    """The rights that no grant gives; none where a role may give them, for its rights are not listed."""
    given = [line.upper().partition(" ON ") for line in grants]
    if any(not on for _, on, _ in given):
        return ()
    everywhere = " ".join(rights for rights, _, where in given if where.startswith("*.*"))
    if "ALL PRIVILEGES" in everywhere:
        return ()
    return tuple(right for right, names in RIGHTS.items() if not any(name in everywhere for name in names))


def _encryption(mode: str) -> dict[str, Any]:
    """The driver's settings for what `database.ssl.mode` says; left out it takes what the server offers."""
    if mode in ("disabled", "disable"):
        return {"ssl_disabled": True}
    if mode not in ENCRYPTED:
        return {}
    context = ssl.create_default_context()
    context.check_hostname = mode in HOST_TOO
    if mode in ("required", "trust"):
        context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}


def _refused(login: Login, error: BaseException) -> Exception:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    said = one_line(error, login.password)
    return denied(login, said) if number in DENIED else unreachable(login, said)


def _tables(rows: Iterable[tuple[Any, ...]], keys: Iterable[tuple[Any, ...]]) -> list[Table]:
    indexes: dict[tuple[str, str], dict[str, list[tuple[str, bool]]]] = {}
    for schema, table, index, column, nullable in keys:
        columns = indexes.setdefault((schema, table), {}).setdefault(index, [])
        columns.append((column, column is not None and nullable != "YES"))
    found = []
    for schema, table, count, stored in rows:
        own = indexes.get((schema, table), {})
        primary = tuple(column for column, _ in own.get("PRIMARY", ()))
        usable = (index for name, index in own.items() if name != "PRIMARY" and all(good for _, good in index))
        unique = tuple(column for column, _ in next(usable, ()))
        found.append(Table(f"{schema}.{table}", primary, unique, None if count is None else int(count), int(stored)))
    return found
