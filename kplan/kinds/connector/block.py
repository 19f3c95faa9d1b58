"""A connector block of a stack file: its place, its template, and how its texts are read."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import field
from typing import Any

from kplan.diagnostics import codes
from kplan.diagnostics.codes.code import Code
from kplan.kinds.connector.names import qualify
from kplan.kinds.connector.templates import Blueprint
from kplan.kinds.expansion import KEY, ExpansionContext, Override
from kplan.kinds.topic.settings import Layer, layer
from kplan.language import keys
from kplan.language.template import Scope, is_template
from kplan.values import dataclass


@dataclass(frozen=True, slots=True)
class SharedSettings:
    """Settings beneath those of a connector: of its class, or of `defaults.connector`; `path` is where they are."""

    source: str
    path: KEY
    data: Mapping[str, Any]


@dataclass(slots=True)
class ConnectorBlock:
    """One connector block: `path` is where it stands, `template` what it is made with."""

    expansion: ExpansionContext
    path: KEY
    block: Mapping[str, Any]
    scope: Scope
    name: str = ""
    template: Blueprint = field(default_factory=lambda: Blueprint(""))
    alias: str = ""  # of the Connect that runs it
    beneath: tuple[SharedSettings, ...] = ()  # that the block inherits, the nearest first

    @property
    def key(self) -> str:
        return str(self.path[1])

    @property
    def full_name(self) -> str:
        """Return the name that the connector's address has."""
        return qualify(self.alias, self.name)

    @property
    def override(self) -> Override:
        """Return what the environment says of this connector, in place of what the stack says."""
        return self.expansion.surroundings.overrides.get("connectors", {}).get(self.full_name) or Override({})

    def find_source(self, path: KEY) -> str:
        """Return what says the setting at a path within the block: the block itself, or what is beneath it."""
        written = self.expansion.document.data[self.path[0]][self.path[1]]
        named = [("connector", written), *((each.source, each.data) for each in self.beneath)]
        return next((source for source, data in named if _has(data, path)), "connector")

    def entries(self, part: str, own: Mapping[str, Any], scope: Scope) -> Iterator[tuple[str, Mapping[str, Any], KEY]]:
        """Yield the named blocks of `tables:` or `topics:`, each with its place; a list holds names alone."""
        written, rendered = self.block.get(part), own.get(part)
        at: KEY = (*self.path, part)
        self.expansion.problems += keys.report_glued(self.expansion.document, at, written)
        if isinstance(rendered, list):
            for i, name in enumerate(rendered):
                yield str(name), {}, (*at, i) if isinstance(written, list) else at
        elif isinstance(written, dict) and isinstance(rendered, dict):
            for key in written:
                name = self.expansion.value(key, (*at, key), scope)
                if name is not None:
                    yield str(name), rendered.get(str(name)) or {}, (*at, key)
        elif isinstance(rendered, dict):
            for key, settings in rendered.items():
                yield str(key), settings or {}, at

    def own_text(self, text: str, scope: Scope, at: KEY) -> Any:
        """Return a text of the template's own, rendered; its problems stand at the connector's block."""
        return self.expansion.value(text, at, scope, secret=True) if is_template(text) else text

    def defaults(self) -> Layer:
        return layer(self.template.defaults.get("topic") or {}, f"template {self.template.name}", {})

    def report(self, code: Code, summary: str, detail: str, help: str = "") -> None:
        """Report an error at the block."""
        self.expansion.report(code, summary, detail, self.path, help, key=True)

    def report_bad_pattern(self, text: str, problem: str, at: KEY) -> None:
        """Report text that is no regular expression."""
        help = "write a backslash before each character of a name that has a meaning in a regular expression"
        self.expansion.report(codes.K203, "this is not a regular expression", f"{text}: {problem}", at, help)


def _has(data: Any, path: KEY) -> bool:
    """Whether the data has a value at the path."""
    for step in path:
        if not isinstance(data, Mapping) or step not in data:
            return False
        data = data[step]
    return True
