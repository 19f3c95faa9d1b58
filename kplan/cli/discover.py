"""kplan discover"""

from __future__ import annotations

import json
import os
from typing import TYPE_CHECKING

import click

from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session

if TYPE_CHECKING:
    pass


@click.command(
    "discover",
    help="List the tables of a connector's database with their keys and sizes: which are captured, which are not, and "
    "which have no primary key, so that an incremental snapshot cannot read them. CONNECTOR is its name in the STACK. "
    "kplan logs in as the connector does and does not contact Kafka or Connect.",
)
@click.argument("name", metavar="CONNECTOR")
@click.argument("paths", metavar="STACK...", nargs=-1, required=True)
@LOADING
@option("--host", metavar="HOST[:PORT]", default="", help="Address of the database from here (default: the stack's, "
        "which is the Connect worker's view).")  # fmt: skip
@option("--password-env", metavar="NAME", default="", help="The environment variable that holds the password, where "
        "the stack has a reference that only Connect resolves.")  # fmt: skip
@option("--format", type=click.Choice(["text", "json"]), default="text", help="Text or JSON.")
@SHOWING
@run_command
def command(session: Session, name: str, host: str, password_env: str) -> int:
    from kplan.app.discover import discover_tables, find_connector
    from kplan.kinds.connector.debezium.discovery import document, lines
    from kplan.render.text import clean

    connector = find_connector(session.load(), name)
    discovery = discover_tables(connector, host, _read_password(password_env), session.runtime)
    if session.as_json:
        session.say(json.dumps(document(discovery), indent=2, ensure_ascii=False))
    else:
        for line in lines(discovery):
            session.say(clean(line))
    return 0


def _read_password(variable: str) -> str | None:
    """Return the password that an environment variable holds; None where none was named."""
    if not variable:
        return None
    if variable not in os.environ:
        raise click.BadParameter(f"there is no environment variable {variable}", param_hint="--password-env")
    return os.environ[variable]
