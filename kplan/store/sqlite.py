"""The store in one SQLite file: for one machine, and for clusters that allow no topic of kplan's own."""

from __future__ import annotations

import json
import os
import re
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from kplan.codec import owned_from_json, owned_to_json
from kplan.diagnostics import JournalBroken, Locked
from kplan.journal import Entry, Item
from kplan.model import Address, Owned
from kplan.store.base import Holder

VERSION = 1
KEEP = 20  # finished runs of each stack
TABLES = """
CREATE TABLE IF NOT EXISTS kplan_meta (key TEXT PRIMARY KEY, value TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS kplan_ledger (address TEXT PRIMARY KEY, stack TEXT NOT NULL, record TEXT NOT NULL);
CREATE TABLE IF NOT EXISTS kplan_journal (run TEXT NOT NULL, seq INTEGER NOT NULL, stack TEXT NOT NULL, event TEXT NOT NULL,
                                          record TEXT NOT NULL, PRIMARY KEY (run, seq));
"""


class SqliteStore:
    """Ledger and journal in one file, and beside it a lock file for each stack, which the kernel frees."""

    def __init__(self, path: Path | str) -> None:
        self.path = Path(path)
        self.where = os.path.relpath(self.path)
        self._connection: sqlite3.Connection | None = None

    # -- reading --------------------------------------------------------------------------------------------------
    def ledger(self) -> Mapping[Address, Owned]:
        with self._reading() as db:
            rows = db.execute("SELECT address, record FROM kplan_ledger ORDER BY address").fetchall() if db else []
        with _told(self.where):
            return {Address.parse(a): owned_from_json(Address.parse(a), json.loads(record)) for a, record in rows}

    def runs(self) -> Sequence[str]:
        with self._reading() as db:
            rows = db.execute("SELECT run FROM kplan_journal GROUP BY run ORDER BY min(rowid)").fetchall() if db else []
        return [run for (run,) in rows]

    def entries(self, run: str) -> Sequence[Entry]:
        with self._reading() as db:
            rows = db.execute("SELECT record FROM kplan_journal WHERE run = ? ORDER BY seq", (run,)).fetchall() if db else []
        with _told(self.where):
            return [_entry(json.loads(record)) for (record,) in rows]

    def open_runs(self) -> Sequence[str]:
        with self._reading() as db:
            rows = db.execute("SELECT run FROM kplan_journal GROUP BY run HAVING sum(event = 'end') = 0 ORDER BY min(rowid)").fetchall() \
                if db else []  # fmt: skip
        return [run for (run,) in rows]

    def holder(self, stack: str) -> Holder | None:
        path = self._lock_path(stack)
        if not path.exists():
            return None
        from filelock import FileLock, Timeout

        try:
            with FileLock(str(path), timeout=0):
                return None
        except (Timeout, OSError):
            return _holder(path)

    # -- the lock -------------------------------------------------------------------------------------------------
    @contextmanager
    def lock(self, stack: str, holder: Holder, timeout: float) -> Iterator[SqliteLock]:
        from filelock import FileLock, Timeout

        path = self._lock_path(stack)
        self._make_folder()
        kernel = FileLock(str(path))
        try:
            kernel.acquire(timeout=timeout, poll_interval=0.2)
        except Timeout:
            raise _locked(stack, _holder(path)) from None
        except OSError as e:
            raise JournalBroken(f"{self.where}: the lock cannot be taken: {e.strerror}", help="check the folder's permissions") from e
        try:
            _who(path).write_text(json.dumps(asdict(holder)), "utf-8")
            yield SqliteLock(self)
        finally:
            _who(path).unlink(missing_ok=True)
            kernel.release()

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    # -- the file -------------------------------------------------------------------------------------------------
    def _lock_path(self, stack: str) -> Path:
        return self.path.with_name(f"{self.path.name}.{re.sub(r'[^A-Za-z0-9._-]', '_', stack)}.lock")

    def _make_folder(self) -> None:
        """The folder is there, and git ignores what is in a `.kplan`."""
        folder = self.path.parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
            if folder.name == ".kplan" and not (folder / ".gitignore").exists():
                (folder / ".gitignore").write_text("*\n", "utf-8")
        except OSError as e:
            raise JournalBroken(f"{folder}: cannot be written: {e.strerror}", help="name another place under `state: {sqlite: …}`") from e

    @contextmanager
    def _reading(self) -> Iterator[sqlite3.Connection | None]:
        """The open file, or None where there is none, or none of kplan's tables in it."""
        with _told(self.where):
            if self._connection is None and not self.path.exists():
                yield None
                return
            db = self._open()
            known = db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'kplan_journal'").fetchone()[0]
            yield db if known else None

    def _open(self) -> sqlite3.Connection:
        if self._connection is None:
            db = sqlite3.connect(self.path, timeout=30, isolation_level=None, check_same_thread=False)
            db.execute("PRAGMA journal_mode=WAL")
            db.execute("PRAGMA synchronous=FULL")
            self._connection = db
            self._refuse_newer(db)
        return self._connection

    def _refuse_newer(self, db: sqlite3.Connection) -> None:
        if db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'kplan_meta'").fetchone()[0]:
            row = db.execute("SELECT value FROM kplan_meta WHERE key = 'version'").fetchone()
            if row and int(row[0]) > VERSION:
                raise JournalBroken(f"{self.where} was written by a newer kplan", help="use that version, or a later one")

    def write(self, entries: Sequence[Entry], ledger: Mapping[Address, Owned | None]) -> None:
        """One transaction. A record of another stack is never overwritten nor removed."""
        self._make_folder()
        with _told(self.where):
            db = self._open()
            db.executescript(TABLES)
            db.execute("BEGIN IMMEDIATE")
            try:
                db.execute("INSERT OR IGNORE INTO kplan_meta VALUES ('version', ?)", (str(VERSION),))
                for entry in entries:
                    self._append(db, entry)
                for address, owned in ledger.items():
                    _record(db, address, owned, entries[0].stack if entries else "")
                db.execute("COMMIT")
            except BaseException:
                db.execute("ROLLBACK")
                raise

    def _append(self, db: sqlite3.Connection, entry: Entry) -> None:
        record = json.dumps(asdict(entry), ensure_ascii=False)
        db.execute("INSERT INTO kplan_journal VALUES (?, ?, ?, ?, ?)", (entry.run, entry.seq, entry.stack, entry.event, record))
        if entry.event == "end":
            db.execute(
                "DELETE FROM kplan_journal WHERE run IN (SELECT run FROM kplan_journal WHERE stack = ? GROUP BY run"
                " HAVING sum(event = 'end') > 0 ORDER BY max(rowid) DESC LIMIT -1 OFFSET ?)", (entry.stack, KEEP),
            )  # fmt: skip


class SqliteLock:
    def __init__(self, store: SqliteStore) -> None:
        self._store = store

    def write(self, entries: Sequence[Entry] = (), ledger: Mapping[Address, Owned | None] | None = None) -> None:
        self._store.write(entries, ledger or {})


def _record(db: sqlite3.Connection, address: Address, owned: Owned | None, stack: str) -> None:
    if owned is None:
        db.execute("DELETE FROM kplan_ledger WHERE address = ? AND (stack = ? OR ? = '')", (str(address), stack, stack))
        return
    db.execute(
        "INSERT INTO kplan_ledger VALUES (?, ?, ?) ON CONFLICT (address) DO UPDATE SET record = excluded.record"
        " WHERE kplan_ledger.stack = excluded.stack", (str(address), owned.stack, json.dumps(owned_to_json(owned), ensure_ascii=False)),
    )  # fmt: skip


def _entry(data: Mapping[str, Any]) -> Entry:
    return Entry(**{**data, "items": tuple(Item(**item) for item in data["items"])})


# -- who holds it -----------------------------------------------------------------------------------------------------
def _who(path: Path) -> Path:
    return path.with_suffix(".holder")


def _holder(path: Path) -> Holder:
    for _ in range(5):  # it may be about to be written
        try:
            return Holder(**json.loads(_who(path).read_text("utf-8")))
        except (OSError, ValueError, TypeError):
            time.sleep(0.05)
    return Holder("someone", "", "", "")


def _locked(stack: str, holder: Holder) -> Locked:
    return Locked(f"{holder.who} holds stack {stack} since {holder.since or 'a moment ago'}: {holder.command or 'kplan'} (run {holder.run}, "
                  f"process {holder.pid})", help="wait for it with --lock-timeout 60s; there is no unlock, for the lock ends with its process")  # fmt: skip


@contextmanager
def _told(where: str) -> Iterator[None]:
    """Turns what SQLite, the disk or a torn record says into one error."""
    try:
        yield
    except sqlite3.Error as e:
        raise JournalBroken(f"{where}: {e}", help="check the disk's space and the file's permissions; a damaged file can be put "
                            "back from a backup, or moved away, and then what exists is adopted") from e  # fmt: skip
    except (ValueError, KeyError, TypeError) as e:
        raise JournalBroken(f"{where}: a record cannot be read: {type(e).__name__} {e}", help="was it written by another program?") from e
