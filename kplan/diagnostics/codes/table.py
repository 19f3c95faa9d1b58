"""The table of all codes, by number: what `kplan explain`, completion, the reference and SARIF read."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from kplan.diagnostics import codes
from kplan.diagnostics.codes.code import Code

_DIGITS = str.maketrans("OIL", "011")  # what people type for them

CODES: Mapping[str, Code] = MappingProxyType({
    code.number: code
    for code in sorted((code for code in vars(codes).values() if isinstance(code, Code)), key=lambda code: code.number)
})  # fmt: skip


def find_similar(number: str) -> str:
    """Return the number of the code that was probably meant, or nothing."""
    from difflib import get_close_matches

    close = get_close_matches(number.upper().translate(_DIGITS), CODES, 1)
    return close[0] if close else ""
