"""PostgreSQL's tables, read through psycopg."""

from __future__ import annotations

from collections.abc import Sequence

from kplan.databases.base import SECONDS, denied, driver, failed, no_database, one_line, unreachable
from kplan.discovery import Login, Table

COLUMNS = """ARRAY(SELECT a.attname::text FROM unnest(i.indkey::int2[]) WITH ORDINALITY k(number, place)
    JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum = k.number WHERE place <= i.indnkeyatts ORDER BY place)"""
# a table without statistics has reltuples -1 (0 before PostgreSQL 14); a unique index may hold NULLs or expressions
TABLES = f"""
SELECT n.nspname::text || '.' || c.relname, c.reltuples::bigint, pg_total_relation_size(c.oid),
  c.relpersistence = 'u', has_table_privilege(c.oid, 'SELECT'), pg_has_role(c.relowner, 'USAGE'),
  (SELECT {COLUMNS} FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary),
  (SELECT {COLUMNS} FROM pg_index i WHERE i.indrelid = c.oid AND i.indisunique AND i.indisvalid
    AND i.indpred IS NULL AND i.indexprs IS NULL AND NOT EXISTS (SELECT FROM pg_attribute a
      WHERE a.attrelid = c.oid AND a.attnum = ANY (i.indkey::int2[]) AND NOT a.attnotnull)
    ORDER BY i.indexrelid LIMIT 1)
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
"""


def tables(login: Login, schemas: Sequence[str] = ()) -> list[Table]:
    """The tables of the login's database, whatever schema they are in. Raises KplanError."""
    psycopg = driver("psycopg", login)
    try:
        connection = psycopg.connect(
            host=login.host, port=login.port, dbname=login.database, user=login.user, password=login.password,
            connect_timeout=SECONDS, application_name="kplan discover", **({"sslmode": login.ssl} if login.ssl else {}),
        )  # fmt: skip
    except psycopg.Error as e:
        raise _refused(login, one_line(e, login.password)) from e
    try:
        with connection:
            connection.read_only = True
            return [_table(login, *row) for row in connection.execute(TABLES).fetchall()]
    except psycopg.Error as e:
        raise failed(login, one_line(e, login.password)) from e


def _refused(login: Login, said: str) -> Exception:
    """A failed login has no code of its own: libpq hands over the server's words alone."""
    if f'database "{login.database}" does not exist' in said:
        return no_database(login, login.database)
    words = ("authentication failed", "no pg_hba.conf entry", "permission denied", "is not permitted to log in")
    if any(each in said for each in words) or (f'role "{login.user}"' in said and "does not exist" in said):
        return denied(login, said)
    return unreachable(login, said)


def _table(login: Login, name: str, rows: int, stored: int, unlogged: bool, readable: bool, owned: bool,
           key: list[str] | None, unique: list[str] | None) -> Table:  # fmt: skip
    notes = []
    if unlogged:
        notes.append("unlogged: none of its changes can be captured")
    if not readable:
        notes.append(f"{login.user} may not read it: GRANT SELECT ON {name} TO {login.user};")
    if not owned:
        notes.append(f"{login.user} does not own it, so the connector cannot add it to a publication itself")
    return Table(name, tuple(key or ()), tuple(unique or ()), None if rows < 0 else rows, stored, tuple(notes))
