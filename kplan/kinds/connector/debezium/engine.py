"""What one database engine has of its own among Debezium's connectors: data and pure functions, no I/O.

Each engine is one `Engine` in a file of `engines/`. What kplan asks of a database before a connector reads it (`Login`,
`DatabaseQuestion`) and what all databases answer (`Relation`, `DatabaseState`) is here too: engines judge it. A class
whose objects are not compared has no `__eq__`, which takes a third of the time that the class needs at import.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import field
from typing import Any, Protocol

from kplan.diagnostics import Diagnostic
from kplan.diagnostics.codes.code import Code
from kplan.kinds.connector.debezium.table_names import Settings, TableNames
from kplan.model import Connector
from kplan.values import dataclass


# -- a database -------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class Login:
    """Where a connector's database is, and as whom it is looked into."""

    engine: Engine
    host: str
    port: int
    database: str  # empty where a connection is to all databases of the server
    user: str
    password: str = field(repr=False)
    ssl: str = ""

    @property
    def words(self) -> str:
        return describe_place(self.engine, self.database, f"{self.host}:{self.port}")


def describe_place(engine: Engine, database: str, address: str) -> str:
    """Return `PostgreSQL database shop at HOST:PORT`, without the database where its name is empty."""
    return f"{engine.title} database {database} at {address}" if database else f"{engine.title} at {address}"


@dataclass(frozen=True, slots=True, eq=False)
class DatabaseQuestion:
    """A connector that is about to be made or to capture more. `fresh`: all of it counts, not only what comes in."""

    connector: Connector
    login: Login
    fresh: bool = True
    before: Connector | None = None
    reads: bool = False  # the rows that the new tables already have
    added: frozenset[str] = frozenset()  # entries of its list, as people write them

    def text(self, setting: str, default: str) -> str:
        """Return the text of a setting, or what Debezium takes where it is not set."""
        value = self.connector.config.get(setting)
        return value if isinstance(value, str) and value else default


@dataclass(frozen=True, slots=True)
class Relation:
    """A table as the login sees it. `identified`: the server can tell which row an UPDATE or a DELETE means."""

    name: str
    readable: bool = True
    writable: bool = True
    owned: bool = True
    identified: bool = True
    unlogged: bool = False
    partitioned: bool = False


class DatabaseState(Protocol):
    """What a look into a database found; each engine's own has more."""

    @property
    def relations(self) -> tuple[Relation, ...]: ...


@dataclass(frozen=True, slots=True, eq=False)
class CapturedTables:
    """What the connector's lists make of the tables there are. `new`: what it did not capture before."""

    captured: tuple[Relation, ...]
    new: tuple[Relation, ...]
    absent: tuple[str, ...]
    signals: tuple[str, ...]  # tables of signals that are not there


# -- an engine --------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True, eq=False)
class SettingRisk:
    """What a change of a setting leads to; `when_added`: also where it had no value before."""

    code: Code
    message: str
    when_added: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Shareable:
    """A setting that names something of one database, which connectors may share unless one of them rewrites it.

    It counts for a connector for which `beside` is unique. A connector rewrites it where the setting `rewritten_by[0]`
    has the value `rewritten_by[1]`. `consequence` and `remedy` continue the sentences of a diagnostic.
    """

    setting: str
    beside: str
    rewritten_by: tuple[str, str]
    consequence: str
    remedy: str


@dataclass(frozen=True, slots=True, eq=False)
class Position:
    """What the server keeps for a connector, apart from offsets: the word for it, and the setting that names it."""

    word: str
    setting: str


@dataclass(frozen=True, slots=True, eq=False)
class SnapshotSignals:
    """How a signal names tables. `find_catalog` returns the first part of their full names where include lists do not
    have it. `takes_patterns`: a signal may hold expressions. `reports_missing`: a table that is not there has a status
    of its own, so that EMPTY means that it was read."""

    find_catalog: Callable[[Connector], str] | None = None
    takes_patterns: bool = True
    reports_missing: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class DropRules:
    """What of a deleted connector kplan can drop, as texts `KIND NAME`; without `statements` there is nothing.

    `words` is the regular expression of what people ask for, `statements` the SQL by kind. `list_own` returns all that
    a connector has, `choose` what of it goes for these words, `refuse` why the words do not fit the connector (or "").
    `list_obstacles` says why the login could not drop it now.
    """

    words: str = ""
    statements: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    list_own: Callable[[Connector], tuple[str, ...]] = lambda connector: ()
    choose: Callable[[Connector, Collection[str]], tuple[str, ...]] = lambda connector, words: ()
    refuse: Callable[[Connector, Collection[str]], str] = lambda connector, words: ""
    list_obstacles: Callable[[DatabaseQuestion, Any, Collection[str]], Iterator[str]] = lambda *_: iter(())


@dataclass(frozen=True, slots=True, eq=False)
class DatabaseAccess:
    """How kplan itself looks into such a database; its driver is in `servers/databases`, keyed by the engine.

    `extra` of kplan's package brings the client library. A change of one of `source_settings` makes it another source.
    `check_server` judges what the server and the login are like, with how many new slots are coming on it;
    `check_tables` the tables. `needs_slot`: the connector makes a slot. `quote` writes a table for a statement.
    """

    extra: str
    ssl_setting: str
    source_settings: frozenset[str]
    check_server: Callable[[DatabaseQuestion, Any, CapturedTables, int], Iterator[Diagnostic]]
    check_tables: Callable[[DatabaseQuestion, CapturedTables], Iterator[Diagnostic]] = lambda question, tables: iter(())
    needs_slot: Callable[[Any], bool] = lambda state: False
    quote: Callable[[str], str] = lambda table: table


def drop_table(name: str) -> str:
    """Return what is left of signals, with its command."""
    return f"the table of signals: DROP TABLE {name};"


@dataclass(frozen=True, slots=True, eq=False)
class Engine:
    """One engine. Two are the same only where they are one object."""

    title: str  # as people call it
    java_class: str
    template: str  # kplan's connector template
    port: int
    required: tuple[str, ...]  # settings without which the plugin refuses a configuration
    # The nouns of its include and exclude lists, that of single tables first: `table` for `table.include.list`.
    lists: tuple[str, ...]
    unique_on_server: tuple[str, ...] = ()  # settings of which two connectors of a server cannot have the same value
    shareable: Shareable | None = None
    position: Position | None = None
    risks: Mapping[str, SettingRisk] = field(default_factory=dict)  # by setting
    names: TableNames = field(default_factory=TableNames)
    # The server, where that is not `database.hostname`; "" where the settings do not say it.
    find_host: Callable[[Settings], str] | None = None
    incremental: SnapshotSignals | None = None
    # What a deleted connector leaves in its database, each with its command; and an entry of `signal.data.collection`.
    list_leftovers: Callable[[Settings], Iterator[str]] = lambda config: iter(())
    describe_signals: Callable[[str], str] = drop_table
    drops: DropRules | None = None
    access: DatabaseAccess | None = None  # without it kplan does not look into such a database
    # What to do where the plugin's own words lead astray, by a part of them.
    misleading_failures: Mapping[str, str] = field(default_factory=dict)

    @property
    def simple_name(self) -> str:
        """Return the Java class without its package, which Connect takes as well."""
        return self.java_class.rpartition(".")[2]

    @property
    def table_list(self) -> str:
        """Return the setting with the tables to capture."""
        return f"{self.lists[0]}.include.list"
