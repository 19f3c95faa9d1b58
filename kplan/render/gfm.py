"""Text of users and servers inside Markdown for GitHub and GitLab: nothing in it is markup, a link or a mention.

Both hosts look for references (`@name`, `#12`, `!12`, `~label`, `:emoji:`) in the text that is left after Markdown,
where no escape is seen any more, but never inside code; a zero-width space breaks them, as Renovate does it. A dollar
may begin a formula: GitHub wants an element around one that does not (docs.github.com, "Writing mathematical
expressions"), and GitLab's parser, comrak, a coded one. GitLab obeys lines that begin with `/`, so no text of others
may begin a line.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import quote

from kplan.render.diagnostics import visible
from kplan.text import truncate

_MARKUP = str.maketrans({
    **{char: f"\\{char}" for char in "\\*_[]~"},
    "<": "&lt;", ">": "&gt;", "&": "&amp;", "`": "&#96;", "|": "&#124;", "$": "<span>&#36;</span>", "\u200b": "&#8203;",
})  # fmt: skip
_REFERENCE = re.compile(
    r"(?<=[@#!%~^&])(?=[\w\"])|(?<=:)(?=//|[\w+-]*[a-z_+-][\w+-]*:|100:|1234:)|(?<=\bwww)(?=\.)|(?<=\bGH-)(?=\d)", re.I
)
_QUOTED = re.compile(r"`([^`]+)`")


def prose(text: str) -> str:
    """The text on one line, as it reads; what stands between backticks is code."""
    parts = _QUOTED.split(" ".join(text.split()))
    return "".join(code(part) if n % 2 else plain(part) for n, part in enumerate(parts))


def plain(text: str) -> str:
    """The text, whose every character stands for itself."""
    return _plain(visible(text))


def _plain(text: str) -> str:
    return _REFERENCE.sub("\u200b", text).translate(_MARKUP)


def code(text: str, most: int = 200) -> str:
    """The text, cut, as code: a span, or an element where a span cannot hold it (a bar would end a table's cell).

    In an element Markdown goes on, and cmark-gfm makes links of addresses there.
    """
    shown = truncate(visible(text), most)
    if not shown.strip() or "`" in shown or "|" in shown:
        return f"<code>{_plain(shown)}</code>"
    return f"`{shown}`"


def lines(text: str, most: int = 8) -> str:
    """The text's lines, at most so many, each as it reads."""
    found = [prose(line) for line in text.splitlines() if line.strip()]
    more = [f"… {len(found) - most} more lines"] if len(found) > most else []
    return "<br>".join(found[:most] + more)


def link(words: str, address: str) -> str:
    """A link to a web address, or nothing where it is none."""
    fine = re.fullmatch(r"https?://[!-~]{1,500}", address)
    return f"[{words}](<{address.replace('<', '%3C').replace('>', '%3E')}>)" if fine else ""


def comment(words: str) -> str:
    """A comment that is not shown. `words` hold neither `>` nor a line's end: see `name`."""
    return f"<!-- {words} -->"


def name(text: str, most: int = 200) -> str:
    """The text as a word that can stand in a comment, and is found again by its characters alone."""
    return quote(text, safe="/:,*", errors="replace")[:most]


def row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def size(text: str) -> int:
    """Characters as a host may count them: those beyond the first 65,536 of Unicode are two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
