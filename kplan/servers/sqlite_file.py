"""Opens an SQLite file to read it, even where its folder is read-only."""

from __future__ import annotations

import sqlite3
from pathlib import Path

BUSY_TIMEOUT_S = 30.0  # two stacks of one environment write to the same file


def open_to_read(path: Path) -> sqlite3.Connection:
    """Return a connection that writes nothing. In a read-only folder, a file in WAL mode is read as `immutable`."""
    uri = path.absolute().as_uri()
    connection = sqlite3.connect(f"{uri}?mode=ro", uri=True, timeout=BUSY_TIMEOUT_S, check_same_thread=False)
    try:
        connection.execute("SELECT 1 FROM sqlite_master LIMIT 1").fetchone()
    except sqlite3.OperationalError as failure:
        connection.close()
        if not is_read_only(failure) or _has_wal(path):
            raise
        return sqlite3.connect(f"{uri}?mode=ro&immutable=1", uri=True, check_same_thread=False)
    return connection


def is_read_only(failure: sqlite3.Error) -> bool:
    """Return whether the file, or its folder, must not be written."""
    return error_name(failure).startswith(("SQLITE_CANTOPEN", "SQLITE_READONLY"))


def error_name(failure: sqlite3.Error) -> str:
    return getattr(failure, "sqlite_errorname", "")


def _has_wal(path: Path) -> bool:
    wal = path.with_name(path.name + "-wal")
    return wal.exists() and wal.stat().st_size > 0
