"""Wait for servers to answer and for other applies to end."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from kplan.app.servers import open_cluster
from kplan.diagnostics import KplanError, Locked, Unreachable, codes
from kplan.kinds.connector.names import qualify
from kplan.kinds.registry import KINDS
from kplan.model import Address
from kplan.servers.waits import WAITS
from kplan.text import join_names
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.app.runtime import Runtime
    from kplan.project.environment import Environment
    from kplan.servers.base import Cluster
    from kplan.state.base import Store

TRY_TIMEOUT_S = 5.0  # one try lasts as long at most
LOCK_POLL_S = 0.5
REPORT_INTERVAL_S = 10.0  # between two lines about a lock


# -- servers ----------------------------------------------------------------------------------------------------------
def wait_until_ready(environment: Environment, needs_connect: bool, timeout: float, runtime: Runtime) -> None:
    """Return once Kafka answers, and Connect where it is needed. Raises KplanError after `timeout` seconds."""
    servers = ["kafka", *(["connect"] if needs_connect and environment.has_connect else [])]
    end = time.monotonic() + timeout
    with runtime.show_progress(False), WAITS.add(f"waiting for {' and '.join(servers)}", timeout):
        while missing := find_missing(impatient(environment, end - time.monotonic()), servers, (), runtime):
            left = end - time.monotonic()
            if left <= 0:
                raise KplanError(f"not ready within {timeout:g} s: {missing}", code=codes.K530,
                                 help="check the server, or wait longer with --wait")  # fmt: skip
            runtime.note(f"not ready, waiting {left:.0f} s more: {missing}")
            time.sleep(min(left, environment.delay))


@dataclass(frozen=True, slots=True)
class WaitRequest:
    """What must be ready: servers and nouns, and the addresses for the nouns; how often to try, and seconds between."""

    things: Sequence[str]
    addresses: Collection[Address]
    attempts: int
    pause: float


def try_until_ready(
    request: WaitRequest, environment: Environment, runtime: Runtime, note_missing: Callable[[str, int], object]
) -> bool:
    """Try until all is ready; `note_missing` gets what is not, and how many attempts are left."""
    hasty = impatient(environment)
    for attempts_left in range(request.attempts - 1, -1, -1):
        with runtime.show_progress(False):
            missing = find_missing(hasty, request.things, request.addresses, runtime)
        if not missing:
            return True
        note_missing(missing, attempts_left)
        if attempts_left:
            what = f"waiting to try {', '.join(request.things)} again"
            with runtime.show_progress(False), WAITS.add(what, request.pause):
                time.sleep(request.pause)
    return False


def impatient(environment: Environment, seconds: float = TRY_TIMEOUT_S) -> Environment:
    """Return the environment for one try, which lasts so many seconds at most."""
    limit = max(0.5, min(environment.request_timeout, TRY_TIMEOUT_S, seconds))
    return replace(environment, request_timeout=limit, attempts=1)


def find_missing(
    environment: Environment, things: Sequence[str], addresses: Collection[Address], runtime: Runtime
) -> str:
    """Return what of `things` is not ready, in words; empty where all is. It is one try.

    Things are servers (kafka, connect), and nouns (topics) for those of the resources at `addresses`.
    """
    try:
        cluster = open_cluster(environment, runtime.mask)
    except Unreachable as e:  # where a cloud gives the tokens for its brokers
        return e.message
    checks: dict[str, Callable[[], object]] = {"kafka": cluster.topics.identify}
    if cluster.connectors is not None:
        checks["connect"] = lambda: _require_connects(cluster, environment)
    try:
        for thing in things:
            if thing in checks:
                checks[thing]()
            elif lacking := _find_lacking(cluster, thing, addresses):
                return f"{thing} missing: {join_names(lacking)}"
    except KplanError as e:
        return e.message
    finally:
        cluster.close()
    return ""


def _require_connects(cluster: Cluster, environment: Environment) -> None:
    """Raise Unreachable unless each Connect of the environment answers."""
    assert cluster.connectors is not None
    target = cluster.connectors.identify()
    silent = [each for each in environment.connects if not target.find_connect(qualify(each, "").rstrip("/"))[0]]
    if silent:
        raise Unreachable(f"Connect {join_names(silent)} does not answer")


def _find_lacking(cluster: Cluster, noun: str, addresses: Collection[Address]) -> list[str]:
    """Return the names of those resources that are not there. Raises Denied for one that may not be seen.

    One whose settings may not be read is there.
    """
    lacking: list[str] = []
    for backend in cluster.backends:
        if KINDS[backend.kind].views.plural == noun:
            names = [address.name for address in addresses if address.kind == backend.kind]
            reading = backend.read(names)
            present = {address.name for address in reading.resources} | reading.names
            absent = [name for name in names if name not in present]
            for name in absent:
                if reason := reading.refused.get(Address(backend.kind, name)):
                    raise reason
            lacking += absent
    return lacking


# -- locks ------------------------------------------------------------------------------------------------------------
def wait_for_others(store: Store, stacks: Iterable[str], timeout: float, runtime: Runtime) -> bool:
    """Return once no process holds one of the stacks: what is planned meanwhile would be outdated. Raises Locked.

    The result is whether one had to be waited for.
    """
    deadline = time.monotonic() + timeout
    has_waited = False
    with runtime.show_progress(False):
        for stack in stacks:
            has_waited |= _wait_for_other(store, stack, deadline, runtime)
    return has_waited


def _wait_for_other(store: Store, stack: str, deadline: float, runtime: Runtime) -> bool:
    other = store.holder(stack)
    if other is None:
        return False
    next_report = time.monotonic()
    what = f"waiting for the lock of stack {stack}, which {other.who} holds"
    with WAITS.add(what, max(0.0, deadline - time.monotonic())):
        while other is not None:
            who = f"{other.who} has locked stack {stack} since {other.since}: {other.command} (run {other.run})"
            left = deadline - time.monotonic()
            if left <= 0:
                raise Locked(
                    who,
                    help="to wait, use --lock-timeout 60s; there is no unlock command, the lock ends with its process",
                )
            if time.monotonic() >= next_report:
                runtime.note(f"waiting {left:.0f} s for the lock: {who}")
                next_report = time.monotonic() + REPORT_INTERVAL_S
            time.sleep(min(LOCK_POLL_S, left))
            other = store.holder(stack)
    return True
