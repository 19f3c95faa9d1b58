"""Find out, before the first run, whether the brokers would take the state's topic and what is written to it."""

from __future__ import annotations

from kplan.diagnostics import Denied, JournalBroken, KplanError, Unsupported, codes
from kplan.servers.kafka.features import TRANSACTIONS, read_known_requests
from kplan.state.kafka.clients import Clients
from kplan.state.kafka.topic import StateCluster


def find_obstacle(clients: Clients, cluster: StateCluster) -> KplanError | None:
    """Return why the topic, which is not there, could not be created or written to; nothing is created.

    Who may not create it is not refused: somebody else may apply.
    """
    known = read_known_requests(clients.config)
    if known is not None and not known.issuperset(TRANSACTIONS.keys):
        return _make_obstacle(f"the state cannot be in {clients.topic}: the brokers have no transactions or no groups")
    try:
        cluster.create(validate=True)
    except Denied:
        return None
    except (JournalBroken, Unsupported) as refusal:
        return _make_obstacle(refusal.message)
    return None


def _make_obstacle(reason: str) -> KplanError:
    return KplanError(reason, code=codes.K337, help=TRANSACTIONS.remedy)
