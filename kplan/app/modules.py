"""Fetch the modules of a project, and compare what is there with the lock file."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from typing import TYPE_CHECKING

from kplan.diagnostics import Invalid
from kplan.project.loading import load_modules
from kplan.project.modules import FOLDER, fetch_module, find_module_folder, read_lock, write_lock
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.diagnostics import Diagnostic
    from kplan.project.loading import Request


@dataclass(frozen=True, slots=True)
class ModulesOutcome:
    """Modules by name: there as locked, fetched, gone from kplan.yaml; and what is wrong with others."""

    present: Sequence[str]
    fetched: Sequence[str] = ()
    removed: Sequence[str] = ()
    problems: Sequence[Diagnostic] = ()


def check_modules(request: Request) -> ModulesOutcome:
    """Compare every module with the lock file; fetch nothing. Raises Invalid where kplan.yaml has errors."""
    root, modules = load_modules(request)
    present: list[str] = []
    problems: list[Diagnostic] = []
    for module in modules.values():
        try:
            find_module_folder(module, root)
            present.append(module.name)
        except Invalid as e:
            problems += e.diagnostics
    return ModulesOutcome(present, problems=problems)


def fetch_modules(request: Request) -> ModulesOutcome:
    """Load the modules that are not there as they are locked, and write the lock file. Raises Invalid.

    What is there and was changed is refused, and so is a commit whose files are not those that were locked.
    """
    root, modules = load_modules(request)
    locked = read_lock(root)
    present, fetched = [], []
    for module in modules.values():
        known = locked.get(module.name)
        is_same = known is not None and (known.git, known.commit) == (module.git, module.commit)
        if is_same and module.locate(root).is_dir():
            find_module_folder(module, root)
            present.append(module.name)
            continue
        found = fetch_module(module, root)
        if is_same and found != known:
            find_module_folder(module, root)
        locked[module.name] = found
        fetched.append(module.name)
    removed = sorted(locked.keys() - modules.keys())
    kept = {name: each for name, each in locked.items() if name in modules}
    if fetched or removed:
        write_lock(root, kept)
    folders = {module.locate(root).name for module in modules.values()}
    for folder in (root / FOLDER).iterdir() if (root / FOLDER).is_dir() else ():
        if folder.name not in folders:
            shutil.rmtree(folder, ignore_errors=True)
    return ModulesOutcome(present, fetched, removed)
