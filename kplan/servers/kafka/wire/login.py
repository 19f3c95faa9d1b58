"""SASL PLAIN (RFC 4616) and SCRAM (RFC 5802) of a client that has a name and a password."""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
from collections.abc import Callable
from typing import Final

from kplan.servers.kafka.wire.encoding import Unsuited

HASHES: Final = {"SCRAM-SHA-256": "sha256", "SCRAM-SHA-512": "sha512"}
MAX_ITERATIONS: Final = 1_000_000  # a server that wants more would only keep this process busy


def log_in(mechanism: str, name: str, password: str, exchange: Callable[[bytes], bytes]) -> None:
    """Log in by `exchange`, which sends a token and returns the server's. Raises Unsuited where that fails."""
    if mechanism == "PLAIN":
        exchange(f"\0{name}\0{password}".encode())
        return
    _log_in_with_scram(HASHES[mechanism], name, password, exchange)


def _log_in_with_scram(hash: str, name: str, password: str, exchange: Callable[[bytes], bytes]) -> None:
    """Log in without sending the password, and have the server prove that it knows it too."""
    own_nonce = base64.b64encode(os.urandom(24)).decode()
    first = f"n={name.replace('=', '=3D').replace(',', '=2C')},r={own_nonce}"
    challenge = exchange(f"n,,{first}".encode()).decode()
    fields = dict(part.split("=", 1) for part in challenge.split(",") if "=" in part)
    nonce, salt, iterations = fields.get("r", ""), fields.get("s", ""), fields.get("i", "")
    if not nonce.startswith(own_nonce) or not iterations.isdigit() or int(iterations) > MAX_ITERATIONS:
        raise Unsuited("the server's challenge is not one of SCRAM")
    salted = hashlib.pbkdf2_hmac(hash, password.encode(), base64.b64decode(salt), int(iterations))
    unproved = f"c=biws,r={nonce}"
    signed = f"{first},{challenge},{unproved}".encode()
    client_key = hmac.digest(salted, b"Client Key", hash)
    signature = hmac.digest(hashlib.new(hash, client_key).digest(), signed, hash)
    proof = bytes(a ^ b for a, b in zip(client_key, signature, strict=True))
    answer = exchange(f"{unproved},p={base64.b64encode(proof).decode()}".encode()).decode()
    expected = hmac.digest(hmac.digest(salted, b"Server Key", hash), signed, hash)
    if not hmac.compare_digest(answer.removeprefix("v=").encode(), base64.b64encode(expected)):
        raise Unsuited("the server does not know the password")
