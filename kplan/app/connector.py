"""Operate one live connector: read it, change its state, restart it, handle its offsets."""

from __future__ import annotations

import json
import shlex
import time
from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from kplan.diagnostics import KplanError, codes
from kplan.kinds.connector.options import ConnectorOptions
from kplan.kinds.connector.selection import select_connectors
from kplan.kinds.connector.sensitivity import of_connector, of_passwords, of_record
from kplan.model import Action, AttrDiff, Change, Connector, Live
from kplan.planning.reading import conceal_settings
from kplan.servers.base import Outcome
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment
    from kplan.app.runtime import Runtime
    from kplan.kinds.connector.sensitivity import Setting
    from kplan.model import Health
    from kplan.state.base import Store


@dataclass(frozen=True, slots=True)
class LiveConnector:
    """A connector as it is now, without its secrets, and the Connect that runs it."""

    backend: Any
    resource: Connector
    health: Health


@dataclass(frozen=True, slots=True)
class RestartRequest:
    """How to restart: all, or only what has failed; `attempts` times, after a pause that doubles from `delay`."""

    failed_only: bool = False
    attempts: int = 3
    delay: float = 10.0


def refuse_without_connect(opened: OpenEnvironment) -> None:
    """Raise KplanError where the environment has no Connect."""
    if opened.cluster.connectors is None:
        raise KplanError(f"environment {opened.environment.name} has no Connect", code=codes.K218)


def read_connector(name: str, opened: OpenEnvironment, runtime: Runtime) -> LiveConnector:
    """Read the live connector. Raises KplanError where there is none; the environment must have a Connect."""
    backend = opened.cluster.connectors
    assert backend is not None, "an environment without Connect is refused when it is opened"
    reading = backend.read([name])
    present = select_connectors(reading.resources.values())
    if not present:
        raise KplanError(
            f"Connect has no connector {name}", code=codes.K321, help="`kplan list 'connector/*'` shows them"
        )
    [connector] = present
    sensitive = _find_sensitive(backend, opened.store, connector, runtime)
    live = conceal_settings(opened.cluster, Live(resources=reading.resources, health=reading.health), sensitive)
    [connector] = select_connectors(live.resources.values())
    return LiveConnector(backend, connector, live.health[connector.address])


def _find_sensitive(backend: Any, store: Store, connector: Connector, runtime: Runtime) -> list[Setting]:
    """Return what the ledger and the plugin call sensitive; without the ledger every setting counts as that."""
    try:
        if not store.where:
            raise KplanError("no brokers are named")
        record = store.ledger().get(connector.address)
    except KplanError as e:
        runtime.warn(f"every setting counts as sensitive, because the ledger cannot be read: {e.message}")
        return list(of_connector(connector))
    return [*of_record(connector.address, record), *of_passwords(backend.passwords([connector]))]


# -- states -----------------------------------------------------------------------------------------------------------
def set_state(connector: LiveConnector, state: str, runtime: Runtime) -> None:
    """Bring the connector into the state, and wait until it is. Raises what the server answers."""
    _move(connector.backend, connector.resource, replace(connector.resource, state=state), runtime)


def _move(backend: Any, before: Connector, after: Connector, runtime: Runtime) -> None:
    if before.state == after.state:
        return
    diffs = (AttrDiff("/state", before.state, after.state),)
    change = Change(before.address, Action.UPDATE, before, after, diffs)
    _carry_out(backend, change, lambda: backend.act([change], {})[change.address], runtime)


def _carry_out(backend: Any, change: Change, send: Callable[[], Outcome], runtime: Runtime) -> None:
    """Send and settle. Raises what went wrong."""
    outcome = send()
    if outcome.error is None:
        outcome = backend.settle([change], lambda address, words: runtime.note(f"  {words}"))[change.address]
    if outcome.error is not None:
        raise outcome.error


def restart(connector: LiveConnector, request: RestartRequest, runtime: Runtime) -> bool:
    """Restart the connector, and wait until all of it runs; False where nothing has failed that was to be restarted.

    Raises KplanError where it is not meant to run, or does not after the last attempt.
    """
    backend, now, health = connector.backend, connector.resource, connector.health
    if now.state != "running":  # Connect takes the request, and leaves the connector as it is
        raise KplanError(
            f"{now.name} is {now.state.upper()}, and a restart does not change that",
            code=codes.K514,
            help=f"kplan connector resume {shlex.quote(now.name)}",
        )
    if request.failed_only and not health.failed and health.state != "FAILED":
        return False
    change = Change(now.address, Action.UPDATE, now, now, options=ConnectorOptions(restart=True))

    def send() -> Outcome:
        backend.restart(now.name, request.failed_only)
        return Outcome()

    pause = request.delay
    for left in range(request.attempts - 1, -1, -1):
        try:
            _carry_out(backend, change, send, runtime)
        except KplanError as e:
            if not left:
                raise
            runtime.note(f"{e.message}; again in {pause:g} s")
            time.sleep(pause)
            pause *= 2
        else:
            break
    return True


# -- offsets ----------------------------------------------------------------------------------------------------------
def replace_offsets(backend: Any, now: Connector, new: list[Any] | None, had: list[Any], runtime: Runtime) -> None:
    """Give the connector the offsets `new`, and bring it into its state again; None resets them.

    Where it does not get there, it has those it had again, and KplanError is raised.
    """
    rests = replace(now, state="stopped")

    def go(before: Connector, after: Connector) -> None:
        _move(backend, before, after, runtime)

    go(now, rests)
    try:
        backend.put_offsets(now.name, new)
    except BaseException:
        go(rests, now)
        raise
    try:
        go(rests, now)
    except KplanError as e:
        _restore_offsets(backend, now.name, had, lambda: go(now, rests), lambda: go(rests, now), e)


def _restore_offsets(
    backend: Any, name: str, had: list[Any], stop: Callable[[], None], start: Callable[[], None], failure: KplanError
) -> None:
    """Give the connector the offsets that it had. Raises KplanError with the failure that led here."""
    try:
        stop()
        backend.put_offsets(name, None)
        if had:
            backend.put_offsets(name, had)
        start()
    except KplanError as e:
        worse = KplanError(
            f"{name} does not run with the new offsets, and not with the earlier ones: {e.message}",
            code=e.entry,
            help=f"those it had: {json.dumps(had)}",
        )
        worse.exit_code = 8
        raise worse from failure
    raise KplanError(
        f"{name} does not run with these offsets, so its earlier ones are restored: {failure.message}",
        code=failure.entry,
        help="the database no longer has what is behind them; `--reset` reads all rows again",
    ) from failure
