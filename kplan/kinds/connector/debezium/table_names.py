"""How the stacks of an engine name tables, and in which database a name without one is."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping

from kplan.language.template import PLAIN_NAME
from kplan.values import dataclass

Settings = Mapping[str, str]  # those of a connector that are plain texts


def first_database_name(config: Settings) -> str:
    """Return the first of `database.names`."""
    return config.get("database.names", "").split(",")[0].strip()


def database_name(config: Settings) -> str:
    """Return `database.dbname`."""
    return config.get("database.dbname", "")


def home_by_lists(table_list: str) -> Callable[[Settings], str]:
    """Return the function that takes the first part of the first table in `table_list`, or the first database."""

    def find_home(config: Settings) -> str:
        of_table = _first_name(config.get(table_list, "")).rpartition(".")[0]
        databases = _first_name(config.get("database.include.list", ""))
        return next((name for name in (of_table, databases) if name and PLAIN_NAME.match(name)), "")

    return find_home


def _first_name(listed: str) -> str:
    return re.sub(r"\\(.)", r"\1", listed.split(",")[0].strip())


def without_home(entry: str, home: str) -> tuple[str, str]:
    """Return a table's full name, and the shortest way to write it: without the database that it is in by itself."""
    short = entry.removeprefix(f"{home}.")
    return entry, entry if "." in short else short


@dataclass(frozen=True, slots=True, eq=False)
class TableNames:
    """`find_home` returns the database that tables without a database's name are in, or "". `shorten` takes an entry
    of the include list and that database, and returns the full name and the shortest way to write it. `parts` is how
    many a topic's name has behind the prefix."""

    find_home: Callable[[Settings], str] = first_database_name
    shorten: Callable[[str, str], tuple[str, str]] = without_home
    parts: int = 2
