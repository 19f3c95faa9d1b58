"""PostgreSQL, through logical decoding: a replication slot and, with pgoutput, a publication.

What Debezium 3.7 does with both was read in PostgresReplicationConnection (initPublication,
isPublicationUpdateRequired, initReplicationSlot); who may do it: the "Security" chapter of PostgreSQL's logical
replication. Names left out: https://debezium.io/documentation/reference/stable/connectors/postgresql.html
"""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping

from kplan.diagnostics import Diagnostic, codes
from kplan.kinds.connector.debezium.common_settings import (
    ANOTHER_SOURCE,
    DATABASE_NAME_RISK,
    SAME_SOURCE,
    moves_source,
)
from kplan.kinds.connector.debezium.database_problems import (
    database_error,
    database_warning,
    place_of_table,
    report_each,
)
from kplan.kinds.connector.debezium.engine import (
    CapturedTables,
    DatabaseAccess,
    DatabaseQuestion,
    DropRules,
    Engine,
    Position,
    Relation,
    SettingRisk,
    Shareable,
    SnapshotSignals,
)
from kplan.kinds.connector.debezium.table_names import Settings, TableNames, database_name
from kplan.model import Connector, Text
from kplan.text import join_names
from kplan.values import dataclass

SLOT, PUBLICATION = "slot", "publication"
SLOT_NAME, PUBLICATION_NAME = "slot.name", "publication.name"
PUBLICATION_MODE, PLUGIN = "publication.autocreate.mode", "plugin.name"


# -- names ------------------------------------------------------------------------------------------------------------
def slot_of(connector: Connector) -> str:
    """Return the name of the connector's replication slot."""
    return _text(connector.config, SLOT_NAME, "debezium")


def publication_of(connector: Connector) -> str:
    """Return the name of the connector's publication."""
    return _text(connector.config, PUBLICATION_NAME, "dbz_publication")


def _text(config: Mapping[str, Text], key: str, default: str) -> str:
    value = config.get(key)
    return value if isinstance(value, str) and value else default


def quote_identifier(name: str) -> str:
    """Return an identifier as a statement needs it: in double quotes unless it is a plain lower-case word."""
    plain = name.replace("_", "a").isalnum() and name.isascii() and name == name.lower() and not name[0].isdigit()
    return name if plain else '"' + name.replace('"', '""') + '"'


def quoted_table(table: str) -> str:
    """Return SCHEMA.TABLE as a statement needs it."""
    schema, _, name = table.partition(".")
    return f"{quote_identifier(schema)}.{quote_identifier(name)}"


def shorten_name(entry: str, home: str) -> tuple[str, str]:
    """Return the name, and the one without the schema that is PostgreSQL's own choice."""
    short = entry.removeprefix("public.")
    return entry, entry if "." in short else short


# -- what stays, and what is dropped ----------------------------------------------------------------------------------
def list_leftovers(config: Settings) -> Iterator[str]:
    """Yield the slot and the publication."""
    slot, publication = _text(config, SLOT_NAME, "debezium"), _text(config, PUBLICATION_NAME, "dbz_publication")
    if config.get("slot.drop.on.stop") != "true":
        yield f"slot {slot} keeps WAL until it is dropped: {drop_slot(slot)}"
    if config.get(PLUGIN) == "pgoutput":
        made = config.get(PUBLICATION_MODE) != "disabled"
        note = "" if made else ", which was made by somebody"
        yield f"publication {publication}{note}: {drop_publication(publication)}"


def drop_slot(name: str) -> str:
    """Return the statement that drops a slot."""
    return f"SELECT pg_drop_replication_slot('{name}');"


def drop_publication(name: str) -> str:
    """Return the statement that drops a publication."""
    return f"DROP PUBLICATION {quote_identifier(name)};"


def list_own(connector: Connector) -> tuple[str, ...]:
    """Return the connector's slot and publication."""
    return f"{SLOT} {slot_of(connector)}", f"{PUBLICATION} {publication_of(connector)}"


def refuse_drop(connector: Connector, words: Collection[str]) -> str:
    """Return why the words name another publication than the connector's, "" where they do not."""
    named = [word.partition("=")[2] for word in words if "=" in word]
    wrong = [name for name in named if name != publication_of(connector)]
    return f"publication {wrong[0]} is not the connector's, which is {publication_of(connector)}" if wrong else ""


def choose_drops(connector: Connector, words: Collection[str]) -> tuple[str, ...]:
    """Return what is dropped: a slot that the connector does not drop itself, and a publication that it made or that
    is named itself."""
    config, publication = connector.config, publication_of(connector)
    drops = []
    if SLOT in words and config.get("slot.drop.on.stop") != "true":
        drops.append(f"{SLOT} {slot_of(connector)}")
    made = PUBLICATION in words and config.get(PUBLICATION_MODE) != "disabled"
    if config.get(PLUGIN) == "pgoutput" and (made or f"{PUBLICATION}={publication}" in words):
        drops.append(f"{PUBLICATION} {publication}")
    return tuple(drops)


# -- what a look found ------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Publication:
    """`tables` are those that it has one by one."""

    all_tables: bool = False
    owned: bool = True
    tables: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True)
class Slot:
    """A replication slot; `active`: something reads it."""

    database: str
    plugin: str
    active: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class PostgresState:
    """The server, and the connector's own. `slots` and `senders` are how many are in use, and how many may be."""

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


def needs_slot(state: PostgresState) -> bool:
    """Tell whether the connector will make its slot."""
    return state.slot is None


def list_drop_obstacles(question: DatabaseQuestion, state: PostgresState, drops: Collection[str]) -> Iterator[str]:
    """Yield why the login could not drop these now."""
    user, connector = question.login.user, question.connector
    if state.slot is not None and any(drop.startswith(SLOT) for drop in drops):
        if state.slot.database != question.login.database:
            yield f"slot {slot_of(connector)} is of database {state.slot.database}"
        if not state.replicates:
            yield f"{user} has no REPLICATION, so it cannot drop slot {slot_of(connector)}"
    unowned = state.publication is not None and not state.publication.owned
    if unowned and any(drop.startswith(PUBLICATION) for drop in drops):
        yield f"{user} does not own publication {publication_of(connector)}"


# -- whether it is as the connector needs it --------------------------------------------------------------------------
def check_server(
    question: DatabaseQuestion, state: PostgresState, tables: CapturedTables, new_slots: int
) -> Iterator[Diagnostic]:
    """Yield what of the server, the slot and the publication keeps the connector from working."""
    if question.fresh:
        yield from _check_replication(question, state)
        yield from _check_slot(question, state, new_slots)
    yield from _check_publication(question, state, tables)


def check_tables(question: DatabaseQuestion, tables: CapturedTables) -> Iterator[Diagnostic]:
    """Yield the new tables whose changes are not in the write-ahead log."""
    yield from report_each(
        [table.name for table in tables.new if table.unlogged],
        lambda name: database_warning(
            question, codes.K325, f"{name} is unlogged: none of its changes can be captured",
            f"ALTER TABLE {quoted_table(name)} SET LOGGED;", place_of_table(question, name)),
    )  # fmt: skip


def _check_replication(question: DatabaseQuestion, state: PostgresState) -> Iterator[Diagnostic]:
    login, at = question.login, question.connector.origin
    if state.wal_level != "logical":
        yield database_error(
            question, codes.K324, f"wal_level of {login.host}:{login.port} is {state.wal_level}",
            "ALTER SYSTEM SET wal_level = logical; and restart the server", at.at("/config/database.hostname"),
        )  # fmt: skip
    if not state.replicates:
        cure = f"ALTER ROLE {quote_identifier(login.user)} REPLICATION;"
        yield database_error(
            question, codes.K323, f"{login.user} has no REPLICATION", cure, at.at("/config/database.user")
        )


def _check_slot(question: DatabaseQuestion, state: PostgresState, new_slots: int) -> Iterator[Diagnostic]:
    login, name, slot = question.login, slot_of(question.connector), state.slot
    at = question.connector.origin.at(f"/config/{SLOT_NAME}")
    if slot is None:
        for what, setting, (used, most) in (
            ("replication slots", "max_replication_slots", state.slots),
            ("senders of write-ahead log", "max_wal_senders", state.senders),
        ):
            if used + new_slots > most:
                yield database_error(
                    question, codes.K324, f"{login.host}:{login.port} has {used} of {most} {what} in use",
                    f"drop one that is not needed, or raise {setting} and restart the server", at)  # fmt: skip
    elif slot.database != login.database:
        yield database_error(question, codes.K324, f"slot {name} is of database {slot.database}",
                             "give the connector another `slot:`", at)  # fmt: skip
    elif slot.plugin != question.text(PLUGIN, "decoderbufs"):
        yield database_error(question, codes.K324, f"slot {name} was made for plugin {slot.plugin}",
                             "give it another `slot:`", at)  # fmt: skip
    elif slot.active and (question.before is None or slot_of(question.before) != name):
        yield database_error(
            question, codes.K324, f"slot {name} is in use: RUNNING or not, the connector would read nothing",
            "end what reads it, or give the connector another `slot:`", at)  # fmt: skip


def _check_publication(
    question: DatabaseQuestion, state: PostgresState, tables: CapturedTables
) -> Iterator[Diagnostic]:
    """Check the publication: there is one with pgoutput alone; on a standby it comes from the primary, and nothing can
    be made.
    """
    if question.text(PLUGIN, "decoderbufs") != "pgoutput":
        return
    yield from _check_identities(question, tables)
    mode, publication = question.text(PUBLICATION_MODE, "all_tables"), state.publication
    if state.standby:
        return
    if publication is None:
        yield from _check_creation(question, state, tables, mode)
    elif mode == "filtered":
        yield from _check_filtered(question, publication, tables)
    elif not publication.all_tables:
        yield from _check_coverage(question, publication, tables)


def _check_creation(
    question: DatabaseQuestion, state: PostgresState, tables: CapturedTables, mode: str
) -> Iterator[Diagnostic]:
    """Check a publication that is missing: the connector creates it, or it stays missing."""
    login, name, at = question.login, publication_of(question.connector), question.connector.origin
    user, place = quote_identifier(login.user), at.at(f"/config/{PUBLICATION_NAME}")
    captured = join_names([quoted_table(table.name) for table in tables.captured])
    if mode == "disabled":
        yield database_error(question, codes.K324, f"there is no publication {name}, and the connector may not make it",
                             f"CREATE PUBLICATION {quote_identifier(name)} FOR TABLE {captured};", place)  # fmt: skip
    elif mode == "all_tables" and not state.superuser:
        yield database_error(
            question, codes.K323,
            f"{login.user} is not a superuser, so it cannot make publication {name} for all tables",
            f"let a superuser run: CREATE PUBLICATION {quote_identifier(name)} FOR ALL TABLES; or write "
            "`publication_mode: filtered`", place)  # fmt: skip
    elif not state.creates:
        yield database_error(question, codes.K323, f"{login.user} may not create publication {name}",
                             f"GRANT CREATE ON DATABASE {quote_identifier(login.database)} TO {user};",
                             place)  # fmt: skip
    if mode == "filtered" and not tables.captured and not tables.absent:
        yield database_error(
            question, codes.K324, f"no table passes the connector's lists, so publication {name} cannot be made",
            f"`kplan discover {shlex.quote(question.connector.name)} STACK` lists the tables",
            at.at(f"/config/{POSTGRES.table_list}"))  # fmt: skip
    elif mode == "filtered":
        yield from _check_ownership(question, tables)


def _check_filtered(
    question: DatabaseQuestion, publication: Publication, tables: CapturedTables
) -> Iterator[Diagnostic]:
    """Check a publication that exists: the connector sets its tables unless they are those already."""
    name, user = publication_of(question.connector), question.login.user
    place = question.connector.origin.at(f"/config/{PUBLICATION_NAME}")
    if publication.all_tables:
        yield database_error(
            question, codes.K324, f"publication {name} is for all tables, which the connector refuses in mode filtered",
            "write `publication_mode: all_tables`, or give it another `publication:`", place)  # fmt: skip
    elif publication.tables != {table.name for table in tables.captured}:
        if not publication.owned:
            yield database_error(
                question, codes.K323, f"{user} does not own publication {name}, so it cannot set its tables",
                f"ALTER PUBLICATION {quote_identifier(name)} OWNER TO {quote_identifier(user)}; or let its owner add "
                "the tables, and write `publication_mode: disabled`", place)  # fmt: skip
        yield from _check_ownership(question, tables)


def _check_ownership(question: DatabaseQuestion, tables: CapturedTables) -> Iterator[Diagnostic]:
    """Check who owns the tables: one that the role does not own is enough, and nothing of the others arrives
    any more.
    """
    user, name = question.login.user, quote_identifier(publication_of(question.connector))
    yield from report_each(
        [table.name for table in tables.captured if not table.owned],
        lambda table: database_error(
            question, codes.K323, f"{user} does not own {table}, so it cannot put it into its publication, and "
            "changes of all tables would stop",
            f"ALTER TABLE {quoted_table(table)} OWNER TO {quote_identifier(user)}; or let a DBA make publication "
            f"{name}, and write `publication_mode: disabled`", place_of_table(question, table)),
    )  # fmt: skip


def _check_coverage(
    question: DatabaseQuestion, publication: Publication, tables: CapturedTables
) -> Iterator[Diagnostic]:
    """Check what is published: a partitioned table is published by its partitions."""
    name = publication_of(question.connector)
    missing = [t.name for t in tables.new if t.name not in publication.tables and not t.partitioned]
    yield from report_each(
        missing,
        lambda table: database_warning(
            question, codes.K325, f"{table} is not in publication {name}: none of its changes will arrive",
            f"ALTER PUBLICATION {quote_identifier(name)} ADD TABLE {quoted_table(table)};",
            place_of_table(question, table)),
    )  # fmt: skip


def _check_identities(question: DatabaseQuestion, tables: CapturedTables) -> Iterator[Diagnostic]:
    """Report published tables without an identity: PostgreSQL refuses the application's own UPDATE and DELETE."""
    if question.connector.config.get("replica.identity.autoset.values"):
        return
    yield from report_each(
        [table.name for table in tables.new if not table.identified],
        lambda table: database_warning(
            question, codes.K325, f"{table} has neither a primary key nor a replica identity: once it is "
            "published, PostgreSQL refuses every UPDATE and DELETE of it, whoever asks",
            f"ALTER TABLE {quoted_table(table)} REPLICA IDENTITY FULL; or give it a primary key",
            place_of_table(question, table)),
    )  # fmt: skip


POSTGRES = Engine(
    title="PostgreSQL",
    java_class="io.debezium.connector.postgresql.PostgresConnector",
    template="debezium-postgres",
    port=5432,
    required=("topic.prefix", "database.hostname", "database.user", "database.dbname"),
    lists=("table", "schema"),
    unique_on_server=(SLOT_NAME,),
    shareable=Shareable(
        PUBLICATION_NAME,
        beside=SLOT_NAME,
        rewritten_by=(PUBLICATION_MODE, "filtered"),
        consequence="each start sets it to the tables of one of them, and the other reads no more changes",
        remedy="let somebody make it for all tables: `publication_mode: disabled` for both",
    ),
    position=Position(SLOT, SLOT_NAME),
    risks={
        SLOT_NAME: moves_source(SLOT_NAME, ANOTHER_SOURCE),
        PUBLICATION_NAME: SettingRisk(codes.K415, "the old publication stays in the database", when_added=True),
        **DATABASE_NAME_RISK,
    },
    names=TableNames(database_name, shorten_name),
    incremental=SnapshotSignals(),
    list_leftovers=list_leftovers,
    drops=DropRules(
        words=r"slot|publication(?:=.+)?",
        statements={SLOT: drop_slot, PUBLICATION: drop_publication},
        list_own=list_own,
        choose=choose_drops,
        refuse=refuse_drop,
        list_obstacles=list_drop_obstacles,
    ),
    access=DatabaseAccess(
        extra="postgres",
        ssl_setting="database.sslmode",
        source_settings=frozenset(
            {*SAME_SOURCE, "database.dbname", PLUGIN, SLOT_NAME, PUBLICATION_NAME, PUBLICATION_MODE}
        ),
        check_server=check_server,
        check_tables=check_tables,
        needs_slot=needs_slot,
        quote=quoted_table,
    ),
)
