"""Modules: repositories that kplan.yaml pins by commit. They are fetched by git, and kplan.lock knows their content."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Final

from kplan.diagnostics import Diagnostic, Invalid, Span, codes, error
from kplan.language.source import Document
from kplan.patterns import late_pattern
from kplan.project.git import GitFailure, run_git
from kplan.values import dataclass

LOCK: Final = "kplan.lock"
SECTION: Final = "modules"
FOLDER: Final = Path(".kplan", "modules")
GIT_TIMEOUT_S: Final = 300
LOCK_VERSION: Final = 1
MAX_FILES: Final = 20_000
ALLOWED_PROTOCOLS: Final = "https:http:ssh:git:file"
CREDENTIALS: Final = late_pattern(r"//[^/@\s]+@")
OF_ANOTHER_REPOSITORY: Final = ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE")  # variables of git
FETCH_HELP: Final = "`kplan modules` fetches what kplan.yaml pins"


@dataclass(frozen=True, slots=True)
class Module:
    """One pinned repository: its address for git, the whole id of a commit, and where kplan.yaml says so."""

    name: str
    git: str
    commit: str
    span: Span | None = None

    def locate(self, root: Path) -> Path:
        """Return the folder that has its files."""
        return root / FOLDER / f"{self.name}@{self.commit[:12]}"


@dataclass(frozen=True, slots=True)
class LockedModule:
    """What kplan.lock says of a module: `sha256` is that of all its files."""

    git: str
    commit: str
    sha256: str


def read_modules(document: Document) -> dict[str, Module]:
    """Return the modules of a kplan.yaml that meets its schema, by name."""
    return {
        name: Module(name, str(entry["git"]), str(entry["commit"]), document.key_at(SECTION, name))
        for name, entry in (document.data.get(SECTION) or {}).items()
    }


def find_module_folder(module: Module, root: Path) -> Path:
    """Return the folder of a module's files, which are as they were locked. Raises Invalid."""
    locked, folder = read_lock(root).get(module.name), module.locate(root)
    is_other = locked is not None and (locked.git, locked.commit) != (module.git, module.commit)
    if locked is None or is_other or not folder.is_dir():
        reason = f"is another one in {LOCK}" if is_other else "is not fetched"
        address = _hide_login(module.git)
        raise _refuse(module, f"module {module.name} {reason}: {address} at {module.commit[:12]}", FETCH_HELP)
    if hash_folder(folder) != locked.sha256:
        help = f"find out who changed {folder} or {LOCK}; then remove the folder, and fetch it again: `kplan modules`"
        raise _refuse(module, f"module {module.name} was changed since it was locked", help)
    return folder


def _hide_login(text: str) -> str:
    """Return the text with `…` instead of the login in each address."""
    return CREDENTIALS.sub("//…@", text)


def _refuse(module: Module, detail: str, help: str) -> Invalid:
    return Invalid([error(codes.K118, "a module is not as it is locked", detail, span=module.span, help=help)])


# -- the lock file ----------------------------------------------------------------------------------------------------
def read_lock(root: Path) -> dict[str, LockedModule]:
    """Return what the lock file has, by module; nothing without one. Raises Invalid where it is damaged."""
    path = root / LOCK
    if not path.is_file():
        return {}
    try:
        data = json.loads(path.read_text("utf-8"))
        if data["version"] != LOCK_VERSION:
            raise ValueError(f"its version is {data['version']}, and this kplan knows {LOCK_VERSION}")
        return {
            name: LockedModule(str(each["git"]), str(each["commit"]), str(each["sha256"]))
            for name, each in data["modules"].items()
        }
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as e:
        help = "take it from the repository again, or remove it and run `kplan modules`"
        raise Invalid([error(codes.K118, "a module is not as it is locked", f"{path}: {e}", help=help)]) from e


def write_lock(root: Path, locked: Mapping[str, LockedModule]) -> None:
    """Write the lock file, which belongs into the repository."""
    modules = {name: {"git": m.git, "commit": m.commit, "sha256": m.sha256} for name, m in sorted(locked.items())}
    text = json.dumps({"version": LOCK_VERSION, "modules": modules}, indent=2) + "\n"
    (root / LOCK).write_text(text, "utf-8")


def hash_folder(folder: Path) -> str:
    """Return the SHA-256 of all names and contents in a folder, in hexadecimal. A link counts by where it leads."""
    whole = hashlib.sha256()
    for path in _list_files(folder):
        content = str(path.readlink()).encode() if path.is_symlink() else path.read_bytes()
        line = f"{hashlib.sha256(content).hexdigest()} {'link' if path.is_symlink() else 'file'} "
        whole.update(line.encode() + path.relative_to(folder).as_posix().encode() + b"\n")
    return whole.hexdigest()


def _list_files(folder: Path) -> Iterator[Path]:
    for current, folders, files in os.walk(folder):
        folders.sort()
        links = [name for name in folders if Path(current, name).is_symlink()]
        yield from (Path(current, name) for name in sorted([*files, *links]))


# -- git --------------------------------------------------------------------------------------------------------------
def fetch_module(module: Module, root: Path) -> LockedModule:
    """Load the module's commit with the user's own git, and return what to lock. Raises Invalid where git cannot."""
    import shutil
    import tempfile

    target = module.locate(root)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as made:
        work = Path(made, "work")
        work.mkdir()
        _run_git(module, work, "init", "--quiet")
        try:
            _run_git(module, work, "fetch", "--quiet", "--depth=1", "--", module.git, module.commit)
        except Invalid:  # a server that gives only what a branch or a tag names
            _run_git(module, work, "fetch", "--quiet", "--", module.git, "+refs/heads/*:refs/kplan/*",
                     "+refs/tags/*:refs/kplan-tags/*")  # fmt: skip
        _run_git(module, work, "checkout", "--quiet", "--detach", module.commit)
        shutil.rmtree(work / ".git")
        if sum(1 for _ in _list_files(work)) > MAX_FILES:
            raise _refuse(module, f"module {module.name} has more than {MAX_FILES:,} files", "pin a smaller repository")
        shutil.rmtree(target, ignore_errors=True)
        work.rename(target)
    return LockedModule(module.git, module.commit, hash_folder(target))


def _run_git(module: Module, folder: Path, *words: str) -> None:
    """Run git without hooks, links and questions. Raises Invalid."""
    settings = ("core.hooksPath=/dev/null", "core.symlinks=false", "core.autocrlf=false", "advice.detachedHead=false")
    own = {name: value for name, value in os.environ.items() if name not in OF_ANOTHER_REPOSITORY}
    process = {**own, "GIT_TERMINAL_PROMPT": "0", "GIT_ALLOW_PROTOCOL": ALLOWED_PROTOCOLS}
    try:
        run_git(folder, [*(word for each in settings for word in ("-c", each)), *words], GIT_TIMEOUT_S, process)
    except GitFailure as e:
        reason = _hide_login(str(e).splitlines()[-1])
        detail = f"module {module.name}, git {words[0]}: {reason}"
        help = "kplan calls git as you would: check the address and your access"
        raise Invalid([error(codes.K119, "a module cannot be fetched", detail, span=module.span, help=help)]) from e


def report_unknown_module(name: str, modules: Mapping[str, Module], span: Span) -> Diagnostic:
    """Return the error of a path that begins with a module that kplan.yaml does not pin."""
    help = f"kplan.yaml pins {', '.join(modules)}" if modules else "pin it under `modules:` in kplan.yaml"
    return error(codes.K118, "a module is not as it is locked", f"there is no module {name}", span=span, help=help)
