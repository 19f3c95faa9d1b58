"""A code: what one kind of problem is, why it happens and what to do about it."""

from __future__ import annotations

from typing import Literal

from kplan.values import dataclass

EXAMPLE_INDENT = " " * 4


@dataclass(frozen=True, slots=True)
class Code:
    """One entry of the table that `kplan explain` prints.

    `title` is one line. `level` is the severity of its diagnostics (error, warning, note) or the level of its risk
    (danger, caution, note), and empty where that depends on the case. `cause`, `example` (lines of a file, or commands)
    and `remedy` may be indented like the source around them: read `text`, which is 2 to 8 lines.
    """

    number: str
    title: str
    level: Literal["", "error", "warning", "note", "danger", "caution"] = ""
    cause: str = ""
    example: str = ""
    remedy: str = ""

    @property
    def text(self) -> str:
        """Return cause, example and remedy as paragraphs, with an empty line between; the example is indented."""
        from textwrap import dedent, indent

        example = indent(dedent(self.example).strip(), EXAMPLE_INDENT)
        return "\n\n".join(filter(None, (dedent(self.cause).strip(), example, dedent(self.remedy).strip())))
