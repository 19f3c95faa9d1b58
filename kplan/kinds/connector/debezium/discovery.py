"""The tables of a database as one connector sees them: captured, left out, or not to be read incrementally."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from kplan.diagnostics import KplanError, codes
from kplan.kinds.connector.debezium.engine import Login, describe_place
from kplan.kinds.connector.debezium.engines import ENGINES, engine_of
from kplan.kinds.connector.tables import is_pattern, split
from kplan.language import limits as bounded
from kplan.model import Connector, Secret, Text
from kplan.text import count, format_size
from kplan.values import dataclass

WORKER = re.compile(r"\w+://(?:[^/@]*@)?(\[[^]]*\]|[^:/,]*)")
LOOPBACK = re.compile(r"localhost(?:\.localdomain)?|127(?:\.\d+){3}|\[?::1\]?")
WITHOUT_KEY = "no primary key: its rows cannot be read incrementally"


@dataclass(frozen=True, slots=True)
class DiscoveredTable:
    """A table that the database has. `name` is as an include list has it; `rows` and `bytes` are its statistics'.

    `unique` are the columns of a unique index without NULL, which Debezium takes where there is no primary key.
    """

    name: str
    primary_key: tuple[str, ...] = ()
    unique: tuple[str, ...] = ()
    rows: int | None = None
    bytes: int | None = None
    notes: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Seen:
    """A table, and what the connector makes of it. `incremental`: its rows can be asked for by a signal."""

    table: DiscoveredTable
    captured: bool
    incremental: bool

    @property
    def notes(self) -> tuple[str, ...]:
        return self.table.notes if self.incremental else (WITHOUT_KEY, *self.table.notes)


@dataclass(frozen=True, slots=True)
class Discovery:
    """`patterns`: entries that may stand for several tables. `absent`: entries that no table matches."""

    connector: str
    login: Login
    tables: tuple[Seen, ...] = ()
    patterns: tuple[str, ...] = ()
    absent: tuple[str, ...] = ()

    def names(self, captured: bool) -> list[str]:
        return [seen.table.name for seen in self.tables if seen.captured is captured]


def login(connector: Connector, host: str = "", password: str | None = None) -> Login:
    """Return how the connector logs in; `host` (HOST or HOST:PORT) and `password` go before what it says. Raises
    KplanError.
    """
    engine = engine_of(connector)
    if engine is None or engine.access is None:
        readable = [each.title for each in ENGINES.values() if each.access is not None]
        raise KplanError(
            f"{connector.name} is {connector.java_class or 'of no known class'}",
            code=codes.K320,
            help=f"kplan looks into databases of {', '.join(readable)} alone",
        )
    config = connector.config
    name, colon, port = host.rpartition(":") if re.search(r":\d+\Z", host) else (host, "", "")
    if not colon:
        port = _text(connector, "database.port") or str(engine.port)
    if not port.isdigit():
        raise KplanError(f"{connector.name}: database.port is {port}", code=codes.K320, help="give --host HOST:PORT")
    return Login(
        engine,
        name or _require_setting(connector, "database.hostname", "give --host HOST:PORT"),
        int(port),
        _text(connector, "database.dbname"),
        _require_setting(connector, "database.user", ""),
        _password(connector) if password is None else password,
        str(config.get(engine.access.ssl_setting) or ""),
    )


def login_from_here(connector: Connector, connect_url: str) -> Login:
    """Return how the connector logs in. Raises KplanError, too, where its `localhost` is another machine
    than this one.
    """
    found = login(connector)
    worker = WORKER.match(connect_url)
    if LOOPBACK.fullmatch(found.host) and not (worker and LOOPBACK.fullmatch(worker.group(1))):
        raise KplanError(f"{found.host} is the Connect worker's, not this machine", code=codes.K310)
    return found


def describe_database(connector: Connector) -> str:
    """Return `PostgreSQL database shop at HOST:PORT`; empty where the config does not have it in plain words."""
    engine = engine_of(connector)
    if engine is None or engine.access is None:
        return ""
    values = (connector.config.get(f"database.{key}", usual)
              for key, usual in (("hostname", ""), ("port", str(engine.port)), ("dbname", "")))  # fmt: skip
    host, port, name = (value if isinstance(value, str) and "${" not in value else "" for value in values)
    return describe_place(engine, name, f"{host}:{port}") if host and port else ""


def _text(connector: Connector, key: str) -> str:
    value = connector.config.get(key)
    return (value.value or "") if isinstance(value, Secret) else str(value or "")


def _require_setting(connector: Connector, key: str, help: str) -> str:
    """Return a setting that must be at hand. Raises KplanError, too, for a reference that Connect alone resolves."""
    value = _text(connector, key)
    if not value or "${" in value:
        said = "refers to what only Connect knows" if value else "is not set"
        raise KplanError(
            f"{connector.name}: {key} {said}", code=codes.K320, help=help or f"write {key} out in the stack"
        )
    return value


def _password(connector: Connector) -> str:
    value: Text = connector.config.get("database.password", "")
    if isinstance(value, Secret) and value.value is None:
        raise KplanError(
            f"{connector.name}: database.password is {value.ref or 'a secret'}, which has no value here",
            code=codes.K316,
            help="set the variable, or name the environment variable that holds it: --password-env NAME",
        )
    if "${" in _text(connector, "database.password"):
        raise KplanError(
            f"{connector.name}: database.password refers to what only Connect knows",
            code=codes.K316,
            help="name the environment variable that holds it: --password-env NAME",
        )
    return _text(connector, "database.password")


def databases(connector: Connector) -> list[str]:
    """Return the databases that the connector names, as it must be there with its tables; patterns are none."""
    names = [entry.replace("\\", "") for entry in _entries(connector.config, "database.include.list")]
    return [name for name in names if not is_pattern(name)]


# -- what is captured -------------------------------------------------------------------------------------------------
def discovery(connector: Connector, login: Login, tables: Iterable[DiscoveredTable]) -> Discovery:
    """Return the database's tables as Debezium's filters judge them. Raises KplanError for a list that
    cannot be read.
    """
    there = sorted(tables, key=lambda table: table.name)
    captures = make_table_filter(connector.config)
    keyed = _any(_find_keyed_tables(connector.config))
    seen = [
        Seen(t, captures(t.name), bool(t.primary_key or t.unique or (keyed is not None and keyed(t.name))))
        for t in there
    ]
    entries = _entries(connector.config, "table.include.list")
    found = [_matching(entry) for entry in entries]
    absent = [
        e.replace("\\", "") for e, fits in zip(entries, found, strict=True) if not any(fits(t.name) for t in there)
    ]
    return Discovery(
        connector.name, login, tuple(seen), tuple(e for e in entries if is_pattern(e.replace("\\", ""))), tuple(absent)
    )


def make_table_filter(config: Mapping[str, Text]) -> Callable[[str], bool]:
    """Return whether a table passes: its own lists, and those of the database or schema that is the name's first part.

    Of an include list and an exclude list the first counts (io.debezium.relational.RelationalTableFilters); the table
    of signals is captured whatever they say.
    """
    signals = _entries(config, "signal.data.collection")
    own = make_list_filter(config, "table.include.list", "table.exclude.list")
    outer = [
        make_list_filter(config, f"{each}.include.list", f"{each}.exclude.list") for each in ("schema", "database")
    ]

    def captures(name: str) -> bool:
        first = name.split(".")[0]
        return name in signals or (own(name) and all(passes(first) for passes in outer))

    return captures


def make_list_filter(config: Mapping[str, Text], include: str, exclude: str) -> Callable[[str], bool]:
    """Return whether a name passes a pair of a connector's lists, of which an include list decides alone."""
    wanted, unwanted = _any(_entries(config, include)), _any(_entries(config, exclude))
    if wanted is not None:
        return wanted
    return (lambda name: True) if unwanted is None else lambda name: not unwanted(name)


def _entries(config: Mapping[str, Text], key: str) -> list[str]:
    value = config.get(key)
    return split(value) if isinstance(value, str) else []


def _find_keyed_tables(config: Mapping[str, Text]) -> list[str]:
    """Return the tables that `message.key.columns` gives a key: `TABLES:COLUMNS`, with a semicolon between two."""
    value = config.get("message.key.columns")
    return (
        [part.rpartition(":")[0].strip() for part in value.split(";") if ":" in part] if isinstance(value, str) else []
    )


def _any(entries: Sequence[str]) -> Callable[[str], bool] | None:
    """Whether one of the entries matches; None where there is none."""
    tests = [_matching(entry) for entry in entries]
    return (lambda name: any(test(name) for test in tests)) if tests else None


def _matching(entry: str) -> Callable[[str], bool]:
    """Return a test as Debezium reads an entry: the whole name, in upper or lower case
    (io.debezium.function.Predicates).
    """

    def make_refusal(e: ValueError) -> KplanError:
        return KplanError(
            f"kplan cannot read {entry!r}: {e}", code=codes.K320, help="write a simpler regular expression"
        )

    try:
        pattern = bounded.pattern(f"(?i:{entry})", re.ASCII)
    except ValueError as e:
        raise make_refusal(e) from e

    def test(name: str) -> bool:
        try:
            return pattern.match(name) is not None
        except ValueError as e:
            raise make_refusal(e) from e

    return test


# -- how it is told ---------------------------------------------------------------------------------------------------
def document(found: Discovery) -> dict[str, Any]:
    """Return what `--format json` prints."""
    return {
        "connector": found.connector,
        "database": {"engine": found.login.engine.title, "host": found.login.host, "port": found.login.port,
                     "name": found.login.database or None},
        "tables": [
            {"name": s.table.name, "captured": s.captured, "primary_key": list(s.table.primary_key),
             "incremental": s.incremental, "rows": s.table.rows, "bytes": s.table.bytes, "notes": list(s.notes)}
            for s in found.tables
        ],
        "patterns": list(found.patterns),
        "absent": list(found.absent),
    }  # fmt: skip


def lines(found: Discovery) -> list[str]:
    """Return the same for people: the tables, what is wrong with them, and what to write to capture the others."""
    captured, left = found.names(True), found.names(False)
    told = [f"{found.connector}: {found.login.words}"]
    for title, part in (("captured", True), ("not captured", False)):
        chosen = [seen for seen in found.tables if seen.captured is part]
        if chosen:
            told += ["", f"{title}:", *_rows(chosen)]
    if found.absent:
        told += ["", "named by the connector, and not in the database:", *(f"  {name}" for name in found.absent)]
    told += ["", f"{count(len(found.tables), 'table')}: {len(captured)} captured, {len(left)} not."]
    if left:
        told += [
            "",
            f"To capture more, write them under `tables:` of connector {found.connector}:",
            *format_tables(left),
        ]
    if found.patterns and captured:
        told += ["", f"The patterns {', '.join(found.patterns)} stand for these; one by one each has a topic:",
                 *format_tables(captured)]  # fmt: skip
    return told


def _rows(chosen: Sequence[Seen]) -> list[str]:
    width = max(len(seen.table.name) for seen in chosen)
    told = []
    for seen in chosen:
        key = ", ".join(seen.table.primary_key) or (
            f"unique {', '.join(seen.table.unique)}" if seen.table.unique else "-"
        )
        rows = "?" if seen.table.rows is None else f"~{seen.table.rows:,}"
        stored = "?" if seen.table.bytes is None else format_size(seen.table.bytes)
        told.append(f"  {seen.table.name:<{width}}  {rows:>12} rows  {stored:>10}  key {key}")
        told += [f"    {note}" for note in seen.notes]
    return told


def format_tables(names: Iterable[str]) -> list[str]:
    """Return lines of a stack's `tables:`."""
    return ["    tables:", *(f"      {_key(name)}:" for name in names)]


def _key(name: str) -> str:
    """Return a table's name as a key of YAML."""
    if re.fullmatch(r"[A-Za-z_][\w.$-]*", name):
        return name
    return '"' + name.replace("\\", "\\\\").replace('"', '\\"') + '"'
