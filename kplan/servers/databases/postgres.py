"""PostgreSQL, through psycopg: its tables, and whether it meets a connector's needs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from kplan.diagnostics import Busy
from kplan.kinds.connector.debezium.discovery import DiscoveredTable
from kplan.kinds.connector.debezium.engine import DatabaseQuestion, Login, Relation
from kplan.kinds.connector.debezium.engines.postgres import (
    PostgresState,
    Publication,
    Slot,
    publication_of,
    quote_identifier,
    slot_of,
)
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


def read_tables(login: Login, schemas: Sequence[str] = ()) -> list[DiscoveredTable]:
    """Read the tables of the login's database, in all schemas. Raises KplanError."""
    with _connect_read_only(login, CONNECT_TIMEOUT_S) as connection:
        return [_make_table(login, *row) for row in connection.execute(TABLES).fetchall()]


@contextmanager
def _connect(login: Login, seconds: int) -> Iterator[Any]:
    """Open a transaction, committed at its end. Raises KplanError for any error in it, too."""
    psycopg = import_driver("psycopg", login)
    try:
        connection = psycopg.connect(
            host=login.host, port=login.port, dbname=login.database, user=login.user, password=login.password,
            connect_timeout=seconds, application_name="kplan", **({"sslmode": login.ssl} if login.ssl else {}),
        )  # fmt: skip
    except psycopg.Error as e:
        raise _connection_error(login, to_one_line(e, login.password)) from e
    try:
        with connection:
            yield connection
    except psycopg.Error as e:
        raise read_error(login, to_one_line(e, login.password)) from e


@contextmanager
def _connect_read_only(login: Login, seconds: int) -> Iterator[Any]:
    """Open a transaction that cannot change anything."""
    with _connect(login, seconds) as connection:
        connection.read_only = True
        yield connection


# -- what a connector needs -------------------------------------------------------------------------------------------
# REPLICATION allows to create a slot or, on Amazon's servers, membership of one of its roles, as in Debezium's
# PostgresConnector.
SERVER = """
SELECT current_setting('wal_level'), r.rolsuper, r.rolsuper OR r.rolreplication OR EXISTS (
    SELECT FROM pg_auth_members m JOIN pg_roles b ON m.roleid = b.oid WHERE m.member = r.oid
      AND b.rolname IN ('rds_superuser', 'rdsadmin', 'rdsrepladmin', 'rds_replication')),
  has_database_privilege(current_database(), 'CREATE'), pg_is_in_recovery(),
  (SELECT count(*) FROM pg_replication_slots), current_setting('max_replication_slots')::int,
  (SELECT count(*) FROM pg_stat_replication), current_setting('max_wal_senders')::int
FROM pg_roles r WHERE r.rolname = current_user
"""
# Its identity is its primary key (d), one of its indexes (i) or the whole row (f); a missing key and n are none.
RELATIONS = """
SELECT n.nspname::text || '.' || c.relname,
  has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT'), has_table_privilege(c.oid, 'INSERT'),
  pg_has_role(c.relowner, 'USAGE'), CASE c.relreplident WHEN 'f' THEN true WHEN 'n' THEN false
    WHEN 'i' THEN EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisreplident)
    ELSE EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary) END,
  c.relpersistence = 'u', c.relkind = 'p'
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't'
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
"""
PUBLICATION = "SELECT puballtables, pg_has_role(pubowner, 'USAGE') FROM pg_publication WHERE pubname = %s"
PUBLISHED = "SELECT schemaname::text || '.' || tablename FROM pg_publication_tables WHERE pubname = %s"
SLOT = "SELECT database::text, plugin::text, active FROM pg_replication_slots WHERE slot_name = %s"


def read_state(question: DatabaseQuestion) -> PostgresState:
    """Read the state of the connector's database, slot and publication. Raises KplanError."""
    with _connect_read_only(question.login, PLAN_CONNECT_TIMEOUT_S) as connection:
        connection.execute(f"SET LOCAL statement_timeout = '{PLAN_TIMEOUT_S - PLAN_CONNECT_TIMEOUT_S}s'")
        wal_level, superuser, replicates, creates, standby, *counts = connection.execute(SERVER).fetchone()
        publication = publication_of(question.connector)
        published = connection.execute(PUBLICATION, (publication,)).fetchone()
        tables = connection.execute(PUBLISHED, (publication,)).fetchall() if published and not published[0] else []
        slot = connection.execute(SLOT, (slot_of(question.connector),)).fetchone()
        return PostgresState(
            tuple(Relation(*row) for row in connection.execute(RELATIONS).fetchall()),
            wal_level, replicates, superuser, creates, standby, (counts[0], counts[1]), (counts[2], counts[3]),
            Publication(published[0], published[1], frozenset(n for (n,) in tables)) if published else None,
            Slot(*slot) if slot else None,
        )  # fmt: skip


def _connection_error(login: Login, reason: str) -> Exception:
    """Return the error of a failed login, which has no code of its own: libpq only passes on the server's message."""
    if f'database "{login.database}" does not exist' in reason:
        return missing_database_error(login, login.database)
    login_failures = (
        "authentication failed",
        "no pg_hba.conf entry",
        "permission denied",
        "is not permitted to log in",
    )
    if any(each in reason for each in login_failures) or (
        f'role "{login.user}"' in reason and "does not exist" in reason
    ):
        return login_error(login, reason)
    return unreachable_error(login, reason)


def _make_table(login: Login, name: str, rows: int, stored: int, unlogged: bool, readable: bool, owned: bool,
           key: list[str] | None, unique: list[str] | None) -> DiscoveredTable:  # fmt: skip
    notes = []
    if unlogged:
        notes.append("unlogged: none of its changes can be captured")
    if not readable:
        notes.append(f"{login.user} may not read it: GRANT SELECT ON {name} TO {login.user};")
    if not owned:
        notes.append(f"{login.user} does not own it, so the connector cannot add it to a publication itself")
    return DiscoveredTable(
        name, tuple(key or ()), tuple(unique or ()), None if rows < 0 else rows, stored, tuple(notes)
    )


# -- what the columns of tables are -----------------------------------------------------------------------------------
# The type of an array's items counts for the array; a row type of a table is composite, too.
STRUCTURES = f"""
SELECT n.nspname::text || '.' || c.relname, a.attname::text, format_type(a.atttypid, a.atttypmod), a.attnotnull,
  CASE WHEN a.attgenerated = '' THEN pg_get_expr(d.adbin, d.adrelid) END, COALESCE(e.typtype, t.typtype)::text,
  CASE WHEN t.typtype = 'd' THEN format_type(t.typbasetype, t.typtypmod) END,
  (SELECT {COLUMNS} FROM pg_index i WHERE i.indrelid = c.oid AND i.indisprimary)
FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid JOIN pg_namespace n ON n.oid = c.relnamespace
  JOIN pg_type t ON t.oid = a.atttypid LEFT JOIN pg_type e ON e.oid = t.typelem AND t.typcategory = 'A'
  LEFT JOIN pg_attrdef d ON d.adrelid = c.oid AND d.adnum = a.attnum
WHERE c.relkind IN ('r', 'p') AND c.relpersistence <> 't' AND a.attnum > 0 AND NOT a.attisdropped
  AND n.nspname <> 'information_schema' AND n.nspname NOT LIKE 'pg\\_%'
ORDER BY c.oid, a.attnum
"""
USER_TYPES = {"e": "enum", "d": "domain", "c": "composite"}


def read_structures(login: Login) -> list[TableStructure]:
    """Read the columns of all tables of the login's database. Raises KplanError."""
    with _connect_read_only(login, PLAN_CONNECT_TIMEOUT_S) as connection:
        connection.execute(f"SET LOCAL statement_timeout = '{PLAN_TIMEOUT_S - PLAN_CONNECT_TIMEOUT_S}s'")
        columns: dict[str, list[Column]] = {}
        keys: dict[str, tuple[str, ...]] = {}
        for table, name, kind, is_required, default, family, base, key in connection.execute(STRUCTURES).fetchall():
            user_type = USER_TYPES.get(family, "")
            columns.setdefault(table, []).append(Column(name, kind, not is_required, default, user_type, base or ""))
            keys[table] = tuple(key or ())
    return [TableStructure(table, tuple(own), keys[table]) for table, own in columns.items()]


# -- what outlives a connector ----------------------------------------------------------------------------------------
OWN_SLOT = "SELECT active, active_pid FROM pg_replication_slots WHERE slot_name = %s"
EXISTS = {
    "slot": "SELECT EXISTS (SELECT FROM pg_replication_slots WHERE slot_name = %s)",
    "publication": "SELECT EXISTS (SELECT FROM pg_publication WHERE pubname = %s)",
}


def find_existing(login: Login, drops: Sequence[str]) -> list[str]:
    """Return which of `slot NAME` and `publication NAME` the database has. Raises KplanError."""
    with _connect_read_only(login, CONNECT_TIMEOUT_S) as connection:
        return [each for each in drops if _exists(connection, each)]


def _exists(connection: Any, drop: str) -> bool:
    kind, _, name = drop.partition(" ")
    return bool(connection.execute(EXISTS[kind], (name,)).fetchone()[0])


def drop(login: Login, drops: Sequence[str]) -> None:
    """Drop all of them, or none. Raises Busy while a slot is in use, or KplanError.

    A dropped slot does not return when its transaction fails, so it is dropped last, just before the commit.
    """
    with _connect(login, CONNECT_TIMEOUT_S) as connection:
        connection.execute(f"SET LOCAL statement_timeout = '{CONNECT_TIMEOUT_S}s'")
        existing = [each.partition(" ")[::2] for each in drops if _exists(connection, each)]
        for kind, name in sorted(existing):  # publications before slots
            if kind == "publication":
                connection.execute(f"DROP PUBLICATION IF EXISTS {quote_identifier(name)}".encode())
                continue
            active, pid = connection.execute(OWN_SLOT, (name,)).fetchone() or (False, None)
            if active:
                raise Busy(f"slot {name} is in use by process {pid} of {login.host}:{login.port}")
            connection.execute("SELECT pg_drop_replication_slot(%s)", (name,))
