"""Write text of users and servers inside Markdown for GitHub and GitLab: nothing in it is markup, a link or a mention.

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

from kplan.render.diagnostics import escape_controls
from kplan.text import truncate

_MARKUP = str.maketrans({
    **{char: f"\\{char}" for char in "\\*_[]~"},
    "<": "&lt;", ">": "&gt;", "&": "&amp;", "`": "&#96;", "|": "&#124;", "$": "<span>&#36;</span>", "\u200b": "&#8203;",
})  # fmt: skip
_REFERENCE = re.compile(
    r"(?<=[@#!%~^&])(?=[\w\"])|(?<=:)(?=//|[\w+-]*[a-z_+-][\w+-]*:|100:|1234:)|(?<=\bwww)(?=\.)|(?<=\bGH-)(?=\d)", re.I
)
_QUOTED = re.compile(r"`([^`]+)`")


def format_prose(text: str) -> str:
    """Return the text on one line, as it reads; text between backticks becomes code."""
    parts = _QUOTED.split(" ".join(text.split()))
    return "".join(format_code(part) if n % 2 else escape_text(part) for n, part in enumerate(parts))


def escape_text(text: str) -> str:
    """Escape the text, so that none of its characters is markup."""
    return _escape_markup(escape_controls(text))


def _escape_markup(text: str) -> str:
    return _REFERENCE.sub("\u200b", text).translate(_MARKUP)


def format_code(text: str, max_length: int = 200) -> str:
    """Return the text, cut, as code: a span, or an element where a span cannot hold it (a bar would end a table's
    cell).

    In an element Markdown goes on, and cmark-gfm makes links of addresses there.
    """
    shown = truncate(escape_controls(text), max_length)
    if not shown.strip() or "`" in shown or "|" in shown:
        return f"<code>{_escape_markup(shown)}</code>"
    return f"`{shown}`"


def format_lines(text: str, max_lines: int = 8) -> str:
    """Return the text's lines, at most so many, each as it reads."""
    written = [format_prose(line) for line in text.splitlines() if line.strip()]
    more = [f"… {len(written) - max_lines} more lines"] if len(written) > max_lines else []
    return "<br>".join(written[:max_lines] + more)


def format_link(label: str, url: str) -> str:
    """Return a link to a web address, or an empty text if it is not one."""
    valid = re.fullmatch(r"https?://[!-~]{1,500}", url)
    return f"[{label}](<{url.replace('<', '%3C').replace('>', '%3E')}>)" if valid else ""


def format_comment(text: str) -> str:
    """Return a comment that is not shown. `text` holds neither `>` nor a line's end: see `encode_name`."""
    return f"<!-- {text} -->"


def encode_name(text: str, max_length: int = 200) -> str:
    """Encode the text as a word that can be part of a comment, and is found again by its characters alone."""
    return quote(text, safe="/:,*", errors="replace")[:max_length]


def format_row(cells: Iterable[str]) -> str:
    return f"| {' | '.join(cells)} |\n"


def count_characters(text: str) -> int:
    """Count characters as a host may count them: those beyond the first 65,536 of Unicode are two."""
    return len(text) if text.isascii() else len(text.encode("utf-16-le", "surrogatepass")) // 2
