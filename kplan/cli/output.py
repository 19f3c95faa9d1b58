"""How text leaves kplan: to a stream that may be closed, and to a file that is never half written."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import click

from kplan.patterns import late_pattern

# Characters that control a terminal (C1) or change the order of what it shows (bidi controls). C0 is left out: kplan's
# own colours are made of it, and JSON and `render.text.clean` remove that of others.
TERMINAL_CONTROLS = late_pattern("[\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")


def escape_controls(text: str) -> str:
    """Return the text with visible escapes for what controls a terminal; JSON stays valid and keeps its values."""
    return TERMINAL_CONTROLS.sub(lambda found: f"\\u{ord(found[0]):04x}", text)


def write(text: str, stream: Any) -> None:
    """Write the text, if anyone still reads it. Raises KplanError where it cannot be written for another reason."""
    try:
        click.echo(escape_controls(text), file=stream, color=True)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
    except OSError as e:
        from kplan.diagnostics import KplanError

        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        raise KplanError(f"the output cannot be written: {e.strerror}", help="check where it is written to") from e


def save(path: str, text: str | Iterable[str]) -> None:
    """Write the file completely, or leave it as it was. A device or a pipe is written directly.

    A long text may come in parts.
    """
    import tempfile
    from pathlib import Path

    target, parts = Path(os.path.realpath(path)), (text,) if isinstance(text, str) else text
    if target.exists() and not target.is_file():
        with target.open("w", encoding="utf-8") as file:
            file.writelines(parts)
        return
    handle, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", errors="replace") as file:
            file.writelines(parts)
        Path(name).chmod(target.stat().st_mode & 0o777 if target.exists() else 0o666 & ~_read_umask())
        Path(name).replace(target)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise


def _read_umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
