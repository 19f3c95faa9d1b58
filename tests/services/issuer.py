"""An OIDC issuer of the tests: a token endpoint with client credentials, and the keys that verify its tokens.

with run_issuer({"kplan": "secret"}) as issuer: … issuer.token_url … issuer.keys_url …
"""

from __future__ import annotations

import base64
import hmac
import json
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, unquote

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from tests.fakes.http import Handler, serving

AUDIENCE = "kafka"
KEY_ID = "tests"
JWT_BEARER = "urn:ietf:params:oauth:grant-type:jwt-bearer"
SECONDS = 300  # a token is valid for so long


@dataclass
class Issuer:
    """Signs tokens for clients with a secret. `audience`, `name` and `seconds` are those of the tokens from now on."""

    clients: Mapping[str, str]
    url: str = ""
    audience: str = AUDIENCE
    name: str = "https://issuer.tests"
    seconds: int = SECONDS
    accounts: dict[str, rsa.RSAPublicKey] = field(default_factory=dict)  # those that sign what they ask with, by name
    issued: list[str] = field(default_factory=list)  # every token
    forms: list[Mapping[str, str]] = field(default_factory=list)  # the fields of every request
    answer: Callable[[], tuple[int, bytes]] | None = None  # in place of its own answers
    refused: int = 0
    _key: rsa.RSAPrivateKey = field(default_factory=lambda: rsa.generate_private_key(65537, 2048))

    @property
    def token_url(self) -> str:
        return f"{self.url}/token"

    @property
    def keys_url(self) -> str:
        return f"{self.url}/keys"

    def issue(self, client: str) -> str:
        """Return a signed token whose subject is the client; no two are the same."""
        now = int(time.time())
        number = len(self.issued)
        claims = {"iss": self.name, "sub": client, "aud": self.audience, "iat": now}
        claims["exp"] = now + 1 + self.seconds  # `now` is rounded down
        claims["jti"] = f"{self.url}/{number}"
        head = {"alg": "RS256", "typ": "JWT", "kid": KEY_ID}
        content = f"{_encode(json.dumps(head).encode())}.{_encode(json.dumps(claims).encode())}"
        signature = self._key.sign(content.encode(), padding.PKCS1v15(), hashes.SHA256())
        token = f"{content}.{_encode(signature)}"
        self.issued.append(token)
        return token

    def accepts(self, login: str) -> bool:
        """Return whether a header has a token of this issuer that has not expired."""
        scheme, _, token = login.partition(" ")
        claims = _verify(token, self._key.public_key())
        return scheme == "Bearer" and claims is not None and time.time() < float(claims["exp"])

    def _answer_assertion(self, assertion: str) -> tuple[int, dict[str, Any]]:
        """Return the answer to a client that signs its request: RFC 7523, as Google's service accounts do."""
        for email, key in self.accounts.items():
            claims = _verify(assertion, key)
            if claims is not None and claims["iss"] == email:
                return 200, {"access_token": self.issue(email), "token_type": "Bearer", "expires_in": self.seconds}
        self.refused += 1
        return 400, {"error": "invalid_grant", "error_description": "Invalid JWT Signature."}

    def describe_keys(self) -> dict[str, Any]:
        """Return the public key as a JSON Web Key Set."""
        numbers = self._key.public_key().public_numbers()
        parts = {name: _encode(number.to_bytes((number.bit_length() + 7) // 8)) for name, number in
                 (("n", numbers.n), ("e", numbers.e))}  # fmt: skip
        return {"keys": [{"kty": "RSA", "use": "sig", "alg": "RS256", "kid": KEY_ID, **parts}]}

    def answer_token_request(self, login: str, form: Mapping[str, str]) -> tuple[int, dict[str, Any]]:
        """Return status and body of the answer to a request for a token, by Basic login or by the form's fields."""
        self.forms.append(form)
        if form.get("grant_type") == JWT_BEARER:
            return self._answer_assertion(form.get("assertion", ""))
        client, secret = form.get("client_id", ""), form.get("client_secret", "")
        if login.startswith("Basic "):
            client, _, secret = (unquote(part) for part in base64.b64decode(login[6:]).decode().partition(":"))
        if form.get("grant_type") != "client_credentials":
            return 400, {"error": "unsupported_grant_type"}
        if client not in self.clients or not hmac.compare_digest(self.clients[client], secret):
            self.refused += 1
            return 401, {"error": "invalid_client", "error_description": "the client or its secret is wrong"}
        return 200, {"access_token": self.issue(client), "token_type": "Bearer", "expires_in": self.seconds}


def _verify(token: str, key: rsa.RSAPublicKey) -> dict[str, Any] | None:
    """Return the claims of a token; None where another key has signed it."""
    content, _, signature = token.rpartition(".")
    try:
        key.verify(_decode(signature), content.encode(), padding.PKCS1v15(), hashes.SHA256())
        return dict(json.loads(_decode(content.partition(".")[2])))
    except (InvalidSignature, ValueError):
        return None


def create_service_account(issuer: Issuer, email: str) -> dict[str, str]:
    """Return a service account's key as Google hands it out, which gets its tokens from this issuer."""
    key = rsa.generate_private_key(65537, 2048)
    issuer.accounts[email] = key.public_key()
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return {"type": "service_account", "client_email": email, "private_key_id": "1", "private_key": encoded.decode(),
            "token_uri": issuer.token_url}  # fmt: skip


def _decode(text: str) -> bytes:
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


@contextmanager
def run_issuer(clients: Mapping[str, str], tls: ssl.SSLContext | None = None) -> Iterator[Issuer]:
    """Serve an issuer inside the `with`, over https where `tls` is given."""
    issuer = Issuer(clients)
    with serve_issuer(issuer, tls) as url:
        issuer.url = url
        yield issuer


@contextmanager
def serve_issuer(issuer: Issuer, tls: ssl.SSLContext | None = None, port: int = 0) -> Iterator[str]:
    """Serve the issuer inside the `with`, at one more address if it has one already."""

    class Endpoint(Handler):
        def do_GET(self) -> None:
            is_keys = self.path == "/keys"
            self.reply(200 if is_keys else 404, issuer.describe_keys() if is_keys else {"error": "not_found"})

        def do_POST(self) -> None:
            form = {key: values[0] for key, values in parse_qs(self.read_body().decode()).items()}
            if self.path != "/token":
                self.reply(404, {"error": "not_found"})
            elif issuer.answer is not None:
                self.send(*issuer.answer())
            else:
                self.reply(*issuer.answer_token_request(self.headers.get("Authorization", ""), form))

        def reply(self, status: int, body: Mapping[str, Any]) -> None:
            self.send(status, json.dumps(body).encode(), {"Content-Type": "application/json"})

    with serving(Endpoint, tls, port) as url:
        yield url
