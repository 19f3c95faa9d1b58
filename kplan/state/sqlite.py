"""Keep the ledger, the journal and the lock in one SQLite file: the default where there is no cluster to keep them.

WAL with `synchronous=FULL`: what `write` returned from survives a power cut (https://sqlite.org/pragma.html). The lock
is the kernel's on a file beside the database, so that it ends with its process; the row in `kplan_holder` names its
holder and fences writes: its token is checked in every transaction. Other tables of the file belong to others.
"""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from kplan.diagnostics import JournalBroken, KplanError, Locked, Unsupported
from kplan.kinds.codec import owned_from_json, owned_to_json
from kplan.kinds.registry import parse_address
from kplan.model import Address, Owned
from kplan.model.codec import entry_from_json, entry_to_json
from kplan.model.history import (
    PastChange,
    RunSummary,
    changes_from_json,
    changes_to_json,
    past_changes,
    summarize,
    summary_from_json,
    summary_to_json,
    surplus,
    with_change,
)
from kplan.model.journal import Entry
from kplan.servers.sqlite_file import BUSY_TIMEOUT_S, error_name, open_to_read
from kplan.state.base import (
    UNREADABLE_HELP,
    Holder,
    Lock,
    Overview,
    Record,
    RecordUnreadable,
    ReportKeys,
    UnknownKind,
    Unreadable,
    ignore_keys,
    make_history_key,
    make_journal_key,
    make_ledger_key,
    make_summary_key,
    refuse_newer,
    refuse_unknown_kind,
)
from kplan.state.signing import Signer

if TYPE_CHECKING:
    from filelock import BaseFileLock

log = logging.getLogger("kplan.state")
VERSION = 1
MAX_KEPT_RUNS = 20  # finished ones, of each stack
POLL_INTERVAL_S = 0.05
PROBE_TIMEOUT_S = 0.1  # a caller of `holder` has the lock for an instant
UNNAMED_TIMEOUT_S = 2.0  # no holder is named: callers of `holder` have it by turns, or it was just taken
PROBE_INTERVAL_S = 0.005
TABLES = """
CREATE TABLE IF NOT EXISTS kplan_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS kplan_ledger (
    id INTEGER PRIMARY KEY AUTOINCREMENT, address TEXT NOT NULL, stack TEXT NOT NULL, record TEXT NOT NULL,
    UNIQUE (address, stack));
CREATE TABLE IF NOT EXISTS kplan_journal (
    id INTEGER PRIMARY KEY AUTOINCREMENT, run TEXT NOT NULL, stack TEXT NOT NULL, seq INTEGER NOT NULL,
    event TEXT NOT NULL, record TEXT NOT NULL, UNIQUE (run, seq));
CREATE TABLE IF NOT EXISTS kplan_holder (
    stack TEXT PRIMARY KEY, token TEXT NOT NULL, who TEXT NOT NULL, run TEXT NOT NULL, command TEXT NOT NULL,
    since TEXT NOT NULL, pid INTEGER NOT NULL);
CREATE TABLE IF NOT EXISTS kplan_runs (
    run TEXT NOT NULL, stack TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (stack, run));
CREATE TABLE IF NOT EXISTS kplan_history (
    stack TEXT NOT NULL, address TEXT NOT NULL, record TEXT NOT NULL, PRIMARY KEY (stack, address));
"""
PRUNE = f"""
DELETE FROM kplan_journal WHERE stack = :stack AND run IN (
    SELECT run FROM kplan_journal WHERE stack = :stack AND event = 'end' GROUP BY run
    ORDER BY MAX(id) DESC LIMIT -1 OFFSET {MAX_KEPT_RUNS})
"""


class SqliteStore:
    """Keep the state in the file `path`. A missing file reads as empty; the first lock creates it.

    With a `key` records are signed, and those that are not are reported.
    """

    topic = ""

    def __init__(self, path: Path, *, key: str | None = None, clock: Callable[[], float] = time.monotonic,
                 sleep: Callable[[float], None] = time.sleep) -> None:  # fmt: skip
        self.path = path
        self._signer = Signer(key or "")
        self.where = str(path)
        self._clock = clock
        self._sleep = sleep

    def overview(self, report_keys: ReportKeys = ignore_keys) -> Overview:
        with _explain_errors(self.where), self._open_to_read() as connection:
            return _read_overview(connection, self._signer)

    def ledger(self) -> Mapping[Address, Owned]:
        """Return every stack's records. Where two stacks claim one address, the first one owns it."""
        with _explain_errors(self.where), self._open_to_read() as connection:
            return _read_ledger(connection, self._signer)[0]

    def runs(self) -> Sequence[str]:
        """Return the ids of all runs with details, oldest first."""
        with _explain_errors(self.where):
            return [run for (run,) in self._query("SELECT run FROM kplan_journal GROUP BY run ORDER BY MIN(id)")]

    def summaries(self) -> Sequence[RunSummary]:
        with _explain_errors(self.where), self._open_to_read() as connection:
            return _read_summaries(connection)

    def changes(self, address: Address) -> Mapping[str, Sequence[PastChange]]:
        with _explain_errors(self.where), self._open_to_read() as connection:
            return _read_all_changes(connection, str(address))

    def entries(self, run: str) -> Sequence[Entry]:
        """Return the records of `run` by their `seq`; empty if there is no such run.

        Records of another stack under this id are not of this run: its stack is that of the first signed one.
        """
        with _explain_errors(self.where), self._open_to_read() as connection:
            stacks = _find_stacks(connection, run, self._signer)
            return _read_entries(connection, run, stacks[0]) if connection and stacks else []

    def open_runs(self) -> Sequence[str]:
        """Return the ids of the runs without an `end`, oldest first."""
        with _explain_errors(self.where), self._open_to_read() as connection:
            return list(_read_overview(connection, self._signer).open_runs)

    def records(self) -> Sequence[Record]:
        """Return every record of the ledger and the journal, damaged ones too, oldest first."""
        with _explain_errors(self.where):
            ledger = self._query("SELECT address, stack, record FROM kplan_ledger ORDER BY id")
            journal = self._query("SELECT run, stack, seq, record FROM kplan_journal ORDER BY id")
        return [
            *(self._check_signature(_read_record(make_ledger_key(stack, address), stack, text, address=address))
              for address, stack, text in ledger),
            *(self._check_signature(_read_record(make_journal_key(stack, run, seq), stack, text, run=run, seq=seq))
              for run, stack, seq, text in journal),
        ]  # fmt: skip

    def _check_signature(self, record: Record) -> Record:
        """Add to the record what is wrong with its signature."""
        fault = "" if record.damage else self._signer.find_fault(record.key, record.data)
        return replace(record, fault=fault) if fault else record

    def find_obstacle(self) -> KplanError | None:
        return None

    def holder(self, stack: str) -> Holder | None:
        """Return who holds the lock now; None where it is free, whatever a killed holder left behind."""
        with _explain_errors(self.where):
            if not self._name_lock_file(stack).exists():
                return None
            guard = self._make_guard(stack)
            with suppress(PermissionError):  # a read-only folder: only the row is known
                if _try_acquire(guard):
                    guard.release()
                    return None
            return self._read_holder(stack)

    def connect_lock(self, stack: str, holder: Holder) -> None:
        """Do nothing: no server has this lock."""

    def lock(self, stack: str, holder: Holder, timeout: float) -> AbstractContextManager[Lock]:
        return self._hold_lock(stack, holder, timeout)

    def close(self) -> None:
        """Do nothing: no connection stays open between calls."""

    @contextmanager
    def _hold_lock(self, stack: str, holder: Holder, timeout: float) -> Iterator[Lock]:
        with _explain_errors(self.where):
            self._make_folder()
            guard = self._make_guard(stack)
            self._acquire(guard, stack, timeout)
        try:
            with _explain_errors(self.where):
                lock = SqliteLock(self.path, stack, holder, self._signer)
            try:
                yield lock
            finally:
                lock.release()
        finally:
            guard.release()

    def _acquire(self, guard: BaseFileLock, stack: str, timeout: float) -> None:
        """Acquire the lock, or raise Locked after `timeout`. A free lock is never missed because of another reader."""
        start = self._clock()
        while not _try_acquire(guard):
            holder = self._read_holder(stack)
            waited = self._clock() - start
            if waited >= max(timeout, PROBE_TIMEOUT_S if holder else UNNAMED_TIMEOUT_S):
                raise _make_refusal(stack, holder)
            self._sleep(PROBE_INTERVAL_S if waited < UNNAMED_TIMEOUT_S else POLL_INTERVAL_S)

    def _name_lock_file(self, stack: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{quote(stack, safe='')}.lock")

    def _make_guard(self, stack: str) -> BaseFileLock:
        from filelock import FileLock

        return FileLock(self._name_lock_file(stack), timeout=0, thread_local=False)

    def _make_folder(self) -> None:
        """Create the folder; in `.kplan/`, git ignores it."""
        folder = self.path.absolute().parent
        folder.mkdir(parents=True, exist_ok=True)
        ignore = folder / ".gitignore"
        if folder.name == ".kplan" and not ignore.exists():
            ignore.write_text("*\n")

    def _read_holder(self, stack: str) -> Holder | None:
        rows = self._query("SELECT who, run, command, since, pid FROM kplan_holder WHERE stack = ?", stack)
        return next((Holder(*row) for row in rows), None)

    def _query(self, query: str, *arguments: object) -> list[tuple[Any, ...]]:
        """Return the rows; empty where the file is missing or has none of our tables."""
        with self._open_to_read() as connection:
            return [] if connection is None else connection.execute(query, arguments).fetchall()

    @contextmanager
    def _open_to_read(self) -> Iterator[sqlite3.Connection | None]:
        """Open a connection that reads; None where the file is missing or has none of our tables."""
        if not self.path.exists():
            yield None
            return
        with closing(open_to_read(self.path)) as connection:
            yield None if _read_version(connection) is None else connection


class SqliteLock:
    """Hold the lock of one stack. A write checks in its own transaction that it is still held."""

    def __init__(self, path: Path, stack: str, holder: Holder, signer: Signer) -> None:
        self._where = str(path)
        self._signer = signer
        self._stack = stack
        self._token = uuid.uuid4().hex
        self._turn = threading.Lock()
        self._connection: sqlite3.Connection | None = _open_to_write(path)
        try:
            with _transaction(self._connection):
                self._record_holder(self._connection, holder)
        except BaseException:
            self._connection.close()
            raise

    def _record_holder(self, connection: sqlite3.Connection, holder: Holder) -> None:
        values = (self._stack, self._token, holder.who, holder.run, holder.command, holder.since, holder.pid)
        connection.execute("INSERT OR REPLACE INTO kplan_holder VALUES (?, ?, ?, ?, ?, ?, ?)", values)

    def write(self, entries: Sequence[Entry] = (), ledger: Mapping[Address, Owned | None] | None = None) -> None:
        """Write everything to the disk in one transaction. Records of other stacks are refused (ValueError)."""
        records = ledger or {}
        self._check_stack(entries, records)
        with self._turn, _explain_errors(self._where):
            if self._connection is None:
                raise JournalBroken(f"the lock of stack {self._stack} was released, so nothing more is written")
            with _transaction(self._connection) as connection:
                self._check_held(connection)
                self._write_ledger(connection, records)
                self._write_entries(connection, entries)

    def rewrite(self, records: Sequence[Record]) -> None:
        """Replace records; the file keeps no byte of what they were before."""
        if any(record.stack != self._stack for record in records):
            raise ValueError(f"the lock of {self._stack} does not cover the records of another stack")
        with self._turn, _explain_errors(self._where):
            if self._connection is None:
                raise JournalBroken(f"the lock of stack {self._stack} was released, so nothing more is written")
            self._connection.execute("PRAGMA secure_delete = ON")  # else old text stays in free parts of pages
            with _transaction(self._connection) as connection:
                self._check_held(connection)
                signed = {r.key: _encode((Signer() if r.fault else self._signer).sign(r.key, r.data)) for r in records}
                ledger = [(signed[r.key], r.address, r.stack) for r in records if r.address]
                journal = [(signed[r.key], r.run, r.seq) for r in records if not r.address]
                connection.executemany("UPDATE kplan_ledger SET record = ? WHERE address = ? AND stack = ?", ledger)
                connection.executemany("UPDATE kplan_journal SET record = ? WHERE run = ? AND seq = ?", journal)
            self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def release(self) -> None:
        """Delete the holder's row, if possible; nothing can be written any more."""
        with self._turn:
            connection, self._connection = self._connection, None
            if connection is None:
                return
            with closing(connection), suppress(sqlite3.Error), _transaction(connection):
                connection.execute("DELETE FROM kplan_holder WHERE token = ?", (self._token,))

    def _check_stack(self, entries: Sequence[Entry], ledger: Mapping[Address, Owned | None]) -> None:
        others = {entry.stack for entry in entries} | {owned.stack for owned in ledger.values() if owned}
        if others - {self._stack}:
            raise ValueError(f"the lock of {self._stack} does not cover {', '.join(sorted(others - {self._stack}))}")

    def _check_held(self, connection: sqlite3.Connection) -> None:
        """Raise JournalBroken if another process has the lock, because someone removed the lock's file."""
        query = "SELECT token, who, run FROM kplan_holder WHERE stack = ?"
        token, who, run = connection.execute(query, (self._stack,)).fetchone() or ("", "nobody", "")
        if token != self._token:
            raise JournalBroken(f"the lock of stack {self._stack} was lost: {who} has it now (run {run or 'unknown'})",
                                help="nothing more was changed; see `kplan recover`")  # fmt: skip

    def _sign(self, name: str, data: Any) -> str:
        """Return a record's text, with its signature where there is a key."""
        return _encode(self._signer.sign(name, data))

    def _write_ledger(self, connection: sqlite3.Connection, ledger: Mapping[Address, Owned | None]) -> None:
        removed = [(str(address), self._stack) for address, owned in ledger.items() if owned is None]
        written = [
            (str(address), self._stack, self._sign(make_ledger_key(self._stack, address), owned_to_json(owned)))
            for address, owned in ledger.items() if owned
        ]  # fmt: skip
        connection.executemany("DELETE FROM kplan_ledger WHERE address = ? AND stack = ?", removed)
        connection.executemany(
            "INSERT INTO kplan_ledger (address, stack, record) VALUES (?, ?, ?)"
            " ON CONFLICT (address, stack) DO UPDATE SET record = excluded.record", written,
        )  # fmt: skip

    def _write_entries(self, connection: sqlite3.Connection, entries: Sequence[Entry]) -> None:
        rows = [(e.run, e.stack, e.seq, e.event, self._sign(make_journal_key(e.stack, e.run, e.seq), entry_to_json(e)))
                for e in entries]  # fmt: skip
        insert = "INSERT INTO kplan_journal (run, stack, seq, event, record) VALUES (?, ?, ?, ?, ?)"
        connection.executemany(insert, rows)
        for run in dict.fromkeys(entry.run for entry in entries if entry.event == "end"):
            self._write_history(connection, run)
            connection.execute(PRUNE, {"stack": self._stack})

    def _write_history(self, connection: sqlite3.Connection, run: str) -> None:
        """Write the summary of the run that ends, those that older runs lack, and the history of its changes."""
        stack = self._stack
        unsummarized = [run for run, owner in _find_ended_runs(connection) if owner == stack]
        summaries = []
        for item in dict.fromkeys([run, *unsummarized]):
            with suppress(RecordUnreadable):  # an older run's: it stays without a summary
                summaries.append(summarize(_read_entries(connection, item, stack)))
        rows = [(item.run, stack, self._sign(make_summary_key(stack, item.run), summary_to_json(item)))
                for item in summaries if item is not None]  # fmt: skip
        connection.executemany("INSERT OR REPLACE INTO kplan_runs VALUES (?, ?, ?)", rows)
        rows_of_stack = connection.execute("SELECT run, record FROM kplan_runs WHERE stack = ?", (stack,)).fetchall()
        outdated = surplus(
            item for item in (_decode_summary(run, stack, record) for run, record in rows_of_stack) if item is not None
        )
        connection.executemany(
            "DELETE FROM kplan_runs WHERE stack = ? AND run = ?", [(stack, item) for item in outdated]
        )
        for address, change in past_changes(_read_entries(connection, run, stack)).items():
            try:
                earlier = _read_changes(connection, stack, address)
            except ValueError as cause:
                log.warning("%s: the history of %s begins again: it cannot be read: %s", self._where, address, cause)
                earlier = []
            changes = with_change(earlier, change)
            connection.execute(
                "INSERT OR REPLACE INTO kplan_history VALUES (?, ?, ?)",
                (stack, address, self._sign(make_history_key(stack, address), changes_to_json(changes))),
            )


# -- reading records --------------------------------------------------------------------------------------------------
def _decode(record: str) -> Any:
    """Return the record's JSON. Raises ValueError for one of a newer kplan."""
    data = json.loads(record)
    if isinstance(data, dict):
        refuse_newer(data.get("v"), VERSION)
    return data


def _read_ledger(
    connection: sqlite3.Connection | None, signer: Signer
) -> tuple[dict[Address, Owned], list[Unreadable]]:
    """Return the records that can be read, and problems of the others. A signed claim goes before others."""
    records: dict[Address, Owned] = {}
    untrusted: dict[Address, Owned] = {}
    problems = []
    query = "SELECT id, address, stack, record FROM kplan_ledger ORDER BY id DESC"
    for id, text, stack, record in connection.execute(query) if connection else ():
        address = None
        try:
            refuse_unknown_kind(text)
            address = parse_address(text)
            data = _decode(record)
            owned = owned_from_json(address, data)
        except ValueError as cause:
            message = f"record {id} of the ledger ({text}, stack {stack}) cannot be read: {cause}"
            problems.append(Unreadable(stack, message, address, is_unknown=isinstance(cause, UnknownKind)))
            continue
        fault = signer.find_fault(make_ledger_key(stack, text), data)
        (untrusted if fault else records)[address] = owned
        if fault:
            message = f"record {id} of the ledger ({text}, stack {stack}) {fault}"
            problems.append(Unreadable(stack, message, address, is_untrusted=True))
    records = {**untrusted, **records}
    return {address: records[address] for address in sorted(records)}, problems


def _decode_entry(run: str, stack: str, seq: int, record: str) -> Entry:
    try:
        return entry_from_json(run, stack, seq, _decode(record))
    except ValueError as cause:
        message = f"entry {seq} of run {run} of stack {stack} cannot be read: {cause}"
        raise RecordUnreadable(message, help=UNREADABLE_HELP) from cause


def _read_entries(connection: sqlite3.Connection, run: str, stack: str) -> list[Entry]:
    query = "SELECT seq, record FROM kplan_journal WHERE run = ? AND stack = ? ORDER BY seq"
    return [_decode_entry(run, stack, *row) for row in connection.execute(query, (run, stack)).fetchall()]


def _find_stacks(connection: sqlite3.Connection | None, run: str, signer: Signer) -> list[str]:
    """Return the stacks that have records under the run's id; with a key, those with only signed records come first."""
    if connection is None:
        return []
    query = "SELECT stack FROM kplan_journal WHERE run = ? GROUP BY stack ORDER BY MIN(id)"
    stacks = [stack for (stack,) in connection.execute(query, (run,)).fetchall()]
    return sorted(stacks, key=lambda stack: bool(_find_faults(connection, run, stack, signer)))


def _find_faults(connection: sqlite3.Connection, run: str, stack: str, signer: Signer) -> dict[int, str]:
    """Return what is wrong with the signatures of the run's records, by `seq`; without a key nothing is wrong."""
    query = "SELECT seq, record FROM kplan_journal WHERE run = ? AND stack = ? ORDER BY seq"
    faults = {}
    for seq, record in connection.execute(query, (run, stack)).fetchall() if signer.key else ():
        with suppress(ValueError):  # unreadable records are reported elsewhere
            data = json.loads(record)
            faults[seq] = signer.find_fault(make_journal_key(stack, run, seq), data if isinstance(data, dict) else {})
    return {seq: fault for seq, fault in faults.items() if fault}


def _has_signed_end(connection: sqlite3.Connection, run: str, stack: str, signer: Signer) -> bool:
    """Return whether a signed record ends the run, whatever the column `event` contains."""
    query = "SELECT seq, record FROM kplan_journal WHERE run = ? AND stack = ? AND event = 'end'"
    for seq, record in connection.execute(query, (run, stack)).fetchall():
        with suppress(ValueError, RecordUnreadable):
            event = _decode_entry(run, stack, seq, record).event
            if event == "end" and not signer.find_fault(make_journal_key(stack, run, seq), json.loads(record)):
                return True
    return False


def _find_open_runs(connection: sqlite3.Connection, signer: Signer) -> list[tuple[str, str]]:
    """Return the runs without an end, with their stacks, oldest first. With a key, only signed ends count."""
    query = "SELECT run, stack, SUM(event = 'end') FROM kplan_journal GROUP BY run, stack ORDER BY MIN(id)"
    return [
        (run, stack)
        for run, stack, ends in connection.execute(query).fetchall()
        if not ends or (signer.key and not _has_signed_end(connection, run, stack, signer))
    ]


def _read_overview(connection: sqlite3.Connection | None, signer: Signer) -> Overview:
    if connection is None:
        return Overview({})
    ledger, problems = _read_ledger(connection, signer)
    open_runs = {}
    for run, stack in _find_open_runs(connection, signer):
        try:
            _read_entries(connection, run, stack)
        except RecordUnreadable as problem:
            problems.append(Unreadable(stack, problem.message, run=run))
            continue
        faults = _find_faults(connection, run, stack, signer)
        problems += [
            Unreadable(stack, f"entry {seq} of run {run} of stack {stack} {fault}", run=run, is_untrusted=True)
            for seq, fault in faults.items()
        ]
        if not faults:
            open_runs[run] = stack
    if _has_table(connection, "kplan_runs"):
        for run, stack, record in connection.execute("SELECT run, stack, record FROM kplan_runs"):
            if _decode_summary(run, stack, record) is None:
                message = f"the summary of run {run} of stack {stack} cannot be read; it may be of a newer kplan"
                problems.append(Unreadable(stack, message))
    return Overview(ledger, open_runs, problems)


def _has_table(connection: sqlite3.Connection, name: str) -> bool:
    """Return whether the file has the table: an older kplan made none for summaries."""
    return connection.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (name,)).fetchone() is not None


def _decode_summary(run: str, stack: str, record: str) -> RunSummary | None:
    """Return the record's summary; None where it cannot be read."""
    try:
        return summary_from_json(run, stack, _decode(record))
    except ValueError:
        return None


def _find_ended_runs(connection: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return the ended runs without a summary, with their stacks."""
    query = (
        "SELECT run, MIN(stack) FROM kplan_journal GROUP BY run HAVING SUM(event = 'end') > 0"
        " AND run NOT IN (SELECT run FROM kplan_runs) ORDER BY MIN(id)"
    )
    return connection.execute(query).fetchall()


def _read_summaries(connection: sqlite3.Connection | None) -> list[RunSummary]:
    if connection is None:
        return []
    rows = []
    if _has_table(connection, "kplan_runs"):
        rows = connection.execute("SELECT run, stack, record FROM kplan_runs ORDER BY rowid").fetchall()
    summaries = {run: _decode_summary(run, stack, record) for run, stack, record in rows}
    query = "SELECT run, stack FROM kplan_journal GROUP BY run, stack ORDER BY MIN(id)"
    for run, stack in connection.execute(query).fetchall():
        if run not in summaries:
            with suppress(RecordUnreadable):
                summaries[run] = summarize(_read_entries(connection, run, stack))
    return sorted((summary for summary in summaries.values() if summary is not None), key=lambda summary: summary.began)


def _read_all_changes(connection: sqlite3.Connection | None, address: str) -> dict[str, list[PastChange]]:
    if connection is None or not _has_table(connection, "kplan_history"):
        return {}
    stacks = connection.execute("SELECT stack FROM kplan_history WHERE address = ?", (address,)).fetchall()
    return {stack: _read_changes(connection, stack, address) for (stack,) in stacks}


def _read_changes(connection: sqlite3.Connection, stack: str, address: str) -> list[PastChange]:
    query = "SELECT record FROM kplan_history WHERE stack = ? AND address = ?"
    row = connection.execute(query, (stack, address)).fetchone()
    return [] if row is None else changes_from_json(_decode(row[0]))


def _read_record(key: str, stack: str, text: str, *, address: str = "", run: str = "", seq: int = 0) -> Record:
    """Read a row; one that cannot be read has the reason."""
    try:
        data = json.loads(text)
        if not isinstance(data, dict):
            raise ValueError(f"it is not an object, but {type(data).__name__}")
        if address:
            refuse_unknown_kind(address)
            owned_from_json(parse_address(address), data)
        else:
            entry_from_json(run, stack, seq, data)
    except (ValueError, RecursionError) as cause:
        return Record(key, stack, {}, address, run, seq, f"it cannot be read: {cause}")
    return Record(key, stack, data, address, run, seq)


def _encode(data: Any) -> str:
    return json.dumps(data, ensure_ascii=False, separators=(",", ":"))


def _try_acquire(guard: BaseFileLock) -> bool:
    from filelock import Timeout

    try:
        guard.acquire(timeout=0)
    except Timeout:
        return False
    return True


def _make_refusal(stack: str, holder: Holder | None) -> Locked:
    who = f"{holder.who} since {holder.since}: {holder.command} (run {holder.run}, pid {holder.pid})" if holder else ""
    return Locked(f"stack {stack} is locked by {who or 'another process'}",
                  help="wait for it with `--lock-timeout 60s`; the lock ends with its process")  # fmt: skip


def _open_to_write(path: Path) -> sqlite3.Connection:
    """Open a connection with every table, durable on commit; only `_transaction` begins transactions."""
    connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None, check_same_thread=False)
    try:
        _use_wal(connection)
        connection.execute("PRAGMA synchronous = FULL")
        if _read_version(connection) is None or not _has_table(connection, "kplan_history"):
            with _transaction(connection):
                for statement in TABLES.split(";"):
                    connection.execute(statement)
                connection.execute("INSERT OR IGNORE INTO kplan_meta VALUES ('version', ?)", (str(VERSION),))
    except BaseException:
        connection.close()
        raise
    return connection


def _use_wal(connection: sqlite3.Connection) -> None:
    """Switch to WAL. Of two processes that switch at once one gets SQLITE_BUSY without any wait, so it tries again."""
    for last in (False, False, False, False, True):
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as failure:
            if last or not error_name(failure).startswith("SQLITE_BUSY"):
                raise
            time.sleep(0.05)


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[sqlite3.Connection]:
    """Run a transaction: all of it is committed, or none."""
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield connection
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _read_version(connection: sqlite3.Connection) -> int | None:
    """Return the format of our tables; None where there are none. Raises Unsupported for that of a newer kplan."""
    has_meta = connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'kplan_meta'").fetchone()
    row = has_meta and connection.execute("SELECT value FROM kplan_meta WHERE key = 'version'").fetchone()
    if not row:
        return None
    if int(row[0]) > VERSION:
        raise Unsupported(f"the state was written by a newer kplan (format {row[0]}, this one knows {VERSION})",
                          help="use the newer kplan, or another file")  # fmt: skip
    return int(row[0])


CAUSES: Mapping[str, tuple[str, str]] = {
    "SQLITE_FULL": ("the disk is full", "make room; what was written before is intact"),
    "SQLITE_IOERR": ("the disk cannot be read or written", "check the disk and its quota"),
    "SQLITE_READONLY": ("it is read-only", "kplan must be able to write the file and its folder"),
    "SQLITE_CANTOPEN": ("it cannot be opened", "kplan must be able to write the file and its folder"),
    "SQLITE_PERM": ("it may not be opened", "kplan must be able to write the file and its folder"),
    "SQLITE_NOTADB": ("it is not a SQLite database", "restore it from a backup, or move it away and adopt again"),
    "SQLITE_CORRUPT": ("it is damaged", "restore it from a backup, or move it away and adopt again"),
    "SQLITE_BUSY": ("another process has kept it busy", "try again"),
    "SQLITE_CONSTRAINT": ("a record of this run is there already", "see `kplan recover --list`"),
}


@contextmanager
def _explain_errors(where: str) -> Iterator[None]:
    """Turn errors of SQLite, of the file system or of unreadable data into KplanError."""
    try:
        yield
    except KplanError as failure:
        if where not in failure.message and not isinstance(failure, Locked):
            failure.message = f"{where}: {failure.message}"
            failure.args = (failure.message,)
        raise
    except sqlite3.Error as failure:
        cause, help = _explain_code(error_name(failure))
        raise _make_unusable_error(where, cause or str(failure), help) from failure
    except OSError as failure:
        help = "kplan must be able to write the file and its folder"
        raise _make_unusable_error(where, failure.strerror or str(failure), help) from failure
    except ValueError as failure:
        raise _make_unusable_error(
            where, f"a record cannot be read: {failure}", CAUSES["SQLITE_CORRUPT"][1]
        ) from failure


def _make_unusable_error(where: str, cause: str, help: str) -> JournalBroken:
    """Return the error; a caller that has begun to change something sets another exit code."""
    problem = JournalBroken(f"the state in {where} cannot be used: {cause}", help=help)
    problem.exit_code = 1
    return problem


def _explain_code(name: str) -> tuple[str, str]:
    return next((explanation for start, explanation in CAUSES.items() if name.startswith(start)), ("", ""))
