"""kplan list"""

import json
from typing import Any

import click

from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING, make_selector, parse_selector
from kplan.cli.options import option
from kplan.cli.session import Session
from kplan.kinds.registry import KINDS


@click.command(
    "list",
    help="List live resources with their properties and owner. GLOB matches an address "
    "(topic/shop.*) or a name (shop.*); default: all but internal topics.",
)
@click.argument("globs", metavar="[GLOB...]", nargs=-1)
@LOADING
@option(
    "--kind",
    "kinds",
    multiple=True,
    type=click.Choice(sorted(KINDS)),
    help="Only this kind; repeatable. Default: topics, connectors, and each kind of which a stack owns something.",
)
@option(
    "--internal",
    is_flag=True,
    help="Include internal topics: __…, and those of Connect and registries that no stack owns.",
)
@make_selector("Only what has this label, or belongs to this team (team=NAME), as it was applied.")
@option("--unowned", is_flag=True, help="Only resources without an owner.")
@option("--format", type=click.Choice(["text", "json"]), default="text", help="A table, or JSON.")
@SHOWING
@run_command
def command(
    session: Session,
    globs: tuple[str, ...],
    kinds: tuple[str, ...],
    internal: bool,
    unowned: bool,
    selectors: tuple[str, ...],
) -> int:
    from kplan.app.list import ListRequest, find_similar, list_resources
    from kplan.app.servers import describe_cluster

    session.connect_alone = True
    environment = session.load_environment()
    if not environment.has_brokers:
        if unowned:
            raise click.UsageError("--unowned needs --bootstrap: who owns what is in Kafka")
        session.note("warning: topics and owners are not listed: no brokers given (--bootstrap HOST:PORT)")
    request = ListRequest(globs, kinds, internal, unowned, parse_selector(selectors))
    with session.open(environment) as opened, session.show_progress():
        rows = list_resources(request, opened, session.runtime)
        hint = "" if rows or not globs else find_similar(globs, opened)
    if session.as_json:
        session.say(json.dumps(rows, indent=2, ensure_ascii=False))
        return 0
    session.note(describe_cluster(environment))
    if hint:
        session.note(hint)
    for line in _table_lines(rows):
        session.say(line)
    return 0


def _table_lines(rows: list[dict[str, Any]]) -> list[str]:
    from kplan.render.text import clean
    from kplan.text import count

    width = min(70, max([20, *(len(clean(row["address"])) for row in rows)]))
    lines = []
    for row in rows:
        if "partitions" in row:
            details = f"{count(row['partitions'], 'partition'):<16} replication {row['replication_factor']}"
        elif "tasks_running" in row:
            details = f"{row['state']:<16} {row['tasks_running']} of {count(row['tasks'], 'task')} running"
        else:
            details = clean(
                ", ".join(f"{key} {value}" for key, value in row.items() if key not in ("address", "stack"))
            )
        owner = f"stack {row['stack']}" if row["stack"] else "-"
        lines.append(f"{clean(row['address']):<{width}}  {details:<36}  {clean(owner)}".rstrip())
    return [*lines, f"{count(len(rows), 'resource')}."]
