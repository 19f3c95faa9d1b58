"""Secrets that are written in a person's file: they are hidden before a line of it is shown.

By lines and not by the parser, for a file that cannot be parsed is shown too.
"""

from __future__ import annotations

import re
from functools import lru_cache

from kplan.model import CREDENTIALS, SENSITIVE_KEY
from kplan.patterns import late_pattern

HIDDEN = "•"
SHORTEST = 3
MISSPELT = ("password", "passwd", "passphrase", "secret", "credentials")
SHORTEST_NAME, LONGEST_NAME = 5, 14
PAIR = late_pattern(
    r"""(?<![\w.\-])(?P<key>["']?[\w.\-]+["']?)\s*[:=]\s*(?P<value>"(?:[^"\\]|\\.)*"|'(?:[^']|'')*'|[^\s,{}\[\]#"'][^,}\]#]*)"""
)
BLOCK = late_pattern(r"""(?P<indent>\s*)(?P<key>["']?[\w.\-]+["']?)\s*:\s*[|>][+\-0-9]*\s*$""")


@lru_cache(maxsize=4096)
def _is_password_like(key: str) -> bool:
    """Return whether the key is a secret's, or looks like a misspelt one: `sasl.pasword`."""
    from difflib import get_close_matches

    if SENSITIVE_KEY.search(key):
        return True
    parts = [part for part in re.split(r"[^a-z]+", key.lower()) if SHORTEST_NAME <= len(part) <= LONGEST_NAME]
    return any(get_close_matches(part, MISSPELT, 1, 0.8) for part in parts)


@lru_cache(maxsize=16)
def hide_literals(text: str) -> tuple[str, tuple[str, ...]]:
    """Return the text with each literal secret replaced, character by character, and the secrets.

    A secret is what stands under a password-like key and is neither a template nor Connect's reference.
    """
    lines: list[str] = []
    values: dict[str, None] = {}
    block = -1  # the indent of a password-like key whose value stands on the lines below it
    for line in text.split("\n"):
        indent = len(line) - len(line.lstrip())
        if block >= 0 and (not line.strip() or indent > block):
            if len(line.strip()) >= SHORTEST:
                values[line.strip()] = None
            lines.append(line[:indent] + HIDDEN * len(line.strip()))
            continue
        opens = BLOCK.match(line)
        block = len(opens.group("indent")) if opens and _is_password_like(opens.group("key")) else -1
        line = CREDENTIALS.sub(lambda match: _credentials(match, values), line)
        lines.append(PAIR.sub(lambda match: _pair(match, values), line))
    return "\n".join(lines), tuple(values)


def _credentials(match: re.Match[str], values: dict[str, None]) -> str:
    """Return `://user:secret@` or `password=secret` with what follows the last `:` or `=` hidden."""
    text = match.group(0)
    start = max(text.rfind(":"), text.rfind("=")) + 1
    end = len(text) - 1 if text.endswith("@") else len(text)
    secret = text[start:end].strip("\"'")
    if len(secret) < SHORTEST or "{{" in text or "${" in text:
        return text
    values[secret] = None
    return text.replace(secret, HIDDEN * len(secret))


def _pair(match: re.Match[str], values: dict[str, None]) -> str:
    value = match.group("value").rstrip()
    bare = value.strip("\"'")
    if not _is_password_like(match.group("key")) or len(bare) < SHORTEST or "{{" in bare or "${" in bare:
        return match.group(0)
    if bare in ("true", "false", "null", "string"):
        return match.group(0)
    values[bare] = None
    return match.group(0).replace(bare, HIDDEN * len(bare))
