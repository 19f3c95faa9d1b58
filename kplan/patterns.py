"""Compile regular expressions when they are first used: a plan imports 64 of them, and needs 13."""

from __future__ import annotations

import re
from typing import Any, cast

_SHARED = ("findall", "finditer", "flags", "fullmatch", "groups", "match", "pattern", "search", "split", "sub", "subn")


class _LatePattern:
    """What has the methods of a compiled pattern from the first question for one of them."""

    def __init__(self, text: str, flags: int) -> None:
        self._text = text
        self._flags = flags

    def __getattr__(self, name: str) -> Any:
        if name not in _SHARED:
            raise AttributeError(name)
        compiled = re.compile(self._text, self._flags)
        vars(self).update({each: getattr(compiled, each) for each in _SHARED})
        return vars(self)[name]


def late_pattern(text: str, flags: int = 0) -> re.Pattern[str]:
    """Return the pattern of `text`, not yet compiled. Functions of `re` do not take it; its own methods do all."""
    return cast("re.Pattern[str]", _LatePattern(text, flags))
