"""On a terminal: the question, the live lines, and Ctrl-C."""

from __future__ import annotations

import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from kplan.state.base import Holder
from kplan.state.sqlite import SqliteStore
from tests.fakes.sockets import silent
from tests.shell import Shell

pytestmark = pytest.mark.slow  # each starts processes of its own

STACK = """
version: 1
stack: shop
topics: {shop.orders: , shop.customers: }
connectors:
  shop: {class: org.apache.kafka.connect.file.FileStreamSourceConnector, config: {file: /x, topic: shop.orders}}
"""


class Terminal:
    """kplan on a pseudo-terminal."""

    def __init__(self, folder: Path, *arguments: str, **environment: str) -> None:
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
            env={**kept, "TERM": "xterm", **environment},
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
    terminal.until("Type yes to apply 3 steps to local")
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


def test_the_last_lines_break_between_words(folder: Path) -> None:
    (folder / "kplan.yaml").write_text("version: 1\nenvironments: {local: {simulated: {fail: [connector/shop]}}}\n")
    terminal = Terminal(folder, "apply", "stack.yaml", "--yes", "--no-color", COLUMNS="60")
    assert terminal.end() == 7
    last = re.sub(r"\x1b\[[\d?]*[A-Za-z]", "", terminal.text[terminal.text.index("Apply failed") :])
    assert max(map(len, last.splitlines())) <= 60, last
    assert "Verified: all 3 resources are as before." in " ".join(last.split()), last


def test_the_lines_of_a_status_break_between_words(folder: Path) -> None:
    Shell(folder).kplan("apply", "stack.yaml", "--yes")
    differs = STACK.replace("shop.orders: ,", "shop.orders: {config: {retention.ms: 1d, cleanup.policy: compact}},")
    (folder / "stack.yaml").write_text(differs)
    terminal = Terminal(folder, "status", "stack.yaml", "--no-color", COLUMNS="60")
    assert terminal.end() == 2
    assert max(map(len, terminal.text.splitlines())) <= 60, terminal.text
    assert "cleanup.policy: not set instead of compact, retention.ms:" in " ".join(terminal.text.split()), terminal.text


def test_ctrl_c_at_the_question_changes_nothing(folder: Path) -> None:
    terminal = Terminal(folder, "apply", "stack.yaml")
    terminal.until("Type yes")
    terminal.until_it_waits()
    terminal.process.send_signal(signal.SIGINT)
    assert terminal.end() in (9, 130)
    assert not (folder / ".kplan").exists()


TOPICS = "version: 1\nstack: shop\ntopics: {shop.orders: }\n"


# -- waiting for servers ----------------------------------------------------------------------------------------------
@pytest.fixture(name="silent")
def silent_broker(folder: Path) -> Iterator[str]:
    """The address of a server that accepts connections and never answers; the environment names it."""
    (folder / "stack.yaml").write_text(TOPICS)
    with silent() as address:
        (folder / "kplan.yaml").write_text(f"""
version: 1
environments: {{far: {{kafka: {{bootstrap.servers: "{address}"}}, timeouts: {{request: 3s}}, state: {{sqlite: s.db}}}}}}
""")
        yield address


@pytest.mark.slow
@pytest.mark.parametrize(
    "arguments",
    [
        ("plan", "stack.yaml"), ("apply", "stack.yaml"), ("status", "stack.yaml"), ("list",), ("import",),
        ("snapshot", "stack.yaml"),
    ],
    ids=lambda arguments: arguments[0],
)  # fmt: skip
def test_what_is_waited_for_is_shown_and_taken_away(folder: Path, silent: str, arguments: tuple[str, ...]) -> None:
    terminal = Terminal(folder, *arguments)
    terminal.until(f"… reading {silent} (")
    terminal.until("; gives up after ")
    assert terminal.end() == 1
    assert re.search(r"; gives up after [3-9] s\)", terminal.text)
    shown = terminal.text.rpartition("gives up")[2]
    assert "\r\x1b[K" in shown and f"{silent}" in shown  # the line is gone, and the error is there


def test_nothing_of_it_is_in_a_pipe(folder: Path, silent: str) -> None:
    ended = Shell(folder).kplan("plan", "stack.yaml", expect=1)
    assert "reading" not in ended.all and silent in ended.err


def test_the_wait_for_a_lock_is_shown(folder: Path) -> None:
    other = Holder("ann@host", "r1", "kplan apply", "2026-01-01T00:00:00Z", os.getpid())
    with SqliteStore(folder / ".kplan/local.db").lock("shop", other, 0):
        terminal = Terminal(folder, "apply", "stack.yaml", "--yes", "--lock-timeout", "8s", COLUMNS="80")
        terminal.until("… waiting for the lock of stack shop, which ann")
        terminal.until("; gives up after ")  # counted from the begin of the phase, which a loaded machine draws out
        assert terminal.end() == 6
        assert re.search(r"; gives up after (8|9|1\d) s\)", terminal.text)


def test_each_attempt_that_is_repeated_is_shown_everywhere(folder: Path) -> None:
    """A dead broker is tried as often as `retry:` says, and a person sees why it takes so long."""
    (folder / "stack.yaml").write_text(TOPICS)
    (folder / "kplan.yaml").write_text("""
version: 1
environments: {far: {kafka: {bootstrap.servers: "127.0.0.1:1"}, retry: {attempts: 3, delay: 200ms}}}
""")
    lines = Shell(folder).kplan("apply", "stack.yaml", "--yes", expect=1).err.splitlines()
    repeated = [line for line in lines if line.startswith("  … 127.0.0.1:1: ")]
    assert [line.partition("; ")[2].partition(" in ")[0] for line in repeated] == ["attempt 2 of 3", "attempt 3 of 3"]
    assert any("no broker answered" in line or "Connection refused" in line for line in lines if "  = " in line)
    quiet = Shell(folder).kplan("plan", "stack.yaml", "--quiet", expect=1)
    assert "attempt" not in quiet.err
