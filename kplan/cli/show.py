"""kplan show"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from kplan.cli import report_flags, reports
from kplan.cli.command import run_command
from kplan.cli.flags import LOADING, SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session
from kplan.cli.showing import show_plan, show_plans, show_view

if TYPE_CHECKING:
    from kplan.model.history import RunSummary


@click.command(
    "show",
    help="Show a saved plan (FILE), what a run did (RUN), or with --stack the expanded stack and where each "
    "value comes from. Without arguments: the runs of the environment.",
)
@click.argument("paths", metavar="FILE|RUN|STACK...", nargs=-1)
@LOADING
@option("--stack", "expanded", is_flag=True, help="Show the expanded stack.")
@option("--verbose", is_flag=True, help="Show every setting.")
@option("--brief", is_flag=True, help="One line per step.")
@report_flags.VIEW
@report_flags.report_option()
@SHOWING
@run_command
def command(session: Session, expanded: bool) -> int:
    paths = session.paths
    files = [path for path in paths if Path(path).is_file() and not expanded]
    if not files or len(files) < len(paths):
        _refuse_views(session, next((path for path in paths if path not in files), "this"))
    if expanded:
        return _show_stacks(session)
    if not paths:
        return _show_runs(session)
    if files:
        _show_plans(session, files)
    for run in paths:
        if run not in files:
            _show_run(session, run)
    return 0


def _refuse_views(session: Session, what: str) -> None:
    view_flags = [f"--report {report}" for report in session.reports or ()]
    view_flags += [f"--format {session.view}"] if session.view not in ("text", "json") else []
    if view_flags:
        raise click.UsageError(
            f"{view_flags[0]} is a view of a saved plan; {what} is none, and is shown as text or JSON"
        )


def _show_plans(session: Session, files: list[str]) -> None:
    """Show the plans of the files, together."""
    from dataclasses import replace

    from kplan.app.show import read_plan_documents
    from kplan.diagnostics import Stale
    from kplan.planning.document import from_json, verify_signatures

    by_file = {file: read_plan_documents(file) for file in files}
    for documents in by_file.values():
        try:
            verify_signatures(documents, os.environ.get("KPLAN_KEY"))
        except Stale as e:
            session.note(f"warning: {e.message}; it cannot be applied here")
    plans_of_files = [(file, document) for file, documents in by_file.items() for document in documents]
    plans = [from_json(document) for _, document in plans_of_files]
    documents, context = [document for _, document in plans_of_files], session.context(saved=files[0])
    annotations = reports.publish(session, documents, context)
    if session.view != "text":
        show_view(session, documents, context)
    elif len(files) == 1:
        show_plans(session, plans, documents, replace(context, paths=(files[0],)))
    else:
        for (file, document), plan in zip(plans_of_files, plans, strict=True):
            show_plan(session, plan, document, replace(context, paths=(file,), saved=file))
    reports.annotate(session, annotations)


def _show_runs(session: Session) -> int:
    from kplan.render.history import render_runs
    from kplan.render.text import clean
    from kplan.state.base import shorten_problems

    store = session.open_store(session.load_environment())
    with session.show_progress():
        overview, summaries = store.overview(), store.summaries()
    if session.as_json:
        rows = [
            {"run": s.run, "stack": s.stack, "outcome": s.outcome or "open", **s.about,
             "began": s.began, "ended": s.ended, "counts": dict(s.counts)}
            for s in summaries
        ]  # fmt: skip
        session.say(json.dumps(rows, indent=2))
    else:
        for line in render_runs([*reversed(summaries)]):
            session.say(clean(line))
        if not summaries:
            session.say(f"No runs in {store.where}.")
    for problem in shorten_problems(overview.unreadable):
        session.note(f"warning: stack {clean(problem.stack)}: {clean(problem.message)}")
    return 0


def _show_run(session: Session, run: str) -> None:
    from kplan.app.show import read_run
    from kplan.render.text import clean

    store = session.open_store(session.load_environment())
    with session.show_progress():
        record = read_run(store, run)
    if record.summary is not None:
        _show_summary(session, record.summary)
        return
    entries = record.entries
    if session.as_json:
        session.say(json.dumps([_entry_to_json(e) for e in entries], indent=2, ensure_ascii=False))
        return
    session.say(f"run {entries[0].run} of stack {entries[0].stack}, journaled in {store.where}")
    for entry in entries:
        about = f"  {entry.about.get('outcome') or entry.about.get('who', '')}" if entry.about else ""
        session.say(f"{entry.at}  {entry.event}{about}")
        for item in entry.items:
            session.say(f"    [{item.step}] {clean(item.address)}{'  ' + clean(item.outcome) if item.outcome else ''}")


def _show_summary(session: Session, summary: RunSummary) -> None:
    """Show a run whose details were deleted: the newest 20 of each stack have them."""
    from kplan.model.history import summary_to_json
    from kplan.render.text import clean

    if session.as_json:
        session.say(json.dumps({"run": summary.run, "stack": summary.stack, **summary_to_json(summary)}, indent=2))
        return
    session.say(clean(f"run {summary.run} of stack {summary.stack}, by {summary.about.get('who', 'unknown')}"))
    session.say(clean(f"{summary.began}  to {summary.ended}  {summary.outcome}"))
    session.say(f"    {', '.join(f'{n} {action}' for action, n in summary.counts.items()) or 'no change'}")
    session.note("its details are no longer kept: only the newest 20 runs of each stack have them")


def _entry_to_json(entry: Any) -> dict[str, Any]:
    items = [{"step": i.step, "address": i.address, "outcome": i.outcome, "change": i.change} for i in entry.items]
    return {
        "run": entry.run,
        "stack": entry.stack,
        "seq": entry.seq,
        "event": entry.event,
        "at": entry.at,
        "wave": entry.wave,
        "about": dict(entry.about),
        "items": items,
    }


def setting_lines(key: str, text: str, source: str, width: int) -> list[str]:
    """Return one setting with where it comes from, on as many lines as it takes."""
    import textwrap

    from kplan.render.text import clean

    columns = width - 34
    lines = textwrap.wrap(clean(text), columns, break_on_hyphens=False) or [""]
    origin = f"({source})" if source else ""
    if origin and len(lines[-1]) + len(origin) + 2 > columns:
        lines.append(origin)
    elif origin:
        lines[-1] = f"{lines[-1]}  {origin}"
    head = f"    {clean(key):<28}  " if len(key) <= 28 else f"    {clean(key)}\n{'':34}"
    indented = ("\n" + " " * 34).join(lines)
    return f"{head}{indented}".split("\n")


def _show_stacks(session: Session) -> int:
    from kplan.app.show import list_settings
    from kplan.diagnostics import sort_diagnostics
    from kplan.kinds.codec import resource_to_json
    from kplan.render.text import clean
    from kplan.render.wording import format_value

    session.asks_providers = False
    loaded = session.load()
    session.show(sort_diagnostics(loaded.diagnostics))
    if session.as_json:
        session.say(
            json.dumps(
                [
                    {
                        "stack": s.name,
                        "env": s.env,
                        "resources": {
                            str(a): {**resource_to_json(r), "sources": dict(r.origin.sources)}
                            for a, r in s.resources.items()
                        },
                    }
                    for s in loaded.stacks
                ],
                indent=2,
                ensure_ascii=False,
            )
        )
        return 4 if loaded.has_errors else 0
    for stack in loaded.stacks:
        session.say(session.style.paint(f"{stack.name} · env {stack.env} · {stack.path}", "1"))
        for address, resource in stack.resources.items():
            note = f"  ({resource.origin.note})" if resource.origin.note else ""
            session.say(f"\n{clean(str(address))}{clean(note)}")
            for key, raw, source in list_settings(resource):
                for line in setting_lines(key, format_value(key, raw), source, session.width):
                    session.say(line)
    return 4 if loaded.has_errors else 0
