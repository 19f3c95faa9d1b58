"""The structures of tables, read from a file of DDL: a dump without rows, or statements that people wrote.

sqlglot cuts the text into tokens, in which texts, comments and quotes of each dialect are known. The statements that
say what columns a table has are read here, with all else left out.

Sources: https://www.postgresql.org/docs/current/sql-createtable.html, its sql-altertable.html, and
https://mariadb.com/kb/en/create-table/
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import field, replace
from typing import Final

from kplan.diagnostics import KplanError, codes
from kplan.kinds.connector.debezium.prediction.structure import Column, TableStructure
from kplan.values import dataclass

POSTGRES, MYSQL = "postgres", "mysql"  # dialects of sqlglot
META_COMMAND: Final = re.compile(r"^\\.*$", re.MULTILINE)  # of psql; pg_dump writes \restrict
ROWS: Final = re.compile(r"^COPY [^;]*FROM stdin;\n.*?^\\\.$", re.MULTILINE | re.DOTALL)
ENDS_OF_TYPES: Final = frozenset((
    "NOT", "NULL", "DEFAULT", "PRIMARY", "UNIQUE", "KEY", "REFERENCES", "CHECK", "CONSTRAINT", "GENERATED", "AS",
    "COLLATE", "COMMENT", "AUTO_INCREMENT", "ON", "CHARSET", "INVISIBLE", "VISIBLE", "STORED", "VIRTUAL",
    "PERSISTENT", "STORAGE", "COMPRESSION", "COMPRESSED", "COLUMN_FORMAT", "SRID", "REF_SYSTEM_ID", "DEFERRABLE",
    "INITIALLY", "FIRST", "AFTER", "USING",
))  # fmt: skip
CONSTRAINTS: Final = frozenset(["CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "EXCLUDE"])
INDEXES: Final = frozenset(["KEY", "INDEX", "FULLTEXT", "SPATIAL", "PERIOD"])  # of MySQL and MariaDB
WITHOUT_COLUMNS: Final = frozenset((
    "OWNER", "ENABLE", "DISABLE", "CLUSTER", "REPLICA", "VALIDATE", "ATTACH", "DETACH", "ENGINE", "COMMENT",
    "CONVERT", "ORDER", "FORCE", "AUTO_INCREMENT", "SET", "RESET", "DROP_INDEX", "ROW_FORMAT", "COLLATE", "CHARSET",
    "LOCK", "ALGORITHM", "PARTITION",
))  # fmt: skip
DROPPED_WITHOUT_COLUMNS: Final = frozenset(["CONSTRAINT", "INDEX", "KEY", "FOREIGN", "CHECK", "PARTITION"])
SERIAL: Final = frozenset(["SERIAL", "SERIAL4", "SERIAL8", "BIGSERIAL", "SMALLSERIAL", "SERIAL2"])


@dataclass(frozen=True, slots=True)
class Word:
    """A token, or a word of one; `upper` is empty for a quoted name and a text, whose value `text` is."""

    text: str
    upper: str
    start: int
    end: int
    line: int
    column: int
    is_text: bool = False


@dataclass(frozen=True, slots=True)
class UnreadStatement:
    """What of a file could not be read, and about which table it is; lines and columns count from 1."""

    table: str
    line: int
    column: int
    words: str


@dataclass(frozen=True, slots=True)
class Ddl:
    """The tables of a file, and what of them could not be read."""

    tables: tuple[TableStructure, ...]
    unread: tuple[UnreadStatement, ...] = ()


class _Unread(Exception):
    """Words that kplan does not know at a place where they may say something of columns."""

    def __init__(self, word: Word) -> None:
        super().__init__(word.text)
        self.word = word


@dataclass(slots=True)
class _Table:
    columns: dict[str, Column] = field(default_factory=dict)
    key: tuple[str, ...] = ()


def read_ddl(text: str, dialect: str, database: str = "") -> Ddl:
    """Return the tables; names without a schema are in `public` or, of MySQL, in `database`.

    Raises KplanError where the text cannot be cut into tokens, or sqlglot is not installed.
    """
    text = META_COMMAND.sub(_blank, ROWS.sub(_blank, text))
    reader = _Reader(text, dialect, "public" if dialect == POSTGRES else database)
    for statement in _split(_tokenize(text, dialect), ";"):
        reader.read(statement)
    tables = (
        TableStructure(name, tuple(reader.finish(each) for each in table.columns.values()), table.key)
        for name, table in reader.tables.items()
    )
    return Ddl(tuple(tables), tuple(reader.unread))


def _blank(found: re.Match[str]) -> str:
    """Return blanks for what is left out, so that all else keeps its place."""
    return re.sub(r"[^\n]", " ", found[0])


def _tokenize(text: str, dialect: str) -> list[Word]:
    try:
        import sqlglot
        from sqlglot.errors import SqlglotError
    except ImportError as e:
        help = "pip install 'kplan[ddl]'"
        raise KplanError("a file of DDL needs the Python package sqlglot", code=codes.K318, help=help) from e
    try:
        tokens = sqlglot.tokenize(text, read=dialect)
    except SqlglotError as e:
        raise KplanError(" ".join(str(e).split())[:200], code=codes.K355) from e
    starts = [0, *(found.end() for found in re.finditer("\n", text))]
    words: list[Word] = []
    line = 0
    for token in tokens:
        raw = text[token.start : token.end + 1]
        is_name = token.token_type.name == "IDENTIFIER"
        is_text = token.token_type.name == "STRING"
        parts = [(0, raw)] if is_name or is_text else [(found.start(), found[0]) for found in re.finditer(r"\S+", raw)]
        for offset, part in parts:
            start = token.start + offset
            while line + 1 < len(starts) and starts[line + 1] <= start:
                line += 1
            shown = token.text if is_name or is_text else part
            upper = "" if is_name or is_text else part.upper()
            words.append(Word(shown, upper, start, start + len(part), line + 1, start - starts[line] + 1, is_text))
    return words


def _split(words: Sequence[Word], separator: str) -> Iterator[list[Word]]:
    """Yield the parts between separators that are in no brackets."""
    part: list[Word] = []
    depth = 0
    for word in words:
        depth += (word.upper == "(") - (word.upper == ")")
        if word.upper == separator and (depth <= 0 or separator == ";"):
            depth = 0
            yield part
            part = []
        else:
            part.append(word)
    if part:
        yield part


@dataclass(slots=True)
class _Cursor:
    """Reads words one after the other."""

    words: Sequence[Word]
    at: int = 0

    @property
    def next(self) -> str:
        return self.words[self.at].upper if self.at < len(self.words) else ""

    @property
    def word(self) -> Word:
        """Return the word that is next. Raises _Unread at the end."""
        if self.at >= len(self.words):
            raise _Unread(self.words[-1])
        return self.words[self.at]

    def take(self, *upper: str) -> bool:
        """Take these words, if all of them are next."""
        if [word.upper for word in self.words[self.at : self.at + len(upper)]] != list(upper):
            return False
        self.at += len(upper)
        return True

    def take_if_exists(self) -> None:
        self.take("IF", "NOT", "EXISTS") or self.take("IF", "EXISTS")

    def take_word(self) -> Word:
        word = self.word
        self.at += 1
        return word

    def take_brackets(self) -> list[Word]:
        """Return the words in the brackets that are next. Raises _Unread where there are none."""
        start = self.at
        if not self.take("("):
            raise _Unread(self.word)
        depth = 1
        while depth:
            upper = self.take_word().upper
            depth += (upper == "(") - (upper == ")")
        return list(self.words[start + 1 : self.at - 1])

    def take_until(self, ends: frozenset[str]) -> list[Word]:
        """Return the words before the first of `ends` that is in no brackets; the first word is none."""
        start = self.at
        depth = 0
        while self.at < len(self.words):
            upper = self.next
            is_end = upper in ends or (upper == "CHARACTER" and self._follows("SET"))
            if depth == 0 and is_end and self.at > start and not (upper == "WITH" and self._follows("TIME")):
                break
            depth += (upper == "(") - (upper == ")")
            self.at += 1
        return list(self.words[start : self.at])

    def _follows(self, upper: str) -> bool:
        return self.at + 1 < len(self.words) and self.words[self.at + 1].upper == upper


@dataclass(slots=True)
class _Reader:
    text: str
    dialect: str
    home: str  # the schema or database of names without one
    tables: dict[str, _Table] = field(default_factory=dict)
    types: dict[str, tuple[str, str]] = field(default_factory=dict)  # what it is, and a domain's type
    unread: list[UnreadStatement] = field(default_factory=list)

    # -- statements -----------------------------------------------------------------------------------------------
    def read(self, words: list[Word]) -> None:
        """Read a statement."""
        cursor = _Cursor(words)
        try:
            if cursor.take("CREATE"):
                self._create(cursor)
            elif cursor.take("ALTER", "TABLE"):
                self._alter_table(cursor)
            elif cursor.take("DROP", "TABLE"):
                cursor.take_if_exists()
                self.tables.pop(self._name(cursor), None)
            elif cursor.take("USE"):
                self.home = cursor.take_word().text
            elif cursor.take("SET", "SEARCH_PATH") and (cursor.take("=") or cursor.take("TO")):
                self.home = cursor.take_word().text or self.home
        except _Unread as e:
            self._note("", e.word)

    def _create(self, cursor: _Cursor) -> None:
        cursor.take("OR", "REPLACE")
        if cursor.take("TYPE"):
            name = self._name(cursor)
            cursor.take("AS")
            self.types[name] = ("enum" if cursor.take("ENUM") else "composite", "")
        elif cursor.take("DOMAIN"):
            name = self._name(cursor)
            cursor.take("AS")
            self.types[name] = ("domain", self._slice(cursor.take_until(ENDS_OF_TYPES)))
        elif cursor.take("UNLOGGED", "TABLE") or cursor.take("TABLE"):
            cursor.take_if_exists()
            name = self._name(cursor)
            self.tables[name] = _Table()
            try:
                for part in _split(cursor.take_brackets(), ","):
                    self._add(self.tables[name], _Cursor(part))
                if cursor.next in ("AS", "SELECT", "INHERITS", "IGNORE"):
                    raise _Unread(cursor.word)
            except _Unread as e:
                self._note(name, e.word)

    def _alter_table(self, cursor: _Cursor) -> None:
        cursor.take_if_exists()
        cursor.take("ONLY")
        name = self._name(cursor)
        table = self.tables.get(name)
        if table is None:
            return
        for part in _split(cursor.words[cursor.at :], ","):
            try:
                self._alter(name, table, _Cursor(part))
            except _Unread as e:
                self._note(name, e.word)

    def _note(self, table: str, word: Word) -> None:
        self.unread.append(UnreadStatement(table, word.line, word.column, word.text))

    # -- parts of statements --------------------------------------------------------------------------------------
    def _name(self, cursor: _Cursor) -> str:
        """Return a name with its schema."""
        parts = [self._fold(cursor.take_word())]
        while cursor.take("."):
            parts.append(self._fold(cursor.take_word()))
        return ".".join(parts[-2:] if len(parts) > 1 else [*filter(None, [self.home]), *parts])

    def _fold(self, word: Word) -> str:
        """Return a name as the database keeps it."""
        return word.text.lower() if word.upper and self.dialect == POSTGRES else word.text

    def _slice(self, words: Sequence[Word]) -> str:
        return " ".join(self.text[words[0].start : words[-1].end].split()) if words else ""

    def _add(self, table: _Table, cursor: _Cursor) -> None:
        """Read a column, or a constraint of the table."""
        upper = cursor.next
        if upper in CONSTRAINTS or (upper in INDEXES and self.dialect == MYSQL):
            self._constrain(table, cursor)
        elif upper == "LIKE":
            raise _Unread(cursor.word)
        else:
            column, is_key = self._column(cursor)
            table.columns[column.name] = column
            if is_key:
                self._set_key(table, [column.name])

    def _constrain(self, table: _Table, cursor: _Cursor) -> None:
        if cursor.take("CONSTRAINT") and cursor.next != "PRIMARY":
            cursor.take_word()
        if not cursor.take("PRIMARY", "KEY"):
            return
        while cursor.next != "(":
            if cursor.take("USING", "INDEX"):
                raise _Unread(cursor.word)
            cursor.take_word()
        self._set_key(table, [self._fold(part[0]) for part in _split(cursor.take_brackets(), ",")])

    def _set_key(self, table: _Table, names: Sequence[str]) -> None:
        table.key = tuple(names)
        for name in names:
            if name in table.columns:
                table.columns[name] = replace(table.columns[name], nullable=False)

    def _column(self, cursor: _Cursor) -> tuple[Column, bool]:
        """Return a column, and whether it is the primary key."""
        name = self._fold(cursor.take_word())
        kind = cursor.take_until(ENDS_OF_TYPES | {"WITH"})
        column = Column(name, self._slice(kind))
        is_serial = bool(kind) and kind[0].upper in SERIAL
        if is_serial:
            column = replace(column, nullable=False, default="nextval()")
        is_key, says_null = False, False
        while cursor.at < len(cursor.words):
            if cursor.take("NOT", "NULL"):
                column, says_null = replace(column, nullable=False), True
            elif cursor.take("NULL"):
                says_null = True
            elif cursor.take("DEFAULT"):
                column = replace(column, default=self._default(cursor))
            elif cursor.take("PRIMARY", "KEY"):
                column, is_key = replace(column, nullable=False), True
            elif cursor.take("GENERATED"):
                column = self._generated(column, cursor)
            elif cursor.take("CHARACTER", "SET", "BINARY") or cursor.take("CHARSET", "BINARY"):
                raise _Unread(cursor.words[cursor.at - 1])  # the server makes another type of it
            else:
                cursor.take_word()
        if self.dialect == MYSQL and column.type.lower().startswith("timestamp") and not says_null:
            raise _Unread(cursor.words[0])  # a setting of the server says whether it takes NULL
        return column, is_key

    def _default(self, cursor: _Cursor) -> str:
        words = cursor.take_until(ENDS_OF_TYPES)
        if len(words) == 1 and words[0].is_text:
            return "'" + words[0].text.replace("'", "''") + "'"
        return self._slice(words)

    def _generated(self, column: Column, cursor: _Cursor) -> Column:
        """Return the column without default; an identity takes no NULL."""
        cursor.take_until(frozenset({"AS"}))
        cursor.take("AS")
        return replace(column, nullable=False, default=None) if cursor.take("IDENTITY") else column

    def _alter(self, name: str, table: _Table, cursor: _Cursor) -> None:
        if cursor.take("ADD"):
            cursor.take("COLUMN")
            cursor.take_if_exists()
            parts = list(_split(cursor.take_brackets(), ",")) if cursor.next == "(" else [cursor.words[cursor.at :]]
            for part in parts:
                self._add(table, _Cursor(part))
        elif cursor.take("DROP"):
            self._drop(table, cursor)
        elif cursor.take("ALTER"):
            cursor.take("COLUMN")
            self._alter_column(table, cursor)
        elif cursor.take("MODIFY") or cursor.take("CHANGE"):
            is_change = cursor.words[cursor.at - 1].upper == "CHANGE"
            cursor.take("COLUMN")
            cursor.take_if_exists()
            if is_change:
                table.columns.pop(self._fold(cursor.take_word()), None)
            self._add(table, cursor if not cursor.at else _Cursor(cursor.words[cursor.at :]))
        elif cursor.take("RENAME"):
            self._rename(name, table, cursor)
        elif cursor.next not in WITHOUT_COLUMNS and cursor.words:
            raise _Unread(cursor.word)

    def _drop(self, table: _Table, cursor: _Cursor) -> None:
        if cursor.take("PRIMARY", "KEY"):
            table.key = ()
        elif cursor.next == "CONSTRAINT" and table.key:
            raise _Unread(cursor.word)  # it may be that of the primary key
        elif cursor.next not in DROPPED_WITHOUT_COLUMNS:
            cursor.take("COLUMN")
            cursor.take_if_exists()
            table.columns.pop(self._fold(cursor.take_word()), None)

    def _alter_column(self, table: _Table, cursor: _Cursor) -> None:
        column = table.columns.get(self._fold(cursor.take_word()))
        if column is None:
            raise _Unread(cursor.words[cursor.at - 1])
        if cursor.take("SET", "DEFAULT"):
            column = replace(column, default=self._default(cursor))
        elif cursor.take("DROP", "DEFAULT"):
            column = replace(column, default=None)
        elif cursor.take("SET", "NOT", "NULL"):
            column = replace(column, nullable=False)
        elif cursor.take("DROP", "NOT", "NULL"):
            column = replace(column, nullable=True)
        elif cursor.take("TYPE") or cursor.take("SET", "DATA", "TYPE"):
            column = replace(column, type=self._slice(cursor.take_until(ENDS_OF_TYPES)))
        elif cursor.take("ADD", "GENERATED"):
            column = self._generated(column, cursor)
        elif cursor.next != "SET":
            raise _Unread(cursor.word)
        table.columns[column.name] = column

    def _rename(self, name: str, table: _Table, cursor: _Cursor) -> None:
        if cursor.take("TO") or cursor.take("AS"):
            new = self._fold(cursor.words[-1])
            self.tables[".".join([*name.split(".")[:-1], new])] = self.tables.pop(name)
            return
        if cursor.next in ("CONSTRAINT", "INDEX", "KEY"):
            return
        cursor.take("COLUMN")
        old = self._fold(cursor.take_word())
        cursor.take("TO")
        new = self._fold(cursor.take_word())
        if old not in table.columns:
            raise _Unread(cursor.words[0])
        table.columns = {
            new if key == old else key: replace(each, name=new) if key == old else each
            for key, each in table.columns.items()
        }
        table.key = tuple(new if key == old else key for key in table.key)

    def finish(self, column: Column) -> Column:
        """Return the column with what its type is, if users define that."""
        if self.dialect != POSTGRES:
            return column
        bare = re.sub(r"(\[\d*\])+\Z", "", column.type).replace('"', "")
        kind, base = self.types.get(bare if "." in bare else f"{self.home}.{bare}", ("", ""))
        default = column.default
        if kind == "enum" and default is not None and default.endswith("'"):
            default = f"{default}::{bare}"
        return replace(column, user_type=kind, base=base, default=default)
