"""On a terminal: the question, the live lines, and Ctrl-C."""

from __future__ import annotations

import os
import pty
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

STACK = """
version: 1
stack: shop
topics: {shop.orders: , shop.customers: }
connectors:
  shop: {class: org.apache.kafka.connect.file.FileStreamSourceConnector, config: {file: /x, topic: shop.orders}}
"""


class Terminal:
    """kplan on a pseudo-terminal."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        kept = {
            k: v
            for k, v in os.environ.items()
            if not k.startswith(("KPLAN_", "KAFKA_")) and k not in ("CI", "NO_COLOR")
        }
        self.master, slave = pty.openpty()
        command = [sys.executable, "-m", "kplan", *arguments]
        self.process = subprocess.Popen(
            command,
            cwd=folder,
            env={**kept, "TERM": "xterm"},
            stdin=slave,
            stdout=slave,
            stderr=slave,
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),  # ignored in the background
        )
        os.close(slave)
        self.text = ""

    def until(self, words: str, seconds: float = 30) -> None:
        """Reads until `words` were shown."""
        deadline = time.monotonic() + seconds
        while words not in self.text:
            assert time.monotonic() < deadline, f"{words!r} was not shown:\n{self.text}"
            self._read(0.2)

    def until_it_waits(self, seconds: float = 30) -> None:
        """A signal that comes between the prompt and the wait for an answer would not end that wait."""
        deadline = time.monotonic() + seconds
        state = Path(f"/proc/{self.process.pid}/stat")
        while state.exists() and state.read_text().rpartition(")")[2].split()[0] != "S":
            assert time.monotonic() < deadline
            time.sleep(0.01)

    def type(self, text: str) -> None:
        os.write(self.master, text.encode())

    def end(self, seconds: float = 30) -> int:
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text
            self._read(0.1)
        while self._read(0.1):
            pass
        return self.process.returncode

    def _read(self, seconds: float) -> bool:
        if not select.select([self.master], [], [], seconds)[0]:
            return False
        try:
            data = os.read(self.master, 65536)
        except OSError:
            return False
        self.text += data.decode("utf-8", "replace")
        return bool(data)


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    (tmp_path / "stack.yaml").write_text(STACK)
    yield tmp_path


def test_yes_applies_and_each_step_is_shown(folder: Path) -> None:
    terminal = Terminal(folder, "apply", "stack.yaml")
    terminal.until("Type yes to apply 3 steps")
    terminal.type("yes\n")
    assert terminal.end() == 0
    assert "Traceback" not in terminal.text
    for words in ("[1/3]", "[3/3]", "Applied 3 of 3"):
        assert words in terminal.text


def test_anything_else_declines(folder: Path) -> None:
    terminal = Terminal(folder, "apply", "stack.yaml")
    terminal.until("Type yes")
    terminal.type("y\n")
    assert terminal.end() == 9
    assert not (folder / ".kplan").exists()


def test_a_failed_step_is_rolled_back_on_a_terminal_too(folder: Path) -> None:
    (folder / "kplan.yaml").write_text("version: 1\nenvironments: {local: {simulated: {fail: [connector/shop]}}}\n")
    terminal = Terminal(folder, "apply", "stack.yaml", "--yes")
    assert terminal.end() == 7
    assert "Rolling back" in terminal.text and "K512" in terminal.text and "is closed" in terminal.text


def test_ctrl_c_at_the_question_changes_nothing(folder: Path) -> None:
    terminal = Terminal(folder, "apply", "stack.yaml")
    terminal.until("Type yes")
    terminal.until_it_waits()
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() in (9, 130)
    assert not (folder / ".kplan").exists()
