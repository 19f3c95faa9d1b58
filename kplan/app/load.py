"""Load stacks and environments; every secret in them is masked from then on."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kplan.diagnostics import Invalid
from kplan.project import loading

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.project.environment import Environment
    from kplan.project.loading import Loaded, Request


def load_stacks(request: Request, runtime: Runtime) -> Loaded:
    """Load the stacks and their environment. Raises Invalid where no file or no environment is found to go on with.

    Other problems are in the result: see `refuse_errors`.
    """
    loaded = loading.load_project(request)
    runtime.learn(loaded.environment, loaded.stacks)
    return loaded


def load_and_begin(request: Request, runtime: Runtime) -> tuple[Loaded, OpenEnvironment | None]:
    """Load the stacks while the servers are asked already; return the open environment where they are."""
    from kplan.app.opening import begin_reading

    opened: OpenEnvironment | None = None

    def begin(environment: Environment) -> None:
        nonlocal opened
        opened = begin_reading(environment, runtime)

    loaded = loading.load_project(request, begin)
    runtime.learn(loaded.environment, loaded.stacks)
    return loaded, opened


def refuse_errors(loaded: Loaded) -> None:
    """Raise Invalid where the files have errors."""
    if loaded.has_errors:
        raise Invalid(loaded.diagnostics)


def load_environment(request: Request, runtime: Runtime) -> Environment:
    """Load the environment alone. Raises Invalid; the runtime shows what is wrong and stops nothing."""
    environment = loading.load_environment(request, runtime.show_problem)
    runtime.learn(environment)
    return environment
