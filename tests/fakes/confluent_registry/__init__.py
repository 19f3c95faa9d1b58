"""Confluent's schema registry as far as kplan uses it, made of what its source and its tests say that it answers.

`answers.yaml` holds its refusals and messages, `sessions.yaml` requests of its own tests with their results; a test
replays these. What it does not imitate: contexts, metadata, rules, aliases, and the compatibility of other types than
Avro.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from urllib.parse import parse_qs, unquote, urlsplit

from tests.fakes.confluent_registry.answers import Answer, Refusal
from tests.fakes.confluent_registry.routes import Routes
from tests.fakes.http import Handler, serving

__all__ = ["ConfluentRegistry", "serve_registry"]


class ConfluentRegistry(Routes):
    """A registry without HTTP; `requests` are those that it got."""

    def answer(self, method: str, target: str, body: bytes = b"") -> Answer:
        """Return the answer to one request."""
        self.requests.append(f"{method} {target}")
        url = urlsplit(target)
        parts = [unquote(part) for part in url.path.strip("/").split("/")]
        query: Mapping[str, str] = {key: values[0] for key, values in parse_qs(url.query).items()}
        with self.lock:
            try:
                return self.route(method, parts, query, json.loads(body) if body else {})
            except Refusal as refusal:
                return refusal.answer


@contextmanager
def serve_registry(registry: ConfluentRegistry) -> Iterator[str]:
    """Serve inside the `with`; yields the URL."""

    class Respond(Handler):
        def do_GET(self) -> None:
            answer = registry.answer(self.command, self.path, self.read_body())
            headers = {"Content-Type": "application/vnd.schemaregistry.v1+json"}
            self.send(answer.status, json.dumps(answer.body).encode(), headers)

        do_POST = do_PUT = do_DELETE = do_GET

    with serving(Respond) as url:
        yield url
