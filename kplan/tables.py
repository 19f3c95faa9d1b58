"""A connector's tables: names and patterns, the include list, and what is left out of a row or masked in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from kplan.template import PLAIN_NAME, regex

TOPIC_SETTINGS = ("partitions", "replication_factor", "config")
DATABASE = re.compile(r"([\w$#@ -]+)\\?\.")  # what a pattern begins with, where that is no pattern itself
Property = Callable[..., str]  # the name of a property for a kind of column setting; raises Unsupported


class Unsupported(Exception):
    """The connector cannot do this with columns."""


@dataclass(frozen=True, slots=True)
class Table:
    """An entry of `tables:`. `name` is its full name in the database, `include` what the include list says for it;
    of a pattern both are the pattern."""

    written: str
    name: str
    include: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    at: tuple[str | int, ...] = ()

    @property
    def is_pattern(self) -> bool:
        return is_pattern(self.include)


def describes_topic(settings: Mapping[str, Any]) -> bool:
    """Whether a table's settings say how its topic should be."""
    return any(settings.get(key) is not None for key in TOPIC_SETTINGS)


def is_pattern(text: str) -> bool:
    """Whether it may stand for several tables: it holds more than a name does."""
    return not PLAIN_NAME.match(text)


def include_list(tables: Sequence[Table], excluded: Sequence[str]) -> list[str]:
    """The regular expressions that capture the tables and none of those that a pattern excludes."""
    named = [regex(table.include) for table in tables if not table.is_pattern]
    patterns = [table.include for table in tables if table.is_pattern]
    if excluded and not tables:
        patterns = [".*"]
    return list(dict.fromkeys([*named, *(without(pattern, excluded) for pattern in patterns)]))


def without(pattern: str, excluded: Sequence[str]) -> str:
    """The pattern, and none of those excluded: Debezium takes an include list or an exclude list, not both."""
    if not excluded:
        return pattern
    return f"(?!(?:{'|'.join(regex(each) for each in excluded)})$)(?:{pattern})"


def with_signals(tables: Sequence[Table], config: Mapping[str, str], own: Mapping[str, Any]) -> list[Table]:
    """The tables, and those of signals: they are captured too, and a list of columns to write must let them pass."""
    listed = {**config, **(own.get("config") or {})}.get("signal.data.collection") or ""
    names = [".".join(name.strip().split(".")[-2:]) for name in str(listed).split(",") if name.strip()]
    known = {table.include for table in tables}
    return [*tables, *(Table(name, name, name) for name in names if name not in known)]


def databases(tables: Sequence[Table]) -> list[str]:
    """The databases that the tables are in, as regular expressions; none where a pattern does not say its own."""
    found = {name for table in tables if (name := _database(table))}
    return sorted(map(regex, found)) if all(map(_database, tables)) else []


def _database(table: Table) -> str:
    if not table.is_pattern:
        return table.name.split(".")[0]
    match = DATABASE.match(table.include)
    return match[1] if match else ""


def column_settings(tables: Sequence[Table], column: Callable[[Table, str], str], named: Property) -> dict[str, str]:
    """The properties that say what happens to columns. `column` gives a column's entry in such a list.

    Raises Unsupported.
    """
    lists: dict[str, dict[str, None]] = {}
    chosen = any(_columns(table).get("include") for table in tables)
    for table in tables:
        for property_name, entry in _of_table(table, chosen, column, named):
            lists.setdefault(property_name, {})[entry] = None
    keys = [f"{_grouped(table)}:{','.join(map(regex, key))}" for table in tables if (key := table.settings.get("key"))]
    found = {name: ",".join(entries) for name, entries in lists.items()}
    return {**found, named("key"): ";".join(dict.fromkeys(keys))} if keys else found


def _of_table(
    table: Table, chosen: bool, column: Callable[[Table, str], str], named: Property
) -> Iterator[tuple[str, str]]:
    """One table's entries in the lists of columns. Where one table has a list of columns to include, all need one."""
    columns = _columns(table)
    if chosen:
        for name in columns.get("include") or [_all_but(columns.get("exclude") or ())]:
            yield named("include"), column(table, name)
    else:
        for name in columns.get("exclude") or ():
            yield named("exclude"), column(table, name)
    for name, how in (columns.get("mask") or {}).items():
        if isinstance(how, Mapping):
            yield named("hash", algorithm=how["hash"], salt=how["salt"]), column(table, name)
        else:
            yield named("mask", length=how), column(table, name)
    for name, length in (columns.get("truncate") or {}).items():
        yield named("truncate", length=length), column(table, name)


def _columns(table: Table) -> Mapping[str, Any]:
    return table.settings.get("columns") or {}


def _all_but(excluded: Iterable[str]) -> str:
    names = "|".join(map(regex, excluded))
    return f"(?!(?:{names})$).*" if names else ".*"


def _grouped(table: Table) -> str:
    return f"(?:{table.include})" if table.is_pattern else regex(table.include)
