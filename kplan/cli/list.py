"""kplan list"""

import json
from typing import Any

import click

from kplan.cli.common import LOADING, SHOWING, Session, option
from kplan.cli.common import command as calls


@click.command(
    "list",
    help="List live topics and connectors with partitions, replication, state and owner. GLOB matches an address "
    "(topic/shop.*) or a name (shop.*); without one: all but internal topics.",
)
@click.argument("globs", metavar="[GLOB...]", nargs=-1)
@LOADING
@option("--internal", is_flag=True, help="Topics whose name begins with __ too.")
@option("--unowned", is_flag=True, help="Only what no stack owns.")
@option("--format", type=click.Choice(["text", "json"]), default="text", help="A table, or JSON.")
@SHOWING
@calls
def command(session: Session) -> int:

    session.connect_alone = True
    environment = session.load_environment()
    if not environment.has_brokers:
        if session.settings["unowned"]:
            raise click.UsageError("--unowned needs --bootstrap: who owns what is in Kafka")
        session.note("warning: topics and owners are not listed: no brokers are named (--bootstrap HOST:PORT)")
    cluster, store = session.open(environment)
    try:
        with session.showing_progress():
            rows = _rows(session, cluster, session.readable_ledger(store))
    finally:
        cluster.close()
        store.close()
    if session.as_json:
        session.say(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    for line in _table(rows):
        session.say(line)
    return 0


def _rows(session: Session, cluster: Any, ledger: Any) -> list[dict[str, Any]]:
    from kplan.model import Topic

    s = session.settings
    health: dict[Any, Any] = {}
    resources: dict[Any, Any] = {}
    for backend in cluster.backends:
        reading = backend.read(None)
        resources |= reading.resources
        health |= reading.health
    rows = []
    for address, resource in sorted(resources.items()):
        owner = ledger.get(address)
        if not _wanted(address, s["globs"], s["internal"]) or (s["unowned"] and owner):
            continue
        row: dict[str, Any] = {"address": str(address), "stack": owner.stack if owner else None}
        if isinstance(resource, Topic):
            row |= {"partitions": resource.partitions, "replication_factor": resource.replication_factor}
        else:
            state = health.get(address)
            running = sum(1 for task in state.tasks if task.state == "RUNNING") if state else 0
            row |= {"class": resource.config.get("connector.class"), "state": state.state if state else "UNKNOWN",
                    "tasks": len(state.tasks) if state else 0, "tasks_running": running}  # fmt: skip
        rows.append(row)
    return rows


def _wanted(address: Any, globs: tuple[str, ...], internal: bool) -> bool:
    import fnmatch

    if globs:
        return any(fnmatch.fnmatchcase(str(address), g) or fnmatch.fnmatchcase(address.name, g) for g in globs)
    return internal or not (address.kind == "topic" and address.name.startswith("__"))


def _table(rows: list[dict[str, Any]]) -> list[str]:
    from kplan.render.text import clean
    from kplan.text import count

    width = min(70, max([20, *(len(clean(row["address"])) for row in rows)]))
    lines = []
    for row in rows:
        if "partitions" in row:
            what = f"{count(row['partitions'], 'partition'):<16} replication {row['replication_factor']}"
        else:
            what = f"{row['state']:<16} {row['tasks_running']} of {count(row['tasks'], 'task')} running"
        owner = f"stack {row['stack']}" if row["stack"] else "-"
        lines.append(f"{clean(row['address']):<{width}}  {what:<36}  {clean(owner)}".rstrip())
    return [*lines, f"{count(len(rows), 'resource')}."]
