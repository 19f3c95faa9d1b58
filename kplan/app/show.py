"""Read saved plans, runs of the journal, and the settings of expanded resources."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.diagnostics import Diagnostic
    from kplan.model import Resource
    from kplan.model.history import RunSummary
    from kplan.model.journal import Entry
    from kplan.state.base import Store

LATEST = "latest"  # a word for the newest run
NOT_SETTINGS = ("note", "heartbeat")


def read_plan_documents(file: str) -> list[dict[str, Any]]:
    """Return the plans of one file. Raises Invalid where it holds none."""
    from kplan.diagnostics import Invalid, codes, error
    from kplan.project.reading import read_file

    try:
        data = json.loads(read_file(file))
    except OSError as e:
        raise Invalid([error(codes.K521, "this is not a saved plan", f"{file}: {e.strerror or 'it cannot be read'}")])
    except (ValueError, RecursionError):
        raise Invalid([_not_a_plan_error(file)])
    listed_plans = data.get("plans") if isinstance(data, dict) else None
    documents = listed_plans if isinstance(listed_plans, list) else [data]
    if not documents or not all(isinstance(document, dict) for document in documents):
        raise Invalid([error(codes.K521, "this is not a saved plan", file)])
    return documents


def _not_a_plan_error(file: str) -> Diagnostic:
    """Return the error for a file that is not JSON; it names what the file is, where that is known."""
    from kplan.diagnostics import codes, error
    from kplan.language.mistaken import recognize

    recognized = recognize(file, Path(file).read_text("utf-8", "replace"))
    return error(
        codes.K521,
        "this is not a saved plan",
        f"{file} is {recognized.what}" if recognized else f"{file} is not JSON",
        help="a saved plan is created with `kplan plan --out`; --stack shows an expanded stack",
    )


# -- runs -------------------------------------------------------------------------------------------------------------
@dataclass(frozen=True, slots=True)
class RunRecord:
    """What the state has of a run: its entries, or of an old one its summary alone."""

    entries: Sequence[Entry]
    summary: RunSummary | None = None


def read_run(store: Store, run: str) -> RunRecord:
    """Return what is known of the run: `latest`, or an id or the beginning of one.

    Raises Invalid where none or several begin so.
    """
    from kplan.diagnostics import Invalid, codes, error
    from kplan.kinds.registry import KINDS

    if entries := store.entries(run):
        return RunRecord(entries)
    summaries = store.summaries()
    chosen = summaries[-1:] if run == LATEST else [each for each in summaries if each.run.startswith(run)]
    if len(chosen) != 1:
        several = ", ".join(each.run for each in chosen[:3])
        detail = f"{run}: {several} begin so" if chosen else run
        help = "`kplan history` lists the runs"
        if run.partition("/")[0] in KINDS and "/" in run:
            help = f"it is an address: `kplan describe {run}` shows what is known of it"
        if run in {summary.stack for summary in summaries}:
            help = f"it is a stack: `kplan history {run}` lists its runs"
        raise Invalid([error(codes.K606, "there is no such file or run", detail, help=help)])
    if entries := store.entries(chosen[0].run):
        return RunRecord(entries)
    return RunRecord((), chosen[0])


# -- settings ---------------------------------------------------------------------------------------------------------
def list_settings(resource: Resource) -> Iterator[tuple[str, Any, str]]:
    """Yield the key of each setting, its value, and where it comes from; of a secret it is `(sensitive)`."""
    from kplan.kinds.codec import resource_to_json

    data = resource_to_json(resource)
    values = {f"/{k}": v for k, v in data.items() if not isinstance(v, list | dict) and k not in NOT_SETTINGS}
    config = data.get("config", {})
    values |= {f"/config/{k}": "(sensitive)" if isinstance(v, dict) else v for k, v in config.items()}
    for path, raw in values.items():
        yield path.removeprefix("/config/").removeprefix("/"), raw, resource.origin.sources.get(path, "")
