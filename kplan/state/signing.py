"""Sign what kplan writes with KPLAN_KEY: plans, and the records of the state. Without effects."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

FIELD: Final = "signature"
UNSIGNED: Final = "is not signed, and KPLAN_KEY is set"
WRONG: Final = (
    "has a wrong signature: it was signed with another KPLAN_KEY, changed after that, or copied from another place"
)


def canonical(document: Mapping[str, Any], *without: str) -> bytes:
    """Return the one text of a document, whatever the order of its keys is; the keys `without` are left out."""
    rest = {key: value for key, value in document.items() if key not in without}
    return json.dumps(rest, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode("utf-8", "surrogatepass")


def signature(key: str, *parts: bytes) -> str:
    """Return the signature of the parts, in their order. No part but the last one may hold a NUL."""
    return "hmac-sha256:" + hmac.new(key.encode(), b"\0".join(parts), hashlib.sha256).hexdigest()


def matches(found: object, wanted: str) -> bool:
    """Say whether a signature that was found is the wanted one, in a time that does not depend on where they differ."""
    return isinstance(found, str) and hmac.compare_digest(found.encode("utf-8", "replace"), wanted.encode())


@dataclass(frozen=True, slots=True)
class Signer:
    """Signs records of the state and checks them; without a key it does neither.

    A signature covers the name of the record (`stack/NAME/…`, its key in the topic) and its value.
    """

    key: str = ""

    def sign(self, name: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value with its signature; without a key, without one."""
        bare = {field: each for field, each in value.items() if field != FIELD}
        return {**bare, FIELD: self._signature(name, bare)} if self.key else bare

    def find_fault(self, name: str, value: Mapping[str, Any]) -> str:
        """Say why the record counts as nobody's, as the end of a sentence; empty where it is signed with the key."""
        if not self.key:
            return ""
        if not isinstance(value.get(FIELD), str):
            return UNSIGNED
        return "" if matches(value[FIELD], self._signature(name, value)) else WRONG

    def _signature(self, name: str, value: Mapping[str, Any]) -> str:
        return signature(self.key, b"kplan state", name.encode("utf-8", "surrogatepass"), canonical(value, FIELD))
