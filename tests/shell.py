"""kplan as its user runs it: a process in a folder, with files, an exit code and what it prints."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ended:
    code: int
    out: str
    err: str

    @property
    def all(self) -> str:
        return self.out + self.err

    @property
    def json(self) -> Any:
        return json.loads(self.out)


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

    def kplan(
        self, *arguments: str, expect: int | None = 0, timeout: float = 240, stdin: str = "", **environment: str
    ) -> Ended:
        """Runs kplan and insists on its exit code, on no traceback, and on no secret in what it says."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("KPLAN_", "KAFKA_"))}
        env = {**kept, "NO_COLOR": "1", **self.environment, **environment}
        run = subprocess.run(
            [sys.executable, "-m", "kplan", *arguments],
            cwd=self.folder,
            env=env,
            text=True,
            capture_output=True,
            timeout=timeout,
            input=stdin,
        )
        if os.environ.get("KPLAN_TEST_TALK"):
            print("$ kplan", *arguments, "\n", run.stdout, run.stderr, flush=True)
        ended = Ended(run.returncode, run.stdout, run.stderr)
        assert "Traceback" not in ended.all, ended.all
        for secret in self.secrets:
            assert secret not in ended.all, f"a secret is shown by {arguments}"
        if expect is not None:
            assert ended.code == expect, f"{arguments} ended with {ended.code}, not {expect}\n{ended.all}"
        return ended

    def assert_no_secret_on_disk(self) -> None:
        """No file below the folder holds a secret."""
        for path in self.folder.rglob("*"):
            if path.is_file():
                data = path.read_bytes()
                for secret in self.secrets:
                    assert secret.encode() not in data, f"{path.name} holds a secret"
