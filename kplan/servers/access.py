"""How a server that speaks REST is reached, and how patiently."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import field

from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class OidcLogin:
    """How an issuer gives bearer tokens (client credentials). `section` is where that is written, for errors.

    `parameters` are further fields of the request; `headers` go to the server with each token.
    """

    section: str
    token_url: str
    client_id: str
    client_secret: str = field(repr=False)
    scope: str = ""
    client_authentication: str = "client_secret_basic"
    parameters: Mapping[str, str] = field(default_factory=dict, repr=False)
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)
    ca: str = ""
    proxy: str = ""


@dataclass(frozen=True, slots=True)
class Access:
    """The URLs of its nodes, the login, a bearer `token` or an issuer of them, and the files for TLS.

    A URL may have the login in it. `proxy` is a URL, or `direct` for none.
    """

    urls: Sequence[str]
    username: str = ""
    password: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    key_password: str = ""
    token: str = ""
    oidc: OidcLogin | None = None
    proxy: str = ""


@dataclass(frozen=True, slots=True)
class Pacing:
    """How long answers are waited for, in seconds, how often a request is tried, and how many run at once.

    A connector has settled when it was well for `steady` seconds.
    """

    request_timeout: float = 30
    settle_timeout: float = 120
    attempts: int = 5
    delay: float = 1
    parallel: int = 6
    steady: float = 1.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep
    jitter: Callable[[], float] = random.random


USUAL_PACING = Pacing()
