"""Read a person's file without waiting for ever: pipes have a timeout, sockets and block devices are refused."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from pathlib import Path
from typing import Final

MAX_FILE_BYTES: Final = 64 * 1024 * 1024  # bytes of one file
WRITER_TIMEOUT_S: Final = 2.0  # until something opens a named pipe for writing
SILENCE_TIMEOUT_S: Final = 60.0  # until a pipe's writer, such as the command in `<(…)`, writes more
PART_BYTES: Final = 64 * 1024
KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
}
REFUSED_KINDS: Final = ("a folder", "a socket", "a block device")


def read_file(path: Path | str, limit: int = MAX_FILE_BYTES) -> bytes:
    """Return the file's bytes. Raises OSError if it cannot be read, is too large or nothing arrives."""
    if name_kind(Path(path)) in REFUSED_KINDS:  # some of them cannot be opened
        raise OSError(errno.EINVAL, f"it is {name_kind(Path(path))}; name a plain file")
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind = stat.S_IFMT(os.fstat(handle).st_mode)
        if kind == stat.S_IFREG:
            with os.fdopen(os.dup(handle), "rb") as file:
                data = file.read(limit + 1)
        else:
            data = _read_stream(handle, limit, is_named=kind == stat.S_IFIFO and Path(path).resolve().is_fifo())
    finally:
        os.close(handle)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit // 1024 // 1024} MiB")
    return data


def name_kind(path: Path) -> str:
    """Return in words what a path is, such as `a named pipe`; "" for a plain file, or where nothing exists."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    return "" if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "no plain file")


def _read_stream(handle: int, limit: int, *, is_named: bool) -> bytes:
    """Read a pipe or a terminal to its end. Its writer may come late, and may take its time."""
    parts: list[bytes] = []
    size = 0
    has_started = not is_named  # the writer of `<(…)` and of standard input is there from the start
    end = time.monotonic() + (SILENCE_TIMEOUT_S if has_started else WRITER_TIMEOUT_S)
    while size <= limit:
        try:
            part = os.read(handle, PART_BYTES)
        except BlockingIOError:  # it has a writer
            if not has_started:
                has_started, end = True, time.monotonic() + SILENCE_TIMEOUT_S
            part = None
        if part:
            has_started, end = True, time.monotonic() + SILENCE_TIMEOUT_S
            parts.append(part)
            size += len(part)
        elif part == b"" and has_started:
            break
        elif time.monotonic() >= end:
            detail = f"wrote nothing for {SILENCE_TIMEOUT_S:.0f} s" if has_started else "has opened it for writing"
            raise OSError(errno.ETIMEDOUT, f"it is a pipe, and {'its writer' if has_started else 'nothing'} {detail}")
        else:
            _wait(handle, end, has_writer=part is None)
    return b"".join(parts)


def _wait(handle: int, end: float, *, has_writer: bool) -> None:
    """Wait for data; without a writer select would return at once."""
    remaining = max(0.0, end - time.monotonic())
    if has_writer:
        select.select([handle], [], [], remaining)
    else:
        time.sleep(min(0.05, remaining))
