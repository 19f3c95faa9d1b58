"""Tests of stacks without servers: a simulated cluster that plans and applies (docs/testing.md).

It refuses what Kafka and Connect refuse. With pytest the fixture `kplan_cluster` is an empty one.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from kplan import api
from kplan.language.variables import PREFIX
from kplan.model import EMPTY, Action, AttrDiff, Change, Connector, Topic, conceal
from kplan.planning.document import Plan
from kplan.project.environment import ANY_PLUGIN, Environment, Simulated
from kplan.project.stack_files import CONFIG
from kplan.values import dataclass

if TYPE_CHECKING:
    from kplan.execution.run import Result
    from kplan.kinds.subject.subject import Subject
    from kplan.model.events import Event
    from kplan.project.loading import Loaded
    from kplan.servers.base import Backend, Cluster
    from kplan.servers.simulated import SimulatedTopics
    from kplan.servers.simulated_access import SimulatedAcls

UNSET_SECRET = "not-a-secret"  # the value of a sensitive variable that a test does not give


@dataclass(slots=True)
class SimulatedCluster:
    """Brokers and a Connect worker in one file below `folder`, at first empty.

    `brokers`, `plugins`, `tiered_storage` and `capabilities` may be set before the first plan; they are those of
    `simulated:` in kplan.yaml. Steps at the addresses in `fail` are accepted and then fail:
    `cluster.fail = ["connector/shop"]`.
    """

    folder: Path
    brokers: int = 3
    fail: Sequence[str] = ()
    plugins: str | Sequence[str] = ANY_PLUGIN
    tiered_storage: bool = True
    capabilities: Mapping[str, bool] = field(default_factory=dict)

    # -- kplan ----------------------------------------------------------------------------------------------------
    def load(self, source: str | os.PathLike[str], /, *, env: str = "", var: Mapping[str, object] = EMPTY,
             process: Mapping[str, str] = EMPTY) -> Loaded:  # fmt: skip
        """Load the stack for the environment `env`, with this cluster in place of that environment's servers.

        `source` is a file, a folder, or the text of a stack, for which the working folder's `kplan.yaml` has the
        environments. The environment's variables, defaults and guards count; of the process's environment only
        `process` does. A sensitive variable without a value has `not-a-secret`.
        """
        path = self._stack_file(source, env)
        loaded = api.load(path, env=env, variables=var, process=process, without_servers=True)
        if secrets := {f"{PREFIX}{name}": UNSET_SECRET for each in loaded.stacks for name in each.unset}:
            loaded = api.load(path, env=env, variables=var, process={**process, **secrets}, without_servers=True)
        return replace(loaded, environment=self.environment(loaded.environment))

    def plan(
        self,
        source: str | os.PathLike[str],
        /,
        *,
        env: str = "",
        var: Mapping[str, object] = EMPTY,
        process: Mapping[str, str] = EMPTY,
        **options: Any,
    ) -> Plan:
        """Plan what the stack would change here. `options` are those of `kplan.plan`; raises Invalid as it does."""
        return api.plan(self.load(source, env=env, var=var, process=process), **options)

    def apply(
        self,
        source: str | os.PathLike[str] | Plan,
        /,
        *,
        env: str = "",
        var: Mapping[str, object] = EMPTY,
        process: Mapping[str, str] = EMPTY,
        accept: str | Sequence[str] = (),
        events: list[Event] | None = None,
    ) -> Result:
        """Apply the stack, or a plan, here, and return how the run ended; `events` receives the run's events.

        Raises what `kplan.apply` raises, such as Blocked where a danger is not accepted.
        """
        if not isinstance(source, Plan):
            source = self.plan(source, env=env, var=var, process=process, accept=accept)
        emit = (lambda event: None) if events is None else events.append
        return api.apply(source, self.environment(Environment(source.env)), on_event=emit)

    def destroy(self, source: str | os.PathLike[str], /, **arguments: Any) -> Result:
        """Delete what the stack owns, and return how the run ended; `arguments` are those of `plan`."""
        return self.apply(self.plan(source, destroy=True, **arguments))

    # -- what is there --------------------------------------------------------------------------------------------
    @property
    def topics(self) -> dict[str, Topic]:
        """Return the topics by name, with the config that is set on each as the brokers store it: durations in ms."""
        with self._cluster() as cluster:
            return {a.name: cast("Topic", r) for a, r in cluster.topics.read(None).resources.items()}

    @property
    def connectors(self) -> dict[str, Connector]:
        """Return the connectors by name. Secrets among their settings are `kplan.Secret`."""
        with self._connect() as connect:
            return {a.name: cast("Connector", r) for a, r in connect.read(None).resources.items()}

    @property
    def subjects(self) -> dict[str, Subject]:
        """Return the subjects of the schema registry by name, each with its latest schema and its level."""
        with self._cluster() as cluster:
            found = cluster.by_kind["subject", "registry"].read(None).resources.values()
            return {subject.subject_name: subject for subject in cast("Iterable[Subject]", found)}

    def register(self, subject: str, schema: str, *, type: str = "avro", level: str = "") -> int:
        """Add a version of a subject as another program would, and return its id; `level` is its from then on.

        Raises Rejected where the registry refuses it: Avro schemas are judged by the subject's level.
        """
        from kplan.servers.registry.api import RegisteredSchema
        from kplan.servers.simulated_registry import SimulatedRegistry

        registry = SimulatedRegistry(Path(self.folder, "cluster.db"))
        try:
            schema_id = registry.register(subject, RegisteredSchema(type, schema))
            if level:
                registry.set_level(subject, level)
            return schema_id
        finally:
            registry.close()

    def can(self, principal: str, operation: str, resource: str, *, host: str = "*") -> bool:
        """Whether the principal may do the operation here, as Kafka's StandardAuthorizer decides by the bindings.

        `cluster.can("User:orders", "Write", "topic/shop.orders")`. The resource is `topic/NAME`, `group/ID`,
        `transactional-id/ID` or `cluster`. `host` is the client's IP address; `*` stands for one that no binding
        names. What no binding allows is refused, but to the super users `User:kplan` and `User:connect`. Raises
        ValueError for a word that is none of these.
        """
        with self._cluster() as cluster:
            return cast("SimulatedAcls", cluster.by_kind["acl", "kafka"]).can(principal, operation, resource, host)

    # -- what others do -------------------------------------------------------------------------------------------
    def add_topic(
        self,
        name: str,
        *,
        partitions: int = 1,
        replication_factor: int = -1,
        config: Mapping[str, str] = EMPTY,
        records: int = 0,
    ) -> None:
        """Create a topic with so many records as another program would. Raises Rejected or Conflict."""
        topic = Topic(name, partitions, replication_factor, dict(config))
        with self._cluster() as cluster:
            _act(cluster.topics, Change(topic.address, Action.CREATE, None, topic))
        if records:
            self.produce(name, records)

    def set_config(self, topic: str, config: Mapping[str, str]) -> None:
        """Set configs of a topic as another program would: that is drift."""
        before = self.topics[topic]
        after = replace(before, config={**before.config, **config})
        diffs = tuple(AttrDiff(f"/config/{key}", before.config.get(key), value) for key, value in config.items())
        with self._cluster() as cluster:
            _act(cluster.topics, Change(before.address, Action.UPDATE, before, after, diffs))

    def delete_topic(self, name: str) -> None:
        """Delete a topic with its records as another program would."""
        with self._cluster() as cluster:
            topic = self.topics[name]
            _act(cluster.topics, Change(topic.address, Action.DELETE, topic))

    def produce(self, topic: str, records: int, *, at: int | None = None) -> None:
        """Write so many records, now or at a time in milliseconds since 1970."""
        with self._cluster() as cluster:
            _topics_of(cluster).produce(topic, records, at=at)

    def subscribe(self, group: str, topic: str, *, lag: int = 0, active: bool = True) -> None:
        """Let a consumer group read the topic, `lag` records behind; one that is not `active` has only its offsets."""
        with self._cluster() as cluster:
            _topics_of(cluster).subscribe(group, topic, lag, active=active)

    def add_connector(self, name: str, config: Mapping[str, str]) -> None:
        """Create a connector as another program would. Raises Rejected as Connect would."""
        after = Connector(name, {key: conceal(key, value) for key, value in config.items()})
        with self._connect() as connect:
            _act(connect, Change(after.address, Action.CREATE, None, after))

    # -- how ------------------------------------------------------------------------------------------------------
    def environment(self, like: Environment) -> Environment:
        """Return the same environment with this cluster in place of its servers."""
        simulated = replace(self._simulated, fail=tuple(self.fail))
        state = str(Path(self.folder, "cluster.db").resolve())
        return replace(like, kafka={}, connect={}, schema_registry={}, sqlite=state, simulated=simulated, notify=())

    @property
    def _simulated(self) -> Simulated:
        """Return what the cluster is like, without what fails on it."""
        plugins = None if self.plugins == ANY_PLUGIN else tuple(self.plugins)
        return Simulated(
            self.brokers, capabilities=self.capabilities, plugins=plugins, tiered_storage=self.tiered_storage
        )

    def _stack_file(self, source: str | os.PathLike[str], env: str) -> Path:
        """Return the stack's file. A text becomes a file, with the working folder's `kplan.yaml` if `env` is given."""
        if not isinstance(source, str) or "\n" not in source:
            return Path(source)
        folder = Path(self.folder)
        folder.mkdir(parents=True, exist_ok=True)
        working_folder = Path.cwd()
        config_file = next(
            (each / CONFIG for each in (working_folder, *working_folder.parents) if (each / CONFIG).is_file()), None
        )
        if env and config_file:
            (folder / CONFIG).write_bytes(config_file.read_bytes())
        else:
            (folder / CONFIG).unlink(missing_ok=True)
        (folder / "stack.yaml").write_text(source, "utf-8")
        return folder / "stack.yaml"

    @contextmanager
    def _cluster(self) -> Iterator[Cluster]:
        from kplan.app.servers import open_cluster

        cluster = open_cluster(replace(self.environment(Environment("local")), simulated=self._simulated))
        try:
            yield cluster
        finally:
            cluster.close()

    @contextmanager
    def _connect(self) -> Iterator[Backend]:
        with self._cluster() as cluster:
            assert cluster.connectors is not None  # the simulation has one
            yield cluster.connectors


def _topics_of(cluster: Cluster) -> SimulatedTopics:
    return cast("SimulatedTopics", cluster.topics)


def _act(backend: Backend, change: Change) -> None:
    """Carry out the change. Raises what the server answers."""
    if problem := backend.act([change], {})[change.address].error:
        raise problem
