"""kplan drift"""

import json
import os
from typing import Any

import click

from kplan.cli.common import LOADING, SHOWING, Session, option, stamp
from kplan.cli.common import command as calls


@click.command(
    "drift",
    help="Show what was changed live since the last apply, whatever the stacks say by now. Exit 2 where something was. "
    "Nothing is changed; fit for cron.",
)
@click.argument("paths", metavar="STACK...", nargs=-1, required=True)
@LOADING
@option("--format", type=click.Choice(["text", "json"]), default="text", help="The view on standard output.")
@SHOWING
@calls
def command(session: Session) -> int:
    from kplan.diagnostics import Invalid
    from kplan.drift import drifted
    from kplan.planning import read

    loaded = session.load()
    if loaded.has_errors:
        raise Invalid(loaded.diagnostics)
    cluster, store = session.open(loaded.environment)
    try:
        ledger = store.ledger()
        names = {stack.name for stack in loaded.stacks}
        live = read(cluster, [address for address, owned in ledger.items() if owned.stack in names])
    finally:
        cluster.close()
        store.close()
    key = os.environ.get("KPLAN_KEY")
    documents = [_document(stack, drifted(stack.name, live, ledger, key), live) for stack in loaded.stacks]
    if session.as_json:
        product: Any = documents[0] if len(documents) == 1 else {"format_version": "1.0", "stacks": documents}
        session.say(json.dumps(product, indent=2, sort_keys=True, ensure_ascii=False))
    else:
        for line in _text(documents, session):
            session.say(line)
    return 2 if any(document["drift"] for document in documents) else 0


def _document(stack: Any, found: Any, live: Any) -> dict[str, Any]:
    from dataclasses import asdict

    from kplan.plan import drift_to_json

    return {
        "format_version": "1.0",
        "created_at": stamp(),
        "stack": {"name": stack.name, "env": stack.env},
        "target": {key: value for key, value in asdict(live.target).items() if value},
        "drift": [drift_to_json(each) for each in found],
    }


def _text(documents: list[dict[str, Any]], session: Session) -> list[str]:
    """Those of several stacks that drifted, one after the other; the others are counted."""
    from kplan.render.many import named
    from kplan.words import count

    if len(documents) == 1:
        return _lines(documents[0], session)
    drifted = [document for document in documents if document["drift"]]
    lines = [line for document in drifted for line in (*_lines(document, session), "")]
    still = [document for document in documents if not document["drift"]]
    return [*lines, named(f"No drift in {count(len(still), 'stack')}", still, session.style)] if still else lines


def _lines(document: dict[str, Any], session: Session) -> list[str]:
    from kplan.drift import GONE
    from kplan.render.text import clean
    from kplan.words import count, value

    stack, target = document["stack"], document["target"]
    where = f"SIMULATED cluster {target['simulated']}" if target.get("simulated") else target.get("bootstrap", "")
    lines = [session.style.paint(clean(f"{stack['name']} · env {stack['env']} · {where}"), "1")]
    if not document["drift"]:
        return [*lines, "No drift: all that was applied is still so."]
    last = ""
    for each in document["drift"]:
        if each["address"] != last:
            last = each["address"]
            lines.append(f"\n~ {clean(last)}")
        key = each["path"].removeprefix("/config/").removeprefix("/")
        if each["path"] == GONE:
            lines.append("    it is gone")
        elif isinstance(each["applied"], dict) or isinstance(each["live"], dict):
            lines.append(f"    {clean(key):<30} (sensitive, changed)")
        else:
            lines.append(
                f"    {clean(key):<30} {clean(value(key, each['applied']))} -> {clean(value(key, each['live']))}"
            )
    resources = len({each["address"] for each in document["drift"]})
    return [*lines, "", f"Drift: {count(resources, 'resource')}, {count(len(document['drift']), 'difference')}. "
            "`kplan plan` shows how to put it back."]  # fmt: skip
