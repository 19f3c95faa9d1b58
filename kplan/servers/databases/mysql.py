"""MySQL and MariaDB, through PyMySQL: their tables, and whether they meet a connector's needs."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kplan.kinds.connector.debezium.binlog import BinlogState
from kplan.kinds.connector.debezium.discovery import DiscoveredTable
from kplan.kinds.connector.debezium.engine import DatabaseQuestion, Login, Relation
from kplan.kinds.connector.debezium.prediction.structure import Column, TableStructure
from kplan.servers.databases.base import (
    CONNECT_TIMEOUT_S,
    PLAN_CONNECT_TIMEOUT_S,
    PLAN_TIMEOUT_S,
    import_driver,
    login_error,
    missing_database_error,
    read_error,
    to_one_line,
    unreachable_error,
)

SYSTEM_SCHEMAS = "('mysql', 'information_schema', 'performance_schema', 'sys')"
TABLES = f"""
SELECT table_schema, table_name, table_rows, COALESCE(data_length, 0) + COALESCE(index_length, 0)
FROM information_schema.tables
WHERE table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND table_schema NOT IN {SYSTEM_SCHEMAS}
"""
KEYS = f"""
SELECT table_schema, table_name, index_name, column_name, nullable FROM information_schema.statistics
WHERE non_unique = 0 AND table_schema NOT IN {SYSTEM_SCHEMAS}
ORDER BY table_schema, table_name, index_name <> 'PRIMARY', index_name, seq_in_index
"""
DENIED_ERRORS = (1044, 1045, 1130, 1142, 1698, 1820, 3118, 4151)  # of user, password, host, right, or a locked account
ENCRYPTED_MODES = ("required", "trust", "verify_ca", "verify-ca", "verify_identity", "verify-full")
HOST_CHECKING_MODES = ("verify_identity", "verify-full")


def read_tables(login: Login, schemas: Sequence[str] = ()) -> list[DiscoveredTable]:
    """Read the tables of all the server's databases that the user sees; `schemas` must exist. Raises KplanError."""
    with _connect(login, CONNECT_TIMEOUT_S, 60) as cursor:
        cursor.execute("SHOW DATABASES")
        existing = {str(name).lower() for (name,) in cursor.fetchall()}
        for name in schemas:
            if name.lower() not in existing:
                raise missing_database_error(login, name)
        cursor.execute(TABLES)
        rows = cursor.fetchall()
        cursor.execute(KEYS)
        return _make_tables(rows, cursor.fetchall())


@contextmanager
def _connect(login: Login, seconds: int, read_timeout: int) -> Iterator[Any]:
    """Open a cursor. Raises KplanError for any error in its use, too."""
    pymysql = import_driver("pymysql", login)
    try:
        connection = pymysql.connect(
            host=login.host, port=login.port, user=login.user, password=login.password, charset="utf8mb4",
            connect_timeout=seconds, read_timeout=read_timeout, **_encryption_settings(login.ssl),
        )  # fmt: skip
    except (pymysql.Error, OSError, RuntimeError) as e:
        raise _connection_error(login, e) from e
    try:
        with connection, connection.cursor() as cursor:
            yield cursor
    except pymysql.Error as e:
        raise read_error(login, to_one_line(e, login.password)) from e


# -- what a connector needs -------------------------------------------------------------------------------------------
SETTINGS = ("log_bin", "binlog_format", "binlog_row_image", "server_id")
# The rights on columns include those of roles, unlike the tables of grants.
RELATIONS = f"""
SELECT CONCAT(c.table_schema, '.', c.table_name), MAX(FIND_IN_SET('select', LOWER(c.privileges)) > 0),
  MAX(FIND_IN_SET('insert', LOWER(c.privileges)) > 0)
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND c.table_schema NOT IN {SYSTEM_SCHEMAS}
GROUP BY c.table_schema, c.table_name
"""
# MariaDB has other names for them since 10.5, and MySQL finer ones.
RIGHTS = {
    "REPLICATION SLAVE": ("REPLICATION SLAVE", "REPLICATION REPLICA"),
    "REPLICATION CLIENT": ("REPLICATION CLIENT", "BINLOG MONITOR"),
}


def read_state(question: DatabaseQuestion) -> BinlogState:
    """Read how the server writes its binary log, what the user may do, and which tables exist. Raises KplanError."""
    with _connect(question.login, PLAN_CONNECT_TIMEOUT_S, PLAN_TIMEOUT_S) as cursor:
        names = ", ".join(f"'{name}'" for name in SETTINGS)
        cursor.execute(f"SHOW GLOBAL VARIABLES WHERE Variable_name IN ({names})")
        settings = {str(name).lower(): str(value) for name, value in cursor.fetchall()}
        cursor.execute("SHOW GRANTS FOR CURRENT_USER()")
        grants = [str(line) for (line,) in cursor.fetchall()]
        cursor.execute(RELATIONS)
        rows = cursor.fetchall()
        return BinlogState(
            tuple(Relation(str(n), bool(r), bool(w)) for n, r, w in rows), settings, _find_missing_rights(grants)
        )


# MariaDB writes defaults as SQL does, with quotes around texts and NULL for none. MySQL writes texts without quotes,
# and marks expressions.
STRUCTURES = f"""
SELECT c.table_schema, c.table_name, c.column_name, c.column_type, c.is_nullable, c.column_default, c.extra,
  c.generation_expression, (SELECT MAX(s.seq_in_index) FROM information_schema.statistics s WHERE
    (s.table_schema, s.table_name, s.column_name, s.index_name)
    = (c.table_schema, c.table_name, c.column_name, 'PRIMARY'))
FROM information_schema.columns c JOIN information_schema.tables t USING (table_schema, table_name)
WHERE t.table_type IN ('BASE TABLE', 'SYSTEM VERSIONED') AND c.table_schema NOT IN {SYSTEM_SCHEMAS}
ORDER BY c.table_schema, c.table_name, c.ordinal_position
"""


def read_structures(login: Login) -> list[TableStructure]:
    """Read the columns of all tables of the server that the user sees. Raises KplanError."""
    with _connect(login, PLAN_CONNECT_TIMEOUT_S, PLAN_TIMEOUT_S) as cursor:
        cursor.execute("SELECT VERSION()")
        is_mariadb = "mariadb" in str(cursor.fetchone()[0]).lower()
        cursor.execute(STRUCTURES)
        columns: dict[str, list[Column]] = {}
        keys: dict[str, list[tuple[int, str]]] = {}
        for schema, table, name, kind, nullable, default, extra, generated, place in cursor.fetchall():
            full = f"{schema}.{table}"
            written = None if generated or default is None else _write_default(str(default), extra, kind, is_mariadb)
            columns.setdefault(full, []).append(Column(name, kind, nullable == "YES", written))
            keys.setdefault(full, []).extend([(int(place), name)] if place else [])
    return [
        TableStructure(table, tuple(own), tuple(name for _, name in sorted(keys[table])))
        for table, own in columns.items()
    ]


def _write_default(default: str, extra: str, kind: str, is_mariadb: bool) -> str:
    """Return a default as SQL writes it."""
    if is_mariadb or kind.startswith("bit"):
        return default
    if "DEFAULT_GENERATED" in extra.upper():
        return default if default.upper().startswith("CURRENT_TIMESTAMP") else f"({default})"
    return "'" + default.replace("'", "''") + "'"


def _find_missing_rights(grants: Sequence[str]) -> tuple[str, ...]:
    """Return the rights that no grant gives; none where a role may give them, because its rights are not listed."""
    granted = [line.upper().partition(" ON ") for line in grants]
    if any(not on for _, on, _ in granted):
        return ()
    global_rights = " ".join(rights for rights, _, where in granted if where.startswith("*.*"))
    if "ALL PRIVILEGES" in global_rights:
        return ()
    return tuple(right for right, names in RIGHTS.items() if not any(name in global_rights for name in names))


def _encryption_settings(mode: str) -> dict[str, Any]:
    """Return the driver's settings for `database.ssl.mode`; without it the driver uses what the server offers."""
    if mode in ("disabled", "disable"):
        return {"ssl_disabled": True}
    if mode not in ENCRYPTED_MODES:
        return {}
    context = ssl.create_default_context()
    context.check_hostname = mode in HOST_CHECKING_MODES
    if mode in ("required", "trust"):
        context.verify_mode = ssl.CERT_NONE
    return {"ssl": context}


def _connection_error(login: Login, error: BaseException) -> Exception:
    number = error.args[0] if error.args and isinstance(error.args[0], int) else 0
    reason = to_one_line(error, login.password)
    return login_error(login, reason) if number in DENIED_ERRORS else unreachable_error(login, reason)


def _make_tables(rows: Iterable[tuple[Any, ...]], keys: Iterable[tuple[Any, ...]]) -> list[DiscoveredTable]:
    indexes: dict[tuple[str, str], dict[str, list[tuple[str, bool]]]] = {}
    for schema, table, index, column, nullable in keys:
        columns = indexes.setdefault((schema, table), {}).setdefault(index, [])
        columns.append((column, column is not None and nullable != "YES"))
    tables = []
    for schema, table, count, stored in rows:
        own = indexes.get((schema, table), {})
        primary = tuple(column for column, _ in own.get("PRIMARY", ()))
        usable = (index for name, index in own.items() if name != "PRIMARY" and all(good for _, good in index))
        unique = tuple(column for column, _ in next(usable, ()))
        tables.append(
            DiscoveredTable(f"{schema}.{table}", primary, unique, None if count is None else int(count), int(stored))
        )
    return tables
