"""kplan import"""

from __future__ import annotations

import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session

if TYPE_CHECKING:
    from kplan.importers.stack import ImportedStack

ENDINGS = (".json", ".tf", ".tfstate", ".tfvars", ".yaml", ".yml", ".properties", ".sh")  # of files in a folder
FORMATS = (
    "connect", "confluent", "strimzi", "jikkou", "kafka-gitops", "julie", "topicctl", "terraform", "terraform-state",
    "topics", "ns4kafka", "bitnami", "ansible", "properties", "describe", "script",
)  # fmt: skip


class FilePattern(click.Path):
    """A file that exists, or a pattern of such files."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        is_pattern = any(mark in str(value) for mark in "*?[")
        return value if is_pattern else super().convert(value, param, ctx)


@click.command(
    "import",
    help="Write a stack from live resources, or from other tools' FILEs. GLOB matches an "
    "address (topic/shop.*) or a name (shop.*); default: all but internal topics, and what kplan and brokers use. "
    "Nothing is changed; `kplan apply` of the stack adopts what it names.",
)
@click.argument("globs", metavar="[GLOB...]", nargs=-1)
@option(
    "--file",
    "files",
    metavar="FILE",
    multiple=True,
    type=FilePattern(exists=True, allow_dash=True),
    help="Read this file, the files of this folder or pattern, or `-` for standard input, instead of the servers. "
    "Repeatable.",
)
@option(
    "--file-format",
    type=click.Choice(FORMATS),
    default=None,
    help="Format of the files (default: recognized by content).",
)
@option("--out", metavar="FILE", default=None, type=click.Path(dir_okay=False), help="Write the stack to this file.")
@option(
    "--out-dir",
    metavar="DIR",
    default=None,
    type=click.Path(file_okay=False),
    help="Write several stacks into this folder: one for each prefix of names, and one for access.",
)
@option(
    "--group",
    "groups",
    metavar="NAME=GLOB",
    multiple=True,
    help="With --out-dir: the stack NAME has what GLOB matches, several with commas between them. Repeatable: the "
    "first match counts.",
)
@option("--by", "label", metavar="LABEL", default="", help="With --out-dir: one stack for each value of this label.")
@option("--stack", metavar="NAME", default="imported", show_default=True, help="The stack's name.")
@LOADING
@SHOWING
@run_command
def command(
    session: Session,
    globs: tuple[str, ...],
    files: tuple[str, ...],
    file_format: str | None,
    out: str | None,
    out_dir: str | None,
    groups: tuple[str, ...],
    label: str,
    stack: str,
) -> int:
    from kplan.app.import_stack import ImportRequest, compose_stack, compose_stacks, parse_files, read_live_resources
    from kplan.model import Target
    from kplan.project.expand import STACK_NAME

    if not STACK_NAME.match(stack):
        raise click.BadParameter(f"{stack!r}: 1 to 63 of a-z, 0-9 and -", param_hint="--stack")
    if out and out_dir:
        raise click.UsageError("--out writes one stack, --out-dir several: leave one of them out")
    if (groups or label) and not out_dir:
        raise click.UsageError(f"{'--group' if groups else '--by'} is about the stacks of --out-dir: give a folder")
    if out and Path(out).is_file():
        raise click.BadParameter(f"{out} already exists: move it, or write to another", param_hint="--out")
    files, globs = _take_files(files, globs)
    where = _describe_source(files)
    files, listed = _list_folders(files)
    if files:
        session.unasked = Target()
    environment = session.load_environment()
    where = where or environment.bootstrap
    name = "" if out_dir else stack
    request = ImportRequest(name, where, globs, file_format or "", listed, _parse_groups(groups), label)
    if files:
        resources = parse_files(request, _read_files(session, files), session.runtime)
    else:
        with session.open(environment) as opened, session.show_progress():
            resources = read_live_resources(request, opened, session.runtime)
    if out_dir:
        _write_stacks(session, out_dir, compose_stacks(resources, request, environment, session.runtime))
        return 0
    imported = compose_stack(resources, request, environment, session.runtime)
    if out:
        from kplan.cli.snapshot import save_output

        save_output(out, imported.text)
    else:
        session.write_product(imported.text)
    _show_summary(session, imported, out)
    return 0


def _write_stacks(session: Session, folder: str, stacks: Mapping[str, ImportedStack]) -> None:
    """Write the stacks into the folder. Raises BadParameter where one is there already."""
    from kplan.cli.snapshot import save_output

    files = {name: Path(folder, f"{name}.yaml") for name in stacks}
    if present := [str(file) for file in files.values() if file.exists()]:
        raise click.BadParameter(f"{present[0]} already exists: move it, or write elsewhere", param_hint="--out-dir")
    Path(folder).mkdir(parents=True, exist_ok=True)
    for name, file in files.items():
        save_output(str(file), stacks[name].text)
        _show_summary(session, stacks[name], str(file))
    session.note(f"{len(stacks)} stacks. `kplan plan {folder}` shows what adopts them.")


def _parse_groups(groups: Iterable[str]) -> dict[str, tuple[str, ...]]:
    """Return the globs of each stack. Raises BadParameter where one has no name or no glob."""
    from kplan.project.expand import STACK_NAME

    parsed: dict[str, tuple[str, ...]] = {}
    for group in groups:
        name, _, globs = group.partition("=")
        own = tuple(glob for glob in globs.split(",") if glob)
        if not STACK_NAME.match(name) or not own:
            raise click.BadParameter(f"{group!r}: a stack's name, = and a GLOB: shop='shop.*'", param_hint="--group")
        parsed[name] = parsed.get(name, ()) + own
    return parsed


def _take_files(files: tuple[str, ...], globs: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return files and globs apart: of `--file *.tf`, the shell gives all but the first file as globs."""
    if not files:
        return files, globs
    more = tuple(glob for glob in globs if Path(glob).is_file())
    return (*files, *more), tuple(glob for glob in globs if glob not in more)


def _list_folders(paths: Iterable[str]) -> tuple[tuple[str, ...], frozenset[str]]:
    """Return the files, those of folders and the folders in them too, and which were not named. Raises BadParameter."""
    files: list[str] = []
    listed: set[str] = set()
    for path in (each for written in paths for each in _expand_pattern(written)):
        if path == "-" or not Path(path).is_dir():
            files.append(path)
            continue
        inside = [
            str(file)
            for file in sorted(Path(path).rglob("*"))
            if file.is_file() and file.name.endswith(ENDINGS) and not _is_hidden(file.relative_to(path))
        ]
        if not inside:
            raise click.BadParameter(f"{path}: there are no files of {', '.join(ENDINGS)}", param_hint="--file")
        files += inside
        listed |= {*inside}
    return tuple(dict.fromkeys(files)), frozenset(listed)


def _expand_pattern(path: str) -> Sequence[str]:
    """Return the files that a pattern in quotation marks names, which the shell has left as it is."""
    if path == "-" or Path(path).exists():
        return (path,)
    anchor = Path(path).anchor
    if found := sorted(map(str, Path(anchor or ".").glob(str(Path(path).relative_to(anchor))))):
        return found
    raise click.BadParameter(f"{path} names no file", param_hint="--file")


def _is_hidden(path: Path) -> bool:
    return any(part.startswith(".") for part in path.parts)


def _read_files(session: Session, paths: Sequence[str]) -> list[tuple[str, bytes]]:
    """Read the files, and keep their texts to show problems in them. Raises Invalid."""
    files = [(path, _read_bytes(path)) for path in paths]
    session.texts |= {path: data.decode("utf-8", "replace") for path, data in files}
    return files


def _read_bytes(path: str) -> bytes:
    """Return the file's content, or with `-` that of standard input. Raises Invalid."""
    from kplan.diagnostics import Invalid, codes, error
    from kplan.importers.files import MAX_BYTES
    from kplan.project.reading import read_file

    try:
        return sys.stdin.buffer.read(MAX_BYTES + 1) if path == "-" else read_file(path)
    except OSError as e:
        detail, help = f"{path}: {e.strerror or e}", "check the path and its permissions"
        raise Invalid([error(codes.K107, "a file cannot be read", detail, help=help)]) from e


def _describe_source(files: Sequence[str]) -> str:
    names = {"-": "standard input", ".": "this folder"}
    return ", ".join(names.get(path, path) for path in files)


def _show_summary(session: Session, imported: ImportedStack, path: str | None) -> None:
    from kplan.app.import_stack import MAX_NOTES, printable_note
    from kplan.kinds.nouns import count_kind
    from kplan.kinds.registry import KINDS

    for note in imported.notes[:MAX_NOTES]:
        session.note(f"note: {printable_note(str(note), session.runtime)}")
    if len(imported.notes) > MAX_NOTES:
        session.note(f"note: {len(imported.notes) - MAX_NOTES:,} more; the first lines of the stack hold all of them")
    templates = f", {imported.templates} by a template" if imported.templates else ""
    always = [name for name, kind in KINDS.items() if kind.views.is_in_every_document]
    main = " and ".join(count_kind(imported.counts.get(name, 0), name) for name in always)
    others = [count_kind(number, name) for name, number in imported.counts.items() if name not in always]
    more = f"; {', '.join(others)}" if others else ""
    session.note(f"{main}{templates}{more}{f': {path}' if path else '.'}")
    if imported.variables:
        session.note(f"Secrets are variables; before `kplan plan` set {', '.join(imported.variables)}.")
