"""Render runs and the changes of a resource, one line each, newest first."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from kplan.model.history import PastChange, RunSummary
from kplan.text import join_names

# The signs of a plan, by the action of a summary.
SIGNS: Mapping[str, str] = {"create": "+", "adopt": "=", "update": "~", "replace": "-/+", "move": ">", "delete": "-"}
COMMIT_LENGTH = 8


def render_runs(runs: Sequence[RunSummary]) -> Iterator[str]:
    """Yield a line for each run: when, stack, outcome, what it did, who, and why."""
    width = max((len(run.stack) for run in runs), default=0)
    for run in runs:
        words = f"{run.outcome or 'open':<12} {count_actions(run.counts):<16}"
        yield f"{_show_time(run.began)}  {run.stack:<{width}}  {words} {describe_author(run.about)}  {run.run}"


def render_changes(changes: Sequence[tuple[PastChange, RunSummary | None]]) -> Iterator[str]:
    """Yield a line for each change of a resource: when, what, who, and why."""
    for change, run in changes:
        paths = join_names([path.removeprefix("/config/").removeprefix("/") for path in change.paths], 4)
        author = describe_author(run.about) if run is not None else "(its run is not kept)"
        sign = SIGNS.get(change.action, " ")
        yield f"{_show_time(change.at)}  {sign:<3} {change.action:<8} {paths:<32} {author}  {change.run}"


def describe_author(about: Mapping[str, Any]) -> str:
    """Return who was it, and the pull request and the commit that were applied."""
    commit = str(about.get("commit", ""))[:COMMIT_LENGTH]
    parts = (about.get("actor") or about.get("who") or "unknown", about.get("request"), commit)
    return " ".join(str(part) for part in parts if part)


def count_actions(counts: Mapping[str, int]) -> str:
    """Return `+1 ~2`, in the signs of a plan."""
    shown = [f"{SIGNS.get(action, action)}{count}" for action, count in counts.items() if count]
    return " ".join(shown) or "no change"


def _show_time(time: str) -> str:
    return time.removesuffix("Z").replace("T", " ")[:19]


def encode_run(run: RunSummary) -> dict[str, Any]:
    """Return a run as JSON."""
    return {
        "run": run.run,
        "stack": run.stack,
        "outcome": run.outcome or "open",
        "began": run.began,
        "ended": run.ended,
        "counts": dict(run.counts),
        **run.about,
    }


def encode_change(change: PastChange, run: RunSummary | None) -> dict[str, Any]:
    """Return a change as JSON, with what is known of its run."""
    own = {"run": change.run, "at": change.at, "action": change.action, "paths": list(change.paths)}
    about = {key: run.about[key] for key in ("who", "actor", "request", "commit") if key in run.about} if run else {}
    return {**own, **({"stack": run.stack, **about} if run else {})}
