"""A connector's tables: names and patterns, the include list, and what is left out of a row or masked in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any

from kplan.language import limits as bounded
from kplan.language.template import PLAIN_NAME, regex
from kplan.patterns import late_pattern
from kplan.values import dataclass

TOPIC_SETTINGS = ("class", "partitions", "replication_factor", "config")
DATABASE = late_pattern(r"([\w$#@ -]+)\\?\.")  # what a pattern begins with, where that is no pattern itself
ENTRY = late_pattern(r"(?:\\.?|[^\\,])+", re.DOTALL)  # of a list: a comma of an expression has a backslash before it
COMMA = late_pattern(r"(\\.)|,", re.DOTALL)
EXCLUDING = late_pattern(r"\(\?!\(\?:(.*?)\)\$\)\(\?:(.*)\)\Z", re.DOTALL)  # as `without` writes it
JAVA = late_pattern(r"\\[pPQEhHRXzZGkK]|\(\?<[A-Za-z]|\(\?[a-zA-Z]*-?[dU]|&&|\[[^]]*\[|\)\+\+")  # read otherwise here
Property = Callable[..., str]  # the name of a property for a kind of column setting; raises Unsupported


class UnsupportedPattern(Exception):
    """The connector cannot do this with columns."""


class Unwritable(Exception):
    """A name has a character that the list it is to stand in cannot hold. `at` is where it is written."""

    def __init__(self, name: str, at: tuple[str | int, ...]) -> None:
        super().__init__(name)
        self.at = at


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


def split(text: str) -> list[str]:
    """Return the entries of a list of regular expressions as Debezium cuts it
    (io.debezium.util.Strings.RegExSplitter).
    """
    return [entry.strip().replace("\\,", ",") for entry in ENTRY.findall(text) if entry.strip()]


def as_entry(text: str) -> str:
    """Return a regular expression as it stands in such a list: a comma of its own does not cut it."""
    return COMMA.sub(lambda found: found[1] or r"\,", text)


def unescape_name(text: str) -> str:
    """Return the name that a regular expression of one name matches."""
    return re.sub(r"\\(.)", r"\1", text)


def wording(text: str) -> str:
    """Return an entry of an include list as people write it: a name, or a pattern with what it leaves out."""
    if not is_pattern(name := unescape_name(text)):
        return name
    pattern, excluded = parts(text)
    return f"{pattern} without {', '.join(map(wording, excluded))}" if excluded else text


def parts(text: str) -> tuple[str, tuple[str, ...]]:
    """Return a pattern, and the regular expressions that it leaves out."""
    found = EXCLUDING.match(text)
    return (found[2], _alternatives(found[1])) if found else (text, ())


def _alternatives(text: str) -> tuple[str, ...]:
    """Return what stands between the `|` of a regular expression that are in no group."""
    found, depth = [""], 0
    for piece in re.findall(r"\\.?|\[\^?\]?(?:\\.|[^\]])*\]|.", text, re.DOTALL):
        depth += (piece == "(") - (piece == ")")
        if piece == "|" and depth == 0:
            found.append("")
        else:
            found[-1] += piece
    return tuple(found)


def find_gained_entries(before: Sequence[str], after: Sequence[str]) -> list[str]:
    """Return what a list captures that another did not, as entries: a name that was matched already, or a pattern that
    leaves out more than before, is nothing new.
    """
    names = {unescape_name(each).lower() for each in before}
    old = {pattern: excluded for pattern, excluded in map(parts, before) if is_pattern(unescape_name(pattern))}
    patterns = [each for each in before if is_pattern(unescape_name(each))]

    def is_new(name: str) -> bool:
        return name.lower() not in names and not any(matches(each, name) for each in patterns)

    found: list[str] = []
    for each in after:
        pattern, excluded = parts(each)
        if each in before:
            continue
        if not is_pattern(name := unescape_name(each)):
            found += [each] if is_new(name) else []
        elif pattern not in old:
            found.append(each)
        else:
            back = [other for other in old[pattern] if other not in excluded]
            found += [other for other in back if is_pattern(name := unescape_name(other)) or
                      (is_new(name) and matches(pattern, name))]  # fmt: skip
    return list(dict.fromkeys(found))


def matches(text: str, name: str) -> bool:
    """Whether the entry matches as Debezium reads it: the whole name, in upper or lower case
    (io.debezium.function.Predicates). An entry that cannot be read here matches nothing.
    """
    try:
        return bounded.pattern(f"(?i:{text})", re.ASCII).match(name) is not None
    except ValueError:
        return False


def include_list(tables: Sequence[Table], excluded: Sequence[str]) -> list[str]:
    """Return the regular expressions that capture the tables and none of those that a pattern excludes."""
    named = [regex(table.include) for table in tables if not table.is_pattern]
    patterns = [table.include for table in tables if table.is_pattern]
    if excluded and not tables:
        patterns = [".*"]
    return list(dict.fromkeys([*named, *(without(pattern, excluded) for pattern in patterns)]))


def without(pattern: str, excluded: Sequence[str]) -> str:
    """Return the pattern, and none of those excluded: Debezium takes an include list or an exclude list, not both."""
    if not excluded:
        return pattern
    return f"(?!(?:{'|'.join(regex(each) for each in excluded)})$)(?:{pattern})"


def with_signals(tables: Sequence[Table], config: Mapping[str, str], own: Mapping[str, Any]) -> list[Table]:
    """Return the tables, and those of signals: they are captured too, and a list of columns to write must let them
    pass.
    """
    listed = {**config, **(own.get("config") or {})}.get("signal.data.collection") or ""
    names = [".".join(name.strip().split(".")[-2:]) for name in str(listed).split(",") if name.strip()]
    known = {table.include for table in tables}
    return [*tables, *(Table(name, name, name) for name in names if name not in known)]


def databases(tables: Sequence[Table]) -> list[str]:
    """Return the databases that the tables are in, as regular expressions; none where a pattern does not say
    its own.
    """
    found = {name for table in tables if (name := _database(table))}
    return sorted(map(regex, found)) if all(map(_database, tables)) else []


def _database(table: Table) -> str:
    if not table.is_pattern:
        return table.name.split(".")[0]
    match = DATABASE.match(table.include)
    return match[1] if match else ""


def column_settings(tables: Sequence[Table], column: Callable[[Table, str], str], named: Property) -> dict[str, str]:
    """Return the properties that say what happens to columns. `column` gives a column's entry in such a list.

    Raises Unsupported and Unwritable.
    """
    lists: dict[str, dict[str, None]] = {}
    chosen = any(_columns(table).get("include") for table in tables)
    for table in tables:
        for property_name, entry in _of_table(table, chosen, column, named):
            lists.setdefault(property_name, {})[as_entry(entry)] = None
    keys = [_key(table, key) for table in tables if (key := table.settings.get("key"))]
    found = {name: ",".join(entries) for name, entries in lists.items()}
    return {**found, named("key"): ";".join(dict.fromkeys(keys))} if keys else found


def _of_table(
    table: Table, chosen: bool, column: Callable[[Table, str], str], named: Property
) -> Iterator[tuple[str, str]]:
    """Yield one table's entries in the lists of columns. Where one table has a list of columns to include, all need
    one.
    """
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


def _key(table: Table, columns: Sequence[str]) -> str:
    """Return TABLE:COLUMNS, of which Debezium makes regular expressions by cutting at colons, semicolons, commas and
    blanks (io.debezium.relational.Key.CustomKeyMapper); a group that is `(?:…)` has a colon. Raises Unwritable.
    """
    name = f"({table.include})" if table.is_pattern and "|" in table.include else regex(table.include)
    for text, cuts in ((name, r"[:;\s]"), *((each, r"[:;,\s]") for each in columns)):
        if re.search(cuts, text):
            raise Unwritable(text, table.at)
    return f"{as_entry(name)}:{','.join(map(regex, columns))}"


def problem_of(text: str) -> str:
    """Return why this is no regular expression; empty where it is one, or one that only Java reads."""
    try:
        bounded.pattern(text)
    except ValueError as e:
        return "" if JAVA.search(text) else str(e)
    return ""
