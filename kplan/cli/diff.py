"""kplan diff"""

from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from kplan.cli.command import run_command
from kplan.cli.flags import CHANGED_SINCE, SHOWING, parse_env_files
from kplan.cli.options import option
from kplan.cli.session import Session

if TYPE_CHECKING:
    from kplan.project.loading import Request


@click.command(
    "diff",
    help="Compare two environments: what the stacks declare in each, and why it differs: a variable, a default, an "
    "override. Without STACK the project's stacks are read. No server is contacted, unless --read-live is given.",
)
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@option("--env", "environments", metavar="NAME", multiple=True, help="An environment of kplan.yaml; give two.")
@option("--var", "flags", metavar="NAME=VALUE", multiple=True, help="Set a variable in both. Repeatable.")
@option(
    "--var-file",
    "variable_files",
    metavar="[ENV=]FILE",
    multiple=True,
    help="A file of variables, for one environment or for both. Repeatable.",
)
@option(
    "--env-file",
    "process_files",
    metavar="[ENV=]FILE",
    multiple=True,
    help="Variables of the process from a dotenv file, for one environment or for both. Repeatable.",
)
@option("--read-live", is_flag=True, help="Read both clusters, and show what is live otherwise than it is declared.")
@option("--detailed-exitcode", is_flag=True, help="Exit 2 if there are differences.")
@option(
    "-C",
    "--dir",
    "folder",
    default=".",
    metavar="DIR",
    type=click.Path(exists=True, file_okay=False),
    help="Work in this folder.",
)
@CHANGED_SINCE
@option("--format", type=click.Choice(["text", "json"]), default="text", help="The view on standard output.")
@SHOWING
@run_command
def command(
    session: Session,
    environments: tuple[str, ...],
    variable_files: tuple[str, ...],
    process_files: tuple[str, ...],
    read_live: bool,
    detailed_exitcode: bool,
) -> int:
    from kplan.app.diff import diff_environments, encode_diff
    from kplan.model import Target
    from kplan.render.diff import render_diff
    from kplan.render.text import clean

    if len(set(environments)) != 2:
        help = "`kplan plan` shows the difference to what is live."
        raise click.UsageError(f"Name two environments: kplan diff --env staging --env prod. {help}")
    session.takes_project = True
    session.unasked = None if read_live else Target()
    one, other = (_make_request(session, name, environments, variable_files, process_files) for name in environments)
    diff = diff_environments((one, other), session.runtime)
    document = encode_diff(diff)
    if session.as_json:
        session.say(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        for i, line in enumerate(render_diff(document, session.width)):
            session.say(session.style.paint(clean(line), "1") if i == 0 else clean(line))
    return 2 if detailed_exitcode and diff.has_differences else 0


def _make_request(
    session: Session,
    name: str,
    environments: tuple[str, ...],
    variable_files: tuple[str, ...],
    process_files: tuple[str, ...],
) -> Request:
    """Return the request that loads the stacks in one of the environments."""
    request = session.request
    return replace(
        request,
        env=name,
        var_files=_choose_files(variable_files, name, environments),
        process={**parse_env_files(_choose_files(process_files, name, environments)), **request.process},
    )


def _choose_files(files: tuple[str, ...], name: str, environments: tuple[str, ...]) -> tuple[str, ...]:
    """Return the files for the environment `name`, those for both among them."""
    chosen = []
    for file in files:
        owner, equals, path = file.partition("=")
        if not equals or owner not in environments:
            chosen.append(file)
        elif owner == name:
            chosen.append(path)
    return tuple(chosen)
