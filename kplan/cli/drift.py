"""kplan drift"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from kplan.cli.command import run_command
from kplan.cli.flags import CHANGED_SINCE, LOADING, SHOWING
from kplan.cli.options import option
from kplan.cli.session import Session, format_time

if TYPE_CHECKING:
    from kplan.inspect.drift import DriftReport, JudgedDrift
    from kplan.model import Target

KEY_WIDTH = 30  # columns of a setting's name


@click.command(
    "drift",
    help="Show what was changed live since the last apply, and what the stack declares now. Exit 2 if the next apply "
    "would change it. A live change that the stack also declares is listed, but is not drift. Receivers under "
    "`notify:` with `when: [drift]` are notified. Nothing is changed; suitable for cron.",
)
@click.argument("paths", metavar="[STACK...]", nargs=-1)
@LOADING
@CHANGED_SINCE
@option("--format", type=click.Choice(["text", "json"]), default="text", help="The view on standard output.")
@SHOWING
@run_command
def command(session: Session) -> int:
    session.takes_project = True
    from kplan.app.drift import find_drift, notify_drift
    from kplan.inspect.drift import make_document
    from kplan.planning.document import encode_target

    loaded = session.load_valid()
    with session.open(loaded.environment) as opened, session.show_progress():
        outcome = find_drift(loaded, opened, session.runtime)
    if session.as_json:
        target, at = {key: value for key, value in encode_target(outcome.target).items() if value}, format_time()
        documents = [make_document(stack, target, at) for stack in outcome.stacks]
        product: Any = documents[0] if len(documents) == 1 else {"format_version": "1.0", "stacks": documents}
        session.say(json.dumps(product, indent=2, sort_keys=True, ensure_ascii=False))
    else:
        for line in _drift_lines(outcome.stacks, outcome.target, session):
            session.say(line)
    notify_drift(outcome, loaded.environment, session.runtime)
    return outcome.exit_code


def _drift_lines(stacks: Sequence[DriftReport], target: Target, session: Session) -> Iterator[str]:
    """Yield the stacks with something to report, one after the other; the others are counted."""
    from kplan.text import count

    if len(stacks) == 1:
        yield from _stack_lines(stacks[0], target, session)
        return
    for stack in stacks:
        if _has_findings(stack):
            yield from _stack_lines(stack, target, session)
            yield ""
    without_drift = [each for each in stacks if each.owned and not _has_findings(each)]
    never_applied = [each for each in stacks if not each.owned]
    if without_drift:
        yield _stacks_line(f"No drift in {count(len(without_drift), 'stack')}", without_drift, session)
    if never_applied:
        yield _stacks_line(f"Nothing has been applied of {count(len(never_applied), 'stack')}", never_applied, session)


def _has_findings(stack: DriftReport) -> bool:
    return bool(stack.differences or stack.unseen)


def _stacks_line(heading: str, stacks: Sequence[DriftReport], session: Session) -> str:
    from kplan.render.many import list_names

    return list_names(heading, [{"stack": {"name": each.stack}} for each in stacks], session.style)


def _stack_lines(stack: DriftReport, target: Target, session: Session) -> Iterator[str]:
    from kplan.render.drift import summarize
    from kplan.render.text import clean
    from kplan.text import count

    cluster = f"SIMULATED cluster {target.simulated}" if target.simulated else target.bootstrap
    yield session.style.paint(clean(f"{stack.stack} · env {stack.env} · {cluster}"), "1")
    plan = clean(" ".join(("kplan plan", *session.paths)))
    if not stack.owned:
        yield "Nothing has been applied: the ledger has no resource of this stack, so nothing can have drifted."
        yield f"`{plan}` shows what an apply would do."
        return
    yield from _difference_lines(stack.drift)
    if stack.without_change:
        yield "\nChanged live since the last apply, but not drift: the stack declares it or leaves it to others:"
        yield from _difference_lines(stack.without_change)
    for address in stack.unseen:
        yield f"\n? {clean(str(address))}"
        yield "    not visible: this user may not describe it (K313)"
    if _has_findings(stack):
        yield ""
    if stack.drift:
        yield f"Drift: {summarize(stack.drift)}. `{plan}` shows what the next apply does."
    elif stack.unseen:
        visible_count = stack.owned - len(stack.unseen)
        yield f"No drift in what is visible: {visible_count} of {count(stack.owned, 'resource')}."
    elif stack.without_change:
        yield "No drift: the next apply changes none of this."
    else:
        yield f"No drift: {count(stack.owned, 'resource')} {'is' if stack.owned == 1 else 'are'} still as applied."


def _difference_lines(differences: Sequence[JudgedDrift]) -> Iterator[str]:
    """Yield, resource by resource, each difference with what the stack says about it."""
    from kplan.inspect.drift import GONE
    from kplan.render.drift import describe_change, describe_next
    from kplan.render.text import clean

    last_address = ""
    for difference in differences:
        address = str(difference.drift.address)
        if address != last_address:
            last_address = address
            yield f"\n{'-' if difference.drift.path == GONE else '~'} {clean(address)}"
        yield f"    {clean(describe_change(difference, KEY_WIDTH))}"
        yield f"        {clean(describe_next(difference))}"
