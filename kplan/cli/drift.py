"""kplan drift"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from kplan.cli.command import calls
from kplan.cli.flags import LOADING, SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session, stamp

if TYPE_CHECKING:
    from kplan.inspect.drift import Found, Judged
    from kplan.model import Target

KEY = 30  # columns of a setting's name


@click.command(
    "drift",
    help="Show what was changed live since the last apply, and what the stack says to it by now. Exit 2 where the next "
    "apply would change it; what the stack declares as it is live is told, and is no drift. Receivers under `notify:` "
    "with `when: [drift]` are told. Nothing is changed; fit for cron.",
)
@click.argument("paths", metavar="STACK...", nargs=-1, required=True)
@LOADING
@option("--format", type=click.Choice(["text", "json"]), default="text", help="The view on standard output.")
@SHOWING
@calls
def command(session: Session) -> int:
    from dataclasses import asdict

    from kplan.app.drift import find_drift, notify_drift
    from kplan.inspect.drift import document

    loaded = session.load_valid()
    with session.open(loaded.environment) as opened, session.showing_progress():
        outcome = find_drift(loaded, opened, session.runtime)
    if session.as_json:
        target, at = {key: value for key, value in asdict(outcome.target).items() if value}, stamp()
        documents = [document(stack, target, at) for stack in outcome.stacks]
        product: Any = documents[0] if len(documents) == 1 else {"format_version": "1.0", "stacks": documents}
        session.say(json.dumps(product, indent=2, sort_keys=True, ensure_ascii=False))
    else:
        for line in _text(outcome.stacks, outcome.target, session):
            session.say(line)
    notify_drift(outcome, loaded.environment, session.runtime)
    return outcome.exit_code


def _text(found: Sequence[Found], target: Target, session: Session) -> Iterator[str]:
    """Those of several stacks that something is to be said of, one after the other; the others are counted."""
    from kplan.text import count

    if len(found) == 1:
        yield from _lines(found[0], target, session)
        return
    for each in found:
        if _says_something(each):
            yield from _lines(each, target, session)
            yield ""
    still = [each for each in found if each.owned and not _says_something(each)]
    never = [each for each in found if not each.owned]
    if still:
        yield _named(f"No drift in {count(len(still), 'stack')}", still, session)
    if never:
        yield _named(f"Nothing was applied yet of {count(len(never), 'stack')}", never, session)


def _says_something(found: Found) -> bool:
    return bool(found.differences or found.unseen)


def _named(words: str, found: Sequence[Found], session: Session) -> str:
    from kplan.render.many import list_names

    return list_names(words, [{"stack": {"name": each.stack}} for each in found], session.style)


def _lines(found: Found, target: Target, session: Session) -> Iterator[str]:
    from kplan.render.drift import summary
    from kplan.render.text import clean
    from kplan.text import count

    where = f"SIMULATED cluster {target.simulated}" if target.simulated else target.bootstrap
    yield session.style.paint(clean(f"{found.stack} · env {found.env} · {where}"), "1")
    plan = clean(f"kplan plan {' '.join(session.paths)}")
    if not found.owned:
        yield "Nothing was applied yet: the ledger knows no resource of this stack, so nothing can have drifted."
        yield f"`{plan}` shows what an apply would do."
        return
    yield from _differences(found.drift)
    if found.taken_up:
        yield "\nChanged live since the last apply, and no drift, since the stack says so too or leaves it to others:"
        yield from _differences(found.taken_up)
    for address in found.unseen:
        yield f"\n? {clean(str(address))}"
        yield "    it cannot be seen: this user may not describe it (K313)"
    if _says_something(found):
        yield ""
    if found.drift:
        yield f"Drift: {summary(found.drift)}. `{plan}` shows what the next apply does."
    elif found.unseen:
        seen = found.owned - len(found.unseen)
        yield f"No drift in what can be seen: {seen} of {count(found.owned, 'resource')}."
    elif found.taken_up:
        yield "No drift: no apply would change any of this."
    else:
        yield f"No drift: all that was applied is still so ({count(found.owned, 'resource')})."


def _differences(judged: Sequence[Judged]) -> Iterator[str]:
    """Resource by resource, each difference with what the stack says to it."""
    from kplan.inspect.drift import GONE
    from kplan.render.drift import changed, said
    from kplan.render.text import clean

    last = ""
    for each in judged:
        address = str(each.drift.address)
        if address != last:
            last = address
            yield f"\n{'-' if each.drift.path == GONE else '~'} {clean(address)}"
        yield f"    {clean(changed(each, KEY))}"
        yield f"        {clean(said(each))}"
