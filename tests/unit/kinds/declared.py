"""Stacks as text: what they expand to, and what is wrong with them."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

from kplan.diagnostics import Diagnostic
from kplan.model import Resource
from kplan.project.loading import Loaded, Request, load_project

HEAD = "version: 1\nstack: s\n"  # what follows begins in line 3
SECRET = "canary-2f7d-word"


def load(folder: Path, rest: str, environment: str = "local: {}") -> Loaded:
    (folder / "stack.yaml").write_text(HEAD + dedent(rest).lstrip("\n"), "utf-8")
    (folder / "kplan.yaml").write_text(f"version: 1\nenvironments: {{{environment}}}\n", "utf-8")
    process = {"KPLAN_VAR_word": SECRET, "KPLAN_VAR_old": SECRET + "-old"}
    return load_project(Request([str(folder / "stack.yaml")], folder=str(folder), process=process))


def expand(folder: Path, rest: str, environment: str = "local: {}") -> list[Resource]:
    """The resources of a stack that is correct, in its order."""
    loaded = load(folder, rest, environment)
    assert not loaded.has_errors, loaded.diagnostics
    return list(loaded.stacks[0].resources.values())


def names(folder: Path, rest: str, environment: str = "local: {}") -> list[str]:
    return [each.name for each in expand(folder, rest, environment)]


def problems(folder: Path, rest: str, environment: str = "local: {}") -> list[Diagnostic]:
    return list(load(folder, rest, environment).diagnostics)


def places(found: list[Diagnostic]) -> list[tuple[str, str, int, int]]:
    """Code, severity, line and column of each."""
    return [
        (each.code, str(each.severity), each.span.line if each.span else 0, each.span.column if each.span else 0)
        for each in found
    ]
