"""What a change of a connector does in addition to its differences: restarts, and rows of new tables that are read."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from kplan.diagnostics import Diagnostic, codes, warning
from kplan.kinds.connector.debezium.incremental import channel, name_of, new_tables
from kplan.kinds.connector.debezium.leftovers import describe_kept_position
from kplan.kinds.connector.options import ConnectorOptions, connector_options, snapshots_of
from kplan.model import Action, Address, Change, Connector, Live, Owned, Stack
from kplan.text import count, join_names


def add_effects(change: Change, live: Live) -> Change:
    """Return the change of a connector that stays with the tables whose rows are read, and its effects in words."""
    if change.action is not Action.UPDATE:
        return change
    change = replace(change, options=replace(connector_options(change), snapshots=_find_snapshots(change)))
    return replace(change, options=replace(change.options, effects=tuple(_describe_effects(change, live))))


def _find_snapshots(change: Change) -> tuple[str, ...]:
    """Return the new tables whose rows are to be read, as the stack asks."""
    after = change.after
    if not isinstance(after, Connector) or after.rules.new_tables != "incremental" or after.state != "running":
        return ()
    return new_tables(change) if channel(after) else ()


def _describe_effects(change: Change, live: Live) -> Iterator[str]:
    health = live.health.get(change.address)
    tasks = count(len(health.tasks) if health else 0, "task")
    if any(diff.path.startswith("/config/") for diff in change.diffs):
        yield f"restarts {tasks}; {describe_kept_position(change)}"
    restart = connector_options(change).restart
    if restart and change.reason == "topics_changed":
        yield f"restarts {tasks}, because its topics change"
    elif restart and isinstance(change.after, Connector) and change.after.state == "running":
        yield f"then restarts the connector and its tasks (restart: {change.after.rules.restart})"
    if snapshots_of(change):
        tables = join_names([name_of(entry) for entry in snapshots_of(change)])
        yield f"then reads the rows already in {tables} (incremental snapshot), and waits until that is done"


def find_restarts(
    stack: Stack,
    live: Live,
    ledger: Mapping[Address, Owned],
    acting: Collection[Address],
    wrong: Collection[Address],
) -> Iterator[Change]:
    """Yield a restart of each connector with `restart: always` of which nothing changes, but a topic of it does.

    `acting` are the addresses that change on the servers, `wrong` those with an error.
    """
    for address, resource in stack.resources.items():
        now = live.resources.get(address)
        if not isinstance(resource, Connector) or not isinstance(now, Connector) or resource.rules.restart != "always":
            continue
        topics = {Address("topic", name) for name in (*resource.feeds, *resource.reads)}
        is_running = resource.state == now.state == "running"
        if is_running and address not in acting and address not in wrong and not topics.isdisjoint(acting):
            owned = ledger.get(address)
            yield Change(
                address,
                Action.UPDATE,
                now,
                resource,
                reason="topics_changed",
                span=resource.origin.span,
                owner=owned,
                created=bool(owned and owned.created),
                options=ConnectorOptions(restart=True),
            )


def warn_of_health(connector: Connector, live: Live) -> Iterator[Diagnostic]:
    """Yield a warning for what has failed of a connector that is declared to run."""
    health = live.health.get(connector.address)
    if health is None or connector.state != "running":
        return
    place = connector.origin.span
    restart = f"a plan does not repair health: kplan connector restart {shlex.quote(connector.name)}"
    for task in health.failed:
        yield warning(
            codes.K417,
            "a connector's task has failed",
            f"task {task.id}: {task.cause}",
            address=connector.address,
            span=place,
            help=f"{restart} --failed-only",
        )
    if health.state in ("FAILED", "UNASSIGNED"):
        yield warning(
            codes.K417,
            "a connector is not running",
            f"{health.state} {health.cause}".strip(),
            address=connector.address,
            span=place,
            help=restart,
        )


def is_restarted_for(connector: Connector, diffs: Sequence[object]) -> bool:
    """Whether the stack asks for a restart with each change of the connector."""
    return bool(diffs) and connector.rules.restart in ("on-change", "always")
