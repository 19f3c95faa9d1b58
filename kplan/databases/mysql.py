"""The tables of MySQL and MariaDB, read through PyMySQL."""

from __future__ import annotations

import ssl
from collections.abc import Iterable, Sequence
from typing import Any

from kplan.databases.base import SECONDS, denied, driver, failed, no_database, one_line, unreachable
from kplan.discovery import Login, Table

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
    pymysql = driver("pymysql", login)
    try:
        connection = pymysql.connect(
            host=login.host, port=login.port, user=login.user, password=login.password, charset="utf8mb4",
            connect_timeout=SECONDS, read_timeout=60, **_encryption(login.ssl),
        )  # fmt: skip
    except (pymysql.Error, OSError, RuntimeError) as e:
        raise _refused(login, e) from e
    try:
        with connection, connection.cursor() as cursor:
            cursor.execute("SHOW DATABASES")
            there = {str(name).lower() for (name,) in cursor.fetchall()}
            for name in schemas:
                if name.lower() not in there:
                    raise no_database(login, name)
            cursor.execute(TABLES)
            rows = cursor.fetchall()
            cursor.execute(KEYS)
            return _tables(rows, cursor.fetchall())
    except pymysql.Error as e:
        raise failed(login, one_line(e, login.password)) from e


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
