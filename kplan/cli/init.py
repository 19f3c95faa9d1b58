"""kplan init"""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from kplan.cli.command import run_command
from kplan.cli.flags import SHOWING
from kplan.cli.options import option
from kplan.cli.output import save
from kplan.cli.reports import output_error
from kplan.cli.session import Session
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.init import NewFiles

TOPICS = "topics"  # a stack without a connector
BROKER = re.compile(r"(?:\w+://)?(?:\[[0-9a-fA-F:.]+\]|[^\s:/\[\],]+)(?::(?P<port>[0-9]{1,5}))?\Z")
URL = re.compile(r"https?://\S|\{\{")


@dataclass(frozen=True, slots=True)
class InitFlags:
    """The flags about the files; None where one was left out."""

    template: str | None
    name: str | None
    bootstrap: str | None
    connect: str | None


@click.command(
    "init",
    help="Write a kplan.yaml and a first stack into DIR, both commented, and the schemas that editors need. On a "
    "terminal, asks for what no flag sets. Nothing is overwritten: an existing kplan.yaml is kept.",
)
@click.argument("start", metavar="[DIR]", default=".", type=click.Path(file_okay=False))
@option("--template", metavar="NAME", default=None, help="Connector template for the new stack, or `topics`.")
@option("--name", metavar="NAME", default=None, help="Name of the stack (default: the folder's name).")
@option("--bootstrap", default=None, metavar="HOST:PORT", help="Brokers of an additional environment `dev`.")
@option("--connect", default=None, metavar="URL", help="Kafka Connect of that environment.")
@option("--force", is_flag=True, help="Replace an existing stack file. kplan.yaml is always kept.")
@option("--yes", is_flag=True, help="Ask no questions.")
@SHOWING
@run_command
def command(
    session: Session,
    start: str,
    template: str | None,
    name: str | None,
    bootstrap: str | None,
    connect: str | None,
    force: bool,
    yes: bool,
) -> int:
    from kplan.app.init import is_simulated, write_project

    folder = Path(start)
    new_files = _choose_files(InitFlags(template, name, bootstrap, connect), folder, ask=not yes)
    simulated = is_simulated(folder)
    try:
        for file in write_project(folder, new_files, force, save):
            session.say(f"{'kept ' if file.is_kept else 'wrote'}  {file.path}")
    except OSError as e:
        raise output_error(f"{e.filename}: {e.strerror or e}") from e
    for line in _next_lines(folder, new_files, simulated):
        session.say(line)
    return 0


# -- what is wanted ---------------------------------------------------------------------------------------------------
def _choose_files(flags: InitFlags, folder: Path, *, ask: bool) -> NewFiles:
    """Return what the flags declare; on a terminal, ask for what they do not."""
    from kplan.app.init import NewFiles
    from kplan.project.scaffold import make_slug

    ask = ask and sys.stdin.isatty() and sys.stdout.isatty()
    default = make_slug(folder.resolve().name) or "shop"
    name = flags.name or (_ask("Name of the stack", _check_name, default) if ask else default)
    template = flags.template or (_ask_template() if ask else TOPICS)
    bootstrap, connect = flags.bootstrap or "", flags.connect or ""
    if ask and not (folder / "kplan.yaml").exists():
        if flags.bootstrap is None:
            bootstrap = _ask("Brokers, such as localhost:9092 (empty: simulated)", _check_brokers)
        if flags.connect is None and bootstrap:
            connect = _ask("Kafka Connect's URL (empty: none)", _check_url)
    return _check_files(NewFiles(name, "" if template == TOPICS else template, bootstrap.strip(), connect.strip()))


def _ask(question: str, check: Callable[[str], str], default: str = "") -> str:
    """Ask until the answer passes `check`, which returns it or raises BadParameter."""
    while True:
        answer = str(click.prompt(question, default=default, show_default=bool(default)))
        try:
            return check(answer.strip())
        except click.BadParameter as e:
            click.echo(f"{e.message}")


def _check_name(name: str) -> str:
    from kplan.project.expand import STACK_NAME
    from kplan.project.scaffold import make_slug

    if not STACK_NAME.match(name):
        proposal = f", such as {make_slug(name)}" if make_slug(name) else ""
        message = f"{name!r} is not the name of a stack: 1 to 63 of a-z, 0-9 and -{proposal}"
        raise click.BadParameter(message, param_hint="--name")
    return name


def _check_brokers(brokers: str) -> str:
    """Return the list, with the port 9092 where one has none."""
    if "{{" in brokers:  # a template, which kplan.yaml may have
        return brokers
    brokers_with_port = []
    for broker in filter(None, (part.strip() for part in brokers.split(","))):
        match = BROKER.match(broker)
        if not match or not 0 < int(match["port"] or 9092) < 65536:
            raise click.BadParameter(f"{broker!r} is not HOST:PORT", param_hint="--bootstrap")
        brokers_with_port.append(broker if match["port"] else f"{broker}:9092")
    return ",".join(brokers_with_port)


def _check_url(url: str) -> str:
    from kplan.model import Secret, conceal

    if url and not URL.match(url):
        raise click.BadParameter("a URL begins with http:// or https://", param_hint="--connect")
    if isinstance(conceal("url", url), Secret):
        help = 'write `username` and `password: "{{ env.NAME }}"` beside the URL in kplan.yaml'
        raise click.BadParameter(f"a password would be written into a file: {help}", param_hint="--connect")
    return url


def _ask_template() -> str:
    from kplan.project.loading import list_built_in_templates

    templates = click.Choice([TOPICS, *list_built_in_templates()])
    return str(click.prompt("What should the stack contain?", type=templates, default=TOPICS))


def _check_files(new_files: NewFiles) -> NewFiles:
    """Return the same. Raises BadParameter, a wrong command line, where such a stack cannot exist."""
    from kplan.project.loading import list_built_in_templates

    _check_name(new_files.name)
    if new_files.template and new_files.template not in list_built_in_templates():
        names = ", ".join([TOPICS, *list_built_in_templates()])
        raise click.BadParameter(f"there is no template {new_files.template}; known: {names}", param_hint="--template")
    if new_files.connect and not new_files.bootstrap:
        raise click.BadParameter(
            "it also needs the brokers of the same environment: --bootstrap", param_hint="--connect"
        )
    brokers = _check_brokers(new_files.bootstrap)
    return replace(new_files, bootstrap=brokers, connect=_check_url(new_files.connect))


# -- what comes next --------------------------------------------------------------------------------------------------
def _next_lines(folder: Path, new_files: NewFiles, simulated: bool) -> Iterator[str]:
    """Yield the next commands, to be copied."""
    from kplan.app.init import list_secret_variables

    yield ""
    yield f"Next, once {new_files.stack} declares what you want:"
    yield ""
    for command in _next_commands(folder, new_files, list_secret_variables(new_files), simulated):
        yield f"  {command}"
    if new_files.bootstrap:
        yield ""
        yield "and with your servers:"
        yield ""
        yield f"  kplan plan {new_files.stack} --env dev"


def _next_commands(folder: Path, new_files: NewFiles, variables: Sequence[str], simulated: bool) -> Sequence[str]:
    change_folder = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    comment = "the simulated cluster takes any" if simulated else "enough for a plan; apply needs the real one"
    secrets = [f"export {variable}=anything  # {comment}" for variable in variables]
    return [
        *change_folder,
        *secrets,
        f"kplan validate {new_files.stack}",
        f"kplan plan {new_files.stack}",
        f"kplan apply {new_files.stack}",
    ]
