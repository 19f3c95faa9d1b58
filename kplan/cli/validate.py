"""kplan validate"""

import sys

import click

from kplan.cli.common import LOADING, SHOWING, Session, option
from kplan.cli.common import command as calls


@click.command("validate", help="Every check that needs no server. All errors at once; exit 4 where there are any.")
@click.argument("paths", metavar="STACK...", nargs=-1, required=True)
@LOADING
@option(
    "--format", type=click.Choice(["text", "concise", "json", "github"]), default="text", help="How problems are shown."
)
@SHOWING
@calls
def command(session: Session) -> int:
    import json

    from kplan.diagnostics import Diagnostic, Invalid, ordered, warning
    from kplan.plan import diagnostic_to_json
    from kplan.planning import unique_offline
    from kplan.render import diagnostics as view
    from kplan.words import count

    found: tuple[Diagnostic, ...]
    resources = files = 0
    try:
        loaded = session.load()
        notes = [
            warning(
                "K219",
                "a sensitive variable has no value",
                name,
                span=span,
                help="taken as unknown here; `apply` needs it",
            )
            for stack in loaded.stacks
            for name, span in stack.unset.items()
        ]
        found = ordered([*loaded.diagnostics, *unique_offline(loaded.stacks), *notes])
        resources, files = sum(len(s.resources) for s in loaded.stacks), len(loaded.stacks)
    except Invalid as e:
        found = e.diagnostics
    code = 4 if any(d.is_error for d in found) else 0
    if session.as_json:
        session.say(
            json.dumps(
                {
                    "valid": code == 0,
                    "resources": resources,
                    "diagnostics": [diagnostic_to_json(d) for d in session.masked(found)],
                },
                indent=2,
            )
        )
        return code
    session.show(found, stream=sys.stdout)
    if session.settings["format"] == "text":
        session.say(
            view.summary_line(
                found,
                max(files, len({d.span.path for d in found if d.span})),
                f"{count(resources, 'resource')} {'is' if resources == 1 else 'are'} valid."
                if code == 0
                else "Nothing was changed.",
            )
        )
    return code
