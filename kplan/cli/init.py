"""kplan init"""

from __future__ import annotations

import json
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import click

from kplan.cli.command import calls
from kplan.cli.flags import SHOWING
from kplan.cli.options import option
from kplan.cli.output import save
from kplan.cli.reports import unwritable
from kplan.cli.session import Session

TOPICS = "topics"  # a stack without a connector
IGNORED = ".kplan/"
BROKER = re.compile(r"(?:\w+://)?(?:\[[0-9a-fA-F:.]+\]|[^\s:/\[\],]+)(?::(?P<port>[0-9]{1,5}))?\Z")
URL = re.compile(r"https?://\S|\{\{")


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the files are to say. No `template`: topics alone."""

    name: str
    template: str
    bootstrap: str
    connect: str

    @property
    def stack(self) -> str:
        return f"stacks/{self.name}.yaml"


@dataclass(frozen=True, slots=True)
class InitFlags:
    """What the flags say of the files; None where one was left out."""

    template: str | None
    name: str | None
    bootstrap: str | None
    connect: str | None


@click.command(
    "init",
    help="Write a kplan.yaml and a first stack into DIR, both commented, and the schemas that editors need. Asks what "
    "no flag says, on a terminal. Nothing is overwritten: a kplan.yaml that is there is kept.",
)
@click.argument("start", metavar="[DIR]", default=".", type=click.Path(file_okay=False))
@option("--template", metavar="NAME", default=None, help="Of the stack's connector, or `topics` for topics alone.")
@option("--name", metavar="NAME", default=None, help="Name of the stack; that of the folder when left out.")
@option("--bootstrap", default=None, metavar="HOST:PORT", help="Brokers of an environment `dev` beside the simulated.")
@option("--connect", default=None, metavar="URL", help="Kafka Connect of that environment.")
@option("--force", is_flag=True, help="Replace the stack's file where it is there. kplan.yaml is kept all the same.")
@option("--yes", is_flag=True, help="Ask nothing.")
@SHOWING
@calls
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
    folder = Path(start)
    wanted = _wanted(InitFlags(template, name, bootstrap, connect), folder, asks=not yes)
    files = _files(wanted)
    _refuse_to_overwrite(folder, wanted, force)
    simulated = not _is_there(folder / "kplan.yaml") or _is_simulated(folder)
    try:
        for name, text in files.items():
            session.say(_written(folder / name, text, replaced=name == wanted.stack))
        session.say(_ignored(folder / ".gitignore"))
    except OSError as e:
        raise unwritable(f"{e.filename}: {e.strerror or e}") from e
    for line in _next(folder, wanted, simulated):
        session.say(line)
    return 0


# -- what is wanted ---------------------------------------------------------------------------------------------------
def _wanted(given: InitFlags, folder: Path, *, asks: bool) -> Wanted:
    """What the flags say; on a terminal the answers to what they do not."""
    from kplan.project.scaffold import make_slug

    asks = asks and sys.stdin.isatty() and sys.stdout.isatty()
    default = make_slug(folder.resolve().name) or "shop"
    name = given.name or (_ask("Name of the stack", _checked_name, default) if asks else default)
    template = given.template or (_ask_template() if asks else TOPICS)
    bootstrap, connect = given.bootstrap or "", given.connect or ""
    if asks and not (folder / "kplan.yaml").exists():
        if given.bootstrap is None:
            bootstrap = _ask("Brokers, such as localhost:9092 (empty: simulated)", _checked_brokers)
        if given.connect is None and bootstrap:
            connect = _ask("Kafka Connect's URL (empty: none)", _checked_url)
    return _checked(Wanted(name, "" if template == TOPICS else template, bootstrap.strip(), connect.strip()))


def _ask(question: str, check: Callable[[str], str], default: str = "") -> str:
    """Ask until the answer passes `check`, which returns it or raises BadParameter."""
    while True:
        answer = str(click.prompt(question, default=default, show_default=bool(default)))
        try:
            return check(answer.strip())
        except click.BadParameter as e:
            click.echo(f"{e.message}")


def _checked_name(name: str) -> str:
    from kplan.project.expand import STACK_NAME
    from kplan.project.scaffold import make_slug

    if not STACK_NAME.match(name):
        proposal = f", such as {make_slug(name)}" if make_slug(name) else ""
        said = f"{name!r} is not the name of a stack: 1 to 63 of a-z, 0-9 and -{proposal}"
        raise click.BadParameter(said, param_hint="--name")
    return name


def _checked_brokers(brokers: str) -> str:
    """The list with the port 9092 where one has none."""
    if "{{" in brokers:  # a template, which kplan.yaml may have
        return brokers
    found = []
    for each in filter(None, (part.strip() for part in brokers.split(","))):
        match = BROKER.match(each)
        if not match or not 0 < int(match["port"] or 9092) < 65536:
            raise click.BadParameter(f"{each!r} is not HOST:PORT", param_hint="--bootstrap")
        found.append(each if match["port"] else f"{each}:9092")
    return ",".join(found)


def _checked_url(url: str) -> str:
    from kplan.model import Secret, conceal

    if url and not URL.match(url):
        raise click.BadParameter("a URL begins with http:// or https://", param_hint="--connect")
    if isinstance(conceal("url", url), Secret):
        help = 'write `username` and `password: "{{ env.NAME }}"` beside the URL in kplan.yaml'
        raise click.BadParameter(f"a password would be written into a file: {help}", param_hint="--connect")
    return url


def _ask_template() -> str:
    from kplan.project.loading import list_built_in_templates

    return str(click.prompt("What it has", type=click.Choice([TOPICS, *list_built_in_templates()]), default=TOPICS))


def _checked(wanted: Wanted) -> Wanted:
    """The same. Raises BadParameter, a wrong command line, where such a stack cannot be."""
    from kplan.project.loading import list_built_in_templates

    _checked_name(wanted.name)
    if wanted.template and wanted.template not in list_built_in_templates():
        known = ", ".join([TOPICS, *list_built_in_templates()])
        raise click.BadParameter(f"there is no template {wanted.template}; known: {known}", param_hint="--template")
    if wanted.connect and not wanted.bootstrap:
        raise click.BadParameter(
            "it takes the brokers of the same environment, too: --bootstrap", param_hint="--connect"
        )
    brokers = _checked_brokers(wanted.bootstrap)
    return replace(wanted, bootstrap=brokers, connect=_checked_url(wanted.connect))


# -- files ------------------------------------------------------------------------------------------------------------
def _files(wanted: Wanted) -> dict[str, str]:
    """The text of each file, by its place below the folder."""
    from kplan.kinds.connector.templates import blueprint
    from kplan.kinds.key_order import read_key_orders
    from kplan.kinds.schemas import read_schema
    from kplan.language.fmt import format
    from kplan.project.loading import load_built_in
    from kplan.project.scaffold import SCHEMA_NAMES, write_environments, write_stack

    orders = read_key_orders()
    template, description = None, ""
    if wanted.template:
        template, _ = blueprint(wanted.template, lambda name: (load_built_in(name), []))
        document = load_built_in(wanted.template)
        description = document.data["description"] if document else ""
    return {
        "kplan.yaml": format(write_environments(wanted.bootstrap, wanted.connect), "kplan.yaml", orders),
        wanted.stack: format(write_stack(wanted.name, template, description), wanted.stack, orders),
        **{
            f"schemas/{name}.json": json.dumps(read_schema(name), indent=2, ensure_ascii=False) + "\n"
            for name in SCHEMA_NAMES
        },
    }


def _refuse_to_overwrite(folder: Path, wanted: Wanted, force: bool) -> None:
    """Raises KplanError, before anything is written, where a file is there that would have to say something else."""
    from kplan.diagnostics import KplanError, codes

    if _is_there(folder / wanted.stack) and not force:
        help = "give the stack another name with --name, or replace the file with --force"
        raise KplanError(str(folder / wanted.stack), code=codes.K245, help=help)
    if _is_there(folder / "kplan.yaml") and wanted.bootstrap:
        help = "it is never replaced: write the environment into it, and leave --bootstrap out"
        raise KplanError(str(folder / "kplan.yaml"), code=codes.K245, help=help)


def _is_simulated(folder: Path) -> bool:
    """Whether the default environment of the kplan.yaml that is there is a simulated cluster."""
    from kplan.diagnostics import KplanError
    from kplan.model import Target
    from kplan.project.loading import Request, load_environment

    try:
        return load_environment(Request(folder=str(folder), offline_target=Target())).simulated is not None
    except KplanError:
        return False


def _is_there(path: Path) -> bool:
    return os.path.lexists(path)  # a link that leads nowhere, too: nothing is written through it


def _written(path: Path, text: str, *, replaced: bool) -> str:
    """The file is there, with that text where there was none or it is to be replaced; in words."""
    if _is_there(path) and not replaced:
        return f"kept   {path}"
    path.parent.mkdir(parents=True, exist_ok=True)
    save(str(path), text)
    return f"wrote  {path}"


def _ignored(path: Path) -> str:
    """Git ignores what kplan keeps beside the stacks; in words."""
    before = path.read_bytes() if path.exists() else b""
    if IGNORED.strip("/").encode() in (line.strip().strip(b"/") for line in before.splitlines()):
        return f"kept   {path}"
    gap = "" if not before or before.endswith(b"\n") else "\n"
    with path.open("a") as file:
        file.write(f"{gap}{IGNORED}\n")
    return f"wrote  {path}"


# -- what comes next --------------------------------------------------------------------------------------------------
def _next(folder: Path, wanted: Wanted, simulated: bool) -> Iterator[str]:
    """The commands that come next, to be copied."""
    from kplan.project.scaffold import name_password_variable

    yield ""
    yield f"Next, once {wanted.stack} says what you want:"
    yield ""
    for command in _commands(folder, wanted, name_password_variable(wanted.name), simulated):
        yield f"  {command}"
    if wanted.bootstrap:
        yield ""
        yield "and with your servers:"
        yield ""
        yield f"  kplan plan {wanted.stack} --env dev"


def _commands(folder: Path, wanted: Wanted, variable: str, simulated: bool) -> Sequence[str]:
    there = [] if folder.resolve() == Path.cwd() else [f"cd {shlex.quote(str(folder))}"]
    which = "the simulated cluster takes any" if simulated else "enough for a plan; apply needs the real one"
    password = [f"export {variable}=anything  # {which}"] if wanted.template else []
    return [
        *there,
        *password,
        f"kplan validate {wanted.stack}",
        f"kplan plan {wanted.stack}",
        f"kplan apply {wanted.stack}",
    ]
