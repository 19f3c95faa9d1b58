"""What stays of every run when its details are gone: its summary, and the last changes of each resource.

Values of settings are not part of it: a path says what changed, and no secret can be in it.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import field
from typing import Any, Final

from kplan.model.journal import Entry, Item, Progress, replay
from kplan.values import dataclass

Json = dict[str, Any]

MAX_SUMMARIES: Final = 1000  # of each stack
MAX_CHANGES: Final = 20  # of each resource
MAX_HISTORY_BYTES: Final = 4096
MAX_SUMMARY_BYTES: Final = 1024
MAX_TEXT: Final = 120  # characters of one value
MAX_PATHS: Final = 8  # of one change
ABOUT: Final = (
    "env", "mode", "who", "actor", "request", "commit", "steps", "digest", "created_at", "cluster", "connect",
    "retries",
)  # fmt: skip
OPTIONAL: Final = ("connect", "cluster", "commit", "request")  # left out, in this order, where a summary is too large


@dataclass(frozen=True, slots=True)
class RunSummary:
    """One run in short. `outcome` is empty while the run is open.

    `counts` has the changes that are in effect, by action; `about` is what the journal's `begin` and `end` say, without
    the files. `created` are the topics that the run created, `failed` those that it could not create.
    """

    run: str
    stack: str
    outcome: str = ""
    began: str = ""  # UTC, ISO 8601
    ended: str = ""
    counts: Mapping[str, int] = field(default_factory=dict)
    about: Mapping[str, Any] = field(default_factory=dict)
    created: int = 0
    failed: int = 0

    @property
    def is_open(self) -> bool:
        return not self.outcome


@dataclass(frozen=True, slots=True)
class PastChange:
    """One change of a resource: `paths` are what it changed, at most MAX_PATHS of them."""

    run: str
    at: str
    action: str
    paths: tuple[str, ...] = ()


def summarize(entries: Sequence[Entry]) -> RunSummary | None:
    """Return the summary of the run that the entries are of; None where there are none."""
    progress = replay(entries)
    if progress is None:
        return None
    in_effect = steps_in_effect(progress)
    actions = Counter(_action(item) for item in in_effect.values())
    ended = [entry.at for entry in entries if entry.event == "end"]
    return RunSummary(
        progress.run,
        progress.stack,
        progress.outcome,
        began=min(entry.at for entry in entries),
        ended=max(ended, default=""),
        counts=dict(sorted(actions.items())),
        about={key: progress.about[key] for key in ABOUT if key in progress.about},
        created=_created_topics(progress, (n for n in progress.done if n not in progress.undone)),
        failed=_created_topics(progress, progress.flying),
    )


def steps_in_effect(progress: Progress) -> Mapping[int, Item]:
    """Return the steps whose result is there: all of a run that came to its end, else what was not undone."""
    if progress.outcome in ("applied", "completed"):
        return progress.planned
    done = {number for number in progress.done if number not in progress.undone} | set(progress.kept)
    return {number: progress.planned[number] for number in sorted(done) if number in progress.planned}


def past_changes(entries: Sequence[Entry]) -> Mapping[str, PastChange]:
    """Return what an ended run changed, by address."""
    progress = replay(entries)
    if progress is None or progress.is_open:
        return {}
    at = max(entry.at for entry in entries)
    return {
        item.address: PastChange(progress.run, at, _action(item), tuple(_paths(item))[:MAX_PATHS])
        for item in steps_in_effect(progress).values()
        if item.address and item.change
    }


def with_change(known: Sequence[PastChange], change: PastChange) -> list[PastChange]:
    """Return the changes of a resource with one more, newest first, as many as its record may hold."""
    kept = [change, *(past for past in known if past.run != change.run)][:MAX_CHANGES]
    while len(kept) > 1 and _size(changes_to_json(kept)) > MAX_HISTORY_BYTES:
        kept.pop()
    return kept


def surplus(summaries: Iterable[RunSummary]) -> list[str]:
    """Return the runs of one stack whose summaries are too many, the oldest ones."""
    runs = sorted(summaries, key=lambda summary: (summary.began, summary.run))
    return [summary.run for summary in runs[: max(0, len(runs) - MAX_SUMMARIES)]]


# -- JSON -------------------------------------------------------------------------------------------------------------
def summary_to_json(summary: RunSummary) -> Json:
    """Return the value of the record `stack/NAME/runs/ID`: at most MAX_SUMMARY_BYTES."""
    data: Json = {
        "outcome": summary.outcome,
        "began": summary.began,
        "ended": summary.ended,
        "counts": dict(summary.counts),
        "created": summary.created,
        "failed": summary.failed,
        "about": {key: _short(value) for key, value in summary.about.items()},
    }
    for key in OPTIONAL:
        if _size(data) > MAX_SUMMARY_BYTES - 16:
            data["about"].pop(key, None)
    return data


def summary_from_json(run: str, stack: str, data: Any) -> RunSummary:
    """Return the summary of the record. Raises ValueError where it has another form."""
    try:
        counts = {str(action): int(count) for action, count in data["counts"].items()}
        outcome, began, ended = (str(data[key]) for key in ("outcome", "began", "ended"))
        created, failed = int(data.get("created", 0)), int(data.get("failed", 0))
        return RunSummary(run, stack, outcome, began, ended, counts, dict(data["about"]), created, failed)
    except (LookupError, TypeError, AttributeError) as cause:
        raise ValueError(f"the summary of run {run} cannot be read: {cause}") from cause


def changes_to_json(changes: Sequence[PastChange]) -> Json:
    """Return the value of the record `stack/NAME/history/ADDRESS`."""
    return {"changes": [_change_to_json(change) for change in changes]}


def _change_to_json(change: PastChange) -> Json:
    paths = {"paths": list(change.paths)} if change.paths else {}
    return {"run": change.run, "at": change.at, "action": change.action, **paths}


def changes_from_json(data: Any) -> list[PastChange]:
    """Return the changes of the record, newest first. Raises ValueError where it has another form."""
    try:
        return [
            PastChange(str(item["run"]), str(item["at"]), str(item["action"]), tuple(map(str, item.get("paths", ()))))
            for item in data["changes"]
        ]
    except (LookupError, TypeError, AttributeError) as cause:
        raise ValueError(f"the history of a resource cannot be read: {cause}") from cause


def _action(item: Item) -> str:
    """Return what a step does in one word: `delete` and `create` together are `replace`."""
    actions = [str(action) for action in (item.change or {}).get("actions", ())]
    return actions[0] if len(actions) == 1 else "replace" if actions else "unknown"


def _paths(item: Item) -> Iterator[str]:
    for diff in (item.change or {}).get("diff", ()):
        yield _short(str(diff.get("path", "")))


def _created_topics(progress: Progress, numbers: Iterable[int]) -> int:
    items = [progress.planned[number] for number in numbers if number in progress.planned]
    return sum(1 for item in items if item.address.startswith("topic/") and _action(item) == "create")


def _short(value: Any) -> Any:
    return value if not isinstance(value, str) or len(value) <= MAX_TEXT else f"{value[: MAX_TEXT - 1]}…"


def _size(data: Json) -> int:
    return len(json.dumps(data, ensure_ascii=False, separators=(",", ":")).encode())
