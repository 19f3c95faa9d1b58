"""Call the user's own git."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path


class GitFailure(Exception):
    """git failed, or could not be called; the text says why."""


def run_git(folder: Path, words: Sequence[str], timeout: float, process: Mapping[str, str] | None = None) -> bytes:
    """Return what git prints in `folder`; `timeout` is in seconds, `process` its variables. Raises GitFailure."""
    import subprocess

    try:
        ended = subprocess.run(
            ["git", *words], cwd=folder, env=process, capture_output=True, timeout=timeout, check=False
        )
    except FileNotFoundError as e:
        raise GitFailure("git is not installed" if folder.is_dir() else str(e)) from e
    except (OSError, subprocess.TimeoutExpired) as e:
        raise GitFailure(str(e)) from e
    if ended.returncode:
        raise GitFailure(ended.stderr.decode("utf-8", "replace").strip() or f"git {words[0]} failed")
    return ended.stdout
