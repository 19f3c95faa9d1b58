"""A receiver of kplan's notifications: it keeps every JSON body that it gets, and has no path that contains `gone`."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tests.fakes.http import Handler, serving

Receiver = tuple[str, list[dict[str, Any]]]  # its URL, and the bodies that it got


@contextmanager
def receiving() -> Iterator[Receiver]:
    """Receive inside the `with`."""
    bodies: list[dict[str, Any]] = []

    class Hook(Handler):
        def do_POST(self) -> None:
            bodies.append(json.loads(self.read_body()))
            self.send(404 if "gone" in self.path else 200)

    with serving(Hook) as url:
        yield url, bodies
