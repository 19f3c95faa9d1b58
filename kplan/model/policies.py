"""A policy: which changes of a plan it judges, which are exempt, and what it requires of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import field
from typing import Any

from kplan.diagnostics import Span
from kplan.values import dataclass

DENY, WARN = "deny", "warn"


@dataclass(frozen=True, slots=True)
class Selector:
    """Which changes: the accepted values by criterion, such as `kind`. All criteria must fit; without one, all do."""

    criteria: Mapping[str, tuple[str, ...]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Policy:
    """A rule for changes. `require` is a complete JSON Schema; None: no change that is matched is allowed."""

    name: str
    match: Selector = Selector()
    unless: tuple[Selector, ...] = ()
    require: Mapping[str, Any] | None = None
    level: str = DENY
    message: str = ""
    span: Span | None = None
