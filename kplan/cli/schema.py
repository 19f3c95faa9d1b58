"""kplan schema"""

import click

from kplan.cli.command import calls
from kplan.cli.flags import SHOWING
from kplan.cli.session import Session


@click.command("schema", help="Print a JSON Schema (stack, environments, plan, drift, live, …), or list them.")
@click.argument("name", required=False)
@SHOWING
@calls
def command(session: Session, name: str | None) -> int:
    import json

    from kplan.kinds.schemas import read_schema
    from kplan.language.schema import schema_names

    known = schema_names()
    if not name:
        for each in known:
            session.say(each)
        return 0
    full = name if name in known else f"{name}.v1"
    if full not in known:
        raise click.BadParameter(f"there is no schema {name}; known: {', '.join(known)}", param_hint="NAME")
    session.say(json.dumps(read_schema(full), indent=2, ensure_ascii=False))
    return 0
