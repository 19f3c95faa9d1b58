"""The exchanges of SASL, with a server's side of SCRAM that is written here from RFC 5802."""

from __future__ import annotations

import base64
import hashlib
import hmac

import pytest

from kplan.servers.kafka.wire.encoding import Unsuited
from kplan.servers.kafka.wire.login import HASHES, log_in


class ScramServer:
    """Knows the password of one user."""

    def __init__(self, hash: str, password: str, iterations: int = 4096) -> None:
        self.hash, self.password, self.iterations = hash, password, iterations
        self.seen: list[str] = []

    def answer(self, token: bytes) -> bytes:
        self.seen.append(token.decode())
        if len(self.seen) == 1:
            self.first = token.decode().removeprefix("n,,")
            salt = base64.b64encode(b"salt").decode()
            nonce = self.first.partition(",r=")[2]
            self.challenge = f"r={nonce}xyz,s={salt},i={self.iterations}"
            return self.challenge.encode()
        unproved, _, proof = token.decode().rpartition(",p=")
        salted = hashlib.pbkdf2_hmac(self.hash, self.password.encode(), b"salt", self.iterations)
        signed = f"{self.first},{self.challenge},{unproved}".encode()
        key = hmac.digest(salted, b"Client Key", self.hash)
        expected = hmac.digest(hashlib.new(self.hash, key).digest(), signed, self.hash)
        shown = bytes(a ^ b for a, b in zip(base64.b64decode(proof), expected, strict=True))
        if shown != key:
            raise Unsuited("wrong password")
        return b"v=" + base64.b64encode(hmac.digest(hmac.digest(salted, b"Server Key", self.hash), signed, self.hash))


@pytest.mark.parametrize(("mechanism", "hash"), HASHES.items())
def test_scram_proves_the_password_without_sending_it(mechanism: str, hash: str) -> None:
    server = ScramServer(hash, "word")
    log_in(mechanism, "a=b,c", "word", server.answer)
    assert len(server.seen) == 2
    assert server.seen[0].startswith("n,,n=a=3Db=2Cc,r=")
    assert "word" not in "".join(server.seen)


def test_a_wrong_password_and_a_server_that_does_not_know_it_are_failures() -> None:
    with pytest.raises(Unsuited):
        log_in("SCRAM-SHA-256", "u", "other", ScramServer("sha256", "word").answer)
    server = ScramServer("sha256", "word")
    forged = lambda token: server.answer(token) if not server.seen else b"v=" + base64.b64encode(b"-" * 32)  # noqa: E731
    with pytest.raises(Unsuited):
        log_in("SCRAM-SHA-256", "u", "word", forged)


@pytest.mark.parametrize("challenge", [b"", b"r=foreign,s=c2FsdA==,i=4096", b"e=other-error"])
def test_a_challenge_that_is_not_one_is_a_failure(challenge: bytes) -> None:
    with pytest.raises(Unsuited):
        log_in("SCRAM-SHA-512", "u", "word", lambda token: challenge)


def test_a_server_may_not_keep_the_client_busy() -> None:
    with pytest.raises(Unsuited):
        log_in("SCRAM-SHA-256", "u", "word", ScramServer("sha256", "word", 10_000_000).answer)


def test_plain_sends_name_and_password() -> None:
    sent: list[bytes] = []
    log_in("PLAIN", "u", "word", lambda token: sent.append(token) or b"")
    assert sent == [b"\0u\0word"]
