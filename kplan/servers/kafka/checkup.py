"""What `kplan doctor` asks of brokers: who they are, whether each can be reached, what they can do, what kplan may."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final

from kplan.diagnostics import KplanError, codes
from kplan.kinds.acl.permissions import ACTIVITIES, INCLUDING_OPERATIONS, Acl, describe_missing, find_principal
from kplan.model.checkup import CheckResult, ServerCheck, make_failure
from kplan.servers.kafka.client import Client
from kplan.servers.kafka.features import BINDINGS, FEATURES, Feature, find_service, read_known_requests
from kplan.servers.kafka.own_operations import OwnOperations
from kplan.servers.ports import open_connection
from kplan.text import count, join_names
from kplan.values import dataclass

SERVER: Final = "Kafka"
DIAL_TIMEOUT_S: Final = 3.0
MAX_BROKERS: Final = 20  # that are dialled
TOPIC_RIGHTS: Final = ("Alter", "AlterConfigs", "Delete")
# The features and the rights on the cluster that a kind of resource needs, beside what all need.
FEATURES_OF_KINDS: Final[Mapping[str, Sequence[str]]] = {
    "topic": ("topics", "settings", "partitions"), "acl": ("bindings",), "user": ("users",), "quota": ("quotas",),
}  # fmt: skip
RIGHTS_OF_KINDS: Final[Mapping[str, Sequence[str]]] = {
    "acl": ("access read", "access"), "user": ("access read", "access"), "quota": ("quotas read", "quotas"),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class BrokerCheckup:
    """Asks the brokers of `client`. `kinds` and `topics` are what the stacks declare; none: no stack is known.

    `keeps_state`: the state is in a topic of theirs.
    """

    client: Client
    kinds: Collection[str] = ()
    topics: Sequence[str] = ()
    keeps_state: bool = False

    def run(self) -> Iterator[ServerCheck]:
        """Yield the checks; where nobody answers, that alone."""
        try:
            cluster = self.client.cluster()
        except KplanError as failure:
            yield make_failure(SERVER, "connection", failure)
            return
        words = f"{self.client.bootstrap}: cluster {cluster.cluster_id}, {count(len(cluster.nodes), 'broker')}"
        yield ServerCheck(SERVER, "connection", CheckResult.OK, words)
        yield ServerCheck(SERVER, "login", CheckResult.OK, self._describe_login())
        yield from self._check_service(cluster)
        yield from check_advertised(cluster.nodes)
        yield from self._check_features()
        yield from self._check_rights()
        yield from self._check_topic_rights()

    def _describe_login(self) -> str:
        config = self.client.config
        protocol = config.get("security.protocol", "plaintext").upper()
        mechanism = config.get("sasl.mechanism") or config.get("sasl.mechanisms") or ""
        how = " by ".join(filter(None, (protocol, mechanism if protocol.startswith("SASL") else "")))
        return f"as {find_principal(config)}, {how}"

    def _check_service(self, cluster: Any) -> Iterator[ServerCheck]:
        hosts = [str(node.host) for node in cluster.nodes]
        service = find_service(hosts, cluster.cluster_id or "")
        if service is not None:
            words = f"{service.name}: {'; '.join(service.limits)}"
            yield ServerCheck(SERVER, "service", CheckResult.OK, words, f"see {service.source}")

    # -- features -----------------------------------------------------------------------------------------------------
    def _check_features(self) -> Iterator[ServerCheck]:
        known = read_known_requests(self.client.config)
        if known is None:
            words = "the brokers do not list the requests that they know"
            yield ServerCheck(SERVER, "features", CheckResult.UNKNOWN, words)
            return
        for feature in FEATURES:
            if feature is BINDINGS and known.issuperset(feature.keys):
                yield self._check_authorizer()
            elif known.issuperset(feature.keys):
                yield ServerCheck(SERVER, feature.name, CheckResult.OK, f"can {feature.use}")
            else:
                result = CheckResult.LACKING if self._is_needed(feature) else CheckResult.ABSENT
                yield ServerCheck(SERVER, feature.name, result, f"cannot {feature.use}", feature.remedy)

    def _is_needed(self, feature: Feature) -> bool:
        needed = {name for kind in self.kinds for name in FEATURES_OF_KINDS.get(kind, ())}
        return feature.name in needed | ({"transactions"} if self.keeps_state else set())

    def _check_authorizer(self) -> ServerCheck:
        """Return whether there are bindings: only an authorizer knows the request, and all brokers list it."""
        from kplan.servers.kafka.acls import KafkaAcls

        try:
            found = len(KafkaAcls(self.client).read(None).resources)
        except KplanError as failure:
            result = CheckResult.LACKING if "acl" in self.kinds else CheckResult.ABSENT
            return make_failure(SERVER, BINDINGS.name, failure, result)
        return ServerCheck(SERVER, BINDINGS.name, CheckResult.OK, f"can {BINDINGS.use}; {count(found, 'binding')} live")

    # -- rights -------------------------------------------------------------------------------------------------------
    def _check_rights(self) -> Iterator[ServerCheck]:
        """Yield the operations on the cluster that are allowed, and those that something would need."""
        try:
            operations = OwnOperations(self.client).ask_cluster()
        except KplanError as failure:
            yield make_failure(SERVER, "rights", failure, CheckResult.UNKNOWN)
            return
        allowed = ", ".join(sorted(operations)) or "nothing"
        yield ServerCheck(SERVER, "rights", CheckResult.OK, f"on the cluster: {allowed}")
        needed = {name for kind in self.kinds for name in RIGHTS_OF_KINDS.get(kind, ())}
        for right, uses in _collect_cluster_rights().items():
            if not includes(operations, right):
                result = CheckResult.LACKING if needed & uses.keys() else CheckResult.ABSENT
                purposes = "; ".join(dict.fromkeys(uses.values()))
                missing, help = describe_missing(right, self.client.config)
                yield ServerCheck(SERVER, "rights", result, f"{missing}: {purposes}", help)

    def _check_topic_rights(self) -> Iterator[ServerCheck]:
        """Yield what kplan may not do with the topics of the stacks that are there."""
        live = self.client.metadata().topics if self.topics else {}
        topics = [name for name in self.topics if name in live]
        if not topics:
            return
        answers = OwnOperations(self.client).ask([("topic", name) for name in topics])
        missing: dict[str, list[str]] = {}
        for (_, name), operations in answers.items():
            for operation in TOPIC_RIGHTS:
                if not includes(operations, Acl(operation, "Topic", name)):
                    missing.setdefault(operation, []).append(name)
        for operation, names in missing.items():
            _, help = describe_missing(Acl(operation, "Topic", names[0]), self.client.config)
            words = f"{operation} on {count(len(names), 'topic')} is missing: {join_names(names[:5])}"
            yield ServerCheck(SERVER, "rights", CheckResult.LACKING, words, help)
        if not missing:
            words = f"on {count(len(topics), 'topic')} of the stacks: {join_names(list(TOPIC_RIGHTS))}"
            yield ServerCheck(SERVER, "rights", CheckResult.OK, words)


def includes(operations: Collection[str], right: Acl) -> bool:
    """Return whether one of the operations is the right, or includes it."""
    including = {"All", right.operation, *INCLUDING_OPERATIONS.get((right.operation, right.kind), ())}
    return not including.isdisjoint(operations)


def _collect_cluster_rights() -> dict[Acl, dict[str, str]]:
    """Return each right on the cluster with its purposes, by activity."""
    rights: dict[Acl, dict[str, str]] = {}
    for activity in ACTIVITIES:
        for acl, purpose in activity.needs.items():
            if acl.kind == "Cluster":
                rights.setdefault(acl, {})[activity.name] = purpose
    return rights


# -- advertised names -------------------------------------------------------------------------------------------------
def check_advertised(nodes: Iterable[Any]) -> Iterator[ServerCheck]:
    """Yield whether each broker can be reached by the name that it advertises, which clients are sent to."""
    chosen = list(nodes)[:MAX_BROKERS]
    with ThreadPoolExecutor(max(len(chosen), 1)) as pool:
        yield from pool.map(_dial, chosen)


def _dial(node: Any) -> ServerCheck:
    address, subject = f"{node.host}:{node.port}", f"broker {node.id}"
    make = partial(ServerCheck, SERVER, subject)
    help = f"`advertised.listeners` of broker {node.id} needs a name and a port that this machine reaches"
    try:
        open_connection(address, DIAL_TIMEOUT_S).close()
    except socket.gaierror:
        return make(
            CheckResult.FAILED,
            f"it is advertised as {address}, and that name resolves nowhere",
            help,
            codes.K310.number,
        )
    except OSError as failure:
        reason = failure.strerror or "no answer"
        return make(CheckResult.FAILED, f"it is advertised as {address}: {reason.lower()}", help, codes.K310.number)
    return make(CheckResult.OK, f"{address} can be reached")
