"""Bring stack files into canonical order and spacing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.project.loading import Request


@dataclass(frozen=True, slots=True)
class StackText:
    """The text of one stack file. `format` is the work that may fail; its errors are about `before`."""

    path: Path
    before: str

    def format(self) -> str:
        """Return the text in canonical order and spacing. Raises Invalid for what is not a stack."""
        from kplan.kinds.key_order import read_key_orders
        from kplan.language.fmt import format

        return format(self.before, str(self.path), read_key_orders())


class UnreadableStack(ValueError):
    """A stack file that cannot be read, or is not text; the message names it."""


def read_stack_texts(request: Request) -> Iterator[StackText]:
    """Yield the stack files that the request names, with line feeds alone. Raises UnreadableStack."""
    from kplan.project.loading import ProjectReader
    from kplan.project.reading import read_file

    for path in ProjectReader(request).find_stack_paths():
        try:
            before = read_file(path).decode().replace("\r\n", "\n").replace("\r", "\n")
        except (OSError, UnicodeDecodeError) as e:
            raise UnreadableStack(f"{path}: {getattr(e, 'strerror', None) or 'not UTF-8 text'}") from e
        yield StackText(path, before)
