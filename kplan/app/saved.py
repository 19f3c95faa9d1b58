"""Saved plans: read them, check that they fit, and give them the values of their secrets."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kplan.app.load import load_environment
from kplan.diagnostics import Blocked, Diagnostic, Invalid, KplanError, Stale, codes, error, sort_diagnostics
from kplan.kinds.connector.debezium import drops
from kplan.kinds.registry import comparison_of
from kplan.language.template import references
from kplan.language.variables import PREFIX
from kplan.model import EMPTY, Change, Secret
from kplan.planning.document import (
    from_json,
    parse,
    secret_names,
    undo_secret_names,
    verify_signatures,
    with_secrets,
    with_undo_secrets,
)
from kplan.planning.pipeline import judge_steps
from kplan.planning.trust import Listed
from kplan.project.loading import Request, load_project, read_variable_files
from kplan.project.reading import read_file
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.runtime import Runtime
    from kplan.planning.document import Plan
    from kplan.project.environment import Environment


@dataclass(frozen=True, slots=True)
class SavedPlans:
    """The plans of one file, which are for `environment`, with the values of their secrets.

    `listed` returns what a stack's own file names, by stack; empty where the plans are signed.
    """

    environment: Environment
    plans: Sequence[Plan]
    listed: Mapping[str, Callable[[], Listed]]


def read_documents(path: str) -> list[dict[str, Any]] | None:
    """Read the plans of a file; None where it holds none, and may be a stack in JSON. Raises Stale."""
    if path.endswith((".yaml", ".yml")):
        return None
    try:
        text = read_file(path).decode()
    except (OSError, UnicodeDecodeError):
        return None
    return parse(text) if path.endswith(".json") or text.startswith("{") else None  # Atlantis names the file


def check_documents(documents: Sequence[Mapping[str, Any]], env: str, key: str | None) -> list[Plan]:
    """Return the plans that may be applied; `env` is the environment that was asked for, or empty.

    Raises Stale where they are not what kplan wrote or are for another environment; Blocked where they have errors or
    dangers that are not accepted.
    """
    plans = [from_json(document) for document in documents]
    verify_signatures(documents, key)
    for plan in plans:
        _refuse_without_files(plan)
    if len({plan.env for plan in plans}) != 1:
        raise Stale("this file holds plans for several environments", code=codes.K521)
    if env and env != plans[0].env:
        raise Stale(f"the plan is for environment {plans[0].env}, not {env}", help="leave --env out")
    for plan in plans:
        _refuse_blocked(plan)
    return plans


def _refuse_without_files(plan: Plan) -> None:
    """Raise Stale for a plan that has steps and names no file that it was made from: kplan writes none like that."""
    if plan.steps and not plan.files:
        raise Stale(
            f"the plan of stack {plan.stack} has steps and names no file that it was made from",
            code=codes.K522,
            help="create the plan again, and apply the file unchanged",
        )


def _refuse_blocked(plan: Plan) -> None:
    if plan.blocked:
        is_denied = any(entry.startswith(codes.K470.number) for entry in plan.blocked)
        verb = "accept the dangers and change what policies deny" if is_denied else "accept the dangers"
        raise Blocked(
            f"the saved plan is blocked: {', '.join(plan.blocked)}", help=f"{verb}, then create the plan again"
        )
    if plan.errored:
        raise Blocked("the saved plan has errors", help="correct them, then create the plan again")


def load_environment_of(plans: Sequence[Plan], request: Request, runtime: Runtime) -> Environment:
    """Load the environment that the plans are for, with the servers of `request` where it names some."""
    return load_environment(
        Request(
            env=plans[0].env,
            folder=request.folder,
            bootstrap=request.bootstrap,
            connect=request.connect,
            process=request.process,
            outputs=request.outputs,
        ),
        runtime,
    )


def complete_plans(plans: Sequence[Plan], environment: Environment, request: Request, runtime: Runtime) -> SavedPlans:
    """Give the plans the values of their secrets, and judge them by the policies of the environment.

    A plan that a policy denies is returned with the denial among its diagnostics. Raises Stale where a file has
    changed, Invalid without a value.
    """
    for plan in plans:
        _refuse_changed_files(plan, environment, runtime)
    plans = [judge_again(plan, environment, runtime.show_problem) for plan in plans]
    listed = {} if runtime.key else {plan.stack: partial(read_listed, plan, environment, request) for plan in plans}
    return SavedPlans(environment, fill_secrets(plans, environment, request, runtime), listed)


def judge_again(plan: Plan, environment: Environment, warn: Callable[[Diagnostic], None]) -> Plan:
    """Return the plan as the policies of the environment judge it here and now.

    What they deny is added to its diagnostics; `warn` gets a warning that the plan does not contain. A plan that they
    allow stays as it is: its digest says whether it was applied before.
    """
    problems = sort_diagnostics(judge_steps(environment.policies, plan.steps, plan.stack, plan.env))
    for problem in problems:
        if not problem.is_error and problem.detail not in {known.detail for known in plan.diagnostics}:
            warn(problem)
    errors = [problem for problem in problems if problem.is_error]
    return replace(plan, diagnostics=sort_diagnostics([*errors, *plan.diagnostics])) if errors else plan


def _refuse_changed_files(plan: Plan, environment: Environment, runtime: Runtime) -> None:
    """Raise Stale where a file that the plan was made from has changed; note which are not here."""
    for file in plan.files:
        path = Path(environment.folder, file.path)
        if not path.is_file():
            runtime.note(f"  {file.path} is not here; the plan is applied as it was created")
        elif hashlib.sha256(path.read_bytes()).hexdigest() != file.sha256:
            raise Stale(f"{file.path} has changed since the plan was created", help="create and review a new plan")


def read_listed(plan: Plan, environment: Environment, request: Request) -> Listed:
    """Return what the stack's own file names; nothing where the file is not here or is another stack's."""
    if not plan.files:
        return Listed()
    path = Path(environment.folder, plan.files[0].path)
    try:
        loaded = (
            load_project(replace(request, paths=(str(path),), env=plan.env, asks_providers=False))
            if path.is_file()
            else None
        )
    except KplanError:
        return Listed()
    stacks = [stack for stack in loaded.stacks if stack.name == plan.stack] if loaded else []
    removed = frozenset(entry.address for stack in stacks for entry in stack.removed if not entry.keep)
    return Listed(frozenset(address for stack in stacks for address in stack.resources), removed)


# -- secrets ----------------------------------------------------------------------------------------------------------
def fill_secrets(plans: Sequence[Plan], environment: Environment, request: Request, runtime: Runtime) -> list[Plan]:
    """Return the plans with the values of their sensitive variables and logins, which are masked from then on.

    Raises Invalid where a variable has no value, Stale where it is not what it was when the plan was made.
    """
    files = read_variable_files(request)
    filled = fill_logins(plans, request, runtime, files)
    values = _given_values([name for plan in plans for name in secret_names(plan)], request, files)
    values |= _declared_values(plans, environment, request, [name for name, v in values.items() if v is None])
    filled = [with_secrets(plan, values, runtime.key) for plan in filled]
    runtime.learn(replace(environment, secrets=(*environment.secrets, *(v for v in values.values() if v))))
    return filled


def fill_logins(
    plans: Sequence[Plan], request: Request, runtime: Runtime, files: Mapping[str, Any] = EMPTY
) -> list[Plan]:
    """Return the plans with the logins of what they drop in databases, as far as the variables have values here.

    So have the secrets that an undo sets, and no server tells. `files` are the variables of `--var-file`.
    """
    changes = [change for plan in plans for change in plan.changes]
    names = [*drops.secret_names(changes), *undo_secret_names(changes)]
    values = _given_values(names, request, files)
    runtime.mask.add([value for value in values.values() if value])

    def fill(change: Change) -> Change:
        return with_undo_secrets(drops.with_login(change, values), values)

    return [replace(plan, steps=tuple(replace(s, change=fill(s.change)) for s in plan.steps)) for plan in plans]


def _given_values(names: Sequence[str], request: Request, files: Mapping[str, Any]) -> dict[str, str | None]:
    """Return the values that --var, a file of variables or KPLAN_VAR_NAME give them; None for one without."""
    texts = {name: str(value) for name, value in files.items() if value is not None}
    process = {name: request.process.get(f"{PREFIX}{name}") for name in names}
    return {name: request.flags.get(name, texts.get(name, process[name])) for name in names}


def _declared_values(
    plans: Sequence[Plan], environment: Environment, request: Request, names: Sequence[str]
) -> dict[str, str | None]:
    """Return the values that come from a variable's `env:` or the environment, where the stack file is here.

    Raises Invalid where one of `names` has no value.
    """
    if not names:
        return {}
    from kplan.language import source
    from kplan.language.variables import Given, settle

    values: dict[str, str | None] = {}
    for plan in plans:
        path = Path(environment.folder, plan.files[0].path) if plan.files else None
        if path is None or not path.is_file():
            continue
        document, _ = source.load(path.read_bytes(), str(path))
        if document is not None and isinstance(document.data, dict):
            secret_source = request.make_secret_source(environment)
            given = Given(
                request.flags, {}, request.process, environment.variables, find_secret=secret_source.find_reference
            )
            settled, problems = settle(document, given, plan.stack)
            if refused := [problem for problem in problems if problem.path.endswith("/from")]:
                raise Invalid(refused)
            values |= {k: v for k, v in settled.sensitive.items() if k in names}
    missing = [name for name in names if values.get(name) is None]
    if missing:
        raise Invalid(
            [error(codes.K219, "a sensitive variable has no value", n, help=f"set KPLAN_VAR_{n}") for n in missing]
        )
    return values


def plan_secrets(plan: Plan) -> Iterator[Secret]:
    """Yield the secrets that the plan's steps set."""
    for change in plan.changes:
        if change.after is not None:
            yield from comparison_of(change.address).secrets(change.after).values()


def find_unset_variables(plan: Plan) -> list[str]:
    """Return the sensitive variables that the plan's steps need and that have no value."""
    unset = [secret for secret in plan_secrets(plan) if secret.value is None and secret.ref]
    return list(dict.fromkeys(name for secret in unset for name in references(secret.ref)))
