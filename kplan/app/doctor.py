"""Ask every server of an environment how it is, what it can do, and what kplan may do there."""

from __future__ import annotations

from collections.abc import Collection
from functools import partial
from typing import TYPE_CHECKING

from kplan.app.servers import check_brokers, check_connects, check_registry_of
from kplan.diagnostics import KplanError
from kplan.kinds.topic.kind import TOPIC
from kplan.model import Address, Live
from kplan.model.checkup import CheckResult, ServerCheck
from kplan.planning.reading import start_call
from kplan.servers.base import KAFKA
from kplan.state.checkup import check_state

if TYPE_CHECKING:
    from kplan.app.opening import OpenEnvironment


def examine(opened: OpenEnvironment, addresses: Collection[Address] = ()) -> list[ServerCheck]:
    """Return the checks of all servers, which are asked side by side. `addresses` are what the stacks declare."""
    environment, cluster = opened.environment, opened.cluster
    if environment.simulated:
        words = f"a simulated cluster in {opened.store.where}: nothing is sent anywhere"
        return [ServerCheck("Kafka", "connection", CheckResult.OK, words), *check_state(opened.store, Live())]
    kinds = frozenset(address.kind for address in addresses)
    topics = sorted(address.name for address in addresses if address.kind == TOPIC.name)
    keeps_state = bool(opened.store.topic)
    kafka = start_call(lambda: check_brokers(cluster, kinds, topics, keeps_state)) if environment.kafka else None
    cluster_id = start_call(partial(_find_cluster_id, opened))
    connects = start_call(lambda: check_connects(cluster, cluster_id.result())) if environment.connect else None
    registry = start_call(lambda: check_registry_of(cluster)) if environment.schema_registry else None
    checks = kafka.result() if kafka is not None else []
    can_read = not opened.store.topic or all(check.result is not CheckResult.FAILED for check in checks[:1])
    checks += connects.result() if connects is not None else []
    checks += registry.result() if registry is not None else []
    return [*checks, *(check_state(opened.store, _read_state_topic(opened)) if can_read else ())]


def _find_cluster_id(opened: OpenEnvironment) -> str:
    """Return the id of the brokers' cluster; empty where they do not answer."""
    if not opened.environment.kafka:
        return ""
    try:
        return opened.cluster.by_kind[TOPIC.name, KAFKA].identify().cluster_id
    except KplanError:
        return ""


def _read_state_topic(opened: OpenEnvironment) -> Live:
    """Return the topic of the state, where it is in one that is there."""
    if not opened.store.topic:
        return Live()
    try:
        return Live(resources=opened.cluster.topics.read([opened.store.topic]).resources)
    except KplanError:
        return Live()
