"""What Confluent's registry answers, in its words: `answers.yaml` has each refusal and each message with its source."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ANSWERS: Any = yaml.safe_load(Path(__file__).with_name("answers.yaml").read_text())


@dataclass(frozen=True)
class Answer:
    """A status, and what is sent as JSON."""

    status: int = 200
    body: Any = field(default_factory=dict)


class Refusal(Exception):
    """An unsuccessful answer, by its name in `answers.yaml`."""

    def __init__(self, name: str, **fields: object) -> None:
        super().__init__(name)
        entry = ANSWERS["refusals"][name]
        body = {"error_code": entry["code"], "message": entry["message"].format(**fields)}
        self.answer = Answer(entry["status"], body)


def write_message(name: str, **fields: object) -> str:
    """Return a message, by its name in `answers.yaml`."""
    return str(ANSWERS["messages"][name]["text"].format(**fields))
