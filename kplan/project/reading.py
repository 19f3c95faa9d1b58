"""Read a person's file without waiting for ever: pipes are given a time, sockets and block devices are refused."""

from __future__ import annotations

import errno
import os
import select
import stat
import time
from pathlib import Path
from typing import Final

LARGEST: Final = 64 * 1024 * 1024  # bytes of one file
WRITER_SECONDS: Final = 2.0  # until something opens a named pipe for writing
SILENCE_SECONDS: Final = 60.0  # until a pipe's writer, such as the command in `<(…)`, writes more
PART: Final = 64 * 1024
KINDS: Final = {
    stat.S_IFDIR: "a folder",
    stat.S_IFSOCK: "a socket",
    stat.S_IFBLK: "a block device",
    stat.S_IFIFO: "a named pipe",
    stat.S_IFCHR: "a device",
}
REFUSED: Final = ("a folder", "a socket", "a block device")


def read_file(path: Path | str, limit: int = LARGEST) -> bytes:
    """Return the file's bytes. Raises OSError where it cannot be read, is too large or nothing comes."""
    if kind_of(Path(path)) in REFUSED:  # some of them cannot be opened
        raise OSError(errno.EINVAL, f"it is {kind_of(Path(path))}; name a plain file")
    handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
    try:
        kind = stat.S_IFMT(os.fstat(handle).st_mode)
        if kind == stat.S_IFREG:
            with os.fdopen(os.dup(handle), "rb") as file:
                data = file.read(limit + 1)
        else:
            data = _from_stream(handle, limit, is_named=kind == stat.S_IFIFO and Path(path).resolve().is_fifo())
    finally:
        os.close(handle)
    if len(data) > limit:
        raise OSError(errno.EFBIG, f"it is larger than {limit // 1024 // 1024} MiB")
    return data


def kind_of(path: Path) -> str:
    """Return what a path is in words, such as `a named pipe`; "" for a plain file, or where nothing is there."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return ""
    return "" if stat.S_ISREG(mode) else KINDS.get(stat.S_IFMT(mode), "no plain file")


def _from_stream(handle: int, limit: int, *, is_named: bool) -> bytes:
    """Read a pipe or a terminal to its end. Its writer may come late, and may take its time."""
    parts: list[bytes] = []
    size = 0
    begun = not is_named  # the writer of `<(…)` and of standard input is there from the start
    end = time.monotonic() + (SILENCE_SECONDS if begun else WRITER_SECONDS)
    while size <= limit:
        try:
            part = os.read(handle, PART)
        except BlockingIOError:  # it has a writer
            if not begun:
                begun, end = True, time.monotonic() + SILENCE_SECONDS
            part = None
        if part:
            begun, end = True, time.monotonic() + SILENCE_SECONDS
            parts.append(part)
            size += len(part)
        elif part == b"" and begun:
            break
        elif time.monotonic() >= end:
            said = f"wrote nothing for {SILENCE_SECONDS:.0f} s" if begun else "has opened it for writing"
            raise OSError(errno.ETIMEDOUT, f"it is a pipe, and {'its writer' if begun else 'nothing'} {said}")
        else:
            _wait(handle, end, has_writer=part is None)
    return b"".join(parts)


def _wait(handle: int, end: float, *, has_writer: bool) -> None:
    """Wait for data; without a writer select would return at once."""
    left = max(0.0, end - time.monotonic())
    if has_writer:
        select.select([handle], [], [], left)
    else:
        time.sleep(min(0.05, left))
