"""kplan show"""

import json
from pathlib import Path
from typing import Any

import click

from kplan.cli.common import LOADING, SHOWING, Session, option
from kplan.cli.common import command as calls


@click.command(
    "show",
    help="Show a saved plan (FILE), what a run did (RUN), or with --stack the expanded stack with where each "
    "value comes from. Without anything: the runs of the environment.",
)
@click.argument("paths", metavar="FILE|RUN|STACK...", nargs=-1)
@LOADING
@option("--stack", "expanded", is_flag=True, help="Show the expanded stack.")
@option("--verbose", is_flag=True, help="Show every setting.")
@option("--brief", is_flag=True, help="One line a step.")
@option("--format", type=click.Choice(["text", "json"]), default="text", help="The view on standard output.")
@SHOWING
@calls
def command(session: Session) -> int:
    paths = session.settings["paths"]
    if session.settings["expanded"]:
        return _stacks(session)
    if not paths:
        return _runs(session)
    for path in paths:
        if Path(session.request.folder, path).is_file():
            _plan(session, Path(session.request.folder, path))
        else:
            _run(session, path)
    return 0


def _plan(session: Session, path: Path) -> None:
    from kplan.diagnostics import Invalid, error
    from kplan.plan import from_json
    from kplan.render.text import Context

    try:
        data = json.loads(path.read_bytes())
    except (ValueError, RecursionError, OSError) as e:
        raise Invalid(
            [
                error(
                    "K521",
                    "this is no saved plan",
                    f"{path}: {type(e).__name__}",
                    help="a saved plan is made with `kplan plan --out`; an expanded stack is shown with --stack",
                )
            ]
        )
    several = data.get("plans") if isinstance(data, dict) else None
    documents = several if isinstance(several, list) else [data]
    if session.as_json:
        session.say(json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False))
        return
    for document in documents:
        if not isinstance(document, dict):
            raise Invalid([error("K521", "this is no saved plan", str(path))])
        plan = from_json(document)
        session.show_plan(plan, document, Context((str(path),), saved=str(path)))


def _runs(session: Session) -> int:
    from kplan.journal import replay
    from kplan.loading import load_environment
    from kplan.servers import open_store

    store = open_store(load_environment(session.request))
    found = [p for p in (replay(store.entries(run)) for run in store.runs()) if p]
    if session.as_json:
        session.say(
            json.dumps(
                [{"run": p.run, "stack": p.stack, "outcome": p.outcome or "open", **p.about} for p in found], indent=2
            )
        )
        return 0
    for p in found:
        session.say(f"{p.run}  {p.stack:<24} {p.outcome or 'open':<12} {p.about.get('who', '')}")
    if not found:
        session.say(f"No runs in {store.where}.")
    return 0


def _run(session: Session, run: str) -> None:
    from kplan.diagnostics import Invalid, error
    from kplan.loading import load_environment
    from kplan.render.text import clean
    from kplan.servers import open_store

    store = open_store(load_environment(session.request))
    entries = store.entries(run)
    if not entries:
        raise Invalid([error("K606", "there is no such file or run", run, help="`kplan show` lists the runs")])
    if session.as_json:
        session.say(json.dumps([_entry(e) for e in entries], indent=2, ensure_ascii=False))
        return
    session.say(f"run {run} of stack {entries[0].stack}, journaled in {store.where}")
    for entry in entries:
        about = f"  {entry.about.get('outcome') or entry.about.get('who', '')}" if entry.about else ""
        session.say(f"{entry.at}  {entry.event}{about}")
        for item in entry.items:
            session.say(f"    [{item.step}] {clean(item.address)}{'  ' + clean(item.outcome) if item.outcome else ''}")


def _entry(entry: Any) -> dict[str, Any]:
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


def setting(key: str, text: str, source: str, width: int) -> list[str]:
    """One setting with where it comes from, on as many lines as it takes."""
    import textwrap

    from kplan.render.text import clean

    room = width - 34
    lines = textwrap.wrap(clean(text), room, break_on_hyphens=False) or [""]
    where = f"({source})" if source else ""
    if where and len(lines[-1]) + len(where) + 2 > room:
        lines.append(where)
    elif where:
        lines[-1] = f"{lines[-1]}  {where}"
    head = f"    {clean(key):<28}  " if len(key) <= 28 else f"    {clean(key)}\n{'':34}"
    indented = ("\n" + " " * 34).join(lines)
    return f"{head}{indented}".split("\n")


def _stacks(session: Session) -> int:
    from kplan.codec import resource_to_json
    from kplan.diagnostics import ordered
    from kplan.render.text import clean
    from kplan.words import value

    loaded = session.load()
    session.show(ordered(loaded.diagnostics))
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
            data = resource_to_json(resource)
            hidden = ("note", "heartbeat")
            flat = {f"/{k}": v for k, v in data.items() if not isinstance(v, list | dict) and k not in hidden}
            flat |= {f"/config/{k}": "(sensitive)" if isinstance(v, dict) else v for k, v in data["config"].items()}
            for path, raw in flat.items():
                key = path.removeprefix("/config/").removeprefix("/")
                source = resource.origin.sources.get(path, "")
                for line in setting(key, value(key, raw), source, session.width):
                    session.say(line)
    return 4 if loaded.has_errors else 0
