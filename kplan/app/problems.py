"""Problems of files before they are shown: without secrets, and with the stack that each belongs to."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from kplan.diagnostics import Diagnostic
    from kplan.model import Stack
    from kplan.model.masks import Mask
    from kplan.project.loading import Loaded


def mask_problems(mask: Mask, problems: Sequence[Diagnostic], texts: Mapping[str, str]) -> list[Diagnostic]:
    """Return the problems without secrets, including those that are written in the files they are about.

    `texts` are the files by their paths as shown; `mask` learns the secrets of the files.
    """
    from kplan.language.literals import hide_literals

    for path in {problem.span.path for problem in problems if problem.span}:
        mask.add(hide_literals(texts.get(path) or read_text(path))[1])
    return [replace(p, detail=mask.mask(p.detail), help=mask.mask(p.help), label=mask.mask(p.label)) for p in problems]


def read_text(path: str) -> str:
    """Return the text of a file, with U+FFFD for what is not UTF-8; empty where it cannot be read."""
    from kplan.project.reading import read_file

    try:
        return read_file(path).decode("utf-8", "replace")
    except OSError:
        return ""


def stack_paths(loaded: Loaded) -> list[str]:
    """Return the real path of each stack's own file, in the order of `loaded.stacks`."""
    return [os.path.realpath(Path(loaded.environment.folder, stack.path)) for stack in loaded.stacks]


def problems_by_stack(loaded: Loaded, stacks: Sequence[Stack]) -> dict[str, list[Diagnostic]]:
    """Return the problems of the files by the names of `stacks`, which are all or some of `loaded.stacks`.

    Those of another stack's file are left out; those of no stack's own file belong to the first stack.
    """
    owners = dict(zip(stack_paths(loaded), (stack.name for stack in loaded.stacks), strict=True))
    problems: dict[str, list[Diagnostic]] = {stack.name: [] for stack in stacks}
    for problem in loaded.diagnostics if stacks else ():
        owner = owners.get(os.path.realpath(problem.span.path)) if problem.span else None
        if owner is None or owner in problems:
            problems[owner or stacks[0].name].append(problem)
    return problems
