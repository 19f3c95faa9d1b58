"""What registries answer differently. All else in kplan relies on Confluent's answers.

Apicurio Registry 3.0.9, as tried: an own level is stored as a rule of the artifact, NONE as the lack of one; GET
/config/S gives the registry's level where there is no rule; it has no modes, and gives no reasons with `verbose`.
A schema that is deleted softly still counts as a reference: what it refers to cannot be deleted, not even softly.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol
from urllib.parse import quote

from kplan.kinds.subject.subject import NONE
from kplan.model.masks import Mask
from kplan.servers.registry.api import NotFound
from kplan.servers.rest import Rest

APICURIO_PATH = "/apis/ccompat/"  # of every Apicurio Registry, whatever is in front of it
NATIVE_PATH = "/apis/registry/v2"
COMPATIBILITY = "COMPATIBILITY"  # the name of the rule


class Dialect(Protocol):
    """How one product differs."""

    keeps_none: bool

    def find_own_level(self, subject: str, level: str | None, read_global: Callable[[], str]) -> str | None:
        """Return the subject's own level; `level` is what GET /config/S says, None where that is 404."""

    def close(self) -> None: ...


class Confluent:
    """Confluent's registry, and those that answer as it does (Karapace)."""

    keeps_none = True

    def find_own_level(self, subject: str, level: str | None, read_global: Callable[[], str]) -> str | None:
        return level

    def close(self) -> None:
        """Do nothing: there is no second client."""


class Apicurio:
    """Apicurio Registry; `native` is its own API, which lists the rules of an artifact."""

    keeps_none = False

    def __init__(self, native: Rest) -> None:
        self._native = native

    def find_own_level(self, subject: str, level: str | None, read_global: Callable[[], str]) -> str | None:
        if level is None or level == NONE:
            return None
        return level if level != read_global() or self._has_rule(subject) else None

    def _has_rule(self, subject: str) -> bool:
        try:
            rules = self._native.call("GET", f"/groups/default/artifacts/{quote(subject, safe='')}/rules")
        except NotFound:
            return False
        return isinstance(rules, list) and COMPATIBILITY in rules

    def close(self) -> None:
        """Do nothing: the client shares the session of the other one."""


def find_dialect(rest: Rest, mask: Mask) -> Dialect:
    """Return the dialect by the registry's path."""
    base, found, _ = rest.url.partition(APICURIO_PATH)
    return Apicurio(rest.at([base + NATIVE_PATH])) if found else Confluent()
