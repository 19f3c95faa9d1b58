"""Whether a database is as a connector needs it, judged by what one look into it found.

What Debezium 3.7 does with a publication and a slot was read in PostgresReplicationConnection (initPublication,
isPublicationUpdateRequired, initReplicationSlot); who may do it: the "Security" chapter of PostgreSQL's logical
replication. The binary log: io.debezium.connector.binlog.BinlogConnectorTask, and "Setting up MySQL" in its manual.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import TypeVar

from kplan.diagnostics import Diagnostic, Severity, Span, codes
from kplan.diagnostics.codes.code import Code
from kplan.kinds.connector.debezium.discovery import ENGINES, Login, Table, discovery
from kplan.kinds.connector.debezium.incremental import LISTS, name_of, new_tables
from kplan.kinds.connector.debezium.leftovers import publication_of, quoted, slot_of
from kplan.kinds.connector.options import snapshots_of
from kplan.kinds.connector.tables import is_pattern
from kplan.model import Action, Change, Connector
from kplan.text import listed

MOST = 20  # problems of one kind that are told one by one
ANOTHER_SOURCE = frozenset({
    "database.hostname", "database.port", "database.dbname", "database.user", "database.server.id", "plugin.name",
    "slot.name", "publication.name", "publication.autocreate.mode", "signal.data.collection",
})  # fmt: skip
READS_NO_ROWS = ("no_data", "never", "schema_only", "recovery", "schema_only_recovery")  # of `snapshot.mode`


# -- what is asked ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Ask:
    """A connector that is about to be made or to capture more. `fresh`: all of it counts, not only what comes in."""

    connector: Connector
    login: Login
    fresh: bool = True
    before: Connector | None = None
    reads: bool = False  # the rows that the new tables already have
    added: frozenset[str] = frozenset()  # entries of its list, as people write them


def wants(change: Change) -> bool:
    """Whether `change` makes a connector of a database that can be looked into, or gives it something new to read."""
    after = change.after
    if not isinstance(after, Connector) or after.java_class not in ENGINES:
        return False
    return _is_fresh(change) or (
        change.action in (Action.UPDATE, Action.MOVE) and any(diff.key in LISTS for diff in change.diffs)
    )


def _is_fresh(change: Change) -> bool:
    new = change.action in (Action.CREATE, Action.REPLACE)
    return new or (not change.is_ledger_only and any(diff.key in ANOTHER_SOURCE for diff in change.diffs))


def ask(change: Change, connector: Connector, login: Login) -> Ask:
    """What is to be known of the connector's database before `change` is made."""
    fresh = _is_fresh(change)
    mode = connector.config.get("snapshot.mode")
    takes_snapshot = change.action in (Action.CREATE, Action.REPLACE) and mode not in READS_NO_ROWS
    before = change.before if isinstance(change.before, Connector) else None
    added = frozenset(map(name_of, new_tables(change)))
    return Ask(connector, login, fresh, before, takes_snapshot or bool(snapshots_of(change)), added)


# -- what is found ----------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Relation:
    """A table as the login sees it. `identified`: PostgreSQL can tell which row an UPDATE or a DELETE means."""

    name: str
    readable: bool = True
    writable: bool = True
    owned: bool = True
    identified: bool = True
    unlogged: bool = False
    partitioned: bool = False


@dataclass(frozen=True, slots=True)
class Publication:
    """`tables` are those that it has one by one."""

    all_tables: bool = False
    owned: bool = True
    tables: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Slot:
    database: str
    plugin: str
    active: bool = False


@dataclass(frozen=True, slots=True)
class Postgres:
    """`slots` and `senders` are how many are in use, and how many there may be."""

    relations: tuple[Relation, ...] = ()
    wal_level: str = "logical"
    replicates: bool = True
    superuser: bool = False
    creates: bool = True
    standby: bool = False
    slots: tuple[int, int] = (0, 10)
    senders: tuple[int, int] = (0, 10)
    publication: Publication | None = None
    slot: Slot | None = None


@dataclass(frozen=True, slots=True)
class Binlog:
    """MySQL or MariaDB. `missing` are privileges that the user surely has not."""

    relations: tuple[Relation, ...] = ()
    settings: Mapping[str, str] = field(default_factory=dict)
    missing: tuple[str, ...] = ()


Found = Postgres | Binlog
K = TypeVar("K")


# -- what is wrong ----------------------------------------------------------------------------------------------------
def coming(asks: Mapping[K, Ask], found: Mapping[K, Found]) -> Counter[tuple[str, int]]:
    """How many slots will be made on each server: several connectors may want the last one."""
    fresh = [
        asks[a].login for a, seen in found.items() if isinstance(seen, Postgres) and asks[a].fresh and not seen.slot
    ]
    return Counter((login.host, login.port) for login in fresh)


def problems(ask: Ask, found: Found, coming: int = 1) -> Iterator[Diagnostic]:
    """What keeps the connector from working, and what will be missing, each where the stack says it.

    Raises KplanError for a list of tables that cannot be read.
    """
    tables = _Tables.of(ask, found.relations)
    if isinstance(found, Postgres):
        yield from _server(ask, found, coming)
        yield from _publication(ask, found, tables)
    else:
        yield from _binlog(ask, found)
    yield from _of_tables(ask, tables, isinstance(found, Postgres))


@dataclass(frozen=True, slots=True)
class _Tables:
    """What the connector's lists make of the tables there are. `new`: what it did not capture before."""

    captured: tuple[Relation, ...]
    new: tuple[Relation, ...]
    absent: tuple[str, ...]
    signals: tuple[str, ...]  # tables of signals that are not there

    @classmethod
    def of(cls, ask: Ask, relations: Collection[Relation]) -> _Tables:
        there = [Table(relation.name) for relation in relations]
        found = discovery(ask.connector, ask.login, there)
        captured = set(found.names(True))
        before = set() if ask.fresh or ask.before is None else set(discovery(ask.before, ask.login, there).names(True))
        names = {table.name for table in there}
        absent = [name for name in found.absent if not is_pattern(name) and (ask.fresh or name in ask.added)]
        signals = [name for name in _signals(ask.connector) if name not in names] if ask.fresh else []
        return cls(
            tuple(each for each in relations if each.name in captured),
            tuple(each for each in relations if each.name in captured - before),
            tuple(absent),
            tuple(signals),
        )


def _signals(connector: Connector) -> list[str]:
    value = connector.config.get("signal.data.collection")
    return [name.strip() for name in value.split(",") if name.strip()] if isinstance(value, str) else []


def _of_tables(ask: Ask, tables: _Tables, postgres: bool) -> Iterator[Diagnostic]:
    where = ask.login.words
    yield from _each(
        tables.absent,
        lambda name: _error(ask, codes.K322, f"{name} is not in the {where}, or {ask.login.user} may not see it",
                            f"correct the name, or create the table; `kplan discover {ask.connector.name} STACK` lists "
                            "those that are there", _at(ask, name)),
    )  # fmt: skip
    for name in tables.signals:
        yield _error(
            ask,
            codes.K322,
            f"the table of signals {name} is not in the {where}: without it the connector hangs",
            f"CREATE TABLE {name} (id varchar(64) PRIMARY KEY, type varchar(32), data varchar(2048));",
            ask.connector.origin.at("/config/signal.data.collection"),
        )
    user = ask.login.user
    unread = [each.name for each in tables.new if not each.readable] if ask.reads else []
    yield from _each(
        unread,
        lambda name: _error(
            ask,
            codes.K322,
            f"{user} may not read {name}",
            f"GRANT SELECT ON {_sql(ask, name)} TO {user};",
            _at(ask, name),
        ),
    )
    if postgres:
        yield from _each(
            [each.name for each in tables.new if each.unlogged],
            lambda name: _warning(ask, codes.K325, f"{name} is unlogged: none of its changes can be captured",
                                  f"ALTER TABLE {_sql(ask, name)} SET LOGGED;", _at(ask, name)),
        )  # fmt: skip


# -- PostgreSQL -------------------------------------------------------------------------------------------------------
def _server(ask: Ask, found: Postgres, coming: int) -> Iterator[Diagnostic]:
    if not ask.fresh:
        return
    login, at = ask.login, ask.connector.origin
    host = at.at("/config/database.hostname")
    if found.wal_level != "logical":
        yield _error(ask, codes.K324, f"wal_level of {login.host}:{login.port} is {found.wal_level}",
                     "ALTER SYSTEM SET wal_level = logical; and restart the server", host)  # fmt: skip
    if not found.replicates:
        yield _error(
            ask,
            codes.K323,
            f"{login.user} has no REPLICATION",
            f"ALTER ROLE {quoted(login.user)} REPLICATION;",
            at.at("/config/database.user"),
        )
    yield from _slot(ask, found, coming)


def _slot(ask: Ask, found: Postgres, coming: int) -> Iterator[Diagnostic]:
    login, at, name = ask.login, ask.connector.origin.at("/config/slot.name"), slot_of(ask.connector)
    slot = found.slot
    if slot is None:
        for what, setting, (used, most) in (
            ("replication slots", "max_replication_slots", found.slots),
            ("senders of write-ahead log", "max_wal_senders", found.senders),
        ):
            if used + coming > most:
                yield _error(ask, codes.K324, f"{login.host}:{login.port} has {used} of {most} {what} in use",
                             f"drop one that nobody needs, or raise {setting} and restart the server", at)  # fmt: skip
    elif slot.database != login.database:
        yield _error(
            ask, codes.K324, f"slot {name} is of database {slot.database}", "give the connector another `slot:`", at
        )
    elif slot.plugin != _text(ask, "plugin.name", "decoderbufs"):
        yield _error(ask, codes.K324, f"slot {name} was made for plugin {slot.plugin}", "give it another `slot:`", at)
    elif slot.active and (ask.before is None or slot_of(ask.before) != name):
        yield _error(ask, codes.K324, f"slot {name} is in use: RUNNING or not, the connector would read nothing",
                     "end what reads it, or give the connector another `slot:`", at)  # fmt: skip


def _publication(ask: Ask, found: Postgres, tables: _Tables) -> Iterator[Diagnostic]:
    """With pgoutput alone there is one; on a standby it comes from the primary, and nothing can be made."""
    if _text(ask, "plugin.name", "decoderbufs") != "pgoutput":
        return
    yield from _identities(ask, tables)
    mode, there = _text(ask, "publication.autocreate.mode", "all_tables"), found.publication
    if found.standby:
        return
    if there is None:
        yield from _to_be_made(ask, found, tables, mode)
    elif mode == "filtered":
        yield from _to_be_filtered(ask, found, there, tables)
    elif not there.all_tables:
        yield from _uncovered(ask, there, tables)


def _to_be_made(ask: Ask, found: Postgres, tables: _Tables, mode: str) -> Iterator[Diagnostic]:
    """The publication is not there: the connector makes it, or nobody does."""
    login, name, at = ask.login, publication_of(ask.connector), ask.connector.origin
    user, place = quoted(login.user), at.at("/config/publication.name")
    made = f"CREATE PUBLICATION {quoted(name)} FOR TABLE {listed([_sql(ask, each.name) for each in tables.captured])};"
    if mode == "disabled":
        yield _error(ask, codes.K324, f"there is no publication {name}, and the connector may not make it", made, place)
    elif mode == "all_tables" and not found.superuser:
        yield _error(
            ask,
            codes.K323,
            f"{login.user} is no superuser, so it cannot make publication {name} for all tables",
            f"let a superuser run: CREATE PUBLICATION {quoted(name)} FOR ALL TABLES; or write "
            "`publication_mode: filtered`",
            place,
        )
    elif not found.creates:
        yield _error(ask, codes.K323, f"{login.user} may not create publication {name}",
                     f"GRANT CREATE ON DATABASE {quoted(login.database)} TO {user};", place)  # fmt: skip
    if mode == "filtered" and not tables.captured and not tables.absent:
        yield _error(ask, codes.K324, f"no table passes the connector's lists, so publication {name} cannot be made",
                     f"`kplan discover {ask.connector.name} STACK` lists the tables", _list(ask))  # fmt: skip
    elif mode == "filtered":
        yield from _unowned(ask, tables)


def _to_be_filtered(ask: Ask, found: Postgres, there: Publication, tables: _Tables) -> Iterator[Diagnostic]:
    """The publication is there, and the connector sets its tables unless they are those already."""
    name, place = publication_of(ask.connector), ask.connector.origin.at("/config/publication.name")
    if there.all_tables:
        yield _error(
            ask,
            codes.K324,
            f"publication {name} is for all tables, which the connector refuses in mode filtered",
            "write `publication_mode: all_tables`, or give it another `publication:`",
            place,
        )
    elif there.tables != {each.name for each in tables.captured}:
        if not there.owned:
            yield _error(
                ask,
                codes.K323,
                f"{ask.login.user} does not own publication {name}, so it cannot set its tables",
                f"ALTER PUBLICATION {quoted(name)} OWNER TO {quoted(ask.login.user)}; or let its owner add "
                "the tables, and write `publication_mode: disabled`",
                place,
            )
        yield from _unowned(ask, tables)


def _unowned(ask: Ask, tables: _Tables) -> Iterator[Diagnostic]:
    """One table that the role does not own is enough, and nothing of the others arrives any more."""
    user, name = ask.login.user, quoted(publication_of(ask.connector))
    yield from _each(
        [each.name for each in tables.captured if not each.owned],
        lambda table: _error(
            ask,
            codes.K323,
            f"{user} does not own {table}, so it cannot put it into its publication, and "
            "changes of all tables would stop",
            f"ALTER TABLE {_sql(ask, table)} OWNER TO {quoted(user)}; or let a DBA make publication "
            f"{name}, and write `publication_mode: disabled`",
            _at(ask, table),
        ),
    )


def _uncovered(ask: Ask, there: Publication, tables: _Tables) -> Iterator[Diagnostic]:
    """A partitioned table is published by its partitions."""
    name = publication_of(ask.connector)
    yield from _each(
        [each.name for each in tables.new if each.name not in there.tables and not each.partitioned],
        lambda table: _warning(
            ask,
            codes.K325,
            f"{table} is not in publication {name}: none of its changes will arrive",
            f"ALTER PUBLICATION {quoted(name)} ADD TABLE {_sql(ask, table)};",
            _at(ask, table),
        ),
    )


def _identities(ask: Ask, tables: _Tables) -> Iterator[Diagnostic]:
    """A published table without an identity: PostgreSQL refuses the application's own UPDATE and DELETE."""
    if ask.connector.config.get("replica.identity.autoset.values"):
        return
    yield from _each(
        [each.name for each in tables.new if not each.identified],
        lambda table: _warning(ask, codes.K325, f"{table} has neither a primary key nor a replica identity: once it is "
                               "published, PostgreSQL refuses every UPDATE and DELETE of it, whoever asks",
                               f"ALTER TABLE {_sql(ask, table)} REPLICA IDENTITY FULL; or give it a primary key",
                               _at(ask, table)),
    )  # fmt: skip


# -- MySQL and MariaDB ------------------------------------------------------------------------------------------------
def _binlog(ask: Ask, found: Binlog) -> Iterator[Diagnostic]:
    if not ask.fresh:
        return
    login, at = ask.login, ask.connector.origin
    host = at.at("/config/database.hostname")
    for key, good, cure in (
        ("log_bin", ("1", "ON"), "start the server with log_bin"),
        ("binlog_format", ("ROW",), "SET GLOBAL binlog_format = ROW;"),
        ("binlog_row_image", ("FULL",), "SET GLOBAL binlog_row_image = FULL;"),
    ):
        value = found.settings.get(key, good[0])
        if value.upper() not in good:
            yield _error(ask, codes.K324, f"{key} of {login.host}:{login.port} is {value}", cure, host)
    mine, its = _text(ask, "database.server.id", ""), found.settings.get("server_id", "")
    if its == "0":
        yield _error(ask, codes.K324, f"server_id of {login.host}:{login.port} is 0: it refuses replicas",
                     "SET GLOBAL server_id = 1;", host)  # fmt: skip
    elif mine and mine == its:
        yield _error(ask, codes.K324, f"database.server.id {mine} is the server's own", "give it another `server_id:`",
                     at.at("/config/database.server.id"))  # fmt: skip
    for right in found.missing:
        yield _error(ask, codes.K323, f"{login.user} has no {right}", f"GRANT {right} ON *.* TO {login.user};",
                     at.at("/config/database.user"))  # fmt: skip


# -- words ------------------------------------------------------------------------------------------------------------
def _error(ask: Ask, code: Code, detail: str, help: str, span: Span | None) -> Diagnostic:
    place, address = span or ask.connector.origin.span, str(ask.connector.address)
    return Diagnostic(code.number, Severity.ERROR, code.title, detail, help, place, address)


def _warning(ask: Ask, code: Code, detail: str, help: str, span: Span | None) -> Diagnostic:
    return replace(_error(ask, code, detail, help, span), severity=Severity.WARNING)


def _each(names: Collection[str], problem: Callable[[str], Diagnostic]) -> Iterator[Diagnostic]:
    """One problem a name; of very many the last one says how many more there are."""
    shown = list(names)[:MOST]
    for number, name in enumerate(shown, 1):
        told = problem(name)
        more = len(names) - MOST
        yield replace(told, detail=f"{told.detail}; and {more} more like it") if number == MOST and more > 0 else told


def _at(ask: Ask, table: str) -> Span | None:
    """Where the stack names the table; the signals' where that is the one."""
    key = "/config/signal.data.collection" if table in _signals(ask.connector) else f"/tables/{table}"
    return ask.connector.origin.at(key)


def _list(ask: Ask) -> Span | None:
    return ask.connector.origin.at("/config/table.include.list")


def _sql(ask: Ask, table: str) -> str:
    """The table as a statement names it."""
    first, _, rest = table.partition(".")
    return f"{quoted(first)}.{quoted(rest)}" if ask.login.engine == "PostgreSQL" else table


def _text(ask: Ask, key: str, usual: str) -> str:
    value = ask.connector.config.get(key)
    return value if isinstance(value, str) and value else usual
