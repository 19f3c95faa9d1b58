"""kplan connector: operations that are no state to declare"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kplan.cli.common import LOADING, SHOWING, Session, option
from kplan.cli.common import command as calls
from kplan.kinds.connector.options import ConnectorOptions

if TYPE_CHECKING:
    from kplan.diagnostics import KplanError
    from kplan.kinds.connector.sensitivity import Setting
    from kplan.model import Change, Connector, Health
    from kplan.servers.base import Backend, Cluster, Outcome
    from kplan.state.base import Store

NAME = click.argument("name")
TRACE = option("--trace", is_flag=True, help="Show the whole stack trace of what has failed; JSON always has it.")
FORMAT = option("--format", type=click.Choice(["text", "json"]), default="text", help="Text or JSON.")


@click.group("connector", help="Look at a live connector, or pause, resume, stop or restart it, or handle its offsets.")
def command() -> None:
    """What is done here is not declared: where a stack says another state, its next apply puts that back."""


@contextmanager
def _opened(session: Session) -> Iterator[tuple[Cluster, Store]]:
    """Open the environment's servers, which have connectors, and its store."""
    from kplan.diagnostics import KplanError, codes

    session.connect_alone = True
    environment = session.load_environment()
    cluster, store = session.open(environment)
    try:
        if cluster.connectors is None:
            raise KplanError(f"environment {environment.name} has no Connect", code=codes.K218)
        with session.showing_progress():
            yield cluster, store
    finally:
        cluster.close()
        store.close()


def _read_connector(session: Session, opened: tuple[Cluster, Store]) -> tuple[Any, Connector, Health]:
    """Read the live connector, without its secrets; return its backend, too. Raises KplanError where there is none."""
    from kplan.diagnostics import KplanError, codes
    from kplan.model import Address, Connector, Live
    from kplan.planning.pipeline import concealed

    (cluster, store), name = opened, session.settings["name"]
    backend, address = cluster.connectors, Address("connector", name)
    assert backend is not None, "an environment without Connect is refused when it is opened"
    reading = backend.read([name])
    there = reading.resources.get(address)
    if there is None:
        raise KplanError(
            f"Connect has no connector {name}", code=codes.K321, help="`kplan list 'connector/*'` shows them"
        )
    assert isinstance(there, Connector)
    sensitive = _sensitive(session, backend, store, there)
    live = concealed(cluster, Live(resources={address: there}, health=reading.health), sensitive)
    connector = live.resources[address]
    assert isinstance(connector, Connector)
    return backend, connector, live.health[address]


def _sensitive(session: Session, backend: Backend, store: Store, connector: Connector) -> list[Setting]:
    """Return what the ledger and the plugin call sensitive; without the ledger every setting counts as that."""
    from kplan.diagnostics import KplanError
    from kplan.kinds.connector.sensitivity import of_connector, of_passwords, of_record

    try:
        if not store.where:
            raise KplanError("no brokers are named")
        record = store.ledger().get(connector.address)
    except KplanError as e:
        session.note(f"warning: every setting counts as sensitive, because the ledger cannot be read: {e.message}")
        return list(of_connector(connector))
    return [*of_record(connector.address, record), *of_passwords(backend.passwords([connector]))]


# -- looking --------------------------------------------------------------------------------------------------------
@command.command("status", help="Show its state and its tasks'. Exit 2 where one has failed.")
@NAME
@LOADING
@FORMAT
@TRACE
@SHOWING
@calls
def status(session: Session) -> int:
    with _opened(session) as opened:
        _, _, health = _read_connector(session, opened)
    return _say_health(session, health)


def _say_health(session: Session, health: Health) -> int:
    from kplan.render.text import clean

    name = session.settings["name"]
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
        _say_trace(session, health.trace)
        for task in health.tasks:
            where = f" on {task.worker}" if task.worker else ""
            cause = f": {clean(task.cause)}" if task.cause else ""
            session.say(f"  task {task.id}  {task.state}{where}{cause}")
            _say_trace(session, task.trace)
    return 2 if health.failed or health.state == "FAILED" else 0


def _say_trace(session: Session, trace: str) -> None:
    from kplan.render.text import clean

    if session.settings["trace"]:
        for line in trace.splitlines():
            session.say(f"    {clean(line.expandtabs(4))}")


@command.command("tasks", help="Show its tasks; the same as status.")
@NAME
@LOADING
@FORMAT
@TRACE
@SHOWING
@calls
def tasks(session: Session) -> int:
    with _opened(session) as opened:
        _, _, health = _read_connector(session, opened)
    return _say_health(session, health)


@command.command("config", help="Show its config as JSON; secrets are left out.")
@NAME
@LOADING
@SHOWING
@calls
def config(session: Session) -> int:
    from kplan.model import Secret

    with _opened(session) as opened:
        _, connector, _ = _read_connector(session, opened)
    shown = {key: "(sensitive)" if isinstance(v, Secret) else v for key, v in sorted(connector.config.items())}
    session.say(json.dumps(shown, indent=2, ensure_ascii=False))
    return 0


# -- states ---------------------------------------------------------------------------------------------------------
def _into(state: str, doing: str) -> None:
    @command.command(doing, help=f"{doing.capitalize()} it, and wait until it is {state.upper()}.")
    @NAME
    @LOADING
    @SHOWING
    @calls
    def into(session: Session) -> int:
        from dataclasses import replace

        from kplan.model import Action, AttrDiff, Change

        with _opened(session) as opened:
            backend, now, _ = _read_connector(session, opened)
            if now.state == state:
                session.say(f"{now.name} is {state.upper()} already")
                return 0
            diffs = (AttrDiff("/state", now.state, state),)
            change = Change(now.address, Action.UPDATE, now, replace(now, state=state), diffs)
            _carry_out(session, backend, change, lambda: backend.act([change], {})[change.address])
        session.say(f"{now.name} is {state.upper()}")
        return 0


for _state, _doing in (("paused", "pause"), ("running", "resume"), ("stopped", "stop")):
    _into(_state, _doing)


def _carry_out(session: Session, backend: Any, change: Change, send: Callable[[], Outcome]) -> None:
    """Sends and settles. Raises what went wrong."""
    outcome = send()
    if outcome.error is None:
        outcome = backend.settle([change], lambda address, words: session.note(f"  {words}"))[change.address]
    if outcome.error is not None:
        raise outcome.error


@command.command("restart", help="Restart it with its tasks, and wait until all run; again, later each time, if not.")
@NAME
@option("--failed-only", is_flag=True, help="Only what has failed of it.")
@option("--attempts", type=click.IntRange(1, 100), default=3, show_default=True, help="How often to restart it.")
@option(
    "--delay", metavar="TIME", default="10s", show_default=True, help="After the first attempt; then twice as long."
)
@LOADING
@SHOWING
@calls
def restart(session: Session) -> int:
    from kplan.diagnostics import KplanError, codes
    from kplan.language.durations import seconds
    from kplan.model import Action, Change
    from kplan.servers.base import Outcome

    s = session.settings
    try:
        pause = seconds(s["delay"])
    except ValueError as e:
        raise click.BadParameter(str(e), param_hint="--delay")
    with _opened(session) as opened:
        backend, now, health = _read_connector(session, opened)
        if now.state != "running":  # Connect takes the request, and leaves the connector as it is
            raise KplanError(
                f"{now.name} is {now.state.upper()}, and a restart leaves it so",
                code=codes.K514,
                help=f"kplan connector resume {now.name}",
            )
        if s["failed_only"] and not health.failed and health.state != "FAILED":
            session.say(f"{now.name}: nothing has failed")
            return 0
        change = Change(now.address, Action.UPDATE, now, now, options=ConnectorOptions(restart=True))

        def send() -> Outcome:
            backend.restart(now.name, s["failed_only"])
            return Outcome()

        for left in range(s["attempts"] - 1, -1, -1):
            try:
                _carry_out(session, backend, change, send)
            except KplanError as e:
                if not left:
                    raise
                session.note(f"{e.message}; again in {pause:g} s")
                time.sleep(pause)
                pause *= 2
            else:
                break
    session.say(f"{now.name} was restarted and runs")
    return 0


# -- offsets --------------------------------------------------------------------------------------------------------
@command.command(
    "offsets",
    help="Print its committed offsets as JSON, or put those of a file back, or reset them so that it begins anew. To "
    "change them it is stopped, and then goes back into its state.",
)
@NAME
@option("--out", metavar="FILE", type=click.Path(dir_okay=False), default=None, help="Write them there.")
@option("--put", "source", metavar="FILE", type=click.Path(exists=True, dir_okay=False), default=None,
        help="Put the offsets of this file back.")  # fmt: skip
@option("--reset", is_flag=True, help="Delete them.")
@option("--yes", "-y", is_flag=True, help="Do not ask.")
@LOADING
@SHOWING
@calls
def offsets(session: Session) -> int:
    s = session.settings
    if s["source"] and s["reset"]:
        raise click.UsageError("--put and --reset exclude each other")
    new = _read(s["source"]) if s["source"] else None
    with _opened(session) as opened:
        backend, now, _ = _read_connector(session, opened)
        had = backend.offsets(now.name)
        text = json.dumps({"offsets": had}, indent=2, ensure_ascii=False)
        if not s["source"] and not s["reset"]:
            _write(session, s["out"], text)
            return 0
        _ask(session, now.name, "put back" if s["source"] else "reset")
        if s["out"]:
            _write(session, s["out"], text)
        _stopped(session, backend, now, new, had)
    session.say(f"{now.name}: its offsets are {'put back' if s['source'] else 'reset'}; it is {now.state.upper()}")
    return 0


def _read(path: str) -> list[Any]:
    from kplan.diagnostics import Invalid, codes, error
    from kplan.project.reading import read_file

    try:
        data = json.loads(read_file(path))
        found = data["offsets"] if isinstance(data, dict) else data
        if isinstance(found, list) and all(isinstance(each, dict) and {"partition", "offset"} <= each.keys()
                                           for each in found):  # fmt: skip
            return found
    except (OSError, ValueError, KeyError, RecursionError):
        pass
    raise Invalid(
        [error(codes.K606, "this is no file of offsets", path, help="`kplan connector offsets NAME --out` writes one")]
    )


def _write(session: Session, path: str | None, text: str) -> None:
    from kplan.diagnostics import KplanError

    if path is None:
        session.say(text)
        return
    try:
        Path(path).write_text(text + "\n", "utf-8")
    except OSError as e:
        raise KplanError(f"the offsets could not be saved to {path}: {e.strerror}", help="choose another place") from e


def _ask(session: Session, name: str, what: str) -> None:
    from kplan.diagnostics import Declined

    if session.settings["yes"]:
        return
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise Declined("there is no terminal to ask on", help="say --yes")
    if input(f"Type the connector's name ({name}) to have its offsets {what}: ").strip() != name:
        raise Declined("nothing was changed")


def _stopped(session: Session, backend: Any, now: Connector, new: list[Any] | None, had: list[Any]) -> None:
    """Its offsets are `new` and it is in its state again; where it does not get there, they are those it had."""
    from dataclasses import replace

    from kplan.diagnostics import KplanError
    from kplan.model import Action, AttrDiff, Change

    rests = replace(now, state="stopped")

    def go(before: Connector, after: Connector) -> None:
        if before.state != after.state:
            change = Change(now.address, Action.UPDATE, before, after, (AttrDiff("/state", before.state, after.state),))
            _carry_out(session, backend, change, lambda: backend.act([change], {})[change.address])

    go(now, rests)
    try:
        backend.put_offsets(now.name, new)
    except BaseException:
        go(rests, now)
        raise
    try:
        go(rests, now)
    except KplanError as e:
        _put_back(backend, now.name, had, lambda: go(now, rests), lambda: go(rests, now), e)


def _put_back(
    backend: Any, name: str, had: list[Any], stop: Callable[[], None], start: Callable[[], None], failure: KplanError
) -> None:
    """The connector has the offsets that it had. Raises KplanError with the failure that led here."""
    from kplan.diagnostics import KplanError

    try:
        stop()
        backend.put_offsets(name, None)
        if had:
            backend.put_offsets(name, had)
        start()
    except KplanError as e:
        worse = KplanError(
            f"{name} does not run with the new offsets, and not with the earlier ones: {e.message}",
            code=e.entry,
            help=f"those it had: {json.dumps(had)}",
        )
        worse.exit_code = 8
        raise worse from failure
    raise KplanError(
        f"{name} does not run with these offsets, so it has its earlier ones again: {failure.message}",
        code=failure.entry,
        help="the database no longer has what is behind them; `--reset` reads all rows again",
    ) from failure
