"""A gateway in front of a real Connect worker that lets its user read, and answers 403 to everything else."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tests.fakes.http import Handler, serving


@contextmanager
def read_only_gateway(request: Callable[[str, str], Any]) -> Iterator[str]:
    """Serve inside the `with`; `request(method, path)` asks the worker. Yields the gateway's URL."""

    class Gate(Handler):
        def do_GET(self) -> None:
            self.send(200, json.dumps(request("GET", self.path)).encode())

        def do_POST(self) -> None:
            self.read_body()
            self.send(403, b"<html><title>Forbidden</title></html>")

        do_PUT = do_POST

    with serving(Gate) as url:
        yield url
