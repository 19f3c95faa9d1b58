"""A server with a REST API, as errors name it."""

from __future__ import annotations

import logging
from collections.abc import Callable

from kplan.diagnostics import KplanError
from kplan.model.masks import Mask
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class Peer:
    """How errors name a server, and what its failures mean.

    `name` begins a sentence, `node` is one process of it, `section` the key of its environment, `port` a hint at its
    usual port. `make_error` gets the status, the body, the request and the host, and hides what `Mask` knows.
    """

    name: str
    product: str
    node: str
    section: str
    port: str
    log: logging.Logger
    make_error: Callable[[int, str, str, str, Mask], KplanError]
    is_temporary: Callable[[KplanError], bool]
