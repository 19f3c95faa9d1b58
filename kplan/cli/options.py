"""Flags, and the environment variables that set them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

F = TypeVar("F", bound=Callable[..., Any])
FLAGS_WITHOUT_VARIABLE = (
    "--yes",
    "--accept",
    "--replace",
    "--forget",
    "--var",
    "--drop",
)  # no environment variable may set these


def option(*names: str, **settings: Any) -> Callable[[F], F]:
    """Return a click option that `KPLAN_NAME` sets too, except those that must be given each time."""
    long = next(n for n in names if n.startswith("--")).split("/")[0]
    if long not in FLAGS_WITHOUT_VARIABLE:
        settings.setdefault("envvar", "KPLAN_" + long[2:].replace("-", "_").upper())
    return click.option(*names, **settings)


def combine(*decorators: Callable[[Any], Any]) -> Callable[[F], F]:
    def decorate(function: F) -> F:
        for decorator in reversed(decorators):
            function = decorator(function)
        return function

    return decorate
