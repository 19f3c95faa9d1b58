"""kplan connector: operations that a stack does not declare"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kplan.cli.asking import ask
from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING, parse_seconds
from kplan.cli.options import option
from kplan.cli.session import Session

if TYPE_CHECKING:
    from kplan.app.connector import LiveConnector
    from kplan.model import Health

NAME = click.argument("name")
TRACE = option("--trace", is_flag=True, help="Show the whole stack trace of a failure; JSON always has it.")
FORMAT = option("--format", type=click.Choice(["text", "json"]), default="text", help="Text or JSON.")


@click.group("connector", help="Show, pause, resume, stop or restart a live connector, or manage its offsets.")
def command() -> None:
    """Group the commands; their effect is not declared: a stack's next apply restores the state that it declares."""


@contextmanager
def _open_connector(session: Session, name: str) -> Iterator[LiveConnector]:
    """Open the environment's servers and read the connector."""
    from kplan.app.connector import read_connector, refuse_without_connect

    session.connect_alone = True
    with session.open(session.load_environment()) as opened:
        refuse_without_connect(opened)
        with session.show_progress():
            yield read_connector(name, opened, session.runtime)


# -- looking --------------------------------------------------------------------------------------------------------
@command.command("status", help="Show the state of the connector and its tasks. Exit 2 if one has failed.")
@NAME
@LOADING
@FORMAT
@TRACE
@SHOWING
@run_command
def status(session: Session, name: str, trace: bool) -> int:
    with _open_connector(session, name) as connector:
        health = connector.health
    return _show_health(session, name, health, trace)


def _show_health(session: Session, name: str, health: Health, traces: bool) -> int:
    from kplan.render.text import clean

    tasks = [
        {"id": t.id, "state": t.state, "cause": t.cause, "worker": t.worker, "trace": t.trace} for t in health.tasks
    ]
    if session.as_json:
        document = {
            "name": name,
            "state": health.state,
            "cause": health.cause,
            "trace": health.trace,
            "tasks": tasks,
        }
        session.say(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        session.say(f"{name}  {health.state}" + (f": {clean(health.cause)}" if health.cause else ""))
        _show_trace(session, health.trace if traces else "")
        for task in health.tasks:
            worker = f" on {task.worker}" if task.worker else ""
            cause = f": {clean(task.cause)}" if task.cause else ""
            session.say(f"  task {task.id}  {task.state}{worker}{cause}")
            _show_trace(session, task.trace if traces else "")
    return 2 if health.failed or health.state == "FAILED" else 0


def _show_trace(session: Session, trace: str) -> None:
    from kplan.render.text import clean

    for line in trace.splitlines():
        session.say(f"    {clean(line.expandtabs(4))}")


@command.command("tasks", help="Show its tasks; same as status.")
@NAME
@LOADING
@FORMAT
@TRACE
@SHOWING
@run_command
def tasks(session: Session, name: str, trace: bool) -> int:
    with _open_connector(session, name) as connector:
        health = connector.health
    return _show_health(session, name, health, trace)


@command.command("config", help="Show its config as JSON, without secrets.")
@NAME
@LOADING
@SHOWING
@run_command
def config(session: Session, name: str) -> int:
    from kplan.model import Secret

    with _open_connector(session, name) as connector:
        settings = connector.resource.config
    visible = {key: "(sensitive)" if isinstance(v, Secret) else v for key, v in sorted(settings.items())}
    session.say(json.dumps(visible, indent=2, ensure_ascii=False))
    return 0


# -- states ---------------------------------------------------------------------------------------------------------
def _add_state_command(state: str, verb: str) -> None:
    @command.command(verb, help=f"{verb.capitalize()} it, and wait until it is {state.upper()}.")
    @NAME
    @LOADING
    @SHOWING
    @run_command
    def command_of_state(session: Session, name: str) -> int:
        from kplan.app.connector import set_state

        with _open_connector(session, name) as connector:
            is_already = connector.resource.state == state
            set_state(connector, state, session.runtime)
        session.say(f"{name} is {state.upper()}{' already' if is_already else ''}")
        return 0


for _state, _verb in (("paused", "pause"), ("running", "resume"), ("stopped", "stop")):
    _add_state_command(_state, _verb)


@command.command("restart", help="Restart it with its tasks and wait until all run; retry with growing delays if not.")
@NAME
@option("--failed-only", is_flag=True, help="Restart only what has failed.")
@option("--attempts", type=click.IntRange(1, 100), default=3, show_default=True, help="Maximum number of restarts.")
@option(
    "--delay", metavar="TIME", default="10s", show_default=True, help="Wait after the first attempt; doubled each time."
)
@LOADING
@SHOWING
@run_command
def restart(session: Session, name: str, failed_only: bool, attempts: int, delay: str) -> int:
    from kplan.app.connector import RestartRequest
    from kplan.app.connector import restart as restart_connector

    request = RestartRequest(failed_only, attempts, parse_seconds(delay, "--delay"))
    with _open_connector(session, name) as connector:
        restarted = restart_connector(connector, request, session.runtime)
    session.say(f"{name} was restarted and runs" if restarted else f"{name}: nothing has failed")
    return 0


# -- offsets --------------------------------------------------------------------------------------------------------
@command.command(
    "offsets",
    help="Print its committed offsets as JSON, restore them from a file, or reset them so that it starts over. To "
    "change them, kplan stops the connector and then returns it to its previous state.",
)
@NAME
@option("--out", metavar="FILE", type=click.Path(dir_okay=False), default=None, help="Write the offsets to this file.")
@option("--put", "source", metavar="FILE", type=click.Path(exists=True, dir_okay=False), default=None,
        help="Restore the offsets from this file.")  # fmt: skip
@option("--reset", is_flag=True, help="Delete the offsets.")
@option("--yes", "-y", is_flag=True, help="Do not ask for confirmation.")
@LOADING
@SHOWING
@run_command
def offsets(session: Session, name: str, out: str | None, source: str | None, reset: bool, yes: bool) -> int:
    from kplan.app.connector import replace_offsets

    if source and reset:
        raise click.UsageError("--put and --reset exclude each other")
    new_offsets = _read_offsets(source) if source else None
    with _open_connector(session, name) as connector:
        backend, resource = connector.backend, connector.resource
        old_offsets = backend.offsets(name)
        text = json.dumps({"offsets": old_offsets}, indent=2, ensure_ascii=False)
        if not source and not reset:
            _write_offsets(session, out, text)
            return 0
        if not yes:
            _confirm(session, name, "restored" if source else "reset")
        if out:
            _write_offsets(session, out, text)
        replace_offsets(backend, resource, new_offsets, old_offsets, session.runtime)
    session.say(f"{name}: its offsets are {'restored' if source else 'reset'}; it is {resource.state.upper()}")
    return 0


def _read_offsets(path: str) -> list[Any]:
    from kplan.diagnostics import Invalid, codes, error
    from kplan.project.reading import read_file

    try:
        data = json.loads(read_file(path))
        entries = data["offsets"] if isinstance(data, dict) else data
        if isinstance(entries, list) and all(isinstance(each, dict) and {"partition", "offset"} <= each.keys()
                                           for each in entries):  # fmt: skip
            return entries
    except (OSError, ValueError, KeyError, RecursionError):
        pass
    raise Invalid(
        [
            error(
                codes.K606,
                "this is not a file of offsets",
                path,
                help="`kplan connector offsets NAME --out` writes one",
            )
        ]
    )


def _write_offsets(session: Session, path: str | None, text: str) -> None:
    from kplan.diagnostics import KplanError

    if path is None:
        session.say(text)
        return
    try:
        Path(path).write_text(text + "\n", "utf-8")
    except OSError as e:
        raise KplanError(f"the offsets could not be saved to {path}: {e.strerror}", help="choose another place") from e


def _confirm(session: Session, name: str, action: str) -> None:
    ask(session, f"Type the connector's name ({name}) to have its offsets {action}", name)
