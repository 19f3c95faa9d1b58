"""kplan as its user runs it: a process in a folder, with files, an exit code and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.runner import Command, run_again, run_once

REUSE = bool(os.environ.get("KPLAN_TEST_REUSE"))


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err

    @property
    def words(self) -> str:
        """All that was said, without the frames and breaks of lines that a terminal needs."""
        return " ".join(self.all.replace("|", " ").replace(" = ", " ").split())

    @property
    def json(self) -> Any:
        return json.loads(self.out)


def run_anew(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str], stdin: str, timeout: float
) -> Ended:
    """Run kplan in a Python that starts for it."""
    run = subprocess.run(
        [sys.executable, "-m", "kplan", *arguments],
        cwd=folder,
        env=environment,
        text=True,
        capture_output=True,
        timeout=timeout,
        input=stdin,
    )
    return Ended(run.returncode, run.stdout, run.stderr)


def run_warm(
    folder: Path, arguments: Sequence[str], environment: Mapping[str, str], stdin: str, timeout: float
) -> Ended:
    """Run kplan in a process that has imported it (`tests.runner`), in a fifth of the time."""
    run = run_again if REUSE else run_once
    return Ended(*run(Command(folder, tuple(arguments), dict(environment), stdin), timeout))


@dataclass
class Shell:
    """A working folder. `secrets` must never be printed, nor stand in any file that kplan writes."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    secrets: tuple[str, ...] = ()

    def write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, "utf-8")
        return path

    def mount(self, files: Mapping[str, str]) -> None:
        """The files are in the folder as Kubernetes mounts a config map: links into a hidden folder."""
        for name, text in files.items():
            self.write(f"..2026_01_02/{name}", text)
        (self.folder / "..data").symlink_to("..2026_01_02")
        for name in {name.partition("/")[0] for name in files}:
            (self.folder / name).symlink_to(f"..data/{name}")

    def kplan(
        self, *arguments: str, expect: int | None = 0, timeout: float = 240, stdin: str = "", **environment: str
    ) -> Ended:
        """Runs kplan and insists on its exit code, on no traceback, and on no secret in what it says."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("KPLAN_", "KAFKA_"))}
        env = {**kept, "NO_COLOR": "1", **self.environment, **environment}
        start = run_anew if any(name.startswith("PYTHON") for name in environment) else run_warm
        ended = start(self.folder, arguments, env, stdin, timeout)
        if os.environ.get("KPLAN_TEST_TALK"):
            print("$ kplan", *arguments, "\n", ended.out, ended.err, flush=True)
        assert "Traceback" not in ended.all, ended.all
        for secret in self.secrets:
            assert secret not in ended.all, f"a secret is shown by {arguments}"
        if expect is not None:
            assert ended.code == expect, f"{arguments} ended with {ended.code}, not {expect}\n{ended.all}"
        return ended

    def assert_no_secret_on_disk(self) -> None:
        """No file below the folder holds a secret."""
        for path in self.folder.rglob("*"):
            if not path.is_file():
                continue
            try:
                data = path.read_bytes()
            except FileNotFoundError:  # SQLite removes its -shm and -wal when the last connection is closed
                continue
            for secret in self.secrets:
                assert secret.encode() not in data, f"{path.name} holds a secret"
