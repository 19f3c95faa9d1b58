"""Choose the stacks that git says changed since a revision, and those that depend on them."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from kplan.diagnostics import Diagnostic, Invalid, codes, error, warning
from kplan.model import Stack
from kplan.project.git import GitFailure, run_git
from kplan.project.stack_files import SUFFIXES
from kplan.values import dataclass

GIT_TIMEOUT_S: Final = 60
STACK_NAME: Final = re.compile(rb"^[\"']?stack[\"']?:\s*[\"']?([\w.-]+)", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class GitChanges:
    """The real paths of files that differ from a revision, or that are new; and of stacks that are gone since then."""

    files: frozenset[str]
    deleted_stacks: tuple[tuple[str, str], ...] = ()  # path and name


def find_git_changes(folder: Path, revision: str) -> GitChanges:
    """Ask git what changed since the point where the working tree left the revision, committed or not.

    Raises Invalid where git cannot say it.
    """
    top = Path(os.fsdecode(_run_git(folder, "rev-parse", "--show-toplevel")).strip())
    commit = os.fsdecode(
        _run_git(folder, "rev-parse", "--verify", "--end-of-options", f"{revision}^{{commit}}")
    ).strip()
    base = os.fsdecode(_run_git(folder, "merge-base", commit, "HEAD", may_fail=True)).strip() or commit
    changed = _split(_run_git(top, "diff", "--name-only", "--no-renames", "-z", base))
    new = _split(_run_git(top, "ls-files", "--others", "--exclude-standard", "-z"))
    deleted = [name for name in changed if not (top / name).exists() and name.endswith(SUFFIXES)]
    stacks = []
    for name in deleted:
        if found := STACK_NAME.search(_run_git(top, "show", f"{base}:{name}", may_fail=True)):
            stacks.append((name, found[1].decode()))
    return GitChanges(frozenset(os.path.realpath(top / name) for name in (*changed, *new)), tuple(stacks))


def find_changed_stacks(stacks: Sequence[Stack], root: Path, changes: GitChanges) -> list[int]:
    """Return the places of the stacks of which a file changed; kplan.yaml is a file of each."""
    return [
        place
        for place, stack in enumerate(stacks)
        if any(os.path.realpath(root / file.path) in changes.files for file in stack.files)
    ]


def report_deleted(changes: GitChanges) -> list[Diagnostic]:
    """Return a warning for each stack whose file is gone: what it owns stays live."""
    return [
        warning(
            codes.K115,
            "the file of a stack was deleted",
            f"{path}: what stack {name} owns stays as it is",
            help="to destroy it, check the file out again and run `kplan destroy` on it",
        )
        for path, name in changes.deleted_stacks
    ]


def _split(output: bytes) -> list[str]:
    return [os.fsdecode(name) for name in output.split(b"\0") if name]


def _run_git(folder: Path, *words: str, may_fail: bool = False) -> bytes:
    """Return what git prints. Raises Invalid where it fails, unless it may."""
    try:
        return run_git(folder, words, GIT_TIMEOUT_S)
    except GitFailure as e:
        if may_fail:
            return b""
        raise _make_error(str(e)) from e


def _make_error(reason: str) -> Invalid:
    help = "--changed-since takes a branch, a tag or a commit of the repository that holds the stacks"
    return Invalid([error(codes.K114, "git cannot say what changed", reason, help=help)])
