"""Sign what kplan writes with KPLAN_KEY: plans, and the records of the state. Without effects."""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Iterator, Mapping
from typing import Any, Final

from kplan.values import dataclass

SIGNATURE_FIELD: Final = "signature"
UNSIGNED: Final = "is not signed, and KPLAN_KEY is set"
WRONG_SIGNATURE: Final = (
    "has a wrong signature: it was signed with another KPLAN_KEY, changed after that, or copied from another place"
)


def encode_canonically(document: Mapping[str, Any], *left_out: str) -> bytes:
    """Return the one text of a document, whatever the order of its keys is, without the keys `left_out`."""
    return b"".join(iterate_canonically(document, *left_out))


def iterate_canonically(document: Mapping[str, Any], *left_out: str) -> Iterator[bytes]:
    """Yield that text in parts: a large document has long lists, whose texts need not be in memory together."""
    encode = json.JSONEncoder(sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode
    before = "{"
    for key in sorted(document.keys() - set(left_out)):
        value = document[key]
        start, before = f"{before}{encode(key)}:", ","
        if type(value) is list and value:
            for number, item in enumerate(value):
                yield f"{',' if number else f'{start}['}{encode(item)}".encode("utf-8", "surrogatepass")
            yield b"]"
        else:
            yield f"{start}{encode(value)}".encode("utf-8", "surrogatepass")
    yield b"{}" if before == "{" else b"}"


def compute_signature(key: str, *parts: bytes) -> str:
    """Return the signature of the parts, in their order. No part but the last one may hold a NUL."""
    return "hmac-sha256:" + hmac.new(key.encode(), b"\0".join(parts), hashlib.sha256).hexdigest()


def is_same_signature(signature: object, expected: str) -> bool:
    """Return whether a signature is the wanted one, in a time that does not depend on where they differ."""
    return isinstance(signature, str) and hmac.compare_digest(signature.encode("utf-8", "replace"), expected.encode())


@dataclass(frozen=True, slots=True)
class Signer:
    """Sign records of the state and check them; without a key it does neither.

    A signature covers the name of the record (`stack/NAME/…`, its key in the topic) and its value.
    """

    key: str = ""

    def sign(self, name: str, value: Mapping[str, Any]) -> dict[str, Any]:
        """Return the value with its signature; without a key, without one."""
        unsigned = {field: item for field, item in value.items() if field != SIGNATURE_FIELD}
        return {**unsigned, SIGNATURE_FIELD: self._compute_signature(name, unsigned)} if self.key else unsigned

    def find_fault(self, name: str, value: Mapping[str, Any]) -> str:
        """Return why the record is not trusted, as the end of a sentence; empty where it is signed with the key."""
        if not self.key:
            return ""
        if not isinstance(value.get(SIGNATURE_FIELD), str):
            return UNSIGNED
        return (
            "" if is_same_signature(value[SIGNATURE_FIELD], self._compute_signature(name, value)) else WRONG_SIGNATURE
        )

    def _compute_signature(self, name: str, value: Mapping[str, Any]) -> str:
        return compute_signature(
            self.key, b"kplan state", name.encode("utf-8", "surrogatepass"), encode_canonically(value, SIGNATURE_FIELD)
        )
