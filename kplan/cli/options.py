"""Flags, and the environment variables that say the same."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
UNSAID = ("--yes", "--accept", "--replace", "--forget", "--var", "--drop")  # no environment variable may say these


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """A click option that `KPLAN_NAME` sets too, but for those that must be said each time."""
    long = next(n for n in names if n.startswith("--")).split("/")[0]
    if long not in UNSAID:
        settings.setdefault("envvar", "KPLAN_" + long[2:].replace("-", "_").upper())
    return click.option(*names, **settings)


def several(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate
