"""A folder that may not be written: what only reads works, and an apply says why it does not."""

from __future__ import annotations

import ctypes
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow  # each starts processes of its own

STACK = "version: 1\nstack: shop\ntopics:\n  orders: {partitions: 1}\n"
ENVIRONMENT = "version: 1\nenvironments:\n  dev: {}\n"
DROP_CAPABILITY = 24  # PR_CAPBSET_DROP of prctl(2)
IGNORING_PERMISSIONS = (1, 2)  # CAP_DAC_OVERRIDE and CAP_DAC_READ_SEARCH of capabilities(7)


def _obey_permissions() -> None:
    """Take from root, in a child process, what lets it write everywhere."""
    if os.geteuid() == 0:
        libc = ctypes.CDLL(None)
        for capability in IGNORING_PERMISSIONS:
            if libc.prctl(DROP_CAPABILITY, capability, 0, 0, 0):
                os._exit(77)


def kplan(folder: Path, *arguments: str) -> tuple[int, str]:
    asked = [sys.executable, "-m", "kplan", *arguments]
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    ended = subprocess.run(
        asked, cwd=folder, env=environment, capture_output=True, text=True, timeout=60, preexec_fn=_obey_permissions
    )
    if ended.returncode == 77:
        pytest.skip("this system does not let root give up its rights")
    return ended.returncode, ended.stdout + ended.stderr


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "kplan.yaml").write_text(ENVIRONMENT)
    (tmp_path / "stack.yaml").write_text(STACK)
    yield tmp_path
    for path in (tmp_path, tmp_path / ".kplan"):
        if path.exists():
            path.chmod(0o755)


def make_read_only(folder: Path) -> None:
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)


def test_what_reads_works_with_a_used_state(folder: Path) -> None:
    assert kplan(folder, "apply", "stack.yaml", "--yes")[0] == 0
    make_read_only(folder)
    for arguments, words in {
        ("plan", "stack.yaml"): "No changes",
        ("drift", "stack.yaml"): "No drift",
        ("status", "stack.yaml"): "HEALTHY",
        ("list",): "topic/orders",
        ("show",): "applied",
        ("recover", "--list"): "Nothing to recover",
    }.items():
        code, said = kplan(folder, *arguments)
        assert code == 0 and words in said, f"{arguments}: {code}\n{said}"


@pytest.mark.parametrize("used", [False, True])
def test_an_apply_ends_with_1_and_the_cause(folder: Path, used: bool) -> None:
    if used:
        assert kplan(folder, "apply", "stack.yaml", "--yes")[0] == 0
        (folder / "stack.yaml").write_text(STACK + "  payments: {partitions: 1}\n")
    make_read_only(folder)
    code, said = kplan(folder, "apply", "stack.yaml", "--yes")
    assert code == 1, said
    assert "must be able to write the file and its folder" in said and "Nothing was changed" in said


def test_recovery_does_not_say_that_nothing_is_there_where_it_cannot_read(folder: Path) -> None:
    assert kplan(folder, "apply", "stack.yaml", "--yes")[0] == 0
    (folder / ".kplan" / "dev.db").chmod(0o000)
    code, said = kplan(folder, "recover", "--list")
    assert code != 0 and "Nothing to recover" not in said and "dev.db" in said
