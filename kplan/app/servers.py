"""An environment's servers and its store, opened when they are first needed."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kplan.diagnostics import CapabilityMissing
from kplan.kinds.acl.kind import ACL
from kplan.kinds.connector.kind import CONNECTOR
from kplan.kinds.quota.kind import QUOTA
from kplan.kinds.registry import KINDS
from kplan.kinds.subject.kind import SUBJECT
from kplan.kinds.topic.kind import TOPIC
from kplan.kinds.user.kind import USER
from kplan.model import Live, Target
from kplan.model.masks import Mask
from kplan.project.environment import Environment
from kplan.project.stack_files import CONFIG
from kplan.servers.base import CONNECT, KAFKA, REGISTRY, Backend, Cluster, ReportProgress, ignore_progress
from kplan.state.base import Store
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.kinds.connector.debezium.discovery import DiscoveredTable
    from kplan.kinds.connector.debezium.engine import Login
    from kplan.model.checkup import ServerCheck
    from kplan.servers.access import Access, OidcLogin
    from kplan.servers.connect.connectors import ConnectConnectors
    from kplan.servers.connect.incremental import Signals
    from kplan.servers.databases.base import Databases
    from kplan.servers.kafka.topics import KafkaTopics
    from kplan.servers.snapshots import Snapshot
    from kplan.state.kafka.store import KafkaStore


SECTIONS = {KAFKA: "kafka", CONNECT: "connect", REGISTRY: "schema_registry"}  # of an environment, by server


def state_file(environment: Environment) -> Path:
    """Return where the store, and a simulated cluster, are kept."""
    return Path(environment.folder, environment.sqlite or f".kplan/{environment.name}.db")


def describe_cluster(environment: Environment) -> str:
    """Return the environment with the cluster that it names, for the head of what a command prints."""
    if environment.simulated:
        reason = "" if environment.file else f", no {CONFIG} here or above"
        return f"env {environment.name} · SIMULATED cluster {state_file(environment)}{reason}"
    servers = environment.bootstrap or environment.connect.get("url", "")
    return f"env {environment.name} · {servers}"


def client_settings(environment: Environment) -> dict[str, Any]:
    """Return librdkafka's settings; the paths of files among them begin at kplan.yaml, as all paths in it do.

    Of a login to a cloud they have the callback that gives tokens, and its first one.
    """
    settings: dict[str, Any] = {
        key: _file(environment, f"kafka.{key}", value) if key.endswith(".location") and value != "probe" else value
        for key, value in environment.kafka.items()
    }
    if environment.login:
        from kplan.servers.kafka.cloud_tokens import create_callback

        settings["oauth_cb"] = create_callback(environment.login)
    return settings


def _file(environment: Environment, setting: str, value: str) -> str:
    """Return the path of a file that a setting names. Raises Invalid for a pipe or a socket, which could block."""
    from kplan.project.reading import name_kind

    path = Path(environment.folder, value)
    kind = name_kind(path)
    if kind in ("a named pipe", "a socket"):
        from kplan.diagnostics import Invalid, codes, error

        detail = f"{setting} {path}: it is {kind}"
        raise Invalid([error(codes.K203, "a file for TLS cannot be used", detail, help="name a plain file")])
    return str(path)


@dataclass(slots=True)
class Opening:
    """What the client of a server is made of: the environment, and the clients that were made before it, by kind."""

    environment: Environment
    mask: Mask
    warn: Callable[[str], None]
    parallel: int
    tell: ReportProgress
    backends: dict[str, Backend] = field(default_factory=dict)
    databases: Databases | None = None


class LateBackend:
    """A backend that is opened when it is first asked for something: most plans need few of them."""

    def __init__(self, kind: str, opening: Opening, open_backend: Callable[[Opening], Backend | None]) -> None:
        self.kind = kind
        self.server = KINDS[kind].server
        self._opening = opening
        self._open = open_backend
        self._opened: Backend | None = None

    def __getattr__(self, name: str) -> Any:
        return getattr(self._find(), name)

    def _find(self) -> Backend:
        if self._opened is None:
            self._opened = self._open(self._opening)
        if self._opened is None:
            raise CapabilityMissing(
                f"this environment has no {self.server} server for resources of kind {self.kind}",
                help=f"name it under `{SECTIONS[self.server]}:`",
            )
        return self._opened

    def identify(self) -> Target:
        """Return nothing where it is not open: a backend that every plan has knows the server."""
        return Target() if self._opened is None else self._opened.identify()

    @property
    def retries(self) -> int:
        return 0 if self._opened is None else self._opened.retries

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()


def open_cluster(
    environment: Environment,
    mask: Mask | None = None,
    warn: Callable[[str], None] = lambda text: None,
    parallel: int = 6,
    tell: ReportProgress = ignore_progress,
) -> Cluster:
    """Return the clients of an environment's servers; nothing is asked of them yet.

    `mask` learns the secrets they read, `warn` gets what is not used of their settings; at most `parallel` connectors
    are changed at once. `tell` hears how far long work is.
    """
    mask = Mask(environment.secrets) if mask is None else mask
    opening = Opening(environment, mask, warn, parallel, tell)
    for kind, open_backend in BACKENDS.items():
        if not KINDS[kind].is_in_every_plan and environment.has_brokers:
            opening.backends[kind] = cast("Backend", LateBackend(kind, opening, open_backend))
            continue
        backend = open_backend(opening)
        if backend is not None:
            opening.backends[kind] = backend
    backends = opening.backends.values()
    principal = "" if environment.is_super_user else environment.own_principal  # no binding takes from a super user
    return Cluster.of(
        *backends,
        databases=opening.databases,
        mask=mask,
        principal=principal,
        internal_topics=environment.internal_topics,
        has_registry=bool(environment.simulated or environment.schema_registry),
    )


def _open_topics(opening: Opening) -> Backend:
    environment = opening.environment
    if environment.simulated:
        from kplan.servers.simulated import SimulatedTopics

        options = environment.simulated
        return SimulatedTopics(
            state_file(environment),
            brokers=options.brokers,
            fail=options.fail,
            throttle=environment.throttle,
            has_tiered_storage=options.tiered_storage,
            missing=options.missing,
        )
    if not environment.kafka:
        from kplan.servers.recorded import Recorded

        return Recorded(TOPIC.name, Live())
    settings = client_settings(environment)
    if _needs_librdkafka(settings):
        return _open_all_of_topics(opening, settings)
    from kplan.servers.kafka.quick_topics import QuickTopics

    open_full = partial(_open_all_of_topics, opening, settings)
    return cast("Backend", QuickTopics(settings, open_full, environment.request_timeout, opening.tell))


def _needs_librdkafka(settings: Mapping[str, Any]) -> bool:
    """Return whether librdkafka alone can follow these settings."""
    from kplan.servers.kafka.wire.connection import find_unsuited_setting

    return bool(find_unsuited_setting(settings))


def _open_all_of_topics(opening: Opening, settings: Mapping[str, Any]) -> KafkaTopics:
    from kplan.servers.kafka.topics import KafkaTopics

    environment = opening.environment
    return KafkaTopics(
        settings,
        request_timeout=environment.request_timeout,
        settle_timeout=environment.settle_timeout,
        attempts=environment.attempts,
        delay=environment.delay,
        secrets=environment.secrets,
        warn=opening.warn,
        reassign_timeout=environment.reassign_timeout,
        throttle=environment.throttle,
        tell=opening.tell,
        places=environment.client_places,
    )


def _open_connectors(opening: Opening) -> Backend | None:
    environment = opening.environment
    if environment.simulated:
        from kplan.servers.simulated import SimulatedConnectors

        options = environment.simulated
        return SimulatedConnectors(
            state_file(environment),
            fail=options.fail,
            connects=options.connects,
            plugins=options.plugins,
            missing=options.missing,
        )
    if not environment.connect:
        return None
    if environment.kafka:
        from kplan.servers.databases.looking import RealDatabases

        opening.databases = RealDatabases()
    default = _open_connect(opening, "", environment.connect)
    if not environment.other_connects:
        return default
    from kplan.servers.connect.several import SeveralConnects

    others = {alias: _open_connect(opening, alias, options) for alias, options in environment.other_connects.items()}
    return SeveralConnects({"": default, **others})


def _open_acls(opening: Opening) -> Backend | None:
    environment = opening.environment
    if environment.simulated:
        from kplan.servers.simulated_access import SimulatedAcls

        missing = "" if environment.simulated.has("authorizer") else "the cluster has no authorizer"
        return SimulatedAcls(
            state_file(environment),
            fail=environment.simulated.fail,
            missing=missing,
            principal=environment.own_principal,
            is_super_user=environment.is_super_user,
            allows_by_default=environment.allows_by_default,
        )
    if not environment.kafka:
        return None
    from kplan.servers.kafka.acls import KafkaAcls

    topics: Any = opening.backends[TOPIC.name]
    return KafkaAcls(topics.client, environment.settle_timeout, environment.allows_by_default)


def _open_users(opening: Opening) -> Backend | None:
    environment = opening.environment
    if environment.simulated:
        from kplan.servers.simulated_access import SimulatedUsers

        missing = "" if environment.simulated.has("scram") else "the cluster keeps no SCRAM users"
        return SimulatedUsers(state_file(environment), fail=environment.simulated.fail, missing=missing)
    if not environment.kafka:
        return None
    from kplan.servers.kafka.users import KafkaUsers

    topics: Any = opening.backends[TOPIC.name]
    return KafkaUsers(topics.client, environment.settle_timeout, environment.login_check)


def _open_quotas(opening: Opening) -> Backend | None:
    environment = opening.environment
    if environment.simulated:
        from kplan.servers.simulated_access import SimulatedQuotas

        missing = "" if environment.simulated.has("quotas") else "the cluster has no client quotas"
        return SimulatedQuotas(state_file(environment), fail=environment.simulated.fail, missing=missing)
    if not environment.kafka:
        return None
    from kplan.servers.kafka.quotas import KafkaQuotas

    topics: Any = opening.backends[TOPIC.name]
    return KafkaQuotas(topics.client, environment.settle_timeout)


def _open_subjects(opening: Opening) -> Backend | None:
    environment = opening.environment
    if environment.simulated:
        from kplan.servers.simulated_registry import SimulatedSubjects

        return SimulatedSubjects(state_file(environment), fail=environment.simulated.fail)
    if not environment.schema_registry:
        return None
    from kplan.servers.access import Pacing
    from kplan.servers.registry.client import PARALLEL, PEER, RegistryClient
    from kplan.servers.registry.subjects import RegistrySubjects

    access = read_access(environment, PEER.section, environment.schema_registry)
    pacing = Pacing(
        environment.request_timeout, environment.settle_timeout, environment.attempts, environment.delay, PARALLEL
    )
    return RegistrySubjects(RegistryClient(access, pacing, opening.mask), environment.settle_timeout)


# How the resources of each kind are reached; a later one may use the backends that were opened before it.
BACKENDS: dict[str, Callable[[Opening], Backend | None]] = {
    TOPIC.name: _open_topics,
    CONNECTOR.name: _open_connectors,
    USER.name: _open_users,
    ACL.name: _open_acls,
    QUOTA.name: _open_quotas,
    SUBJECT.name: _open_subjects,
}


def _open_connect(opening: Opening, alias: str, options: Mapping[str, Any]) -> ConnectConnectors:
    """Return the client of one Connect; without Kafka it looks at no heartbeats and sends no signals."""
    from kplan.servers.access import Pacing
    from kplan.servers.connect.connectors import ConnectConnectors

    environment = opening.environment
    topics: Any = opening.backends[TOPIC.name] if environment.kafka else None
    access = read_access(environment, f"connect.{alias}" if alias else "connect", options)
    pacing = Pacing(
        environment.request_timeout,
        environment.settle_timeout,
        environment.attempts,
        environment.delay,
        opening.parallel,
    )
    return ConnectConnectors(
        access,
        pacing,
        heartbeat=(lambda names: topics.read_end_offsets(names)) if topics else None,  # its attribute opens the client
        signals=(lambda: _signals(environment)) if topics else None,
        databases=opening.databases,
        mask=opening.mask,
        tell=opening.tell,
        alias=alias,
    )


def read_access(environment: Environment, section: str, options: Mapping[str, Any]) -> Access:
    """Return how a server is reached, as its section of the environment says it."""
    from kplan.servers.access import Access

    url, oidc = options["url"], options.get("oidc")

    def file(key: str) -> str:
        return _file(environment, f"{section}.{key}", str(options[key])) if options.get(key) else ""

    return Access(
        url if isinstance(url, list) else [part.strip() for part in str(url).split(",")],
        username=str(options.get("username") or ""),
        password=str(options.get("password") or ""),
        ca=file("ca"),
        certificate=file("certificate"),
        key=file("key"),
        key_password=str(options.get("key_password") or ""),
        token=str(options.get("token") or ""),
        oidc=_read_oidc(environment, f"{section}.oidc", oidc) if oidc else None,
        proxy=str(options.get("proxy") or ""),
    )


def _read_oidc(environment: Environment, section: str, options: Mapping[str, Any]) -> OidcLogin:
    """Return how tokens are fetched for a server. The headers are those of Confluent Cloud's clients."""
    from kplan.servers.access import OidcLogin

    headers = {"target-sr-cluster": "logical_cluster", "Confluent-Identity-Pool-Id": "identity_pool_id"}
    ca = _file(environment, f"{section}.ca", str(options["ca"])) if options.get("ca") else ""
    return OidcLogin(
        section,
        str(options["token_url"]),
        str(options["client_id"]),
        str(options["client_secret"]),
        scope=str(options.get("scope") or ""),
        client_authentication=str(options.get("client_authentication") or "client_secret_basic"),
        parameters={key: str(value) for key, value in (options.get("parameters") or {}).items()},
        headers={header: str(options[key]) for header, key in headers.items() if options.get(key)},
        ca=ca,
        proxy=str(options.get("proxy") or ""),
    )


def _signals(environment: Environment) -> Signals:
    from kplan.servers.kafka.signals import KafkaSignals

    return KafkaSignals(client_settings(environment), environment.request_timeout)


def open_store(environment: Environment, key: str | None = None) -> Store:
    """Return the environment's ledger, journal and lock: in a topic of the cluster, or in a file where it says so.

    With a `key`, as KPLAN_KEY is one, its records are signed.
    """
    if environment.kafka and not environment.sqlite:
        settings = client_settings(environment)
        if _needs_librdkafka(settings):
            return _open_all_of_store(environment, settings, key)
        from kplan.state.kafka.quick_store import QuickStore

        open_full = partial(_open_all_of_store, environment, settings, key)
        topic, timeout = environment.kafka_topic, environment.request_timeout
        return cast("Store", QuickStore(settings, topic, key, open_full, timeout))
    if environment.connect and not environment.kafka and not environment.sqlite:
        from kplan.state.recorded import RecordedStore

        return RecordedStore("", {})  # the ledger is in Kafka, of which no broker is named
    from kplan.state.sqlite import SqliteStore

    return SqliteStore(state_file(environment), key=key)


def _open_all_of_store(environment: Environment, settings: Mapping[str, Any], key: str | None) -> KafkaStore:
    from kplan.state.kafka.store import KafkaStore

    return KafkaStore(
        settings,
        environment.kafka_topic,
        request_timeout=environment.request_timeout,
        secrets=environment.secrets,
        session_timeout=environment.session_timeout,
        attempts=environment.attempts,
        delay=environment.delay,
        key=key,
        places=environment.client_places,
    )


def open_snapshot(snapshot: Snapshot, path: str) -> tuple[Cluster, Store]:
    """Return the servers and the store as they were when the snapshot at `path` was taken."""
    from kplan.servers.recorded import Recorded
    from kplan.servers.snapshots import unread_error
    from kplan.state.recorded import RecordedStore

    unread = {kind: None if snapshot.has_read(kind) else unread_error(path, kind) for kind in KINDS}
    cluster = Cluster.of(*(Recorded(kind, snapshot.live, unread[kind]) for kind in KINDS))
    return cluster, RecordedStore(path, snapshot.ledger, snapshot.unknown)


def check_brokers(
    cluster: Cluster, kinds: Collection[str], topics: Sequence[str], keeps_state: bool
) -> list[ServerCheck]:
    """Return what the brokers are and can do. `kinds` and `topics` are what stacks declare."""
    from kplan.servers.kafka.checkup import BrokerCheckup

    backend: Any = cluster.topics
    return list(BrokerCheckup(backend.client, kinds, topics, keeps_state).run())


def check_connects(cluster: Cluster, cluster_id: str) -> list[ServerCheck]:
    """Return what each Connect is and can do, which are asked side by side."""
    from concurrent.futures import ThreadPoolExecutor

    from kplan.servers.connect.checkup import check_connect

    backend: Any = cluster.connectors
    connects = getattr(backend, "members", [backend])
    with ThreadPoolExecutor(len(connects)) as pool:
        answers = pool.map(lambda connect: list(check_connect(connect, cluster_id)), connects)
        return [check for answer in answers for check in answer]


def check_registry_of(cluster: Cluster) -> list[ServerCheck]:
    """Return what the schema registry is and can do."""
    from kplan.servers.registry.checkup import check_registry

    subjects: Any = cluster.by_kind[SUBJECT.name, REGISTRY]
    return list(check_registry(subjects.registry))


def tables_of(login: Login, databases: Sequence[str]) -> list[DiscoveredTable]:
    """Return the tables of the database that `login` reaches, in which the named databases must be. Raises
    KplanError.
    """
    from kplan.servers.databases.drivers import DRIVERS

    return DRIVERS[login.engine].read_tables(login, databases)
