"""kplan doctor"""

from __future__ import annotations

import json
from dataclasses import replace

import click

from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session, format_time


@click.command(
    "doctor",
    help="Ask every server of an environment who it is, what it can do and what kplan may do there, and say what to do "
    "where something is wrong. With STACK also what these stacks need. Nothing is changed. Exit 0 all is well, 2 "
    "something is lacking, 1 a server cannot be used.",
)
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@option("--format", type=click.Choice(["text", "json"]), default="text", help="The view on standard output.")
@SHOWING
@run_command
def command(session: Session) -> int:
    from kplan.app.doctor import examine
    from kplan.inspect.checkup import EXIT_CODES, judge, make_document

    if session.paths:
        loaded = session.load_valid()
        environment = loaded.environment
        addresses = sorted({address for stack in loaded.stacks for address in stack.resources})
    else:
        session.connect_alone = True
        environment, addresses = session.load_environment(), []
    with session.open(replace(environment, attempts=1)) as opened, session.show_progress():
        checks = examine(opened, addresses)
    if session.as_json:
        document = make_document(environment.name, checks, format_time())
        session.say(session.secrets.mask(json.dumps(document, indent=2, ensure_ascii=False)))
        return EXIT_CODES[judge(checks)]
    from kplan.model.checkup import CheckResult
    from kplan.render.checkup import render_checks
    from kplan.render.text import clean

    colors = {CheckResult.FAILED: "1;31", CheckResult.LACKING: "33", CheckResult.OK: "32"}
    session.say(f"environment {environment.name}")
    for result, line in render_checks(checks):
        shown = clean(session.secrets.mask(line))
        session.say(session.style.paint(shown, colors[result]) if result in colors else shown)
    return EXIT_CODES[judge(checks)]
