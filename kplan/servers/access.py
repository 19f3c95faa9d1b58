"""How a server that speaks REST is reached, and how patiently."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Sequence

from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class Access:
    """The URLs of its nodes, the login or a bearer `token`, and the files for TLS; a URL may have the login in it."""

    urls: Sequence[str]
    username: str = ""
    password: str = ""
    ca: str = ""
    certificate: str = ""
    key: str = ""
    key_password: str = ""
    token: str = ""


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
