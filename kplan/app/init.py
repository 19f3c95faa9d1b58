"""Write a kplan.yaml and a first stack into a folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.kinds.connector.templates import Blueprint

IGNORED_FOLDER = ".kplan/"
Save = Callable[[str, str], object]  # writes a text to a path, whole or not at all


@dataclass(frozen=True, slots=True)
class NewFiles:
    """What the files declare. No `template`: topics alone."""

    name: str
    template: str
    bootstrap: str
    connect: str

    @property
    def stack(self) -> str:
        return f"stacks/{self.name}.yaml"


@dataclass(frozen=True, slots=True)
class WrittenFile:
    """What became of a file: it was written, or kept as it was."""

    path: Path
    is_kept: bool = False


# -- files ------------------------------------------------------------------------------------------------------------
def make_texts(new_files: NewFiles) -> dict[str, str]:
    """Return the text of each file, by its path below the folder."""
    from kplan.kinds.key_order import read_key_orders
    from kplan.kinds.schemas import read_schema
    from kplan.language.fmt import format
    from kplan.project.loading import load_built_in
    from kplan.project.scaffold import SCHEMA_NAMES, write_environments, write_stack

    orders = read_key_orders()
    template, description = _load_template(new_files), ""
    if template:
        document = load_built_in(new_files.template)
        description = document.data["description"] if document else ""
    return {
        "kplan.yaml": format(write_environments(new_files.bootstrap, new_files.connect), "kplan.yaml", orders),
        new_files.stack: format(write_stack(new_files.name, template, description), new_files.stack, orders),
        **{
            f"schemas/{name}.json": json.dumps(read_schema(name), indent=2, ensure_ascii=False) + "\n"
            for name in SCHEMA_NAMES
        },
    }


def list_secret_variables(new_files: NewFiles) -> list[str]:
    """Return the environment variables that hold the stack's secrets."""
    from kplan.project.scaffold import list_variables

    return list(list_variables(new_files.name, _load_template(new_files)).values())


def _load_template(new_files: NewFiles) -> Blueprint | None:
    from kplan.kinds.connector.templates import blueprint
    from kplan.project.loading import load_built_in

    return blueprint(new_files.template, lambda name: (load_built_in(name), []))[0] if new_files.template else None


def refuse_to_overwrite(folder: Path, new_files: NewFiles, force: bool) -> None:
    """Raise KplanError, before anything is written, where an existing file would have to change."""
    from kplan.diagnostics import KplanError, codes

    if _exists(folder / new_files.stack) and not force:
        help = "give the stack another name with --name, or replace the file with --force"
        raise KplanError(str(folder / new_files.stack), code=codes.K245, help=help)
    if _exists(folder / "kplan.yaml") and new_files.bootstrap:
        help = "it is never replaced: write the environment into it, and leave --bootstrap out"
        raise KplanError(str(folder / "kplan.yaml"), code=codes.K245, help=help)


def is_simulated(folder: Path) -> bool:
    """Return whether the default environment is a simulated cluster, as it is without a kplan.yaml."""
    from kplan.diagnostics import KplanError
    from kplan.model import Target
    from kplan.project.loading import Request, load_environment

    if not _exists(folder / "kplan.yaml"):
        return True
    try:
        return load_environment(Request(folder=str(folder), offline_target=Target())).simulated is not None
    except KplanError:
        return False


def _exists(path: Path) -> bool:
    return os.path.lexists(path)  # a broken link too: nothing is written through it


def write_project(folder: Path, new_files: NewFiles, force: bool, save: Save) -> Iterator[WrittenFile]:
    """Write the files that are not there, with `save`, and yield each. Raises KplanError before anything is written."""
    texts = make_texts(new_files)
    refuse_to_overwrite(folder, new_files, force)
    for name, text in texts.items():
        yield _write_file(folder / name, text, name == new_files.stack, save)
    yield _write_gitignore(folder / ".gitignore")


def _write_file(path: Path, text: str, replaced: bool, save: Save) -> WrittenFile:
    """Write the file if there is none or it is to be replaced."""
    if _exists(path) and not replaced:
        return WrittenFile(path, is_kept=True)
    path.parent.mkdir(parents=True, exist_ok=True)
    save(str(path), text)
    return WrittenFile(path)


def _write_gitignore(path: Path) -> WrittenFile:
    """Make git ignore what kplan keeps next to the stacks."""
    before = path.read_bytes() if path.exists() else b""
    if IGNORED_FOLDER.strip("/").encode() in (line.strip().strip(b"/") for line in before.splitlines()):
        return WrittenFile(path, is_kept=True)
    line_break = "" if not before or before.endswith(b"\n") else "\n"
    with path.open("a") as file:
        file.write(f"{line_break}{IGNORED_FOLDER}\n")
    return WrittenFile(path)
