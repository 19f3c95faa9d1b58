"""kplan plan"""

import sys

import click

from kplan.cli.common import LOADING, PLANNING, SHOWING, Session, option, planned
from kplan.cli.common import command as calls


@click.command("plan", help="Show what would change, in order, and what each step's undo is. Nothing is changed.")
@click.argument("paths", metavar="STACK...", nargs=-1, required=True)
@LOADING
@PLANNING
@option(
    "--out",
    metavar="FILE",
    default=None,
    type=click.Path(dir_okay=False),
    help="Save the plan; `kplan apply FILE` does exactly this.",
)
@option("--destroy", is_flag=True, help="Plan to delete what the stacks own.")
@option("--detailed-exitcode", is_flag=True, help="Exit 2 where there are changes.")
@option("--format", type=click.Choice(["text", "json"]), default="text", help="The view on standard output.")
@SHOWING
@calls
def command(session: Session) -> int:
    import json

    from kplan.diagnostics import Invalid, ordered
    from kplan.plan import to_json
    from kplan.planning import not_for_apply
    from kplan.render.text import Context

    s = session.settings
    loaded = session.load()
    unset = [] if s["destroy"] else [d for stack in loaded.stacks for d in not_for_apply(stack)]
    if loaded.has_errors or unset:
        raise Invalid([*loaded.diagnostics, *unset])
    session.show(ordered(loaded.diagnostics))
    cluster, store = session.open(loaded.environment)
    try:
        plans = planned(session, loaded, cluster, store, "destroy" if s["destroy"] else "apply")
        notes = [_held(store, plan.stack) for plan, _ in plans]
    finally:
        cluster.close()
        store.close()
    documents = [to_json(plan) for plan, _ in plans]
    product = documents[0] if len(documents) == 1 else {"format_version": "1.0", "plans": documents}
    if s["out"]:
        _save(s["out"], json.dumps(product, indent=2, sort_keys=True, ensure_ascii=False))
    if session.as_json:
        session.say(json.dumps(product, indent=2, sort_keys=True, ensure_ascii=False))
    for (plan, seconds), document, note in zip(plans, documents, notes, strict=True):
        if session.as_json:
            session.show(plan.diagnostics)
            continue
        paths = (plan.files[0].path,) if len(plans) > 1 else tuple(s["paths"])
        session.show_plan(plan, document, Context(paths, seconds, s["out"] or "", notes=note, again=session.again))
        if len(plans) > 1:
            session.say()
    sys.stdout.flush()
    code = max(plan.exit_code for plan, _ in plans)
    changes = any(plan.has_changes for plan, _ in plans)
    return code or (2 if s["detailed_exitcode"] and changes else 0)


def _held(store: object, stack: str) -> tuple[str, ...]:
    """A line where someone applies this stack right now, and one for a run that was interrupted."""
    from kplan.store.base import Store

    known: Store = store  # type: ignore[assignment]
    holder = known.holder(stack)
    return (
        (f"{holder.who} holds this stack since {holder.since} ({holder.command}): this plan may be outdated soon",)
        if holder
        else ()
    )


def _save(path: str, text: str) -> None:
    from pathlib import Path

    from kplan.diagnostics import KplanError

    try:
        Path(path).write_text(text + "\n", "utf-8")
    except OSError as e:
        raise KplanError(
            f"the plan could not be saved to {path}: {e.strerror}", help="choose another place with --out"
        ) from e
