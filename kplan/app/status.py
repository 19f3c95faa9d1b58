"""Read how everything is that the stacks name, and restart what failed where they say so."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kplan.diagnostics import Invalid, KplanError, codes, error
from kplan.inspect import status
from kplan.kinds.connector.sensitivity import of_ledger, of_stacks
from kplan.planning.reading import read_addresses

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.model import Address
    from kplan.project.loading import Loaded


def read_status(
    loaded: Loaded, opened: OpenEnvironment, runtime: Runtime, tries_logins: bool = False
) -> dict[str, Any]:
    """Return the document of schemas/status.v1.json as of now. A server that does not answer is a part of it.

    With `tries_logins` every declared user logs in.
    """
    environment, cluster, store = loaded.environment, opened.cluster, opened.store
    settings = {
        "create": all(stack.guards.create for stack in loaded.stacks),
        "attempts": environment.attempts,
        "request_timeout": environment.request_timeout,
        "logins": tries_logins,
    }
    at = runtime.timestamp
    try:
        overview = store.overview()
        overview.refuse_unknown_kinds([stack.name for stack in loaded.stacks])
        sensitive = [*of_ledger(overview.ledger), *of_stacks(loaded.stacks)]
        live = read_addresses(cluster, [address for stack in loaded.stacks for address in stack.resources], sensitive)
        if tries_logins:
            from kplan.planning.logins import check_every_login

            live = check_every_login(loaded.stacks, live, cluster)
        names = [name for name in status.list_watched_topics(loaded.stacks) if name in live.names]
        facts = cluster.topics.facts(names) if names else {}
        stacks = [stack.name for stack in loaded.stacks]
        mine = [summary.run for summary in store.summaries() if summary.stack in stacks]
        runs = status.find_last_runs(stacks, mine, store.entries)
    except KplanError as e:
        return status.make_error_document(
            loaded.stacks, e.message, settings, at, environment.name, environment.bootstrap
        )
    millis = int(runtime.now().timestamp() * 1000)
    return status.make_document(loaded.stacks, live, facts, runs, settings, at, millis, environment.name)


def select_labelled(loaded: Loaded, selector: Mapping[str, str]) -> Loaded:
    """Return the stacks with those resources alone that have all labels of the selector. Raises Invalid where there
    are none."""
    if not selector:
        return loaded
    selected = [
        replace(stack, resources={a: each for a, each in stack.resources.items() if each.rules.has(selector)})
        for stack in loaded.stacks
    ]
    kept = [stack for stack in selected if stack.resources]
    if not kept:
        words = ", ".join(f"{key}={value}" for key, value in selector.items())
        help = "`kplan show --stack STACK` prints the labels of a stack's resources"
        raise Invalid([error(codes.K237, "a pattern matches nothing", f"--selector {words}", help=help)])
    return replace(loaded, stacks=kept)


def restart_failed(opened: OpenEnvironment, address: Address, attempt: str, runtime: Runtime) -> None:
    """Restart what failed of the resource; `attempt` says in words which attempt it is."""
    backend: Any = opened.cluster.find(address)
    try:
        backend.restart(address.name, failed_only=True)
        runtime.note(f"{address} failed and is restarted, {attempt}")
    except KplanError as e:
        runtime.note(f"{address} could not be restarted: {runtime.mask.mask(e.message)}")
