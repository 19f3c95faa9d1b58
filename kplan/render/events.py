"""Render the events of an apply: one line each, live lines on a terminal, or JSON lines."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Any, Protocol

from kplan.model.events import Event
from kplan.planning.document import diagnostic_to_json
from kplan.render.text import COLORS, Style, clean, fold_line
from kplan.text import truncate

SIGNS = {"create": "+", "update": "~", "delete": "-", "replace": "±", "move": ">", "adopt": "=", "release": "o"}
HEARTBEAT_INTERVAL_S = 10.0  # without output for so long, a running step is named


class View(Protocol):
    def __call__(self, event: Event) -> None: ...

    def close(self) -> None: ...


def list_recovery_commands(run: str, left: Sequence[str], forward: bool) -> list[str]:
    """Return the commands that may follow on a run that is still open."""
    if forward:
        return [f"To try again    kplan recover {run} --forward", f"To undo it      kplan recover {run}"]
    names = [clean(entry.partition(": ")[0]) for entry in left]
    filled_topics = [
        name for name, entry in zip(names, left, strict=True) if ": kept: " in entry and name.startswith("topic/")
    ]
    keep = " ".join(f"--forget {name}" for name in names) if len(names) <= 3 else "--forget '*'"
    lines = [f"To try again    kplan recover {run}", f"To keep it      kplan recover {run} {keep}"]
    if filled_topics:
        accept = (
            " ".join(f"--accept delete:{name}" for name in filled_topics)
            if len(filled_topics) <= 3
            else "--accept 'delete:topic/*'"
        )
        lines.append(f"To delete it, records and all\n                kplan recover {run} {accept}")
    return lines


class JsonView:
    """Each event as one line of JSON."""

    def __init__(self, write: Callable[[str], None], now: Callable[[], datetime]) -> None:
        self.write, self.now = write, now

    def __call__(self, event: Event) -> None:
        data: dict[str, Any] = {k: diagnostic_to_json(v) if k == "diagnostic" else v for k, v in event.data.items()}
        record = {
            "type": event.type,
            "time": self.now().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "level": event.level,
            "message": event.message,
            "step": event.step or None,
            "address": event.address or None,
            "seconds": round(event.seconds, 3) if event.seconds is not None else None,
            **data,
        }
        self.write(json.dumps({k: v for k, v in record.items() if v is not None}, ensure_ascii=False))

    def close(self) -> None:
        return None


class LineView:
    """Write one line for each event, and a heartbeat every ten seconds while a step is running."""

    def __init__(
        self,
        write: Callable[[str], None],
        style: Style,
        diagnostic: Callable[[Any], None],
        progress: Callable[[], str] = lambda: "",
    ) -> None:
        self.write, self.style, self.diagnostic, self.describe_progress = write, style, diagnostic, progress
        self.running: dict[int, tuple[Event, float, str]] = {}
        self.last_write = time.monotonic()
        self.lock = threading.Lock()
        self.closing = threading.Event()
        self.heart = threading.Thread(target=self._beat, daemon=True)
        self.heart.start()

    def __call__(self, event: Event) -> None:
        with self.lock:
            self._handle(event)

    def close(self) -> None:
        self.closing.set()

    def _handle(self, event: Event) -> None:
        if event.type == "step_started":
            self.running[event.step] = (event, time.monotonic(), event.message)
            self.show_start(event)
        elif event.type == "step_progress":
            first, since, _ = self.running.get(event.step, (event, time.monotonic(), ""))
            self.running[event.step] = (first, since, event.message)
            self.show_progress(event)
        elif event.type in ("step_done", "step_failed"):
            self.running.pop(event.step, None)
            self.write_line(self.format_step(event))
        elif event.type == "rollback_started":
            self.running.clear()
            self.write_line("")
            self.write_line(self.style.paint(event.message, "33"))
        elif event.type in ("undo_done", "undo_failed"):
            self.write_line(self.format_undo(event))
        elif event.type == "diagnostic":
            self.running.clear()
            self.write_line("")
            self.diagnostic(event.data["diagnostic"])
        elif event.type == "apply_summary":
            self.running.clear()
            self._write_summary(event)

    def show_start(self, event: Event) -> None:
        """Write nothing: the line is written when the step has ended."""

    def show_progress(self, event: Event) -> None:
        """Write nothing: the heartbeat shows it later."""

    def write_line(self, line: str) -> None:
        self.last_write = time.monotonic()
        self.write(line)

    def format_step(self, event: Event) -> str:
        total = event.data.get("total", "?")
        mark = "x" if event.type == "step_failed" else SIGNS.get(str(event.data.get("action")), "~")
        head = f"[{event.step}/{total}] {mark} {clean(event.address)}"
        seconds = f"{event.seconds:.1f} s" if event.seconds is not None else ""
        return self._format_columns(head, event.message, seconds, "31" if mark == "x" else COLORS.get(mark, ""))

    def format_undo(self, event: Event) -> str:
        seconds = f"{event.seconds:.1f} s" if event.seconds is not None else ""
        return self._format_columns(
            f"  [{event.step}] {clean(event.address)}",
            event.message,
            seconds,
            "31" if event.type == "undo_failed" else "",
        )

    def _format_columns(self, head: str, message: str, seconds: str, color: str) -> str:
        message_width = max(20, self.style.width - max(48, len(head)) - len(seconds) - 3)
        left = f"{head:<48} {truncate(clean(message), message_width)}"
        gap = max(2, self.style.width - len(left) - len(seconds))
        return self.style.paint(left, color) + (" " * gap + seconds if seconds else "")

    def _write_summary(self, event: Event) -> None:
        self.write_line("")
        color = "32" if event.data["exit_code"] == 0 else "1;31"
        for line in self.fold_message(event.message):
            self.write_line(self.style.paint(line, color))
        for left in event.data["left"]:
            address, _, state = left.partition(": ")
            for line in self.fold_message(f"  {clean(address):<40} {clean(state)}"):
                self.write_line(line)
        run = event.data["run"]
        if event.data["outcome"] == "incomplete":
            for line in list_recovery_commands(run, event.data["left"], bool(event.data.get("forward"))):
                self.write_line(line)
        elif event.data["outcome"] == "rolled_back":
            self.write_line(f"  Nothing to clean up. Run {run} is closed.")

    def fold_message(self, line: str) -> list[str]:
        """Return the lines that a line is shown as: itself, where no terminal would break it inside a word."""
        return [line]

    def _beat(self) -> None:
        while not self.closing.wait(0.5):
            with self.lock:
                if self.running and time.monotonic() - self.last_write >= HEARTBEAT_INTERVAL_S:
                    event, since, message = next(iter(self.running.values()))
                    others = f", and {len(self.running) - 1} more" if len(self.running) > 1 else ""
                    where = f"[{event.step}] {clean(event.address)}: {clean(message)}"
                    progress = f"; {words}" if (words := self.describe_progress()) else ""
                    self.write_line(f"  … still {where}{others} ({time.monotonic() - since:.0f} s){progress}")


class LiveView(LineView):
    """Write lines as steps end, and below them one live line for each running step (at most eight)."""

    def __init__(
        self, style: Style, diagnostic: Callable[[Any], None], progress: Callable[[], str] = lambda: ""
    ) -> None:
        from rich.console import Console
        from rich.live import Live

        super().__init__(self._write_above, style, self._show_diagnostic, progress)
        self._render_diagnostic = diagnostic
        self.console = Console(highlight=False, soft_wrap=True, no_color=not style.color)
        self.live = Live(
            get_renderable=self._render_running, console=self.console, refresh_per_second=8, transient=True
        )
        self.live.start()

    def close(self) -> None:
        super().close()
        self.live.stop()

    def fold_message(self, line: str) -> list[str]:
        return fold_line(line, self.style.width)

    def _write_above(self, line: str) -> None:
        from rich.text import Text

        self.console.print(Text.from_ansi(line) if line else "")

    def _show_diagnostic(self, diagnostic: Any) -> None:
        self.live.stop()
        self._render_diagnostic(diagnostic)
        self.live.start()

    def _render_running(self) -> Any:
        from rich.text import Text

        frames = "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏"
        now = time.monotonic()
        lines = []
        for event, since, message in list(self.running.values())[:8]:
            spin = frames[int(now * 8) % len(frames)]
            head = f"[{event.step}/{event.data.get('total')}] {clean(event.address):<40}"
            lines.append(f"{spin} {head} {clean(message)}  {now - since:.1f} s")
        if len(self.running) > 8:
            lines.append(f"  and {len(self.running) - 8} more")
        if words := self.describe_progress():
            lines.append(f"  {words}")
        return Text("\n".join(line[: self.style.width] for line in lines))
