"""kplan for programs: what the command line does, as functions. They print nothing, ask nothing and end no process.

Each opens what it needs and closes it before it returns, and keeps nothing between calls, so threads may call them at
the same time. All raise `KplanError` or one of its kinds, with `message`, `help`, `code` and `exit_code`; a mistake of
the calling program is a ValueError.
"""

from __future__ import annotations

import logging
import os
import shlex
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

from kplan.diagnostics import Invalid, Stale, codes, error
from kplan.execution.run import Result, Stop
from kplan.model import EMPTY, Stack, Target
from kplan.model.events import Emit, silent
from kplan.model.masks import Mask
from kplan.project.loading import Loaded, Request
from kplan.project.secrets import ProviderOutputs

if TYPE_CHECKING:
    from kplan.app.plan import PlanRequest
    from kplan.app.runtime import Runtime
    from kplan.planning.document import Plan
    from kplan.project.environment import Environment

StrPath = str | os.PathLike[str]
View = Literal["text", "json", "md", "html", "concise", "github", "junit", "sarif"]
OnFailure = Literal["rollback", "stop"]

log = logging.getLogger("kplan.api")
logging.getLogger("kplan").addHandler(logging.NullHandler())  # what nobody listens to is not printed


# -- files ------------------------------------------------------------------------------------------------------------
def load(
    paths: StrPath | Sequence[StrPath],
    *,
    env: str = "",
    variables: Mapping[str, object] = EMPTY,
    variable_files: StrPath | Sequence[StrPath] = (),
    bootstrap: str = "",
    connect: str = "",
    process: Mapping[str, str] | None = None,
    without_servers: bool = False,
) -> Loaded:
    """Return what the stack files say: `stacks`, their `environment`, and every problem in them as `diagnostics`.

    `paths` are stack files and folders of them. `env` names an environment of `kplan.yaml`, which is looked for beside
    the first stack and above; empty, it is the default one. `bootstrap` and `connect` are servers to take instead.
    `variables` go before those of `variable_files`, and those before `KPLAN_VAR_NAME`; a value that is no text is taken
    as what it is. `process` are the environment variables that count, those of this process when left out. With
    `without_servers` it is no problem when one is missing that only reaching the servers takes: such a result can be
    looked at, and not planned.

    Raises Invalid, with `diagnostics`, where no environment or no file is found to go on with. Other errors in the
    files are in the result; `plan` refuses it then.
    """
    from kplan.app.load import load_stacks
    from kplan.app.problems import mask_problems

    runtime = _runtime()
    request = Request(
        paths=_paths(paths),
        env=env,
        flags={name: _text(value) for name, value in variables.items()},
        var_files=_paths(variable_files),
        bootstrap=bootstrap,
        connect=connect,
        process=dict(os.environ) if process is None else process,
        offline_target=Target() if without_servers else None,
        outputs=ProviderOutputs(runtime.mask.add),
    )
    try:
        loaded = load_stacks(request, runtime)
    except Invalid as e:
        raise Invalid(mask_problems(runtime.mask, e.diagnostics, {}), e.message) from None
    loaded.diagnostics = mask_problems(runtime.mask, loaded.diagnostics, loaded.texts)
    return loaded


def load_environment(
    env: str = "",
    *,
    bootstrap: str = "",
    connect: str = "",
    folder: StrPath = ".",
    process: Mapping[str, str] | None = None,
) -> Environment:
    """Return the environment alone, to apply a saved plan in: of the `kplan.yaml` in `folder` or above.
    Raises Invalid.
    """
    from kplan.app.load import load_environment

    known = dict(os.environ) if process is None else process
    runtime = _runtime()
    request = Request(env=env, bootstrap=bootstrap, connect=connect, folder=os.fspath(folder), process=known,
                      outputs=ProviderOutputs(runtime.mask.add))  # fmt: skip
    return load_environment(request, runtime)


# -- plans ------------------------------------------------------------------------------------------------------------
def plan(
    loaded: Loaded,
    stack: str = "",
    *,
    destroy: bool = False,
    target: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    replace: str | Sequence[str] = (),
    accept: str | Sequence[str] = (),
    offline: bool = False,
    drop: str | Sequence[str] = (),
    key: str | None = None,
) -> Plan:
    """Return what would change for one stack, in order, with undos and dangers. The servers are read, and nothing is
    written.

    `stack` is the name of one of `loaded.stacks`; where there is only one it may be left out. `destroy`: plans to
    delete what the stack owns. `target`, `exclude` and `replace` are addresses such as `topic/shop.*`; `accept` names
    dangers that are accepted for this run, such as `delete:topic/shop.old`. `offline`: the servers do not check the
    changes. `drop` names what goes in the databases of connectors that are deleted: `slot`, `publication` or
    `publication=NAME`. `key` signs the digests of secrets in a plan that will be saved, and has records of the state
    refused that are not signed with it, as KPLAN_KEY does.

    The plan of a blocked or refused change is returned like any other: see `blocked`, `errored` and `exit_code`.
    Raises Invalid where the files have errors or a sensitive variable has no value; Unreachable, Denied, Timeout where
    servers do not answer; InterruptedRun where a run of the stack has no end; JournalBroken.
    """
    _expect(loaded, Loaded, "`loaded` is what `load` gives")
    request = _plan_request(destroy, target, exclude, replace, accept, offline, drop)
    return _notify_blocked(_plans(loaded, [_find_stack(loaded, stack)], request, key), loaded, key)[0]


def plan_all(
    loaded: Loaded,
    *,
    destroy: bool = False,
    target: str | Sequence[str] = (),
    exclude: str | Sequence[str] = (),
    replace: str | Sequence[str] = (),
    accept: str | Sequence[str] = (),
    offline: bool = False,
    drop: str | Sequence[str] = (),
    key: str | None = None,
) -> list[Plan]:
    """Plan all of `loaded.stacks` together, in the order in which their plans are to be applied.

    A stack comes after those whose changes it needs, as with `kplan plan STACK…`; the servers are read once. Arguments
    and errors are those of `plan`.
    """
    _expect(loaded, Loaded, "`loaded` is what `load` gives")
    request = _plan_request(destroy, target, exclude, replace, accept, offline, drop)
    return _notify_blocked(_plans(loaded, loaded.stacks, request, key), loaded, key)


def _plan_request(
    destroy: bool,
    target: str | Sequence[str],
    exclude: str | Sequence[str],
    replace: str | Sequence[str],
    accept: str | Sequence[str],
    offline: bool,
    drop: str | Sequence[str],
) -> PlanRequest:
    from kplan.app.plan import PlanRequest, read_commit
    from kplan.kinds.connector.debezium.drops import is_word

    for word in _texts(drop):
        if not is_word(word):
            raise ValueError(f"`drop` is 'slot', 'publication' or 'publication=NAME', not {_brief(word)}")
    return PlanRequest(
        "destroy" if destroy else "apply",
        _texts(target),
        _texts(exclude),
        _texts(replace),
        _texts(accept),
        frozenset(_texts(drop)),
        offline,
        commit=read_commit(os.environ),
    )


def _plans(loaded: Loaded, stacks: Sequence[Stack], request: PlanRequest, key: str | None) -> list[Plan]:
    """Return the plans of `stacks`, which are all or one of `loaded.stacks`, in the order in which they are applied."""
    from kplan.app.opening import open_environment
    from kplan.app.plan import plan_stacks, refuse_unplannable

    refuse_unplannable(loaded, stacks, request)
    runtime = _runtime(key)
    runtime.learn(loaded.environment, loaded.stacks)
    with open_environment(loaded.environment, runtime) as opened:
        return list(plan_stacks(loaded, stacks, request, opened, runtime).plans)


def _notify_blocked(plans: list[Plan], loaded: Loaded, key: str | None) -> list[Plan]:
    """Notify the receivers of blocked plans that the caller may not apply; return `plans`."""
    runtime = _runtime(key)
    runtime.learn(loaded.environment, loaded.stacks)
    runtime.notifier(loaded.environment).notify_blocked(plans)
    return plans


def to_json(plan: Plan, *, key: str | None = None) -> dict[str, Any]:
    """Return the plan as the document of `schemas/plan.v1.json`, without secrets, signed where there is a `key`.

    Written to a file it is what `kplan plan --out` writes: `kplan apply FILE` takes it.
    """
    from kplan.planning.document import sign_documents
    from kplan.planning.document import to_json as document

    _expect_plan(plan)
    return sign_documents([document(plan)], key)[0]


def from_json(document: Mapping[str, Any], *, secrets: Mapping[str, str] = EMPTY, key: str | None = None) -> Plan:
    """Return the plan that a document describes; `secrets` are the values of its sensitive variables, by name.

    Without them it can be looked at. Raises Stale where the document was changed, has another major version, is not
    signed with `key` where one is given, or where a secret is not what it was when the plan was made.
    """
    from dataclasses import replace as with_

    from kplan.kinds.connector.debezium.drops import with_login
    from kplan.planning.document import from_json as read
    from kplan.planning.document import verify_signatures, with_secrets

    found = read(document)
    verify_signatures([document], key)
    if not secrets:
        return found
    steps = tuple(with_(step, change=with_login(step.change, secrets)) for step in found.steps)
    return with_secrets(with_(found, steps=steps), secrets, key)


def view(plan: Plan, format: View = "text") -> str:
    """Return the plan as `kplan plan --format` shows it, without colours and with a line end at the end."""
    from kplan.render.text import Context
    from kplan.render.views import VIEWS, render

    _expect_plan(plan)
    if format not in VIEWS:
        raise ValueError(f"there is no view {format!r}, but {', '.join(VIEWS)}")
    paths = [file.path for file in plan.files[:1]]
    again = " ".join(["kplan plan", *(["--destroy"] if plan.mode == "destroy" else []), *map(shlex.quote, paths)])
    return render(format, [to_json(plan)], Context(paths, command="show", command_line=again))


# -- runs -------------------------------------------------------------------------------------------------------------
def apply(
    plan: Plan,
    environment: Environment,
    *,
    on_event: Emit = silent,
    on_failure: OnFailure = "rollback",
    lock_timeout: float = 0.0,
    parallel: int = 6,
    stop: Stop | None = None,
    saved: bool = False,
    key: str | None = None,
) -> Result:
    """Does what the plan says, in its order; where a step fails, everything that was done is put back and read again.

    The result's `outcome` is `applied` (exit code 0), `rolled_back` (7), or `incomplete` or `stopped` (8); `left` names
    each difference to the state before. `on_event` gets each Event in the calling thread; once it raises it is not
    called again, and the run goes on. `lock_timeout` is how many seconds to wait for somebody else's apply; at most
    `parallel` connectors change at once. Setting `stop.asked`, from any thread, ends the run after the current wave and
    puts everything back. `saved`: the plan was read from a file, which is applied once, and without
    a `key` it deletes only records of what a stack owns or the stack's own file names. `key` signs what the run writes
    into the state, and has records refused that are not signed with it, as KPLAN_KEY does.

    Raises, with nothing changed: Invalid (the plan has errors, or a secret has no value), Blocked, Locked, Stale,
    InterruptedRun, Unreachable, Denied, Timeout. Raises JournalBroken where the run cannot be recorded: `exit_code` 1
    says that nothing was changed, 8 that `kplan recover` is needed.
    """
    from kplan.app.apply import ApplyRequest, notifying_refusals, run_plan
    from kplan.app.opening import open_environment
    from kplan.app.saved import plan_secrets, read_listed
    from kplan.project.environment import Environment
    from kplan.project.loading import Request

    _expect_plan(plan)
    _expect(environment, Environment, "`environment` is `loaded.environment`, or what `load_environment` gives")
    _expect_settings(on_failure, lock_timeout, parallel)
    runtime = _runtime(key)
    runtime.learn(environment)
    runtime.mask.add(plan_secrets(plan))
    request = ApplyRequest(f"kplan.{plan.mode}", on_failure, lock_timeout, parallel=parallel, saved=saved)
    holder = runtime.holder(request.command)
    listed = None
    if saved and not key:  # without a signature, what is deleted has to be in the stack's own file
        listed = partial(read_listed, plan, environment, Request(folder=environment.folder, process=dict(os.environ)))

    def work() -> Result:
        _refuse(plan, environment)
        with open_environment(environment, runtime, parallel) as opened:
            return run_plan(plan, opened, request, runtime, holder, _unbreakable(on_event), stop or Stop(), listed)

    if not plan.steps:
        with notifying_refusals(runtime.notifier(environment), [plan.stack]):
            _refuse(plan, environment)
        return Result("applied", "", said="No changes.")
    return runtime.notifier(environment).run_and_notify(plan, holder.run, work)


def destroy(
    loaded: Loaded,
    stack: str = "",
    *,
    accept: str | Sequence[str] = (),
    drop: str | Sequence[str] = (),
    on_event: Emit = silent,
    on_failure: OnFailure = "rollback",
    lock_timeout: float = 0.0,
    parallel: int = 6,
    stop: Stop | None = None,
    key: str | None = None,
) -> Result:
    """Deletes what the stack owns and kplan made; what it adopted is given up and stays.

    The same as `apply` of `plan(loaded, stack, destroy=True, accept=accept, drop=drop, key=key)`, with what both raise:
    Blocked, too, where a topic has records and `accept` does not name it.
    """
    _expect_settings(on_failure, lock_timeout, parallel)
    _expect(loaded, Loaded, "`loaded` is what `load` gives")
    request = _plan_request(True, (), (), (), accept, False, drop)
    return apply(  # which notifies the receivers of a blocked plan
        _plans(loaded, [_find_stack(loaded, stack)], request, key)[0],
        loaded.environment,
        on_event=on_event,
        on_failure=on_failure,
        lock_timeout=lock_timeout,
        parallel=parallel,
        stop=stop,
        key=key,
    )


def _expect(given: object, kind: type, what: str) -> None:
    if not isinstance(given, kind):
        raise ValueError(f"{what}, not {_brief(given)}")


def _expect_plan(given: object) -> None:
    from kplan.planning.document import Plan

    _expect(given, Plan, "`plan` is what `plan` or `from_json` gives")


def _expect_settings(on_failure: object, lock_timeout: object, parallel: object) -> None:
    """Raises ValueError where a run cannot be made like that: a word that means nothing would leave things undone."""
    if on_failure not in get_args(OnFailure):
        raise ValueError(f"`on_failure` is 'rollback' or 'stop', not {_brief(on_failure)}")
    if isinstance(lock_timeout, bool) or not isinstance(lock_timeout, int | float) or not lock_timeout >= 0:
        raise ValueError(f"`lock_timeout` is a number of seconds, 0 or more, not {_brief(lock_timeout)}")
    if isinstance(parallel, bool) or not isinstance(parallel, int) or parallel < 1:
        raise ValueError(f"`parallel` is a whole number, 1 or more, not {_brief(parallel)}")


def _brief(given: object) -> str:
    """Return a word or a number as it was written; of everything else its type alone, for it may hold anything."""
    return repr(given)[:80] if isinstance(given, str | int | float) else f"a {type(given).__name__}"


def _refuse(plan: Plan, environment: Environment) -> None:
    """Raises where the plan cannot be applied here."""
    from kplan.app.saved import find_unset_variables, judge_again
    from kplan.diagnostics import Blocked

    plan = judge_again(plan, environment, lambda problem: log.warning("%s", problem))
    if plan.errored:
        raise Invalid(plan.diagnostics, "the plan has errors")
    if plan.env != environment.name:
        raise Stale(f"the plan is for environment {plan.env}, not {environment.name}")
    if missing := find_unset_variables(plan):
        raise Invalid(
            [error(codes.K219, "a sensitive variable has no value", n, help="give it to `from_json`") for n in missing]
        )
    if denied := [problem for problem in plan.diagnostics if problem.code == codes.K470.number]:
        raise Blocked("; ".join(" ".join(problem.detail.split()) for problem in denied), code=codes.K470)


def _unbreakable(on_event: Emit) -> Emit:
    from kplan.model.events import unbreakable

    return unbreakable(on_event, lambda e: log.error("on_event failed and is not called again: %s", type(e).__name__))


# -- what they share --------------------------------------------------------------------------------------------------
def _runtime(key: str | None = None) -> Runtime:
    """Return what a call knows: no secret at first. Warnings go to the log."""
    from kplan.app.runtime import Runtime

    return Runtime(Mask(), lambda: datetime.now(UTC), key, warn=log.warning)


def _find_stack(loaded: Loaded, name: str) -> Stack:
    """Return the stack of that name, or the only one. Raises Invalid where the files have errors, ValueError else."""
    found = [stack for stack in loaded.stacks if name in ("", stack.name)]
    if len(found) == 1:
        return found[0]
    if loaded.has_errors:
        raise Invalid(loaded.diagnostics)
    if not loaded.stacks:
        raise ValueError("there is no stack to plan: `load` was given no file")
    known = ", ".join(stack.name for stack in loaded.stacks)
    raise ValueError(f"there is no stack {name!r}, but {known}" if name else f"name one of the stacks: {known}")


def _paths(given: StrPath | Sequence[StrPath]) -> tuple[str, ...]:
    return tuple(os.fspath(each) for each in ([given] if isinstance(given, str | os.PathLike) else given))


def _texts(given: str | Sequence[str]) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _text(value: object) -> str:
    """Return a variable's value as `--var` takes it."""
    import json

    return value if isinstance(value, str) else json.dumps(value)
