"""Validate stacks and environments: every check that needs no server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from kplan.diagnostics import codes, warning
from kplan.kinds.registry import KINDS
from kplan.project import loading, stack_files
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.runtime import Runtime
    from kplan.diagnostics import Diagnostic
    from kplan.model import Stack
    from kplan.project.loading import Loaded, Request


@dataclass(frozen=True, slots=True)
class EnvironmentsCheck:
    """What is wrong in the `files` that hold environments, and their texts by path."""

    files: tuple[str, ...] = ()
    problems: Sequence[Diagnostic] = ()
    texts: Mapping[str, str] = field(default_factory=dict)


def check_environments(request: Request, runtime: Runtime) -> EnvironmentsCheck:
    """Check the kplan.yaml files among the paths of the request; the secrets in them are masked."""
    files = tuple(path for path in request.paths if Path(path).name == stack_files.CONFIG)
    if not files:
        return EnvironmentsCheck()
    environments, problems, texts = loading.check_environments(replace(request, paths=files))
    for environment in environments:
        runtime.learn(environment)
    return EnvironmentsCheck(files, problems, texts)


def find_problems(loaded: Loaded) -> list[Diagnostic]:
    """Return every problem of the loaded stacks. A variable without a value is a warning: only servers need it."""
    return [*loaded.diagnostics, *_find_shared(loaded.stacks), *_find_unset(loaded.stacks)]


def _find_shared(stacks: Sequence[Stack]) -> list[Diagnostic]:
    """Return problems with what two connectors have and only one may have; a stack of topics has none."""
    if not any(KINDS[address.kind].reads_databases for stack in stacks for address in stack.resources):
        return []
    from kplan.kinds.connector.exclusive import unique_offline

    return unique_offline(stacks)


def _find_unset(stacks: Sequence[Stack]) -> list[Diagnostic]:
    help = "taken as unknown here; `apply` needs it"
    return [
        warning(codes.K219, "a sensitive variable has no value", name, span=span, help=help)
        for stack in stacks
        for name, span in stack.unset.items()
    ]
