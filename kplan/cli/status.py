"""kplan status"""

from __future__ import annotations

import json
import sys
import time
from typing import TYPE_CHECKING, Any

import click

from kplan.cli.common import LOADING, SHOWING, Session, now, option, stamp
from kplan.cli.common import command as calls

if TYPE_CHECKING:
    from kplan.project.loading import Loaded
    from kplan.servers.base import Cluster
    from kplan.state.base import Store


@click.command(
    "status",
    help="Show how everything is that the stacks name: topics (required, existing, missing, misconfigured), "
    "connectors, their tasks with the causes of failures, and how far behind they are. Exit 0 healthy, 2 degraded, 1 "
    "where a server does not answer.",
)
@click.argument("paths", metavar="STACK...", nargs=-1, required=True)
@LOADING
@option(
    "--watch",
    is_flag=True,
    help="Look again and again, until Ctrl-C, and restart what failed where `restart_failed` says so.",
)
@option("--interval", metavar="TIME", default="5s", show_default=True, help="Between two looks of --watch.")
@option("--format", type=click.Choice(["text", "json"]), default="text", help="The view on standard output.")
@SHOWING
@calls
def command(session: Session) -> int:
    from kplan.diagnostics import Invalid
    from kplan.language.durations import seconds

    s = session.settings
    try:
        pause = max(0.5, seconds(s["interval"]))
    except ValueError as e:
        raise click.BadParameter(str(e), param_hint="--interval")
    loaded = session.load()
    if loaded.has_errors:
        raise Invalid(loaded.diagnostics)
    from kplan.inspect.status import FailedConnectors, Restarts

    cluster, store = session.open(loaded.environment)
    restarts, seen = Restarts(), FailedConnectors()
    names = [stack.name for stack in loaded.stacks]
    try:
        while True:
            with session.showing_progress():
                found = looked(loaded, cluster, store)
            _show(session, found, clear=bool(s["watch"]))
            session.notifier(loaded.environment).health(names, *seen.changes(found))
            if not s["watch"]:
                return {"healthy": 0, "degraded": 2}.get(found["status"], 1)
            for name, attempt in restarts.due(loaded.stacks, found, time.monotonic()):
                _restart(session, cluster, name, attempt)
            time.sleep(pause)
    except KeyboardInterrupt:
        return 0
    finally:
        cluster.close()
        store.close()


def looked(loaded: Loaded, cluster: Cluster, store: Store) -> dict[str, Any]:
    """The document of schemas/status.v1.json, as of now."""
    from kplan.diagnostics import KplanError
    from kplan.inspect import status
    from kplan.kinds.connector.sensitivity import of_ledger, of_stacks
    from kplan.planning.pipeline import read

    environment = loaded.environment
    settings = {
        "create": all(stack.guards.create for stack in loaded.stacks),
        "attempts": environment.attempts,
        "request_timeout": environment.request_timeout,
    }
    at = stamp()
    try:
        overview = store.overview()
        overview.refuse_unknown_kinds([stack.name for stack in loaded.stacks])
        sensitive = [*of_ledger(overview.ledger), *of_stacks(loaded.stacks)]
        live = read(cluster, [address for stack in loaded.stacks for address in stack.resources], sensitive)
        names = [name for name in status.wanted_facts(loaded.stacks) if name in live.names]
        facts = cluster.topics.facts(names) if names else {}
        stacks = [stack.name for stack in loaded.stacks]
        mine = [summary.run for summary in store.summaries() if summary.stack in stacks]
        runs = status.find_last_runs(stacks, mine, store.entries)
    except KplanError as e:
        return status.unanswered(loaded.stacks, e.message, settings, at, environment.name, environment.bootstrap)
    millis = int(now().timestamp() * 1000)
    return status.document(loaded.stacks, live, facts, runs, settings, at, millis, environment.name)


def _restart(session: Session, cluster: Cluster, name: str, attempt: str) -> None:
    """What failed of the connector is being restarted, as its stack says."""
    from kplan.diagnostics import KplanError

    backend: Any = cluster.connectors
    try:
        backend.restart(name, failed_only=True)
        session.note(f"connector/{name} failed and is restarted, {attempt}")
    except KplanError as e:
        session.note(f"connector/{name} could not be restarted: {session.secrets.mask(e.message)}")


def _show(session: Session, found: dict[str, Any], clear: bool) -> None:
    from kplan.inspect.status import HEALTHY, lines
    from kplan.render.text import clean, fold

    if session.as_json:
        session.say(json.dumps(found, indent=None if clear else 2, ensure_ascii=False))
        return
    if clear and sys.stdout.isatty():
        session.say("\x1b[2J\x1b[H")
    first, *rest = [clean(line) for line in lines(found)]
    session.say(session.style.paint(first, "32" if found["status"] == HEALTHY else "1;31"))
    for line in rest:
        for part in fold(line, session.style.width) if sys.stdout.isatty() else [line]:
            session.say(part)
    sys.stdout.flush()
