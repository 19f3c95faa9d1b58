"""What a run tells: each event with its sentence, for the log, the views and the receivers."""

from __future__ import annotations

import logging
from dataclasses import replace

from kplan.execution.run import Result
from kplan.model.events import Emit, RunEnded, RunEvent
from kplan.render.run_events import make_record
from kplan.values import dataclass

log = logging.getLogger("kplan.run")
LEVELS = {"step_started": logging.DEBUG, "step_progress": logging.DEBUG}  # others as the record says


@dataclass(slots=True)
class Narrator:
    """Writes the events of `run` into the log, and passes their records to `emit`. `summary` is the last sentence."""

    run: str
    emit: Emit
    summary: str = ""

    def __call__(self, event: RunEvent) -> None:
        record = make_record(event)
        if isinstance(event, RunEnded):
            self.summary = record.message
        level = LEVELS.get(record.type) or {"warning": logging.WARNING, "error": logging.ERROR}.get(record.level)
        about = f"{record.address}: " if record.address else ""
        left = "".join(f"; left: {each}" for each in record.data.get("left", ()))
        log.log(level or logging.INFO, "run %s: %s%s%s", self.run, about, record.message, left)
        self.emit(record)

    def add_summary(self, result: Result) -> Result:
        """Return the result with the sentence that was said of the run's end."""
        return replace(result, said=self.summary)
