"""kplan schema"""

import click

from kplan.cli.command import run_command
from kplan.cli.flags import SHOWING
from kplan.cli.session import Session


@click.command("schema", help="Print a JSON Schema (stack, environments, plan, drift, live, …), or list them.")
@click.argument("name", required=False)
@SHOWING
@run_command
def command(session: Session, name: str | None) -> int:
    import json

    from kplan.kinds.schemas import read_schema
    from kplan.language.schema import schema_names

    names = schema_names()
    if not name:
        for schema_name in names:
            session.say(schema_name)
        return 0
    full_name = name if name in names else f"{name}.v1"
    if full_name not in names:
        raise click.BadParameter(f"there is no schema {name}; known: {', '.join(names)}", param_hint="NAME")
    session.say(json.dumps(read_schema(full_name), indent=2, ensure_ascii=False))
    return 0
