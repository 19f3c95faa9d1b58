"""Where kplan's time goes: what the main thread does, looked at every few milliseconds of one run.

`python -m tests.bench.sampler WORDS…` runs kplan with these words and prints the shares.
"""

from __future__ import annotations

import contextlib
import io
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tests.bench.measure import environment

EVERY = 0.002  # seconds
SHOWN = 14


def of(words: Sequence[str], folder: Path) -> str:
    """The table of shares for kplan with these words, from a process of its own."""
    command = [sys.executable, "-m", "tests.bench.sampler", *words]
    done = subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)
    return done.stdout


def place(frame: FrameType | None) -> str:
    """What a thread is doing: the innermost function of kplan, and what that calls outside; or the import it is in."""
    inner = frame
    while frame is not None:
        path = frame.f_code.co_filename
        if path.startswith("<frozen importlib"):
            return _importing(frame)
        if "/kplan/" in path and "site-packages" not in path:
            name = path.rpartition("/kplan/")[2].removesuffix(".py").replace("/", ".")
            call = f" → {inner.f_code.co_name}" if inner is not None and inner is not frame else ""
            return f"{name}.{frame.f_code.co_name}{call}"
        frame = frame.f_back
    return "the start and end of Python"


def _importing(frame: FrameType | None) -> str:
    name = "import"
    while frame is not None:
        if frame.f_code.co_name == "_find_and_load" and "name" in frame.f_locals:
            return f"import of {str(frame.f_locals['name']).split('.')[0]}"
        frame = frame.f_back
    return name


def main(words: Sequence[str]) -> None:
    began = time.perf_counter()
    seen: Counter[str] = Counter()
    ended = threading.Event()
    watched = threading.main_thread().ident or 0

    def watch() -> None:
        while not ended.wait(EVERY):
            seen[place(sys._current_frames().get(watched))] += 1

    watcher = threading.Thread(target=watch, daemon=True)
    watcher.start()
    with contextlib.redirect_stdout(io.StringIO()):
        from kplan.__main__ import run

        run(list(words))
    ended.set()
    watcher.join()
    seconds = time.perf_counter() - began
    every = sum(seen.values()) or 1
    print(f"| of {seconds:.2f} s | where |\n|--:|---|")
    for name, count in seen.most_common(SHOWN):
        print(f"| {100 * count / every:.0f} % | {name} |")


if __name__ == "__main__":
    main(sys.argv[1:])
