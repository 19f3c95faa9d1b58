"""Load stacks and environments; every secret in them is masked from then on."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from kplan.diagnostics import Invalid
from kplan.phases import phase
from kplan.project import loading

if TYPE_CHECKING:
    from collections.abc import Collection

    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.project.environment import Environment
    from kplan.project.loading import Loaded, Request


def load_stacks(request: Request, runtime: Runtime) -> Loaded:
    """Load the stacks and their environment. Raises Invalid where no file or no environment is found to go on with.

    Other problems are in the result: see `refuse_errors`.
    """
    with phase("load the files"):
        loaded = _keep_changed(loading.load_project(request), request)
    runtime.learn(loaded.environment, loaded.stacks)
    return loaded


def load_and_begin(
    request: Request, runtime: Runtime, parallel: int = 0, command: str = ""
) -> tuple[Loaded, OpenEnvironment | None]:
    """Load the stacks while the servers are asked already; return the open environment where they are.

    At most `parallel` connectors change at once. A `command` is that of an apply without a question: the lock of a
    single stack is connected meanwhile.
    """
    from kplan.app.opening import PARALLEL, begin_reading

    opened: OpenEnvironment | None = None

    def begin(environment: Environment, names: Collection[str]) -> None:
        nonlocal opened
        opened = begin_reading(environment, runtime, names, parallel or PARALLEL)
        if opened is not None and command and len(names) == 1:
            (name,) = names
            opened = replace(opened, prepared=opened.prepare_lock(name, runtime.holder(command)))

    with phase("load the files"):
        loaded = _keep_changed(loading.load_project(request, begin), request)
    runtime.learn(loaded.environment, loaded.stacks)
    if opened is not None and loaded.stacks and not loaded.has_errors:
        opened = opened.begin_reading(loaded.stacks)
    return loaded, opened


def _keep_changed(loaded: Loaded, request: Request) -> Loaded:
    """Leave out the stacks that did not change since a revision, with their problems, where that is asked for."""
    if not request.changed_since:
        return loaded
    from kplan.planning.stacks import find_dependents
    from kplan.project.changed import find_changed_stacks, find_git_changes, report_deleted

    root = Path(loaded.environment.folder)
    changes = find_git_changes(Path(request.folder), request.changed_since)
    places = find_dependents(loaded.stacks, find_changed_stacks(loaded.stacks, root, changes))
    chosen = [stack for place, stack in enumerate(loaded.stacks) if place in places]
    kept = {os.path.realpath(root / stack.path) for stack in chosen} | changes.files
    others = {shown for shown, path in loaded.paths.items() if os.path.realpath(path) not in kept}
    problems = [each for each in loaded.diagnostics if each.span is None or each.span.path not in others]
    return replace(loaded, stacks=chosen, diagnostics=[*problems, *report_deleted(changes)])


def refuse_errors(loaded: Loaded) -> None:
    """Raise Invalid where the files have errors."""
    if loaded.has_errors:
        raise Invalid(loaded.diagnostics)


def load_environment(request: Request, runtime: Runtime) -> Environment:
    """Load the environment alone. Raises Invalid; the runtime shows what is wrong and stops nothing."""
    environment = loading.load_environment(request, runtime.show_problem)
    runtime.learn(environment)
    return environment
