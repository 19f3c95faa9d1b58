"""Names of several parts: how the parts of an address are written, so that none of them is a glob or needs quotes."""

from __future__ import annotations

import string

from kplan.patterns import late_pattern

SAFE = "-._:=,+@"  # what a part may hold besides letters and digits; all else is percent-encoded
_SAFE_TEXT = late_pattern(r"[A-Za-z0-9\-._:=,+@]*")
_PLAIN = string.ascii_letters + string.digits
_ESCAPES = late_pattern("(?:%[0-9A-Fa-f]{2})+")


def encode_part(text: str, safe: str = SAFE) -> str:
    """Return the text as a part of an address holds it."""
    if safe is SAFE and _SAFE_TEXT.fullmatch(text):  # nearly every part of nearly every address
        return text
    return "".join(character if character in _PLAIN or character in safe else _escape(character) for character in text)


def _escape(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode("utf-8"))


def decode_part(part: str) -> str:
    """Return the text of a part. Raises ValueError where it is not UTF-8."""
    return _ESCAPES.sub(lambda found: bytes.fromhex(found[0].replace("%", "")).decode("utf-8"), part)
