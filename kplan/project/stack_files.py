"""Which files are the stacks of a folder, or of a project where none is named."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

from kplan.diagnostics import Diagnostic, Invalid, codes, error
from kplan.patterns import late_pattern

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

CONFIG: Final = "kplan.yaml"
IGNORED: Final = ".kplanignore"  # patterns as in .gitignore; it is in the folder that is searched
SUFFIXES: Final = (".yaml", ".yml", ".json")
SKIPPED_FOLDERS: Final = ("templates", "node_modules", "__pycache__")  # folders that are not searched for stacks
MAX_FOLDERS: Final = 5000
MAX_BEGINNING_BYTES: Final = 16 * 1024
MAX_JSON_STACK_BYTES: Final = 1024 * 1024
MAX_PEEKED: Final = 100  # files
# A name may be templated, or a file written unusually: then only loading it tells.
STACK_LINE: Final = late_pattern(r"""^["']?stack["']?\s*:\s*["']?([a-z0-9-]{1,63})["']?\s*(?:,|#|$)""", re.MULTILINE)
NO_STACKS: Final = "a project without stacks"


def find_in_folder(folder: Path, show: Callable[[Path], str]) -> list[Path]:
    """Return the stack files of a folder: each YAML or JSON file in it, and what is a stack in folders below.

    Raises Invalid where there is none.
    """
    ignored = _read_ignored(folder)
    inside = sorted(path for path in folder.iterdir() if path.suffix in SUFFIXES and path.name != CONFIG)
    found = [path for path in inside if not _is_ignored(path, folder, ignored)]
    found += [path for path in _find_stacks(folder, ignored, show) if path.parent != folder]
    if not found:
        help = "it holds no .yaml file, and no stack is in a folder below"
        raise Invalid([error(codes.K107, "a folder without stacks", show(folder), help=help)])
    return found


def find_in_project(root: Path, listed: Sequence[str], show: Callable[[Path], str]) -> list[Path]:
    """Return the stack files of a project: of those that its kplan.yaml lists, else all stacks in it and below.

    Raises Invalid where there is none.
    """
    if listed:
        chosen = [Path(root, name) for name in listed]
        return [path for each in chosen for path in (find_in_folder(each, show) if each.is_dir() else [each])]
    found = list(_find_stacks(root, _read_ignored(root), show))
    if not found:
        help = "name a stack file or a folder, or list them under `stacks:` in kplan.yaml; `kplan init` writes one"
        raise Invalid([error(codes.K107, NO_STACKS, show(root), help=help)])
    return found


def peek_names(paths: Sequence[Path]) -> frozenset[str]:
    """Return the names of stacks as the beginnings of these files seem to say them; some may be missing or wrong."""
    names = set()
    for path in paths[:MAX_PEEKED]:
        try:
            if not path.is_file():  # what is no plain file could block
                continue
            with path.open("rb") as file:
                found = STACK_LINE.search(file.read(MAX_BEGINNING_BYTES).decode("utf-8", "replace"))
        except OSError:
            continue  # whoever reads it whole says why
        if found is not None:
            names.add(found[1])
    return frozenset(names)


def read_listed(config: Path | None) -> list[str]:
    """Return what `stacks:` of a kplan.yaml lists. What is wrong in that file is reported where it is loaded."""
    from kplan.language import source

    if config is None:
        return []
    document, _ = source.load(config.read_bytes(), str(config))
    listed = document.data.get("stacks") if document is not None and isinstance(document.data, dict) else None
    return [name for name in listed if isinstance(name, str)] if isinstance(listed, list) else []


def _find_stacks(folder: Path, ignored: GitIgnoreSpec | None, show: Callable[[Path], str]) -> Iterator[Path]:
    """Yield the stacks of this project in the folder and below, in the order of their folders and names."""
    visited = 0
    for current, folders, files in _iterate_folders(folder):
        visited += 1
        if visited > MAX_FOLDERS:
            raise Invalid([_report_many_folders(folder, show)])
        if CONFIG in files and Path(current) != folder:  # another project
            folders.clear()
            continue
        folders[:] = sorted(f for f in folders if not f.startswith(".") and f not in SKIPPED_FOLDERS)
        for name in sorted(files):
            path = Path(current, name)
            if name == CONFIG or _is_ignored(path, folder, ignored) or not is_stack(path):
                continue
            if not path.is_symlink() or _is_mounted(path, folder):
                yield path


def _iterate_folders(folder: Path) -> Iterator[tuple[str, list[str], list[str]]]:
    """Yield what os.walk yields, and then the folders of a mounted config map, which are links into a hidden one."""
    linked: list[Path] = []
    for current, folders, files in os.walk(folder):
        yield current, folders, files  # who asks removes the folders that are skipped
        linked += [path for name in folders if (path := Path(current, name)).is_symlink() and _is_mounted(path, folder)]
    for path in linked:
        yield from os.walk(path)


def _is_mounted(path: Path, folder: Path) -> bool:
    """Return whether a link is one that Kubernetes makes for a config map: `shop.yaml -> ..data/shop.yaml`.

    It leads into a hidden folder of the same folder, where no search finds the file a second time.
    """
    real, root = path.resolve(), folder.resolve()
    return real.is_relative_to(root) and any(part.startswith(".") for part in real.relative_to(root).parts)


def _report_many_folders(folder: Path, show: Callable[[Path], str]) -> Diagnostic:
    help = f"list the folders with stacks under `stacks:` in {CONFIG}, or what is none in {IGNORED}"
    return error(codes.K107, "too many folders", f"more than {MAX_FOLDERS} below {show(folder)}", help=help)


def is_stack(path: Path) -> bool:
    """Return whether the file has the two keys that each stack begins with."""
    try:
        if path.suffix not in SUFFIXES or not path.is_file():
            return False
        if path.suffix == ".json":  # a JSON Schema describes such keys, deeper in it
            data = json.loads(path.read_bytes()) if path.stat().st_size <= MAX_JSON_STACK_BYTES else None
            return isinstance(data, dict) and {"version", "stack"} <= data.keys()
        with path.open("rb") as file:
            beginning = file.read(MAX_BEGINNING_BYTES)
    except (OSError, ValueError, RecursionError):
        return False
    return all(re.search(rb"(?m)^[\s{,]*\"?" + key + rb"\"?\s*:", beginning) for key in (b"version", b"stack"))


def _read_ignored(folder: Path) -> GitIgnoreSpec | None:
    """Return the patterns of the folder's .kplanignore; None where it has none. Raises Invalid."""
    file = folder / IGNORED
    if not file.is_file():
        return None
    from pathspec import GitIgnoreSpec

    try:
        return GitIgnoreSpec.from_lines(file.read_text("utf-8").splitlines())
    except (OSError, ValueError) as e:
        help = "its lines are patterns as in .gitignore"
        raise Invalid([error(codes.K107, "a file cannot be read", f"{file}: {e}", help=help)]) from e


def _is_ignored(path: Path, folder: Path, ignored: GitIgnoreSpec | None) -> bool:
    return ignored is not None and ignored.match_file(path.relative_to(folder).as_posix())
