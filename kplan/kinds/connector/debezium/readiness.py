"""Whether a database is as a connector needs it, judged by what one look into it found.

What depends on the engine is judged by `Engine.access`; the tables themselves are judged here, alike for all.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from typing import TypeVar

from kplan.diagnostics import Diagnostic, codes
from kplan.kinds.connector.debezium.database_problems import (
    database_error,
    place_of_table,
    report_each,
    signal_tables,
)
from kplan.kinds.connector.debezium.discovery import DiscoveredTable, discovery
from kplan.kinds.connector.debezium.engine import (
    CapturedTables,
    DatabaseAccess,
    DatabaseQuestion,
    DatabaseState,
    Login,
    Relation,
)
from kplan.kinds.connector.debezium.engines import TABLE_LISTS, engine_of, is_readable
from kplan.kinds.connector.debezium.incremental import name_of, new_tables
from kplan.kinds.connector.options import snapshots_of
from kplan.kinds.connector.tables import is_pattern
from kplan.model import Action, Change, Connector

READS_NO_ROWS = ("no_data", "never", "schema_only", "recovery", "schema_only_recovery")  # of `snapshot.mode`
K = TypeVar("K")


# -- what is asked ----------------------------------------------------------------------------------------------------
def wants(change: Change) -> bool:
    """Whether `change` makes a connector of a database that can be looked into, or gives it something new to read."""
    after = change.after
    if not isinstance(after, Connector) or not is_readable(after.java_class):
        return False
    return _is_fresh(change) or (
        change.action in (Action.UPDATE, Action.MOVE) and any(diff.key in TABLE_LISTS for diff in change.diffs)
    )


def _is_fresh(change: Change) -> bool:
    """Tell whether the connector reads a database that it did not read before, or in another way."""
    if change.action in (Action.CREATE, Action.REPLACE):
        return True
    engine = engine_of(change.after) if isinstance(change.after, Connector) else None
    settings = engine.access.source_settings if engine is not None and engine.access is not None else frozenset()
    return not change.is_ledger_only and any(diff.key in settings for diff in change.diffs)


def ask(change: Change, connector: Connector, login: Login) -> DatabaseQuestion:
    """Return what is to be known of the connector's database before `change` is made."""
    fresh = _is_fresh(change)
    mode = connector.config.get("snapshot.mode")
    takes_snapshot = change.action in (Action.CREATE, Action.REPLACE) and mode not in READS_NO_ROWS
    before = change.before if isinstance(change.before, Connector) else None
    added = frozenset(map(name_of, new_tables(change)))
    return DatabaseQuestion(connector, login, fresh, before, takes_snapshot or bool(snapshots_of(change)), added)


# -- what is wrong ----------------------------------------------------------------------------------------------------
def count_new_slots(
    questions: Mapping[K, DatabaseQuestion], states: Mapping[K, DatabaseState]
) -> Counter[tuple[str, int]]:
    """Return how many slots will be made on each server: several connectors may want the last one."""
    fresh = [
        question.login
        for key, state in states.items()
        if (question := questions[key]).fresh and _access(question).needs_slot(state)
    ]
    return Counter((login.host, login.port) for login in fresh)


def _access(question: DatabaseQuestion) -> DatabaseAccess:
    access = question.login.engine.access
    assert access is not None, "a login is made only for what can be looked into"
    return access


def problems(question: DatabaseQuestion, state: DatabaseState, new_slots: int = 1) -> Iterator[Diagnostic]:
    """Yield what keeps the connector from working, and what will be missing, each where the stack says it.

    Raises KplanError for a list of tables that cannot be read.
    """
    tables = find_captured(question, state.relations)
    yield from _access(question).check_server(question, state, tables, new_slots)
    yield from _check_tables(question, tables)
    yield from _access(question).check_tables(question, tables)


def find_captured(question: DatabaseQuestion, relations: Collection[Relation]) -> CapturedTables:
    """Return which of the database's tables the connector captures. Raises KplanError for a list it cannot read."""
    there = [DiscoveredTable(relation.name) for relation in relations]
    connector, login, before = question.connector, question.login, question.before
    found = discovery(connector, login, there)
    captured = set(found.names(True))
    old = set() if question.fresh or before is None else set(discovery(before, login, there).names(True))
    names = {table.name for table in there}
    absent = [name for name in found.absent if not is_pattern(name) and (question.fresh or name in question.added)]
    signals = [name for name in signal_tables(connector) if name not in names] if question.fresh else []
    return CapturedTables(
        tuple(relation for relation in relations if relation.name in captured),
        tuple(relation for relation in relations if relation.name in captured - old),
        tuple(absent),
        tuple(signals),
    )


def _check_tables(question: DatabaseQuestion, tables: CapturedTables) -> Iterator[Diagnostic]:
    """Yield the tables that are not there, and the new ones that may not be read."""
    where, user = question.login.words, question.login.user
    quote = _access(question).quote
    yield from report_each(
        tables.absent,
        lambda name: database_error(
            question, codes.K322, f"{name} is not in the {where}, or {user} may not see it",
            f"correct the name, or create the table; `kplan discover {shlex.quote(question.connector.name)} STACK` "
            "lists those that are there", place_of_table(question, name)),
    )  # fmt: skip
    for name in tables.signals:
        yield database_error(
            question, codes.K322, f"the table of signals {name} is not in the {where}: without it the connector hangs",
            f"CREATE TABLE {name} (id varchar(64) PRIMARY KEY, type varchar(32), data varchar(2048));",
            question.connector.origin.at("/config/signal.data.collection"))  # fmt: skip
    unread = [table.name for table in tables.new if not table.readable] if question.reads else []
    yield from report_each(
        unread,
        lambda name: database_error(question, codes.K322, f"{user} may not read {name}",
                                    f"GRANT SELECT ON {quote(name)} TO {user};", place_of_table(question, name)),
    )  # fmt: skip
